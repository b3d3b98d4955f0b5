//! Rules for packets that no ordinary client sends: they stop nobody, and the opposite of them stops everybody.

use firewall::model::reach::Reach::{self, Closed, Open, Restricted};

use super::judge::{compare, verdicts};
use super::xtables::TOOLS;
use crate::support::ready;
use crate::support::world::{CLIENT, World};

/// Each rule of nft with what it makes of port 50000, IPv4 first; real connections agree.
#[track_caller]
fn judged(rules: &[(&str, [Reach; 2])]) {
    if !ready(&["nft", "ip"]) {
        return;
    }
    judged_as(rules, |world, rule| {
        world.load(&format!(
            "table inet t {{ chain c {{ type filter hook input priority 0;
                tcp dport 50000 {rule}\n}}\n}}"
        ));
    });
}

/// The same of rules of iptables, in the table `mangle`.
#[track_caller]
fn judged_of_iptables(rules: &[(&str, [Reach; 2])]) {
    if !ready(&TOOLS) {
        return;
    }
    let loads: [fn(&World, &str, &str); 2] = [World::load_iptables, World::load_legacy];
    for load in loads {
        judged_as(rules, |world, rule| {
            let text =
                format!("*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp {rule}\nCOMMIT\n");
            load(world, &text, &text);
        });
    }
}

#[track_caller]
fn judged_as(rules: &[(&str, [Reach; 2])], load: impl Fn(&World, &str)) {
    let mut wrong = Vec::new();
    for (rule, expected) in rules {
        let world = World::new();
        load(&world, rule);
        if let Err(message) = compare(&world, &[50_000].into()) {
            wrong.push(format!("{rule}: {message}"));
        }
        let maps = verdicts(&world).expect("the ruleset is read");
        let found = [0, 1].map(|family: usize| maps[family].reach(50_000));
        if found != expected.map(Some) {
            wrong.push(format!("{rule}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn extension_headers_and_options_of_ip() {
    judged(&[
        ("exthdr frag exists drop", [Open, Open]),
        ("exthdr frag missing drop", [Open, Closed]),
        ("exthdr hbh missing drop", [Open, Closed]),
        ("rt type 0 drop", [Open, Open]),
        ("rt type != 0 drop", [Open, Open]),
        ("hbh nexthdr 6 drop", [Open, Open]),
        ("dst nexthdr != 6 drop", [Open, Open]),
        ("mh type 1 drop", [Open, Open]),
        ("ip option rr exists drop", [Open, Open]),
        ("ip option lsrr missing drop", [Closed, Open]),
        ("ip option rr type 7 drop", [Open, Open]),
    ]);
}

const ALIKE: fn(Reach) -> [Reach; 2] = |reach| [reach, reach];

/// How long segments may be is said by the packets that open a connection, and by them alone.
#[test]
fn maximum_segment_sizes() {
    judged(&[
        (
            "tcp flags syn tcp option maxseg size 1-500 drop",
            ALIKE(Open),
        ),
        ("tcp option maxseg size < 536 drop", ALIKE(Open)),
        ("tcp option maxseg size 0 drop", ALIKE(Open)),
        ("tcp option maxseg size != 536-65535 drop", ALIKE(Open)),
        (
            "tcp option maxseg size { 1-100, 200-535 } drop",
            ALIKE(Open),
        ),
        ("tcp option maxseg size < 1000 drop", ALIKE(Restricted)),
        ("tcp option maxseg size > 1460 drop", ALIKE(Restricted)),
        ("tcp option maxseg size != 1460 drop", ALIKE(Restricted)),
        ("tcp option maxseg size 536-65535 drop", ALIKE(Closed)),
        (
            "tcp option maxseg size 536-65535 accept; tcp dport 50000 ct state new drop",
            ALIKE(Open),
        ),
        (
            "tcp option maxseg size 1000-65535 accept; tcp dport 50000 ct state new drop",
            ALIKE(Restricted),
        ),
        ("tcp option maxseg exists drop", ALIKE(Closed)),
        ("tcp option maxseg missing drop", ALIKE(Closed)),
        ("tcp flags syn tcp option maxseg missing drop", ALIKE(Open)),
        ("ct state new tcp option maxseg missing drop", ALIKE(Open)),
        ("tcp option maxseg length 4 drop", ALIKE(Restricted)),
        // What a rule has changed is no client's own.
        (
            "tcp option maxseg size set 500; tcp option maxseg size < 536 drop",
            ALIKE(Restricted),
        ),
        (
            "reset tcp option maxseg; tcp flags syn tcp option maxseg missing drop",
            ALIKE(Restricted),
        ),
    ]);
    judged_of_iptables(&[
        ("--syn -m tcpmss ! --mss 536:65535 -j DROP", ALIKE(Open)),
        (
            "-m conntrack --ctstate NEW -m tcpmss ! --mss 536:65535 -j DROP",
            ALIKE(Open),
        ),
        ("--syn -m tcpmss --mss 1:500 -j DROP", ALIKE(Open)),
        ("-m tcpmss --mss 1:500 -j DROP", ALIKE(Open)),
        ("--syn -m tcpmss --mss 1:1000 -j DROP", ALIKE(Restricted)),
        (
            "--syn -m tcpmss ! --mss 1000:65535 -j DROP",
            ALIKE(Restricted),
        ),
        (
            "--syn -m tcpmss ! --mss 536:1400 -j DROP",
            ALIKE(Restricted),
        ),
        ("--syn -m tcpmss --mss 536:65535 -j DROP", ALIKE(Closed)),
        // Later packets have no such option, and pass for being beyond any bounds.
        ("-m tcpmss ! --mss 536:65535 -j DROP", ALIKE(Closed)),
        ("-m tcpmss ! --mss 0:65535 -j DROP", ALIKE(Closed)),
        (
            "-m multiport --ports 50000 -m tcpmss ! --mss 536:65535 -j DROP",
            ALIKE(Restricted),
        ),
        ("--syn ! --tcp-option 2 -j DROP", ALIKE(Open)),
        ("--syn --tcp-option 2 -j DROP", ALIKE(Closed)),
        ("! --tcp-option 2 -j DROP", ALIKE(Closed)),
        ("--syn ! --tcp-option 8 -j DROP", ALIKE(Restricted)),
    ]);
}

/// Packets that open a connection are of headers alone, later ones of any length.
#[test]
fn lengths() {
    judged(&[
        ("meta length < 40 drop", ALIKE(Open)),
        ("meta length < 44 drop", [Restricted, Open]),
        ("meta length 0-39 drop", ALIKE(Open)),
        ("meta length { 0-20, 21-39 } drop", ALIKE(Open)),
        ("ct state new meta length > 100 drop", ALIKE(Open)),
        ("ct state new meta length > 80 drop", [Open, Restricted]),
        ("ct state new meta length 44-80 drop", [Closed, Restricted]),
        (
            "ct state new meta length != 64-100 drop",
            [Restricted, Open],
        ),
        ("ct state new meta length 60 drop", [Restricted, Open]),
        ("ct state new meta length 1000 drop", ALIKE(Open)),
        ("meta length > 1000 drop", ALIKE(Restricted)),
        ("meta length >= 40 drop", ALIKE(Closed)),
        ("ip length < 40 drop", ALIKE(Open)),
        ("ip length > 0 drop", [Closed, Open]),
        ("ct state new ip length 60 drop", [Restricted, Open]),
        ("ip6 length < 20 drop", ALIKE(Open)),
        ("ct state new ip6 length 24-60 drop", [Open, Closed]),
        ("ct state new ip6 length 24-59 drop", [Open, Restricted]),
    ]);
    judged_of_iptables(&[
        ("-m length --length 0:39 -j DROP", ALIKE(Open)),
        ("-m length ! --length 40:65535 -j DROP", ALIKE(Open)),
        ("-m length --length 0:60 -j DROP", ALIKE(Restricted)),
        ("-m length --length 60 -j DROP", ALIKE(Restricted)),
        ("-m length --length 1400:65535 -j DROP", ALIKE(Restricted)),
        ("-m length --length 40:65535 -j DROP", ALIKE(Closed)),
        ("--syn -m length --length 101:65535 -j DROP", ALIKE(Open)),
        ("--syn -m length ! --length 44:100 -j DROP", ALIKE(Open)),
        ("--syn -m length --length 0:60 -j DROP", [Restricted, Open]),
        (
            "--syn -m length --length 44:80 -j DROP",
            [Closed, Restricted],
        ),
    ]);
}

/// Nobody opens a connection without a window, but a client that does not keep up has none for a while.
#[test]
fn windows_and_flags() {
    judged(&[
        (
            "tcp flags & (syn|ack) == syn tcp window 0 drop",
            ALIKE(Open),
        ),
        ("ct state new tcp window < 1 drop", ALIKE(Open)),
        ("ct state new tcp window < 1024 drop", ALIKE(Restricted)),
        ("tcp window 0 drop", ALIKE(Restricted)),
        ("tcp window 0-65535 drop", ALIKE(Closed)),
        (
            "tcp flags & (fin|syn|rst|psh|ack|urg) == 0x0 drop",
            ALIKE(Open),
        ),
        ("tcp flags & (fin|syn) == fin|syn drop", ALIKE(Open)),
        ("tcp flags & (syn|rst) == syn|rst drop", ALIKE(Open)),
        ("tcp flags & (fin|ack) == fin|ack drop", ALIKE(Restricted)),
        ("tcp flags & (fin|ack) == fin drop", ALIKE(Open)),
        // A client that asks for congestion notification asks again without it, unless it is refused.
        ("ct state new tcp flags != syn drop", ALIKE(Open)),
        (
            "ct state new tcp flags != syn reject with tcp reset",
            ALIKE(Restricted),
        ),
        (
            "ct state new tcp flags & (syn|ack) != syn reject with tcp reset",
            ALIKE(Open),
        ),
    ]);
    judged_of_iptables(&[
        ("--tcp-flags ALL NONE -j DROP", ALIKE(Open)),
        ("--tcp-flags ALL ALL -j DROP", ALIKE(Open)),
        ("--tcp-flags SYN,FIN SYN,FIN -j DROP", ALIKE(Open)),
    ]);
}

/// What leaves the host is more than the first answer.
#[test]
fn later_packets_of_the_server() {
    let leaving = |rule: &str| {
        format!("accept\n}}\nchain o {{ type filter hook output priority 0; tcp sport 50000 {rule}")
    };
    let rules = [
        ("meta length > 1000 drop", Restricted),
        ("meta length < 40 drop", Open),
        ("tcp option maxseg missing drop", Restricted),
        ("tcp option maxseg size < 536 drop", Restricted),
        ("tcp window 0 drop", Restricted),
        ("tcp flags & syn == 0 drop", Restricted),
        ("tcp flags & (syn|ack) == ack drop", Restricted),
        ("tcp flags & (syn|ack) == syn drop", Open),
        ("tcp flags & fin == fin drop", Restricted),
        ("tcp flags & (fin|syn) == fin|syn drop", Open),
        ("tcp flags & rst == rst drop", Open),
        ("tcp flags & ack == ack drop", Closed),
    ];
    let rules: Vec<(String, [Reach; 2])> = rules
        .into_iter()
        .map(|(rule, reach)| (leaving(rule), ALIKE(reach)))
        .collect();
    let rules: Vec<(&str, [Reach; 2])> = rules
        .iter()
        .map(|(rule, reach)| (rule.as_str(), *reach))
        .collect();
    judged(&rules);
}

/// What no ordinary client sends is stopped all the same: the bounds are those of the kernel.
#[test]
fn odd_clients_are_turned_away() {
    if !ready(&TOOLS) {
        return;
    }
    let text = "*mangle\n:PREROUTING ACCEPT [0:0]\n\
        -A PREROUTING -p tcp --syn -m tcpmss ! --mss 536:65535 -j DROP\nCOMMIT\n";
    let loads: [fn(&World, &str, &str); 2] = [World::load_iptables, World::load_legacy];
    for load in loads {
        let world = World::new();
        load(&world, text, text);
        for (size, passes) in [("535", false), ("536", true)] {
            for (family, server) in [("-4", "203.0.113.1"), ("-6", "2001:db8::1")] {
                let words = [
                    family, "route", "replace", server, "dev", "eth0", "advmss", size,
                ];
                let route = world.client.run(|| {
                    let mut ip = crate::support::command::quiet("ip");
                    crate::support::command::run(ip.args(words), "")
                });
                route.expect_success("ip route");
            }
            let reached = CLIENT.map(|from| world.connects(from, 50_000));
            assert_eq!(reached, [passes; 2], "{size}");
        }
    }
}
