//! What firewalld's files say, as values.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

pub use super::text::Network;
use super::text::Protocol;
use crate::model::ports::PortRange;
use crate::model::reach::Family;

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column, in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, line, column) = (self.path.display(), self.line, self.column);
        write!(formatter, "{path}:{line}:{column}")
    }
}

/// A name, and where it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The name.
    pub name: String,
    /// Where.
    pub place: Place,
}

/// What becomes of packets that nothing in a zone or policy decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// A zone: rejected, save ICMP.
    #[default]
    Default,
    /// A policy, or a zone with `target="default"`: whatever comes behind it.
    Continue,
    /// Accepted.
    Accept,
    /// Dropped.
    Drop,
    /// Rejected (`%%REJECT%%`).
    Reject,
}

/// What a zone and a policy have in common. Only what can decide about TCP is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Services, in the order of the file.
    pub services: Vec<Named>,
    /// Ports of TCP.
    pub ports: Vec<PortRange>,
    /// Source ports of TCP.
    pub source_ports: Vec<PortRange>,
    /// Whole protocols.
    pub(crate) protocols: Vec<Protocol>,
    /// Forwarded ports of TCP.
    pub(crate) forward_ports: Vec<ForwardPort>,
    /// Rich rules.
    pub(crate) rich: Vec<Rich>,
    /// ICMP types that are named; they must exist.
    pub(crate) icmp_types: Vec<Named>,
    /// Any forwarded port, whatever its protocol.
    pub(crate) forwards: Vec<Forward>,
    /// Masquerading.
    pub(crate) masquerade: Option<Place>,
}

/// A zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// The name.
    pub name: String,
    /// The file; for a zone made of several files, their folder.
    pub path: PathBuf,
    /// It is made of several files in a folder of its own.
    pub combined: bool,
    /// What becomes of the rest.
    pub target: Target,
    /// What it lets in, forwards and refuses.
    pub rules: Rules,
    /// Interfaces that belong to it, `eth+` for all that begin so.
    pub interfaces: Vec<Named>,
    /// Sources that belong to it.
    pub sources: Vec<(Source, Place)>,
    /// Its priority among zones for what comes in (firewalld 2), and where it is written; without one it is 0.
    pub(crate) priority: Option<(i32, Place)>,
}

/// A policy between zones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The name.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Below 0 before the zones' own rules, above behind them.
    pub priority: i32,
    /// What becomes of the rest.
    pub target: Target,
    /// What it lets in, forwards and refuses.
    pub rules: Rules,
    /// Where packets come from: zones, `ANY` or `HOST`.
    pub ingress: Vec<Named>,
    /// Where they go.
    pub egress: Vec<Named>,
    /// Switched off (firewalld 2).
    pub(crate) disabled: bool,
}

impl Policy {
    pub(crate) fn comes_from(&self, zone: &str) -> bool {
        self.ingress.iter().any(|ingress| ingress.name == zone)
    }

    pub(crate) fn goes_to(&self, zone: &str) -> bool {
        self.egress.iter().any(|egress| egress.name == zone)
    }
}

/// A service: ports under a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Where it is read from.
    pub path: PathBuf,
    /// The text of `<description>`.
    pub description: String,
    /// Ports of TCP.
    pub ports: Vec<PortRange>,
    /// Source ports of TCP.
    pub source_ports: Vec<PortRange>,
    /// It lets in something that is no TCP port.
    pub others: bool,
    pub(crate) protocols: Vec<Protocol>,
    /// Services that belong to it.
    pub includes: Vec<Named>,
    /// The only destinations it is for, by family.
    pub destinations: BTreeMap<Family, Network>,
}

/// Where packets come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An address or a network.
    Network(Network),
    /// A hardware address.
    Mac([u8; 6]),
    /// An ipset.
    Set(String),
}

/// A set of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IpSet {
    pub(crate) kind: String,
    pub(crate) family: Family,
    /// Its elements expire.
    pub(crate) timeout: bool,
    pub(crate) entries: Vec<Named>,
}

/// A forwarded port of TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ForwardPort {
    pub(crate) ports: PortRange,
    pub(crate) to_ports: Option<PortRange>,
    pub(crate) to_address: Option<IpAddr>,
}

/// A forwarded port of any protocol, as far as it must be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Forward {
    pub(crate) to_address: bool,
    pub(crate) place: Place,
}

/// A rich rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rich {
    pub(crate) place: Place,
    pub(crate) family: Option<Family>,
    /// Below 0 first, above 0 last.
    pub(crate) priority: i32,
    pub(crate) source: Option<Address>,
    pub(crate) destination: Option<Address>,
    pub(crate) element: Option<Part>,
    pub(crate) action: Option<Action>,
    /// The action has a limit.
    pub(crate) limited: bool,
    /// It logs.
    pub(crate) logs: bool,
}

/// An end of a rich rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) what: Source,
    pub(crate) inverted: bool,
}

/// What a rich rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Service(String),
    /// Ports, of TCP when there are any.
    Ports(Option<PortRange>),
    SourcePorts(Option<PortRange>),
    Protocol(Protocol),
    /// Of TCP when there is one.
    Forward(Option<ForwardPort>),
    Masquerade,
    /// Rejects an ICMP type.
    IcmpBlock(String),
    IcmpType(String),
    /// Rewrites an option of TCP, decides nothing.
    MssClamp,
}

/// What a rich rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Accept,
    Drop,
    /// How, if it says so.
    Reject(Option<String>),
    Mark,
}

/// A line of direct.xml.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Direct {
    pub(crate) place: Place,
    /// As it is written, for reports.
    pub(crate) text: String,
    /// No packet on its way in, and no reply to it, meets it, and iptables takes it for certain.
    pub(crate) harmless: bool,
    /// Without one it is no line that iptables could be told.
    pub(crate) family: Option<Family>,
    pub(crate) kind: DirectKind,
    pub(crate) table: String,
    pub(crate) chain: String,
    /// The rest of the rule.
    pub(crate) words: String,
}

/// What a line of direct.xml is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DirectKind {
    Chain,
    /// A rule, with its priority.
    Rule(i32),
    /// Words that iptables gets as they are: appends (`A`) or inserts (`I`).
    Passthrough(char),
}

/// A connection of `NetworkManager` that names no zone: firewalld's default zone is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Connection {
    pub(crate) path: PathBuf,
    /// Not every connection names its interface.
    pub(crate) interface: Option<String>,
}

/// An interface that is bound to a zone and perhaps ends up in the default zone all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Uncertain {
    pub(crate) interface: String,
    /// Where it is bound.
    pub(crate) zone: String,
    /// Who may put it there.
    pub(crate) because: String,
}

/// An interface that something else than firewalld puts into a zone when it comes up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) path: PathBuf,
    pub(crate) zone: String,
    /// Not every connection names its interface.
    pub(crate) interface: Option<String>,
}
