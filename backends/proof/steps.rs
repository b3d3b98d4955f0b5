//! The walk of one port through the rules, step by step: what `explain` shows.

use std::fmt;

use crate::model::ruleset::{Ruleset, Verdict};

use super::describe;
use super::outcome::Spot;
use super::packet::Packet;

/// What happens to the packet at a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It leaves the base chain, accepted.
    Accept,
    /// It is dropped.
    Drop,
    /// It is rejected; how, in nft's words.
    Reject(String),
    /// Back to the caller.
    Return,
    /// Into a chain and back.
    Jump(String),
    /// Into a chain.
    Goto(String),
    /// On to the next rule.
    Continue,
    /// Address translation, in nft's words.
    Translate(String),
    /// Handed to something else (queue, fwd, synproxy), in nft's words.
    Handed(String),
    /// Not understood: it could be anything.
    NotDecoded,
}

impl From<&Verdict> for Effect {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Accept => Self::Accept,
            Verdict::Drop => Self::Drop,
            Verdict::Reject(how) => Self::Reject(how.clone()),
            Verdict::Continue => Self::Continue,
            Verdict::Return => Self::Return,
            Verdict::Jump(chain) => Self::Jump(chain.clone()),
            Verdict::Goto(chain) => Self::Goto(chain.clone()),
            Verdict::Queue(text) | Verdict::Stolen(text) => Self::Handed(text.clone()),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => formatter.write_str("accept"),
            Self::Drop => formatter.write_str("drop"),
            Self::Reject(how) if how.is_empty() => formatter.write_str("reject"),
            Self::Reject(how) => write!(formatter, "reject with {how}"),
            Self::Return => formatter.write_str("return"),
            Self::Jump(chain) => write!(formatter, "jump {chain}"),
            Self::Goto(chain) => write!(formatter, "goto {chain}"),
            Self::Continue => formatter.write_str("continue"),
            Self::Translate(text) | Self::Handed(text) => formatter.write_str(text),
            Self::NotDecoded => formatter.write_str("not understood"),
        }
    }
}

/// A step before it is put into words.
#[derive(Clone, Debug)]
pub(super) struct Noted {
    pub(super) packet: &'static str,
    pub(super) spot: Spot,
    pub(super) effect: Effect,
    pub(super) sure: bool,
}

/// Notes steps while it is on.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    pub(super) on: bool,
    pub(super) steps: Vec<Noted>,
}

impl Recorder {
    pub(super) fn step(&mut self, packet: &Packet<'_>, spot: &Spot, effect: &Effect, sure: bool) {
        if self.on {
            self.steps.push(Noted {
                packet: packet.phase.describe(),
                spot: spot.clone(),
                effect: effect.clone(),
                sure,
            });
        }
    }
}

/// A step of the walk, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which packet of the connection: `new connection`, `reply`, `next packet`.
    pub packet: &'static str,
    /// The rule or policy, its chain and hook.
    pub place: String,
    /// How many jumps deep.
    pub depth: usize,
    /// What happens.
    pub effect: Effect,
    /// Whether it surely happens.
    pub sure: bool,
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let perhaps = if self.sure { "" } else { "perhaps " };
        let (packet, place, effect) = (self.packet, &self.place, &self.effect);
        write!(formatter, "{packet}: {perhaps}{effect} by {place}")
    }
}

impl Noted {
    pub(super) fn in_words(&self, ruleset: &Ruleset) -> Step {
        Step {
            packet: self.packet,
            place: describe::spot(ruleset, &self.spot),
            depth: self.spot.calls.len(),
            effect: self.effect.clone(),
            sure: self.sure,
        }
    }
}
