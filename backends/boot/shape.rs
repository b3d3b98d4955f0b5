//! What two loads of a ruleset must have in common to be the same, and what is ours in them.

use std::collections::BTreeMap;

use crate::model::ports::PortRange;
use crate::model::ruleset::{Chain, ElementKey, Elements, Ruleset, Statement, Table, TableFamily};
use crate::own;

/// A ruleset without what differs from load to load (handles, names of anonymous sets), and apart from it what is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Everything that is not ours.
    pub(crate) foreign: Vec<Table>,
    /// What is ours, in the order of [`own::rules`].
    pub(crate) own: Vec<OwnRule>,
}

/// A rule of ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OwnRule {
    pub(crate) family: TableFamily,
    pub(crate) table: String,
    pub(crate) chain: String,
    /// Its place among the rules that are not ours. Between two of those, the order of accepts means nothing.
    pub(crate) index: usize,
    /// Its ports; `None` when it does anything but accept TCP connections to them.
    pub(crate) ports: Option<PortRange>,
    pub(crate) local_only: bool,
}

impl Shape {
    pub(crate) fn of(ruleset: &Ruleset) -> Self {
        let own = own::rules(ruleset).into_iter().map(|rule| OwnRule {
            family: rule.family,
            table: rule.table,
            chain: rule.chain,
            index: rule.index,
            ports: rule.ports,
            local_only: rule.local_only,
        });
        let own = own.collect();
        let mut foreign = own::without_own(ruleset).tables;
        for (table, whole) in foreign.iter_mut().zip(&ruleset.tables) {
            // An anonymous set comes and goes with its rule.
            let rules = whole.chains.iter().flat_map(Chain::rules);
            let own = rules.filter(|rule| own::is_own(rule));
            let statements = own.flat_map(|rule| &rule.statements);
            let of_own: Vec<&String> = statements.filter_map(set_of).collect();
            table
                .sets
                .retain(|set| !set.anonymous || !of_own.contains(&&set.name));
            plain(table);
        }
        Self { foreign, own }
    }

    /// Whether both are the same, whatever the order of what is ours.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        self.foreign == other.foreign
            && self.extra(other) == Some(Vec::new())
            && other.own.len() == self.own.len()
    }

    /// What is ours here and not in the other; `None` when something that is ours there is missing here.
    pub(crate) fn extra(&self, other: &Self) -> Option<Vec<OwnRule>> {
        let mut extra = self.own.clone();
        for rule in &other.own {
            let position = extra.iter().position(|known| known == rule)?;
            extra.swap_remove(position);
        }
        Some(extra)
    }
}

/// Takes away what differs from load to load.
fn plain(table: &mut Table) {
    let mut names = BTreeMap::new();
    let anonymous: Vec<String> = table
        .sets
        .iter()
        .filter(|set| set.anonymous)
        .map(|set| set.name.clone())
        .collect();
    for chain in &mut table.chains {
        chain.handle = 0;
        for rule in chain.rules.iter_mut().flatten() {
            rule.handle = 0;
            for statement in rule.statements.iter_mut() {
                if let Some(name) = set_name(statement)
                    && anonymous.contains(name)
                {
                    let next = format!("anonymous {}", names.len());
                    name.clone_from(names.entry(name.clone()).or_insert(next));
                }
            }
        }
    }
    for set in &mut table.sets {
        // A hash table lists its elements in an order of its own each time.
        if let Elements::Read(elements) = &mut set.elements {
            elements.sort_by(|first, second| bounds(&first.key).cmp(&bounds(&second.key)));
        }
        if let Some(name) = names.get(&set.name) {
            set.name.clone_from(name);
        }
    }
    table
        .sets
        .sort_by(|first, second| first.name.cmp(&second.name));
}

fn bounds(key: &ElementKey) -> (&[u8], &[u8]) {
    match key {
        ElementKey::Single(value) => (value, value),
        ElementKey::Range(first, last) => (first, last),
        ElementKey::CatchAll => (&[], &[]),
    }
}

/// The set that a statement refers to.
fn set_of(statement: &Statement) -> Option<&String> {
    match statement {
        Statement::Lookup { set, .. } => Some(set),
        Statement::VerdictMap { map, .. } => Some(map),
        _ => None,
    }
}

/// The same, to be renamed.
fn set_name(statement: &mut Statement) -> Option<&mut String> {
    match statement {
        Statement::Lookup { set, .. } => Some(set),
        Statement::VerdictMap { map, .. } => Some(map),
        _ => None,
    }
}
