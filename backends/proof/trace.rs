//! One base chain: a whole set of ports sent through its rules at once.

use std::collections::HashMap;

use crate::model::ports::PortSet;
use crate::model::ruleset::{
    Mark, Nat, NatKind, PayloadBase, Policy, Rule, Ruleset, Set, Statement, Table, Uncertainty,
    Verdict,
};

use super::packet::{Packet, Phase, Situation, Tracking};
use super::steps::{Effect, Recorder};
use super::truth::{self, Ports, Truth};

/// A rule's ports are its admin's intent when they are at most this many; more is a catch-all such as
/// `tcp dport != { 22, 80 }`.
const EXPLICIT_PORTS: u32 = 32_768;

/// A place in the ruleset, by index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) table: usize,
    /// The base chain where the packet came in.
    pub(crate) base: usize,
    /// The calls that led here, outermost first.
    pub(crate) calls: Vec<Call>,
    /// The chain.
    pub(crate) chain: usize,
    /// The rule; `None` is the end of the chain, where the policy decides.
    pub(crate) rule: Option<usize>,
}

/// A jump or goto on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) chain: usize,
    pub(crate) rule: usize,
    pub(crate) goto: bool,
    /// It is made for some sources only.
    pub(crate) source: bool,
}

/// Why a block is where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    /// It catches whatever nothing else has decided.
    CatchAll,
    /// It names these ports.
    Ports,
    /// It turns away all but some sources.
    Sources,
    /// Address translation takes the ports elsewhere.
    Translated,
}

/// Ports that a rule or policy surely stops.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) phase: Phase,
    pub(crate) spot: Spot,
    pub(crate) ports: PortSet,
    pub(crate) intent: Intent,
}

/// Ports that may be stopped, or may be let through, where the opposite is the rule.
#[derive(Clone, Debug)]
pub(super) struct Doubt {
    pub(super) spot: Spot,
    pub(super) ports: PortSet,
    pub(super) unknown: bool,
}

/// What one base chain does with a port set.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) accepted: Vec<(PortSet, Spot)>,
    pub(super) blocked: Vec<Block>,
    /// May be let through although blocked in the end.
    pub(super) maybe_accepted: Vec<Doubt>,
    /// May be stopped although accepted in the end.
    pub(super) maybe_blocked: Vec<Doubt>,
    /// Whose destination has been settled: no other nat chain of the hook sees them.
    pub(super) translated: PortSet,
    /// Bans that this connection passes by.
    pub(super) bans: Vec<Spot>,
}

impl Outcome {
    /// The same where the packets perhaps do not come by at all.
    pub(super) fn doubted(mut self) -> Self {
        for block in std::mem::take(&mut self.blocked) {
            self.accepted
                .push((block.ports.clone(), block.spot.clone()));
            self.maybe_blocked.push(Doubt {
                spot: block.spot,
                ports: block.ports,
                unknown: false,
            });
        }
        self
    }
}

/// Chains and sets by name, for one table.
#[derive(Debug)]
pub(super) struct Names<'a> {
    chains: HashMap<&'a str, usize>,
    sets: HashMap<&'a str, &'a Set>,
}

impl<'a> Names<'a> {
    /// The names of every table of the ruleset.
    pub(super) fn of(ruleset: &'a Ruleset) -> Vec<Self> {
        let chains = |table: &'a Table| {
            let names = table.chains.iter().map(|chain| chain.name.as_str());
            names.zip(0..).collect()
        };
        let sets = |table: &'a Table| {
            let named = table.sets.iter().map(|set| (set.name.as_str(), set));
            named.collect()
        };
        ruleset
            .tables
            .iter()
            .map(|table| Self {
                chains: chains(table),
                sets: sets(table),
            })
            .collect()
    }
}

/// The ports on their way: surely here, or here under a condition.
#[derive(Clone, Debug, Default)]
struct Flow {
    sure: PortSet,
    restricted: PortSet,
    unknown: PortSet,
}

impl Flow {
    fn is_empty(&self) -> bool {
        self.sure.is_empty() && self.restricted.is_empty() && self.unknown.is_empty()
    }

    fn conditional(&mut self, unknown: bool) -> &mut PortSet {
        if unknown {
            &mut self.unknown
        } else {
            &mut self.restricted
        }
    }
}

/// What has been tested on the way to a chain.
#[derive(Clone, Debug)]
struct Path {
    calls: Vec<Call>,
    /// The ports that every jump on the way surely let in.
    ports: Ports,
}

impl Path {
    fn intent(&self, truth: &Truth) -> Intent {
        if truth.source {
            return Intent::Sources;
        }
        match self.ports.and(&truth.must) {
            Ports::Some(ports) if ports.len() <= EXPLICIT_PORTS => Intent::Ports,
            _ => Intent::CatchAll,
        }
    }
}

/// Sends a port set through one base chain.
pub(super) struct Tracer<'a, 'p> {
    pub(super) table_index: usize,
    pub(super) table: &'a Table,
    pub(super) base: usize,
    pub(super) names: &'p Names<'a>,
    pub(super) packet: &'p Packet<'a>,
    pub(super) situations: &'p mut Vec<(PortSet, Situation)>,
    pub(super) recorder: &'p mut Recorder,
    pub(super) outcome: Outcome,
    /// Where sure ports left for the policy other than at the end of the base chain.
    exits: Vec<(PortSet, Spot, Intent)>,
}

impl<'a, 'p> Tracer<'a, 'p> {
    pub(super) fn new(
        (table_index, table): (usize, &'a Table),
        base: usize,
        names: &'p Names<'a>,
        packet: &'p Packet<'a>,
        situations: &'p mut Vec<(PortSet, Situation)>,
        recorder: &'p mut Recorder,
    ) -> Self {
        Self {
            table_index,
            table,
            base,
            names,
            packet,
            situations,
            recorder,
            outcome: Outcome::default(),
            exits: Vec::new(),
        }
    }

    /// What the base chain does with the ports.
    pub(super) fn run(mut self, ports: &PortSet, policy: Policy) -> Outcome {
        let path = Path {
            calls: Vec::new(),
            ports: Ports::All,
        };
        let flow = Flow {
            sure: ports.clone(),
            ..Flow::default()
        };
        let rest = self.chain(self.base, flow, &path);
        self.policy(rest, policy);
        self.outcome
    }

    fn policy(&mut self, mut rest: PortSet, policy: Policy) {
        if rest.is_empty() {
            return;
        }
        let end = Spot {
            table: self.table_index,
            base: self.base,
            calls: Vec::new(),
            chain: self.base,
            rule: None,
        };
        let effect = match policy {
            Policy::Accept => Effect::Accept,
            Policy::Drop => Effect::Drop,
        };
        self.recorder.step(self.packet, &end, &effect, true);
        if policy == Policy::Accept {
            self.outcome.accepted.push((rest, end));
            return;
        }
        for (ports, spot, intent) in std::mem::take(&mut self.exits) {
            let here = ports.intersection(&rest);
            if !here.is_empty() {
                rest = rest.difference(&here);
                self.block(here, spot, intent);
            }
        }
        if !rest.is_empty() {
            self.block(rest, end, Intent::CatchAll);
        }
    }

    fn block(&mut self, ports: PortSet, spot: Spot, intent: Intent) {
        self.outcome.blocked.push(Block {
            phase: self.packet.phase,
            spot,
            ports,
            intent,
        });
    }

    /// Returns the ports that surely come back to the caller.
    fn chain(&mut self, chain: usize, mut flow: Flow, path: &Path) -> PortSet {
        let mut returned = PortSet::EMPTY;
        let table = self.table;
        let rules = table
            .chains
            .get(chain)
            .map_or(&[][..], |found| found.rules());
        for (index, rule) in rules.iter().enumerate() {
            if flow.is_empty() {
                break;
            }
            self.rule((chain, index, rule), &mut flow, &mut returned, path);
        }
        returned.union(&flow.sure)
    }

    fn spot(&self, chain: usize, rule: usize, path: &Path) -> Spot {
        Spot {
            table: self.table_index,
            base: self.base,
            calls: path.calls.clone(),
            chain,
            rule: Some(rule),
        }
    }

    fn rule(
        &mut self,
        (chain, index, rule): (usize, usize, &'a Rule),
        flow: &mut Flow,
        returned: &mut PortSet,
        path: &Path,
    ) {
        let mut truth = Truth::always();
        let mut here = Here {
            chain,
            index,
            flow,
            returned,
            path,
        };
        for (position, statement) in rule.statements.iter().enumerate() {
            match statement {
                Statement::Match { .. }
                | Statement::Lookup { .. }
                | Statement::Condition { .. } => {
                    truth = truth.and(&self.test(statement));
                }
                Statement::NotDecoded { .. } => {
                    truth = truth.and(&Truth::maybe(Uncertainty::NotDecoded));
                    if position + 1 == rule.statements.len() {
                        self.doubt(&truth, &here, true);
                        self.record(&truth, &here, &Effect::NotDecoded);
                    }
                }
                Statement::Verdict(verdict) => {
                    self.decide(&truth, verdict, &mut here);
                    break;
                }
                Statement::VerdictMap { value, map } => {
                    self.verdict_map(&truth, value, map, &mut here);
                    break;
                }
                Statement::Nat(nat)
                    if nat
                        .family
                        .is_some_and(|family| family != self.packet.family) => {}
                Statement::Nat(nat) => {
                    self.nat(&truth, nat, &mut here);
                    break;
                }
                Statement::SetMark { mark, value } => self.set_mark(&truth, *mark, *value, &here),
                Statement::Notrack => self.notrack(&truth, &here),
                Statement::Tproxy { .. } => self.doubt(&truth, &here, false),
                Statement::Rewrite {
                    base,
                    offset,
                    length,
                    ..
                } => {
                    if self.readdresses(*base, *offset, *length) {
                        self.doubt(&truth, &here, false);
                    }
                }
                Statement::Neutral { .. } => {}
            }
            if truth.may == Ports::None && truth.except == Ports::None {
                return;
            }
        }
    }

    /// The ports for which the rule turns away others than this connection.
    pub(super) fn exceptions(&self, rule: &Rule) -> Ports {
        let mut truth = Truth::always();
        let mut mapped = Ports::None;
        for statement in &rule.statements {
            truth = truth.and(&self.test(statement));
            if let Statement::VerdictMap { value, map } = statement
                && let Some(map) = self.names.sets.get(map.as_str())
                && let Some(bytes) = self.packet.load(value, &Situation::START)
            {
                for (found, _) in truth::verdicts(&bytes, map, self.packet.family) {
                    mapped = mapped.or(&truth.and(&found).except);
                }
            }
        }
        truth.except.or(&mapped)
    }

    fn test(&self, statement: &Statement) -> Truth {
        match statement {
            Statement::Match { value, test } => {
                self.in_each_situation(|situation| match self.packet.load(value, situation) {
                    Some(bytes) => truth::test(&bytes, test, self.packet.family),
                    None => Truth::never(),
                })
            }
            Statement::Lookup {
                value,
                set,
                negated,
            } => self.in_each_situation(|situation| {
                let Some(bytes) = self.packet.load(value, situation) else {
                    return Truth::never();
                };
                let found = match self.names.sets.get(set.as_str()) {
                    Some(set) => truth::lookup(&bytes, set, self.packet.family),
                    None => Truth::maybe(Uncertainty::NotDecoded),
                };
                if *negated { found.not() } else { found }
            }),
            Statement::Condition { uncertainty, .. } => Truth::condition(*uncertainty),
            _ => Truth::always(),
        }
    }

    fn in_each_situation(&self, test: impl Fn(&Situation) -> Truth) -> Truth {
        match self.situations.as_slice() {
            [(_, situation)] => test(situation),
            several => several
                .iter()
                .fold(Truth::never(), |sum, (ports, situation)| {
                    let mut truth = test(situation);
                    let scope = Ports::from_set(ports.clone());
                    truth.must = truth.must.and(&scope);
                    truth.may = truth.may.and(&scope);
                    truth.except = truth.except.and(&scope);
                    sum.or(&truth)
                }),
        }
    }

    fn record(&mut self, truth: &Truth, here: &Here<'_, '_>, effect: &Effect) {
        if self.recorder.on {
            let moved = truth.may.within(&here.flow.sure);
            if !moved.is_empty() {
                let sure = truth.must.within(&here.flow.sure) == moved;
                let spot = self.spot(here.chain, here.index, here.path);
                self.recorder.step(self.packet, &spot, effect, sure);
            }
        }
    }

    fn verdict_map(
        &mut self,
        truth: &Truth,
        value: &'a crate::model::ruleset::Value,
        map: &str,
        here: &mut Here<'_, '_>,
    ) {
        let Some(map) = self.names.sets.get(map).copied() else {
            let truth = truth.and(&Truth::maybe(Uncertainty::NotDecoded));
            self.doubt(&truth, here, true);
            return;
        };
        let situations: Vec<(PortSet, Situation)> = self.situations.clone();
        let several = situations.len() > 1;
        for (ports, situation) in &situations {
            let Some(bytes) = self.packet.load(value, situation) else {
                continue;
            };
            for (found, verdict) in truth::verdicts(&bytes, map, self.packet.family) {
                let mut both = truth.and(&found);
                if several {
                    let scope = Ports::from_set(ports.clone());
                    both.must = both.must.and(&scope);
                    both.may = both.may.and(&scope);
                }
                match verdict {
                    Some(verdict) => self.decide(&both, verdict, here),
                    None => self.doubt(&both, here, true),
                }
            }
        }
    }

    /// Notes that the ports may be stopped here, or (where `accept` too) let through.
    fn doubt(&mut self, truth: &Truth, here: &Here<'_, '_>, unknown: bool) {
        let split = here.split(truth);
        let conditional = split.restricted.union(&split.unknown);
        let ports = split.sure.union(&split.maybe).union(&conditional);
        if ports.is_empty() {
            return;
        }
        let doubt = Doubt {
            spot: self.spot(here.chain, here.index, here.path),
            ports,
            unknown,
        };
        if unknown {
            self.outcome.maybe_accepted.push(doubt.clone());
        }
        self.outcome.maybe_blocked.push(doubt);
    }

    fn decide(&mut self, truth: &Truth, verdict: &Verdict, here: &mut Here<'_, '_>) {
        self.record(truth, here, &Effect::from(verdict));
        match verdict {
            Verdict::Continue => {}
            Verdict::Accept => self.accept(truth, here),
            Verdict::Drop | Verdict::Reject(_) => self.stop(truth, here, None),
            Verdict::Return => self.leave(truth, here),
            Verdict::Jump(target) => self.call(truth, target, false, here),
            Verdict::Goto(target) => self.call(truth, target, true, here),
            // Someone else decides; whatever follows in this base chain is not met.
            Verdict::Queue(_) | Verdict::Stolen(_) => {
                self.doubt(truth, here, true);
                self.accept(truth, here);
            }
        }
    }

    fn accept(&mut self, truth: &Truth, here: &mut Here<'_, '_>) {
        let split = here.split(truth);
        let spot = self.spot(here.chain, here.index, here.path);
        let mut doubts = Here::conditional(truth, &split);
        // An accept for some sources that names the port says that it is meant for them only.
        let port_named = truth.port || matches!(here.path.ports, Ports::Some(_));
        if port_named {
            doubts.push((split.except.clone(), false));
        }
        for (ports, unknown) in doubts {
            if !ports.is_empty() {
                let spot = spot.clone();
                self.outcome.maybe_accepted.push(Doubt {
                    spot,
                    ports,
                    unknown,
                });
            }
        }
        here.settle(truth, &split);
        if !split.sure.is_empty() {
            self.outcome.accepted.push((split.sure, spot));
        }
    }

    fn stop(&mut self, truth: &Truth, here: &mut Here<'_, '_>, intent: Option<Intent>) {
        let split = here.split(truth);
        let spot = self.spot(here.chain, here.index, here.path);
        for (ports, unknown) in Here::conditional(truth, &split) {
            if !ports.is_empty() {
                let spot = spot.clone();
                self.outcome.maybe_blocked.push(Doubt {
                    spot,
                    ports,
                    unknown,
                });
            }
        }
        if !split.except.is_empty() {
            self.outcome.bans.push(spot.clone());
        }
        here.settle(truth, &split);
        if !split.sure.is_empty() {
            let intent = intent.unwrap_or_else(|| here.path.intent(truth));
            self.block(split.sure, spot, intent);
        }
    }

    fn leave(&mut self, truth: &Truth, here: &mut Here<'_, '_>) {
        let split = here.split(truth);
        *here.returned = here.returned.union(&split.sure).union(&split.maybe);
        here.flow.sure = here
            .flow
            .sure
            .difference(&split.sure)
            .difference(&split.maybe);
        // What has not returned goes on under the opposite condition; beyond a rate it is an exception.
        if truth.why != Uncertainty::Rate {
            let rest = here.flow.conditional(truth.why == Uncertainty::NotDecoded);
            *rest = rest.union(&split.maybe);
        }
        here.flow.restricted = truth.must.without(&here.flow.restricted);
        here.flow.unknown = truth.must.without(&here.flow.unknown);
        if !split.sure.is_empty() && here.path.calls.iter().all(|call| call.goto) {
            let spot = self.spot(here.chain, here.index, here.path);
            let intent = here.path.intent(truth);
            self.exits.push((split.sure, spot, intent));
        }
    }

    fn call(&mut self, truth: &Truth, target: &str, goto: bool, here: &mut Here<'_, '_>) {
        let split = here.split(truth);
        let Some(target) = self.names.chains.get(target).copied() else {
            self.doubt(truth, here, true);
            return;
        };
        if !split.except.is_empty() {
            let spot = self.spot(here.chain, here.index, here.path);
            self.outcome.bans.push(spot);
        }
        let mut into = Flow {
            sure: split.sure.clone(),
            restricted: split.restricted.clone(),
            unknown: split.unknown.clone(),
        };
        let conditional = into.conditional(truth.why == Uncertainty::NotDecoded);
        *conditional = conditional.union(&split.maybe);
        if into.is_empty() {
            return;
        }
        let mut path = here.path.clone();
        path.calls.push(Call {
            chain: here.chain,
            rule: here.index,
            goto,
            source: truth.source,
        });
        path.ports = path.ports.and(&truth.must);
        let noted = self.exits.len();
        let back = self.chain(target, into, &path);
        here.flow.sure = here.flow.sure.difference(&split.sure);
        if goto {
            *here.returned = here.returned.union(&back).union(&split.maybe);
            here.flow.sure = here.flow.sure.difference(&split.maybe);
            let rest = here.flow.conditional(truth.why == Uncertainty::NotDecoded);
            *rest = rest.union(&split.maybe);
            self.note_end(target, back, noted, path);
        } else {
            here.flow.sure = here.flow.sure.union(&back);
        }
    }

    /// Ports that fell off the end of a chain entered by goto are judged by the policy from there.
    fn note_end(&mut self, chain: usize, back: PortSet, noted: usize, path: Path) {
        let inside = self.exits.iter().skip(noted);
        let rest = inside.fold(back, |rest, (ports, ..)| rest.difference(ports));
        if rest.is_empty() || !path.calls.iter().all(|call| call.goto) {
            return;
        }
        let intent = path.intent(&Truth::always());
        let end = Spot {
            table: self.table_index,
            base: self.base,
            calls: path.calls,
            chain,
            rule: None,
        };
        self.exits.push((rest, end, intent));
    }

    fn nat(&mut self, truth: &Truth, nat: &Nat, here: &mut Here<'_, '_>) {
        self.record(truth, here, &Effect::Translate(nat.text.clone()));
        let elsewhere = match nat.kind {
            NatKind::Source => Truth::never(),
            NatKind::Redirect => moves(nat),
            NatKind::Dnat => {
                let here =
                    !nat.sets_address || nat.address.is_some() && nat.address == self.packet.local;
                if nat.sets_address {
                    self.packet.consulted_address.set(true);
                }
                if here { moves(nat) } else { Truth::always() }
            }
        };
        if nat.kind != NatKind::Source {
            let split = here.split(truth);
            self.outcome.translated = self.outcome.translated.union(&split.sure);
            if !split.maybe.is_empty() {
                let maybe = Truth {
                    must: Ports::None,
                    ..truth.clone()
                };
                self.doubt(&maybe, here, false);
            }
        }
        self.stop(&truth.and(&elsewhere), here, Some(Intent::Translated));
        self.accept(truth, here);
    }

    fn set_mark(&mut self, truth: &Truth, mark: Mark, value: Option<u32>, here: &Here<'_, '_>) {
        let set = |situation: &mut Situation, value: Option<u32>| match mark {
            Mark::Packet => situation.packet_mark = value,
            Mark::Connection => situation.connection_mark = value,
        };
        let split = here.split(truth);
        self.change(&split.sure, |situation| set(situation, value));
        for ports in [&split.maybe, &split.restricted, &split.unknown] {
            self.change(ports, |situation| set(situation, None));
        }
    }

    fn notrack(&mut self, truth: &Truth, here: &Here<'_, '_>) {
        // Once connection tracking has seen the packet, notrack does nothing (`nft_notrack_eval`).
        if !self.packet.before_tracking() {
            return;
        }
        let split = here.split(truth);
        self.change(&split.sure, |situation| {
            situation.tracking = Tracking::Untracked;
        });
        for ports in [&split.maybe, &split.restricted, &split.unknown] {
            self.change(ports, |situation| situation.tracking = Tracking::Unclear);
        }
    }

    fn change(&mut self, ports: &PortSet, change: impl Fn(&mut Situation)) {
        if ports.is_empty() {
            return;
        }
        let mut changed = Vec::with_capacity(self.situations.len() + 1);
        for (scope, situation) in self.situations.drain(..) {
            let inside = scope.intersection(ports);
            let outside = scope.difference(ports);
            if !outside.is_empty() {
                changed.push((outside, situation));
            }
            if !inside.is_empty() {
                let mut situation = situation;
                change(&mut situation);
                changed.push((inside, situation));
            }
        }
        *self.situations = changed;
    }

    /// Whether rewriting these bytes changes an address, a port or the protocol.
    fn readdresses(&self, base: PayloadBase, offset: u32, length: u32) -> bool {
        let end = offset + length;
        match (base, self.packet.family) {
            (PayloadBase::Network, crate::model::reach::Family::Ipv4) => {
                end > 12 || (offset..end).contains(&9)
            }
            (PayloadBase::Network, crate::model::reach::Family::Ipv6) => {
                end > 8 || (offset..end).contains(&6)
            }
            (PayloadBase::Transport, _) => offset < 4 || (offset..end).contains(&13),
            (PayloadBase::Link, _) => true,
            (PayloadBase::Inner, _) => false,
        }
    }
}

/// The ports that get another number.
fn moves(nat: &Nat) -> Truth {
    match (nat.sets_port, nat.ports) {
        (false, _) => Truth::never(),
        (true, Some((first, last))) if first == last => {
            Truth::exactly(PortSet::from(crate::model::ports::PortRange::single(first))).not()
        }
        (true, Some(_)) => Truth::always(),
        (true, None) => Truth::maybe(Uncertainty::Other),
    }
}

/// Where the tracer stands, and with what.
struct Here<'f, 'r> {
    chain: usize,
    index: usize,
    flow: &'f mut Flow,
    returned: &'f mut PortSet,
    path: &'r Path,
}

/// A flow, split by a test.
struct Split {
    /// Surely here, surely passes.
    sure: PortSet,
    /// Surely here, may pass.
    maybe: PortSet,
    /// Surely here; others than this connection pass.
    except: PortSet,
    /// Perhaps here, may pass.
    restricted: PortSet,
    unknown: PortSet,
}

impl Here<'_, '_> {
    fn split(&self, truth: &Truth) -> Split {
        let sure = truth.must.within(&self.flow.sure);
        let may = truth.may.within(&self.flow.sure);
        Split {
            maybe: may.difference(&sure),
            except: truth.except.within(&self.flow.sure).difference(&may),
            restricted: truth.may.within(&self.flow.restricted),
            unknown: truth.may.within(&self.flow.unknown),
            sure,
        }
    }

    /// The ports that meet the verdict under a condition, and whether that condition is not understood.
    fn conditional(truth: &Truth, split: &Split) -> Vec<(PortSet, bool)> {
        let not_decoded = truth.why == Uncertainty::NotDecoded && truth.may != truth.must;
        vec![
            (split.maybe.clone(), not_decoded),
            (split.restricted.clone(), not_decoded),
            (split.unknown.clone(), true),
        ]
    }

    /// Takes out of the flow what the verdict surely ends.
    fn settle(&mut self, truth: &Truth, split: &Split) {
        self.flow.sure = self.flow.sure.difference(&split.sure);
        if !self.flow.restricted.is_empty() || !self.flow.unknown.is_empty() {
            self.flow.restricted = truth.must.without(&self.flow.restricted);
            self.flow.unknown = truth.must.without(&self.flow.unknown);
        }
    }
}
