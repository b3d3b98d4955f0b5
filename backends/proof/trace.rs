//! One base chain: a whole set of ports sent through its rules at once.

use crate::model::ports::PortSet;
use crate::model::ruleset::{PayloadBase, Policy, Rule, Statement, Table, Uncertainty, Verdict};

use super::flow::{Flow, Here, List, Memory, Path, Split};
use super::names::Names;
use super::outcome::{Block, Call, Doubt, Intent, Outcome, Spot};
use super::packet::{Packet, Phase, Situation};
use super::scope::Ports;
use super::steps::{Effect, Recorder};
use super::truth::{self, Truth};

/// Bans of no more addresses than this (of `2^32`) are not added up: half a million of them make not yet one half.
const FEW_ADDRESSES: u64 = 1 << 12;

/// Sends a port set through one base chain.
pub(super) struct Tracer<'a, 'p> {
    pub(super) table_index: usize,
    pub(super) table: &'a Table,
    pub(super) base: usize,
    pub(super) names: &'p Names<'a>,
    pub(super) packet: &'p Packet<'a>,
    pub(super) memory: &'p mut Memory,
    pub(super) recorder: &'p mut Recorder,
    pub(super) outcome: Outcome,
    /// The ports that this is about.
    asked: PortSet,
    /// Where sure ports left for the policy other than at the end of the base chain.
    exits: Vec<(PortSet, Spot, Intent)>,
}

impl<'a, 'p> Tracer<'a, 'p> {
    pub(super) fn new(
        (table_index, table): (usize, &'a Table),
        base: usize,
        names: &'p Names<'a>,
        packet: &'p Packet<'a>,
        memory: &'p mut Memory,
        recorder: &'p mut Recorder,
    ) -> Self {
        Self {
            table_index,
            table,
            base,
            names,
            packet,
            memory,
            recorder,
            outcome: Outcome::default(),
            asked: PortSet::all(),
            exits: Vec::new(),
        }
    }

    /// What the base chain does with the ports.
    pub(super) fn run(mut self, ports: &PortSet, policy: Policy) -> Outcome {
        self.asked = ports.clone();
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
        let drops = rule.statements.last() == Some(&Statement::Verdict(Verdict::Drop));
        self.packet.dropped.set(drops);
        let mut truth = Truth::always();
        let mut here = Here {
            chain,
            index,
            flow,
            returned,
            path,
        };
        for statement in &rule.statements {
            match statement {
                Statement::Match { .. }
                | Statement::Lookup { .. }
                | Statement::Condition { .. } => {
                    truth = truth.and(&self.test(statement));
                }
                Statement::NotDecoded { name } => {
                    truth = truth.and(&Truth::maybe(Uncertainty::NotDecoded));
                    // A match of iptables only tells whether the rule goes on; anything else might be the end.
                    if !name.starts_with("-m ") {
                        self.doubt(&truth, &here, true);
                        self.record(&truth, &here, &Effect::NotDecoded);
                    }
                }
                // It leaves the decision to the rest of the rule.
                Statement::Verdict(Verdict::Continue) => {
                    self.record(&truth, &here, &Effect::Continue);
                }
                Statement::Verdict(verdict) => {
                    self.decide(&truth, verdict, &mut here);
                    break;
                }
                Statement::VerdictMap { value, map } => {
                    truth = self.verdict_map(&truth, value, map, &mut here);
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
                Statement::UpdateSet {
                    set, uncertainty, ..
                } => {
                    let split = here.split(&truth);
                    let ports = split.sure.union(&split.maybe).union(&split.conditional());
                    self.memory.update(self.list(set), ports);
                    if let Some(uncertainty) = uncertainty {
                        truth = truth.and(&Truth::condition(*uncertainty));
                    }
                }
                Statement::SetSegmentSize { .. } => self.set_segment_size(&truth, &here),
                Statement::Notrack => self.notrack(&truth, &here),
                // A SYN has nothing behind its headers: the rule ends (`nft_payload_set_eval`).
                Statement::Rewrite { base, .. }
                    if *base == PayloadBase::Inner && self.packet.phase == Phase::Opening =>
                {
                    truth = Truth::never();
                }
                Statement::Tproxy { .. } | Statement::Rewrite { .. } => {
                    self.doubt(&truth, &here, false);
                }
                Statement::Neutral { .. } => {}
            }
            if truth.may == Ports::None && truth.except == Ports::None {
                return;
            }
        }
    }

    /// The verdicts of a map, each with who meets it.
    pub(super) fn mapped(&self, statement: &'a Statement) -> Vec<(Truth, &'a Verdict)> {
        let mut mapped = Vec::new();
        if let Statement::VerdictMap { value, map } = statement
            && let Some(map) = self.names.sets.get(map.as_str()).copied()
            && let Some(bytes) = self.packet.load(value, &Situation::START)
        {
            let verdicts = truth::verdicts(&bytes, map, self.about()).into_iter();
            mapped.extend(verdicts.filter_map(|(truth, verdict)| Some((truth, verdict?))));
        }
        mapped
    }

    fn about(&self) -> truth::About<'_> {
        truth::About {
            family: self.packet.family,
            ports: &self.asked,
        }
    }

    pub(super) fn test(&self, statement: &Statement) -> Truth {
        match statement {
            Statement::Match { value, test } => {
                self.in_each_situation(|situation| match self.packet.load(value, situation) {
                    Some(bytes) => truth::test(&bytes, test, self.about()),
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
                    Some(set) => truth::lookup(&bytes, set, self.about()),
                    None => Truth::maybe(Uncertainty::NotDecoded),
                };
                let found = self.memory.after_updates(|| self.list(set), found);
                if *negated { found.not() } else { found }
            }),
            Statement::Condition { uncertainty, .. }
            | Statement::UpdateSet {
                uncertainty: Some(uncertainty),
                ..
            } => Truth::condition(*uncertainty),
            _ => Truth::always(),
        }
    }

    /// A test, whoever may be put into a set of sources some day.
    pub(super) fn test_of_any_day(&self, statement: &Statement) -> Truth {
        let truth = self.test(statement);
        let Statement::Lookup {
            value,
            set,
            negated,
        } = statement
        else {
            return truth;
        };
        let set = self.names.sets.get(set.as_str());
        let fixed = set.is_none_or(|set| set.anonymous && set.outside.is_none());
        let bytes = self.packet.load(value, &Situation::START);
        if fixed || !bytes.is_some_and(|bytes| truth::is_of_remote(&bytes)) {
            truth
        } else if *negated {
            truth.not().or(&Truth::exception()).not()
        } else {
            truth.or(&Truth::exception())
        }
    }

    /// What a set's name stands for.
    fn list(&self, name: &str) -> List {
        let set = self.names.sets.get(name);
        match set.and_then(|set| set.outside.as_ref()) {
            Some(outside) => List::Outside(outside.clone()),
            None => List::Set(self.table_index, name.to_owned()),
        }
    }

    fn in_each_situation(&self, test: impl Fn(&Situation) -> Truth) -> Truth {
        match self.memory.situations.as_slice() {
            [(_, situation)] => test(situation),
            several => several
                .iter()
                .fold(Truth::never(), |sum, (ports, situation)| {
                    let mut truth = test(situation);
                    let scope = Ports::from_set(ports.clone());
                    truth.must = truth.must.and(&scope);
                    truth.may = truth.may.and(&scope);
                    truth.except = truth.except.and(&scope);
                    truth.lapse = truth.lapse.and(&scope);
                    sum.or(&truth)
                }),
        }
    }

    pub(super) fn record(&mut self, truth: &Truth, here: &Here<'_, '_>, effect: &Effect) {
        if self.recorder.on {
            let moved = truth.may.within(&here.flow.sure);
            if !moved.is_empty() {
                let sure = truth.must.within(&here.flow.sure) == moved;
                let spot = self.spot(here.chain, here.index, here.path);
                self.recorder.step(self.packet, &spot, effect, sure);
            }
        }
    }

    /// Follows the verdicts of a map; returns for which ports the rule goes on behind it.
    fn verdict_map(
        &mut self,
        truth: &Truth,
        value: &'a crate::model::ruleset::Value,
        map: &str,
        here: &mut Here<'_, '_>,
    ) -> Truth {
        let Some(map) = self.names.sets.get(map).copied() else {
            let truth = truth.and(&Truth::maybe(Uncertainty::NotDecoded));
            self.doubt(&truth, here, true);
            return truth;
        };
        let mut onward = Truth::never();
        let situations: Vec<(PortSet, Situation)> = self.memory.situations.clone();
        let several = situations.len() > 1;
        for (ports, situation) in &situations {
            let Some(bytes) = self.packet.load(value, situation) else {
                continue;
            };
            for (found, verdict) in truth::verdicts(&bytes, map, self.about()) {
                let mut both = truth.and(&found);
                if several {
                    let scope = Ports::from_set(ports.clone());
                    both.must = both.must.and(&scope);
                    both.may = both.may.and(&scope);
                }
                match verdict {
                    Some(Verdict::Continue) => {
                        self.record(&both, here, &Effect::Continue);
                        onward = onward.or(&both);
                    }
                    Some(verdict) => self.decide(&both, verdict, here),
                    None => {
                        self.doubt(&both, here, true);
                        onward = onward.or(&both);
                    }
                }
            }
        }
        onward
    }

    /// Notes that the ports may be stopped here, or (where `accept` too) let through.
    pub(super) fn doubt(&mut self, truth: &Truth, here: &Here<'_, '_>, unknown: bool) {
        let split = here.split(truth);
        let ports = split.sure.union(&split.maybe).union(&split.conditional());
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
        let truth = if self.packet.phase.discovers() {
            &truth.of_anybody()
        } else {
            truth
        };
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

    pub(super) fn accept(&mut self, truth: &Truth, here: &mut Here<'_, '_>) {
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

    pub(super) fn stop(&mut self, truth: &Truth, here: &mut Here<'_, '_>, intent: Option<Intent>) {
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
        self.ban(truth, &split, &spot);
        here.settle(truth, &split);
        if !split.sure.is_empty() {
            let intent = intent.unwrap_or_else(|| here.path.intent(truth));
            self.block(split.sure, spot, intent);
        }
    }

    /// Notes whom a rule turns away, if not this connection.
    fn ban(&mut self, truth: &Truth, split: &Split, spot: &Spot) {
        if split.except.is_empty() {
            return;
        }
        self.outcome.bans.push(spot.clone());
        if truth.share > FEW_ADDRESSES {
            let share = (split.except.clone(), truth.share, spot.clone());
            self.outcome.shares.push(share);
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
        // The kernel takes no chains that call each other in a circle; what was read wrong may.
        let calls = here.path.calls.iter().map(|call| call.chain);
        let known = self.names.chains.get(target).copied();
        let known = known.filter(|target| calls.chain([here.chain]).all(|chain| chain != *target));
        let Some(target) = known else {
            self.doubt(truth, here, true);
            return;
        };
        self.ban(truth, &split, &self.spot(here.chain, here.index, here.path));
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
}
