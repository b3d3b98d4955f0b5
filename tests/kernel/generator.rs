//! Random rulesets of nftables: small enough to understand when one fails, strange enough to fail.
//!
//! The client's own addresses are never matched narrowly: the evaluator speaks of an unknown remote address.

use std::collections::BTreeSet;

mod matches;

use super::case::{Case, Chain, Table};
use super::vocabulary::{bridge_table, device_table, rare_map, rare_statement};

/// `SplitMix64`: a case is known by its seed alone, on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True in `percent` of a hundred draws.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of the items.
    pub(crate) fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len())]
    }
}

/// Ports that rules speak of: edges of the usual ranges, and both ends of the port space.
const PORTS: [u16; 16] = [
    1, 21, 22, 80, 1023, 1024, 3306, 8080, 40_000, 49_999, 50_000, 50_010, 50_050, 50_100, 60_000,
    65_535,
];

/// The ruleset of a seed.
pub(crate) fn generate(seed: u64) -> Case {
    let mut generator = Generator {
        random: Random::new(seed),
        ports: BTreeSet::new(),
        family: "inet",
        sets: Vec::new(),
        learns: false,
        maps: Vec::new(),
        hook: "input",
        below: Vec::new(),
    };
    let count = 1 + generator.random.below(3);
    let mut tables: Vec<Table> = (0..count).map(|index| generator.table(index)).collect();
    if generator.random.chance(12) {
        let ports = generator.two_ports();
        tables.push(device_table(&mut generator.random, ports));
    }
    Case {
        tables,
        ports: generator.ports,
    }
}

/// The ruleset of a seed for a host whose address is on a bridge.
pub(crate) fn generate_bridged(seed: u64) -> Case {
    let mut case = generate(seed);
    let mut random = Random::new(!seed);
    let ports: Vec<u16> = case.ports.iter().copied().collect();
    if let [first, .., last] = ports.as_slice() {
        let between = ports[random.below(ports.len())];
        let low = if between < *last { between } else { *first };
        case.tables.push(bridge_table(&mut random, [low, *last]));
    }
    case
}

/// The ruleset of a seed for a host with bans: a chain that filters input begins with them, sometimes through a chain
/// that the catch-all jumps to as well, and forwarding may share the sub-chains.
pub(crate) fn generate_host(seed: u64) -> Case {
    let mut case = generate(seed);
    let mut random = Random::new(!seed);
    // What chance decides, or what was there before, is no measure of what an edit has changed.
    for chain in case.tables.iter_mut().flat_map(|table| &mut table.chains) {
        let fickle = [
            "hash",
            "numgen",
            "1/day",
            "limit name",
            "quota name",
            "meter",
            "update @",
            "add @",
        ];
        let steady = |rule: &String| !fickle.iter().any(|word| rule.contains(word));
        chain.rules.retain(steady);
    }
    for table in &mut case.tables {
        let filters = |chain: &&mut Chain| chain.filters_input();
        let Some(input) = table.chains.iter_mut().find(filters) else {
            continue;
        };
        let shared = random.chance(40);
        let verdict = if shared { "jump drp" } else { "drop" };
        if table.family != "ip" {
            let ban = format!("ip6 saddr 2001:db8::66 {verdict}");
            input.rules.insert(0, ban);
        }
        if table.family != "ip6" {
            let ban = random.pick(&["203.0.113.66", "{ 192.0.2.7, 203.0.113.66 }"]);
            input.rules.insert(0, format!("ip saddr {ban} {verdict}"));
        }
        if shared {
            let last = random.pick(&["jump drp", "goto drp", "meta l4proto tcp jump drp"]);
            input.rules.push(last.to_owned());
            let rules = ["counter log", "drop"].map(str::to_owned).to_vec();
            let name = "drp".to_owned();
            table.chains.insert(
                0,
                Chain {
                    name,
                    base: None,
                    rules,
                },
            );
        }
        let subs: Vec<String> = table
            .chains
            .iter()
            .filter(|chain| chain.base.is_none())
            .map(|chain| chain.name.clone())
            .collect();
        if random.chance(35) && !subs.is_empty() {
            let sub = &subs[random.below(subs.len())];
            let policy = random.pick(&["accept", "drop"]);
            table.chains.push(Chain {
                name: "through".to_owned(),
                base: Some(format!(
                    "type filter hook forward priority 0; policy {policy};"
                )),
                rules: vec![
                    "ct state established accept".to_owned(),
                    format!("jump {sub}"),
                ],
            });
        }
    }
    case
}

/// What is being written: the current table's family and sets, and the chains that the current one may jump to.
struct Generator {
    random: Random,
    ports: BTreeSet<u16>,
    family: &'static str,
    sets: Vec<&'static str>,
    /// Whether this table has rules that learn, or change what later rules see.
    learns: bool,
    maps: Vec<&'static str>,
    hook: &'static str,
    below: Vec<String>,
}

impl Generator {
    fn table(&mut self, index: usize) -> Table {
        self.family = self.random.pick(&["inet", "inet", "inet", "ip", "ip6"]);
        let sets = self.named_sets();
        let mut chains = Vec::new();
        self.below = Vec::new();
        // The deepest sub-chain first: a chain jumps only to chains that are there already, so no loop can arise.
        let deep = self.random.pick(&[&4, &4, &4, &8]);
        for number in 0..self.random.below(*deep) {
            self.hook = "any";
            let name = format!("sub{number}");
            let rules = self.rules(4);
            chains.push(Chain {
                name: name.clone(),
                base: None,
                rules,
            });
            self.below.push(name);
        }
        for number in 0..=self.random.below(3) {
            let base = self.base(index == 0 && number == 0);
            let rules = self.rules(7);
            chains.push(Chain {
                name: format!("base{number}"),
                base: Some(base),
                rules,
            });
        }
        Table {
            family: self.family,
            name: format!("t{index}"),
            sets,
            chains,
        }
    }

    /// The line that makes a base chain, and which hook the next rules are for.
    fn base(&mut self, input: bool) -> String {
        let (kind, hook, priorities): (&str, &'static str, &[&str]) =
            match self.random.below(if input { 60 } else { 100 }) {
                0..60 => ("filter", "input", &["-10", "0", "0", "0", "10", "100"]),
                60..76 => ("filter", "prerouting", &["-300", "-150", "0", "-90"]),
                76..84 => ("filter", "output", &["0", "-150", "-300"]),
                84..87 => ("filter", "postrouting", &["0", "110"]),
                87..92 => ("nat", "prerouting", &["-100"]),
                92..94 => ("nat", "input", &["100"]),
                94..96 => ("nat", "postrouting", &["100"]),
                _ => ("filter", "forward", &["0"]),
            };
        self.hook = if kind == "nat" && hook == "prerouting" {
            "nat"
        } else {
            hook
        };
        let drops = match (kind, hook) {
            ("nat", _) => 4,
            (_, "input") => 45,
            _ => 15,
        };
        let policy = if self.random.chance(drops) {
            "drop"
        } else {
            "accept"
        };
        let priority = self.random.pick(priorities);
        format!("type {kind} hook {hook} priority {priority}; policy {policy};")
    }

    fn rules(&mut self, most: usize) -> Vec<String> {
        let mut rules = Vec::new();
        // Without it nearly every ruleset with a drop would be closed for its second packet already.
        if self.hook != "any" && self.random.chance(75) {
            rules.push(self.established());
        }
        if self.hook == "output" && self.random.chance(60) {
            let port = self.port_test();
            rules.push(format!("{} accept", port.replace("dport", "sport")));
        }
        for _ in 0..=self.random.below(most) {
            rules.push(self.rule());
        }
        rules
    }

    fn established(&mut self) -> String {
        self.random
            .pick(&[
                "ct state established,related accept",
                "ct state { established, related } accept",
                "ct state vmap { established : accept, related : accept, invalid : drop }",
                "ct state established accept",
                "ct state != new accept",
                "ct direction reply accept",
                "ct state established counter accept",
            ])
            .to_owned()
    }

    fn rule(&mut self) -> String {
        if self.hook == "nat" && self.random.chance(50) {
            return self.translation();
        }
        let mut words = Vec::new();
        for _ in 0..self.random.pick(&[&0, &1, &1, &1, &2, &2, &3]).to_owned() {
            words.push(self.test());
        }
        if self.random.chance(15) {
            let aside = [
                "counter",
                "log prefix \"x \"",
                "limit rate 10000/second burst 10000 packets log",
                "counter log",
            ];
            words.push(self.random.pick(&aside).to_owned());
        }
        if self.random.chance(8) {
            words.push(self.change());
        }
        if self.learns && self.random.chance(6) {
            let port = self.port();
            words.push(rare_statement(&mut self.random, port));
        }
        words.push(self.verdict());
        words.retain(|word| !word.is_empty());
        if words.is_empty() {
            words.push("counter".to_owned());
        }
        words.join(" ")
    }

    fn verdict(&mut self) -> String {
        if !self.below.is_empty() && self.random.chance(30) {
            let target = self.below[self.random.below(self.below.len())].clone();
            let word = self.random.pick(&["jump", "jump", "jump", "goto"]);
            return format!("{word} {target}");
        }
        match self.random.below(100) {
            0..34 => "accept".to_owned(),
            34..56 => "drop".to_owned(),
            56..66 => self.reject(),
            66..76 => "return".to_owned(),
            76..79 => "continue".to_owned(),
            79..92 => self.verdict_map(),
            _ => String::new(),
        }
    }

    fn reject(&mut self) -> String {
        if self.hook == "prerouting" && self.random.chance(50) {
            return "drop".to_owned();
        }
        match self.family {
            "inet" => self.random.pick(&[
                "reject",
                "reject with icmpx admin-prohibited",
                "reject with icmpx port-unreachable",
                "meta l4proto tcp reject with tcp reset",
            ]),
            "ip" => self
                .random
                .pick(&["reject", "reject with icmp host-prohibited"]),
            _ => self
                .random
                .pick(&["reject", "reject with icmpv6 addr-unreachable"]),
        }
        .to_owned()
    }

    fn target(&mut self) -> String {
        let simple = ["accept", "drop", "return", "continue", "accept", "drop"];
        if !self.below.is_empty() && self.random.chance(35) {
            let name = self.below[self.random.below(self.below.len())].clone();
            return format!("{} {name}", self.random.pick(&["jump", "goto"]));
        }
        self.random.pick(&simple).to_owned()
    }

    fn verdict_map(&mut self) -> String {
        let (a, b, c) = (self.target(), self.target(), self.target());
        let [p, q] = self.two_ports();
        if self.random.chance(30) {
            return rare_map(&mut self.random, [p, q], [&a, &b, &c]);
        }
        match self.random.below(6) {
            0 if !self.maps.is_empty() => "tcp dport vmap @ports".to_owned(),
            0 | 1 => format!("tcp dport vmap {{ {p} : {a}, {q} : {b} }}"),
            2 => format!(
                "tcp dport vmap {{ 0-{p} : {a}, {}-65535 : {b} }}",
                p.saturating_add(1)
            ),
            3 => format!("iifname vmap {{ \"eth0\" : {a}, \"lo\" : {b}, \"eth1\" : {c} }}"),
            4 => format!("meta l4proto vmap {{ tcp : {a}, udp : {b} }}"),
            _ => format!("ct state vmap {{ new : {a}, established : {b}, invalid : {c} }}"),
        }
    }

    fn translation(&mut self) -> String {
        let port = self.port_test();
        let to = self.port();
        match self.random.below(10) {
            0 | 1 => format!("{port} redirect to :{to}"),
            5 => format!("{port} redirect to :{to}-65535"),
            6 => format!("{port} dnat to :{to}"),
            2 => format!("{port} redirect"),
            4 => format!("redirect to :tcp dport map {{ {to} : 22, 50050 : {to} }}"),
            7 => format!("{port} redirect to :{to} random"),
            3 if self.family != "ip6" => format!("{port} dnat ip to 203.0.113.1:{to}").replace(
                "dnat ip to",
                if self.family == "ip" {
                    "dnat to"
                } else {
                    "dnat ip to"
                },
            ),
            _ => format!("{port} accept"),
        }
    }

    fn change(&mut self) -> String {
        self.random
            .pick(&[
                "meta mark set 0x1",
                "meta mark set 0x2",
                "ct mark set 0x1",
                "meta mark set ct mark",
                "meta priority set 1:2",
                "meta nftrace set 1",
                "tcp option maxseg size set 1200",
                "ct mark set meta mark or 0x1",
                "meta mark set meta mark xor 0x1",
                "tcp dport set 21",
                "ip dscp set cs1",
                "add @seen { ip saddr }",
                "update @seen { ip saddr limit rate over 10000/second burst 10000 packets }",
                "notrack",
            ])
            .to_owned()
    }

    /// Sets that rules of this table may name.
    fn named_sets(&mut self) -> Vec<String> {
        self.sets.clear();
        self.maps.clear();
        let mut sets = [
            "set learned { type inet_service; flags dynamic,timeout; timeout 1m; }",
            "limit slow { rate over 1/day burst 1 packets }",
            "quota much { over 1000 mbytes }",
            "counter seen { }",
        ]
        .map(str::to_owned)
        .to_vec();
        self.learns = self.random.chance(40);
        if self.random.chance(40) {
            let [p, q] = self.two_ports();
            self.sets.push("plain");
            sets.push(format!(
                "set plain {{ type inet_service; elements = {{ {p}, {q} }}; }}"
            ));
        }
        if self.random.chance(40) {
            let [p, q] = self.two_ports();
            let more = if p > 22 { "21-22, " } else { "" };
            self.sets.push("ranges");
            sets.push(format!(
                "set ranges {{ type inet_service; flags interval; elements = {{ {more}{p}-{q} }}; }}"
            ));
        }
        if self.random.chance(15) {
            self.sets.push("empty");
            sets.push("set empty { type inet_service; flags interval; }".to_owned());
        }
        if self.random.chance(30) && self.family != "ip6" {
            sets.push("set seen { type ipv4_addr; size 1000; flags dynamic; }".to_owned());
        }
        if self.random.chance(25) {
            let [p, q] = self.two_ports();
            self.maps.push("ports");
            sets.push(format!(
                "map ports {{ type inet_service : verdict; elements = {{ {p} : accept, {q} : drop }}; }}"
            ));
        }
        sets
    }
}
