//! The tables of iptables and ip6tables: in `nf_tables` (iptables-nft) and in the older `x_tables` (iptables-legacy).
//!
//! Rules in the former are written over netlink like those of native tables, in the form that iptables itself gives
//! them, so that `iptables -S` shows them and `iptables-save` keeps them. The latter are written by iptables-legacy.

#[cfg(feature = "kernel")]
pub(crate) mod legacy;

use std::fmt;

use crate::model::ports::PortRange;
use crate::model::reach::Family;
use crate::model::ruleset::{Chain, Filter, Rule, Ruleset, Statement, Table, TableFamily};
use crate::own::{self, Own};
use crate::proof::place::{Insertion, MARK};

/// The tables that iptables has.
const TABLES: [&str; 5] = ["raw", "mangle", "nat", "filter", "security"];
/// Its base chains, named as their hooks.
const BASE_CHAINS: [&str; 5] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];

/// A rule of ours that is put in or taken out, printed as an admin would type it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Which of iptables and ip6tables.
    pub family: Family,
    /// Which of the two packet filters.
    pub filter: Filter,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// What is done there.
    pub action: Action,
}

/// What is done in a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A new rule that accepts connections to ports.
    Insert {
        /// The number it will have in the chain, from 1; `None`: at the end.
        number: Option<usize>,
        /// The ports.
        ports: PortRange,
        /// Accepts only what is addressed to the host itself.
        local_only: bool,
    },
    /// A rule goes away.
    Delete {
        /// Its number in the chain, from 1.
        number: usize,
    },
}

impl Edit {
    /// The program that makes the edit.
    pub fn program(&self) -> &'static str {
        match (self.family, self.filter) {
            (Family::Ipv4, Filter::Nftables) => "iptables",
            (Family::Ipv6, Filter::Nftables) => "ip6tables",
            (Family::Ipv4, Filter::Legacy) => "iptables-legacy",
            (Family::Ipv6, Filter::Legacy) => "ip6tables-legacy",
        }
    }
}

/// Without `-t`, iptables means the table `filter`.
impl fmt::Display for Edit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.program())?;
        if self.table != "filter" {
            write!(formatter, " -t {}", self.table)?;
        }
        let chain = &self.chain;
        match &self.action {
            Action::Insert {
                number,
                ports,
                local_only,
            } => {
                match number {
                    Some(number) => write!(formatter, " -I {chain} {number}")?,
                    None => write!(formatter, " -A {chain}")?,
                }
                write!(formatter, " {}", specification(*ports, *local_only))
            }
            Action::Delete { number } => write!(formatter, " -D {chain} {number}"),
        }
    }
}

/// The rule as `iptables -S` prints it.
pub(crate) fn specification(ports: PortRange, local_only: bool) -> String {
    let range = match (ports.first(), ports.last()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}:{last}"),
    };
    let local = if local_only {
        " -m addrtype --dst-type LOCAL"
    } else {
        ""
    };
    format!("-p tcp -m tcp --dport {range}{local} -m comment --comment {MARK} -j ACCEPT")
}

/// Whether iptables made the table, and shows it. A native table may have the same name; its rules have no counters
/// unless its admin wants them, while iptables counts in every rule.
pub fn is_iptables(table: &Table) -> bool {
    if table.filter == Filter::Legacy {
        return true;
    }
    let counts = |rule: &Rule| {
        let mut statements = rule.statements.iter();
        own::is_own(rule)
            || statements.any(
                |statement| matches!(statement, Statement::Neutral { text } if text == "counter"),
            )
    };
    let mut bases = table.chains.iter().filter(|chain| chain.base.is_some());
    matches!(table.family, TableFamily::Ip | TableFamily::Ip6)
        && TABLES.contains(&table.name.as_str())
        && bases.all(|chain| BASE_CHAINS.contains(&chain.name.as_str()))
        && table.chains.iter().flat_map(Chain::rules).all(counts)
}

/// Packet filter, family, table, chain.
type ChainKey = (Filter, TableFamily, String, String);

/// The numbers of rules while edits are made one after the other.
#[derive(Debug)]
pub(crate) struct Numbers<'r> {
    ruleset: &'r Ruleset,
    /// For each chain that is edited, the handles of its rules in order; 0 for a new one.
    chains: Vec<(ChainKey, Vec<u64>)>,
}

impl<'r> Numbers<'r> {
    pub(crate) fn new(ruleset: &'r Ruleset) -> Self {
        Self {
            ruleset,
            chains: Vec::new(),
        }
    }

    /// The handles of a chain's rules, as the edits so far leave them.
    fn chain(
        &mut self,
        filter: Filter,
        family: TableFamily,
        table: &str,
        chain: &str,
    ) -> &mut Vec<u64> {
        let key = (filter, family, table.to_owned(), chain.to_owned());
        let known = self.chains.iter().position(|(known, _)| *known == key);
        let index = known.unwrap_or_else(|| {
            let table = self.ruleset.table(filter, family, table);
            let rules = table.and_then(|table| table.chain(chain)).map(Chain::rules);
            let rules = rules.unwrap_or_default().iter();
            let mut handles: Vec<u64> = rules.map(|rule| rule.handle).collect();
            // A rule whose match is an "or" has become two with one handle.
            handles.dedup();
            self.chains.push((key, handles));
            self.chains.len() - 1
        });
        &mut self.chains[index].1
    }

    /// The edit that deletes a rule; `None` when it is not there.
    pub(crate) fn delete(&mut self, own: &Own) -> Option<Edit> {
        let family = family(own.family)?;
        let handles = self.chain(own.filter, own.family, &own.table, &own.chain);
        let index = handles.iter().position(|handle| *handle == own.handle)?;
        handles.remove(index);
        Some(Edit {
            family,
            filter: own.filter,
            table: own.table.clone(),
            chain: own.chain.clone(),
            action: Action::Delete { number: index + 1 },
        })
    }

    /// The edit that makes an insertion; `None` when the rule that it belongs before is not there.
    pub(crate) fn insert(&mut self, insertion: &Insertion) -> Option<Edit> {
        let family = family(insertion.family)?;
        let handles = self.chain(
            insertion.filter,
            insertion.family,
            &insertion.table,
            &insertion.chain,
        );
        let index = match insertion.before {
            Some(before) => Some(handles.iter().position(|handle| *handle == before)?),
            None => None,
        };
        handles.insert(index.unwrap_or(handles.len()), 0);
        Some(Edit {
            family,
            filter: insertion.filter,
            table: insertion.table.clone(),
            chain: insertion.chain.clone(),
            action: Action::Insert {
                number: index.map(|index| index + 1),
                ports: insertion.ports,
                local_only: insertion.local_only,
            },
        })
    }
}

impl Numbers<'_> {
    /// Makes an edit, and says which rule it deletes (its handle), and which number the rule has or had.
    pub(crate) fn follow(&mut self, edit: &Edit) -> (u64, usize) {
        let family = match edit.family {
            Family::Ipv4 => TableFamily::Ip,
            Family::Ipv6 => TableFamily::Ip6,
        };
        let handles = self.chain(edit.filter, family, &edit.table, &edit.chain);
        match edit.action {
            Action::Insert { number, .. } => {
                let index = number
                    .map_or(handles.len(), |number| number.saturating_sub(1))
                    .min(handles.len());
                handles.insert(index, 0);
                (0, index + 1)
            }
            Action::Delete { number } => {
                let index = number.saturating_sub(1);
                let handle = if index < handles.len() {
                    handles.remove(index)
                } else {
                    0
                };
                (handle, number)
            }
        }
    }
}

impl Own {
    /// Whether the rule stands in the chain that the edit is of.
    pub(crate) fn is_in(&self, edit: &Edit) -> bool {
        self.filter == edit.filter
            && family(self.family) == Some(edit.family)
            && self.table == edit.table
            && self.chain == edit.chain
    }
}

/// The family of a table of iptables.
fn family(family: TableFamily) -> Option<Family> {
    match family {
        TableFamily::Ip => Some(Family::Ipv4),
        TableFamily::Ip6 => Some(Family::Ipv6),
        TableFamily::Inet | TableFamily::Netdev | TableFamily::Bridge => None,
    }
}
