//! Lists beside `nf_tables` that iptables looks into: ipsets of every kind, and those of `recent`.

use firewall::model::reach::Reach::{self, Closed, Open, Restricted, Unknown};

use super::judge::{compare, verdicts};
use crate::support::ready;
use crate::support::world::World;

/// One test a ruleset: the verdicts on port 50000, IPv4 first, the ipsets as `ipset restore` takes them, and the rules of
/// `INPUT` for both families; `4 ` or `6 ` before a rule makes it one for a family alone.
macro_rules! judged {
    ($($(#[$attribute:meta])* $name:ident: $verdicts:expr, $sets:expr, $rules:expr;)*) => {$(
        #[test]
        $(#[$attribute])*
        fn $name() {
            for load in [World::load_iptables, World::load_legacy] {
                judge($verdicts, &$sets, $rules, load);
            }
        }
    )*};
}

#[track_caller]
fn judge(expected: [Reach; 2], sets: &str, rules: &str, load: fn(&World, &str, &str)) {
    if !ready(&["ipset", "iptables-nft-restore", "iptables-legacy-restore"]) {
        return;
    }
    let world = World::new();
    let restored = world.command("ipset", &["restore"], sets);
    if restored.stderr.contains("set type not supported") {
        return crate::support::not_in_this_kernel(&restored.stderr);
    }
    restored.expect_success("ipset restore");
    let [v4, v6] = ["4", "6"].map(|family| {
        let lines = rules
            .lines()
            .map(str::trim)
            .filter_map(|line| match line.split_once(' ') {
                Some((of @ ("4" | "6"), rule)) => (of == family).then_some(rule),
                _ => Some(line),
            });
        let lines: Vec<String> = lines.map(|line| format!("-A INPUT {line}\n")).collect();
        format!(
            "*filter\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n{}COMMIT\n",
            lines.concat().replace("-A INPUT -A", "-A")
        )
    });
    load(&world, &v4, &v6);
    let maps = verdicts(&world).expect("the ruleset is read");
    compare(&world, &[21, 50_000].into()).expect("the verdicts agree with connections");
    let found = [0, 1].map(|family: usize| maps[family].reach(50_000));
    assert_eq!(found, expected.map(Some), "{maps:?}");
}

/// Lines that put nine tenths of all addresses into a set, more than a page of them.
fn most(set: &str) -> String {
    let part = 0xe000_0000_u32 / 3500;
    let ranges = (0..3500_u32).filter(|index| index % 10 != 3);
    let lines = ranges.map(|index| {
        let first = std::net::Ipv4Addr::from(index * part + 1);
        let last = std::net::Ipv4Addr::from((index + 1) * part);
        format!("add {set} {first}-{last}\n")
    });
    lines.collect()
}

/// Lines that put all addresses into a set, more than a page of them.
fn everybody(set: &str) -> String {
    let lines = (0..4096_u32)
        .map(|index| format!("add {set} {}/12\n", std::net::Ipv4Addr::from(index << 20)));
    lines.collect()
}

/// Lines that put a few addresses of nobody into a set, more than a page of them.
fn nobody(set: &str) -> String {
    let lines = (0..3000_u32).map(|index| {
        format!(
            "add {set} {}\n",
            std::net::Ipv4Addr::from(0x0a00_0000 + index * 7)
        )
    });
    lines.collect()
}

const BANS: &str = "create bans hash:ip
    create bans6 hash:ip family inet6
    add bans 203.0.113.66
    add bans6 2001:db8::66
";
const EVERYBODY: &str = "create all hash:net
    add all 0.0.0.0/1
    add all 128.0.0.0/1
    create all6 hash:net family inet6
    add all6 ::/1
    add all6 8000::/1
";

judged! {
    ipset_of_few: [Open, Open], BANS,
        "4 -m set --match-set bans src -j DROP
         6 -m set --match-set bans6 src -j DROP";
    ipset_of_few_and_an_accept: [Closed, Closed], BANS,
        "-m state --state ESTABLISHED -j ACCEPT
         4 -m set --match-set bans src -j ACCEPT
         -j DROP";
    ipset_of_everybody: [Closed, Closed], EVERYBODY,
        "4 -m set --match-set all src -j DROP
         6 -m set --match-set all6 src -j DROP";
    ipset_of_nobody_inverted: [Closed, Closed], BANS,
        "4 -m set ! --match-set bans src -j DROP
         6 -m set ! --match-set bans6 src -j DROP";
    ipset_of_everybody_inverted: [Open, Open], EVERYBODY,
        "4 -m set ! --match-set all src -j DROP
         6 -m set ! --match-set all6 src -j DROP";
    ipset_of_everybody_but_some: [Restricted, Open],
        format!("{EVERYBODY} add all 203.0.113.0/24 nomatch\n"),
        "4 -m set --match-set all src -j DROP";
    ipset_of_exceptions: [Open, Open],
        format!("{EVERYBODY} add all 198.51.100.0/24 nomatch\n"),
        "4 -m set --match-set all src --return-nomatch -j DROP";
    ipset_of_many: [Restricted, Open],
        format!("create geo hash:net\n{}", most("geo")),
        "4 -m set --match-set geo src -j DROP";
    ipset_of_many_inverted: [Restricted, Open],
        format!("create geo hash:net\n{}", most("geo")),
        "4 -m set ! --match-set geo src -j DROP";
    ipset_of_many_single_ones: [Open, Open],
        format!("create blocked hash:ip\n{}", nobody("blocked")),
        "4 -m set --match-set blocked src -j DROP";
    ipset_on_the_way_out: [Open, Open],
        format!("create blocked hash:ip\n{}", nobody("blocked")),
        "4 -A OUTPUT -m set --match-set blocked dst -j DROP";
    ipset_of_everybody_on_the_way_out: [Closed, Open], EVERYBODY,
        "4 -A OUTPUT -m set --match-set all dst -j DROP";
    ipset_with_a_mask: [Restricted, Open],
        "create all hash:ip netmask 2\nadd all 64.0.0.0\nadd all 128.0.0.0\nadd all 192.0.0.0\n",
        "4 -m set --match-set all src -j DROP";
    ipset_as_a_bitmap: [Open, Open],
        "create near bitmap:ip range 198.51.100.0/24\nadd near 198.51.100.0/25\n",
        "4 -m set --match-set near src -j DROP";
    ipset_of_local_addresses: [Closed, Open],
        "create mine hash:ip\nadd mine 203.0.113.1\n",
        "4 -m set --match-set mine dst -j DROP";
    ipset_of_ports: [Closed, Closed],
        "create ports bitmap:port range 0-65535\nadd ports 40000-50050\n",
        "-p tcp -m set --match-set ports dst -j DROP";
    ipset_of_ports_let_in: [Open, Open],
        "create ports bitmap:port range 0-65535\nadd ports 50000-50050\nadd ports 50052\n",
        "-m state --state ESTABLISHED -j ACCEPT
         -p tcp -m set --match-set ports dst -j ACCEPT
         -j DROP";
    ipset_of_all_ports: [Closed, Closed],
        "create ports bitmap:port range 0-65535\nadd ports 0-65535\n",
        "-p tcp -m set --match-set ports dst -j DROP";
    ipset_of_networks_and_ports: [Restricted, Open],
        "create both hash:net,port\nadd both 0.0.0.0/1,tcp:50000\nadd both 128.0.0.0/1,tcp:50000\n",
        "4 -m set --match-set both src,dst -j DROP";
    ipset_of_networks_and_other_ports: [Open, Open],
        "create both hash:net,port\nadd both 0.0.0.0/1,udp:50000\nadd both 128.0.0.0/1,tcp:50010\n",
        "4 -m set --match-set both src,dst -j DROP";
    ipset_of_local_addresses_and_ports: [Open, Closed],
        "create mine hash:ip,port\nadd mine 203.0.113.1,tcp:50000-50010\n",
        "-m state --state ESTABLISHED -j ACCEPT
         4 -m set --match-set mine dst,dst -j ACCEPT
         -j DROP";
    ipset_of_networks_and_interfaces: [Closed, Open],
        "create there hash:net,iface\nadd there 0.0.0.0/0,eth0\n",
        "4 -m set --match-set there src,src -j DROP";
    ipset_of_networks_and_other_interfaces: [Open, Open],
        "create there hash:net,iface\nadd there 0.0.0.0/0,eth1\n",
        "4 -m set --match-set there src,src -j DROP";
    ipset_of_hardware: [Open, Open],
        "create cards hash:mac\nadd cards 02:00:00:00:00:09\n",
        "-m set --match-set cards src -j DROP";
    ipset_of_marks: [Closed, Open],
        "create marked hash:ip,mark\nadd marked 203.0.113.1,0\n",
        "4 -m set --match-set marked dst,dst -j DROP";
    ipset_of_three_things: [Restricted, Open],
        "create three hash:ip,port,net\nadd three 203.0.113.1,tcp:50000,0.0.0.0/1\nadd three 203.0.113.1,tcp:50000,128.0.0.0/1\n",
        "4 -m set --match-set three dst,dst,src -j DROP";
    ipset_of_ipsets: [Closed, Closed],
        format!("{BANS}{EVERYBODY} create some list:set\nadd some bans\nadd some all\nadd some all6\n"),
        "-m set --match-set some src -j DROP";
    ipset_of_ipsets_of_many: [Restricted, Open],
        format!("{BANS} create geo hash:net\n{} create some list:set\nadd some bans\nadd some geo\n", most("geo")),
        "-m set --match-set some src -j DROP";
    ipset_of_different_ipsets: [Unknown, Closed],
        format!("{BANS} create ports bitmap:port range 0-65535\nadd ports 50000\ncreate some list:set\nadd some bans\nadd some ports\n"),
        "-m set --match-set some dst -j DROP";
    ipset_with_too_few_ends: [Open, Open],
        "create both hash:net,port\nadd both 0.0.0.0/1,tcp:50000\nadd both 128.0.0.0/1,tcp:50000\n",
        "4 -m set --match-set both src -j DROP";
    ipset_with_too_many_ends: [Closed, Open], EVERYBODY,
        "4 -m set --match-set all src,dst -j DROP";
    ipset_whose_elements_expire: [Restricted, Open],
        "create all hash:net timeout 300\nadd all 0.0.0.0/1\nadd all 128.0.0.0/1\n",
        "4 -m set --match-set all src -j DROP";
    ipset_with_everything_else: [Closed, Open],
        "create all hash:net counters comment skbinfo forceadd\nadd all 0.0.0.0/1 comment a packets 7\nadd all 128.0.0.0/1 skbmark 0x1\n",
        "4 -m set --match-set all src -j DROP";
    ipset_by_packets: [Restricted, Open],
        "create all hash:net counters\nadd all 0.0.0.0/1\nadd all 128.0.0.0/1\n",
        "4 -m set --match-set all src --packets-gt 1 -j DROP";
    /// The rule before puts every client into the set.
    ipset_that_a_rule_fills: [Restricted, Open], "create seen hash:ip\n",
        "4 -p tcp --dport 50000 -j SET --add-set seen src
         4 -p tcp --dport 50000 -m set --match-set seen src -j DROP";
    /// So the opening packet does, and the next one is dropped.
    ipset_that_the_connection_fills: [Restricted, Open], "create seen hash:ip\n",
        "4 -p tcp --dport 50000 -m set --match-set seen src -j DROP
         4 -p tcp --dport 50000 -j SET --add-set seen src";
    ipset_that_a_rule_fills_in_another: [Restricted, Open],
        "create seen hash:ip\ncreate some list:set\nadd some seen\n",
        "4 -p tcp --dport 50000 -j SET --add-set seen src
         4 -p tcp --dport 50000 -m set --match-set some src -j DROP";
    /// A member is gone after a while, though its own elements stay.
    ipset_of_ipsets_that_expire: [Restricted, Restricted],
        "create ports bitmap:port range 50000-50010\nadd ports 50000-50010\n\
         create some list:set timeout 300\nadd some ports timeout 300\n",
        "-m state --state ESTABLISHED -j ACCEPT
         -p tcp -m set --match-set some dst -j ACCEPT
         -j DROP";
    ipset_of_ipsets_that_may_expire: [Open, Open],
        "create ports bitmap:port range 50000-50010\nadd ports 50000-50010\n\
         create some list:set timeout 300\nadd some ports timeout 0\n",
        "-m state --state ESTABLISHED -j ACCEPT
         -p tcp -m set --match-set some dst -j ACCEPT
         -j DROP";
    ipset_of_ipsets_of_all_addresses_that_expire: [Restricted, Open],
        format!("create all hash:net\n{} create some list:set timeout 300\nadd some all\n", everybody("all")),
        "4 -m state --state ESTABLISHED -j ACCEPT
         4 -m set --match-set some src -j ACCEPT
         4 -j DROP";
    ipset_that_a_rule_fills_by_another: [Restricted, Open],
        "create seen hash:ip\ncreate some list:set\nadd some seen\n",
        "4 -p tcp --dport 50000 -j SET --add-set some src
         4 -p tcp --dport 50000 -m set --match-set seen src -j DROP";
    ipset_that_a_rule_fills_by_another_beside_it: [Restricted, Open],
        "create seen hash:ip\ncreate some list:set\nadd some seen\ncreate more list:set\nadd more seen\n",
        "4 -p tcp --dport 50000 -j SET --add-set some src
         4 -p tcp --dport 50000 -m set --match-set more src -j DROP";
    ipset_that_a_rule_empties_by_another: [Restricted, Open],
        "create mine hash:ip,port\nadd mine 203.0.113.1,tcp:50000\ncreate some list:set\nadd some mine\n",
        "4 -p tcp --dport 50000 -j SET --del-set some dst,dst
         4 -m state --state ESTABLISHED -j ACCEPT
         4 -m set --match-set mine dst,dst -j ACCEPT
         4 -j DROP";
    recent_clients: [Restricted, Open], "",
        "4 -p tcp --dport 50000 -m recent --set --name seen
         4 -p tcp --dport 50000 -m recent --rcheck --name seen -j DROP";
    recent_clients_of_before: [Restricted, Open], "",
        "4 -p tcp --dport 50000 -m recent --update --name seen -j DROP
         4 -p tcp --dport 50000 -m recent --set --name seen";
    recent_clients_that_come_twice: [Restricted, Open], "",
        "4 -p tcp --dport 50000 -m recent --set --name seen
         4 -p tcp --dport 50000 -m recent --update --seconds 60 --hitcount 2 --name seen -j DROP";
    recent_clients_that_come_often: [Open, Open], "",
        "4 -p tcp --dport 50000 -m state --state NEW -m recent --set --name seen
         4 -p tcp --dport 50000 -m state --state NEW -m recent --update --seconds 60 --hitcount 20 --name seen -j DROP";
    recent_clients_elsewhere: [Open, Open], "",
        "4 -p tcp --dport 50000 -m recent --set --name seen
         4 -p tcp --dport 50000 -m recent --rcheck --name caught -j DROP";
}
