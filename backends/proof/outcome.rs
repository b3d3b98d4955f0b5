//! What one base chain does with a port set, and where.

use crate::model::ports::PortSet;

use super::packet::Phase;

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
pub(crate) struct Doubt {
    pub(crate) spot: Spot,
    pub(crate) ports: PortSet,
    pub(crate) unknown: bool,
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
    /// Those of them that turn away more than a few: how many of `2^32` addresses, from which ports.
    pub(super) shares: Vec<(PortSet, u64, Spot)>,
}

impl Outcome {
    /// The chain may not see the packets at all.
    pub(super) fn only_perhaps(&mut self) {
        let blocked = std::mem::take(&mut self.blocked).into_iter();
        self.maybe_blocked.extend(blocked.map(|block| {
            self.accepted
                .push((block.ports.clone(), block.spot.clone()));
            Doubt {
                spot: block.spot,
                ports: block.ports,
                unknown: true,
            }
        }));
    }
}
