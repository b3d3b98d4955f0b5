//! What becomes of a new connection to a port.

use std::fmt;

use super::ports::{PortRange, PortSet};

/// The IP version of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// Both, in the order they are reported.
    pub const BOTH: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// `ipv4` or `ipv6`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}

/// The verdict on a port, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reach {
    /// A connection from an unknown remote address gets through.
    Open,
    /// Only from some sources, over some interfaces, at some rate, or at some times.
    Restricted,
    /// Something that was not understood could decide it.
    Unknown,
    /// It does not get through.
    Closed,
}

impl Reach {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Restricted => "restricted",
            Self::Unknown => "unknown",
            Self::Closed => "closed",
        }
    }
}

/// The verdict on some ports, and what decided it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReachEntry {
    /// The ports.
    pub ports: PortSet,
    /// The verdict.
    pub reach: Reach,
    /// Which rule or policy of which chain decided, in words; lower case, no final period.
    pub because: String,
}

/// The verdicts on all the ports that were asked for, in one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReachMap {
    /// The family.
    pub family: Family,
    /// The verdicts, by lowest port; every port asked for stands in exactly one.
    pub entries: Vec<ReachEntry>,
}

impl ReachMap {
    /// The entry that holds `port`.
    pub fn entry(&self, port: u16) -> Option<&ReachEntry> {
        self.entries.iter().find(|entry| entry.ports.contains(port))
    }

    /// The verdict on `port`; `None` when it was not asked for.
    pub fn reach(&self, port: u16) -> Option<Reach> {
        self.entry(port).map(|entry| entry.reach)
    }

    /// The ports with that verdict.
    pub fn with(&self, reach: Reach) -> PortSet {
        self.entries
            .iter()
            .filter(|entry| entry.reach == reach)
            .flat_map(|entry| entry.ports.ranges().iter().copied())
            .collect()
    }

    /// Whether every port is open.
    pub fn all_open(&self) -> bool {
        self.entries
            .iter()
            .all(|entry| entry.reach == Reach::Open || entry.ports.is_empty())
    }

    /// The entries as single intervals, ascending.
    pub fn intervals(&self) -> Vec<(PortRange, &ReachEntry)> {
        let mut intervals: Vec<(PortRange, &ReachEntry)> = self
            .entries
            .iter()
            .flat_map(|entry| {
                entry
                    .ports
                    .ranges()
                    .iter()
                    .map(move |range| (*range, entry))
            })
            .collect();
        intervals.sort_by_key(|(range, _)| range.first());
        intervals
    }
}
