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
