//! What is asked of a ruleset to learn what a zone lets in, and how it is asked.

use std::net::IpAddr;

use super::members::{Members, Zone};
use crate::model::ruleset::{Chain, Interface, Rule, Ruleset, Statement, Verdict};

/// Who is asked about.
#[derive(Clone, Debug)]
pub(super) enum Question {
    /// Unknown clients on these interfaces; without any, on one that may still come up.
    Interfaces(Vec<Interface>),
    /// Clients at these addresses, on any interface.
    Sources(Vec<IpAddr>),
    /// Whoever the zone takes in.
    Whoever(String),
}

/// What can be asked about a zone.
pub(super) fn questions(ruleset: &Ruleset, zone: &Zone, members: &Members) -> Vec<Question> {
    let mut questions = Vec::new();
    if !members.sources.is_empty() {
        questions.push(Question::Sources(members.sources.clone()));
    }
    if !members.interfaces.is_empty() || zone.default {
        questions.push(Question::Interfaces(members.interfaces.clone()));
    }
    if !members.unasked.is_empty() && is_led_to(ruleset, &zone.name) {
        questions.push(Question::Whoever(zone.name.clone()));
    }
    questions
}

/// Whether the ruleset leads any packets to the zone.
pub(super) fn is_led_to(ruleset: &Ruleset, zone: &str) -> bool {
    let tables = ruleset.tables.iter();
    let mut chains = tables.flat_map(|table| &table.chains);
    chains.any(|chain| !leading(chain, zone).is_empty())
}

/// Asks the ruleset about somebody else than it is about.
pub(super) fn asking<T>(
    ruleset: &mut Ruleset,
    question: Question,
    ask: impl FnOnce(&Ruleset) -> T,
) -> T {
    let (interfaces, sources, only) = (
        std::mem::take(&mut ruleset.interfaces),
        std::mem::take(&mut ruleset.sources),
        ruleset.sources_only,
    );
    let mut led: Option<Ruleset> = None;
    match question {
        Question::Whoever(zone) => {
            ruleset.interfaces.clone_from(&interfaces);
            ruleset.sources_only = false;
            led = Some(all_into(ruleset, &zone));
        }
        Question::Interfaces(mut interfaces) => {
            // One that is down will be asked about when it is up.
            for interface in &mut interfaces {
                interface.up = true;
            }
            ruleset.interfaces = interfaces;
            ruleset.sources_only = false;
        }
        Question::Sources(sources) => {
            ruleset.interfaces.clone_from(&interfaces);
            ruleset.sources = sources;
            ruleset.sources_only = true;
        }
    }
    let answer = ask(led.as_ref().unwrap_or(ruleset));
    ruleset.interfaces = interfaces;
    ruleset.sources = sources;
    ruleset.sources_only = only;
    answer
}

/// The ruleset as it would be if every packet went to that zone: what is for some packets of the zone is for all.
fn all_into(ruleset: &Ruleset, zone: &str) -> Ruleset {
    let mut led = ruleset.clone();
    for chain in led.tables.iter_mut().flat_map(|table| &mut table.chains) {
        let all: Vec<Rule> = leading(chain, zone)
            .into_iter()
            .map(|statements| Rule {
                statements: statements.into_iter().cloned().collect(),
                ..Rule::default()
            })
            .collect();
        if let Some(rules) = &mut chain.rules {
            rules.splice(..0, all);
        }
    }
    led
}

/// What the chain that divides packets among the zones does with one of the zone's, as one source or interface of it has
/// it: firewalld 1.3 goes from `INPUT_ZONES` to `IN_ZONE`; 2.3 jumps from `INPUT_POLICIES` to one policy after the other
/// and to `IN_ZONE`, then rejects; 2.5 jumps from `INPUT_dispatch` to `IN_ZONE_to_HOST`, where all that stands.
fn leading<'c>(chain: &'c Chain, zone: &str) -> Vec<Vec<&'c Statement>> {
    let ends = ["_POLICIES", "_dispatch"];
    if !chain.name.contains("_ZONES") && !ends.iter().any(|end| chain.name.ends_with(end)) {
        return Vec::new();
    }
    let rules: Vec<Vec<&Statement>> = chain
        .rules
        .iter()
        .flatten()
        .map(|rule| rule.statements.iter().collect())
        .collect();
    let condition = rules.iter().find_map(|statements| match &**statements {
        [
            condition @ ..,
            Statement::Verdict(Verdict::Goto(target) | Verdict::Jump(target)),
        ] if is_of(target, zone) => Some(condition),
        _ => None,
    });
    let Some(condition) = condition else {
        return Vec::new();
    };
    let of_zone = rules.iter().filter_map(|rule| rule.strip_prefix(condition));
    of_zone.map(<[_]>::to_vec).collect()
}

/// Whether it is a zone's chain, by its name: the table (with nftables), the hook, and the zone.
fn is_of(chain: &str, zone: &str) -> bool {
    let ends = ["", "_to_HOST", "_dispatch_stage2"];
    let mut names = ends.iter().filter_map(|end| chain.strip_suffix(end));
    names.any(|name| {
        let hook = name.strip_suffix(zone).and_then(|it| it.strip_suffix('_'));
        hook.is_some_and(|hook| {
            let tables = ["filter_", "nat_", "mangle_", "raw_"];
            let mut hooks = tables.iter().filter_map(|table| hook.strip_prefix(table));
            let hook = hooks.next().unwrap_or(hook);
            !hook.is_empty() && hook.bytes().all(|byte| byte.is_ascii_uppercase())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::is_of;

    #[test]
    fn the_chains_of_a_zone() {
        for chain in [
            "IN_work",
            "filter_IN_work",
            "IN_work_to_HOST",
            "filter_IN_work_to_HOST",
            "nat_PRE_work",
            "mangle_PRE_work_dispatch_stage2",
        ] {
            assert!(is_of(chain, "work"), "{chain}");
        }
        for chain in [
            "IN_A_work",
            "filter_IN_my_work",
            "filter_IN_A_work_to_HOST",
            "IN_work2",
            "IN_work_to_public",
            "filter_INPUT_POLICIES",
            "work",
            "_work",
        ] {
            assert!(!is_of(chain, "work"), "{chain}");
        }
    }
}
