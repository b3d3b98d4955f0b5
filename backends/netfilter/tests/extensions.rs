//! The matches and targets of iptables: what comes back reads as it was written.

use std::process::Command;

use super::{in_namespace, recording, ruleset, run, unsupported};
use crate::model::ruleset::{Chain, Elements, Nat, NatKind, Statement};
use crate::netfilter::Scope;

/// Loads rules with iptables-nft, one by one; each must read back as what stands behind ` => `.
fn read_back(program: &'static str, table: &'static str, chain: &'static str, rules: &'static str) {
    in_namespace(move || {
        let mut wanted = Vec::new();
        for line in rules.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (rule, text) = line.split_once(" => ").unwrap();
            let mut command = Command::new(program);
            command
                .args(["-t", table, "-A", chain])
                .args(rule.split(' '));
            match run(&mut command, "") {
                Ok(_) => wanted.push(text),
                Err(error) if error.contains("No such file") || error.contains("not supported") => {
                    unsupported(&error);
                }
                Err(error) => panic!("{error}"),
            }
        }
        let ruleset = ruleset(Scope::Everything);
        recording::reads_alike(&ruleset);
        let table = &ruleset.tables[0];
        let rules = table.chain(chain).unwrap().rules();
        let texts: Vec<String> = rules
            .iter()
            .map(|rule| rule.text(table).to_string())
            .collect();
        assert_eq!(texts, wanted);
    });
}

#[test]
fn ports_and_flags() {
    read_back(
        "iptables-nft",
        "filter",
        "INPUT",
        "-p tcp --dport 22 -j ACCEPT => tcp dport 22 counter accept
        -p tcp --dport 50000:50100 -j ACCEPT => tcp dport 50000-50100 counter accept
        -p tcp ! --dport 22 -j DROP => tcp dport != 22 counter drop
        -p tcp ! --dport 22:23 -j DROP => tcp dport != 22-23 counter drop
        -p tcp --sport 20 --dport 1024:65535 -j ACCEPT => tcp sport 20 tcp dport 1024-65535 counter accept
        -p tcp --syn -j DROP => tcp flags & (fin|syn|rst|ack) == syn counter drop
        -p tcp ! --syn -j DROP => tcp flags & (fin|syn|rst|ack) != syn counter drop
        -p tcp --tcp-flags ALL NONE -j DROP => tcp flags & (fin|syn|rst|psh|ack|urg) == 0 counter drop
        -p tcp --tcp-option 5 -j DROP => meta l4proto tcp --tcp-option 5 counter drop
        -p tcp ! --tcp-option 5 -j DROP => meta l4proto tcp ! --tcp-option 5 counter drop
        -p tcp -m multiport --dports 21,22 -j ACCEPT => tcp dport { 21, 22 } counter accept
        -p tcp -m multiport --dports 21,50000:50100,22 -j ACCEPT => tcp dport { 21, 50000-50100, 22 } counter accept
        -p tcp -m multiport ! --dports 21,22 -j DROP => tcp dport != { 21, 22 } counter drop
        -p tcp -m multiport --sports 21,22 -j ACCEPT => tcp sport { 21, 22 } counter accept
        -p tcp -m multiport --dports 30000:30100 -j ACCEPT => tcp dport 30000-30100 counter accept
        -p udp --dport 53 -j ACCEPT => udp dport 53 counter accept",
    );
}

#[test]
fn an_or_becomes_two_rules_with_one_handle() {
    in_namespace(|| {
        for rule in [
            "-p tcp -m multiport --ports 21,22 -j ACCEPT",
            "-p tcp -m multiport ! --ports 21,22 -j ACCEPT",
            "-m conntrack --ctstate ESTABLISHED,DNAT -j ACCEPT",
            "-m conntrack ! --ctstate ESTABLISHED,SNAT -j ACCEPT",
        ] {
            run(
                Command::new("iptables-nft")
                    .args(["-A", "INPUT"])
                    .args(rule.split(' ')),
                "",
            )
            .unwrap();
        }
        let ruleset = ruleset(Scope::InputPath);
        let rules = ruleset.tables[0].chain("INPUT").unwrap().rules();
        let texts: Vec<String> = rules.iter().map(ToString::to_string).collect();
        let wanted = [
            "tcp dport { 21, 22 } counter accept",
            "tcp sport { 21, 22 } counter accept",
            "tcp dport != { 21, 22 } tcp sport != { 21, 22 } counter accept",
            "ct state established counter accept",
            "ct status dnat counter accept",
            "ct state ! established ct status ! snat counter accept",
        ];
        assert_eq!(texts, wanted);
        assert_eq!(rules[0].handle, rules[1].handle);
        assert_eq!(rules[3].handle, rules[4].handle);
        let set = ruleset.tables[0].set("{ 21, 22 }").unwrap();
        assert!(matches!(&set.elements, Elements::Read(elements) if elements.len() == 2));
    });
}

#[test]
fn connection_tracking() {
    read_back(
        "iptables-nft",
        "filter",
        "INPUT",
        "-m state --state NEW -j ACCEPT => ct state new counter accept
        -m state --state RELATED,ESTABLISHED -j ACCEPT => ct state established,related counter accept
        -m conntrack --ctstate INVALID -j DROP => ct state invalid counter drop
        -m conntrack --ctstate UNTRACKED -j DROP => ct state untracked counter drop
        -m conntrack ! --ctstate NEW -j DROP => ct state ! new counter drop
        -m conntrack --ctstate DNAT -j ACCEPT => ct status dnat counter accept
        -m conntrack --ctstate SNAT -j ACCEPT => ct status snat counter accept
        -m conntrack --ctstatus CONFIRMED -j ACCEPT => ct status confirmed counter accept
        -m conntrack --ctstatus ASSURED,SEEN_REPLY -j ACCEPT => ct status seen-reply,assured counter accept
        -m conntrack --ctdir REPLY -j ACCEPT => ct direction != original counter accept
        -m conntrack --ctdir ORIGINAL -j ACCEPT => ct direction original counter accept
        -m conntrack --ctproto 6 -j ACCEPT => ct original protocol tcp counter accept
        -m conntrack --ctorigsrc 192.0.2.0/24 -j DROP => ct original saddr 192.0.2.0/24 counter drop
        -m conntrack ! --ctorigdst 192.0.2.1 -j DROP => ct original daddr != 192.0.2.1 counter drop
        -p tcp -m conntrack --ctorigdstport 80:81 -j ACCEPT => meta l4proto tcp ct original proto-dst 80-81 counter accept
        -p tcp -m conntrack --ctreplsrcport 80 -j ACCEPT => meta l4proto tcp ct reply proto-src 80 counter accept
        -m conntrack --ctexpire 5:10 -j ACCEPT => -m conntrack --ctexpire counter accept
        -m connmark --mark 0x1/0xff -j ACCEPT => ct mark & 0xff 0x00000001 counter accept
        -m mark ! --mark 0x1 -j ACCEPT => meta mark != 0x00000001 counter accept",
    );
}

#[test]
fn addresses_and_interfaces() {
    read_back(
        "iptables-nft",
        "filter",
        "INPUT",
        "-m addrtype --dst-type LOCAL -j ACCEPT => fib daddr type local counter accept
        -m addrtype ! --src-type UNICAST -j DROP => fib saddr type != unicast counter drop
        -m addrtype --dst-type LOCAL,BROADCAST -j DROP => fib daddr type { local, broadcast } counter drop
        -m addrtype --dst-type LOCAL --limit-iface-in -j DROP => fib daddr . iif type local counter drop
        -m iprange --src-range 192.0.2.1-192.0.2.9 -j DROP => ip saddr 192.0.2.1-192.0.2.9 counter drop
        -m iprange ! --dst-range 192.0.2.1-192.0.2.9 -j DROP => ip daddr != 192.0.2.1-192.0.2.9 counter drop
        -m mac --mac-source 00:11:22:33:44:55 -j DROP => ether saddr 00:11:22:33:44:55 counter drop
        -m mac ! --mac-source 00:11:22:33:44:55 -j DROP => ether saddr != 00:11:22:33:44:55 counter drop
        -m pkttype --pkt-type broadcast -j DROP => meta pkttype broadcast counter drop
        -m pkttype ! --pkt-type host -j DROP => meta pkttype != host counter drop
        -m devgroup --src-group 5 -j DROP => iifgroup & 0xffffffff 5 counter drop
        -s 192.0.2.0/24 -j DROP => ip saddr 192.0.2.0/24 counter drop
        -i eth+ -j DROP => iifname \"eth*\" counter drop
        ! -i lo -j DROP => iifname != \"lo\" counter drop",
    );
    read_back(
        "ip6tables-nft",
        "filter",
        "INPUT",
        "-m addrtype --dst-type LOCAL -j ACCEPT => fib daddr type local counter accept
        -m addrtype --dst-type MULTICAST -j DROP => ip6 daddr ff00::/8 counter drop
        -m addrtype ! --dst-type UNICAST -j DROP => ip6 daddr ff00::/8 counter drop
        -m addrtype --dst-type UNICAST -j DROP => ip6 daddr != ff00::/8 counter drop
        -m iprange --src-range 2001:db8::1-2001:db8::9 -j DROP => ip6 saddr 2001:db8::1-2001:db8::9 counter drop",
    );
    read_back(
        "iptables-nft",
        "raw",
        "PREROUTING",
        "-m rpfilter -j ACCEPT => fib saddr . iif oif exists counter accept
        -m rpfilter --invert -j DROP => fib saddr . iif oif missing counter drop
        -m rpfilter --loose --invert -j DROP => fib saddr oif missing counter drop",
    );
}

#[test]
fn conditions_and_lists() {
    read_back(
        "iptables-nft",
        "filter",
        "INPUT",
        "-m limit --limit 5/min -j ACCEPT => limit rate 5/minute burst 5 packets counter accept
        -m limit --limit 5/sec -j ACCEPT => limit rate 5/second burst 5 packets counter accept
        -m hashlimit --hashlimit-above 5/sec --hashlimit-name x --hashlimit-mode srcip -j DROP => -m hashlimit --hashlimit-above (rate not decoded) counter drop
        -m hashlimit --hashlimit-upto 5/sec --hashlimit-name y --hashlimit-mode srcip -j ACCEPT => -m hashlimit --hashlimit-upto (rate not decoded) counter accept
        -p tcp -m connlimit --connlimit-above 5 -j DROP => meta l4proto tcp -m connlimit --connlimit-above 5 counter drop
        -p tcp -m connlimit --connlimit-upto 5 -j ACCEPT => meta l4proto tcp -m connlimit --connlimit-upto 5 counter accept
        -m recent --set --name a -j ACCEPT => -m recent --set --name a counter accept
        -m recent --rcheck --name a -j DROP => -m recent --rcheck --name a counter drop
        -m recent ! --rcheck --name a -j DROP => ! -m recent --rcheck --name a counter drop
        -m recent --update --seconds 5 --hitcount 3 --name a -j DROP => -m recent --update --name a --hitcount 3 counter drop
        -m recent --remove --name a -j DROP => -m recent --remove --name a counter drop
        -m comment --comment hello -j ACCEPT => counter accept comment \"hello\"
        -m statistic --mode random --probability 0.5 -j DROP => -m statistic --mode random --probability 0.50000000000 counter drop
        -m statistic --mode nth --every 4 --packet 1 -j DROP => -m statistic --mode nth --every 4 --packet 1 counter drop
        -m time --timestart 10:00 -j DROP => -m time --timestart 10:00:00 --timestop 23:59:59 counter drop
        -m time --weekdays Mon,Sun --kerneltz -j DROP => -m time --weekdays Mon,Sun --kerneltz counter drop
        -m time --monthdays 3 -j DROP => -m time (arguments not decoded) counter drop
        -m length --length 40 -j DROP => meta length 40 counter drop
        -m length ! --length 40:1500 -j DROP => meta length != 40-1500 counter drop
        -p tcp -m tcpmss --mss 1400 -j DROP => meta l4proto tcp tcp option maxseg size 1400 counter drop
        -p tcp -m tcpmss --mss 1:500 -j DROP => meta l4proto tcp tcp option maxseg size 1-500 counter drop
        -p tcp ! --tcp-option 2 -j DROP => meta l4proto tcp tcp option maxseg missing counter drop
        -m ttl --ttl-eq 64 -j DROP => -m ttl --ttl-eq 64 counter drop
        -m ttl --ttl-lt 5 -j DROP => -m ttl --ttl-lt 5 counter drop
        -p icmp --icmp-type 8 -j ACCEPT => meta l4proto icmp -m icmp (arguments not decoded) counter accept
        -m string --string x --algo bm -j DROP => -m string --string \"x\" --algo bm counter drop
        -m string ! --hex-string |0a41| --algo kmp --from 40 --to 90 --icase -j DROP => -m string ! --hex-string \"|0a41|\" --algo kmp --from 40 --to 90 --icase counter drop
        -m quota --quota 100 -j ACCEPT => -m quota --quota 100 counter accept
        -m u32 --u32 0=1 -j DROP => -m u32 (arguments not decoded) counter drop",
    );
}

#[test]
fn targets() {
    read_back(
        "iptables-nft",
        "filter",
        "INPUT",
        "-j REJECT => counter reject with icmp port-unreachable
        -j REJECT --reject-with icmp-net-unreachable => counter reject with icmp net-unreachable
        -j REJECT --reject-with icmp-host-unreachable => counter reject with icmp host-unreachable
        -j REJECT --reject-with icmp-proto-unreachable => counter reject with icmp prot-unreachable
        -j REJECT --reject-with icmp-net-prohibited => counter reject with icmp net-prohibited
        -j REJECT --reject-with icmp-host-prohibited => counter reject with icmp host-prohibited
        -j REJECT --reject-with icmp-admin-prohibited => counter reject with icmp admin-prohibited
        -p tcp -j REJECT --reject-with tcp-reset => meta l4proto tcp counter reject with tcp reset
        -j LOG => counter -j LOG
        -j MARK --set-mark 5 => counter meta mark set 0x00000005
        -j MARK --set-xmark 5/0xff => counter meta mark set (computed)
        -j CONNMARK --set-mark 5 => counter ct mark set 0x00000005
        -j CONNMARK --save-mark => counter ct mark set (computed)
        -j CONNMARK --restore-mark => counter meta mark set (computed)
        -j NFQUEUE --queue-num 3 => counter queue to 3",
    );
    read_back(
        "ip6tables-nft",
        "filter",
        "INPUT",
        "-j REJECT => counter reject with icmpv6 port-unreachable
        -j REJECT --reject-with icmp6-no-route => counter reject with icmpv6 no-route
        -j REJECT --reject-with icmp6-adm-prohibited => counter reject with icmpv6 admin-prohibited
        -j REJECT --reject-with icmp6-addr-unreachable => counter reject with icmpv6 addr-unreachable
        -j REJECT --reject-with icmp6-policy-fail => counter reject with icmpv6 policy-fail
        -j REJECT --reject-with icmp6-reject-route => counter reject with icmpv6 reject-route
        -p tcp -j REJECT --reject-with tcp-reset => meta l4proto tcp counter reject with tcp reset",
    );
    read_back(
        "iptables-nft",
        "raw",
        "PREROUTING",
        "-j CT --notrack => counter notrack
        -j NOTRACK => counter notrack
        -p tcp --dport 21 -j CT --helper ftp => tcp dport 21 counter -j CT --helper ftp
        -j CT --zone 5 => counter (-j CT: not understood)
        -j TRACE => counter meta nftrace set",
    );
    read_back(
        "iptables-nft",
        "mangle",
        "PREROUTING",
        "-p tcp -j TPROXY --on-port 8080 => meta l4proto tcp counter meta mark set (computed) TPROXY --on-port 8080
        -j DSCP --set-dscp 1 => counter -j DSCP
        -j TTL --ttl-set 5 => counter -j TTL
        -p tcp --tcp-flags SYN SYN -j TCPMSS --set-mss 1400 => tcp flags & (syn) == syn counter -j TCPMSS",
    );
}

#[test]
fn address_translation() {
    for (program, address) in [
        ("iptables-nft", "192.0.2.1"),
        ("ip6tables-nft", "2001:db8::1"),
    ] {
        in_namespace(move || {
            let bracketed = if address.contains(':') {
                format!("[{address}]")
            } else {
                address.to_owned()
            };
            let rules = [
                format!("PREROUTING -p tcp --dport 80 -j DNAT --to-destination {bracketed}:8080"),
                format!("PREROUTING -p tcp --dport 80 -j DNAT --to-destination {address}"),
                format!(
                    "PREROUTING -p tcp --dport 80 -j DNAT --to-destination {bracketed}:8080-8090"
                ),
                "PREROUTING -p tcp --dport 80 -j REDIRECT".into(),
                "PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 8080".into(),
                format!("POSTROUTING -j SNAT --to-source {address}"),
                "POSTROUTING -j MASQUERADE".into(),
            ];
            for rule in &rules {
                let arguments = format!("-t nat -A {rule}");
                run(Command::new(program).args(arguments.split(' ')), "").unwrap();
            }
            let ruleset = ruleset(Scope::Everything);
            let found: Vec<&Nat> = ruleset.tables[0]
                .chains
                .iter()
                .flat_map(Chain::rules)
                .filter_map(|rule| match rule.statements.last() {
                    Some(Statement::Nat(nat)) => Some(nat),
                    _ => None,
                })
                .collect();
            let texts: Vec<&str> = found.iter().map(|nat| nat.text.as_str()).collect();
            let wanted = [
                format!("dnat to {bracketed}:8080"),
                format!("dnat to {address}"),
                format!("dnat to {bracketed}:8080-8090"),
                "redirect".into(),
                "redirect to :8080".into(),
                format!("snat to {address}"),
                "masquerade".into(),
            ];
            assert_eq!(texts, wanted);
            assert_eq!(found[0].address, Some(address.parse().unwrap()));
            assert_eq!(found[0].ports, Some((8080, 8080)));
            assert_eq!(found[4].kind, NatKind::Redirect);
            assert_eq!(found[6].kind, NatKind::Source);
        });
    }
}
