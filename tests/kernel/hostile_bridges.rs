//! Hosts whose address is on a bridge: rules of the family `bridge` decide about packets that nobody forwards.

use super::judge::{compare, verdicts};
use crate::support::ready;
use crate::support::world::World;
use firewall::model::reach::Reach;

/// The server's address moves from `eth0` to a bridge with that port.
const BRIDGE: &str = "link add br0 address 02:00:00:00:00:01 type bridge
    addr flush dev eth0
    link set eth0 master br0
    link set br0 up
    addr add 203.0.113.1/24 dev br0
    addr add 2001:db8::1/64 dev br0 nodad
    neigh replace 203.0.113.7 nud permanent lladdr 02:00:00:00:00:07 dev br0
    neigh replace 2001:db8::7 nud permanent lladdr 02:00:00:00:00:07 dev br0
    ";

/// It moves to one end of a veth pair, whose other end is a port of the bridge.
const VETH: &str = "link add br0 type bridge
    addr flush dev eth0
    link set eth0 master br0
    link set br0 up
    link add host0 address 02:00:00:00:00:01 type veth peer name port0
    link set port0 master br0
    link set port0 up
    link set host0 up
    addr add 203.0.113.1/24 dev host0
    addr add 2001:db8::1/64 dev host0 nodad
    neigh replace 203.0.113.7 nud permanent lladdr 02:00:00:00:00:07 dev host0
    neigh replace 2001:db8::7 nud permanent lladdr 02:00:00:00:00:07 dev host0
    ";

/// A server whose address is on a bridge.
pub(super) fn bridged() -> World {
    world(BRIDGE)
}

fn world(batch: &str) -> World {
    let world = World::new();
    let output = world.command("ip", &["-batch", "-"], batch);
    assert!(output.status.success(), "{output:?}");
    world
}

/// Whether the bridge shows its packets to the rules of IP, before and behind its own.
fn call_iptables(world: &World, value: &str) {
    for name in ["bridge-nf-call-iptables", "bridge-nf-call-ip6tables"] {
        let path = format!("/proc/sys/net/bridge/{name}");
        // Kernels without br_netfilter are as those that have it switched off.
        let command = format!("test ! -e {path} || echo {value} > {path}");
        let output = world.command("sh", &["-c", &command], "");
        assert!(output.status.success(), "{output:?}");
    }
}

#[track_caller]
fn agree(world: &World) {
    if let Err(message) = compare(world, &[21, 80, 50_000, 50_050, 50_100].into()) {
        panic!("{message}");
    }
}

/// One test a ruleset, with and without `br_netfilter`; the verdict on port 50000 is given, IPv4 first.
macro_rules! agrees {
    ($($(#[$attribute:meta])* $name:ident: $batch:expr, $verdicts:expr, $ruleset:expr;)*) => {$(
        #[test]
        $(#[$attribute])*
        fn $name() {
            if !ready(&["nft", "ip"]) {
                return;
            }
            let world = world($batch);
            agree(&world);
            world.load($ruleset);
            for value in ["0", "1"] {
                call_iptables(&world, value);
                agree(&world);
                let maps = verdicts(&world).expect("the ruleset is read");
                let found = [0, 1].map(|family: usize| maps[family].reach(50_000));
                assert_eq!(found, $verdicts.map(Some), "{maps:?}");
            }
        }
    )*};
}

use Reach::{Closed, Open, Restricted, Unknown};

agrees! {
    a_drop_on_the_way_to_the_bridge: BRIDGE, [Closed, Closed], "table bridge t {
        chain c { type filter hook input priority -200; tcp dport 50000 drop; }
    }";
    a_policy_of_the_bridge: BRIDGE, [Closed, Closed], "table bridge t {
        chain c { type filter hook input priority -200; policy drop;
            ether type arp accept
            icmpv6 type nd-neighbor-solicit accept
            tcp dport 21 accept
            meta protocol ip6 tcp dport 50050-50100 accept
            ip saddr 192.0.2.0/24 accept
        }
    }";
    before_the_bridge_decides_where: BRIDGE, [Closed, Open], "table bridge t {
        chain c { type filter hook prerouting priority -300; iifname eth0 ip protocol tcp tcp dport 50000-50050 drop; }
    }";
    by_the_bridges_own_name: BRIDGE, [Open, Open], "table bridge t {
        chain c { type filter hook input priority -200; iifname br0 tcp dport 50000 drop; }
    }";
    the_reply_leaves_by_a_port: BRIDGE, [Closed, Closed], "table bridge t {
        chain o { type filter hook output priority -200; tcp sport 50000 drop; }
        chain p { type filter hook postrouting priority 300; oifname eth0 tcp sport 50050 drop; }
    }";
    forwarding_is_not_met: BRIDGE, [Open, Open], "table bridge t {
        chain f { type filter hook forward priority -200; policy drop; }
    }";
    /// Which of the two comes first depends on a kernel parameter.
    a_mark_of_the_bridge: BRIDGE, [Restricted, Restricted], "table bridge t {
        chain c { type filter hook prerouting priority 10; tcp dport 50000 meta mark set 7; }
    }
    table inet i {
        chain p { type filter hook prerouting priority 0; meta mark 7 drop; }
    }";
    a_mark_that_the_bridge_sees: BRIDGE, [Restricted, Restricted], "table inet i {
        chain p { type filter hook prerouting priority 0; tcp dport 50000 meta mark set 7; }
    }
    table bridge t {
        chain c { type filter hook input priority 10; meta mark 7 drop; }
    }";
    /// Behind a veth pair the bridge forwards what is for this host.
    a_bridge_on_the_way: VETH, [Unknown, Unknown], "table bridge t {
        chain f { type filter hook forward priority 0; tcp dport 50000 drop; }
    }";
}

/// Nobody knows which of two ports a client is behind.
#[test]
fn two_ports() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    let world = world(BRIDGE);
    let more = "link add other type veth peer name far
        link set other master br0
        link set other up
        link set far up
        ";
    let output = world.command("ip", &["-batch", "-"], more);
    assert!(output.status.success(), "{output:?}");
    world.load(
        "table bridge t { chain c { type filter hook input priority -200;
            iifname eth0 tcp dport 50000 drop
            iifname other tcp dport 50050 drop
            tcp dport 50100 drop
        }
        }",
    );
    agree(&world);
    let maps = verdicts(&world).expect("the ruleset is read");
    for map in maps {
        assert_eq!(map.reach(50_000), Some(Restricted));
        assert_eq!(map.reach(50_050), Some(Restricted));
        assert_eq!(map.reach(50_100), Some(Closed));
        assert_eq!(map.reach(21), Some(Open));
    }
}

/// Without a bridge its rules concern nobody.
#[test]
fn rules_without_a_bridge() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    let world = World::new();
    world.load("table bridge t { chain c { type filter hook input priority 0; policy drop; }\n}");
    agree(&world);
}

/// A port's own address is reached by the bridge.
#[test]
fn an_address_on_a_port() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    let world = World::new();
    let batch = "link add br0 address 02:00:00:00:00:01 type bridge
        link set eth0 master br0
        link set br0 up
        neigh replace 203.0.113.7 nud permanent lladdr 02:00:00:00:00:07 dev eth0
        ";
    let output = world.command("ip", &["-batch", "-"], batch);
    assert!(output.status.success(), "{output:?}");
    world.load(
        "table inet t { chain c { type filter hook input priority 0;
            iifname br0 tcp dport 50000 drop
            iifname eth0 tcp dport 50050 drop
        }
        }",
    );
    agree(&world);
}
