//! The verdict on a port set: every base chain on the way of every packet, from every interface.

use std::net::IpAddr;

use crate::model::ports::PortSet;
use crate::model::reach::{Family, Reach, ReachEntry, ReachMap};
use crate::model::ruleset::{BaseChain, ChainKind, Hook, Interface, Ruleset, Table, TableFamily};

use super::arrivals::{Bridged, arrivals, hooks, is_in_vrf, is_link_local, is_of, only_port, sees};
use super::describe;
use super::flow::Memory;
use super::names::Names;
use super::order::{self, Order};
use super::outcome::{Block, Doubt, Intent, Outcome, Spot};
use super::packet::{Packet, Phase};
use super::steps::{Recorder, Step};
use super::trace::Tracer;
use super::truth::ALL_ADDRESSES;

/// The verdicts, and what placement needs to know of the blocks.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// The verdicts.
    pub map: ReachMap,
    /// What keeps ports from being open and is no block that an accept could stand before.
    pub obstacles: Vec<Obstacle>,
    pub(crate) blocks: Vec<Block>,
    /// Where packets may be stopped, though nothing there surely stops them.
    pub(crate) doubts: Vec<Doubt>,
    bans: Vec<Spot>,
}

impl Judgement {
    /// Bans and exceptions that some remote addresses meet on the way, in words; they do not change the verdict. There may
    /// be thousands. `ruleset` is the one that was judged.
    pub fn exceptions(&self, ruleset: &Ruleset) -> Vec<String> {
        let mut texts: Vec<String> = Vec::new();
        for spot in &self.bans {
            let text = describe::spot(ruleset, spot);
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        texts
    }
}

/// Something that no accept rule overcomes: address translation, an output policy, a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The ports it concerns.
    pub ports: PortSet,
    /// What it is, in words.
    pub because: String,
}

/// What becomes of a new connection to each of the ports.
pub fn trace(ruleset: &Ruleset, family: Family, ports: &PortSet) -> ReachMap {
    judge(ruleset, family, ports).map
}

/// The verdict on one port, and every step on the way of its packets.
pub fn walk(ruleset: &Ruleset, family: Family, port: u16) -> (Option<ReachEntry>, Vec<Step>) {
    let ports = PortSet::from(crate::model::ports::PortRange::single(port));
    let mut recorder = Recorder {
        on: true,
        ..Recorder::default()
    };
    let judgement = Question::new(ruleset, family, &ports).judge(ruleset, &mut recorder);
    let steps = recorder.steps.iter();
    (
        judgement.map.entry(port).cloned(),
        steps.map(|step| step.in_words(ruleset)).collect(),
    )
}

/// Whether any base chain could stop a new connection to this host in that family.
pub fn filters_input(ruleset: &Ruleset, family: Family) -> bool {
    ruleset.tables.iter().any(|table| {
        let bases = table.chains.iter().filter_map(|chain| chain.base.as_ref());
        let mut filtering = bases.filter(|base| {
            matches!(base.hook, Hook::Ingress | Hook::Prerouting | Hook::Input)
                && base.kind != ChainKind::Nat
        });
        let passed = table.family != TableFamily::Bridge
            || ruleset.interfaces.iter().any(|interface| interface.bridge);
        !table.dormant && passed && sees(table.family, family) && filtering.next().is_some()
    })
}

/// Like [`trace`], with what placement needs.
///
/// At the level TRACE the walk of the first way in is logged.
pub fn judge(ruleset: &Ruleset, family: Family, ports: &PortSet) -> Judgement {
    let mut recorder = Recorder {
        on: tracing::enabled!(tracing::Level::TRACE),
        ..Recorder::default()
    };
    let judgement = Question::new(ruleset, family, ports).judge(ruleset, &mut recorder);
    for noted in &recorder.steps {
        tracing::trace!("{family}, {}", noted.in_words(ruleset));
    }
    judgement
}

/// Which connections are asked about.
pub(super) struct Question<'a> {
    pub(super) family: Family,
    pub(super) ports: &'a PortSet,
    /// By which packets.
    pub(super) phases: &'static [Phase],
    /// By which interfaces, to which addresses.
    pub(super) arrivals: Vec<(&'a Interface, Vec<Option<IpAddr>>)>,
    /// From which clients; `None` is an unknown one.
    pub(super) remotes: Vec<Option<IpAddr>>,
}

impl<'a> Question<'a> {
    fn new(ruleset: &'a Ruleset, family: Family, ports: &'a PortSet) -> Self {
        let sources = ruleset.sources.iter().copied();
        let sources = sources.filter(|source| is_of(source, family)).map(Some);
        let unknown = (!ruleset.sources_only).then_some(None);
        Self {
            family,
            ports,
            phases: &Phase::CONNECTION,
            arrivals: arrivals(ruleset, family),
            remotes: unknown.into_iter().chain(sources).collect(),
        }
    }

    pub(super) fn judge(&self, ruleset: &Ruleset, recorder: &mut Recorder) -> Judgement {
        let names = Names::of(ruleset);
        let orders = order::possible(ruleset);
        let mut ways: Vec<Way<'_>> = Vec::new();
        for remote in &self.remotes {
            for (interface, addresses) in &self.arrivals {
                let mut dependent = true;
                for address in addresses {
                    let (mut by_interface, mut by_address) = (false, false);
                    for order in orders {
                        let mut way =
                            Way::new(ruleset, self.family, interface, *address, *order, *remote);
                        way.run(&names, self.ports, self.phases, recorder);
                        // The walk of the first way in is the one that is shown.
                        recorder.on = false;
                        by_interface |= way.by_interface;
                        by_address |= way.by_address;
                        ways.push(way);
                    }
                    dependent = by_interface || by_address;
                    if !by_address {
                        break;
                    }
                }
                if !dependent {
                    break;
                }
            }
        }
        // Nobody of this family has to get through: there is nothing to say of any port.
        let nobody = PortSet::EMPTY;
        let ports = if self.remotes.is_empty() {
            &nobody
        } else {
            self.ports
        };
        combine(self.family, ports, &ways)
    }
}

/// Why ports have a verdict.
#[derive(Clone, Debug)]
struct Reason {
    ports: PortSet,
    reach: Reach,
    phase: Phase,
    spot: Option<Spot>,
}

/// One way in: an interface and a local address.
#[derive(Debug)]
struct Way<'a> {
    ruleset: &'a Ruleset,
    family: Family,
    interface: &'a Interface,
    address: Option<IpAddr>,
    order: Order,
    remote: Option<IpAddr>,
    by_interface: bool,
    by_address: bool,
    reasons: Vec<Reason>,
    accepted: Vec<(PortSet, Spot)>,
    blocks: Vec<Block>,
    doubts: Vec<Doubt>,
    bans: Vec<Spot>,
}

impl<'a> Way<'a> {
    fn new(
        ruleset: &'a Ruleset,
        family: Family,
        interface: &'a Interface,
        address: Option<IpAddr>,
        order: Order,
        remote: Option<IpAddr>,
    ) -> Self {
        Self {
            ruleset,
            family,
            interface,
            address,
            order,
            remote,
            by_interface: false,
            by_address: false,
            reasons: Vec::new(),
            accepted: Vec::new(),
            blocks: Vec::new(),
            doubts: Vec::new(),
            bans: Vec::new(),
        }
    }

    fn run(
        &mut self,
        names: &[Names<'a>],
        ports: &PortSet,
        phases: &[Phase],
        recorder: &mut Recorder,
    ) {
        let mut alive = ports.clone();
        let mut memory = Memory::start();
        let mut shares = Vec::new();
        let bridged = Bridged::of(self.ruleset, self.interface);
        let port = only_port(self.ruleset, self.interface);
        let plain = (!is_in_vrf(self.ruleset, self.interface)).then_some(self.interface);
        for phase in phases.iter().copied() {
            for (in_bridge, hook) in hooks(phase, bridged) {
                // The first rule that translates settles it; further nat chains are not asked (`nf_nat_inet_fn`).
                let mut translated = PortSet::EMPTY;
                for (table_index, table, chain, base) in self.base_chains(in_bridge, hook) {
                    let elsewhere = in_bridge && bridged == Bridged::Perhaps
                        || !base.devices.is_empty() && !base.sees_device(&self.interface.name);
                    // nat sees the first tracked packet; later ones only where the opening one was not.
                    let nat = base.kind == ChainKind::Nat;
                    let late = nat && phase != Phase::Opening;
                    let passed_by = nat && phase.discovers() || alive.is_empty();
                    if passed_by || late && memory.begin_late().is_empty() {
                        continue;
                    }
                    let Some(names) = names.get(table_index) else {
                        continue;
                    };
                    let packet = Packet {
                        family: self.family,
                        phase,
                        hook,
                        priority: base.priority,
                        table: table.family,
                        interface: if in_bridge { port } else { plain },
                        local: self.address,
                        remote: self.remote,
                        consulted_interface: false.into(),
                        consulted_address: false.into(),
                        dropped: false.into(),
                    };
                    let tracer = Tracer::new(
                        (table_index, table),
                        chain,
                        names,
                        &packet,
                        &mut memory,
                        recorder,
                    );
                    let mut outcome = if nat {
                        // What is not tracked is not translated.
                        let passed_by = translated.union(&tracer.memory.untracked());
                        let mut seen = alive.difference(&passed_by);
                        if late {
                            seen = seen.intersection(&tracer.memory.begin_late());
                        }
                        let doubtful = late || !tracer.memory.unclear().is_empty();
                        let mut outcome = tracer.run(&seen, base.policy);
                        translated = translated.union(&outcome.translated);
                        if doubtful {
                            outcome.only_perhaps();
                        }
                        outcome
                    } else {
                        tracer.run(&alive, base.policy)
                    };
                    self.by_interface |= packet.consulted_interface.get();
                    self.by_address |= packet.consulted_address.get();
                    if elsewhere {
                        outcome.only_perhaps();
                    }
                    if phase == Phase::Opening {
                        shares.append(&mut outcome.shares);
                    }
                    self.settle(&mut alive, outcome, phase, (in_bridge, hook));
                }
            }
            for (_, situation) in &mut memory.situations {
                *situation = situation.next_packet(phase);
            }
        }
        self.add_up(&shares, ports);
    }

    /// Many narrow bans can add up to the greater part of the Internet.
    fn add_up(&mut self, shares: &[(PortSet, u64, Spot)], ports: &PortSet) {
        let mut sums = vec![(ports.clone(), 0_u64)];
        for (ports, share, spot) in shares {
            let mut split = Vec::with_capacity(sums.len() + 1);
            for (scope, sum) in sums {
                let (inside, outside) = (scope.intersection(ports), scope.difference(ports));
                let more = sum.saturating_add(*share);
                if more <= ALL_ADDRESSES / 2 {
                    split.push((inside, more));
                } else {
                    self.note(
                        inside.clone(),
                        Reach::Restricted,
                        Phase::Opening,
                        Some(spot.clone()),
                    );
                    self.doubts.push(Doubt {
                        spot: spot.clone(),
                        ports: inside,
                        unknown: false,
                    });
                }
                split.push((outside, sum));
            }
            split.retain(|(ports, _)| !ports.is_empty());
            sums = split;
        }
    }

    /// The base chains at a hook, in the order of their priorities.
    fn base_chains(
        &mut self,
        in_bridge: bool,
        hook: Hook,
    ) -> Vec<(usize, &'a Table, usize, &'a BaseChain)> {
        let mut found = Vec::new();
        for (table_index, table) in self.ruleset.tables.iter().enumerate() {
            let of_bridges = table.family == TableFamily::Bridge;
            if table.dormant || !sees(table.family, self.family) || of_bridges != in_bridge {
                continue;
            }
            // Another interface is no bridge, or another one.
            self.by_interface |= in_bridge;
            for (index, chain) in table.chains.iter().enumerate() {
                let Some(base) = chain.base.as_ref().filter(|base| base.hook == hook) else {
                    continue;
                };
                if matches!(hook, Hook::Ingress | Hook::Egress) {
                    self.by_interface = true;
                    if !base.sees_device(&self.interface.name) && !self.carries(base) {
                        continue;
                    }
                }
                found.push((table_index, table, index, base));
            }
        }
        self.order.sort(&mut found);
        found
    }

    /// Whether the packets may come through a device of the chain before they come in by this interface: through a port
    /// of a bridge, a part of a bond, the carrier of a VLAN. Those have no addresses of their own.
    fn carries(&self, base: &BaseChain) -> bool {
        let mut others = self.ruleset.interfaces.iter();
        others.any(|other| {
            let mut addresses = other.addresses.iter();
            other.up
                && !other.loopback
                && base.sees_device(&other.name)
                && addresses.all(is_link_local)
        })
    }

    /// Takes the outcome of one base chain into account.
    fn settle(&mut self, alive: &mut PortSet, outcome: Outcome, phase: Phase, hook: (bool, Hook)) {
        for block in outcome.blocked {
            let rest = self.divide(
                &block.ports,
                &outcome.maybe_accepted,
                phase,
                Some(&block.spot),
            );
            *alive = alive.difference(&rest);
            // A translated connection may well get through, though not to this port.
            let reach = if block.intent == Intent::Translated {
                Reach::Restricted
            } else {
                Reach::Closed
            };
            self.note(rest, reach, phase, Some(block.spot.clone()));
            self.blocks.push(block);
        }
        for (ports, spot) in outcome.accepted {
            self.divide(&ports, &outcome.maybe_blocked, phase, None);
            if phase == Phase::Opening && hook == (false, Hook::Input) {
                self.accepted.push((ports, spot));
            }
        }
        self.doubts.extend(outcome.maybe_blocked);
        self.bans.extend(outcome.bans);
    }

    /// Notes the ports that a doubt makes less than sure; returns the others.
    fn divide(
        &mut self,
        ports: &PortSet,
        doubts: &[Doubt],
        phase: Phase,
        instead: Option<&Spot>,
    ) -> PortSet {
        let mut rest = ports.clone();
        // What is not understood weighs more than what is restricted.
        for unknown in [true, false] {
            for doubt in doubts.iter().filter(|doubt| doubt.unknown == unknown) {
                let here = doubt.ports.intersection(&rest);
                rest = rest.difference(&here);
                let reach = if unknown {
                    Reach::Unknown
                } else {
                    Reach::Restricted
                };
                let spot = if unknown {
                    &doubt.spot
                } else {
                    instead.unwrap_or(&doubt.spot)
                };
                self.note(here, reach, phase, Some(spot.clone()));
            }
        }
        rest
    }

    fn note(&mut self, ports: PortSet, reach: Reach, phase: Phase, spot: Option<Spot>) {
        if !ports.is_empty() {
            self.reasons.push(Reason {
                ports,
                reach,
                phase,
                spot,
            });
        }
    }

    /// Each port with its worst verdict, and the first reason for it.
    fn verdicts(&self, ports: &PortSet) -> Vec<Reason> {
        let mut rest = ports.clone();
        let mut verdicts: Vec<Reason> = Vec::new();
        let mut take = |candidate: &PortSet, reach, phase, spot: Option<&Spot>| {
            let here = candidate.intersection(&rest);
            if !here.is_empty() {
                rest = rest.difference(&here);
                verdicts.push(Reason {
                    ports: here,
                    reach,
                    phase,
                    spot: spot.cloned(),
                });
            }
        };
        for reach in [Reach::Closed, Reach::Unknown, Reach::Restricted] {
            for reason in self.reasons.iter().filter(|reason| reason.reach == reach) {
                take(&reason.ports, reach, reason.phase, reason.spot.as_ref());
            }
        }
        for (ports, spot) in self.accepted.iter().rev() {
            take(ports, Reach::Open, Phase::Opening, Some(spot));
        }
        take(ports, Reach::Open, Phase::Opening, None);
        verdicts
    }

    fn because(&self, reason: &Reason) -> String {
        match &reason.spot {
            None => "no base chain of an input path filters it".to_owned(),
            Some(spot) => format!(
                "{}{}",
                describe::phase(reason.phase),
                describe::spot(self.ruleset, spot)
            ),
        }
    }

    /// Whether it differs from another way at most in the order of the tables.
    fn is_way_of(&self, other: &Self) -> bool {
        std::ptr::eq(self.interface, other.interface)
            && self.address == other.address
            && self.remote == other.remote
    }

    fn name(&self) -> String {
        let place = match (self.by_address, self.address) {
            (true, Some(address)) => format!("{address} on {}", self.interface.name),
            _ => self.interface.name.clone(),
        };
        match self.remote {
            Some(remote) => format!("clients such as {remote} on {place}"),
            None => place,
        }
    }
}

/// The verdict over all ways in: what differs between them is restricted.
fn combine(family: Family, ports: &PortSet, ways: &[Way<'_>]) -> Judgement {
    let mut segments: Vec<(PortSet, Vec<Reason>)> = vec![(ports.clone(), Vec::new())];
    segments.retain(|(scope, _)| !scope.is_empty());
    for way in ways {
        let verdicts = way.verdicts(ports);
        segments = segments
            .into_iter()
            .flat_map(|(scope, reasons)| {
                verdicts.iter().filter_map(move |verdict| {
                    let here = scope.intersection(&verdict.ports);
                    let mut reasons = reasons.clone();
                    reasons.push(verdict.clone());
                    (!here.is_empty()).then_some((here, reasons))
                })
            })
            .collect();
    }
    let mut entries: Vec<ReachEntry> = Vec::new();
    for (scope, reasons) in segments {
        let (reach, because) = summary(ways, &reasons);
        match entries
            .iter_mut()
            .find(|entry| entry.reach == reach && entry.because == because)
        {
            Some(entry) => entry.ports = entry.ports.union(&scope),
            None => entries.push(ReachEntry {
                ports: scope,
                reach,
                because,
            }),
        }
    }
    entries.sort_by_key(|entry| entry.ports.ranges().first().map(|range| range.first()));
    Judgement {
        map: ReachMap { family, entries },
        obstacles: obstacles(ways),
        blocks: ways.iter().flat_map(|way| way.blocks.clone()).collect(),
        doubts: ways.iter().flat_map(|way| way.doubts.clone()).collect(),
        bans: ways.iter().flat_map(|way| way.bans.clone()).collect(),
    }
}

fn summary(ways: &[Way<'_>], reasons: &[Reason]) -> (Reach, String) {
    let pairs = || ways.iter().zip(reasons);
    let Some((first_way, first)) = pairs().next() else {
        return (Reach::Unknown, "no way in was found".to_owned());
    };
    if reasons.iter().all(|reason| reason.reach == first.reach) {
        return (first.reach, first_way.because(first));
    }
    let by_order = |(way, reason): (&Way<'_>, &Reason)| {
        let mut others = pairs().filter(|(other, _)| other.is_way_of(way));
        others.any(|(_, other)| other.reach != reason.reach)
    };
    let unsettled = pairs().any(by_order);
    let reach = if unsettled || reasons.iter().any(|reason| reason.reach == Reach::Unknown) {
        Reach::Unknown
    } else {
        Reach::Restricted
    };
    let parts: Vec<String> = pairs()
        .map(|(way, reason)| {
            let word = reason.reach.as_str();
            let order = if unsettled { way.order.describe() } else { "" };
            format!("{word} for {}{order}: {}", way.name(), way.because(reason))
        })
        .collect();
    (reach, parts.join("; "))
}

fn obstacles(ways: &[Way<'_>]) -> Vec<Obstacle> {
    let mut found: Vec<Obstacle> = Vec::new();
    for way in ways {
        let doubts = way
            .doubts
            .iter()
            .map(|doubt| (&doubt.ports, &doubt.spot, ""));
        let blocks = way.blocks.iter().filter_map(|block| {
            let fixed = block.phase == Phase::Reply || block.intent == Intent::Translated;
            fixed.then_some((&block.ports, &block.spot, describe::phase(block.phase)))
        });
        for (ports, spot, whose) in blocks.chain(doubts) {
            let obstacle = Obstacle {
                ports: ports.clone(),
                because: format!("{whose}{}", describe::spot(way.ruleset, spot)),
            };
            if !found.contains(&obstacle) {
                found.push(obstacle);
            }
        }
    }
    found
}
