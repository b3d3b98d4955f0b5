//! Edits of csf's own chains, made by iptables itself so that they are what csf would have made.
//!
//! All edits of a family are one transaction. iptables knows no guard against others who edit at the same time: what
//! was planned on is compared with what is there right before, and what was expected right after.

use std::fmt;

use super::live::{Direction, Form};
use crate::error::{Error, ErrorKind, Result};
use crate::model::ports::PortRange;
use crate::model::reach::Family;
use crate::model::ruleset::{Chain, Filter, Rule, Ruleset, Table, TableFamily};
use crate::netfilter::scratch::{find_program, input, run};

/// A rule of csf's form that is put in or taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleEdit {
    pub(super) family: Family,
    pub(super) filter: Filter,
    pub(super) direction: Direction,
    pub(super) form: Form,
    pub(super) ports: PortRange,
    /// Its number in the chain, from 1.
    pub(super) number: usize,
    /// Put in, not taken out.
    pub(super) inserts: bool,
    /// Of several equal rules iptables would take out the first.
    pub(super) by_number: bool,
}

impl RuleEdit {
    /// What iptables is told.
    fn command(&self) -> String {
        let (chain, number) = (self.direction.chain(), self.number);
        let rule = self.form.text(self.ports);
        match (self.inserts, self.by_number) {
            (true, _) => format!("-I {chain} {number} {rule}"),
            (false, true) => format!("-D {chain} {number}"),
            (false, false) => format!("-D {chain} {rule}"),
        }
    }

    /// The edit that takes it back.
    fn inverse(&self) -> Self {
        Self {
            inserts: !self.inserts,
            ..self.clone()
        }
    }

    fn table_family(&self) -> TableFamily {
        match self.family {
            Family::Ipv4 => TableFamily::Ip,
            Family::Ipv6 => TableFamily::Ip6,
        }
    }

    fn chain<'r>(&self, ruleset: &'r Ruleset) -> &'r [Rule] {
        let table = ruleset.table(self.filter, self.table_family(), "filter");
        let chain = table.and_then(|table| table.chain(self.direction.chain()));
        chain.map(Chain::rules).unwrap_or_default()
    }

    /// The name of our list's entry for such a rule.
    pub(super) fn place(&self) -> &'static str {
        place(self.family, self.direction)
    }
}

/// As it would be typed.
impl fmt::Display for RuleEdit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = match self.family {
            Family::Ipv4 => "iptables",
            Family::Ipv6 => "ip6tables",
        };
        write!(formatter, "{program} {}", self.command())
    }
}

/// The name of a chain in our list.
pub(super) fn place(family: Family, direction: Direction) -> &'static str {
    match (family, direction) {
        (Family::Ipv4, Direction::In) => "INPUT",
        (Family::Ipv4, Direction::Out) => "OUTPUT",
        (Family::Ipv6, Direction::In) => "INPUT6",
        (Family::Ipv6, Direction::Out) => "OUTPUT6",
    }
}

/// Makes an edit in memory.
pub(super) fn make(ruleset: &mut Ruleset, edit: &RuleEdit) {
    let family = edit.table_family();
    let here = |table: &&mut Table| {
        table.filter == edit.filter && table.family == family && table.name == "filter"
    };
    let table = ruleset.tables.iter_mut().find(here);
    let chain = table.and_then(|table| {
        let mut chains = table.chains.iter_mut();
        chains.find(|chain| chain.name == edit.direction.chain())
    });
    let Some(rules) = chain.and_then(|chain| chain.rules.as_mut()) else {
        return;
    };
    let index = index_of(rules, edit.number);
    if edit.inserts {
        rules.insert(index, edit.form.rule(edit.ports));
    } else if index < rules.len() {
        rules.remove(index);
    }
}

/// The number that iptables gives to the rule of that index, or to one put before it. A rule whose match is an "or" is
/// two here, with one handle.
pub(super) fn number_of(rules: &[Rule], index: usize) -> usize {
    let distinct = |rules: &[Rule]| {
        let same = |pair: &&[Rule]| matches!(pair, [one, two] if one.handle != 0 && one.handle == two.handle);
        rules.len() - rules.windows(2).filter(same).count()
    };
    match rules.get(..=index) {
        Some(rules) => distinct(rules),
        None => distinct(rules) + 1,
    }
}

fn index_of(rules: &[Rule], number: usize) -> usize {
    (0..rules.len())
        .find(|index| number_of(rules, *index) == number)
        .unwrap_or(rules.len())
}

/// How many transactions these edits are in `nf_tables`.
pub(super) fn batches(edits: &[RuleEdit]) -> u32 {
    let native = |family: &&Family| {
        edits
            .iter()
            .any(|edit| edit.family == **family && edit.filter == Filter::Nftables)
    };
    u32::try_from(Family::BOTH.iter().filter(native).count()).unwrap_or(u32::MAX)
}

/// Makes the edits of both families or none. Returns those that take them back, in order.
///
/// # Errors
/// `Refused` with iptables' words; `Unsupported` when it is not installed. What was made before is then taken back.
pub(super) fn apply(edits: &[RuleEdit]) -> Result<Vec<RuleEdit>> {
    let mut made: Vec<RuleEdit> = Vec::new();
    for family in Family::BOTH {
        let own: Vec<&RuleEdit> = edits.iter().filter(|edit| edit.family == family).collect();
        if own.is_empty() {
            continue;
        }
        if let Err(error) = restore(family, &own) {
            let back: Vec<RuleEdit> = made.iter().rev().map(RuleEdit::inverse).collect();
            return Err(match apply(&back) {
                Ok(_) => error,
                Err(second) => Error::new(
                    error.kind(),
                    format!("{error}; the edits made before it could not be taken back: {second}"),
                ),
            });
        }
        made.extend(own.into_iter().cloned());
    }
    Ok(made.iter().rev().map(RuleEdit::inverse).collect())
}

/// One transaction of iptables-restore that leaves everything else as it is.
fn restore(family: Family, edits: &[&RuleEdit]) -> Result<()> {
    let legacy = edits.iter().any(|edit| edit.filter == Filter::Legacy);
    let names = match (family, legacy) {
        (Family::Ipv4, false) => ["iptables-nft-restore", "iptables-restore"],
        (Family::Ipv4, true) => ["iptables-legacy-restore", "iptables-restore"],
        (Family::Ipv6, false) => ["ip6tables-nft-restore", "ip6tables-restore"],
        (Family::Ipv6, true) => ["ip6tables-legacy-restore", "ip6tables-restore"],
    };
    let commands: Vec<String> = edits.iter().map(|edit| edit.command()).collect();
    let text = format!("*filter\n{}\nCOMMIT\n", commands.join("\n"));
    let program = names.iter().find(|name| find_program(name).is_some());
    let program = program.unwrap_or(&names[1]);
    run(
        program,
        &["--noflush", "--wait", "5"],
        Some(input(text.as_bytes())?),
    )
}

/// Whether the edits, and nothing else, have been made in their chains.
///
/// # Errors
/// `Changed` when somebody else edited them too.
pub(super) fn verify(before: &Ruleset, after: &Ruleset, edits: &[RuleEdit]) -> Result<()> {
    let mut expected = before.clone();
    for edit in edits {
        make(&mut expected, edit);
    }
    let same = |one: &Rule, two: &Rule, form: &Form| {
        one.comment == two.comment && one.statements == two.statements
            || form.ports_of(one).is_some() && form.ports_of(one) == form.ports_of(two)
    };
    let alone = edits.iter().all(|edit| {
        let (one, two) = (edit.chain(&expected), edit.chain(after));
        one.len() == two.len()
            && one
                .iter()
                .zip(two)
                .all(|(one, two)| same(one, two, &edit.form))
    });
    if alone {
        return Ok(());
    }
    let message = "csf's chains changed while they were edited";
    Err(Error::new(ErrorKind::Changed, message))
}
