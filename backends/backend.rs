//! What every firewall backend can do.

use std::fmt;

use crate::error::Result;
use crate::model::ports::PortSet;
use crate::model::reach::{Family, ReachMap};
use crate::model::ruleset::Ruleset;
pub use crate::netfilter::Scope;

/// Which configuration of a firewall is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layer {
    /// What filters now.
    Runtime,
    /// What the next boot loads.
    Permanent,
}

impl Layer {
    /// `runtime` or `permanent`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Runtime => "runtime",
            Self::Permanent => "permanent",
        }
    }
}

/// What should be reachable: inbound TCP, from anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// The ports.
    pub ports: PortSet,
    /// In which families.
    pub families: Vec<Family>,
    /// Edit even where the block looks intended (a rule that names the ports, bans behind the block).
    pub force: bool,
}

/// Something that keeps a port from being opened, or that the admin should know; never silently passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A stable kebab-case code, such as `explicit-deny` or `managed-table`.
    pub code: &'static str,
    /// What stands in the way: lower case, no final period.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The ports it keeps closed.
    pub ports: PortSet,
}

/// The edits that make the wish true, and what keeps the rest from being so.
#[derive(Clone, Debug)]
pub struct Plan<E> {
    /// The edits, in the order they are made; empty when nothing needs to change.
    pub edits: Vec<E>,
    /// Ports that no edit opens, and why.
    pub refusals: Vec<Refusal>,
}

/// What was proved of a layer: every port is open, and what is ours is as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The verdicts, one map a family.
    pub reach: Vec<ReachMap>,
    /// Whether anything filters new connections at all.
    pub filters: bool,
}

/// One firewall: how to read it, what to change in it, and how to change it.
pub trait Backend {
    /// One change, printed as an admin would type it.
    type Edit: fmt::Display + Clone + fmt::Debug;

    /// The name in reports: `nftables`, `firewalld`, ...
    fn name(&self) -> &'static str;

    /// The layers that this backend has on this host.
    fn layers(&self) -> Vec<Layer>;

    /// The proof of an earlier run, if nothing that it depends on has changed since.
    fn remembered(&self, _layer: Layer, _desired: &Desired) -> Option<Proof> {
        None
    }

    /// Remembers that the ruleset last read was proved to be in sync; what cannot be remembered is proved again.
    fn remember(&self, _layer: Layer, _desired: &Desired, _proof: &Proof) {}

    /// The ruleset of a layer: now, the kernel's; permanent, what boot would load.
    ///
    /// # Errors
    /// When it cannot be read; never a partial ruleset.
    fn ruleset(&mut self, layer: Layer, scope: Scope) -> Result<Ruleset>;

    /// Whether what is ours in the ruleset is just what `desired` needs, given that its ports are open. Cheap: it
    /// decides whether a run has anything to plan.
    fn settled(&self, layer: Layer, ruleset: &Ruleset, desired: &Desired) -> bool;

    /// The smallest edits that make `desired` reachable and take back what is ours and no longer wanted. Pure: nothing
    /// is read or written. Needs a ruleset of [`Scope::Everything`].
    ///
    /// # Errors
    /// When the ruleset makes no sense to this backend.
    fn plan(&self, layer: Layer, ruleset: &Ruleset, desired: &Desired) -> Result<Plan<Self::Edit>>;

    /// By how much these edits raise the kernel's generation, when nobody else edits.
    fn batches(&self, _edits: &[Self::Edit]) -> u32 {
        1
    }

    /// Makes the edits, all or none, provided the layer still is as `ruleset` shows it. Returns the edits that undo
    /// them.
    ///
    /// # Errors
    /// [`Changed`](crate::ErrorKind::Changed) when the layer moved since it was read: read and plan again.
    fn apply(
        &mut self,
        layer: Layer,
        ruleset: &Ruleset,
        edits: &[Self::Edit],
    ) -> Result<Vec<Self::Edit>>;
}
