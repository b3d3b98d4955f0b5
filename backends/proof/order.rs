//! The order of base chains at one hook.
//!
//! Of equal priorities the chain that was registered last comes first (`nf_hook_entries_grow`). Within a table that is
//! the one listed last; between tables nothing tells, for a table that is listed first may have got its chain last, and
//! iptables-legacy registers its tables when they are first used. Where it can matter both orders are judged.

use std::cmp::Reverse;

use crate::model::ruleset::{BaseChain, Chain, ChainKind, Hook, Ruleset, Statement, Table};

/// A base chain on a packet's way: the table's index and the table, the chain's index and the chain.
pub(super) type Found<'a> = (usize, &'a Table, usize, &'a BaseChain);

/// Which of two tables comes first where their priorities are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The one that is listed last.
    LastFirst,
    /// The one that is listed first.
    FirstFirst,
}

/// The orders that can make a difference: both, where tables of equal priority leave something for each other.
pub(super) fn possible(ruleset: &Ruleset) -> &'static [Order] {
    let mut acting = ruleset.tables.iter().filter(|table| acts(table));
    if acting.any(|table| ruleset.tables.iter().any(|other| meets(table, other))) {
        &[Order::LastFirst, Order::FirstFirst]
    } else {
        &[Order::LastFirst]
    }
}

/// Whether two different tables have base chains with one place.
fn meets(table: &Table, other: &Table) -> bool {
    let bases = |table: &Table| -> Vec<_> {
        let bases = table.chains.iter().filter_map(|chain| chain.base.as_ref());
        bases.map(|base| (base.hook, place(base))).collect()
    };
    let of_table = bases(table);
    !std::ptr::eq(table, other)
        && !table.dormant
        && !other.dormant
        && bases(other).iter().any(|base| of_table.contains(base))
}

/// Whether a rule changes what later chains see of the packet.
fn acts(table: &Table) -> bool {
    let mut statements = table
        .chains
        .iter()
        .flat_map(Chain::rules)
        .flat_map(|rule| &rule.statements);
    statements.any(|statement| {
        matches!(
            statement,
            Statement::SetMark { .. }
                | Statement::SetSegmentSize { .. }
                | Statement::Notrack
                | Statement::Nat(_)
                | Statement::Rewrite { .. }
        )
    })
}

/// Where packets enter a base chain. Address translation has a place of its own (`NF_IP_PRI_NAT_DST`, `_SRC`), where its
/// chains follow each other.
fn place(base: &BaseChain) -> (i32, i32) {
    match (base.kind, base.hook) {
        (ChainKind::Nat, Hook::Prerouting | Hook::Output) => (-100, base.priority),
        (ChainKind::Nat, _) => (100, base.priority),
        _ => (base.priority, 0),
    }
}

impl Order {
    /// Sorts the base chains of one hook.
    pub(super) fn sort(self, found: &mut [Found<'_>]) {
        found.sort_by_key(|(table, _, chain, base)| {
            let table = match self {
                Self::LastFirst => Reverse(*table),
                Self::FirstFirst => Reverse(usize::MAX - *table),
            };
            (place(base), table, Reverse(*chain))
        });
    }

    /// The order in words, behind a verdict that holds for it only.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::LastFirst => ", if of equal priorities the table that is listed last comes first",
            Self::FirstFirst => {
                ", if of equal priorities the table that is listed first comes first"
            }
        }
    }
}
