//! Rules directly before a block that only choose how some packets are refused: `limit rate 5/second reject`, then a
//! policy that drops the rest. An accept between the two would stand behind a rule that may refuse its packets first.

use crate::backend::Refusal;
use crate::model::ports::PortSet;
use crate::model::ruleset::{Ruleset, Statement, Verdict};

use super::super::bans::{Bans, Role};
use super::super::describe;
use super::super::outcome::{Block, Spot};
use super::super::verdict::Judgement;
use super::{before_logging, lets_in};

/// The place before those of the rules directly before `spot` that may stop the block's ports.
///
/// Whatever such a rule stops, the block behind it stops anyway: as long as nothing between them accepts, passing it lets
/// in nobody but whom the accept is for. What is turned away by anything but a rate would still be turned away by an
/// admin who wrote the accept, so that needs `force`.
pub(super) fn before_refusals(
    ruleset: &Ruleset,
    judgement: &Judgement,
    spot: Spot,
    block: &Block,
    force: bool,
) -> Result<Spot, Refusal> {
    let Some(table) = ruleset.tables.get(spot.table) else {
        return Ok(spot);
    };
    let Some(chain) = table.chains.get(spot.chain) else {
        return Ok(spot);
    };
    let doubtful = |index: usize| {
        judgement.doubts.iter().any(|doubt| {
            let mut calls = doubt.spot.calls.iter();
            let there = (doubt.spot.chain, doubt.spot.rule) == (spot.chain, Some(index))
                || calls.any(|call| (call.chain, call.rule) == (spot.chain, index));
            doubt.spot.table == spot.table
                && there
                && !doubt.ports.intersection(&block.ports).is_empty()
        })
    };
    let end = spot.rule.unwrap_or(chain.rules().len());
    // Asking whom rules turn away takes a while, and most chains have no such rule.
    if !(0..end).any(doubtful) {
        return Ok(spot);
    }
    let bans = Bans::new(ruleset);
    let mut first = None;
    let mut filter = None;
    for (index, rule) in chain.rules().iter().enumerate().take(end).rev() {
        let role = bans.role(spot.table, rule, &block.ports);
        match role {
            Role::Refusing | Role::Filtering if doubtful(index) => {
                first = Some(index);
                if role == Role::Filtering {
                    filter = Some(index);
                }
            }
            Role::Idle => {}
            // Named below, if there is anything to pass before it.
            _ if rule.statements.iter().any(stops)
                && bans.in_rule(spot.table, rule, &block.ports) => {}
            _ => break,
        }
    }
    let Some(first) = first else {
        return Ok(spot);
    };
    let at = |rule| Spot {
        rule: Some(rule),
        ..spot.clone()
    };
    if !force && let Some(filter) = filter {
        return Err(Refusal {
            code: "explicit-deny",
            message: format!(
                "{} turns away some connections to these ports before they are closed: that looks intended",
                describe::spot(ruleset, &at(filter))
            ),
            hint: Some(
                "remove the rule, or run again with --force to let the ports in before it"
                    .to_owned(),
            ),
            ports: PortSet::EMPTY,
        });
    }
    let mut place = at(first);
    before_logging(table, &mut place);
    let refusal = lets_in(
        &bans,
        table,
        &place,
        block,
        &describe::spot(ruleset, &at(first)),
    );
    match refusal.filter(|_| !force) {
        Some(refusal) => Err(refusal),
        None => Ok(place),
    }
}

/// Whether a statement itself drops or rejects.
fn stops(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::Verdict(Verdict::Drop | Verdict::Reject(_))
    )
}
