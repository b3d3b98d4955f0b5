//! What rules test.

use super::super::vocabulary::rare_test;
use super::{Generator, PORTS};

impl Generator {
    pub(super) fn test(&mut self) -> String {
        if self.random.chance(20) {
            let ports = self.two_ports();
            return rare_test(&mut self.random, ports);
        }
        match self.random.below(100) {
            0..42 => self.port_test(),
            42..56 => self.address_test(),
            56..64 => self.interface_test(),
            64..72 => self.state_test(),
            72..80 => self.concatenation(),
            80..88 => self.exotic_test(),
            _ => self.other_test(),
        }
    }

    pub(super) fn port(&mut self) -> u16 {
        let port = PORTS[self.random.below(PORTS.len())];
        self.ports.insert(port);
        port
    }

    /// Two different ports, the lower first.
    pub(super) fn two_ports(&mut self) -> [u16; 2] {
        loop {
            let (a, b) = (self.port(), self.port());
            if a != b {
                return [a.min(b), a.max(b)];
            }
        }
    }

    pub(super) fn port_test(&mut self) -> String {
        let [p, q] = self.two_ports();
        let not = self.random.pick(&["", "", "!= "]);
        match self.random.below(13) {
            0 | 1 => format!("tcp dport {not}{p}"),
            2 | 3 => format!("tcp dport {not}{p}-{q}"),
            4 => format!("tcp dport {not}{{ {p}, {q} }}"),
            5 => format!("tcp dport {not}{{ {p}-{q}, 50005 }}").replace(", 50005", ""),
            6 if !self.sets.is_empty() => {
                format!("tcp dport {not}@{}", self.random.pick(&self.sets))
            }
            7 => format!("tcp dport > {p}"),
            8 => format!("tcp dport <= {q}"),
            9 => {
                let mask = self.random.pick(&["0xff00", "0xfff0", "0x0001", "0x00ff"]);
                let mask_value = u16::from_str_radix(&mask[2..], 16).expect("a hexadecimal mask");
                format!("tcp dport & {mask} == {:#x}", p & mask_value)
            }
            10 => format!("th dport {not}{p}"),
            11 => format!("meta l4proto tcp th dport {p}-{q}"),
            _ => format!("meta l4proto . th dport {{ tcp . {p}, udp . {q}, tcp . {q} }}"),
        }
    }

    pub(super) fn address_test(&mut self) -> String {
        let not = self.random.pick(&["", "", "!= "]);
        let v4 = match self.random.below(6) {
            0 => format!("ip saddr {not}100.64.0.0/10"),
            1 => format!("ip saddr {not}192.0.2.1"),
            2 => format!("ip saddr {not}{{ 10.0.0.0/8, 192.168.0.0/16 }}"),
            3 => format!("ip daddr {not}203.0.113.1"),
            4 => format!("ip daddr {not}198.51.100.0/24"),
            _ => format!("ip saddr {not}128.0.0.0/1"),
        };
        let v6 = match self.random.below(4) {
            0 => format!("ip6 saddr {not}2001:db8:bad::/48"),
            1 => format!("ip6 saddr {not}fe80::/10"),
            2 => format!("ip6 daddr {not}2001:db8::1"),
            _ => format!("ip6 saddr {not}{{ 2001:db8:2::1, fc00::/7 }}"),
        };
        match self.family {
            "ip" => v4,
            "ip6" => v6,
            _ if self.random.chance(50) => v4,
            _ => v6,
        }
    }

    pub(super) fn interface_test(&mut self) -> String {
        if self.hook == "output" || self.hook == "postrouting" {
            return self
                .random
                .pick(&["oifname \"eth0\"", "oif \"lo\"", "oifname != \"lo\""])
                .to_owned();
        }
        self.random
            .pick(&[
                "iif \"lo\"",
                "iif != \"lo\"",
                "iifname \"eth0\"",
                "iifname \"eth1\"",
                "iifname != \"eth0\"",
                "iifname \"eth*\"",
                "iifname { \"lo\", \"eth1\" }",
                "iifname != { \"lo\", \"tun0\" }",
                "meta iiftype ether",
                "iiftype loopback",
            ])
            .to_owned()
    }

    pub(super) fn state_test(&mut self) -> String {
        self.random
            .pick(&[
                "ct state new",
                "ct state established",
                "ct state new,established",
                "ct state { new, untracked }",
                "ct state invalid",
                "ct state != established",
                "ct state & (established | related) == 0x0",
                "ct state untracked",
                "ct direction original",
                "ct direction reply",
                "ct status dnat",
                "ct status seen-reply",
                "meta l4proto tcp ct original proto-dst 50000",
            ])
            .to_owned()
    }

    pub(super) fn concatenation(&mut self) -> String {
        let [p, q] = self.two_ports();
        let not = self.random.pick(&["", "", "!= "]);
        match self.random.below(5) {
            0 if self.family == "inet" => {
                format!("meta nfproto . tcp dport {not}{{ ipv4 . {p}, ipv6 . {q} }}")
            }
            1 => format!("iifname . tcp dport {not}{{ \"eth0\" . {p}, \"eth1\" . {q} }}"),
            2 if self.family != "ip6" => {
                format!("ip saddr . tcp dport {not}{{ 100.64.0.10 . {p}-{q}, 192.0.2.0/24 . {q} }}")
            }
            3 if self.family != "ip6" => {
                format!("ip daddr . tcp dport {not}{{ 203.0.113.1 . {p}-{q} }}")
            }
            _ => format!("meta l4proto . tcp dport {not}{{ tcp . {p}-{q} }}"),
        }
    }

    /// Things that rules seldom ask: what is not understood must not be guessed.
    pub(super) fn exotic_test(&mut self) -> String {
        let [p, q] = self.two_ports();
        let tests = [
            format!("@th,16,16 {p}"),
            format!("@th,16,16 != {p}-{q}"),
            format!("@th,0,32 & 0xffff == {p}"),
            format!("ct state . tcp dport {{ new . {p}, established . {q} }}"),
            format!("tcp dport . ct state {{ {p} . new, {q} . new }}"),
            format!("tcp dport . tcp sport {{ {p} . 1024-65535, {q} . 1-65535 }}"),
            format!("meta mark . tcp dport {{ 0x0 . {p}, 0x1 . {q} }}"),
            format!("tcp dport {{ {p} timeout 1h, {q} timeout 1h }}"),
            format!("tcp dport {{ {p} counter, {q} counter }}"),
            format!("meta l4proto tcp ct proto-dst {p}"),
            format!("meta l4proto tcp ct original proto-dst {p}-{q}"),
            format!("meta l4proto tcp ct reply proto-src != {p}"),
        ];
        let fixed = [
            "ether saddr 02:00:00:00:00:99",
            "ether saddr != 02:00:00:00:00:99",
            "ether type ip",
            "meta iifgroup 0",
            "meta iifgroup != 1",
            "meta iifkind \"veth\"",
            "tcp doff > 4",
            "tcp window > 0",
            "tcp sequence > 0",
            "tcp flags syn / fin,syn,rst,ack",
            "tcp flags != syn",
            "tcp flags { syn, syn | ack }",
            "tcp option sack-perm exists",
            "tcp option window missing",
            "meta hour \"00:00\"-\"12:00\"",
            "meta day \"Monday\"",
            "quota over 100 mbytes",
            "quota 100 mbytes",
            "socket transparent 1",
            "socket wildcard 0",
            "osf name \"Linux\"",
            "ct bytes > 100000",
            "ct packets < 3",
            "ct expiration > 1s",
            "ct helper \"ftp\"",
            "ct zone 0",
            "ct label 1",
            "ct status confirmed",
            "ct status != confirmed",
            "ct status & (snat | dnat) == 0x0",
            "meta cpu 0",
            "meta skuid 0",
            "meta ipsec missing",
            "meta secpath missing",
            "rt ipsec missing",
            "numgen inc mod 2 0",
            "fib saddr . iif oif exists",
            "fib saddr . iif oif missing",
            "fib saddr oif missing",
            "fib saddr type unicast",
            "fib saddr type local",
            "fib daddr . iif type local",
            "fib daddr . iif type != local",
        ];
        let v4 = [
            "ip protocol tcp",
            "ip protocol != tcp",
            "ip protocol { tcp, icmp }",
            "ip ttl > 1",
            "ip ttl 64",
            "ip length > 40",
            "ip dscp cs0",
            "ip frag-off & 0x1fff == 0",
            "ip frag-off & 0x1fff != 0",
            "ip version 4",
            "ip hdrlength 5",
            "ip saddr & 255.0.0.0 == 10.0.0.0",
            "ip saddr 0.0.0.0/0",
            "ip saddr . ip daddr { 10.0.0.1 . 203.0.113.1 }",
            "ip option rr exists",
        ];
        let v6 = [
            "ip6 nexthdr tcp",
            "ip6 nexthdr != tcp",
            "ip6 nexthdr { tcp, udp }",
            "ip6 hoplimit > 1",
            "ip6 flowlabel > 0",
            "ip6 version 6",
            "ip6 saddr ::/0",
            "ip6 daddr fe80::/10",
            "exthdr frag missing",
            "exthdr hbh exists",
        ];
        let family = match self.family {
            "ip" => v4.as_slice(),
            "ip6" => v6.as_slice(),
            _ if self.random.chance(50) => v4.as_slice(),
            _ => v6.as_slice(),
        };
        match self.random.below(3) {
            0 => tests[self.random.below(tests.len())].clone(),
            1 => self.random.pick(&fixed).to_owned(),
            _ => self.random.pick(family).to_owned(),
        }
    }

    pub(super) fn other_test(&mut self) -> String {
        let tests = [
            "meta l4proto tcp",
            "meta l4proto { tcp, udp }",
            "meta l4proto != udp",
            "meta l4proto icmp",
            "meta nfproto ipv4",
            "meta nfproto ipv6",
            "meta protocol ip",
            // Never exceeded: what happens beyond a rate is an exception, not a verdict.
            "limit rate 10000/second burst 10000 packets",
            "limit rate over 10000/second burst 10000 packets",
            "meta mark 0x0",
            "meta mark 0x1",
            "meta mark != 0x1",
            "meta mark & 0x1 == 0x1",
            "ct mark 0x0",
            "ct mark 0x1",
            "fib daddr type local",
            "fib daddr type != local",
            "fib daddr type { broadcast, multicast }",
            "tcp flags syn",
            "tcp flags & (fin|syn|rst|ack) == syn",
            "tcp flags & (fin|syn|rst|ack) != syn",
            "tcp flags ack",
            "meta pkttype host",
            "meta pkttype { broadcast, multicast }",
            "tcp sport 1024-65535",
            "tcp sport < 1024",
            "numgen random mod 2 0",
            "meta length > 40",
            "udp dport 53",
            "tcp option maxseg size > 0",
            "tcp option maxseg size != 536-65535",
            "tcp option maxseg missing",
            "meta length < 40",
            "meta length > 100",
            "tcp window 0",
            "ct count over 1000",
        ];
        let test = self.random.pick(&tests);
        match (self.hook, test) {
            (_, family) if family.contains("nfproto") && self.family != "inet" => {
                "meta l4proto tcp"
            }
            ("any" | "output" | "postrouting", fib) if fib.starts_with("fib") => "meta l4proto tcp",
            (_, test) => test,
        }
        .to_owned()
    }
}
