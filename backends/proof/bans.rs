//! Whom an accept must not let in: clients that rules turn away by their source, openly or by not sending them on.

use crate::model::ports::PortSet;
use crate::model::reach::Family;
use crate::model::ruleset::{
    Chain, ElementKey, Elements, Hook, Rule, Ruleset, Statement, TableFamily, Uncertainty, Verdict,
};

use super::arrivals::{arrivals, sees};
use super::flow::{EXPLICIT_PORTS, Memory};
use super::names::Names;
use super::outcome::Spot;
use super::packet::{Packet, Phase};
use super::scope::Ports;
use super::steps::Recorder;
use super::trace::Tracer;
use super::truth::Truth;

/// Chains nest no deeper (`NFT_JUMP_STACK_SIZE`).
const MOST_JUMPS: usize = 16;

/// Asks rules whom they turn away.
#[derive(Debug)]
pub(crate) struct Bans<'a> {
    ruleset: &'a Ruleset,
    names: Vec<Names<'a>>,
    /// The opening packet on every way in.
    packets: Vec<Packet<'a>>,
    /// What is known of the marks: nothing, where some rule gives them to some sources.
    memory: Memory,
}

/// What a rule does to new connections that are turned away behind it in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Nothing.
    Idle,
    /// It turns away some of them up to a rate, so whoever exceeds it goes on: it keeps nobody out, and only chooses how
    /// they are refused.
    Refusing,
    /// It turns away some of them by what they are or when they come, or it names the ports.
    Filtering,
    /// Anything else.
    Deciding,
}

/// A verdict of a rule, and who meets it.
#[derive(Debug)]
struct Side<'a> {
    truth: Truth,
    verdict: &'a Verdict,
}

impl<'a> Bans<'a> {
    pub(crate) fn new(ruleset: &'a Ruleset) -> Self {
        let opening = |family, interface, local| Packet {
            family,
            phase: Phase::Opening,
            hook: Hook::Input,
            priority: 0,
            table: TableFamily::Inet,
            interface: Some(interface),
            local,
            remote: None,
            consulted_interface: false.into(),
            consulted_address: false.into(),
            dropped: false.into(),
        };
        let packets = Family::BOTH.into_iter().flat_map(|family| {
            let ways = arrivals(ruleset, family).into_iter();
            ways.flat_map(move |(interface, addresses)| {
                let addresses = addresses.into_iter();
                addresses.map(move |address| opening(family, interface, address))
            })
        });
        let mut bans = Self {
            ruleset,
            names: Names::of(ruleset),
            packets: packets.collect(),
            memory: Memory::start(),
        };
        if bans.marks_sources() {
            bans.memory = Memory::marked_by_source();
        }
        bans
    }

    /// Whether a rule turns away some sources of connections to these ports.
    pub(crate) fn in_rule(&self, table: usize, rule: &'a Rule, ports: &PortSet) -> bool {
        self.turns_away(table, rule, ports, MOST_JUMPS)
    }

    /// Whether before a place some sources are not sent where others are accepted: an accept there would be the first
    /// that they meet.
    pub(crate) fn implied_before(&self, spot: &Spot, ports: &PortSet) -> Option<&'a Rule> {
        let calls = spot.calls.iter().map(|call| (call.chain, Some(call.rule)));
        let mut frames = calls.chain([(spot.chain, spot.rule)]);
        frames.find_map(|(chain, end)| {
            let table = self.ruleset.tables.get(spot.table)?;
            let rules = table.chains.get(chain)?.rules();
            let mut before = rules.iter().take(end.unwrap_or(rules.len()));
            before.find(|rule| self.withholds(spot.table, rule, ports, MOST_JUMPS))
        })
    }

    /// What a rule that may stop connections to these ports is for.
    pub(crate) fn role(&self, table: usize, rule: &'a Rule, ports: &PortSet) -> Role {
        self.role_within(table, rule, ports, MOST_JUMPS)
    }

    fn role_within(&self, table: usize, rule: &'a Rule, ports: &PortSet, depth: usize) -> Role {
        let Some(depth) = depth.checked_sub(1) else {
            return Role::Deciding;
        };
        let plain = |statement: &Statement| {
            matches!(
                statement,
                Statement::Match { .. }
                    | Statement::Lookup { .. }
                    | Statement::Condition { .. }
                    | Statement::Neutral { .. }
                    | Statement::SetSegmentSize { .. }
                    | Statement::Verdict(_)
            )
        };
        if !rule.statements.iter().all(plain) {
            return Role::Deciding;
        }
        let mut role = Role::Idle;
        self.any_side(table, rule, |side| {
            let inside = match side.verdict {
                // What a chain turns away, the rule that calls it does; who comes back goes on.
                Verdict::Jump(chain) if !side.exceptional(ports) => {
                    let rules = self.rules(table, chain).iter();
                    rules
                        .map(|rule| self.role_within(table, rule, ports, depth))
                        .max()
                }
                _ => None,
            };
            role = role.max(side.role(ports, inside));
            false
        });
        role
    }

    /// Whether a chain is entered by some sources where others are not.
    pub(crate) fn entered_by_some(&self, table: usize, chain: &str) -> bool {
        let chains = self.ruleset.tables.get(table).map(|table| &table.chains);
        let mut rules = chains.into_iter().flatten().flat_map(Chain::rules);
        rules.any(|rule| {
            self.any_side(table, rule, |side| match side.verdict {
                Verdict::Jump(target) | Verdict::Goto(target) => {
                    target == chain && side.exceptional(&PortSet::all())
                }
                _ => false,
            })
        })
    }

    /// Whether any rule sets a mark for some sources only.
    fn marks_sources(&self) -> bool {
        let tables = self.ruleset.tables.iter().enumerate();
        let mut rules = tables.flat_map(|(index, table)| {
            let chains = table.chains.iter();
            chains.flat_map(move |chain| chain.rules().iter().map(move |rule| (index, rule)))
        });
        rules.any(|(table, rule)| {
            let marks = |statement: &Statement| matches!(statement, Statement::SetMark { .. });
            let Some(end) = rule.statements.iter().position(marks) else {
                return false;
            };
            self.each_packet(table, |tracer| {
                let tests = rule.statements.iter().take(end);
                let truth = tests.fold(Truth::always(), |truth, statement| {
                    truth.and(&tracer.test(statement))
                });
                truth.source
            })
        })
    }

    /// Whether something holds on any way in.
    fn each_packet(&self, table: usize, mut holds: impl FnMut(&Tracer<'a, '_>) -> bool) -> bool {
        let (Some(found), Some(names)) = (self.ruleset.tables.get(table), self.names.get(table))
        else {
            return false;
        };
        let mut memory = self.memory.clone();
        let mut recorder = Recorder::default();
        let packets = self.packets.iter();
        let mut packets = packets.filter(|packet| sees(found.family, packet.family));
        packets.any(|packet| {
            let table = (table, found);
            let tracer = Tracer::new(table, 0, names, packet, &mut memory, &mut recorder);
            holds(&tracer)
        })
    }

    /// Whether any verdict of a rule fits, on any way in.
    fn any_side(
        &self,
        table: usize,
        rule: &'a Rule,
        mut fits: impl FnMut(&Side<'a>) -> bool,
    ) -> bool {
        self.each_packet(table, |tracer| {
            let mut truth = Truth::always();
            for statement in &rule.statements {
                match statement {
                    Statement::Verdict(Verdict::Continue) => {}
                    Statement::Verdict(verdict) => return fits(&Side { truth, verdict }),
                    Statement::VerdictMap { map, .. } => {
                        let found = tracer.mapped(statement);
                        let names = self.names.get(table);
                        let map = names.and_then(|names| names.sets.get(map.as_str()));
                        let settled = map.is_some_and(|map| match &map.elements {
                            Elements::Read(elements) => elements.iter().all(|element| {
                                element.verdict.as_ref().is_some_and(|verdict| {
                                    element.key == ElementKey::CatchAll
                                        || self.settles(table, verdict)
                                })
                            }),
                            Elements::Addresses { .. } | Elements::NotRead => false,
                        });
                        return found.into_iter().any(|(mut found, verdict)| {
                            if settled {
                                // Who has an element of the map is not without a verdict.
                                found.lapse = Ports::None;
                            }
                            let truth = truth.and(&found);
                            fits(&Side { truth, verdict })
                        });
                    }
                    _ => truth = truth.and(&tracer.test_of_any_day(statement)),
                }
            }
            false
        })
    }

    /// Whether a verdict decides about the packet, as far as one can tell.
    fn settles(&self, table: usize, verdict: &Verdict) -> bool {
        match verdict {
            Verdict::Accept | Verdict::Drop | Verdict::Reject(_) => true,
            Verdict::Jump(chain) | Verdict::Goto(chain) => self.drops(table, chain, MOST_JUMPS),
            _ => false,
        }
    }

    fn turns_away(&self, table: usize, rule: &'a Rule, ports: &PortSet, depth: usize) -> bool {
        let Some(depth) = depth.checked_sub(1) else {
            return true;
        };
        self.any_side(table, rule, |side| {
            let some = side.exceptional(ports);
            match side.verdict {
                Verdict::Drop | Verdict::Reject(_) => some,
                Verdict::Jump(chain) | Verdict::Goto(chain) => {
                    // Who goes and does not come back meets no later accept.
                    let gone = *side.verdict == Verdict::Goto(chain.clone());
                    let rules = self.rules(table, chain);
                    some && (self.drops(table, chain, depth)
                        || gone && !self.accepts(table, chain, depth))
                        || side.is_met(ports)
                            && rules
                                .iter()
                                .any(|rule| self.turns_away(table, rule, ports, depth))
                }
                _ => false,
            }
        })
    }

    /// Whether a rule keeps some sources from an accept that others meet, without turning them away.
    fn withholds(&self, table: usize, rule: &'a Rule, ports: &PortSet, depth: usize) -> bool {
        let Some(depth) = depth.checked_sub(1) else {
            return true;
        };
        self.any_side(table, rule, |side| {
            let without = !side.truth.lapse.within(ports).is_empty();
            match side.verdict {
                Verdict::Accept => without,
                Verdict::Jump(chain) | Verdict::Goto(chain) => {
                    let rules = self.rules(table, chain);
                    without && self.accepts(table, chain, depth)
                        || side.is_met(ports)
                            && rules.iter().enumerate().any(|(index, rule)| {
                                self.withholds(table, rule, ports, depth)
                                    || self.sends_back(table, rule, ports)
                                        && rules
                                            .iter()
                                            .skip(index + 1)
                                            .any(|rule| self.accepted_by(table, rule, depth))
                            })
                }
                _ => false,
            }
        })
    }

    /// Whether a rule sends some sources back to the caller.
    fn sends_back(&self, table: usize, rule: &'a Rule, ports: &PortSet) -> bool {
        self.any_side(table, rule, |side| {
            *side.verdict == Verdict::Return && !side.truth.except.within(ports).is_empty()
        })
    }

    /// Whether a chain accepts any new connection.
    fn accepts(&self, table: usize, chain: &str, depth: usize) -> bool {
        let rules = self.rules(table, chain);
        rules
            .iter()
            .any(|rule| self.accepted_by(table, rule, depth))
    }

    fn accepted_by(&self, table: usize, rule: &'a Rule, depth: usize) -> bool {
        let Some(depth) = depth.checked_sub(1) else {
            return true;
        };
        self.any_side(table, rule, |side| {
            side.truth.may != Ports::None
                && match side.verdict {
                    Verdict::Accept => true,
                    Verdict::Jump(chain) | Verdict::Goto(chain) => {
                        self.accepts(table, chain, depth)
                    }
                    _ => false,
                }
        })
    }

    /// Whether a chain stops any new connection.
    fn drops(&self, table: usize, chain: &str, depth: usize) -> bool {
        let Some(depth) = depth.checked_sub(1) else {
            return true;
        };
        self.rules(table, chain).iter().any(|rule| {
            self.any_side(table, rule, |side| match side.verdict {
                Verdict::Drop | Verdict::Reject(_) => true,
                Verdict::Jump(chain) | Verdict::Goto(chain) => self.drops(table, chain, depth),
                _ => false,
            })
        })
    }

    fn rules(&self, table: usize, chain: &str) -> &'a [Rule] {
        let names = self.names.get(table);
        let index = names.and_then(|names| names.chains.get(chain)).copied();
        let table = self.ruleset.tables.get(table);
        table
            .zip(index)
            .and_then(|(table, index)| table.chains.get(index))
            .map_or(&[], |chain| chain.rules())
    }
}

impl Side<'_> {
    /// Whether some sources meet the verdict where others do not.
    fn exceptional(&self, ports: &PortSet) -> bool {
        !self.truth.except.within(ports).is_empty() || self.truth.source && self.is_met(ports)
    }

    /// What the verdict is for; `inside` says it of the chain that it calls.
    fn role(&self, ports: &PortSet, inside: Option<Role>) -> Role {
        let truth = &self.truth;
        let named = match &truth.may {
            Ports::Some(named) => named.len() <= EXPLICIT_PORTS,
            _ => false,
        };
        let sure = !truth.must.within(ports).is_empty();
        let by_rate = matches!(truth.why, Uncertainty::Rate | Uncertainty::SlowRate);
        match (self.verdict, inside) {
            _ if !self.is_met(ports) && !self.exceptional(ports) => Role::Idle,
            (Verdict::Drop | Verdict::Reject(_), _) if self.exceptional(ports) || sure => {
                Role::Deciding
            }
            (Verdict::Drop | Verdict::Reject(_), _) if by_rate && !named => Role::Refusing,
            (Verdict::Drop | Verdict::Reject(_), _) => Role::Filtering,
            (_, Some(Role::Refusing)) if named || !sure && !by_rate => Role::Filtering,
            (_, Some(inside)) => inside,
            _ => Role::Deciding,
        }
    }

    fn is_met(&self, ports: &PortSet) -> bool {
        !self.truth.may.within(ports).is_empty()
    }
}
