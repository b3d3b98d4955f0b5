//! Every match of iptables that hosts use, as iptables-nft loads it: real connections decide.

use super::judge::compare;
use crate::support::ready;
use crate::support::world::World;

/// Rules of `INPUT`; each is loaded once with the policy as it stands and `-j DROP`, and once with policy `DROP` and
/// `-j ACCEPT` behind an accept of established connections.
const MATCHES: [&str; 87] = [
    "-p tcp --dport 50000",
    "-p tcp ! --dport 50000:50050",
    "-p tcp -m multiport --dports 21,50000:50050",
    "-p tcp -m multiport ! --dports 21,50000",
    "-p tcp -m multiport --ports 50000,50050",
    "-p tcp -m multiport ! --ports 50000,50050",
    "-p tcp -m multiport --sports 1:1023",
    "-m conntrack --ctstate NEW -p tcp --dport 50000",
    "-m conntrack ! --ctstate NEW -p tcp --dport 50000",
    "-m conntrack --ctstate NEW,ESTABLISHED",
    "-m conntrack --ctstate INVALID,UNTRACKED",
    "-m conntrack ! --ctstate INVALID,RELATED -p tcp --dport 50000",
    "-m conntrack --ctstate DNAT",
    "-m conntrack --ctstate NEW,DNAT -p tcp --dport 50000",
    "-m conntrack ! --ctstate NEW,DNAT -p tcp --dport 50000",
    "-m conntrack --ctproto tcp -p tcp --dport 50000",
    "-m conntrack --ctdir ORIGINAL -p tcp --dport 50000",
    "-m conntrack --ctdir REPLY -p tcp --dport 50000",
    "-m conntrack --ctstatus SEEN_REPLY",
    "-m conntrack --ctstatus NONE",
    "-m conntrack --ctstatus CONFIRMED,ASSURED -p tcp --dport 50000",
    "-m conntrack --ctorigdstport 50000:50050 -p tcp",
    "-m conntrack ! --ctorigdstport 50000 -p tcp",
    "-m conntrack --ctrepldstport 1024:65535 -p tcp --dport 50000",
    "-m state --state NEW -p tcp --dport 50000",
    "-m state ! --state ESTABLISHED -p tcp --dport 50000",
    "-i eth0 -p tcp --dport 50000",
    "! -i eth0 -p tcp --dport 50000",
    "-i eth+ -p tcp --dport 50000",
    "-i lo",
    "! -i lo -p tcp --dport 50000",
    "-m addrtype --dst-type LOCAL -p tcp --dport 50000",
    "-m addrtype ! --dst-type LOCAL -p tcp --dport 50000",
    "-m addrtype --src-type LOCAL -p tcp --dport 50000",
    "-m addrtype --dst-type LOCAL --limit-iface-in -p tcp --dport 50000",
    "-m mark --mark 0 -p tcp --dport 50000",
    "-m mark ! --mark 0/0xff -p tcp --dport 50000",
    "-m mark --mark 0x10/0x10 -p tcp --dport 50000",
    "-m connmark --mark 0 -p tcp --dport 50000",
    "-p tcp --tcp-flags SYN,RST,ACK,FIN SYN --dport 50000",
    "-p tcp --syn --dport 50000",
    "-p tcp ! --syn --dport 50000",
    "-p tcp --tcp-flags ALL NONE",
    "-p tcp --tcp-flags ACK ACK --dport 50000",
    "-p tcp ! --tcp-flags ACK ACK --dport 50000",
    "-p tcp --tcp-option 2 --dport 50000",
    "-p tcp ! --tcp-option 2 --dport 50000",
    "-p tcp --dport 50000 -m tcpmss --mss 536:65535",
    "-p tcp --dport 50000 -m tcpmss ! --mss 536:65535",
    "-p tcp -m multiport --ports 50000,50050 -m tcpmss ! --mss 536:65535",
    "-p tcp --dport 50000 -m length --length 44:100",
    "-p tcp --dport 50000 -m length ! --length 44:100",
    "-m limit --limit 1/day --limit-burst 1 -p tcp --dport 50000",
    "-p tcp --dport 50000 -m connlimit --connlimit-above 0",
    "-p tcp --dport 50000 -m connlimit --connlimit-upto 1000",
    "-p tcp --dport 50000 -m statistic --mode nth --every 2 --packet 0",
    "-p tcp --dport 50000 -m u32 --u32 0>>28=4",
    "-p tcp --dport 50000 -m time --timestart 00:00 --timestop 23:59",
    "-p tcp --dport 50000 -m comment --comment pasvsync",
    "-p tcp --dport 50000 -m mac --mac-source 02:00:00:00:00:09",
    "-p tcp --dport 50000 -m mac ! --mac-source 02:00:00:00:00:09",
    "-p tcp --dport 50000 -m pkttype --pkt-type unicast",
    "-p tcp --dport 50000 -m pkttype ! --pkt-type broadcast",
    "-p tcp --dport 50000 -m physdev ! --physdev-is-in",
    "-p tcp --dport 50000 -m length --length 0:65535",
    "! -p udp",
    "-p tcp --dport 50000 -m hashlimit --hashlimit-above 1/day --hashlimit-burst 1 --hashlimit-name a --hashlimit-mode srcip",
    "-p tcp --dport 50000 -m hashlimit --hashlimit-upto 1/day --hashlimit-burst 1 --hashlimit-name b --hashlimit-mode srcip",
    "-p tcp --dport 50000 -m hashlimit --hashlimit-above 1000/sec --hashlimit-burst 1000 --hashlimit-name c",
    "-p tcp --dport 50000:50100 -m hashlimit --hashlimit-above 16b/s --hashlimit-name d",
    "-p tcp --dport 50000:50100 -m hashlimit --hashlimit-above 100kb/s --hashlimit-name e",
    "-p tcp --dport 50000 -m connlimit --connlimit-above 1000",
    "-p tcp --dport 50000 -m connlimit --connlimit-upto 0",
    "-p tcp --dport 50000 -m cpu --cpu 0",
    "-p tcp --dport 50000 -m cluster --cluster-total-nodes 2 --cluster-local-node 1 --cluster-hash-seed 1",
    "-p tcp --dport 50000 -m quota --quota 1",
    "-p tcp --dport 50000 -m devgroup ! --src-group 0",
    "-p tcp --dport 50000 -m socket",
    "-p tcp --dport 50000 -m rt --rt-type 0",
    "-p tcp --dport 50000 -m rt ! --rt-type 0",
    "-p tcp --dport 50000 -m frag ! --fragid 5",
    "-p tcp --dport 50000 -m hbh",
    "-p tcp --dport 50000 -m dst",
    "-p tcp --dport 50000 -m ipv6header --header prot",
    "-p tcp --dport 50000 -m ipv6header --header prot --soft",
    "-p tcp --dport 50000 -m ipv6header ! --header prot --soft",
    "-p tcp --dport 50000 -m ipv6header --header frag --soft",
];

#[test]
fn matches_of_iptables() {
    if !ready(&["nft", "ip", "iptables-nft-restore"]) {
        return;
    }
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let world = World::new();
        let mut wrong = Vec::new();
        while let Some(rule) = MATCHES.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
        {
            for ruleset in [
                format!("-A INPUT {rule} -j DROP\n"),
                format!(
                    "-A INPUT {rule} -j RETURN\n-A INPUT -p tcp --dport 50000:50100 -j REJECT\n"
                ),
                format!(
                    "-A INPUT {rule} -g far\n-A far -p tcp --dport 50050 -j DROP\n-A INPUT -p tcp --dport 50100 -j DROP\n"
                ),
                format!(
                    "-P\n-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n-A INPUT {rule} -j ACCEPT\n"
                ),
                format!(
                    "-P\n-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n-A INPUT {rule} -j MARK --set-mark 7\n-A INPUT -m mark --mark 7 -j ACCEPT\n"
                ),
            ] {
                let policy = if ruleset.starts_with("-P") {
                    "DROP"
                } else {
                    "ACCEPT"
                };
                let rules = ruleset.trim_start_matches("-P\n");
                let text = format!(
                    "*filter\n:INPUT {policy} [0:0]\n:far - [0:0]\n-A FORWARD -m conntrack --ctstate INVALID\n{rules}COMMIT\n"
                );
                let mut loaded = false;
                for program in ["iptables-nft-restore", "ip6tables-nft-restore"] {
                    loaded |= world.command(program, &[], &text).status.success();
                }
                if !loaded {
                    wrong.push(format!("{rule}: does not load"));
                } else if let Err(message) = compare(&world, &[21, 50_000, 50_050, 50_100].into()) {
                    wrong.push(format!("{text}{message}"));
                }
            }
        }
        wrong
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let workers = [(); 4].map(|()| scope.spawn(work));
        let found = workers.map(|worker| worker.join().expect("a worker"));
        found.into_iter().flatten().collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where forwarded packets pass, only an accept for this host alone will do; nftables' word for that would make iptables
/// refuse the whole table.
#[test]
fn a_block_before_routing_in_a_table_of_iptables() {
    if !ready(&["nft", "ip", "iptables-nft-restore"]) {
        return;
    }
    let world = World::new();
    let text = "*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -m conntrack --ctstate ESTABLISHED -j ACCEPT\n\
        -A PREROUTING -p tcp --dport 1024: -j DROP\nCOMMIT\n";
    world.load_iptables(text, text);
    world.want(50_000, 50_100);
    let before = world.exact();
    let sync = world.pasvsync(&["sync"]).expect(0);
    assert!(sync.stdout.contains("addrtype"), "{sync:?}");
    let saved = world.command("iptables-nft", &["-t", "mangle", "-S"], "");
    assert!(saved.status.success(), "{saved:?}");
    assert!(saved.stdout.contains("--dst-type LOCAL"), "{saved:?}");
    world.pasvsync(&["remove"]).expect(0);
    assert_eq!(world.exact().text, before.text);
}

/// Targets that let the packet go on, and what they do to it may matter.
const TARGETS: [&str; 16] = [
    "-t mangle -A PREROUTING -p tcp --dport 50000 -j TTL --ttl-set 1",
    "-t mangle -A POSTROUTING -p tcp --sport 50000 -j TTL --ttl-set 1",
    "-t mangle -A POSTROUTING -p tcp --sport 50000 -j TTL --ttl-set 65",
    "-t mangle -A POSTROUTING -p tcp --sport 50000 -j TTL --ttl-dec 60",
    "-t mangle -A POSTROUTING -p tcp --sport 50000 -j TTL --ttl-inc 3",
    "-t mangle -A PREROUTING -p tcp --dport 50000 -j DSCP --set-dscp 8",
    "-t mangle -A POSTROUTING -p tcp --sport 50000 -j TOS --set-tos 8",
    "-t mangle -A PREROUTING -p tcp --dport 50000 -j HMARK --hmark-mod 5 --hmark-tuple src --hmark-rnd 1",
    "-t mangle -A POSTROUTING -p tcp --sport 50000 -j CLASSIFY --set-class 1:1",
    "-t mangle -A INPUT -p tcp --dport 50000 --syn -j TCPMSS --set-mss 500",
    "-t mangle -A INPUT -p tcp --dport 50000 -j TEE --gateway 203.0.113.7",
    "-t mangle -A INPUT -p tcp --dport 50000 -j IDLETIMER --timeout 9 --label a",
    "-t raw -A PREROUTING -p tcp --dport 50000 -j CT --zone 4",
    "-t raw -A PREROUTING -p tcp --dport 50000 -j CT --notrack",
    "-t raw -A PREROUTING -p tcp --dport 50000 -j TRACE",
    "-t nat -A PREROUTING -p tcp --dport 50000 -j NETMAP --to 203.0.113.1/32",
];

#[test]
fn targets_of_iptables() {
    if !ready(&["nft", "ip", "iptables-nft"]) {
        return;
    }
    let mut wrong = Vec::new();
    for rule in TARGETS {
        let world = World::new();
        // Later packets of a connection that is followed otherwise are no part of it.
        for rule in [
            rule,
            "-A INPUT -p tcp --dport 22 -m state --state NEW -j ACCEPT",
        ] {
            let words: Vec<&str> = rule.split(' ').collect();
            let made = world.command("iptables-nft", &words, "");
            let missing = made.stderr.contains("No such file") || made.stderr.contains("support");
            if !made.status.success() && !missing {
                wrong.push(format!("{rule}: {}", made.stderr));
            }
        }
        if let Err(message) = compare(&world, &[22, 50_000].into()) {
            wrong.push(format!("{rule}: {message}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
