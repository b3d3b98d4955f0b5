//! Who is turned away, and by which rules: an accept must not let them in.

use crate::model::ports::PortSet;
use crate::model::reach::Family;
use crate::model::ruleset::{Chain, Elements, Hook, Rule, Ruleset, Statement, Table, Verdict};

use super::trace::Spot;
use super::verdict::rule_effect;

/// The hooks that lead into a chain, and whether a ban does.
pub(super) fn ways_into(
    ruleset: &Ruleset,
    table_index: usize,
    chain: &str,
    ports: &PortSet,
) -> (Vec<Hook>, bool) {
    let Some(table) = ruleset.tables.get(table_index) else {
        return (Vec::new(), false);
    };
    let (mut hooks, mut banned) = (Vec::new(), false);
    let mut seen = vec![chain];
    let mut next = 0;
    while let Some(name) = seen.get(next).copied() {
        next += 1;
        let base = table.chain(name).and_then(|chain| chain.base.as_ref());
        hooks.extend(base.map(|base| base.hook));
        for caller in &table.chains {
            for rule in caller.rules() {
                if !targets(table, rule).any(|target| target == name) {
                    continue;
                }
                banned |= turns_away(ruleset, table_index, rule, ports);
                if !seen.contains(&caller.name.as_str()) {
                    seen.push(&caller.name);
                }
            }
        }
    }
    (hooks, banned)
}

/// The chains that a rule can send a packet to.
pub(super) fn targets<'a>(table: &'a Table, rule: &'a Rule) -> impl Iterator<Item = &'a str> {
    let of_verdict = |verdict: &'a Verdict| match verdict {
        Verdict::Jump(chain) | Verdict::Goto(chain) => Some(chain.as_str()),
        _ => None,
    };
    rule.statements.iter().flat_map(move |statement| {
        let elements = match statement {
            Statement::VerdictMap { map, .. } => match table.set(map).map(|set| &set.elements) {
                Some(Elements::Read(elements)) => elements.as_slice(),
                _ => &[],
            },
            _ => &[],
        };
        let direct = match statement {
            Statement::Verdict(verdict) => of_verdict(verdict),
            _ => None,
        };
        let mapped = elements
            .iter()
            .filter_map(move |element| element.verdict.as_ref().and_then(of_verdict));
        direct.into_iter().chain(mapped)
    })
}

/// The first rule behind the place, on the way to the end of the base chain, that bans sources from the ports.
pub(super) fn ban_behind<'a>(
    ruleset: &'a Ruleset,
    table: &'a Table,
    spot: &Spot,
    ports: &PortSet,
) -> Option<&'a Rule> {
    let mut positions: Vec<(usize, usize)> = Vec::new();
    positions.extend(spot.rule.map(|rule| (spot.chain, rule)));
    positions.extend(
        spot.calls
            .iter()
            .rev()
            .take_while(|call| !call.goto)
            .map(|call| (call.chain, call.rule + 1)),
    );
    positions.iter().find_map(|(chain, from)| {
        let rules = table.chains.get(*chain)?.rules();
        let mut behind = rules.iter().skip(*from);
        behind.find(|rule| is_ban(ruleset, spot.table, rule, ports))
    })
}

/// Whether the rule, or one in a chain that it leads to, turns away some sources of connections to these ports.
pub(crate) fn is_ban(ruleset: &Ruleset, table: usize, rule: &Rule, ports: &PortSet) -> bool {
    let Some(found) = ruleset.tables.get(table) else {
        return false;
    };
    if turns_away(ruleset, table, rule, ports) {
        return true;
    }
    let mut chains: Vec<&str> = targets(found, rule).collect();
    let mut next = 0;
    while let Some(name) = chains.get(next).copied() {
        next += 1;
        for rule in found.chain(name).map_or(&[][..], Chain::rules) {
            if turns_away(ruleset, table, rule, ports) {
                return true;
            }
            for target in targets(found, rule) {
                if !chains.contains(&target) {
                    chains.push(target);
                }
            }
        }
    }
    false
}

/// Whether the rule itself turns away some sources.
fn turns_away(ruleset: &Ruleset, table: usize, rule: &Rule, ports: &PortSet) -> bool {
    let stops = rule.statements.iter().any(|statement| {
        matches!(
            statement,
            Statement::Verdict(
                Verdict::Drop | Verdict::Reject(_) | Verdict::Jump(_) | Verdict::Goto(_)
            ) | Statement::VerdictMap { .. }
        )
    });
    stops
        && Family::BOTH.iter().any(|family| {
            !rule_effect(ruleset, table, rule, *family)
                .within(ports)
                .is_empty()
        })
}
