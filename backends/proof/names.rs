//! What the names in a table stand for.

use std::collections::HashMap;

use crate::model::ruleset::{Ruleset, Set, Table};

/// Chains and sets by name, for one table.
#[derive(Debug)]
pub(super) struct Names<'a> {
    pub(super) chains: HashMap<&'a str, usize>,
    pub(super) sets: HashMap<&'a str, &'a Set>,
}

impl<'a> Names<'a> {
    /// The names of every table of the ruleset.
    pub(super) fn of(ruleset: &'a Ruleset) -> Vec<Self> {
        let chains = |table: &'a Table| {
            let names = table.chains.iter().map(|chain| chain.name.as_str());
            names.zip(0..).collect()
        };
        let sets = |table: &'a Table| {
            let named = table.sets.iter().map(|set| (set.name.as_str(), set));
            named.collect()
        };
        ruleset
            .tables
            .iter()
            .map(|table| Self {
                chains: chains(table),
                sets: sets(table),
            })
            .collect()
    }
}
