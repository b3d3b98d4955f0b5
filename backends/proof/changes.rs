//! What rules do to a packet besides deciding about it: address translation, marks, tracking, rewritten headers.

use crate::model::ports::{PortRange, PortSet};
use crate::model::ruleset::{Mark, Nat, NatKind, TableFamily, Uncertainty};

use super::flow::{Here, Split};
use super::outcome::Intent;
use super::packet::{Situation, Tracking};
use super::scope::Ports;
use super::steps::Effect;
use super::trace::Tracer;
use super::truth::Truth;

impl Tracer<'_, '_> {
    pub(super) fn nat(&mut self, truth: &Truth, nat: &Nat, here: &mut Here<'_, '_>) {
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

    pub(super) fn set_mark(
        &mut self,
        truth: &Truth,
        mark: Mark,
        value: Option<u32>,
        here: &Here<'_, '_>,
    ) {
        // Whether a bridge's rules come before or behind IP's own depends on `bridge-nf-call-iptables`.
        let value = value.filter(|_| self.packet.table != TableFamily::Bridge);
        let set = |situation: &mut Situation, value: Option<u32>| match mark {
            Mark::Packet => situation.packet_mark = value,
            Mark::Connection => situation.connection_mark = value,
        };
        let split = self.surely_here(truth, here);
        self.memory
            .change(&split.sure, |situation| set(situation, value));
        for ports in [&split.maybe, &split.restricted, &split.unknown] {
            self.memory.change(ports, |situation| set(situation, None));
        }
    }

    pub(super) fn set_segment_size(&mut self, truth: &Truth, here: &Here<'_, '_>) {
        let split = here.split(truth);
        let ports = split.sure.union(&split.maybe).union(&split.conditional());
        self.memory
            .change(&ports, |situation| situation.segment_size_changed = true);
    }

    pub(super) fn notrack(&mut self, truth: &Truth, here: &Here<'_, '_>) {
        // Once connection tracking has seen the packet, notrack does nothing (`nft_notrack_eval`).
        let tracking = match self.packet.before_tracking() {
            Some(true) => Tracking::Untracked,
            Some(false) => return,
            None => Tracking::Unclear,
        };
        let split = self.surely_here(truth, here);
        self.memory
            .change(&split.sure, |situation| situation.tracking = tracking);
        for ports in [&split.maybe, &split.restricted, &split.unknown] {
            self.memory
                .change(ports, |situation| situation.tracking = Tracking::Unclear);
        }
    }

    /// What a rule surely acts on: a packet that an earlier rule may have accepted perhaps never came here.
    fn surely_here(&self, truth: &Truth, here: &Here<'_, '_>) -> Split {
        let mut split = here.split(truth);
        for doubt in &self.outcome.maybe_accepted {
            split.maybe = split.maybe.union(&doubt.ports.intersection(&split.sure));
            split.sure = split.sure.difference(&doubt.ports);
        }
        split
    }
}

/// The ports that get another number.
fn moves(nat: &Nat) -> Truth {
    match (nat.sets_port, nat.ports) {
        (false, _) => Truth::never(),
        // A port that lies within the new ones already keeps its number.
        (true, Some((first, last))) => {
            Truth::exactly(PortRange::new(first, last).into_iter().collect::<PortSet>()).not()
        }
        (true, None) => Truth::maybe(Uncertainty::Other),
    }
}
