//! The verdict on a port set: every base chain on the way of every packet, from every interface.

use std::net::IpAddr;

use crate::model::ports::PortSet;
use crate::model::reach::{Family, Reach, ReachEntry, ReachMap};
use crate::model::ruleset::{BaseChain, ChainKind, Hook, Interface, Ruleset, Table, TableFamily};

use super::describe;
use super::flow::Memory;
use super::names::Names;
use super::packet::{Packet, Phase};
use super::steps::{Recorder, Step};
use super::trace::{Block, Doubt, Intent, Outcome, Spot, Tracer};
use super::truth::ALL_ADDRESSES;

/// The verdicts, and what placement needs to know of the blocks.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// The verdicts.
    pub map: ReachMap,
    /// What keeps ports from being open and is no block that an accept could stand before.
    pub obstacles: Vec<Obstacle>,
    pub(crate) blocks: Vec<Block>,
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
        !table.dormant && sees(table.family, family) && filtering.next().is_some()
    })
}

/// Like [`trace`], with what placement needs.
pub fn judge(ruleset: &Ruleset, family: Family, ports: &PortSet) -> Judgement {
    Question::new(ruleset, family, ports).judge(ruleset, &mut Recorder::default())
}

/// Which connections are asked about.
struct Question<'a> {
    family: Family,
    ports: &'a PortSet,
    /// From which clients; `None` is an unknown one.
    remotes: Vec<Option<IpAddr>>,
}

impl<'a> Question<'a> {
    fn new(ruleset: &Ruleset, family: Family, ports: &'a PortSet) -> Self {
        let sources = ruleset.sources.iter().copied();
        let sources = sources.filter(|source| is_of(source, family)).map(Some);
        let unknown = (!ruleset.sources_only).then_some(None);
        Self {
            family,
            ports,
            remotes: unknown.into_iter().chain(sources).collect(),
        }
    }

    fn judge(&self, ruleset: &Ruleset, recorder: &mut Recorder) -> Judgement {
        let names = Names::of(ruleset);
        let mut ways: Vec<Way<'_>> = Vec::new();
        for remote in &self.remotes {
            for (interface, addresses) in arrivals(ruleset, self.family) {
                let mut dependent = true;
                for address in addresses {
                    let mut way = Way::new(ruleset, self.family, interface, address, *remote);
                    way.run(&names, self.ports, recorder);
                    // The walk of the first way in is the one that is shown.
                    recorder.on = false;
                    let (by_interface, by_address) = (way.by_interface, way.by_address);
                    ways.push(way);
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
        combine(ruleset, self.family, ports, &ways)
    }
}

/// A host without any interface but loopback is judged as if it had this one.
static NO_INTERFACE: Interface = Interface {
    name: String::new(),
    index: u32::MAX,
    hardware_type: 1,
    group: 0,
    up: true,
    loopback: false,
    addresses: Vec::new(),
};

/// The interfaces on which a connection from elsewhere can arrive, each with the local addresses it can be meant for.
pub(super) fn arrivals(
    ruleset: &Ruleset,
    family: Family,
) -> Vec<(&Interface, Vec<Option<IpAddr>>)> {
    let real: Vec<&Interface> = ruleset
        .interfaces
        .iter()
        .filter(|interface| interface.up && !interface.loopback)
        .collect();
    let with = |accepts: fn(&IpAddr) -> bool| -> Vec<(&Interface, Vec<Option<IpAddr>>)> {
        let addressed = real.iter().map(|interface| {
            let addresses = interface.addresses.iter();
            let meant = addresses.filter(|address| is_of(address, family) && accepts(address));
            (*interface, meant.map(|address| Some(*address)).collect())
        });
        addressed
            .filter(|(_, addresses): &(_, Vec<_>)| !addresses.is_empty())
            .collect()
    };
    let global = with(|address| !is_link_local(address));
    if !global.is_empty() {
        return global;
    }
    let link_local = with(is_link_local);
    if !link_local.is_empty() {
        return link_local;
    }
    if real.is_empty() {
        return vec![(&NO_INTERFACE, vec![None])];
    }
    real.iter()
        .map(|interface| (*interface, vec![None]))
        .collect()
}

fn is_of(address: &IpAddr, family: Family) -> bool {
    address.is_ipv4() == (family == Family::Ipv4)
}

fn is_link_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

pub(super) fn sees(table: TableFamily, family: Family) -> bool {
    match table {
        TableFamily::Inet | TableFamily::Netdev => true,
        TableFamily::Ip => family == Family::Ipv4,
        TableFamily::Ip6 => family == Family::Ipv6,
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
        remote: Option<IpAddr>,
    ) -> Self {
        Self {
            ruleset,
            family,
            interface,
            address,
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

    fn run(&mut self, names: &[Names<'a>], ports: &PortSet, recorder: &mut Recorder) {
        let mut alive = ports.clone();
        let mut memory = Memory::start();
        let mut shares = Vec::new();
        for phase in Phase::ALL {
            for hook in phase.hooks() {
                // The first rule that translates settles it; further nat chains are not asked (`nf_nat_inet_fn`).
                let mut translated = PortSet::EMPTY;
                for (table_index, table, chain, base) in self.base_chains(*hook) {
                    let elsewhere =
                        !base.devices.is_empty() && !base.sees_device(&self.interface.name);
                    // nat sees the first tracked packet; later ones only where the opening one was not.
                    let nat = base.kind == ChainKind::Nat;
                    let late = nat && phase != Phase::Opening;
                    if alive.is_empty() || late && memory.begin_late().is_empty() {
                        continue;
                    }
                    let Some(names) = names.get(table_index) else {
                        continue;
                    };
                    let packet = Packet {
                        family: self.family,
                        phase,
                        hook: *hook,
                        priority: base.priority,
                        netdev: table.family == TableFamily::Netdev,
                        interface: self.interface,
                        local: self.address,
                        remote: self.remote,
                        consulted_interface: false.into(),
                        consulted_address: false.into(),
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
                    self.settle(&mut alive, outcome, phase, *hook);
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
    fn base_chains(&mut self, hook: Hook) -> Vec<(usize, &'a Table, usize, &'a BaseChain)> {
        let mut found = Vec::new();
        for (table_index, table) in self.ruleset.tables.iter().enumerate() {
            if table.dormant || !sees(table.family, self.family) {
                continue;
            }
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
        // Of equal priorities the chain that was registered last comes first (`nf_hook_entries_grow`).
        found.reverse();
        // Address translation has a place of its own (`NF_IP_PRI_NAT_DST`, `_SRC`), where its chains follow each other.
        found.sort_by_key(|(.., base)| match (base.kind, hook) {
            (ChainKind::Nat, Hook::Prerouting | Hook::Output) => (-100, base.priority),
            (ChainKind::Nat, _) => (100, base.priority),
            _ => (base.priority, 0),
        });
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
    fn settle(&mut self, alive: &mut PortSet, outcome: Outcome, phase: Phase, hook: Hook) {
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
            if phase == Phase::Opening && hook == Hook::Input {
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
fn combine(ruleset: &Ruleset, family: Family, ports: &PortSet, ways: &[Way<'_>]) -> Judgement {
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
        map: ReachMap {
            family,
            entries,
            exceptions: exceptions(ruleset, ways),
        },
        obstacles: obstacles(ways),
        blocks: ways.iter().flat_map(|way| way.blocks.clone()).collect(),
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
    let reach = if reasons.iter().any(|reason| reason.reach == Reach::Unknown) {
        Reach::Unknown
    } else {
        Reach::Restricted
    };
    let parts: Vec<String> = pairs()
        .map(|(way, reason)| {
            let word = reason.reach.as_str();
            format!("{word} for {}: {}", way.name(), way.because(reason))
        })
        .collect();
    (reach, parts.join("; "))
}

fn exceptions(ruleset: &Ruleset, ways: &[Way<'_>]) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for spot in ways.iter().flat_map(|way| &way.bans) {
        let text = describe::spot(ruleset, spot);
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts
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
