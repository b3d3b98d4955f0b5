//! The harness itself: what the other kernel tests stand on must tell open from closed.

use crate::support::ready;
use crate::support::world::{BANNED, CLIENT, World};

const DENY: &str = "table inet filter {
    chain input {
        type filter hook input priority 0; policy drop;
        ip saddr 203.0.113.66 reject
        ip6 saddr 2001:db8::66 drop
        ct state established,related accept
        tcp dport { 21, 22 } accept
        tcp dport 50001 reject with tcp reset
        tcp dport 50002 reject with icmpx admin-prohibited
    }
}";

#[test]
fn an_empty_ruleset_lets_everything_in() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    let world = World::new();
    let ports = [1, 21, 50_000, 65_535];
    for from in CLIENT.iter().chain(&BANNED) {
        let reached = world.reached(from, &ports, |_| true);
        assert_eq!(reached, ports.into(), "from {from}");
    }
}

#[test]
fn dropped_rejected_and_banned_are_closed() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    let world = World::new();
    world.load(DENY);
    let ports = [21, 22, 50_000, 50_001, 50_002];
    let reached = world.reached_both([&ports; 2], |_, port| port < 100);
    assert_eq!(reached, [[21, 22].into(), [21, 22].into()]);
    for from in BANNED {
        assert!(!world.connects(from, 21), "{from} is banned");
    }
}

#[test]
fn a_connection_needs_its_later_packets_too() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    let world = World::new();
    world.load(
        "table inet filter { chain input { type filter hook input priority 0;
            tcp dport 50000 ct state established drop
            tcp dport 50001 ct state new accept
            }
        }",
    );
    let reached = world.reached(CLIENT[0], &[50_000, 50_001], |port| port == 50_001);
    assert_eq!(reached, [50_001].into());
}

#[test]
fn an_inserted_accept_opens_and_its_removal_restores() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    let world = World::new();
    world.load(DENY);
    let before = world.exact();
    world.load("add rule inet filter input tcp dport 50000-50100 accept comment \"pasvsync\"");
    let added = world.exact();
    assert!(added.text.contains("pasvsync") && added.generation != before.generation);
    for from in CLIENT {
        let reached = world.reached(from, &[49_999, 50_000, 50_100, 50_101], |port| {
            (50_000..=50_100).contains(&port)
        });
        assert_eq!(reached, [50_000, 50_100].into(), "from {from}");
    }
    let line = added.text.lines().find(|line| line.contains("pasvsync"));
    let handle = line
        .and_then(|line| line.rsplit(' ').next())
        .expect("a handle");
    world.load(&format!("delete rule inet filter input handle {handle}"));
    assert_eq!(world.exact().text, before.text);
}

#[test]
fn forwarding_is_judged_apart_from_input() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    let world = World::with_inside();
    world.load(
        "table inet filter {
            chain forward {
                type filter hook forward priority 0; policy drop;
                ct state established accept
                tcp dport 50001 accept
            }
        }",
    );
    for from in CLIENT {
        let forwarded = world.forwarded(from, &[50_000, 50_001], |port| port == 50_001);
        assert_eq!(forwarded, [50_001].into());
        assert!(world.connects(from, 50_000));
    }
}

#[test]
fn a_redirected_connection_does_not_count_as_the_ports_own() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    let world = World::new();
    world.load(
        "table inet nat {
            chain prerouting {
                type nat hook prerouting priority dstnat;
                tcp dport 50000 redirect to :50001
                tcp dport 50002 redirect
            }
        }",
    );
    let ports = [50_000, 50_001, 50_002];
    let reached = world.reached_both([&ports; 2], |_, port| port != 50_000);
    assert_eq!(reached, [[50_001, 50_002].into(), [50_001, 50_002].into()]);
}
