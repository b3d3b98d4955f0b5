//! What rules of random rulesets say besides the everyday: rare matches, rare statements, odd maps.

use super::case::{Chain, Table};
use super::generator::Random;

/// A chain at the device's ingress, or behind everything at its egress.
pub(crate) fn device_table(random: &mut Random, [p, q]: [u16; 2]) -> Table {
    let mut rules = Vec::new();
    for _ in 0..=random.below(3) {
        let verdict = random.pick(&["accept", "drop", "continue"]);
        let test = match random.below(8) {
            0 => "ip saddr 100.64.0.0/10".to_owned(),
            1 => "tcp flags & (fin|syn) == (fin|syn)".to_owned(),
            2 => format!("tcp dport {{ {p}, {q} }}"),
            3 => format!("ip6 saddr fe80::/10 tcp dport {p}"),
            4 => format!("tcp sport {p}-{q}"),
            5 => "ct state new".to_owned(),
            6 => "meta nfproto ipv4".to_owned(),
            _ => format!("meta protocol ip tcp dport {p}-{q}"),
        };
        rules.push(format!("{test} {verdict}"));
    }
    let policy = if random.chance(10) { "drop" } else { "accept" };
    let family = random.pick(&["netdev", "netdev", "inet"]);
    let hook = if family == "netdev" && random.chance(35) {
        "egress"
    } else {
        "ingress"
    };
    let device = random.pick(&["eth0", "eth0", "lo"]);
    Table {
        family: if family == "inet" { "inet" } else { "netdev" },
        name: "early".to_owned(),
        sets: Vec::new(),
        chains: vec![Chain {
            name: "early".to_owned(),
            base: Some(format!(
                "type filter hook {hook} device {device} priority 0; policy {policy};"
            )),
            rules,
        }],
    }
}

/// A match that hosts seldom have, for two ports, the lower first.
pub(crate) fn rare_test(random: &mut Random, [p, q]: [u16; 2]) -> String {
    let not = random.pick(&["", "", "!= "]);
    let high = p >> 8;
    match random.below(34) {
        0 => format!("@th,16,16 {not}{p:#x}"),
        1 => format!("@th,16,8 {not}{high:#x}"),
        2 => format!("@th,24,8 {not}{:#x}", p & 0xff),
        3 => format!("@th,0,32 & 0x0000ffff {not}{p:#x}"),
        4 => format!("meta l4proto tcp @th,16,16 & 0xfff0 {not}{:#x}", p & 0xfff0),
        5 => format!("tcp dport | 0x1 {not}{:#x}", p | 1),
        6 => format!("tcp dport ^ 0x1 {not}{:#x}", p ^ 1),
        7 => format!("tcp dport & 0xff00 >= {:#x}", p & 0xff00),
        8 => format!("tcp dport & 0x00ff <= {:#x}", p & 0xff),
        9 => format!("ct original proto-dst {not}{p}-{q} meta l4proto tcp"),
        10 => format!("meta l4proto tcp ct reply proto-src {not}{{ {p}, {q} }}"),
        11 => format!("tcp sport 1024-65535 tcp dport {not}{p}"),
        12 => format!("tcp dport {not}{{ 0-{p}, {q}-65535 }}"),
        13 => format!("tcp dport < {q} tcp dport > {p}"),
        14 => format!("meta nfproto ipv4 ip saddr 0.0.0.0/0 tcp dport {not}{p}-{q}"),
        15 => "ip saddr { 0.0.0.0/1, 128.0.0.0/1 }".to_owned(),
        16 => {
            "ip saddr { 0.0.0.0/2, 64.0.0.0/2, 128.0.0.0/3, 160.0.0.0-255.255.255.255 }".to_owned()
        }
        17 => "ip6 saddr 2000::/3".to_owned(),
        18 => "ip6 saddr != 2000::/3".to_owned(),
        19 => "ip saddr 1.0.0.0-223.255.255.255".to_owned(),
        20 => "ip saddr & 0.0.0.1 == 0.0.0.1".to_owned(),
        21 => "ip6 saddr & ::3 <= ::2".to_owned(),
        22 => "ip protocol tcp".to_owned(),
        23 => "ip6 nexthdr tcp".to_owned(),
        24 => "meta pkttype { host, other }".to_owned(),
        25 => "iifgroup 0".to_owned(),
        26 => "iifgroup != default".to_owned(),
        27 => "ct status & (snat | dnat) == 0x0".to_owned(),
        28 => "ct state { new, established, untracked }".to_owned(),
        29 => "tcp flags & (fin|syn|rst|psh|ack|urg) == 0x0".to_owned(),
        30 => "tcp flags syn / syn,ack".to_owned(),
        31 => "exthdr frag exists".to_owned(),
        32 => format!("ip version 4 tcp dport {not}{p}"),
        _ => format!("meta mark & 0xff == 0 tcp dport {not}{q}"),
    }
}

/// A statement that changes what later rules see, or decides by something of its own.
pub(crate) fn rare_statement(random: &mut Random, port: u16) -> String {
    match random.below(14) {
        0 => format!("add @learned {{ tcp dport timeout 1m }} tcp dport {port}"),
        1 => "update @learned { tcp dport timeout 1m }".to_owned(),
        2 => format!("tcp dport {port} add @learned {{ tcp dport }}"),
        3 => "tcp dport @learned".to_owned(),
        4 => "tcp dport != @learned".to_owned(),
        5 => "meta mark set meta mark or 0x10".to_owned(),
        6 => "ct mark set meta mark".to_owned(),
        7 => "meta mark set numgen inc mod 2".to_owned(),
        8 => "ip dscp set cs1".to_owned(),
        9 => format!("tcp dport set {port}"),
        10 => "notrack".to_owned(),
        11 => "quota over 1000 mbytes".to_owned(),
        12 => "ct count over 0".to_owned(),
        _ => "continue".to_owned(),
    }
}

/// A verdict map that is not just a list of ports.
pub(crate) fn rare_map(random: &mut Random, [p, q]: [u16; 2], [a, b, c]: [&str; 3]) -> String {
    match random.below(10) {
        0 => format!("tcp dport vmap {{ {p}-{q} : {a}, * : {b} }}"),
        1 => format!("tcp dport vmap {{ {p} : {a}, * : {b} }}"),
        2 => format!("iifname . tcp dport vmap {{ \"eth0\" . {p}-{q} : {a}, \"lo\" . {p} : {b} }}"),
        3 => format!(
            "meta l4proto . th dport vmap {{ tcp . {p} : {a}, tcp . {q} : {b}, udp . {q} : {c} }}"
        ),
        4 => format!("ip saddr vmap {{ 0.0.0.0/1 : {a}, 128.0.0.0/1 : {b} }}"),
        5 => format!("ip saddr vmap {{ 192.0.2.0/24 : {a}, * : {b} }}"),
        6 => format!("meta mark vmap {{ 0x0 : {a}, 0x1 : {b}, * : {c} }}"),
        7 => format!("ct direction vmap {{ original : {a}, reply : {b} }}"),
        8 => format!("ct state vmap {{ established : accept, new : {a}, * : {b} }}"),
        _ => format!(
            "tcp dport vmap {{ {p}-{q} : {a} }} {}",
            if b == "accept" { "drop" } else { "accept" }
        ),
    }
}
