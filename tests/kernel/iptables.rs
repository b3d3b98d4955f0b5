//! Random rulesets as iptables-save writes them, for both families.

use std::collections::BTreeSet;
use std::fmt;

use super::generator::Random;
use super::search::Ruleset;
use crate::support::world::World;

/// Edges of the usual ranges.
const PORTS: [u16; 10] = [
    1, 21, 22, 1024, 40_000, 49_999, 50_000, 50_050, 50_100, 60_000,
];

/// One of iptables' tables.
#[derive(Clone, Debug)]
struct Table {
    name: &'static str,
    /// The lines that declare the chains, then the rules.
    chains: Vec<String>,
    rules: Vec<String>,
}

/// Which of the kernel's packet filters rules go into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nftables,
    Legacy,
}

/// The rulesets of iptables and ip6tables, and the ports they mention.
#[derive(Clone, Debug)]
pub(crate) struct Dump {
    kind: Kind,
    families: [Vec<Table>; 2],
    ports: BTreeSet<u16>,
}

impl Dump {
    /// The ports that the rules mention.
    pub(crate) fn ports(&self) -> &BTreeSet<u16> {
        &self.ports
    }

    /// The same for that packet filter. The older one is stricter, and its refusals do not name the rule.
    pub(crate) fn of(mut self, kind: Kind) -> Self {
        if kind == Kind::Legacy {
            for table in self.families.iter_mut().flatten() {
                let early = matches!(table.name, "raw" | "mangle");
                table.rules.retain(|rule| {
                    let of_tcp = rule.contains("-m tcp") || rule.contains("-m multiport");
                    let routed = rule.contains("-m rpfilter") || rule.contains("-m socket");
                    (!of_tcp || rule.contains(" -p tcp")) && (!routed || early)
                });
            }
        }
        Self { kind, ..self }
    }

    /// Loads it beside what is there.
    pub(crate) fn add(&self, world: &World) -> Result<(), String> {
        let tools = match self.kind {
            Kind::Nftables => ["iptables-nft-restore", "ip6tables-nft-restore"],
            Kind::Legacy => ["iptables-legacy-restore", "ip6tables-legacy-restore"],
        };
        for (family, tool) in tools.iter().enumerate() {
            let output = world.command(tool, &["-w", "20"], &self.text(family));
            if !output.status.success() {
                return Err(format!("{family} {}", output.stderr));
            }
        }
        Ok(())
    }

    /// What `iptables-restore` reads.
    fn text(&self, family: usize) -> String {
        let lines = self.families[family].iter().flat_map(|table| {
            std::iter::once(format!("*{}", table.name))
                .chain(table.chains.iter().cloned())
                .chain(table.rules.iter().cloned())
                .chain(std::iter::once("COMMIT".to_owned()))
        });
        lines.map(|line| line + "\n").collect()
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "# iptables, {:?}\n{}# ip6tables\n{}",
            self.kind,
            self.text(0),
            self.text(1)
        )
    }
}

impl Ruleset for Dump {
    fn load(&self, world: &World) -> Result<(), String> {
        world.try_load("flush ruleset\n")?;
        self.add(world)
    }

    /// The refusal is such as `0 iptables-nft-restore: line 12 failed`.
    fn without_refused(mut self, message: &str) -> Self {
        let family = usize::from(message.starts_with('1'));
        let refused: BTreeSet<usize> = message
            .split("line")
            .skip(1)
            .filter_map(|rest| {
                let digits: String = rest
                    .chars()
                    .skip_while(|byte| !byte.is_ascii_digit())
                    .take_while(char::is_ascii_digit)
                    .collect();
                digits.parse().ok()
            })
            .collect();
        let mut line = 0;
        for table in &mut self.families[family] {
            let commit = line + 2 + table.chains.len() + table.rules.len();
            if refused.contains(&commit) {
                // Any of them may be the one: better fewer rules than no ruleset.
                let mut odd = false;
                table.rules.retain(|_| {
                    odd = !odd;
                    odd
                });
                break;
            }
            line += 1 + table.chains.len();
            table.rules.retain(|_| {
                line += 1;
                !refused.contains(&line)
            });
            line += 1;
        }
        self
    }

    fn reductions(&self) -> Vec<Self> {
        let mut smaller = Vec::new();
        let mut without = |change: &dyn Fn(&mut Self)| {
            let mut copy = self.clone();
            change(&mut copy);
            smaller.push(copy);
        };
        for (family, tables) in self.families.iter().enumerate() {
            if !tables.is_empty() {
                without(&|copy| copy.families[family].clear());
            }
            for table in 0..tables.len() {
                without(&|copy| drop(copy.families[family].remove(table)));
            }
            for (table, content) in tables.iter().enumerate() {
                for rule in 0..content.rules.len() {
                    without(&|copy| drop(copy.families[family][table].rules.remove(rule)));
                }
            }
        }
        smaller
    }
}

/// The rulesets of a seed.
pub(crate) fn generate(seed: u64) -> Dump {
    let mut writer = Writer {
        random: Random::new(seed ^ 0x1b7a_b1e5),
        ports: BTreeSet::new(),
        ipv6: false,
    };
    let families = [false, true].map(|ipv6| {
        writer.ipv6 = ipv6;
        writer.tables()
    });
    Dump {
        kind: Kind::Nftables,
        families,
        ports: writer.ports,
    }
}

/// The same on a host that bans the banned client in its filter table: at the head of INPUT, or of a chain that input and
/// forwarding share.
pub(crate) fn generate_host(seed: u64) -> Dump {
    let mut dump = generate(seed);
    let mut random = Random::new(!seed);
    for (family, address) in ["203.0.113.66/32", "2001:db8::66/128"].iter().enumerate() {
        let mut tables = dump.families[family].iter_mut();
        let Some(table) = tables.find(|table| table.name == "filter") else {
            continue;
        };
        if random.chance(20) {
            continue;
        }
        let shared = random.chance(40);
        let chain = if shared {
            "RH-Firewall-1-INPUT"
        } else {
            "INPUT"
        };
        let verdict = random.pick(&["DROP", "REJECT"]);
        let first = table
            .rules
            .iter()
            .position(|rule| rule.starts_with("-A INPUT"));
        let ban = format!("-A {chain} -s {address} -j {verdict}");
        table.rules.insert(first.unwrap_or(table.rules.len()), ban);
        if shared {
            for rule in &mut table.rules {
                if let Some(rest) = rule.strip_prefix("-A INPUT") {
                    *rule = format!("-A {chain}{rest}");
                }
            }
            table.chains.push(format!(":{chain} - [0:0]"));
            table.chains.push(":FORWARD ACCEPT [0:0]".to_owned());
            for hook in ["INPUT", "FORWARD"] {
                table.rules.push(format!("-A {hook} -j {chain}"));
            }
            if random.chance(70) {
                table.rules.push(format!("-A {chain} -j REJECT"));
            }
        }
    }
    dump
}

struct Writer {
    random: Random,
    ports: BTreeSet<u16>,
    ipv6: bool,
}

impl Writer {
    fn tables(&mut self) -> Vec<Table> {
        let mut tables = Vec::new();
        for (name, percent) in [("raw", 20), ("mangle", 20), ("nat", 20), ("filter", 100)] {
            if self.random.chance(percent) {
                tables.push(self.table(name));
            }
        }
        tables
    }

    fn table(&mut self, name: &'static str) -> Table {
        let entry = if name == "filter" {
            "INPUT"
        } else {
            "PREROUTING"
        };
        let policy = if name == "filter" {
            self.random.pick(&["DROP", "ACCEPT"])
        } else {
            "ACCEPT"
        };
        let mut chains = vec![
            format!(":{entry} {policy} [0:0]"),
            ":OUTPUT ACCEPT [0:0]".to_owned(),
        ];
        let subs = self.random.below(3);
        chains.extend((0..subs).map(|sub| format!(":sub{sub} - [0:0]")));
        let mut rules = Vec::new();
        // A chain jumps only to those with lower numbers, so no loop can arise.
        for sub in 0..subs {
            for _ in 0..=self.random.below(4) {
                rules.push(self.rule(name, &format!("sub{sub}"), sub));
            }
        }
        if self.random.chance(80) {
            let established = self.established();
            rules.push(format!("-A {entry} {established} -j ACCEPT"));
        }
        for _ in 0..=self.random.below(7) {
            rules.push(self.rule(name, entry, subs));
        }
        if name != "nat" && self.random.chance(15) {
            rules.push(self.rule("output", "OUTPUT", 0));
        }
        Table {
            name,
            chains,
            rules,
        }
    }

    fn established(&mut self) -> String {
        self.random
            .pick(&[
                "-m state --state RELATED,ESTABLISHED",
                "-m conntrack --ctstate RELATED,ESTABLISHED",
                "-m conntrack --ctstate ESTABLISHED,RELATED,UNTRACKED",
                "-m conntrack ! --ctstate NEW",
            ])
            .to_owned()
    }

    fn rule(&mut self, table: &str, chain: &str, subs: usize) -> String {
        let mut words = vec![format!("-A {chain}")];
        let tcp = self.random.chance(75);
        if tcp {
            words.push("-p tcp".to_owned());
        }
        for _ in 0..self.random.below(3) {
            // Two tests of one kind are refused; the rule is then left out.
            words.push(if tcp && self.random.chance(60) {
                self.port_test()
            } else {
                self.test(chain)
            });
        }
        words.push(self.target(table, subs));
        words.retain(|word| !word.is_empty());
        words.join(" ")
    }

    fn port(&mut self) -> u16 {
        let port = PORTS[self.random.below(PORTS.len())];
        self.ports.insert(port);
        port
    }

    fn port_test(&mut self) -> String {
        let (a, b, c) = (self.port(), self.port(), self.port());
        let (p, q) = (a.min(b), a.max(b));
        let not = self.random.pick(&["", "", "! "]);
        match self.random.below(6) {
            0 => format!("-m tcp {not}--dport {p}"),
            1 => format!("-m tcp {not}--dport {p}:{q}"),
            2 => format!("-m multiport {not}--dports {p},{q},{c}"),
            3 => format!("-m multiport {not}--dports {p}:{q},{c}"),
            4 => format!("-m multiport {not}--ports {p}:{q}"),
            _ => format!("-m tcp {not}--dport {p}: "),
        }
    }

    fn test(&mut self, chain: &str) -> String {
        let fixed = [
            "-m state --state NEW",
            "-m conntrack --ctstate NEW",
            "-m conntrack ! --ctstate ESTABLISHED",
            "-m conntrack --ctstate INVALID",
            "-m conntrack --ctstate UNTRACKED",
            "-m conntrack --ctdir ORIGINAL",
            "-m conntrack --ctproto tcp",
            "-m conntrack --ctproto tcp --ctorigdstport 50000:50100",
            "-m conntrack --ctstatus ASSURED",
            "-m conntrack --ctstate DNAT",
            "-m addrtype --dst-type LOCAL",
            "-m addrtype ! --dst-type LOCAL",
            "-m addrtype --src-type LOCAL",
            "-m addrtype --dst-type BROADCAST,MULTICAST",
            "-m limit --limit 10000/sec --limit-burst 10000",
            "-m hashlimit --hashlimit-above 10000/sec --hashlimit-burst 10000 --hashlimit-name h",
            "-m hashlimit --hashlimit-upto 10000/sec --hashlimit-burst 10000 --hashlimit-name u",
            "-m connlimit --connlimit-above 1000",
            "-m connlimit --connlimit-upto 1000",
            "-m recent --name r --update --seconds 60 --hitcount 20",
            "-m recent --name s --rcheck --seconds 60",
            "-m mark --mark 0x1",
            "-m mark --mark 0x0",
            "-m mark ! --mark 0x1/0x1",
            "-m connmark --mark 0x1",
            "-m comment --comment \"a comment\"",
            "-m length ! --length 40:65535",
            "-m pkttype --pkt-type host",
            "-m pkttype --pkt-type broadcast",
            "-m statistic --mode random --probability 0.5",
            "-m statistic --mode nth --every 2 --packet 0",
            "-m mac --mac-source 02:00:00:00:00:99",
            "-m mac ! --mac-source 02:00:00:00:00:99",
            "-m cpu --cpu 0",
            "-m dscp --dscp 0x00",
            "-m helper --helper ftp",
            "-m devgroup --src-group 0",
            "-m socket --transparent",
            "-m rpfilter",
            "-m rpfilter --invert",
            "-m time --timestart 00:00 --timestop 12:00",
            "-m string --string abc --algo bm",
            "-m tcp --syn",
            "-m tcp ! --syn",
            "-m tcp --tcp-flags FIN,SYN,RST,ACK SYN",
            "-m tcp --tcp-flags FIN,SYN FIN,SYN",
            "-m tcp --sport 1024:65535",
            "-m tcp ! --tcp-option 2",
            "-m tcpmss ! --mss 536:65535",
            "! -p udp",
            "-p udp -m udp --dport 53",
        ];
        let inward = [
            "-i eth0",
            "! -i eth0",
            "-i lo",
            "! -i lo",
            "-i eth+",
            "-i tun0",
        ];
        let v4 = [
            "-s 192.0.2.0/24",
            "! -s 192.0.2.0/24",
            "-s 10.0.0.0/8",
            "-d 203.0.113.1/32",
            "! -d 203.0.113.1/32",
            "-d 198.51.100.0/24",
            "-m iprange --src-range 192.0.2.1-192.0.2.9",
            "-m iprange ! --src-range 192.0.2.1-192.0.2.9",
            "-m iprange --dst-range 203.0.113.0-203.0.113.9",
            "-m ttl --ttl-gt 1",
            "-f",
            "! -f",
        ];
        let v6 = [
            "-s 2001:db8:bad::/48",
            "! -s fe80::/10",
            "-d 2001:db8::1/128",
            "! -d 2001:db8::1/128",
            "-m iprange --src-range 2001:db8:2::1-2001:db8:2::9",
            "-m hl --hl-gt 1",
            "-m ipv6header --header hop --soft",
            "-m rt --rt-type 0",
        ];
        match self.random.below(10) {
            0..2 if chain != "OUTPUT" => self.random.pick(&inward),
            2..5 if self.ipv6 => self.random.pick(&v6),
            2..5 => self.random.pick(&v4),
            _ => self.random.pick(&fixed),
        }
        .to_owned()
    }

    fn target(&mut self, table: &str, subs: usize) -> String {
        if subs > 0 && self.random.chance(30) {
            let word = self.random.pick(&["-j", "-j", "-g"]);
            return format!("{word} sub{}", self.random.below(subs));
        }
        let port = self.port();
        let own: &[&str] = match table {
            "raw" => &[
                "-j NOTRACK",
                "-j CT --notrack",
                "-j DROP",
                "-j MARK --set-xmark 0x1/0x1",
            ],
            "mangle" => &[
                "-j MARK --set-xmark 0x1/0xffffffff",
                "-j CONNMARK --set-xmark 0x1/0xffffffff",
                "-j CONNMARK --save-mark",
                "-j TOS --set-tos 0x10",
                "-j DROP",
            ],
            "filter" if self.ipv6 => &["-j REJECT --reject-with icmp6-adm-prohibited", "-j DROP"],
            "filter" => &[
                "-j REJECT --reject-with icmp-host-prohibited",
                "-j REJECT --reject-with icmp-port-unreachable",
                "-j DROP",
            ],
            _ => &["-j ACCEPT"],
        };
        match (self.random.below(100), table) {
            (0..25, "nat") => format!("-j REDIRECT --to-ports {port}"),
            (25..35, "nat") if !self.ipv6 => format!("-j DNAT --to-destination 203.0.113.1:{port}"),
            (0..35, _) => "-j ACCEPT".to_owned(),
            (35..70, _) => self.random.pick(own).to_owned(),
            (70..82, _) => "-j RETURN".to_owned(),
            (82..92, _) => "-j LOG --log-prefix \"x \"".to_owned(),
            _ => String::new(),
        }
    }
}
