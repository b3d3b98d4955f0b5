//! IPv6's neighbour discovery: where the rules stop it nobody reaches an open port, and the report says so.

use super::story::FIRST;
use crate::support::program::Run;
use crate::support::ready;
use crate::support::world::{CLIENT, World};

/// A world whose neighbours do not know each other.
fn world(ruleset: &str) -> World {
    let world = World::new();
    world.load(ruleset);
    world.want(FIRST.0, FIRST.1);
    forget(&world);
    world
}

/// Takes away what the neighbours know of each other.
fn forget(world: &World) {
    let arguments = ["-6", "neighbour", "flush", "nud", "all", "dev", "eth0"];
    world.command("ip", &arguments, "").expect_success("ip");
    let client = world.client_command("ip", &arguments);
    client.expect_success("ip");
}

/// The hint's command, where the report has the finding.
fn command(run: &Run) -> Option<String> {
    let report = run.report();
    let mut findings = report["findings"].as_array()?.iter();
    let finding = findings.find(|finding| finding["code"] == "no-neighbour-discovery")?;
    assert_eq!(finding["severity"], "warning", "{finding}");
    let hint = finding["hint"].as_str().expect("a hint");
    Some(hint.split('`').nth(1).expect("a command").to_owned())
}

/// What stops discovery, and which words name it; every one of these lets the passive ports in.
const STOPS: &[(&str, &str)] = &[
    (
        "table inet filter { chain input { type filter hook input priority 0; policy drop;
            ct state established,related accept
            tcp dport { 21, 50000-50100 } accept
        }
        }",
        "policy drop of chain inet filter input (hook input) stops neighbour solicitations (ICMPv6 type 135)",
    ),
    (
        "table inet filter { chain input { type filter hook input priority 0;
            ct state vmap { established : accept, related : accept, invalid : drop }
            icmpv6 type { echo-request, nd-router-advert } accept
            tcp dport 50000-50100 accept
            jump rest
        }
        chain rest { counter reject with icmpx admin-prohibited; }
        }",
        "reject with icmpx admin-prohibited` (handle",
    ),
    (
        "table inet filter { chain output { type filter hook output priority 0; policy drop;
            ct state established,related accept
            icmpv6 type nd-neighbor-solicit accept
        }
        }",
        "policy drop of chain inet filter output (hook output) stops neighbour advertisements (ICMPv6 type 136)",
    ),
    (
        "table ip6 t { chain p { type filter hook prerouting priority -300;
            meta l4proto ipv6-icmp ip6 daddr ff00::/8 drop
        }
        }",
        "chain ip6 t p (hook prerouting)",
    ),
];

#[test]
fn what_stops_discovery_is_named_and_the_hint_mends_it() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    for (ruleset, words) in STOPS {
        let world = world(ruleset);
        let check = world.pasvsync(&["check"]).expect(0);
        assert_eq!(check.verdict("ipv6", FIRST.0), "open", "{ruleset}");
        assert!(world.connects(CLIENT[0], FIRST.0), "{ruleset}");
        assert!(!world.connects(CLIENT[1], FIRST.0), "{ruleset}");
        let command = command(&check).unwrap_or_else(|| panic!("not found: {ruleset}\n{check:?}"));
        assert!(check.stdout.contains(words), "{words}: {}", check.stdout);
        let (program, rule) = command.split_once(' ').expect("a command");
        assert_eq!(program, "nft");
        world.load(rule);
        forget(&world);
        assert_eq!(
            self::command(&world.pasvsync(&["check"]).expect(0)),
            None,
            "{ruleset}"
        );
        let reached = world.reached(CLIENT[1], &[FIRST.0], |_| true);
        assert_eq!(reached, [FIRST.0].into(), "{ruleset}{command}");
    }
}

/// Rules of iptables, of both packet filters; what the hint says works with the program that it names.
#[test]
fn rules_of_ip6tables_are_named() {
    if !ready(&["ip", "ip6tables", "ip6tables-nft-restore"]) {
        return;
    }
    let rules = "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
        -A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT\n\
        -A INPUT -p tcp -m tcp --dport 50000:50100 -j ACCEPT\n";
    let (rules, rules6) = (
        format!("{rules}COMMIT\n"),
        format!("{rules}-A INPUT -p icmpv6 -m icmp6 --icmpv6-type 128 -j ACCEPT\nCOMMIT\n"),
    );
    let world = world("");
    world.load_iptables(&rules, &rules6);
    let check = world.pasvsync(&["check"]).expect(0);
    assert!(!world.connects(CLIENT[1], FIRST.0));
    let command = command(&check).expect("the finding");
    assert_eq!(command, "ip6tables -t filter -I INPUT -p icmpv6 -j ACCEPT");
    let arguments: Vec<&str> = command.split(' ').skip(1).collect();
    world
        .command("ip6tables-nft", &arguments, "")
        .expect_success("ip6tables");
    forget(&world);
    assert_eq!(self::command(&world.pasvsync(&["check"]).expect(0)), None);
    let reached = world.reached(CLIENT[1], &[FIRST.0], |_| true);
    assert_eq!(reached, [FIRST.0].into());
    for kind in [135, 136] {
        let one = format!("-p icmpv6 -m icmp6 --icmpv6-type {kind} -j ACCEPT\nCOMMIT\n");
        let some = rules.replace("COMMIT\n", &format!("-A INPUT {one}"));
        world.load_iptables(&rules, &some);
        let check = world.pasvsync(&["check"]).expect(0);
        assert_eq!(self::command(&check).is_none(), kind == 135, "{kind}");
    }
}

/// Rulesets that let enough by: connections come about, and nothing is said.
const LETS_BY: &[&str] = &[
    "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
    "meta l4proto ipv6-icmp accept",
    "ct state untracked accept",
    "ip6 hoplimit 255 accept",
    "meta pkttype multicast accept
     icmpv6 type nd-neighbor-advert accept",
    "ip6 daddr { ff02::1:ff00:1, 2001:db8::1, fe80::/10 } accept",
    // The question carries the asker's hardware address: the host need not ask back.
    "icmpv6 type nd-neighbor-solicit accept",
    // Somebody is let by: who asks is not known.
    "ip6 saddr 2001:db8::7 accept",
    "ip6 saddr { 2001:db8::7, fe80::1 } jump {\n icmpv6 type nd-neighbor-solicit accept\n}",
    "ether saddr 02:00:00:00:00:07 meta l4proto ipv6-icmp accept",
    "ip6 nexthdr icmpv6 limit rate 100/second accept",
];

#[test]
fn nothing_is_said_where_connections_come_about() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    for rules in LETS_BY {
        let ruleset = format!(
            "table inet filter {{ chain input {{ type filter hook input priority 0; policy drop;
                ct state established,related accept
                {rules}
                tcp dport 50000-50100 accept
            }}
            }}"
        );
        let world = world(&ruleset);
        let check = world.pasvsync(&["check"]).expect(0);
        assert_eq!(command(&check), None, "{rules}");
        let reached = world.reached(CLIENT[1], &[FIRST.0], |_| true);
        assert_eq!(reached, [FIRST.0].into(), "{rules}");
    }
}

/// Without an address beyond the link, and on a link where nobody is looked up.
#[test]
fn nothing_is_said_where_nobody_needs_to_be_looked_up() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    let world = world(STOPS[0].0);
    let said = || command(&world.pasvsync(&["check"]).expect(0)).is_some();
    let ip = |line: &str| {
        let output = world.command("ip", &["-batch", "-"], line);
        output.expect_success("ip");
    };
    assert!(said());
    ip("link set eth0 arp off\n");
    assert!(!said());
    ip("link set eth0 arp on\n");
    assert!(said());
    ip("addr del 2001:db8::1/64 dev eth0\n");
    assert!(!said());
}
