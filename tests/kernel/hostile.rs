//! Rulesets that once fooled the evaluator, or look as if they could: one each, as small as it gets. Real connections
//! decide: what is judged open must connect, what is judged closed must not.

use super::judge::compare;
use crate::support::ready;
use crate::support::world::World;

/// One test a ruleset; the ports are those on both sides of every change of the verdict, and the usual ones.
macro_rules! agrees {
    ($($(#[$attribute:meta])* $name:ident: $ruleset:expr;)*) => {$(
        #[test]
        $(#[$attribute])*
        fn $name() {
            if !ready(&["nft", "ip"]) {
                return;
            }
            let world = World::new();
            world.load($ruleset);
            agree(&world);
        }
    )*};
}

#[track_caller]
fn agree(world: &World) {
    if let Err(message) = compare(world, &[21, 80, 50_000, 50_050, 50_100].into()) {
        panic!("{message}");
    }
}

agrees! {
    /// What a limit accepts is tracked, though the next rule would not have it so.
    a_limit_before_notrack: "table inet t { chain raw { type filter hook prerouting priority -300;
        limit rate 10000/second burst 10000 packets accept
        notrack
    }
    chain c { type filter hook input priority 0; policy drop;
        ct state new,established accept
    }
    }";
    /// The first packet goes untracked, so that nat takes the second one.
    nat_takes_the_second_packet: "table inet t { chain raw { type filter hook prerouting priority -300;
        tcp flags & (fin|syn|rst|ack) == syn notrack
    }
    chain n { type nat hook prerouting priority -100;
        tcp dport 50000 redirect to :22
    }
    }";
    /// A rate beside another condition is no exception: what does not return is dropped.
    a_rate_and_a_doubt: "table inet t { chain c { type filter hook input priority 0;
        tcp sport 49999 limit rate 10000/second burst 10000 packets return
        drop
    }
    }";
    /// Before connection tracking there is no mark to copy: the rule ends, and never returns.
    no_connection_mark_yet: "table inet t { chain c { type filter hook output priority -300;
        meta mark set ct mark return
        limit rate 10000/second burst 10000 packets drop
    }
    chain d { type filter hook forward priority 0; ct state invalid counter; }
    }";
    /// `continue` ends nothing, not even the rule.
    continue_is_no_end: "table inet t { chain c { type filter hook input priority 0;
        tcp dport 50000 continue drop
    }
    }";
    /// A verdict map that says `continue` leaves the rest of the rule to decide.
    a_map_that_continues: "table inet t { chain c { type filter hook input priority 0;
        tcp dport vmap { 50000 : continue, 50050 : accept } drop
    }
    }";
    /// The packet goes to another port, behind the back of connection tracking.
    a_port_that_is_rewritten: "table inet t { chain r { type filter hook prerouting priority -300;
        tcp dport 50000 tcp dport set 22
    }
    }";
    /// Everything else is dropped, what continues or comes back is not.
    a_map_for_everything_else: "table inet t { chain back { counter; }
    chain c { type filter hook input priority 0;
        ct state established accept
        tcp dport vmap { 50000 : continue, 50050 : jump back, * : drop }
    }
    }";
    /// The registries hold a /12 each: a twelfth of the IPv6 Internet is not narrow.
    wide_ipv6_prefixes: "table inet t { chain c { type filter hook input priority 0;
        ip6 saddr 2000::/12 tcp dport 50000 drop
        ip6 saddr { 2000::/12, 2400::/12, 2600::/12, 2800::/12, 2a00::/12, 2c00::/12 } tcp dport 50050 drop
    }
    }";
    /// A part of the address is no narrow interval of it.
    a_masked_address_range: "table inet t { chain c { type filter hook input priority 0;
        ip saddr & 0.0.0.255 <= 0.0.0.250 tcp dport 50000 drop
    }
    }";
    /// The packet puts its own address into the set that the next rule looks at.
    a_source_that_is_learned: "table inet t { set seen { type ipv4_addr; flags dynamic; size 99; }
      set seen6 { type ipv6_addr; flags dynamic,timeout; timeout 1m; size 99; }
      chain c { type filter hook input priority 0;
        tcp dport 50000 add @seen { ip saddr }
        tcp dport 50050 update @seen6 { ip6 saddr }
        tcp dport 50000 ip saddr @seen drop
        tcp dport 50050 ip6 saddr @seen6 drop
    }
    }";
    a_port_that_is_learned: "table inet t { set seen { type inet_service; flags dynamic; size 99; }
      chain c { type filter hook input priority 0;
        tcp dport @seen drop
        tcp dport 50000 add @seen { tcp dport }
    }
    }";
    /// The reply is looked up in another zone and belongs to no connection.
    a_zone_of_one_direction: "table inet t {
      chain p { type filter hook prerouting priority -300; tcp dport 50000 ct zone set 5; }
      chain c { type filter hook input priority 0; policy drop;
        ct state established accept
        ct state new tcp dport 50000-50050 accept
    }
    }";
    /// Up to none: nobody comes back.
    a_count_of_nothing: "table inet t { chain c { type filter hook input priority 0;
        jump counted
    }
    chain counted {
        tcp dport 50000 ct count 0 return
        tcp dport 50000 drop
    }
    }";
    /// More than none: the first connection is too many.
    a_count_over_nothing: "table inet t { chain c { type filter hook input priority 0;
        tcp dport 50000 ct count over 0 drop
    }
    }";
    /// The bit of a hardware address that says group or station.
    a_bit_of_the_hardware_address: "table inet t { chain c { type filter hook input priority 0;
        tcp dport 50000 ether saddr & 01:00:00:00:00:00 == 00:00:00:00:00:00 drop
        tcp dport 50050 ether saddr 00:00:00:00:00:00-7f:ff:ff:ff:ff:ff drop
    }
    }";
    /// Address translation takes place at its own priority, whatever the chain says.
    nat_has_its_own_priority: "table inet t {
      chain m { type filter hook prerouting priority -50; meta mark set 1; }
      chain n { type nat hook prerouting priority 0; meta mark 1 accept; tcp dport 50000 redirect to :22; }
    }";
    /// What is not tracked is not translated.
    untracked_passes_nat_by: "table inet t {
      chain r { type filter hook prerouting priority -300; tcp dport 50000 notrack; tcp dport 50000 accept; }
      chain o { type filter hook output priority -300; tcp sport 50000 notrack; }
      chain n { type nat hook prerouting priority -100; policy drop; tcp dport 50050 accept; }
      chain f { type filter hook forward priority 0; ct state invalid counter; }
    }";
    /// A port within the new range keeps its number.
    redirected_into_a_range: "table inet t { chain n { type nat hook prerouting priority -100;
        tcp dport 50000-50100 redirect to :50000-50050
    }
    }";
    a_conditional_catch_all: "table inet t {
      set s { type inet_service; limit rate 1/day burst 1 packets; elements = { * limit rate 1/day burst 1 packets }; }
      chain c { type filter hook input priority 0; policy drop;
        ct state established accept
        tcp dport @s accept
    }
    }";
    at_the_priority_of_connection_tracking: "table inet t {
      chain c { type filter hook prerouting priority -200; policy accept;
        tcp dport 50000 ct state new,established accept
        tcp dport 50000 drop
        tcp dport 50050 ct state invalid drop
    }
    }";
    many_narrow_sources: &slash_eights();
    /// Beyond a rate is an exception, unless the rate is next to nothing.
    a_limit_that_is_next_to_nothing: "table inet t { chain c { type filter hook input priority 0;
        tcp dport 50000 ct state new limit rate over 1/day burst 1 packets drop
        tcp dport 50050 ct state new limit rate 1/day burst 1 packets return
        tcp dport 50050 ct state new drop
    }
    }";
    a_named_object_limit: "table inet t { limit l { rate over 1/day burst 1 packets }
      chain c { type filter hook input priority 0; tcp dport 50000 limit name l drop;; }
    }";
    /// The opening packets have nothing behind their headers: what writes there ends the rule.
    a_write_behind_the_headers: "table inet t { chain c { type filter hook input priority 0; policy drop;
        ct state established accept
        tcp dport 50000-50010 @ih,0,8 set 0x1 accept
        tcp dport 50050 accept
    }
    }";
    flags_that_later_packets_have: "table inet t { chain c { type filter hook input priority 0; policy drop;
        tcp flags == syn accept
        tcp dport 50000 tcp flags == ack accept
        tcp dport 50050 tcp flags & (ack|psh) == ack accept
    }
    }";
}

/// A rule for each /8: none is wide, all together are everything.
fn slash_eights() -> String {
    let rules: Vec<String> = (1..224)
        .map(|first| format!("ip saddr {first}.0.0.0/8 tcp dport 50000 drop\n"))
        .collect();
    format!(
        "table inet t {{ chain c {{ type filter hook input priority 0;\n{}}}
}}",
        rules.concat()
    )
}

/// What the port of a bridge drops never reaches the bridge.
#[test]
fn ingress_of_a_bridges_port() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    let world = World::new();
    let batch = "link add br0 address 02:00:00:00:00:01 type bridge
        addr flush dev eth0
        link set eth0 master br0
        link set br0 up
        addr add 203.0.113.1/24 dev br0
        addr add 2001:db8::1/64 dev br0 nodad
        neigh replace 203.0.113.7 nud permanent lladdr 02:00:00:00:00:07 dev br0
        neigh replace 2001:db8::7 nud permanent lladdr 02:00:00:00:00:07 dev br0
        ";
    let output = world.command("ip", &["-batch", "-"], batch);
    assert!(output.status.success(), "{output:?}");
    agree(&world);
    world.load(
        "table netdev t { chain c { type filter hook ingress device eth0 priority 0;
            tcp dport 50000 drop
        }
        }",
    );
    agree(&world);
}
