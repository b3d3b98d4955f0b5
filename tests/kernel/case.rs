//! A ruleset in parts: it can be printed for nft, and made smaller.

use std::collections::BTreeSet;
use std::fmt;

use super::search::Ruleset;
use crate::support::world::World;

/// A chain; `base` is the line with its type, hook, priority and policy.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) name: String,
    pub(crate) base: Option<String>,
    pub(crate) rules: Vec<String>,
}

/// A table with its sets and maps as text.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) family: &'static str,
    pub(crate) name: String,
    pub(crate) sets: Vec<String>,
    pub(crate) chains: Vec<Chain>,
}

/// A ruleset, and the ports its rules mention.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) tables: Vec<Table>,
    pub(crate) ports: BTreeSet<u16>,
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for table in &self.tables {
            writeln!(formatter, "table {} {} {{", table.family, table.name)?;
            for set in &table.sets {
                writeln!(formatter, "\t{set}")?;
            }
            for chain in &table.chains {
                writeln!(formatter, "\tchain {} {{", chain.name)?;
                for line in chain.base.iter().chain(&chain.rules) {
                    writeln!(formatter, "\t\t{line}")?;
                }
                writeln!(formatter, "\t}}")?;
            }
            writeln!(formatter, "}}")?;
        }
        write!(formatter, "{TRACKED}")
    }
}

/// The last table of every ruleset. Without any `ct` or nat expression the kernel does not track connections, and
/// packets then pass by every nat chain, even one that drops: true, but no host is like that.
pub(crate) const TRACKED: &str = "table inet tracked {
\tchain forward {
\t\ttype filter hook forward priority 0; policy accept;
\t\tct state invalid counter
\t}
}
";

impl Ruleset for Case {
    fn load(&self, world: &World) -> Result<(), String> {
        world.try_load(&format!("flush ruleset\n{self}"))
    }

    fn without_refused(self, message: &str) -> Self {
        // Such as `/dev/stdin:12:3-9: Error: ...`; line 1 is the flush.
        let lines = message
            .lines()
            .filter_map(|line| {
                let place = line.strip_prefix("/dev/stdin:")?;
                place.split(':').next()?.parse().ok()
            })
            .map(|line: usize| line - 1)
            .collect();
        self.without_lines(&lines)
    }

    fn reductions(&self) -> Vec<Self> {
        let mut smaller = Vec::new();
        let mut without = |change: &dyn Fn(&mut Self)| {
            let mut copy = self.clone();
            change(&mut copy);
            smaller.push(copy);
        };
        for table in 0..self.tables.len() {
            without(&|copy| drop(copy.tables.remove(table)));
        }
        for (table, content) in self.tables.iter().enumerate() {
            for chain in 0..content.chains.len() {
                without(&|copy| drop(copy.tables[table].chains.remove(chain)));
            }
        }
        for (table, content) in self.tables.iter().enumerate() {
            for (chain, rules) in content.chains.iter().enumerate() {
                for rule in 0..rules.rules.len() {
                    without(&|copy| drop(copy.tables[table].chains[chain].rules.remove(rule)));
                }
            }
            for set in 0..content.sets.len() {
                without(&|copy| drop(copy.tables[table].sets.remove(set)));
            }
        }
        smaller
    }
}

impl Chain {
    /// Whether it is a base chain that filters input.
    pub(crate) fn filters_input(&self) -> bool {
        let base = self.base.as_deref().unwrap_or_default();
        base.starts_with("type filter hook input")
    }
}

/// For each family, whether a chain begins with a ban of the banned client that nothing comes before.
pub(crate) fn bans(case: &Case) -> [bool; 2] {
    ["ip saddr", "ip6 saddr"].map(|test| {
        case.tables.iter().any(|table| {
            let lands = table
                .chains
                .iter()
                .any(|chain| chain.name == "drp" && chain.rules.iter().any(|rule| rule == "drop"));
            let bans = |rule: &String| {
                rule.starts_with(test)
                    && rule.contains("66")
                    && (rule.ends_with(" drop") || lands && rule.ends_with(" jump drp"))
            };
            // The other family's ban may stand first.
            table
                .chains
                .iter()
                .filter(|chain| chain.filters_input())
                .any(|chain| {
                    chain
                        .rules
                        .iter()
                        .take_while(|rule| rule.contains("66"))
                        .any(bans)
                })
        })
    })
}

impl Case {
    /// Leaves out the rules and sets that stand on these lines of its text, counted from 1.
    fn without_lines(mut self, lines: &BTreeSet<usize>) -> Self {
        let mut line = 0;
        let mut keep = || {
            line += 1;
            !lines.contains(&line)
        };
        for table in &mut self.tables {
            keep();
            table.sets.retain(|_| keep());
            for chain in &mut table.chains {
                keep();
                if chain.base.is_some() {
                    keep();
                }
                chain.rules.retain(|_| keep());
                keep();
            }
            keep();
        }
        self
    }
}
