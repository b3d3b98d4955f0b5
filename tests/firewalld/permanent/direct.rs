//! direct.xml: rules of iptables that firewalld passes on.

use super::Lab;
use super::configurations::{compare, files};

/// A direct rule that iptables does not take, wherever it stands, keeps firewalld from starting; plain ones that no packet
/// to this host meets decide nothing.
#[test]
fn direct_rules() {
    let Some(mut lab) = Lab::new() else {
        return;
    };
    let rule = |ipv: &str, table: &str, chain: &str, text: &str| {
        let line = format!(
            r#"<direct><rule ipv="{ipv}" table="{table}" chain="{chain}" priority="0">{text}</rule></direct>"#
        );
        files(&[("direct.xml", line.as_str())])
    };
    let broken = [
        rule("ipv4", "filter", "FORWARD", "-p tcp --dprot 22 -j DROP"),
        rule("ipv4", "filter", "FORWARD", "-j NOSUCH"),
        rule("ipv4", "filter", "FORWARD", "-s ::1 -j DROP"),
        rule(
            "ipv4",
            "filter",
            "FORWARD",
            "-i averyveryverylongname -j DROP",
        ),
        rule("ipv6", "filter", "FORWARD", "-s 10.0.0.1 -j DROP"),
        rule("ipv4", "nat", "POSTROUTING", "-i eth0 -j MASQUERADE"),
        rule("ipv4", "nat", "OUTPUT", "-j MASQUERADE"),
        rule("ipv4", "nat", "FORWARD", "-j ACCEPT"),
    ];
    for backend in ["nftables", "iptables"] {
        let failures = compare(&mut lab, backend, &broken);
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }
    assert!(lab.tally.refused >= broken.len(), "{}", lab.tally);
    lab.tally.unknown = 0;

    let plain = [
        rule("ipv4", "filter", "FORWARD", "-i eth0 -o eth1 -j ACCEPT"),
        rule(
            "ipv6",
            "filter",
            "FORWARD",
            "-s 2001:db8::/64 -o eth1 -j DROP",
        ),
        rule(
            "ipv4",
            "nat",
            "POSTROUTING",
            "-s 10.0.0.0/8 -o eth0 -j MASQUERADE",
        ),
        rule("ipv4", "mangle", "FORWARD", "-i eth+ -j RETURN"),
        files(&[(
            "direct.xml",
            r#"<direct><chain ipv="ipv4" table="filter" chain="OWN"/></direct>"#,
        )]),
    ];
    for backend in ["nftables", "iptables"] {
        let failures = compare(&mut lab, backend, &plain);
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }
    assert_eq!(lab.tally.unknown, 0, "{}", lab.tally);
    assert_eq!(lab.tally.configurations, 2 * (broken.len() + plain.len()));
}

/// Direct rules that packets on their way in meet, and such that only iptables can tell to be none of theirs, are judged
/// as iptables loads them; with the iptables backend an accept is one.
#[test]
fn direct_rules_on_the_way_in() {
    let Some(mut lab) = Lab::new() else {
        return;
    };
    let open = r#"<zone><port port="50000-50100" protocol="tcp"/></zone>"#;
    let direct = |lines: &str| {
        let lines = format!("<direct>{lines}</direct>");
        files(&[("direct.xml", lines.as_str()), ("zones/public.xml", open)])
    };
    let rule = |ipv: &str, chain: &str, priority: i32, text: &str| {
        let (table, chain) = chain.split_once(' ').unwrap_or(("filter", chain));
        format!(
            r#"<rule ipv="{ipv}" table="{table}" chain="{chain}" priority="{priority}">{text}</rule>"#
        )
    };
    let chain = r#"<chain ipv="ipv4" table="filter" chain="OWN"/>"#;
    let judged = [
        direct(&rule("ipv4", "INPUT", 0, "-p tcp --dport 50050 -j DROP")),
        direct(&rule(
            "ipv6",
            "INPUT",
            0,
            "-p tcp -m tcp --dport 50050:50060 -j REJECT",
        )),
        direct(&rule(
            "ipv4",
            "INPUT_direct",
            0,
            "-p tcp --dport 8080 -j ACCEPT",
        )),
        direct(&rule(
            "ipv4",
            "INPUT",
            0,
            "-p tcp -m multiport --dports 21,50040:50045 -j DROP",
        )),
        direct(&rule(
            "ipv4",
            "INPUT",
            0,
            "-s 203.0.113.9,203.0.113.10 -j DROP",
        )),
        direct(&rule(
            "ipv4",
            "INPUT",
            0,
            "-i eth1 -p tcp -m conntrack --ctstate NEW -j DROP",
        )),
        direct(&rule(
            "ipv4",
            "INPUT",
            0,
            r#"-m comment --comment "no more" -j DROP"#,
        )),
        // The lower priority comes first, whichever is written first.
        direct(
            &[
                rule("ipv4", "INPUT", 2, "-j DROP"),
                rule("ipv4", "INPUT", 1, "-p tcp --dport 50000:50100 -j ACCEPT"),
            ]
            .concat(),
        ),
        direct(
            &[
                rule("ipv4", "OWN", 0, "-p tcp --dport 50090:50100 -j DROP"),
                chain.to_owned(),
                rule("ipv4", "INPUT", 0, "-p tcp -j OWN"),
            ]
            .concat(),
        ),
        direct(&rule(
            "ipv4",
            "OUTPUT",
            0,
            "-p tcp --sport 50000:50010 -j DROP",
        )),
        direct(&rule(
            "ipv4",
            "nat PREROUTING",
            0,
            "-p tcp --dport 50000 -j REDIRECT --to-ports 80",
        )),
        direct(&rule(
            "ipv4",
            "raw PREROUTING",
            0,
            "-p tcp --dport 50001 -j DROP",
        )),
        direct(&rule(
            "ipv6",
            "mangle INPUT",
            0,
            "-p tcp --dport 50002 -j DROP",
        )),
        // As Docker's hosts and routers have them.
        direct(
            &[
                rule(
                    "ipv4",
                    "FORWARD",
                    0,
                    "-i docker0 ! -o docker0 -m conntrack --ctstate NEW -j ACCEPT",
                ),
                rule(
                    "ipv4",
                    "FORWARD",
                    1,
                    "-p tcp -m tcp --dport 80 -m limit --limit 5/min -j LOG",
                ),
                rule(
                    "ipv4",
                    "nat POSTROUTING",
                    0,
                    "-s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
                ),
                rule(
                    "ipv4",
                    "mangle FORWARD",
                    0,
                    "-p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
                ),
            ]
            .concat(),
        ),
        direct(r#"<passthrough ipv="ipv4">-A FORWARD -p tcp --dport 80 -j ACCEPT</passthrough>"#),
    ];
    let passthroughs = [
        direct(r#"<passthrough ipv="ipv4">-I INPUT -p tcp --dport 50050 -j DROP</passthrough>"#),
        direct(
            r#"<passthrough ipv="ipv6">-t mangle -A INPUT -p tcp --dport 50060 -j DROP</passthrough>"#,
        ),
    ];
    for (backend, configurations) in [
        ("nftables", [&judged[..], &passthroughs].concat()),
        ("iptables", judged[..judged.len() - 1].to_vec()),
    ] {
        let failures = compare(&mut lab, backend, &configurations);
        assert!(failures.is_empty(), "{}", failures.join("\n"));
        assert_eq!(lab.tally.unknown, 0, "{backend}: {}", lab.tally);
    }
    assert_eq!(lab.tally.refused, 0, "{}", lab.tally);

    // Among firewalld's own rules: that is not told.
    let failures = compare(&mut lab, "iptables", &passthroughs);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(lab.tally.unknown > 0, "{}", lab.tally);
}
