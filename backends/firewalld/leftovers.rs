//! What a firewalld that was killed has left in the kernel.
//!
//! The nftables backend of firewalld 1.3.3 flushes only the table that the same process has made (`created_tables` in
//! `core/nftables.py`). So the start after a kill adds every rule once more, behind those that are there, and knows only
//! its own: what the killed one let in is let in until a reload or an orderly stop deletes the table.

use super::records::{Record, What};
use super::zones::{self, Division};
use crate::backend::Desired;
use crate::boot::Note;
use crate::model::ports::PortSet;
use crate::model::ruleset::{Chain, Ruleset, Statement, Verdict};

/// What helps, and what that costs.
const HINT: &str = "firewalld was killed, and the one that runs knows nothing of the rules it left; `firewall-cmd --reload` takes them away, and with them whatever was only added at runtime, such as bans";

/// The rules that are left.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    /// Whether there are any, whoever asked for them.
    found: bool,
    /// Those that were ours.
    ours: Vec<Left>,
}

/// Something that was ours, and is left.
#[derive(Debug)]
struct Left {
    record: Record,
    /// The ports that get in all the same, and by which rule.
    let_in: Vec<(PortSet, String)>,
}

impl Leftovers {
    /// Looks for rules of these records, none of which firewalld knows.
    pub(super) fn find(ruleset: &mut Ruleset, division: &Division, records: Vec<Record>) -> Self {
        let mut tables = ruleset.tables.iter();
        if !tables.any(|table| table.chains.iter().any(is_doubled)) {
            return Self::default();
        }
        let mut ours: Vec<Left> = Vec::new();
        for record in records {
            let What::Ports(ports) = record.what else {
                continue;
            };
            let known = ours.iter().any(|left| left.record == record);
            if !known && zones::accepts(ruleset, &record.zone, ports) {
                let let_in = division.let_in(ruleset, &record.zone, &PortSet::from(ports));
                ours.push(Left { record, let_in });
            }
        }
        Self { found: true, ours }
    }

    /// What must not be forgotten while it is there.
    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.ours.iter().map(|left| &left.record)
    }

    /// What the admin should know.
    pub(super) fn notes(&self, desired: &Desired) -> Vec<Note> {
        let mut let_in: Vec<(PortSet, &str)> = Vec::new();
        for (ports, because) in self.ours.iter().flat_map(|left| &left.let_in) {
            let ports = ports.difference(&desired.ports);
            match let_in.iter_mut().find(|(_, known)| known == because) {
                Some((known, _)) => *known = known.union(&ports),
                None => let_in.push((ports, because)),
            }
        }
        let_in.retain(|(ports, _)| !ports.is_empty());
        let mut messages: Vec<String> = let_in
            .iter()
            .map(|(ports, because)| {
                format!("closed by pasvsync and still let in: {ports}: {because}")
            })
            .collect();
        if messages.is_empty() && self.found {
            messages.push(
                "firewalld's chains have every rule twice: whatever was let in once may still be"
                    .to_owned(),
            );
        }
        let note = |message| Note {
            code: "firewalld-leftovers",
            warning: true,
            message,
            hint: Some(HINT.to_owned()),
        };
        messages.into_iter().map(note).collect()
    }
}

/// Whether firewalld's chain of what comes in leads to its zones more than once.
fn is_doubled(chain: &Chain) -> bool {
    let to_zones = |statement: &Statement| {
        matches!(statement, Statement::Verdict(Verdict::Jump(to))
            if to.strip_suffix("_ZONES").is_some_and(|start| start == chain.name))
    };
    let rules = chain.rules.iter().flatten();
    chain.name.ends_with("INPUT")
        && rules
            .filter(|rule| rule.statements.iter().any(to_zones))
            .count()
            > 1
}
