//! Places in a ruleset, put into words.

use crate::model::ruleset::{Filter, Policy, Ruleset, Statement, Table, TableFamily};

use super::outcome::Spot;
use super::packet::Phase;

/// `inet filter input`, or `ip filter INPUT of iptables-legacy`.
fn chain_name(table: &Table, chain: usize) -> String {
    let name = table
        .chains
        .get(chain)
        .map_or("?", |found| found.name.as_str());
    let whose = match (table.filter, table.family) {
        (Filter::Nftables, _) => "",
        (Filter::Legacy, TableFamily::Ip6) => " of ip6tables-legacy",
        (Filter::Legacy, _) => " of iptables-legacy",
    };
    format!("{} {} {name}{whose}", table.family.as_str(), table.name)
}

/// The place: the rule and its chain, or the policy and its chain, and for a nested chain how the packet got there.
pub(super) fn spot(ruleset: &Ruleset, spot: &Spot) -> String {
    let Some(table) = ruleset.tables.get(spot.table) else {
        return "?".to_owned();
    };
    let chain = table.chains.get(spot.chain);
    let hook = table
        .chains
        .get(spot.base)
        .and_then(|base| base.base.as_ref())
        .map_or("?", |base| base.hook.as_str());
    let place = match spot.rule {
        None => policy(table, spot),
        Some(index) => match chain.and_then(|chain| chain.rules().get(index)) {
            Some(rule) if table.filter == Filter::Legacy => {
                format!("rule `{}` (number {})", rule.text(table), rule.handle)
            }
            // Not in the kernel: it has no number yet.
            Some(rule) if rule.handle == 0 => format!("rule `{}`", rule.text(table)),
            Some(rule) => format!("rule `{}` (handle {})", rule.text(table), rule.handle),
            None => "a rule".to_owned(),
        },
    };
    let name = chain_name(table, spot.chain);
    if spot.chain == spot.base {
        format!("{place} of chain {name} (hook {hook})")
    } else {
        let base = chain_name(table, spot.base);
        format!("{place} of chain {name} (from {base}, hook {hook})")
    }
}

fn policy(table: &Table, spot: &Spot) -> String {
    let base = table
        .chains
        .get(spot.base)
        .and_then(|base| base.base.as_ref());
    let word = match base.map(|base| base.policy) {
        Some(Policy::Drop) => "drop",
        _ => "accept",
    };
    if spot.chain == spot.base {
        format!("policy {word}")
    } else {
        format!("policy {word}, at the end")
    }
}

/// Whose packet it was, where it is not the opening one.
pub(super) fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Opening | Phase::Solicitation | Phase::Advertisement => "",
        Phase::Reply => "the server's reply: ",
        Phase::Following => "the client's next packet: ",
    }
}

/// The first rule that assigns a connection tracking helper of that name (or an object named after it), and where.
pub fn helper(ruleset: &Ruleset, name: &str) -> Option<String> {
    let assigns = |statement: &Statement| {
        matches!(statement, Statement::Neutral { text }
            if (text.starts_with("ct helper set") || text.starts_with("-j CT --helper"))
                && text.to_ascii_lowercase().contains(name))
    };
    ruleset.tables.iter().find_map(|table| {
        let mut chains = table.chains.iter().enumerate();
        chains.find_map(|(index, chain)| {
            let mut rules = chain.rules().iter();
            let rule = rules.find(|rule| rule.statements.iter().any(assigns))?;
            let place = chain_name(table, index);
            Some(format!("rule `{}` of chain {place}", rule.text(table)))
        })
    })
}
