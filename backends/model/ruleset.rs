//! The rules that packets meet, whoever wrote them, in the terms of `nf_tables`.
//!
//! A rule is a list of statements, tried in order: a statement that the packet does not satisfy ends the rule. Tests
//! compare bytes, as the kernel does, so nothing is lost between the kernel and the evaluator.

use std::net::IpAddr;

use super::reach::Family;

mod set;
mod statements;
mod value;

pub use set::{Element, ElementKey, Elements, Ipset, Outside, Set};
pub use statements::Statements;
pub use value::{
    ConnectionKey, FibResult, Field, Operation, Operator, Part, PayloadBase, ROUTE_TYPES, Test,
    Value,
};

/// Everything that decides what becomes of a packet: the tables, and the interfaces it can arrive on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// The kernel's generation id when the tables were read; `None` when they did not come from the kernel.
    pub generation: Option<u32>,
    /// The host's interfaces, loopback included.
    pub interfaces: Vec<Interface>,
    /// Remote addresses that have to get through like an unknown one, since the firewall treats them by rules of their
    /// own (a firewalld zone with a source).
    pub sources: Vec<IpAddr>,
    /// Whether nobody but those has to get through.
    pub sources_only: bool,
    /// The tables, in the kernel's order.
    pub tables: Vec<Table>,
}

/// A network interface of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// The name, such as `eth0`.
    pub name: String,
    /// The kernel's index, from 1.
    pub index: u32,
    /// The hardware type (`ARPHRD_*`): 1 is Ethernet, 772 is loopback.
    pub hardware_type: u16,
    /// The interface group; 0 unless the admin set one.
    pub group: u32,
    /// Whether it is administratively up.
    pub up: bool,
    /// Whether it is the loopback interface.
    pub loopback: bool,
    /// Whether it is a bridge: its packets come in through one of its ports.
    pub bridge: bool,
    /// Whether it lies on another interface of this host: a VLAN, a macvlan, one end of a veth pair.
    pub stacked: bool,
    /// Whether nobody looks up hardware addresses there (`IFF_NOARP`).
    pub unresolved: bool,
    /// The interface that it is a port or a part of: a bridge, a bond, a VRF.
    pub master: Option<String>,
    /// Its addresses, link-local ones included.
    pub addresses: Vec<IpAddr>,
}

/// The family of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TableFamily {
    /// IPv4 only.
    Ip,
    /// IPv6 only.
    Ip6,
    /// IPv4 and IPv6.
    Inet,
    /// Packets of one device, before (ingress) or behind (egress) everything else.
    Netdev,
    /// Frames in a bridge of this host, on their way to and from the bridge itself, too.
    Bridge,
}

/// Which of the kernel's two packet filters a table lives in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Filter {
    /// `nf_tables`: nft and iptables-nft.
    #[default]
    Nftables,
    /// The older `x_tables`: iptables-legacy.
    Legacy,
}

/// A table: a name for a group of chains and sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The family.
    pub family: TableFamily,
    /// The name.
    pub name: String,
    /// Which packet filter it lives in.
    pub filter: Filter,
    /// A process owns the table (flag `owner`): the kernel refuses edits by others.
    pub owned: bool,
    /// The table is switched off (flag `dormant`): its chains see no packet.
    pub dormant: bool,
    /// Its chains. Chains that the packet's path cannot reach may be listed without their rules.
    pub chains: Vec<Chain>,
    /// Its sets and maps.
    pub sets: Vec<Set>,
}

/// A chain of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The name.
    pub name: String,
    /// The kernel's handle.
    pub handle: u64,
    /// Where packets enter, for a base chain.
    pub base: Option<BaseChain>,
    /// The rules in order. `None`: not read, since no packet of the path can get here.
    pub rules: Option<Vec<Rule>>,
}

/// What makes a chain a base chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseChain {
    /// Its type.
    pub kind: ChainKind,
    /// The hook where packets enter it.
    pub hook: Hook,
    /// Lower priorities come first.
    pub priority: i32,
    /// What becomes of packets that no rule decides.
    pub policy: Policy,
    /// The devices of a netdev or ingress chain, `eth*` for all that begin so; empty elsewhere.
    pub devices: Vec<String>,
}

impl BaseChain {
    /// Whether a netdev or ingress chain sees the packets of that device.
    pub fn sees_device(&self, name: &str) -> bool {
        self.devices
            .iter()
            .any(|device| match device.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => device == name,
            })
    }
}

/// The type of a base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChainKind {
    /// `filter`.
    Filter,
    /// `nat`: sees only the first packet of a connection.
    Nat,
    /// `route`.
    Route,
}

/// Where a base chain is attached, in the order a packet meets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hook {
    /// A device's ingress.
    Ingress,
    /// Before routing.
    Prerouting,
    /// To a local process.
    Input,
    /// Through the host.
    Forward,
    /// From a local process.
    Output,
    /// After routing.
    Postrouting,
    /// A device's egress.
    Egress,
}

/// The policy of a base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Undecided packets go on.
    Accept,
    /// Undecided packets are dropped.
    Drop,
}

/// A rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The kernel's handle; 0 for a rule that is not in the kernel yet.
    pub handle: u64,
    /// The comment, from the rule's user data or an xt `comment` match.
    pub comment: Option<String>,
    /// What the rule does, in order.
    pub statements: Statements,
}

/// One step of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// The rule goes on only if the value passes the test.
    Match {
        /// What is tested.
        value: Value,
        /// The test.
        test: Test,
    },
    /// The rule goes on only if the value is in the set, or, negated, is not.
    Lookup {
        /// What is looked up.
        value: Value,
        /// The set's name, in the rule's table.
        set: String,
        /// `!= @set`.
        negated: bool,
    },
    /// The verdict that the map has for the value; without one the rule ends (`NFT_BREAK`).
    VerdictMap {
        /// What is looked up.
        value: Value,
        /// The map's name, in the rule's table.
        map: String,
    },
    /// An unconditional verdict.
    Verdict(Verdict),
    /// The rule goes on or not, by something that is not known beforehand.
    Condition {
        /// Why it is not known.
        uncertainty: Uncertainty,
        /// The condition in nft's or iptables' words, such as `limit rate 25/second`.
        text: String,
    },
    /// The packet's or the connection's mark is set.
    SetMark {
        /// Which mark.
        mark: Mark,
        /// The new value in the host's byte order; `None` when it is computed.
        value: Option<u32>,
    },
    /// The maximum segment size that the packet announces is changed or taken away.
    SetSegmentSize {
        /// In the words of nft or iptables.
        text: String,
    },
    /// The packet leaves connection tracking (`notrack`).
    Notrack,
    /// Address translation. Ends the base chain, as an accept does.
    Nat(Nat),
    /// The packet is handed to a listening transparent proxy; without one the rule ends.
    Tproxy {
        /// In nft's words.
        text: String,
    },
    /// Header bytes are rewritten in place, without connection tracking.
    Rewrite {
        /// Which header.
        base: PayloadBase,
        /// The first byte written.
        offset: u32,
        /// How many bytes.
        length: u32,
        /// In nft's words where they are known.
        text: String,
    },
    /// An element is put into a set or taken out of it; later rules find it there, for this packet already.
    UpdateSet {
        /// The set's name, in the rule's table.
        set: String,
        /// Why the rule may end here; `None` when it goes on.
        uncertainty: Option<Uncertainty>,
        /// In nft's words, such as `add @seen`.
        text: String,
    },
    /// Something that never decides what becomes of the packet: counter, log, `set dscp` and the like.
    Neutral {
        /// In nft's words.
        text: String,
    },
    /// Something the decoder does not know. Whatever it might decide is unknown.
    NotDecoded {
        /// The kernel's name of the expression, match or target.
        name: String,
    },
}

/// Why a condition cannot be decided beforehand; in ascending weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Uncertainty {
    /// It depends on the remote address or its history: a ban, or an exception.
    Source,
    /// It matches only what exceeds a rate or a number of connections (`limit rate over`, `connlimit`).
    Excess,
    /// It matches until a rate or a number of connections is exceeded (`limit rate 25/second`).
    Rate,
    /// It matches until a rate of less than a packet a second is exceeded (`limit rate 5/minute`), which ordinary clients
    /// exceed as well.
    SlowRate,
    /// It depends on something else that differs between packets or over time.
    Other,
    /// The decoder does not understand it.
    NotDecoded,
}

/// Marks that rules can set and test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// The packet's mark.
    Packet,
    /// The connection's mark.
    Connection,
}

/// What a rule or a verdict map decides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Leave this base chain, accepted.
    Accept,
    /// Gone.
    Drop,
    /// Gone, and the sender is told; how, in nft's words (`icmp host-prohibited`, `tcp reset`).
    Reject(String),
    /// Next rule.
    Continue,
    /// Back to the caller; at the end of a base chain, the policy.
    Return,
    /// Through the chain, and back.
    Jump(String),
    /// Into the chain; its end returns to this chain's caller.
    Goto(String),
    /// A program in user space decides.
    Queue(String),
    /// The packet is taken out of this path (`fwd`, `synproxy`).
    Stolen(String),
}

/// Address translation by a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nat {
    /// What is translated.
    pub kind: NatKind,
    /// The family it is for; others pass it by. `None` is both.
    pub family: Option<Family>,
    /// The new address; `None` when it stays, is computed, or (redirect) is the host's own.
    pub address: Option<IpAddr>,
    /// Whether a new address is set at all (possibly a computed one).
    pub sets_address: bool,
    /// The new ports, first and last; `None` when they stay or are computed.
    pub ports: Option<(u16, u16)>,
    /// Whether a new port is set at all (possibly a computed one).
    pub sets_port: bool,
    /// In nft's words.
    pub text: String,
}

/// The kinds of address translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NatKind {
    /// The destination.
    Dnat,
    /// The destination becomes the host itself.
    Redirect,
    /// The source (snat, masquerade).
    Source,
}
impl Ruleset {
    /// The table of that packet filter, family and name.
    pub fn table(&self, filter: Filter, family: TableFamily, name: &str) -> Option<&Table> {
        self.tables
            .iter()
            .find(|table| table.filter == filter && table.family == family && table.name == name)
    }
}

impl Table {
    /// The chain of that name.
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.name == name)
    }

    /// The set or map of that name.
    pub fn set(&self, name: &str) -> Option<&Set> {
        self.sets.iter().find(|set| set.name == name)
    }
}

impl Chain {
    /// The rules; none where they were not read.
    pub fn rules(&self) -> &[Rule] {
        self.rules.as_deref().unwrap_or_default()
    }
}

impl TableFamily {
    /// nft's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Inet => "inet",
            Self::Netdev => "netdev",
            Self::Bridge => "bridge",
        }
    }
}

impl Hook {
    /// nft's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Prerouting => "prerouting",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
            Self::Egress => "egress",
        }
    }
}
