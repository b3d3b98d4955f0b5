//! Configurations by hand, one for each thing that firewalld knows.

use super::{Lab, in_words};

const SHORT: &str = "<short>x</short>";

/// A configuration with this text in the default zone, for both of firewalld's backends.
fn zone(attributes: &str, content: &str) -> Vec<(String, String)> {
    let zone = format!("<zone {attributes}>{SHORT}{content}</zone>");
    vec![("zones/public.xml".to_owned(), zone)]
}

pub(super) fn files(files: &[(&str, &str)]) -> Vec<(String, String)> {
    let files = files.iter();
    files
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect()
}

/// Compares each configuration with one of firewalld's backends, unless it says with which; returns what differs.
pub(super) fn compare(
    lab: &mut Lab,
    backend: &str,
    configurations: &[Vec<(String, String)>],
) -> Vec<String> {
    let mut failures = Vec::new();
    for configuration in configurations {
        let mut files = configuration.clone();
        if !files.iter().any(|(path, _)| path == "firewalld.conf") {
            let text = format!("FirewallBackend={backend}\n");
            files.push(("firewalld.conf".to_owned(), text));
        }
        let differences = lab.compare(&files);
        if !differences.is_empty() {
            let differences = differences.join("\n");
            failures.push(format!("{differences}\n{}", in_words(&files)));
        }
    }
    crate::support::say(&format!("firewalld, {backend}: {}", lab.tally));
    failures
}

#[test]
fn configurations_with_nftables() {
    let Some(mut lab) = Lab::new() else {
        return;
    };
    let failures = compare(&mut lab, "nftables", &by_hand());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn configurations_with_iptables() {
    let Some(mut lab) = Lab::new() else {
        return;
    };
    let failures = compare(&mut lab, "iptables", &by_hand());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn by_hand() -> Vec<Vec<(String, String)>> {
    let port = r#"<port port="50000-50100" protocol="tcp"/>"#;
    let rule = |content: &str| zone("", &format!("{port}<rule{content}</rule>"));
    let dmz = |content: &str| {
        let dmz = format!("<zone>{content}{port}</zone>");
        files(&[("zones/dmz.xml", &dmz)])
    };
    let policy = |attributes: &str, content: &str, zones: (&str, &str)| {
        let text = format!(
            r#"<policy {attributes}>{content}<ingress-zone name="{}"/><egress-zone name="{}"/></policy>"#,
            zones.0, zones.1
        );
        let mut configuration = zone("", port);
        configuration.push(("policies/p.xml".to_owned(), text));
        configuration
    };
    let set = |kind: &str, options: &str, entries: &str, content: &str| {
        let mut configuration = zone("", &format!("{port}{content}"));
        let text = format!(r#"<ipset type="{kind}">{options}{entries}</ipset>"#);
        configuration.push(("ipsets/s.xml".to_owned(), text));
        configuration
    };
    let v4 = r#" family="ipv4""#;
    vec![
        Vec::new(),
        zone("", port),
        // The manuals' recipe.
        zone(
            "",
            r#"<service name="ssh"/><service name="ftp"/><port port="49152-65534" protocol="tcp"/>"#,
        ),
        zone(r#"target="ACCEPT""#, ""),
        zone(r#"target="DROP""#, port),
        zone(r#"target="%%REJECT%%""#, port),
        zone(r#"target="default""#, port),
        zone(
            "",
            r#"<port port="ftp" protocol="tcp"/><port port="50000-50010" protocol="udp"/>"#,
        ),
        zone("", r#"<port port="60000-50000" protocol="tcp"/>"#),
        zone("", r#"<protocol value="tcp"/>"#),
        zone("", r#"<protocol value="6"/>"#),
        zone("", r#"<protocol value="ip"/>"#),
        zone("", r#"<protocol value="gre"/>"#),
        zone("", r#"<source-port port="20" protocol="tcp"/>"#),
        zone(
            "",
            r#"<forward/><masquerade/><port port="1" protocol="tcp"/><icmp-block-inversion/>"#,
        ),
        zone(
            "",
            &format!(r#"{port}<forward-port port="50050" protocol="tcp" to-port="8080"/>"#),
        ),
        zone(
            "",
            &format!(
                r#"{port}<forward-port port="50050-50060" protocol="tcp" to-addr="10.0.0.9"/>"#
            ),
        ),
        zone(
            "",
            &format!(
                r#"{port}<forward-port port="50050" protocol="tcp" to-addr="2001:db8::9" to-port="80"/>"#
            ),
        ),
        zone(
            "",
            &format!(r#"{port}<forward-port port="50050" protocol="udp" to-port="80"/>"#),
        ),
        rule("><port port=\"50050\" protocol=\"tcp\"/><drop/>"),
        rule("><port port=\"50050\" protocol=\"tcp\"/><reject/>"),
        rule(" priority=\"-5\"><port port=\"50050\" protocol=\"tcp\"/><drop/>"),
        rule(" priority=\"5\"><port port=\"50050\" protocol=\"tcp\"/><drop/>"),
        rule(" priority=\"-5\"><accept/>"),
        rule(" priority=\"32767\"><drop/>"),
        rule(" priority=\"-1\"><drop/>"),
        rule("><protocol value=\"tcp\"/><accept/>"),
        rule("><service name=\"ftp\"/><accept/>"),
        rule(
            "><service name=\"ftp\"/><log prefix=\"x\" level=\"info\"><limit value=\"1/m\"/></log><accept/>",
        ),
        rule("><service name=\"ftp\"/><accept><limit value=\"2/m\"/></accept>"),
        rule("><service name=\"ftp\"/><audit/><accept/>"),
        rule("><source-port port=\"1024-65535\" protocol=\"tcp\"/><accept/>"),
        rule(&format!("{v4}><source address=\"10.0.0.0/8\"/><drop/>")),
        rule(&format!(
            "{v4}><source address=\"10.0.0.0/8\"/><port port=\"21\" protocol=\"tcp\"/><accept/>"
        )),
        rule(&format!(
            "{v4}><source address=\"0.0.0.0/0\"/><port port=\"21\" protocol=\"tcp\"/><accept/>"
        )),
        rule(&format!(
            "{v4}><source address=\"10.0.0.0/8\" invert=\"True\"/><drop/>"
        )),
        rule(&format!(
            "{v4}><source address=\"10.1.2.3\"/><protocol value=\"tcp\"/><reject type=\"tcp-reset\"/>"
        )),
        policy(r#"target="DROP" priority="0""#, "", ("ANY", "HOST")),
        rule(&format!(
            "{v4}><destination address=\"192.0.2.1\"/><port port=\"21\" protocol=\"tcp\"/><accept/>"
        )),
        rule(" family=\"ipv6\"><source address=\"2001:db8:5::/48\"/><drop/>"),
        rule(
            " family=\"ipv6\"><source address=\"::/0\"/><port port=\"21\" protocol=\"tcp\"/><accept/>",
        ),
        rule(" family=\"ipv6\"><port port=\"50050\" protocol=\"tcp\"/><drop/>"),
        rule("><source mac=\"00:11:22:33:44:55\"/><drop/>"),
        rule(&format!(
            "{v4}><forward-port port=\"50050\" protocol=\"tcp\" to-port=\"80\"/>"
        )),
        rule(&format!(
            "{v4} priority=\"-3\"><forward-port port=\"50050\" protocol=\"tcp\" to-addr=\"10.0.0.9\"/>"
        )),
        rule("><icmp-block name=\"echo-request\"/>"),
        rule("><icmp-type name=\"echo-request\"/><accept/>"),
        rule("><masquerade/>"),
        rule("><tcp-mss-clamp value=\"pmtu\"/>"),
        rule("><port port=\"21\" protocol=\"tcp\"/><mark set=\"0x1\"/>"),
        dmz(r#"<interface name="eth0"/>"#),
        dmz(r#"<interface name="eth+"/>"#),
        dmz(r#"<interface name="eth0"/><interface name="eth1"/>"#),
        dmz(r#"<source address="10.0.0.0/8"/>"#),
        dmz(r#"<source address="0.0.0.0/0"/>"#),
        dmz(r#"<source address="2000::/3"/>"#),
        dmz(r#"<source address="203.0.113.7"/><interface name="eth1"/>"#),
        files(&[
            (
                "zones/dmz.xml",
                &format!("<zone>{port}<interface name=\"eth0\"/></zone>"),
            ),
            (
                "zones/work.xml",
                "<zone target=\"DROP\"><interface name=\"eth+\"/></zone>",
            ),
        ]),
        // What the default zone forwards: since 2.5 of other zones' packets too.
        files(&[
            (
                "zones/dmz.xml",
                &format!("<zone>{port}<interface name=\"eth0\"/></zone>"),
            ),
            (
                "zones/public.xml",
                &format!(
                    r#"<zone>{port}<forward-port port="50050" protocol="tcp" to-addr="10.0.0.9"/></zone>"#
                ),
            ),
        ]),
        files(&[
            (
                "zones/block.xml",
                "<zone target=\"%%REJECT%%\"><source address=\"0.0.0.0/0\"/></zone>",
            ),
            ("zones/public.xml", &format!("<zone>{port}</zone>")),
        ]),
        files(&[("firewalld.conf", "DefaultZone=drop\nDefaultZone=public\n")]),
        files(&[("firewalld.conf", "DefaultZone=trusted\n")]),
        files(&[("firewalld.conf", "DefaultZone=nowhere\n")]),
        files(&[(
            "firewalld.conf",
            "# nothing\nDefault Zone\nLogDenied=all\nIPv6_rpfilter=no\n",
        )]),
        files(&[("firewalld.conf", "FirewallBackend=IPTABLES\n")]),
        files(&[
            (
                "zones/public/one.xml",
                &format!("<zone target=\"DROP\">{port}</zone>"),
            ),
            (
                "zones/public/two.xml",
                "<zone><service name=\"ftp\"/></zone>",
            ),
        ]),
        policy(r#"target="DROP" priority="-1""#, "", ("ANY", "HOST")),
        policy(r#"target="REJECT" priority="1""#, "", ("ANY", "HOST")),
        policy(r#"target="ACCEPT" priority="100""#, "", ("ANY", "HOST")),
        policy(
            r#"target="CONTINUE" priority="-100""#,
            r#"<port port="21" protocol="tcp"/>"#,
            ("ANY", "HOST"),
        ),
        policy(
            r#"target="CONTINUE" priority="100""#,
            r#"<service name="ftp"/>"#,
            ("ANY", "HOST"),
        ),
        policy(
            r#"target="CONTINUE" priority="-100""#,
            r#"<rule><port port="50050" protocol="tcp"/><drop/></rule>"#,
            ("ANY", "HOST"),
        ),
        policy(r#"target="DROP" priority="-1""#, "", ("dmz", "HOST")),
        policy(r#"target="ACCEPT""#, "", ("ANY", "ANY")),
        policy(r#"target="ACCEPT""#, "", ("HOST", "ANY")),
        policy(
            r#"target="CONTINUE""#,
            r#"<forward-port port="50050" protocol="tcp" to-port="80"/>"#,
            ("ANY", "HOST"),
        ),
        policy(
            r#"target="CONTINUE""#,
            r#"<forward-port port="50050" protocol="tcp" to-addr="10.0.0.9"/>"#,
            ("ANY", "ANY"),
        ),
        set(
            "hash:ip",
            "",
            "<entry>10.0.0.1</entry><entry>10.0.0.2</entry>",
            r#"<rule><source ipset="s"/><drop/></rule>"#,
        ),
        set(
            "hash:net",
            "",
            "<entry>10.0.0.0/8</entry>",
            r#"<rule><source ipset="s"/><drop/></rule>"#,
        ),
        set(
            "hash:net",
            "",
            "<entry>0.0.0.0/1</entry><entry>128.0.0.0/1</entry>",
            r#"<rule><source ipset="s"/><drop/></rule>"#,
        ),
        set(
            "hash:net",
            "",
            "",
            r#"<rule><source ipset="s"/><drop/></rule>"#,
        ),
        set(
            "hash:net",
            "",
            "<entry>10.0.0.0/8</entry>",
            r#"<rule><source ipset="s" invert="True"/><drop/></rule>"#,
        ),
        set(
            "hash:net",
            "",
            "<entry>10.0.0.0/8</entry>",
            r#"<rule family="ipv4"><source ipset="s"/><port port="21" protocol="tcp"/><accept/></rule>"#,
        ),
        set(
            "hash:net",
            r#"<option name="family" value="inet6"/>"#,
            "<entry>2001:db8:7::/48</entry>",
            r#"<rule><source ipset="s"/><drop/></rule>"#,
        ),
        set(
            "hash:net",
            r#"<option name="timeout" value="60"/>"#,
            "",
            r#"<rule><source ipset="s"/><drop/></rule>"#,
        ),
        set(
            "hash:ip,port",
            "",
            "<entry>10.0.0.1,tcp:80</entry>",
            r#"<rule><source ipset="s"/><drop/></rule>"#,
        ),
        {
            // With iptables it takes a kernel that has sets of that type.
            let rule = r#"<rule><source ipset="s"/><drop/></rule>"#;
            let mut configuration = set("hash:mac", "", "<entry>00:11:22:33:44:55</entry>", rule);
            let text = "FirewallBackend=nftables\n";
            configuration.push(("firewalld.conf".to_owned(), text.to_owned()));
            configuration
        },
        {
            let mut configuration = set("hash:net", "", "<entry>10.0.0.0/8</entry>", "");
            let zone = r#"<zone><source ipset="s"/><service name="ftp"/></zone>"#;
            configuration.push(("zones/work.xml".to_owned(), zone.to_owned()));
            configuration
        },
        files(&[
            (
                "services/own.xml",
                r#"<service><port port="50000-50100" protocol="tcp"/><include service="ftp"/><include service="own2"/></service>"#,
            ),
            (
                "services/own2.xml",
                r#"<service><include service="own"/><port port="7" protocol="tcp"/><port port="" protocol="gre"/></service>"#,
            ),
            ("zones/public.xml", r#"<zone><service name="own"/></zone>"#),
        ]),
        files(&[(
            "services/ssh.xml",
            r#"<service><port port="2222" protocol="tcp"/></service>"#,
        )]),
        files(&[
            (
                "services/own.xml",
                r#"<service><port port="50000" protocol="tcp"/><destination ipv4="192.0.2.1"/></service>"#,
            ),
            ("zones/public.xml", r#"<zone><service name="own"/></zone>"#),
        ]),
        files(&[
            (
                "services/own.xml",
                r#"<service><port port="50000" protocol="tcp"/><destination ipv4="0.0.0.0/0"/></service>"#,
            ),
            (
                "zones/public.xml",
                r#"<zone><rule><service name="own"/><accept/></rule></zone>"#,
            ),
        ]),
        files(&[(
            "direct.xml",
            r#"<direct><rule ipv="ipv4" table="filter" chain="INPUT" priority="0">-p tcp --dport 22 -j DROP</rule></direct>"#,
        )]),
        files(&[(
            "direct.xml",
            r#"<direct><rule ipv="ipv4" table="filter" chain="FORWARD" priority="0">-j ACCEPT</rule></direct>"#,
        )]),
        files(&[(
            "direct.xml",
            r#"<direct><passthrough ipv="ipv6">-I INPUT -p tcp --dport 22 -j DROP</passthrough></direct>"#,
        )]),
    ]
}

/// What firewalld does not start with is refused here as well, with its line.
#[test]
fn what_firewalld_refuses() {
    let Some(mut lab) = Lab::new() else {
        return;
    };
    let configurations: Vec<Vec<(String, String)>> = [
        "<zone",
        "<zone></zone><zone/>",
        "<zone><bogus/></zone>",
        r#"<zone bogus="1"/>"#,
        r#"<zone target="MAYBE"/>"#,
        r#"<zone><service name="nosuch"/></zone>"#,
        "<zone><service/></zone>",
        r#"<zone><port port="70000" protocol="tcp"/></zone>"#,
        r#"<zone><port port="1" protocol="TCP"/></zone>"#,
        r#"<zone><port port="nosuch" protocol="tcp"/></zone>"#,
        r#"<zone><protocol value="nosuch"/></zone>"#,
        r#"<zone><forward-port port="1" protocol="tcp"/></zone>"#,
        r#"<zone><icmp-block name="nosuch"/></zone>"#,
        r#"<zone><source address="nonsense"/></zone>"#,
        r#"<zone><source ipset="nosuch"/></zone>"#,
        r#"<zone><rule family="ipv4"><source/><drop/></rule></zone>"#,
        r#"<zone><rule><service name="nosuch"/><accept/></rule></zone>"#,
        r#"<zone><rule><service name="ftp"/><log prefix="a=b"/><accept/></rule></zone>"#,
        r#"<zone><interface name="a/b"/></zone>"#,
        "<zone>&nbsp;</zone>",
        r#"<zone><port port="1" port="2" protocol="tcp"/></zone>"#,
        "",
    ]
    .iter()
    .map(|text| files(&[("zones/public.xml", text)]))
    .chain([
        files(&[("zones/a b.xml", "<zone/>")]),
        files(&[("zones/averyveryverylongname.xml", "<zone/>")]),
        files(&[
            ("zones/one.xml", r#"<zone><interface name="eth0"/></zone>"#),
            ("zones/two.xml", r#"<zone><interface name="eth0"/></zone>"#),
        ]),
        files(&[
            (
                "zones/one.xml",
                r#"<zone><source address="10.0.0.1"/></zone>"#,
            ),
            (
                "zones/two.xml",
                r#"<zone><source address="10.0.0.1"/></zone>"#,
            ),
        ]),
        files(&[("services/my.ftp.xml", "<service/>")]),
        files(&[(
            "services/own.xml",
            r#"<service><include service="nosuch"/></service>"#,
        )]),
        files(&[(
            "services/own.xml",
            r#"<service><port protocol="tcp"/></service>"#,
        )]),
        files(&[("policies/p.xml", r#"<policy target="DROP" priority="40000"/>"#)]),
        files(&[("policies/public.xml", r#"<policy target="DROP"/>"#)]),
        files(&[(
            "policies/p.xml",
            r#"<policy target="DROP"><ingress-zone name="nosuch"/></policy>"#,
        )]),
        files(&[("policies/p.xml", "<policy/>")]),
        files(&[("ipsets/s.xml", r#"<ipset type="bitmap:port"/>"#)]),
        files(&[(
            "zones/public.xml",
            r#"<zone><rule family="ipv4"><port port="1" protocol="udp"/><reject type="tcp-reset"/></rule></zone>"#,
        )]),
        files(&[
            ("ipsets/s.xml", r#"<ipset type="hash:net"><entry>10.0.0.0/8</entry><entry>10.1.0.0/16</entry></ipset>"#),
            ("firewalld.conf", "FirewallBackend=nftables\n"),
        ]),
        files(&[
            ("zones/public.xml", r#"<zone><rule family="ipv4"><source address="0.0.0.0/0" invert="True"/><drop/></rule></zone>"#),
            ("firewalld.conf", "FirewallBackend=iptables\n"),
        ]),
        files(&[
            ("zones/public.xml", r#"<zone><rule family="ipv4"><source address="10.0.0.1"/><reject type="tcp-reset"/></rule></zone>"#),
            ("firewalld.conf", "FirewallBackend=iptables\n"),
        ]),
        files(&[("icmptypes/x.xml", "<icmptype><bogus/></icmptype>")]),
        files(&[("helpers/x.xml", "<helper/>")]),
    ])
    .collect();
    let failures = compare(&mut lab, "nftables", &configurations);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(lab.tally.refused, lab.tally.configurations, "{}", lab.tally);
}
