//! Random configurations, each known by its seed.

use std::fmt::Write as _;

use crate::kernel::generator::Random;

const PORTS: &[&str] = &[
    "21",
    "22",
    "50000",
    "50050",
    "50000-50100",
    "50090-50200",
    "49152-65534",
    "1-1023",
    "1-65535",
    "ftp",
    "60000-50000",
];
const ZONES: &[&str] = &["public", "dmz", "internal", "work", "drop", "trusted"];
const SERVICES: &[&str] = &["ftp", "ssh", "http", "own", "dns"];
const SOURCES_IPV4: &[&str] = &["10.0.0.0/8", "0.0.0.0/0", "203.0.113.9", "128.0.0.0/1"];
const SOURCES_IPV6: &[&str] = &["2001:db8:9::/48", "2000::/3", "::/0", "2001:db8:9::9"];

/// The files of one configuration.
pub(super) fn configuration(seed: u64) -> Vec<(String, String)> {
    let mut random = Random::new(seed);
    let backend = random.pick(&["nftables", "iptables"]);
    let default = if random.chance(70) {
        "public"
    } else {
        random.pick(ZONES)
    };
    let mut files = vec![(
        "firewalld.conf".to_owned(),
        format!("DefaultZone={default}\nFirewallBackend={backend}\n"),
    )];
    let service = format!(
        r#"<service><port port="{}" protocol="{}"/>{}</service>"#,
        random.pick(PORTS),
        random.pick(&["tcp", "tcp", "udp"]),
        random.pick(&[
            "",
            r#"<include service="ftp"/>"#,
            r#"<destination ipv4="192.0.2.1"/>"#
        ]),
    );
    files.push(("services/own.xml".to_owned(), service));
    let mut bindings = Bindings {
        interfaces: vec!["eth0", "eth1", "eth+"],
        ipv4: SOURCES_IPV4.to_vec(),
        ipv6: SOURCES_IPV6.to_vec(),
    };
    for name in ZONES {
        if *name == default || random.chance(40) {
            files.push((
                format!("zones/{name}.xml"),
                zone(&mut random, &mut bindings),
            ));
        }
    }
    for index in 0..random.below(3) {
        files.push((format!("policies/p{index}.xml"), policy(&mut random)));
    }
    if random.chance(25) {
        files.push(("direct.xml".to_owned(), direct(&mut random)));
    }
    files
}

/// Rules that firewalld passes on to iptables.
fn direct(random: &mut Random) -> String {
    let mut text = "<direct>\n<chain ipv=\"ipv4\" table=\"filter\" chain=\"OWN\"/>\n".to_owned();
    for _ in 0..=random.below(3) {
        let chain = random.pick(&["INPUT", "INPUT", "OWN", "FORWARD", "OUTPUT"]);
        let matches = random.pick(&[
            "",
            "-p tcp",
            "-p tcp --dport 50000:50050",
            "-p tcp -m multiport --dports 21,50090:50200",
            "-s 203.0.113.9",
            "-p tcp -m conntrack --ctstate NEW",
        ]);
        let target = random.pick(&["ACCEPT", "DROP", "REJECT", "RETURN", "OWN"]);
        let target = if chain == "OWN" && target == "OWN" {
            "DROP"
        } else {
            target
        };
        let priority = random.below(3);
        let _ = writeln!(
            text,
            "<rule ipv=\"ipv4\" table=\"filter\" chain=\"{chain}\" priority=\"{priority}\">{matches} -j {target}</rule>"
        );
    }
    text + "</direct>"
}

/// What no second zone may be bound to.
struct Bindings {
    interfaces: Vec<&'static str>,
    ipv4: Vec<&'static str>,
    ipv6: Vec<&'static str>,
}

fn zone(random: &mut Random, bindings: &mut Bindings) -> String {
    let target = random.pick(&[
        "",
        "",
        "",
        "",
        r#" target="ACCEPT""#,
        r#" target="DROP""#,
        r#" target="%%REJECT%%""#,
        r#" target="default""#,
    ]);
    let mut text = format!("<zone{target}>\n");
    if random.chance(25)
        && let Some(interface) = bindings.interfaces.pop()
    {
        let _ = writeln!(text, "<interface name=\"{interface}\"/>");
    }
    for sources in [&mut bindings.ipv4, &mut bindings.ipv6] {
        if random.chance(20) && !sources.is_empty() {
            let source = sources.remove(random.below(sources.len()));
            let _ = writeln!(text, "<source address=\"{source}\"/>");
        }
    }
    text += &rules(random, true);
    text + "</zone>"
}

fn policy(random: &mut Random) -> String {
    let priority = random.pick(&["-100", "-1", "1", "100"]);
    let target = random.pick(&[
        "CONTINUE", "CONTINUE", "CONTINUE", "ACCEPT", "DROP", "REJECT",
    ]);
    let ingress = random.pick(&["ANY", "ANY", "ANY", "dmz", "internal", "work"]);
    let egress = random.pick(&["HOST", "HOST", "HOST", "ANY"]);
    let rules = rules(random, false);
    format!(
        "<policy target=\"{target}\" priority=\"{priority}\">\n{rules}<ingress-zone name=\"{ingress}\"/>\n<egress-zone name=\"{egress}\"/>\n</policy>"
    )
}

/// What zones and policies have in common.
fn rules(random: &mut Random, zone: bool) -> String {
    let mut text = String::new();
    for _ in 0..random.below(3) {
        let _ = writeln!(text, "<service name=\"{}\"/>", random.pick(SERVICES));
    }
    for _ in 0..random.below(3) {
        let (port, protocol) = (random.pick(PORTS), random.pick(&["tcp", "tcp", "udp"]));
        let _ = writeln!(text, "<port port=\"{port}\" protocol=\"{protocol}\"/>");
    }
    if random.chance(8) {
        let protocol = random.pick(&["tcp", "gre", "6"]);
        let _ = writeln!(text, "<protocol value=\"{protocol}\"/>");
    }
    if random.chance(8) {
        let _ = writeln!(
            text,
            "<source-port port=\"{}\" protocol=\"tcp\"/>",
            random.pick(PORTS)
        );
    }
    if zone && random.chance(15) {
        let to = random.pick(&[
            r#"to-port="8080""#,
            r#"to-addr="10.0.0.9""#,
            r#"to-addr="2001:db8::9" to-port="80""#,
        ]);
        let _ = writeln!(
            text,
            "<forward-port port=\"{}\" protocol=\"tcp\" {to}/>",
            random.pick(PORTS)
        );
    }
    for _ in 0..random.below(4) {
        text += &rich(random, zone);
    }
    text
}

fn rich(random: &mut Random, zone: bool) -> String {
    let family = random.pick(&["", "ipv4", "ipv6"]);
    let mut attributes = String::new();
    if !family.is_empty() {
        let _ = write!(attributes, " family=\"{family}\"");
    }
    if random.chance(50) {
        let priority = random.pick(&["-10", "-1", "1", "10"]);
        let _ = write!(attributes, " priority=\"{priority}\"");
    }
    let mut content = String::new();
    let sources = match family {
        "ipv4" => SOURCES_IPV4,
        "ipv6" => SOURCES_IPV6,
        _ => &[],
    };
    let invert = random.pick(&["", "", r#" invert="True""#]);
    if !sources.is_empty() && random.chance(50) {
        let source = random.pick(sources);
        // iptables takes no inverted "every address".
        let invert = if source.ends_with("/0") { "" } else { invert };
        let _ = write!(content, "<source address=\"{source}\"{invert}/>");
    } else if random.chance(10) {
        let _ = write!(content, "<source mac=\"00:11:22:33:44:55\"{invert}/>");
    }
    if family == "ipv4" && random.chance(20) {
        let address = random.pick(&["192.0.2.1", "192.0.2.0/24", "10.0.0.0/8"]);
        let _ = write!(content, "<destination address=\"{address}\"/>");
    }
    if zone && !family.is_empty() && random.chance(12) {
        let port = random.pick(PORTS);
        let _ = write!(
            content,
            "<forward-port port=\"{port}\" protocol=\"tcp\" to-port=\"99\"/>"
        );
        return format!("<rule{attributes}>{content}</rule>\n");
    }
    let element = match random.below(6) {
        0 => format!(
            "<service name=\"{}\"/>",
            random.pick(&["ftp", "ssh", "http"])
        ),
        1 | 2 => format!("<port port=\"{}\" protocol=\"tcp\"/>", random.pick(PORTS)),
        3 => "<protocol value=\"tcp\"/>".to_owned(),
        4 => format!(
            "<source-port port=\"{}\" protocol=\"tcp\"/>",
            random.pick(PORTS)
        ),
        _ => String::new(),
    };
    content += &element;
    if random.chance(10) {
        content += "<log prefix=\"x\"/>";
    }
    content += match random.below(8) {
        0..3 => "<accept/>",
        3..5 => "<drop/>",
        5 => "<accept><limit value=\"5/m\"/></accept>",
        6 => "<drop><limit value=\"5/m\"/></drop>",
        _ => "<reject/>",
    };
    format!("<rule{attributes}>{content}</rule>\n")
}
