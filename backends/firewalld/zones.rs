//! Zones: which of them are to be opened, and what they let in.
//!
//! A packet goes to the zone that its source is bound to, else to the one that its interface is bound to, else to the
//! default zone. What a zone lets in is not read off its configuration, where ports, services, rich rules, policies and
//! its target all have their say, but asked of the ruleset, with the interfaces and sources that belong to it.

use super::members::{Members, Zone, members};
use super::questions::{asking, is_led_to, questions};
use crate::backend::{Desired, Refusal};
use crate::detect::{self, Manager};
use crate::model::ports::{PortRange, PortSet};
use crate::model::reach::{Family, Reach};
use crate::model::ruleset::{Chain, Field, Interface, Rule, Ruleset, Statement, Value};
use crate::own;
use crate::proof::{self, Judgement, place};

/// Which zones are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// These and no others; empty: the default zone, and every active one that lets in one of `matters`.
    pub zones: Vec<String>,
    /// A zone that lets one of these ports in is one that matters.
    pub matters: PortSet,
    /// Services of firewalld's own that do more for these ports than open them: they are added instead of the ports.
    pub services: Vec<(String, PortSet)>,
}

impl Choice {
    /// The services that stand for some of the ports, and the rest of the ports.
    pub(super) fn split(&self, ports: &PortSet) -> (Vec<String>, PortSet) {
        let mut rest = ports.clone();
        let mut services = Vec::new();
        for (service, meant) in &self.services {
            if !meant.is_empty() && rest.covers(meant) {
                rest = rest.difference(meant);
                services.push(service.clone());
            }
        }
        (services, rest)
    }
}

/// The zones of a host, divided into those to be opened and the others.
#[derive(Clone, Debug, Default)]
pub(super) struct Division {
    /// The zones to open, with what belongs to them.
    pub(super) opened: Vec<(Zone, Members)>,
    /// The others that anything belongs to.
    pub(super) others: Vec<(Zone, Members)>,
}

impl Division {
    /// Divides the zones of a ruleset's host, and narrows the ruleset's questions to what belongs to the opened ones.
    pub(super) fn make(ruleset: &mut Ruleset, zones: Vec<Zone>, choice: &Choice) -> Self {
        let all = members(&ruleset.interfaces, zones);
        let mut division = Self::default();
        for (zone, members) in all {
            let opened = if choice.zones.is_empty() {
                zone.default || lets_in(ruleset, &zone, &members, &choice.matters)
            } else {
                choice.zones.contains(&zone.name)
            };
            if opened {
                division.opened.push((zone, members));
            } else if members.any() {
                division.others.push((zone, members));
            }
        }
        division.narrow(ruleset);
        division
    }

    /// Narrows a ruleset's questions to what belongs to the opened zones.
    pub(super) fn narrow(&self, ruleset: &mut Ruleset) {
        let others: Vec<&str> = self
            .others
            .iter()
            .flat_map(|(_, members)| &members.interfaces)
            .map(|interface| interface.name.as_str())
            .collect();
        ruleset
            .interfaces
            .retain(|interface| !others.contains(&interface.name.as_str()));
        let sources = self.opened.iter().flat_map(|(_, members)| &members.sources);
        ruleset.sources = sources.copied().collect();
        let unknown = self
            .opened
            .iter()
            .any(|(zone, members)| zone.default || !members.interfaces.is_empty());
        ruleset.sources_only = !unknown && !ruleset.sources.is_empty();
    }

    /// Whether the zones that the ruleset's own questions do not tell of let everything in: those that nothing of this
    /// host belongs to, or nothing that can be asked about. Where no rule is about a zone, its ports by name count.
    pub(super) fn silent_open(
        &self,
        ruleset: &Ruleset,
        desired: &Desired,
        by_name: impl Fn(&str) -> PortSet,
    ) -> bool {
        // What is down, or has no address yet, is no way in now.
        let live = |interface: &Interface| interface.up && !interface.addresses.is_empty();
        let told = |members: &Members| {
            let by_interface = match members.interfaces.as_slice() {
                [] => !members.sources.is_empty(),
                interfaces => interfaces.iter().any(live),
            };
            members.unasked.is_empty() && by_interface
        };
        let mut silent = self.opened.iter().filter(|(_, members)| !told(members));
        let mut copy: Option<Ruleset> = None;
        silent.all(|(zone, members)| {
            let ruleset = copy.get_or_insert_with(|| ruleset.clone());
            open(ruleset, zone, members, desired)
                .unwrap_or_else(|| by_name(&zone.name))
                .covers(&desired.ports)
        })
    }

    /// All of them.
    pub(super) fn zones(&self) -> Vec<Zone> {
        let all = self.opened.iter().chain(&self.others);
        all.map(|(zone, _)| zone.clone()).collect()
    }

    /// The ports that get into a zone, be it from some clients only, and what lets them in.
    pub(super) fn let_in(
        &self,
        ruleset: &mut Ruleset,
        zone: &str,
        ports: &PortSet,
    ) -> Vec<(PortSet, String)> {
        let zones = self.opened.iter().chain(&self.others);
        let mut found = Vec::new();
        for (zone, members) in zones.filter(|(known, _)| known.name == zone) {
            for (question, family) in questions(ruleset, zone, members)
                .iter()
                .flat_map(|question| Family::BOTH.map(|family| (question, family)))
            {
                let map = asking(ruleset, question.clone(), |ruleset| {
                    proof::trace(ruleset, family, ports)
                });
                let entries = map.entries.into_iter();
                let entries = entries.filter(|it| gets_in(it.reach));
                found.extend(entries.map(|entry| (entry.ports, entry.because)));
            }
        }
        found
    }

    /// Whether the zone is to be opened.
    pub(super) fn opens(&self, zone: &str) -> bool {
        self.opened.iter().any(|(opened, _)| opened.name == zone)
    }
}

/// Whether anybody gets through.
fn gets_in(reach: Reach) -> bool {
    matches!(reach, Reach::Open | Reach::Restricted)
}

/// Whether any of the ports is let in, be it for some clients only.
fn lets_in(ruleset: &mut Ruleset, zone: &Zone, members: &Members, ports: &PortSet) -> bool {
    let some = |ruleset: &Ruleset| {
        Family::BOTH.iter().any(|family| {
            let map = proof::trace(ruleset, *family, ports);
            let mut entries = map.entries.iter();
            entries.any(|entry| gets_in(entry.reach))
        })
    };
    questions(ruleset, zone, members)
        .into_iter()
        .any(|question| asking(ruleset, question, some))
}

/// The ports that everything in the zone surely gets through to; `None` when nothing in the ruleset is about the zone.
pub(super) fn open(
    ruleset: &mut Ruleset,
    zone: &Zone,
    members: &Members,
    desired: &Desired,
) -> Option<PortSet> {
    let questions = questions(ruleset, zone, members);
    let unknown = !members.unasked.is_empty() && !is_led_to(ruleset, &zone.name);
    if questions.is_empty() || unknown {
        return None;
    }
    let mut open = desired.ports.clone();
    for question in questions {
        for family in &desired.families {
            let map = asking(ruleset, question.clone(), |ruleset| {
                proof::trace(ruleset, *family, &desired.ports)
            });
            let closed = map
                .entries
                .iter()
                .filter(|entry| entry.reach != Reach::Open);
            for entry in closed {
                open = open.difference(&entry.ports);
            }
        }
    }
    Some(open)
}

/// What keeps ports of a zone closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blocker {
    pub(super) ports: PortSet,
    /// In words.
    pub(super) because: String,
    /// Whether it stands among firewalld's own rules.
    pub(super) firewalld: bool,
    /// Whether it cannot be told what becomes of the ports.
    unknown: bool,
    /// The chain.
    chain: String,
}

impl Blocker {
    /// What stands in the way, by its name; it is never gone round.
    pub(super) fn refusal(&self, panics: bool, policies: &[String]) -> Refusal {
        let (code, what, hint) = if panics {
            (
                "firewalld-panic",
                "firewalld is in panic mode".to_owned(),
                "when the danger is over: firewall-cmd --panic-off".to_owned(),
            )
        } else if self.unknown {
            (
                "firewalld-unknown",
                "it cannot be told whether the zone lets the ports in".to_owned(),
                "mend or remove what is named, then run again".to_owned(),
            )
        } else if !self.firewalld {
            (
                "beside-firewalld",
                "something beside firewalld closes the ports".to_owned(),
                "let them in there too (a direct rule: `firewall-cmd --permanent --direct --get-all-rules`): pasvsync edits nothing beside firewalld's zones"
                    .to_owned(),
            )
        } else if let Some(policy) = self.policy(policies) {
            (
                "firewalld-rule",
                format!("firewalld's policy {policy} closes the ports"),
                format!(
                    "it comes before what the zone lets in; see it with `firewall-cmd --info-policy={policy}`"
                ),
            )
        } else {
            (
                "firewalld-rule",
                "a rule of firewalld's closes the ports whatever the zone lets in".to_owned(),
                "see the zone's rich rules: firewall-cmd --zone=ZONE --list-rich-rules".to_owned(),
            )
        };
        Refusal {
            code,
            message: format!("{what}: {}", self.because),
            hint: Some(hint),
            ports: self.ports.clone(),
        }
    }

    /// The policy whose chain it is: of nftables `filter_IN_policy_NAME`, of iptables `IN_NAME`, maybe with what it is for
    /// behind that.
    fn policy<'p>(&self, policies: &'p [String]) -> Option<&'p String> {
        let (_, name) = self.chain.split_once("IN_")?;
        let name = name.strip_prefix("policy_").unwrap_or(name);
        let ends = ["", "_pre", "_log", "_deny", "_allow", "_post"];
        policies.iter().find(|policy| {
            let rest = name.strip_prefix(policy.as_str());
            rest.is_some_and(|rest| ends.contains(&rest))
        })
    }
}

/// What keeps ports of the zone from being open.
pub(super) fn blockers(
    ruleset: &mut Ruleset,
    zone: &Zone,
    members: &Members,
    desired: &Desired,
) -> Vec<Blocker> {
    let mut blockers = Vec::new();
    for question in questions(ruleset, zone, members) {
        for family in &desired.families {
            let found = asking(ruleset, question.clone(), |ruleset| {
                blocked(ruleset, &proof::judge(ruleset, *family, &desired.ports))
            });
            blockers.extend(found);
        }
    }
    blockers
}

fn blocked(ruleset: &Ruleset, judgement: &Judgement) -> Vec<Blocker> {
    let closed = judgement.map.entries.iter();
    let closed = closed.filter(|entry| entry.reach != Reach::Open);
    closed
        .map(|entry| {
            let mut blocks = judgement.blocks.iter();
            let block = blocks.find(|block| !block.ports.intersection(&entry.ports).is_empty());
            let table = block.and_then(|block| ruleset.tables.get(block.spot.table));
            let chain = block.and_then(|block| table?.chains.get(block.spot.chain));
            Blocker {
                ports: entry.ports.clone(),
                because: entry.because.clone(),
                unknown: entry.reach == Reach::Unknown,
                firewalld: table
                    .is_some_and(|table| detect::manager(table) == Some(Manager::Firewalld)),
                chain: chain.map_or_else(String::new, |chain| chain.name.clone()),
            }
        })
        .collect()
}

/// Keeps a refusal, once for all zones.
pub(super) fn note(refusals: &mut Vec<Refusal>, refusal: Refusal) {
    let same =
        |known: &&mut Refusal| known.code == refusal.code && known.message == refusal.message;
    match refusals.iter_mut().find(same) {
        Some(known) => known.ports = known.ports.union(&refusal.ports),
        None => refusals.push(refusal),
    }
}

/// The chains in which firewalld accepts what a zone lets in: of its nftables backend, and of its iptables backend.
fn allow_chains<'r>(ruleset: &'r mut Ruleset, zone: &str) -> impl Iterator<Item = &'r mut Chain> {
    let names = [
        format!("filter_IN_{zone}_allow"),
        format!("IN_{zone}_allow"),
    ];
    let tables = ruleset.tables.iter_mut();
    let tables =
        tables.filter(|table| table.name.starts_with("firewalld") || table.name == "filter");
    tables
        .flat_map(|table| &mut table.chains)
        .filter(move |chain| names.contains(&chain.name))
}

/// Puts in what firewalld would for an open port; whether it has a place for it.
pub(super) fn accept(ruleset: &mut Ruleset, zone: &str, ports: &PortSet) -> bool {
    let mut found = false;
    for chain in allow_chains(ruleset, zone) {
        found = true;
        let accepts = ports.ranges().iter();
        let accepts = accepts.map(|range| place::accept(*range, false));
        chain.rules.get_or_insert_default().extend(accepts);
    }
    found
}

/// Whether there is a rule as firewalld writes it for these open ports.
pub(super) fn accepts(ruleset: &mut Ruleset, zone: &str, ports: PortRange) -> bool {
    allow_chains(ruleset, zone).any(|chain| {
        let mut rules = chain.rules.iter().flatten();
        rules.any(|rule| opens(rule) == Some(ports))
    })
}

/// Takes out what firewalld has put in for an open port, one rule of each chain.
pub(super) fn withdraw(ruleset: &mut Ruleset, zone: &str, ports: PortRange) {
    for chain in allow_chains(ruleset, zone) {
        let Some(rules) = chain.rules.as_mut() else {
            continue;
        };
        if let Some(index) = rules.iter().position(|rule| opens(rule) == Some(ports)) {
            rules.remove(index);
        }
    }
}

/// The ports that a rule of firewalld's opens; up to 0.9 it also asks for a new connection.
fn opens(rule: &Rule) -> Option<PortRange> {
    let about_state = |statement: &Statement| {
        let of = |value: &Value| {
            let mut parts = value.parts.iter();
            parts.any(|part| part.field == Field::ConnectionState)
        };
        matches!(statement, Statement::Match { value, .. } | Statement::Lookup { value, .. } if of(value))
    };
    let mut plain = rule.clone();
    let others = rule.statements.iter();
    plain.statements = others
        .filter(|statement| !about_state(statement))
        .cloned()
        .collect();
    own::accepted_ports(&plain)
}
