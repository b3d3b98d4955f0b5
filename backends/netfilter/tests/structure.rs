//! Tables, chains, sets, interfaces, and how the reader asks for them.

use std::fmt::Write as _;
use std::process::Command;

use netlink_sys::protocols::NETLINK_ROUTE;

use super::{in_namespace, load, ruleset, run, with_table};
use crate::error::ErrorKind;
use crate::model::ruleset::{
    ChainKind, ElementKey, Elements, Filter, Hook, Policy, TableFamily, Uncertainty, Verdict,
};
use crate::netfilter::netlink::{Channel, dump_route, is_not_supported};
use crate::netfilter::{Scope, Socket};

#[test]
fn base_chains_of_every_hook_type_and_policy() {
    in_namespace(|| {
        let hooks = [
            ("prerouting", Hook::Prerouting),
            ("input", Hook::Input),
            ("forward", Hook::Forward),
            ("output", Hook::Output),
            ("postrouting", Hook::Postrouting),
        ];
        let families = [
            ("ip", TableFamily::Ip),
            ("ip6", TableFamily::Ip6),
            ("inet", TableFamily::Inet),
        ];
        let mut text = String::new();
        for (family, _) in families {
            writeln!(text, "table {family} t {{ chain plain {{ }}").unwrap();
            for (hook, _) in hooks {
                for policy in ["accept", "drop"] {
                    writeln!(text, "chain {hook}-{policy} {{ type filter hook {hook} priority -7; policy {policy}; }}").unwrap();
                }
            }
            writeln!(
                text,
                "chain nat {{ type nat hook prerouting priority 2147483647; }}"
            )
            .unwrap();
            writeln!(
                text,
                "chain route {{ type route hook output priority -2147483648; }}\n}}"
            )
            .unwrap();
        }
        load(&text);
        let ruleset = ruleset(Scope::Everything);
        for (name, family) in families {
            let table = ruleset.table(Filter::Nftables, family, "t").unwrap();
            assert!(table.chain("plain").unwrap().base.is_none(), "{name}");
            for (name, hook) in hooks {
                for (word, policy) in [("accept", Policy::Accept), ("drop", Policy::Drop)] {
                    let chain = table.chain(&format!("{name}-{word}")).unwrap();
                    let base = chain.base.as_ref().unwrap();
                    assert_eq!((base.hook, base.policy, base.priority), (hook, policy, -7));
                    assert_eq!(base.kind, ChainKind::Filter);
                    assert!(base.devices.is_empty());
                }
            }
            let base = |name| table.chain(name).unwrap().base.as_ref().unwrap();
            assert_eq!(
                (base("nat").kind, base("nat").priority),
                (ChainKind::Nat, i32::MAX)
            );
            assert_eq!(
                (base("route").kind, base("route").priority),
                (ChainKind::Route, i32::MIN)
            );
        }
    });
}

#[test]
fn devices_of_ingress_and_egress() {
    in_namespace(|| {
        run(
            Command::new("ip").args(["link", "add", "e0", "type", "veth", "peer", "name", "e1"]),
            "",
        )
        .unwrap();
        load(
            "table netdev n { chain a { type filter hook ingress device e0 priority 0; accept; }\n\
             chain b { type filter hook ingress devices = { e0, e1 } priority 0; policy drop; }\n\
             chain c { type filter hook egress device e1 priority 0; }\n}\n\
             table inet t { chain i { type filter hook ingress device e0 priority 0; }\n}",
        );
        let ruleset = ruleset(Scope::InputPath);
        let netdev = ruleset
            .table(Filter::Nftables, TableFamily::Netdev, "n")
            .unwrap();
        let base = |name: &str| netdev.chain(name).unwrap().base.clone().unwrap();
        assert_eq!(
            (base("a").hook, base("a").devices),
            (Hook::Ingress, vec!["e0".into()])
        );
        assert_eq!(base("b").policy, Policy::Drop);
        assert_eq!(base("b").devices.len(), 2);
        assert_eq!(
            (base("c").hook, base("c").devices),
            (Hook::Egress, vec!["e1".into()])
        );
        let inet = ruleset
            .table(Filter::Nftables, TableFamily::Inet, "t")
            .unwrap();
        let base = inet.chain("i").unwrap().base.clone().unwrap();
        assert_eq!(
            (base.hook, base.devices),
            (Hook::Ingress, vec!["e0".into()])
        );
        assert_eq!(netdev.chain("a").unwrap().rules().len(), 1);
    });
}

#[test]
fn tables_of_one_name_in_two_families_are_kept_apart() {
    in_namespace(|| {
        for family in ["ip", "ip6", "inet"] {
            load(&format!(
                "table {family} filter {{ set s {{ type inet_service; elements = {{ 1 }}\n }}\n\
                 chain INPUT {{ type filter hook input priority 0; tcp dport @s drop comment \"{family}\"\n}}\n}}"
            ));
        }
        load("table arp filter { chain INPUT { type filter hook input priority 0; drop; }\n}");
        for scope in [Scope::Everything, Scope::InputPath] {
            let ruleset = ruleset(scope);
            assert_eq!(ruleset.tables.len(), 3);
            for table in &ruleset.tables {
                let rules = table.chain("INPUT").unwrap().rules();
                assert_eq!(rules.len(), 1);
                assert_eq!(rules[0].comment.as_deref(), Some(table.family.as_str()));
                assert!(
                    matches!(&table.set("s").unwrap().elements, Elements::Read(list) if list.len() == 1)
                );
            }
        }
    });
}

#[test]
fn a_dormant_table_is_told() {
    with_table(
        "table ip t { flags dormant; chain c { type filter hook input priority 0; drop; }\n}"
            .into(),
        |table| {
            assert!(table.dormant);
            assert!(!table.owned);
        },
    );
}

#[test]
fn a_large_first_rule_is_read() {
    in_namespace(|| {
        let tests = "ip saddr != 192.0.2.1 ".repeat(62);
        load(&format!(
            "table ip t {{ chain c {{ type filter hook input priority 0; {tests} drop; }}\n}}"
        ));
        let ruleset = ruleset(Scope::InputPath);
        assert_eq!(
            ruleset.tables[0].chains[0].rules()[0]
                .statements
                .iter()
                .count(),
            63
        );
    });
}

#[test]
fn intervals_end_where_the_kernel_ends_them() {
    let text = "table ip t {
        set open { type inet_service; flags interval; elements = { 0-5, 7, 9-10, 11-12, 60000-65535 }
        }
        set star { type inet_service; flags interval; elements = { 5-9, * }
        }
        set wide { type ipv4_addr; flags interval; elements = { 0.0.0.0/1, 128.0.0.0/1 }
        }
        chain c { type filter hook input priority 0; tcp dport @open accept; tcp dport @star drop; ip daddr @wide drop; }
    }";
    with_table(text.into(), |table| {
        let keys = |name: &str| match &table.set(name).unwrap().elements {
            Elements::Read(elements) => {
                elements.iter().map(|element| element.key.clone()).collect()
            }
            Elements::Addresses { .. } | Elements::NotRead => Vec::new(),
        };
        let range = |first: u16, last: u16| {
            ElementKey::Range(first.to_be_bytes().to_vec(), last.to_be_bytes().to_vec())
        };
        let single = |port: u16| ElementKey::Single(port.to_be_bytes().to_vec());
        assert_eq!(
            keys("open"),
            [
                range(0, 5),
                single(7),
                range(9, 10),
                range(11, 12),
                range(60000, 65535)
            ]
        );
        assert_eq!(keys("star"), [range(5, 9), ElementKey::CatchAll]);
        assert_eq!(
            keys("wide"),
            [
                ElementKey::Range(vec![0, 0, 0, 0], vec![127, 255, 255, 255]),
                ElementKey::Range(vec![128, 0, 0, 0], vec![255, 255, 255, 255]),
            ]
        );
    });
}

#[test]
fn concatenations_of_intervals_have_two_keys() {
    let text = "table ip t {
        set s { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/8 . 1000-2000, 192.0.2.1 . 80 }
        }
        chain c { type filter hook input priority 0; ip saddr . tcp dport @s accept; }
    }";
    with_table(text.into(), |table| {
        let set = table.set("s").unwrap();
        assert_eq!(set.key_fields, [4, 2]);
        let Elements::Read(elements) = &set.elements else {
            panic!("not read");
        };
        let mut keys: Vec<&ElementKey> = elements.iter().map(|element| &element.key).collect();
        keys.sort_by_key(|key| matches!(key, ElementKey::Single(_)));
        assert_eq!(
            keys,
            [
                &ElementKey::Range(
                    vec![10, 0, 0, 0, 3, 232, 0, 0],
                    vec![10, 255, 255, 255, 7, 208, 0, 0]
                ),
                &ElementKey::Single(vec![192, 0, 2, 1, 0, 80, 0, 0]),
            ]
        );
    });
}

#[test]
fn elements_carry_their_verdicts_and_conditions() {
    let text = "table ip t {
        map m { type inet_service : verdict; flags interval; elements = { 22 : accept, 80-90 : jump x }
        }
        set l { type inet_service; limit rate 5/second; elements = { 22 limit rate 5/second }
        }
        set n { type inet_service; counter; elements = { 22 counter }
        }
        chain x { }
        chain c { type filter hook input priority 0; tcp dport vmap @m; tcp dport @l accept; tcp dport @n accept; }
    }";
    with_table(text.into(), |table| {
        let elements = |name: &str| match &table.set(name).unwrap().elements {
            Elements::Read(elements) => elements.clone(),
            Elements::Addresses { .. } | Elements::NotRead => Vec::new(),
        };
        assert!(table.set("m").unwrap().verdict_map);
        let verdicts: Vec<_> = elements("m")
            .into_iter()
            .map(|element| element.verdict)
            .collect();
        assert_eq!(
            verdicts,
            [Some(Verdict::Accept), Some(Verdict::Jump("x".into()))]
        );
        assert_eq!(elements("l")[0].uncertainty, Some(Uncertainty::Rate));
        assert_eq!(elements("n")[0].uncertainty, None);
    });
}

#[test]
fn large_sets_of_remote_addresses_are_left() {
    in_namespace(|| {
        let mut elements = String::new();
        for number in 0..5000_u32 {
            write!(
                elements,
                "{}, ",
                std::net::Ipv4Addr::from(0x0a00_0000 + 2 * number)
            )
            .unwrap();
        }
        load(&format!(
            "table ip t {{ set bans {{ type ipv4_addr; elements = {{ {elements} }}\n }}\n\
             set nets {{ type ipv4_addr; flags interval; elements = {{ {elements} }}\n }}\n\
             set few {{ type ipv4_addr; elements = {{ 192.0.2.1 }}\n }}\n\
             set pairs {{ type ipv4_addr . inet_service; elements = {{ 192.0.2.1 . 80 }}\n }}\n\
             set unused {{ type inet_service; elements = {{ 80 }}\n }}\n\
             chain c {{ type filter hook input priority 0; ip saddr @bans drop; ip saddr @nets drop; ip saddr @few drop\n\
             ip saddr . tcp dport @pairs drop\n}}\n}}"
        ));
        for scope in [Scope::Everything, Scope::InputPath] {
            let ruleset = ruleset(scope);
            let count = |name: &str| match &ruleset.tables[0].set(name).unwrap().elements {
                Elements::Read(elements) => Some(elements.len()),
                Elements::Addresses { .. } | Elements::NotRead => None,
            };
            let counts = ["bans", "nets", "few", "pairs", "unused"].map(count);
            assert_eq!(counts, [None, None, Some(1), Some(1), None]);
        }
    });
}

#[test]
fn interfaces_have_their_addresses() {
    in_namespace(|| {
        for arguments in [
            "link set lo up",
            "link add e0 type veth peer name e1",
            "link set e0 up group 7",
            "addr add 192.0.2.1/24 dev e0",
            "addr add 198.51.100.1 peer 198.51.100.2/32 dev e0",
            "addr add 2001:db8::1/64 dev e0 nodad",
        ] {
            run(Command::new("ip").args(arguments.split(' ')), "").unwrap();
        }
        let interfaces = crate::netfilter::interfaces().unwrap();
        let interface = |name: &str| {
            interfaces
                .iter()
                .find(|interface| interface.name == name)
                .unwrap()
        };
        assert!(interface("lo").loopback && interface("lo").up);
        assert_eq!(interface("lo").hardware_type, 772);
        let ethernet = interface("e0");
        assert!(!ethernet.loopback && ethernet.up && !interface("e1").up);
        assert_eq!((ethernet.hardware_type, ethernet.group), (1, 7));
        for address in ["192.0.2.1", "198.51.100.1", "2001:db8::1"] {
            assert!(
                ethernet.addresses.contains(&address.parse().unwrap()),
                "{address}"
            );
        }
        assert!(ethernet.index > 0);
    });
}

#[test]
fn an_empty_namespace_reads_as_nothing() {
    in_namespace(|| {
        let ruleset = ruleset(Scope::InputPath);
        assert!(ruleset.tables.is_empty());
        assert_eq!(ruleset.interfaces.len(), 1);
        assert_eq!(
            ruleset.generation,
            Some(Socket::open().unwrap().generation().unwrap())
        );
    });
}

#[test]
fn every_change_raises_the_generation() {
    in_namespace(|| {
        let mut socket = Socket::open().unwrap();
        let before = socket.generation().unwrap();
        load("table ip t { }");
        assert_ne!(socket.generation().unwrap(), before);
    });
}

#[test]
fn a_ruleset_that_changes_meanwhile_is_read_again() {
    in_namespace(|| {
        let rules = "tcp dport 1 drop\n".repeat(2000);
        load(&format!(
            "table ip t {{ chain c {{ type filter hook input priority 0;\n{rules}\n}}\n}}"
        ));
        let writer = std::thread::spawn(|| {
            for number in 0..20 {
                load(&format!("add rule ip t c tcp dport {number} drop"));
            }
        });
        let mut socket = Socket::open().unwrap();
        while !writer.is_finished() {
            match crate::netfilter::read(&mut socket, Scope::InputPath) {
                Ok(ruleset) => {
                    let rules = ruleset.tables[0].chains[0].rules().len();
                    assert!((2000..=2020).contains(&rules), "{rules}");
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Changed, "{error}"),
            }
        }
        writer.join().unwrap();
        let ruleset = crate::netfilter::read(&mut socket, Scope::InputPath).unwrap();
        assert_eq!(ruleset.tables[0].chains[0].rules().len(), 2020);
    });
}

#[test]
fn without_the_capability_the_error_says_so() {
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
    in_namespace(|| {
        load("table ip t { chain c { }\n}");
        let none = CapabilitySet::empty();
        let sets = CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        };
        set_capabilities(None, sets).unwrap();
        let error = Socket::open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Permission);
        assert!(error.hint().unwrap().contains("CAP_NET_ADMIN"));
    });
}

#[test]
fn a_table_with_an_owner_is_told() {
    use std::io::Write as _;
    in_namespace(|| {
        let mut command = Command::new("nft");
        command.arg("-i").stdin(std::process::Stdio::piped());
        command.stdout(std::process::Stdio::null());
        let mut owner = command.spawn().unwrap();
        let mut stdin = owner.stdin.take().unwrap();
        // The table goes when its owner goes.
        stdin
            .write_all(b"add table ip t { flags owner; }\n")
            .unwrap();
        stdin.flush().unwrap();
        let started = std::time::Instant::now();
        let mut table = None;
        while table.is_none() && started.elapsed().as_secs() < 10 {
            table = ruleset(Scope::InputPath).tables.pop();
        }
        let table = table.unwrap();
        assert!(table.owned && !table.dormant);
        drop(stdin);
        owner.wait().unwrap();
    });
}

/// What the kernel does not know at all is told from what it refuses.
#[test]
fn messages_that_the_kernel_does_not_know() {
    // Beyond RTM_MAX, and RTM_GETSTATS without saying which (`struct if_stats_msg`).
    for (message, unknown) in [(1022, true), (94, false)] {
        let mut channel = Channel::open(NETLINK_ROUTE).unwrap();
        let error = dump_route(&mut channel, message, &[0; 12], |_| {}).unwrap_err();
        assert_eq!(is_not_supported(&error), unknown, "{error}");
    }
}
