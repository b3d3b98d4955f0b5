//! Tables with equal priorities: which of them comes first depends on when its chain was registered, and nothing tells.

use firewall::model::reach::{Family, Reach};

use super::judge::verdicts;
use crate::support::ready;
use crate::support::world::{CLIENT, World};

const MARKS: &str = "table ip a { chain c { type filter hook prerouting priority -150;
        tcp dport 50000 meta mark set 7
    }
    }\n";
const TESTS: &str = "table ip b { chain c { type filter hook prerouting priority -150;
        meta mark 7 drop
    }
    }\n";
const TESTS_LATER: &str = "table ip b { chain c { type filter hook prerouting priority -149;
        meta mark 7 drop
    }
    }\n";
const LEGACY_MARKS: &str =
    "*mangle\n-A PREROUTING -p tcp --dport 50000 -j MARK --set-mark 7\nCOMMIT\n";

/// What a connection to port 50000 does, and what is said of it.
fn judged(world: &World) -> (bool, Reach) {
    let maps = verdicts(world).expect("the ruleset is read");
    let map = maps.iter().find(|map| map.family == Family::Ipv4);
    let entry = map.and_then(|map| map.entry(50_000)).expect("a verdict");
    assert!(
        entry.reach != Reach::Unknown || entry.because.contains("equal priorities"),
        "{entry:?}"
    );
    (world.connects(CLIENT[0], 50_000), entry.reach)
}

#[test]
fn two_tables() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    let world = World::new();
    world.load(&format!("{MARKS}{TESTS}"));
    assert_eq!(judged(&world), (true, Reach::Unknown));
    // The same listing with the same numbers, but now the other one was registered last.
    world.load("flush ruleset\ntable ip a\n");
    world.load(TESTS);
    world.load(MARKS);
    assert_eq!(judged(&world), (false, Reach::Unknown));
    world.load(&format!("flush ruleset\n{MARKS}{TESTS_LATER}"));
    assert_eq!(judged(&world), (false, Reach::Closed));
}

#[test]
fn iptables_legacy_and_nftables() {
    if !ready(&["nft", "ip", "iptables-legacy-restore"]) {
        return;
    }
    for (first, reached) in [("legacy", true), ("nftables", false)] {
        let world = World::new();
        if first == "nftables" {
            world.load(TESTS);
        }
        world
            .try_load_legacy([LEGACY_MARKS, ""])
            .expect("iptables-legacy");
        if first == "legacy" {
            world.load(TESTS);
        }
        assert_eq!(judged(&world), (reached, Reach::Unknown), "{first} first");
    }
}
