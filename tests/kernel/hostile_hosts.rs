//! Hosts where an accept in the obvious place would let a banned client in, or open what lies behind the host: `sync`
//! finds another place or refuses, whatever is loaded.

use std::collections::BTreeSet;

use super::story::{FIRST, inside};
use crate::support::ready;
use crate::support::world::{BANNED, CLIENT, World};

/// What must become of a ruleset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The range opens for strangers, and stays shut for banned clients and behind the host.
    Opens,
    /// The run says why not, and touches nothing.
    Refuses(&'static str),
}
use Fate::{Opens, Refuses};

/// One test a ruleset.
macro_rules! hosts {
    ($($(#[$attribute:meta])* $name:ident: $fate:expr, $ruleset:expr;)*) => {$(
        #[test]
        $(#[$attribute])*
        fn $name() {
            if !ready(&["nft", "ip"]) {
                return;
            }
            let world = World::with_inside();
            world.load($ruleset);
            judge(&world, $fate);
        }
    )*};
}

/// Which of the range's ports the banned clients reach, and which the client reaches behind the host.
fn shut(world: &World) -> [BTreeSet<u16>; 2] {
    let ports = inside(FIRST);
    let banned = BANNED
        .iter()
        .flat_map(|from| world.reached(from, &ports, |_| false));
    let behind = CLIENT
        .iter()
        .flat_map(|from| world.forwarded(from, &ports, |_| false));
    [banned.collect(), behind.collect()]
}

#[track_caller]
fn judge(world: &World, fate: Fate) {
    world.want(FIRST.0, FIRST.1);
    let before = world.exact();
    let nobody = [BTreeSet::new(), BTreeSet::new()];
    assert_eq!(shut(world), nobody, "the ruleset bans nobody");
    let sync = world.pasvsync(&["sync"]);
    let text = world.exact().text;
    assert_eq!(shut(world), nobody, "{sync:?}\n{text}");
    match fate {
        Opens => {
            let sync = sync.expect(0);
            assert!(sync.changed(), "{sync:?}");
            let ports = inside(FIRST);
            for from in CLIENT {
                let reached = world.reached(from, &ports, |_| true);
                assert_eq!(reached, ports.into(), "{from}\n{text}");
            }
            let after = world.exact();
            let again = world.pasvsync(&["sync"]).expect(0);
            assert!(!again.changed(), "{again:?}");
            assert_eq!(world.exact(), after);
        }
        Refuses(word) => {
            let sync = sync.expect(1);
            assert!(sync.stdout.contains(word), "{word} is not named: {sync:?}");
            assert_eq!(world.exact(), before);
        }
    }
    world.pasvsync(&["remove"]).expect(0);
    assert_eq!(world.exact().text, before.text);
}

hosts! {
    /// The only place before the block that forwarding does not share stands before the bans, too.
    bans_in_a_chain_that_forward_shares: Opens, "table inet t {
      chain common {
        ct state established,related accept
        ip saddr 203.0.113.66 drop
        ip6 saddr 2001:db8::66 drop
        tcp dport { 21, 22 } accept
        drop
      }
      chain input { type filter hook input priority 0; policy accept; jump common; }
      chain forward { type filter hook forward priority 0; policy accept; jump common; }
    }";
    bans_in_a_chain_behind_the_block: Refuses("ban"), "table inet t {
      chain bans {
        ip saddr 203.0.113.66 drop
        ip6 saddr 2001:db8::66 drop
      }
      chain input { type filter hook input priority 0; policy accept;
        ct state established accept
        tcp dport != { 21, 22 } drop
        jump bans
      }
      chain forward { type filter hook forward priority 0; policy drop; }
    }";
    wide_bans_behind_the_block: Refuses("ban"), "table inet t {
      chain input { type filter hook input priority 0; policy accept;
        ct state established accept
        tcp dport != { 21, 22 } drop
        ip saddr & 0.0.0.64 == 0.0.0.64 drop
        ip6 saddr & ::40 == ::40 drop
      }
      chain forward { type filter hook forward priority 0; policy drop; }
    }";
    /// Nobody is banned today.
    bans_to_come_behind_the_block: Refuses("ban"), "table inet t {
      set banned { type ipv4_addr; }
      chain input { type filter hook input priority 0; policy accept;
        ct state established accept
        tcp dport != { 21, 22 } drop
        ip saddr @banned drop
      }
      chain forward { type filter hook forward priority 0; policy drop; }
    }";
    /// Banned clients never see the services: whoever else comes back falls to the policy.
    bans_by_not_being_sent_on: Refuses("sources"), "table inet t {
      set banned { type ipv4_addr; elements = { 203.0.113.66 }; }
      set banned6 { type ipv6_addr; elements = { 2001:db8::66 }; }
      chain services { tcp dport { 21, 22 } accept; }
      chain input { type filter hook input priority 0; policy drop;
        ct state established accept
        ip saddr != @banned jump services
        ip6 saddr != @banned6 jump services
      }
      chain forward { type filter hook forward priority 0; policy drop; }
    }";
    /// Banned clients are sent back to the policy before the services.
    bans_by_return: Refuses("sources"), "table inet t {
      chain services {
        ip saddr 203.0.113.66 return
        ip6 saddr 2001:db8::66 return
        tcp dport { 21, 22 } accept
      }
      chain input { type filter hook input priority 0; policy drop;
        ct state established accept
        jump services
      }
      chain forward { type filter hook forward priority 0; policy drop; }
    }";
    bans_by_return_in_the_base_chain: Opens, "table inet t {
      chain input { type filter hook input priority 0; policy drop;
        ct state established accept
        ip saddr 203.0.113.66 return
        ip6 saddr 2001:db8::66 return
        tcp dport { 21, 22 } accept
      }
      chain forward { type filter hook forward priority 0; policy drop; }
    }";
    bans_by_verdict_map: Opens, "table inet t {
      map fates { type ipv4_addr : verdict; flags interval; elements = { 203.0.113.64/26 : goto banned, 10.0.0.0/8 : jump trusted }; }
      chain banned { counter log; }
      chain trusted { accept; }
      chain input { type filter hook input priority 0; policy drop;
        ct state established accept
        ip saddr vmap @fates
        ip6 saddr vmap { 2001:db8::40/122 : goto banned }
        tcp dport { 21, 22 } accept
      }
      chain forward { type filter hook forward priority 0; policy drop; }
    }";
    /// The mark is the ban, and what it means stands behind the block.
    bans_by_mark_behind_the_block: Refuses("ban"), "table inet t {
      chain input { type filter hook input priority 0; policy accept;
        ip saddr 203.0.113.66 meta mark set 0x66
        ip6 saddr 2001:db8::66 meta mark set 0x66
        ct state established accept
        tcp dport != { 21, 22 } drop
        meta mark 0x66 drop
      }
      chain forward { type filter hook forward priority 0; policy drop; }
    }";
    bans_by_mark: Opens, "table inet t {
      chain pre { type filter hook prerouting priority -150; policy accept;
        ip saddr 203.0.113.66 meta mark set 0x66
        ip6 saddr 2001:db8::66 meta mark set 0x66
      }
      chain input { type filter hook input priority 0; policy drop;
        ct state established accept
        meta mark 0x66 drop
        tcp dport { 21, 22 } accept
      }
      chain forward { type filter hook forward priority 0; policy drop; }
    }";
    bans_in_a_later_base_chain: Opens, "table inet a {
      chain input { type filter hook input priority 0; policy drop;
        ct state established accept
        tcp dport { 21, 22 } accept
      }
    }
    table inet t {
      chain forward { type filter hook forward priority 0; policy drop; }
      chain late { type filter hook input priority 10; policy accept;
        ip saddr 203.0.113.66 reject
        ip6 saddr { 2001:db8::66, 2001:db8::67 } reject
      }
    }";
    /// Trusted clients behind the block are no bans.
    exceptions_that_let_in_are_no_bans: Opens, "table inet t {
      chain trusted { accept; }
      chain input { type filter hook input priority 0; policy accept;
        ip saddr 203.0.113.66 drop
        ip6 saddr 2001:db8::66 drop
        ct state established accept
        tcp dport != { 21, 22 } drop
        ip saddr 10.0.0.0/8 accept
        ip saddr 192.0.2.0/24 jump trusted
        ip saddr vmap { 192.0.2.7 : accept }
      }
      chain forward { type filter hook forward priority 0; policy drop; }
    }";
    /// Later packets may say "push" or not: either way they have flags.
    packets_without_flags: Opens, "table inet t {
      chain input { type filter hook input priority 0; policy drop;
        ip saddr 203.0.113.66 drop
        ip6 saddr 2001:db8::66 drop
        tcp flags & (fin|syn|rst|psh|ack|urg) < 0x1 drop
        tcp flags & (fin|syn|rst|psh|ack|urg) == fin|psh|urg drop
        ct state established accept
        tcp dport { 21, 22 } accept
      }
      chain forward { type filter hook forward priority 0; policy drop; }
    }";
    /// A second jump into the chain, for banned clients only.
    a_chain_shared_with_a_ban: Opens, "table inet t {
      chain deny { limit rate 5/minute log; drop; }
      chain input { type filter hook input priority 0; policy accept;
        ct state established accept
        ip saddr 203.0.113.66 goto deny
        ip6 saddr 2001:db8::66 goto deny
        tcp dport { 21, 22 } accept
        iif != \"lo\" goto deny
      }
      chain forward { type filter hook forward priority 0; policy drop; }
    }";
    blocked_before_routing: Opens, "table inet t {
      chain early { type filter hook prerouting priority -150; policy accept;
        ip saddr 203.0.113.66 drop
        ip6 saddr 2001:db8::66 drop
        ct state established accept
        tcp dport { 21, 22 } accept
        tcp dport 1024-65535 counter drop
      }
    }";
    /// Banned from the services by the chain that everybody else is sent through.
    only_the_rest_is_sent_on: Refuses("sources"), "table inet t {
      chain rest { ct state established accept; tcp dport 21 accept; }
      chain input { type filter hook input priority 0; policy drop;
        ip saddr vmap { 203.0.113.66 : continue, * : jump rest }
        ip6 saddr != 2001:db8::66 jump rest
      }
      chain forward { type filter hook forward priority 0; policy drop; }
    }";
}

/// What became of a host after `sync` when somebody else went on editing: the next `sync` sees to it.
#[track_caller]
fn later(ruleset: &str, edit: &str, fate: Fate) {
    let world = World::with_inside();
    world.load(ruleset);
    world.want(FIRST.0, FIRST.1);
    world.pasvsync(&["sync"]).expect(0);
    let text = world.exact().text;
    let handle = text
        .lines()
        .find(|line| line.contains("pasvsync"))
        .and_then(|line| line.rsplit(' ').next())
        .unwrap_or_default();
    world.load(&edit.replace("OWN", handle));
    let sync = world.pasvsync(&["sync"]);
    let text = world.exact().text;
    let nobody = [BTreeSet::new(), BTreeSet::new()];
    assert_eq!(shut(&world), nobody, "{sync:?}\n{text}");
    match fate {
        Opens => {
            sync.expect(0);
            let ports = inside(FIRST);
            for from in CLIENT {
                let reached = world.reached(from, &ports, |_| true);
                assert_eq!(reached, ports.into(), "{from}\n{text}");
            }
            assert!(text.matches("pasvsync").count() < 2, "{text}");
        }
        Refuses(word) => {
            let sync = sync.expect(1);
            assert!(sync.stdout.contains(word), "{word} is not named: {sync:?}");
        }
    }
    let after = world.exact();
    let again = world.pasvsync(&["sync"]);
    assert!(!again.changed(), "{again:?}");
    assert_eq!(world.exact(), after);
    world.pasvsync(&["remove"]).expect(0);
    assert_eq!(world.exact().text.matches("pasvsync").count(), 0);
}

macro_rules! edited {
    ($($(#[$attribute:meta])* $name:ident: $ruleset:expr, $edit:expr, $fate:expr;)*) => {$(
        #[test]
        $(#[$attribute])*
        fn $name() {
            if ready(&["nft", "ip"]) {
                later($ruleset, $edit, $fate);
            }
        }
    )*};
}

const DENY: &str = "table inet t {
    chain services { tcp dport { 21, 22 } accept; }
    chain input { type filter hook input priority 0; policy drop;
        ct state established accept
        jump services
    }
    chain forward { type filter hook forward priority 0; policy drop; }
}";
/// The accept stands in the sub-chain.
const DEEP: &str = "table inet t {
    chain bans { ip saddr 203.0.113.66 drop; ip6 saddr 2001:db8::66 drop; }
    chain services { tcp dport { 21, 22 } accept; drop; }
    chain input { type filter hook input priority 0; policy drop;
        ct state established accept
        jump bans
        jump services
    }
    chain forward { type filter hook forward priority 0; policy accept; ct state established accept; tcp dport 50000-50100 drop; }
}";

edited! {
    a_ban_is_appended: DENY, "table inet t { chain input {
        ip saddr 203.0.113.66 drop
        ip6 saddr 2001:db8::66 drop
    }
    }", Opens;
    a_jump_to_bans_is_appended: DENY, "table inet t {
        chain bans { ip saddr 203.0.113.66 drop; ip6 saddr 2001:db8::66 drop; }
        chain input { jump bans; }
    }", Opens;
    our_rule_is_moved_behind_a_drop: DEEP, "delete rule inet t services handle OWN
        add rule inet t services tcp dport 50000-50100 accept comment \"pasvsync\"", Opens;
    our_rule_is_doubled: DEEP, "add rule inet t services tcp dport 50000-50100 accept comment \"pasvsync\"", Opens;
    our_rule_is_narrowed: DEEP, "replace rule inet t services handle OWN tcp dport 50000-50010 accept comment \"pasvsync\"", Opens;
    our_rule_is_widened: DEEP, "replace rule inet t services handle OWN tcp dport 50000-60000 accept comment \"pasvsync\"", Opens;
    our_rule_lets_anything_in: DEEP, "replace rule inet t services handle OWN accept comment \"pasvsync\"", Opens;
    our_rule_lets_one_in: DEEP, "replace rule inet t services handle OWN ip saddr 192.0.2.1 tcp dport 50000-50100 accept comment \"pasvsync\"", Opens;
    our_rule_drops: DEEP, "replace rule inet t services handle OWN tcp dport 50000-50100 drop comment \"pasvsync\"", Opens;
    our_rule_is_udp: DEEP, "replace rule inet t services handle OWN udp dport 50000-50100 accept comment \"pasvsync\"", Opens;
    our_rule_is_for_one_address: DEEP, "replace rule inet t services handle OWN ip daddr 203.0.113.1 tcp dport 50000-50100 accept comment \"pasvsync\"", Opens;
    our_rule_stands_before_the_bans: DEEP, "delete rule inet t services handle OWN
        insert rule inet t input tcp dport 50000-50100 accept comment \"pasvsync\"", Opens;
    our_rule_stands_in_forwarding: DEEP, "delete rule inet t services handle OWN
        insert rule inet t forward tcp dport 50000-50100 accept comment \"pasvsync\"", Opens;
    our_rule_comes_twice_into_forwarding: DEEP, "insert rule inet t forward tcp dport 50000-50100 accept comment \"pasvsync\"", Opens;
    forwarding_comes_to_share_the_chain: DEEP, "insert rule inet t forward jump services
        insert rule inet t forward ct state established accept", Opens;
    the_chain_falls_out_of_use: DEEP, "table inet t {
        chain others { tcp dport { 21, 22 } accept; drop; }
        chain input { type filter hook input priority 0; policy drop;
        }
    }
    flush chain inet t input
    add rule inet t input ct state established accept
    add rule inet t input jump bans
    add rule inet t input jump others", Opens;
    the_firewall_opens_up: DEEP, "insert rule inet t services tcp dport 40000-60000 accept", Opens;
}
