//! What rules look at, and what they compare it with.

use std::sync::Arc;

use super::{Mark, Uncertainty};

/// What a test looks at: one field, or several one after the other (a concatenation).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The fields. In a concatenation each is padded to a multiple of four bytes.
    pub parts: Arc<Vec<Part>>,
}

/// One field, and what is done to its bytes before the test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where the bytes come from.
    pub field: Field,
    /// How many bytes.
    pub length: u32,
    /// Operations in order.
    pub operations: Vec<Operation>,
}

/// Where the bytes of a value come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// Bytes of a header, network byte order.
    Payload {
        /// Which header.
        base: PayloadBase,
        /// The first byte.
        offset: u32,
    },
    /// `meta nfproto`, one byte: 2 for IPv4, 10 for IPv6.
    NetworkFamily,
    /// `meta l4proto`, one byte.
    TransportProtocol,
    /// `meta protocol`: the `EtherType`, two bytes, network byte order.
    EtherType,
    /// `meta length`, four bytes, host byte order.
    PacketLength,
    /// `meta mark` and `ct mark`, four bytes, host byte order.
    Mark(Mark),
    /// `meta pkttype`, one byte: 0 is host.
    PacketType,
    /// `iif`, four bytes, host byte order.
    InputInterface,
    /// `iifname`, sixteen bytes, padded with NUL.
    InputInterfaceName,
    /// `iiftype`, two bytes, host byte order.
    InputInterfaceType,
    /// `iifgroup`, four bytes, host byte order.
    InputInterfaceGroup,
    /// `oif`, four bytes, host byte order.
    OutputInterface,
    /// `oifname`, sixteen bytes, padded with NUL.
    OutputInterfaceName,
    /// `oiftype`, two bytes, host byte order.
    OutputInterfaceType,
    /// `oifgroup`, four bytes, host byte order.
    OutputInterfaceGroup,
    /// `ct state`, four bytes, host byte order, a bit mask: 1 invalid, 2 established, 4 related, 8 new, 64 untracked.
    ConnectionState,
    /// `ct status`, four bytes, host byte order, a bit mask.
    ConnectionStatus,
    /// `ct direction`, one byte: 0 original, 1 reply.
    ConnectionDirection,
    /// An address, port or protocol of the connection tracking entry.
    Connection {
        /// Which end.
        key: ConnectionKey,
        /// Of which direction: 0 original, 1 reply; `None` for the packet's own.
        direction: Option<u8>,
    },
    /// `fib`: a routing lookup.
    Fib {
        /// Looks up the destination address; otherwise the source.
        destination: bool,
        /// Takes the input interface into account (`. iif`).
        input_interface: bool,
        /// What of the route is wanted.
        result: FibResult,
        /// Whether only the presence of a route is wanted (one byte, 0 or 1).
        present: bool,
    },
    /// An extension header of IPv6, or an option of IPv4's header: the packets of an ordinary TCP connection have none.
    Extension {
        /// Of IPv6; otherwise an option of IPv4.
        ipv6: bool,
        /// Whether only its presence is wanted (one byte, 0 or 1).
        present: bool,
        /// In the words of nft or iptables, such as `exthdr frag`.
        text: String,
    },
    /// `tcp option maxseg size`: the maximum segment size that the options of TCP announce, two bytes, network byte order;
    /// a packet without it ends the rule.
    SegmentSize {
        /// Whether only its presence is wanted (one byte, 0 or 1).
        present: bool,
    },
    /// A constant.
    Constant(Vec<u8>),
    /// Something that is known only when the packet is there.
    Unknown {
        /// Why.
        uncertainty: Uncertainty,
        /// In nft's words, such as `meta hour`.
        text: String,
    },
}

/// The header that a payload field counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PayloadBase {
    /// The link layer header.
    Link,
    /// The IPv4 or IPv6 header.
    Network,
    /// The TCP header.
    Transport,
    /// Behind the TCP header.
    Inner,
}

/// The ends of a connection tracking entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionKey {
    /// `ct saddr`.
    SourceAddress,
    /// `ct daddr`.
    DestinationAddress,
    /// `ct proto-src`, two bytes, network byte order.
    SourcePort,
    /// `ct proto-dst`, two bytes, network byte order.
    DestinationPort,
    /// `ct protocol`, one byte.
    TransportProtocol,
    /// `ct l3proto`, one byte.
    NetworkFamily,
}

/// What a `fib` lookup returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FibResult {
    /// The interface's index, four bytes, host byte order.
    InterfaceIndex,
    /// The interface's name, sixteen bytes.
    InterfaceName,
    /// The address type (`RTN_*`), four bytes, host byte order: 2 is local.
    AddressType,
}

/// An operation on the bytes of a field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `(value & mask) ^ xor`, byte by byte.
    Bitwise {
        /// The mask.
        mask: Vec<u8>,
        /// The toggled bits.
        xor: Vec<u8>,
    },
    /// The bytes of each `size`-byte word are reversed on a little-endian host (`hton`, `ntoh`).
    Swap {
        /// Bytes in a word: 2, 4 or 8.
        size: u32,
    },
    /// Shifts, jhash, prandom and the like: the result is not known.
    Computed,
}

/// A test of a value's bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Test {
    /// Compared as `memcmp` does, over the length of `data`, which may be shorter than the value (`eth*`).
    Compare {
        /// How.
        operator: Operator,
        /// With what.
        data: Vec<u8>,
    },
    /// `first <= value <= last` as `memcmp` does.
    Range {
        /// `!= first-last`.
        negated: bool,
        /// The first.
        first: Vec<u8>,
        /// The last.
        last: Vec<u8>,
    },
}

/// Comparison operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the operators")]
pub enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Value {
    /// A value of one unchanged field.
    pub fn field(field: Field, length: u32) -> Self {
        Self {
            parts: Arc::new(vec![Part {
                field,
                length,
                operations: Vec::new(),
            }]),
        }
    }
}

/// The kernel's route types by number (`RTN_*`, linux/rtnetlink.h), as [`FibResult::AddressType`] has them.
pub const ROUTE_TYPES: [&str; 12] = [
    "unspec",
    "unicast",
    "local",
    "broadcast",
    "anycast",
    "multicast",
    "blackhole",
    "unreachable",
    "prohibit",
    "throw",
    "nat",
    "xresolve",
];
