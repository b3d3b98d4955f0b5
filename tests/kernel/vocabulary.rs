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

/// What a bridge does with frames, those for its own host among them.
pub(crate) fn bridge_table(random: &mut Random, [p, q]: [u16; 2]) -> Table {
    let mut chains = Vec::new();
    for number in 0..=random.below(2) {
        let (hook, priority, end) = [
            ("prerouting", "-300", "dport"),
            ("input", "-200", "dport"),
            ("input", "0", "dport"),
            ("forward", "-200", "dport"),
            ("output", "0", "sport"),
            ("postrouting", "300", "sport"),
        ][random.below(6)];
        let mut rules = vec!["ether type arp accept".to_owned()];
        for _ in 0..=random.below(4) {
            let test = match random.below(12) {
                0 => "iifname \"eth0\"".to_owned(),
                1 => format!("iifname \"br0\" tcp {end} {p}"),
                2 => format!("oifname != \"eth0\" tcp {end} {q}"),
                3 => "ip saddr 100.64.0.0/10".to_owned(),
                4 => "ether saddr 02:00:00:00:00:99".to_owned(),
                5 => format!("ether type ip6 tcp {end} {p}-{q}"),
                6 => "meta pkttype { broadcast, multicast }".to_owned(),
                7 => "meta mark 0x1".to_owned(),
                8 => format!("tcp {end} != {p}-{q}"),
                9 => format!("tcp {end} {{ {p}, {q} }}"),
                10 => {
                    "meta protocol ip limit rate over 10000/second burst 10000 packets".to_owned()
                }
                _ => format!("tcp {end} {q} meta mark set 0x1"),
            };
            let verdict = random.pick(&["accept", "drop", "accept", "continue", "return"]);
            rules.push(format!("{test} {verdict}"));
        }
        let policy = if random.chance(15) { "drop" } else { "accept" };
        let base = format!("type filter hook {hook} priority {priority}; policy {policy};");
        chains.push(Chain {
            name: format!("bridge{number}"),
            base: Some(base),
            rules,
        });
    }
    Table {
        family: "bridge",
        name: "bridges".to_owned(),
        sets: Vec::new(),
        chains,
    }
}

/// A match that hosts seldom have, for two ports, the lower first.
pub(crate) fn rare_test(random: &mut Random, [p, q]: [u16; 2]) -> String {
    let not = random.pick(&["", "", "!= "]);
    let high = p >> 8;
    match random.below(56) {
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
        33 => format!("ip saddr . tcp dport {not}{{ 0.0.0.0/0 . {p}-{q} }}"),
        34 => format!(
            "ip saddr . tcp dport {not}{{ 192.0.2.0/24 . {p}, 0.0.0.0-127.255.255.255 . {q} }}"
        ),
        35 => format!("ip6 saddr . tcp dport {not}{{ 2000::/3 . {p}, fc00::/7 . {q} }}"),
        36 => format!("ct mark . tcp dport {not}{{ 0x0 . {p}, 0x1 . {q} }}"),
        37 => format!("meta mark . ct mark . tcp dport {{ 0x0 . 0x0 . {p}, 0x1 . 0x1 . {q} }}"),
        38 => format!("iifname . ip daddr . tcp dport {not}{{ \"eth0\" . 203.0.113.1 . {p} }}"),
        39 => format!("tcp dport . tcp flags {not}{{ {p} . syn, {q} . ack }}"),
        40 => "jhash ip saddr mod 2 0".to_owned(),
        41 => format!("tcp dport {not}{p} symhash mod 2 1"),
        42 => "numgen random mod 10 < 5".to_owned(),
        43 => "meta time < \"2020-01-01 00:00:00\"".to_owned(),
        44 => "meta hour != \"03:00\"-\"04:00\"".to_owned(),
        45 => format!("tcp dport {p} socket mark 0x0"),
        46 => format!("tcp dport {q} socket transparent 0"),
        47 => format!("tcp dport {p}-{q} ct count 1000"),
        48 => "limit name \"slow\"".to_owned(),
        49 => format!("tcp dport {p} quota name \"much\""),
        50 => "limit rate over 1/day burst 1 packets".to_owned(),
        51 => format!("tcp dport {p} limit rate 1/day burst 1 packets"),
        52 => format!("ct original saddr {not}192.0.2.0/24 tcp dport {q}"),
        53 => format!("ct reply daddr != 192.0.2.7 tcp dport {p}"),
        54 => format!("fib daddr . iif type {not}local tcp dport {q}"),
        _ => format!("meta mark & 0xff == 0 tcp dport {not}{q}"),
    }
}

/// A statement that changes what later rules see, or decides by something of its own.
pub(crate) fn rare_statement(random: &mut Random, port: u16) -> String {
    match random.below(32) {
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
        13 => format!("meta mark set tcp dport map {{ {port} : 0x1, 22 : 0x2 }}"),
        14 => "ct mark set tcp dport map { 22 : 0x1, 50000 : 0x2 }".to_owned(),
        15 => "meta mark set ct mark and 0x1".to_owned(),
        16 => "ct mark set ct mark or 0x2".to_owned(),
        17 => format!("tcp dport {port} meta mark set 0x1 ct mark set meta mark"),
        18 => "meter once { ip saddr limit rate 10000/second burst 10000 packets }".to_owned(),
        19 => {
            "meter over { ip saddr . tcp dport limit rate over 1/day burst 1 packets }".to_owned()
        }
        20 => format!(
            "tcp dport {port} update @learned {{ tcp dport limit rate over 1/day burst 1 packets }}"
        ),
        21 => format!("delete @learned {{ tcp dport }} tcp dport {port}"),
        22 => format!("tcp dport {port} tproxy to :{port}"),
        23 => "tcp dport 50000 tproxy ip to 127.0.0.1:22".to_owned(),
        24 => format!("tcp dport {port} synproxy mss 1460 wscale 7"),
        25 => format!("tcp dport {port} queue num 7 bypass"),
        26 => format!("tcp dport {port} ct zone set 3"),
        27 => format!("meta l4proto tcp ct timeout set \"quick\" tcp dport {port}"),
        28 => "counter name \"seen\"".to_owned(),
        29 => "meta pkttype set host".to_owned(),
        30 => format!("tcp flags syn tcp dport {port} notrack"),
        _ => "continue".to_owned(),
    }
}

/// A verdict map that is not just a list of ports.
pub(crate) fn rare_map(random: &mut Random, [p, q]: [u16; 2], [a, b, c]: [&str; 3]) -> String {
    match random.below(17) {
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
        9 => format!(
            "ip saddr . tcp dport vmap {{ 192.0.2.0/24 . {p}-{q} : {a}, 0.0.0.0/0 . {q} : {b} }}"
        ),
        10 => format!("tcp dport vmap {{ 1-{p} : {a}, {q}-60000 : {b}, 60001-65535 : {c} }}"),
        11 => format!(
            "meta mark . tcp dport vmap {{ 0x0 . {p} : {a}, 0x1 . {q} : {b}, 0x1 . {p} : {c} }}"
        ),
        12 => format!("ct mark vmap {{ 0x0-0x1 : {a}, 0x2 : {b} }}"),
        13 => format!("ip6 saddr vmap {{ 2000::/3 : {a}, fc00::/7 : {b} }}"),
        14 => format!("tcp flags vmap {{ syn : {a}, ack : {b}, ack | psh : accept }}"),
        15 => format!("numgen inc mod 2 vmap {{ 0 : {a}, 1 : {b} }} tcp dport {q}"),
        _ => format!(
            "tcp dport vmap {{ {p}-{q} : {a} }} {}",
            if b == "accept" { "drop" } else { "accept" }
        ),
    }
}
