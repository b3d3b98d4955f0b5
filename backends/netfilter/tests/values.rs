//! Rules of nft: what comes back from the kernel reads as it was written.

use std::process::Command;

use super::{in_namespace, load, ruleset, run, unsupported, with_rules, with_table};
use crate::model::ruleset::Chain;
use crate::netfilter::Scope;

/// Adds rules one by one; each must read back as itself, or as what stands behind ` => `. Rules that this kernel does
/// not support are skipped.
fn read_back(family: &'static str, rules: &'static str) {
    in_namespace(move || {
        load(&format!(
            "table {family} t {{ counter n {{ }}\n quota q {{ over 10 mbytes }}\n limit l {{ rate 5/second }}\n\
             ct helper h {{ type \"ftp\" protocol tcp; }}\n\
             set s {{ type ipv4_addr; flags dynamic; size 128; }}\n\
             chain x {{ }}\n chain c {{ type filter hook input priority 0; }}\n}}"
        ));
        let mut wanted = Vec::new();
        for line in rules.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (rule, text) = line.split_once(" => ").unwrap_or((line, line));
            match run(
                Command::new("nft").args(["-f", "-"]),
                &format!("add rule {family} t c {rule}"),
            ) {
                Ok(_) => wanted.push(text),
                Err(error) if error.contains("Could not process rule") => {
                    unsupported(&format!("{rule}: {error}"));
                }
                Err(error) => panic!("{error}"),
            }
        }
        let ruleset = ruleset(Scope::Everything);
        let table = &ruleset.tables[0];
        let rules = table.chain("c").unwrap().rules();
        let texts: Vec<String> = rules
            .iter()
            .map(|rule| rule.text(table).to_string())
            .collect();
        assert_eq!(texts, wanted);
    });
}

#[test]
fn verdicts() {
    read_back(
        "inet",
        "accept
        drop
        continue
        return
        jump x
        goto x
        queue to 3
        queue flags bypass to 0
        reject with icmp net-unreachable => meta nfproto ipv4 reject with icmp net-unreachable
        reject with icmp host-unreachable => meta nfproto ipv4 reject with icmp host-unreachable
        reject with icmp prot-unreachable => meta nfproto ipv4 reject with icmp prot-unreachable
        reject with icmp port-unreachable => meta nfproto ipv4 reject with icmp port-unreachable
        reject with icmp net-prohibited => meta nfproto ipv4 reject with icmp net-prohibited
        reject with icmp host-prohibited => meta nfproto ipv4 reject with icmp host-prohibited
        reject with icmp admin-prohibited => meta nfproto ipv4 reject with icmp admin-prohibited
        reject with icmpv6 no-route => meta nfproto ipv6 reject with icmpv6 no-route
        reject with icmpv6 admin-prohibited => meta nfproto ipv6 reject with icmpv6 admin-prohibited
        reject with icmpv6 addr-unreachable => meta nfproto ipv6 reject with icmpv6 addr-unreachable
        reject with icmpv6 port-unreachable => meta nfproto ipv6 reject with icmpv6 port-unreachable
        reject with icmpv6 policy-fail => meta nfproto ipv6 reject with icmpv6 policy-fail
        reject with icmpv6 reject-route => meta nfproto ipv6 reject with icmpv6 reject-route
        reject with icmpx port-unreachable
        reject with icmpx admin-prohibited
        reject with icmpx no-route
        reject with icmpx host-unreachable
        meta l4proto tcp reject with tcp reset
        notrack",
    );
    read_back(
        "ip",
        "reject with icmp host-prohibited\nreject with tcp reset => meta l4proto tcp reject with tcp reset",
    );
    read_back("ip6", "reject with icmpv6 addr-unreachable");
}

#[test]
fn selectors() {
    read_back(
        "inet",
        "tcp dport 22 accept
        tcp dport 50000-50100 accept comment \"passive\"
        tcp dport != 22 drop
        tcp dport != 1000-2000 drop
        tcp dport > 1024 drop
        tcp dport >= 1024 drop
        tcp dport < 1024 drop
        tcp dport <= 1024 drop
        tcp sport 20 tcp dport 1024 accept
        tcp sport 20 accept
        udp dport 53 accept
        th dport 53 accept
        tcp flags & (fin|syn|rst|ack) == syn drop
        tcp flags & (fin|syn) == fin|syn drop
        tcp flags & syn != 0 drop => tcp flags & (syn) != 0 drop
        tcp flags == 0x0 drop => tcp flags == 0x0 drop
        ip saddr 192.0.2.1 drop
        ip saddr 192.0.2.0/24 drop
        ip saddr 192.0.2.0/25 drop
        ip saddr != 10.0.0.0/8 drop
        ip saddr 192.0.2.1-192.0.2.9 drop
        ip daddr 192.0.2.1 drop
        ip6 saddr 2001:db8::1 drop
        ip6 saddr 2001:db8::/32 drop
        ip6 saddr 2001:db8::/33 drop
        ip6 daddr fe80::/10 drop
        ip protocol tcp drop
        ip ttl 64 drop
        ip length 40 drop
        tcp option maxseg size 1400 drop
        tcp option maxseg size 1-500 drop
        tcp option maxseg missing drop
        ip6 hoplimit 255 drop
        ip6 nexthdr tcp drop
        ether saddr 00:11:22:33:44:55 drop
        meta l4proto tcp drop
        meta l4proto != tcp drop
        meta nfproto ipv4 drop
        meta nfproto ipv6 drop
        meta protocol ip drop
        meta length 100 drop
        meta length > 100 drop
        meta length 100-200 drop
        meta mark 0x00000007 drop
        meta mark & 0xff == 0x10 drop => meta mark & 0xff 0x00000010 drop
        meta pkttype host drop
        meta pkttype broadcast drop
        meta pkttype multicast drop
        iif lo accept => iif 1 accept
        iifname \"lo\" accept
        iifname \"eth*\" accept
        iifname != \"eth0\" accept
        iiftype ether accept => iiftype 1 accept
        iifgroup 5 accept
        oif lo accept => oif 1 accept
        oifname \"lo\" accept
        oiftype loopback accept => oiftype 772 accept
        oifgroup 5 accept
        ct state established,related accept
        ct state new accept
        ct state invalid drop
        ct state untracked drop
        ct state ! established drop
        ct state == new drop => ct state == new drop
        ct status dnat accept
        ct status snat,dnat accept
        ct status assured accept
        ct direction original accept
        ct direction reply accept
        ct mark 0x00000005 accept
        ct protocol tcp accept
        ct l3proto ipv4 accept
        ct original ip saddr 192.0.2.1 accept => ct original saddr 192.0.2.1 accept
        ct original ip daddr 192.0.2.0/24 accept => ct original daddr 192.0.2.0/24 accept
        ct reply ip6 saddr 2001:db8::1 accept => ct reply saddr 2001:db8::1 accept
        tcp dport 0-65535 ct original proto-dst 80 accept => tcp dport 0-65535 ct original proto-dst 80 accept
        tcp dport 0-65535 ct reply proto-src 80 accept
        fib daddr type local accept
        fib daddr . iif type local accept
        fib daddr type != local accept
        fib saddr . iif oif missing drop
        fib saddr oif exists accept",
    );
}

#[test]
fn unknown_values_keep_their_names() {
    use crate::model::ruleset::{Field, Statement, Uncertainty};
    let rules = [
        ("meta skuid 0", "meta skuid"),
        ("meta skgid 0", "meta skgid"),
        ("meta cpu 0", "meta cpu"),
        ("meta priority 1:1", "meta priority"),
        ("meta cgroup 1", "meta cgroup"),
        ("meta rtclassid 1", "meta rtclassid"),
        ("meta random 1", "meta random"),
        ("meta ipsec exists", "meta ipsec"),
        ("meta iifkind \"veth\"", "meta iifkind"),
        ("meta sdif 1", "meta sdif"),
        ("meta sdifname \"x\"", "meta sdifname"),
        ("meta time \"2026-01-01\"", "meta time"),
        ("meta day \"Monday\"", "meta day"),
        ("meta hour \"10:00\"", "meta hour"),
        ("ct expiration 5s", "ct expiration"),
        ("ct helper \"ftp\"", "ct helper"),
        ("ct label 1", "ct label"),
        ("ct packets 5", "ct packets"),
        ("ct bytes 5", "ct bytes"),
        ("ct avgpkt 5", "ct avgpkt"),
        ("ct zone 5", "ct zone"),
        ("ct id 5", "ct id"),
        ("rt classid 5", "rt classid"),
        ("rt ip nexthop 192.0.2.1", "rt ip nexthop"),
        ("rt ip6 nexthop 2001:db8::1", "rt ip6 nexthop"),
        ("rt mtu 500", "rt mtu"),
        ("rt ipsec exists", "rt ipsec"),
        ("socket transparent 1", "socket transparent"),
        ("socket mark 1", "socket mark"),
        ("socket wildcard 1", "socket wildcard"),
        ("tcp option maxseg length 4", "tcp option maxseg"),
        ("tcp option sack-perm exists", "tcp option sack-perm"),
        ("numgen inc mod 2 0", "numgen"),
        ("jhash ip saddr mod 2 0", "hash"),
        ("symhash mod 2 0", "hash"),
        ("osf name \"Linux\"", "osf name"),
        ("ipsec in reqid 1", "ipsec"),
    ];
    for (rule, name) in rules {
        in_namespace(move || {
            let text = format!(
                "table inet t {{ chain c {{ type filter hook input priority 0; {rule} drop; }}\n}}"
            );
            if let Err(error) =
                super::run(std::process::Command::new("nft").args(["-f", "-"]), &text)
            {
                return unsupported(&format!("{rule}: {error}"));
            }
            let ruleset = ruleset(Scope::Everything);
            let rule = &ruleset.tables[0].chains[0].rules()[0];
            let found = rule.statements.iter().any(|statement| match statement {
                Statement::Match { value, .. } => value.parts.iter().any(|part| {
                    matches!(&part.field, Field::Unknown { uncertainty: Uncertainty::Other, text } if text == name)
                }),
                _ => false,
            });
            assert!(found, "{name}: {rule:?}");
        });
    }
}

#[test]
fn effects() {
    read_back(
        "inet",
        "counter accept
        log accept
        log prefix \"x\" accept
        limit rate 25/second burst 5 packets accept
        limit rate over 10/minute burst 3 packets drop
        limit rate 10/hour burst 3 packets drop
        limit rate 10/day burst 3 packets drop
        limit rate 10/week burst 3 packets drop
        limit rate 10 bytes/second accept
        limit rate over 10 bytes/second burst 50 bytes drop
        quota 10 bytes accept
        quota over 10 bytes drop
        ct count 10 accept
        ct count over 10 reject with icmpx port-unreachable
        counter name \"n\"
        quota name \"q\" drop
        limit name \"l\" accept
        ct helper set \"h\" => ct helper set name \"h\"
        meta mark set 0x00000001
        meta mark set meta mark & 0x1 => meta mark set (computed)
        ct mark set 0x00000002
        ct mark set meta mark => ct mark set (computed)
        meta priority set 0x10001 => meta priority set
        meta nftrace set 1 => meta nftrace set
        ct zone set 1 => (ct zone set: not understood)
        ct label set 1 => ct label set
        ct event set new => ct event set
        add @s { ip saddr } => meta nfproto ipv4 add @s
        update @s { ip saddr } => meta nfproto ipv4 update @s
        delete @s { ip saddr } => meta nfproto ipv4 delete @s
        update @s { ip saddr limit rate 5/second } accept => meta nfproto ipv4 update @s accept
        synproxy mss 1460 wscale 7 => synproxy",
    );
}

#[test]
fn sets_maps_and_concatenations() {
    read_back(
        "inet",
        "tcp dport { 22, 80, 443 } accept
        tcp dport { 22, 1000-2000 } accept
        tcp dport != { 22, 80 } drop
        tcp dport { 60000-65535 } accept => tcp dport 60000-65535 accept
        tcp dport { 22, 60000-65535 } accept
        tcp dport { 0-10, 22 } accept
        ip saddr { 10.0.0.0/8, 192.0.2.1 } accept
        ip saddr . tcp dport { 10.0.0.0/8 . 1000-2000, 192.0.2.1 . 80 } accept
        meta l4proto . th dport { tcp . 22, udp . 53 } accept
        iifname . tcp dport { \"eth0\" . 22 } accept => iifname . tcp dport { \"eth0\" . 22 } accept
        iifname { \"lo\", \"eth0\" } accept => iifname { \"eth0\", \"lo\" } accept
        ct state { established, new } accept
        tcp dport vmap { 22 : accept, 80 : jump x, 1000-2000 : drop }
        ct state vmap { invalid : drop, established : accept }
        iifname vmap { \"lo\" : accept, * : drop } => iifname vmap { \"lo\" : accept, * : drop }
        tcp dport vmap { 22 : goto x, * : return }
        meta protocol vmap { ip : jump x, ip6 : continue }",
    );
}

#[test]
fn address_translation() {
    let text = "table inet t {
        chain c { type nat hook prerouting priority dstnat;
            tcp dport 80 dnat ip to 192.0.2.1
            tcp dport 80 dnat ip to 192.0.2.1:8080
            tcp dport 80 dnat ip6 to [2001:db8::1]:8080-8090
            tcp dport 80 dnat ip to 192.0.2.1-192.0.2.9
            tcp dport 80 redirect
            tcp dport 80 redirect to :8080
            tcp dport 80 redirect to :8080-8090
            dnat ip to tcp dport map { 80 : 192.0.2.1 }
            meta l4proto tcp redirect to :tcp dport map { 80 : 8080 }
        }
        chain d { type nat hook postrouting priority srcnat;
            masquerade
            snat ip to 192.0.2.1
        }
        chain e { type filter hook prerouting priority mangle;
            tcp dport 80 tproxy ip to :8080
            tcp dport 80 tproxy ip to 127.0.0.1:8080
        }
    }";
    with_table(text.into(), |table| {
        let text: Vec<String> = table
            .chains
            .iter()
            .flat_map(Chain::rules)
            .map(|rule| rule.text(table).to_string())
            .collect();
        let wanted = [
            "tcp dport 80 dnat to 192.0.2.1",
            "tcp dport 80 dnat to 192.0.2.1:8080",
            "tcp dport 80 dnat to [2001:db8::1]:8080-8090",
            "tcp dport 80 dnat to (computed)",
            "tcp dport 80 redirect",
            "tcp dport 80 redirect to :8080",
            "tcp dport 80 redirect to :8080-8090",
            "tcp dport { 80 } dnat to (computed)",
            "tcp dport { 80 } redirect to :(computed)",
            "masquerade",
            "snat to 192.0.2.1",
            "tcp dport 80 tproxy to :8080",
            "tcp dport 80 tproxy to :8080",
        ];
        assert_eq!(text, wanted);
    });
}

#[test]
fn header_writes() {
    use crate::model::ruleset::Statement;
    let neutral = [
        "ip dscp set cs1",
        "ip ttl set 64",
        "ip id set 1",
        "ip6 dscp set cs1",
        "ip6 hoplimit set 64",
        "ip ecn set ce",
    ];
    let rewrites = [
        "ip ttl set 1",
        "ip6 hoplimit set 1",
        "ip frag-off set 0x2000",
        "tcp sequence set 7",
        "tcp checksum set 0",
        "ip checksum set 0",
        "ip daddr set 192.0.2.1",
        "ip saddr set 192.0.2.1",
        "tcp dport set 80",
        "tcp sport set 80",
        "ip protocol set 17",
        "ip6 daddr set 2001:db8::1",
        "tcp flags set syn",
        "ether daddr set 00:11:22:33:44:55",
    ];
    let rules: Vec<&str> = neutral.into_iter().chain(rewrites).collect();
    let count = neutral.len();
    with_rules("inet", &rules.join("\n"), move |read| {
        for (index, rule) in read.iter().enumerate() {
            let last = rule.statements.last().unwrap();
            let is_neutral = matches!(last, Statement::Neutral { .. });
            assert_eq!(is_neutral, index < count, "{rule}");
            assert!(
                is_neutral || matches!(last, Statement::Rewrite { .. }),
                "{rule:?}"
            );
        }
        assert_eq!(read.len(), rules.len());
    });
}

#[test]
fn a_loaded_ruleset_is_read_alike_by_path_and_in_full() {
    in_namespace(|| {
        load(
            "table inet t { chain a { type filter hook forward priority 0; jump only-forward; }\n\
              chain only-forward { accept; }\n chain b { type filter hook input priority 0; tcp dport vmap { 1 : jump c }\n }\n\
              chain c { goto d; }\n chain d { }\n}",
        );
        let ruleset = ruleset(Scope::InputPath);
        let read: Vec<(&str, bool)> = ruleset.tables[0]
            .chains
            .iter()
            .map(|chain| (chain.name.as_str(), chain.rules.is_some()))
            .collect();
        assert_eq!(
            read,
            [
                ("a", false),
                ("only-forward", false),
                ("b", true),
                ("c", true),
                ("d", true)
            ]
        );
    });
}
