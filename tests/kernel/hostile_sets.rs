//! Sets of addresses that are too large to read: bans of a few, or of the greater part of the Internet.

use firewall::model::reach::Reach::{self, Closed, Open, Restricted};

use super::judge::{compare, verdicts};
use crate::support::ready;
use crate::support::world::World;

/// One test a set; the verdicts on port 50000 are given, IPv4 first.
macro_rules! judged {
    ($($(#[$attribute:meta])* $name:ident: $verdicts:expr, $rules:expr, $sets:expr;)*) => {$(
        #[test]
        $(#[$attribute])*
        fn $name() {
            judge($verdicts, $rules, &$sets.concat());
        }
    )*};
}

#[track_caller]
fn judge(expected: [Reach; 2], rules: &str, sets: &str) {
    if !ready(&["nft", "ip"]) {
        return;
    }
    let world = World::new();
    let loaded = world.try_load(&format!(
        "table inet t {{ {sets} chain c {{ type filter hook input priority 0; {rules}\n}}\n}}"
    ));
    // The message alone: the sets are long.
    loaded.expect("the ruleset");
    if let Err(message) = compare(&world, &[21, 50_000].into()) {
        panic!("{message}");
    }
    let maps = verdicts(&world).expect("the ruleset is read");
    let found = [0, 1].map(|family: usize| maps[family].reach(50_000));
    assert_eq!(found, expected.map(Some), "{maps:?}");
}

/// A set of that name, type and flags.
fn set(name: &str, kind: &str, elements: impl Iterator<Item = String>) -> String {
    let elements: Vec<String> = elements.collect();
    let elements = elements.join(", ");
    format!("set {name} {{ type {kind}; elements = {{ {elements} }}; }}\n")
}

/// The first `tenths` of every ten parts of IPv4's addresses; the client's are in all but the first of them.
fn ipv4(tenths: u32) -> impl Iterator<Item = String> {
    let part = 0xe000_0000_u32 / 4000;
    let parts = (0..4000_u32).filter(move |index| (index + 4) % 10 < tenths);
    parts.map(move |index| {
        let first = std::net::Ipv4Addr::from(index * part);
        let last = std::net::Ipv4Addr::from((index + 1) * part - 2);
        format!("{first}-{last}")
    })
}

/// The same of the part of IPv6 that is given out.
fn ipv6(tenths: u128) -> impl Iterator<Item = String> {
    let part = (1_u128 << 125) / 4000;
    let parts = (0..4000_u128).filter(move |index| (index + 4) % 10 < tenths);
    parts.map(move |index| {
        let start = (0x2_u128 << 124) + index * part;
        let first = std::net::Ipv6Addr::from(start);
        let last = std::net::Ipv6Addr::from(start + part - 2);
        format!("{first}-{last}")
    })
}

/// A thousand addresses of nobody, and something else.
fn single(more: &str) -> impl Iterator<Item = String> {
    let one = |index: u32| std::net::Ipv4Addr::from(0x0a00_0000 + index * 7).to_string();
    let more = (!more.is_empty()).then(|| more.to_owned());
    (0..1000).map(one).chain(more)
}

const INTERVAL4: &str = "ipv4_addr; flags interval";
const INTERVAL6: &str = "ipv6_addr; flags interval";

judged! {
    a_ban_of_the_greater_part: [Restricted, Restricted],
        "ip saddr @four tcp dport 50000 drop; ip6 saddr @six tcp dport 50000 drop",
        [set("four", INTERVAL4, ipv4(9)), set("six", INTERVAL6, ipv6(9))];
    a_ban_of_everybody: [Restricted, Restricted],
        "ip saddr @four tcp dport 50000 drop; ip6 saddr @six tcp dport 50000 drop",
        [set("four", INTERVAL4, ipv4(10)), set("six", INTERVAL6, ipv6(10))];
    /// Two lists, neither of them the greater part.
    bans_that_add_up: [Restricted, Open],
        "ip saddr @low tcp dport 50000 drop; ip saddr @high tcp dport 50000 drop",
        [set("low", INTERVAL4, ipv4(4)), set("high", INTERVAL4, ipv4(8).filter(|range| ipv4(4).all(|low| low != *range)))];
    an_allow_list_of_the_greater_part: [Restricted, Restricted],
        "ip saddr != @four tcp dport 50000 drop; ip6 saddr != @six tcp dport 50000 drop",
        [set("four", INTERVAL4, ipv4(9)), set("six", INTERVAL6, ipv6(9))];
    an_allow_list_of_few: [Closed, Closed],
        "ip saddr != @four tcp dport 50000 drop; meta nfproto ipv6 tcp dport 50000 drop",
        [set("four", "ipv4_addr", single(""))];
    /// What no other element stands for: everybody.
    everybody_else: [Restricted, Open],
        "ip saddr @four tcp dport 50000 drop",
        [set("four", "ipv4_addr", single("*"))];
    everybody_else_of_intervals: [Restricted, Open],
        "ip saddr @four tcp dport 50000 drop",
        [set("four", INTERVAL4, single("*"))];
    /// No unicast address begins so: nobody is shut out.
    multicast_addresses: [Open, Open],
        "ip saddr 224.0.0.0/3 tcp dport 50000 drop; ip6 saddr ff00::/8 tcp dport 50000 drop",
        [""];
    /// The port is meant for one source: not for everybody, but not for nobody.
    an_accept_for_one: [Restricted, Closed],
        "ip saddr 192.0.2.1 tcp dport 50000 accept; tcp dport 50000 drop",
        [""];
    /// A prefix is as wide in a set as it is in a rule.
    a_prefix_in_a_rule: [Open, Open],
        "ip saddr 36.0.0.0/8 tcp dport 50000 drop",
        [""];
    a_prefix_of_ipv6: [Open, Open],
        "ip6 saddr 2400::/19 tcp dport 50000 drop",
        [""];
    a_prefix_that_is_too_wide: [Restricted, Restricted],
        "ip saddr 36.0.0.0/7 tcp dport 50000 drop; ip6 saddr 2400::/18 tcp dport 50000 drop",
        [""];
    a_prefix_in_a_set: [Open, Open],
        "ip saddr @four tcp dport 50000 drop; ip saddr { 37.0.0.0/8, 1.1.1.0/24 } tcp dport 50000 drop",
        [set("four", INTERVAL4, ["36.0.0.0/8".to_owned()].into_iter())];
    /// None of the elements is wide, all of them together are everything.
    prefixes_that_add_up: [Restricted, Open],
        "ip saddr @four tcp dport 50000 drop",
        [set("four", INTERVAL4, (60..224).map(|first| format!("{first}.0.0.0/8")))];
    single_addresses: [Open, Open],
        "ip saddr @four drop",
        [set("four", "ipv4_addr", single(""))];
    single_addresses_among_intervals: [Open, Open],
        "ip saddr @four drop",
        [set("four", INTERVAL4, single(""))];
    /// Of the address only the first byte is looked up: each element stands for 16 million.
    masked_addresses: [Restricted, Open],
        "ip saddr & 255.0.0.0 @four tcp dport 50000 drop",
        [set("four", "ipv4_addr", (0..224).map(|first| format!("{first}.0.0.0")))];
}
