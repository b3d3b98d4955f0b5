//! Which program is in charge of a table or chain, told by the names that it gives them.

use crate::model::ports::PortSet;
use crate::model::ruleset::{Chain, Table};
use crate::tools::{BESIDE, TOOLS, Tool};

/// A program that writes rules of its own and would overwrite, or be broken by, an edit in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manager {
    /// One that is known by name.
    Tool(&'static Tool),
    /// A running program that owns the table (flag `owner`).
    Owner,
}

impl Manager {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tool(tool) => tool.name,
            Self::Owner => "the process that owns the table",
        }
    }

    /// How its user opens these ports with it.
    pub(crate) fn hint(self, ports: &PortSet) -> String {
        match self {
            Self::Tool(tool) => tool.advice(ports),
            Self::Owner => {
                "the table has the flag `owner`: only that process can change it".to_owned()
            }
        }
    }
}

/// Who is in charge of the table; `None` for an admin's own.
fn manager(table: &Table) -> Option<Manager> {
    let named = |tool: &&Tool| tool.tables.iter().any(|name| is_called(&table.name, name));
    let has = |name: &&str| table.chains.iter().any(|chain| chain.name == **name);
    let signed = |tool: &&Tool| tool.signs.iter().any(|sign| sign.iter().all(&has));
    if let Some(tool) = TOOLS.iter().find(named) {
        return Some(Manager::Tool(tool));
    }
    if table.owned {
        return Some(Manager::Owner);
    }
    TOOLS.iter().find(signed).map(Manager::Tool)
}

/// Who is in charge of the table, or of one of these chains in it, and of which of them.
pub(crate) fn in_charge_of<'a>(
    table: &Table,
    mut chains: impl Iterator<Item = &'a Chain>,
) -> Option<(Manager, String)> {
    if let Some(manager) = manager(table) {
        let what = format!("table {} {}", table.family.as_str(), table.name);
        return Some((manager, what));
    }
    chains.find_map(|chain| Some((manager_of_chain(chain)?, format!("chain {}", chain.name))))
}

/// Whether a program is in charge of the table.
pub(crate) fn is_managed_by(table: &Table, name: &str) -> bool {
    manager(table).is_some_and(|manager| manager.name() == name)
}

/// Who looks after a chain in a table that others use, too.
fn manager_of_chain(chain: &Chain) -> Option<Manager> {
    let its = |tool: &&Tool| begins(chain, tool.chains);
    TOOLS.iter().find(its).map(Manager::Tool)
}

/// Whether the chain is written by a program other than the admin's hand, whoever is in charge of its table.
pub(crate) fn is_foreign(chain: &Chain) -> bool {
    begins(chain, BESIDE) || manager_of_chain(chain).is_some()
}

fn begins(chain: &Chain, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| chain.name.starts_with(prefix))
}

fn is_called(name: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}
