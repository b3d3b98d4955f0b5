//! Native nftables: the accept stands in the admin's own chain, marked by its comment.

pub mod batch;

use std::fmt;

use self::batch::Change;
use crate::model::ruleset::{Filter, Ruleset, Table};
use crate::own::{self, Own};
use crate::proof::place::{Insertion, MARK};

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Insert {
                family,
                table,
                chain,
                before,
                ports,
                local_only,
                ..
            } => {
                let place = format!("{} {table} {chain}", family.as_str());
                match before {
                    Some(handle) => write!(formatter, "nft insert rule {place} handle {handle} ")?,
                    None => write!(formatter, "nft add rule {place} ")?,
                }
                if *local_only {
                    formatter.write_str("fib daddr type local ")?;
                }
                write!(formatter, "tcp dport {ports} accept comment {MARK}")
            }
            Self::Delete {
                family,
                table,
                chain,
                handle,
            } => write!(
                formatter,
                "nft delete rule {} {table} {chain} handle {handle}",
                family.as_str()
            ),
        }
    }
}

impl Change {
    /// The change that makes an insertion.
    pub(crate) fn insertion(insertion: &Insertion, iptables: bool) -> Self {
        Self::Insert {
            family: insertion.family,
            table: insertion.table.clone(),
            chain: insertion.chain.clone(),
            before: insertion.before,
            ports: insertion.ports,
            local_only: insertion.local_only,
            iptables,
        }
    }

    /// The change that deletes a rule.
    pub(crate) fn deletion(own: &Own) -> Self {
        Self::Delete {
            family: own.family,
            table: own.table.clone(),
            chain: own.chain.clone(),
            handle: own.handle,
        }
    }
}

/// What takes changes back: the rules that they have added, and those that they have deleted.
pub(crate) fn difference(before: &Ruleset, after: &Ruleset) -> (Vec<Own>, Vec<Own>) {
    let native = |ruleset: &Ruleset| -> Vec<Own> {
        let rules = own::rules(ruleset).into_iter();
        rules.filter(|own| own.filter == Filter::Nftables).collect()
    };
    let (old, new) = (native(before), native(after));
    // Handles count in each table by themselves.
    let same = |one: &Own, other: &Own| {
        one.handle == other.handle && one.family == other.family && one.table == other.table
    };
    let missing = |rules: &[Own], from: &[Own]| -> Vec<Own> {
        let missing = rules
            .iter()
            .filter(|rule| !from.iter().any(|other| same(rule, other)));
        missing.cloned().collect()
    };
    (missing(&new, &old), missing(&old, &new))
}

/// The table that a rule of ours stands in.
pub(crate) fn table_of<'r>(ruleset: &'r Ruleset, own: &Own) -> Option<&'r Table> {
    ruleset.table(own.filter, own.family, &own.table)
}
