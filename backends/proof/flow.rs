//! Ports on their way through a chain: surely here, or here under a condition.

use crate::model::ports::PortSet;
use crate::model::ruleset::{Outside, Uncertainty};

use super::outcome::{Call, Intent};
use super::packet::{Situation, Tracking};
use super::scope::Ports;
use super::truth::Truth;

/// A rule's ports are its admin's intent when they are at most this many; more is a catch-all such as
/// `tcp dport != { 22, 80 }`.
pub(super) const EXPLICIT_PORTS: u32 = 32_768;

/// The ports on their way: surely here, or here under a condition.
#[derive(Clone, Debug, Default)]
pub(super) struct Flow {
    pub(super) sure: PortSet,
    pub(super) restricted: PortSet,
    pub(super) unknown: PortSet,
}

impl Flow {
    pub(super) fn is_empty(&self) -> bool {
        self.sure.is_empty() && self.restricted.is_empty() && self.unknown.is_empty()
    }

    pub(super) fn conditional(&mut self, unknown: bool) -> &mut PortSet {
        if unknown {
            &mut self.unknown
        } else {
            &mut self.restricted
        }
    }
}

/// What has been tested on the way to a chain.
#[derive(Clone, Debug)]
pub(super) struct Path {
    pub(super) calls: Vec<Call>,
    /// The ports that every jump on the way surely let in.
    pub(super) ports: Ports,
}

impl Path {
    pub(super) fn intent(&self, truth: &Truth) -> Intent {
        if truth.source {
            return Intent::Sources;
        }
        match self.ports.and(&truth.must) {
            Ports::Some(ports) if ports.len() <= EXPLICIT_PORTS => Intent::Ports,
            _ => Intent::CatchAll,
        }
    }
}

/// What rules leave behind for those that come later.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    /// Marks and tracking, which may differ from port to port.
    pub(super) situations: Vec<(PortSet, Situation)>,
    /// The lists that packets to these ports put elements into.
    updated: Vec<(List, PortSet)>,
}

/// Something that has elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum List {
    /// A set of a table, by the table's index and its name.
    Set(usize, String),
    /// One beside `nf_tables`, the same for every table.
    Outside(Outside),
}

impl List {
    /// Whether what is put into `other` may be found here.
    fn sees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Outside(one), Self::Outside(other)) => one.sees(other),
            _ => self == other,
        }
    }
}

impl Memory {
    /// Before any rule has acted.
    pub(super) fn start() -> Self {
        Self {
            situations: vec![(PortSet::all(), Situation::START)],
            updated: Vec::new(),
        }
    }

    /// The same, with marks that depend on the source.
    pub(super) fn marked_by_source() -> Self {
        let mut memory = Self::start();
        for (_, situation) in &mut memory.situations {
            situation.marked_by_source = true;
        }
        memory
    }

    /// The ports of which the opening packet may have gone untracked, and this one may not: connection tracking takes it
    /// for the first of a connection.
    pub(super) fn begin_late(&self) -> PortSet {
        self.ports_where(|situation| {
            situation.opening != Tracking::Tracked && situation.tracking != Tracking::Untracked
        })
    }

    /// The ports of which nobody knows whether this packet is tracked.
    pub(super) fn unclear(&self) -> PortSet {
        self.ports_where(|situation| situation.tracking == Tracking::Unclear)
    }

    fn ports_where(&self, wanted: impl Fn(&Situation) -> bool) -> PortSet {
        let mut found = PortSet::EMPTY;
        for (ports, situation) in &self.situations {
            if wanted(situation) {
                found = found.union(ports);
            }
        }
        found
    }

    /// The ports whose packets are surely not tracked.
    pub(super) fn untracked(&self) -> PortSet {
        self.ports_where(|situation| situation.tracking == Tracking::Untracked)
    }

    /// Changes the situation of the ports.
    pub(super) fn change(&mut self, ports: &PortSet, change: impl Fn(&mut Situation)) {
        if ports.is_empty() {
            return;
        }
        let mut changed = Vec::with_capacity(self.situations.len() + 1);
        for (scope, mut situation) in self.situations.drain(..) {
            let inside = scope.intersection(ports);
            let outside = scope.difference(ports);
            if !outside.is_empty() {
                changed.push((outside, situation));
            }
            if !inside.is_empty() {
                change(&mut situation);
                changed.push((inside, situation));
            }
        }
        self.situations = changed;
    }

    /// Notes that packets to the ports change what is in the list.
    pub(super) fn update(&mut self, list: List, ports: PortSet) {
        if !ports.is_empty() {
            self.updated.push((list, ports));
        }
    }

    /// A lookup in a list, given that packets may have changed it.
    pub(super) fn after_updates(&self, list: impl FnOnce() -> List, mut found: Truth) -> Truth {
        if self.updated.is_empty() {
            return found;
        }
        let list = list();
        for (_, ports) in self.updated.iter().filter(|(other, _)| list.sees(other)) {
            let ports = Ports::from_set(ports.clone());
            found.must = found.must.and(&ports.not());
            found.may = found.may.or(&ports);
            found.why = found.why.max(Uncertainty::Other);
        }
        found
    }
}

/// Where the tracer stands, and with what.
pub(super) struct Here<'f, 'r> {
    pub(super) chain: usize,
    pub(super) index: usize,
    pub(super) flow: &'f mut Flow,
    pub(super) returned: &'f mut PortSet,
    pub(super) path: &'r Path,
}

/// A flow, split by a test.
pub(super) struct Split {
    /// Surely here, surely passes.
    pub(super) sure: PortSet,
    /// Surely here, may pass.
    pub(super) maybe: PortSet,
    /// Surely here; others than this connection pass.
    pub(super) except: PortSet,
    /// Perhaps here, may pass.
    pub(super) restricted: PortSet,
    pub(super) unknown: PortSet,
}

impl Split {
    /// What may be here and may pass.
    pub(super) fn conditional(&self) -> PortSet {
        self.restricted.union(&self.unknown)
    }
}

impl Here<'_, '_> {
    pub(super) fn split(&self, truth: &Truth) -> Split {
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
    pub(super) fn conditional(truth: &Truth, split: &Split) -> Vec<(PortSet, bool)> {
        let not_decoded = truth.why == Uncertainty::NotDecoded && truth.may != truth.must;
        vec![
            (split.maybe.clone(), not_decoded),
            (split.restricted.clone(), not_decoded),
            (split.unknown.clone(), true),
        ]
    }

    /// Takes out of the flow what the verdict surely ends.
    pub(super) fn settle(&mut self, truth: &Truth, split: &Split) {
        self.flow.sure = self.flow.sure.difference(&split.sure);
        if !self.flow.restricted.is_empty() || !self.flow.unknown.is_empty() {
            self.flow.restricted = truth.must.without(&self.flow.restricted);
            self.flow.unknown = truth.must.without(&self.flow.unknown);
        }
    }
}
