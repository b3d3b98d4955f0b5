//! Expressions that put a field's bytes into a register.
//!
//! The lengths are the kernel's: what each key stores (`nft_meta_get_init`, `nft_ct_get_init` and the like).

use crate::model::ruleset::{
    ConnectionKey, FibResult, Field, Mark, Part, PayloadBase, Statement, TableFamily, Uncertainty,
};
use crate::netfilter::attributes::Attributes;
use crate::netfilter::body::Body;

// enum nft_payload_attributes
pub(super) const PAYLOAD_DESTINATION: u16 = 1; // NFTA_PAYLOAD_DREG
pub(super) const PAYLOAD_BASE: u16 = 2; // NFTA_PAYLOAD_BASE
pub(super) const PAYLOAD_OFFSET: u16 = 3; // NFTA_PAYLOAD_OFFSET
pub(super) const PAYLOAD_LENGTH: u16 = 4; // NFTA_PAYLOAD_LEN
pub(super) const PAYLOAD_SOURCE: u16 = 5; // NFTA_PAYLOAD_SREG

// enum nft_meta_attributes
pub(super) const META_DESTINATION: u16 = 1; // NFTA_META_DREG
pub(super) const META_KEY: u16 = 2; // NFTA_META_KEY
pub(super) const META_SOURCE: u16 = 3; // NFTA_META_SREG

// enum nft_ct_attributes
pub(super) const CT_DESTINATION: u16 = 1; // NFTA_CT_DREG
pub(super) const CT_KEY: u16 = 2; // NFTA_CT_KEY
const CT_DIRECTION: u16 = 3; // NFTA_CT_DIRECTION
pub(super) const CT_SOURCE: u16 = 4; // NFTA_CT_SREG

// enum nft_fib_attributes, nft_fib_flags
const FIB_DESTINATION: u16 = 1; // NFTA_FIB_DREG
const FIB_RESULT: u16 = 2; // NFTA_FIB_RESULT
const FIB_FLAGS: u16 = 3; // NFTA_FIB_FLAGS
const FIB_SOURCE_ADDRESS: u32 = 1 << 0; // NFTA_FIB_F_SADDR
const FIB_DESTINATION_ADDRESS: u32 = 1 << 1; // NFTA_FIB_F_DADDR
const FIB_INPUT_INTERFACE: u32 = 1 << 3; // NFTA_FIB_F_IIF
const FIB_OUTPUT_INTERFACE: u32 = 1 << 4; // NFTA_FIB_F_OIF
const FIB_PRESENT: u32 = 1 << 5; // NFTA_FIB_F_PRESENT

// enum nft_exthdr_attributes
const EXTENSION_DESTINATION: u16 = 1; // NFTA_EXTHDR_DREG
const EXTENSION_TYPE: u16 = 2; // NFTA_EXTHDR_TYPE
const EXTENSION_OFFSET: u16 = 3; // NFTA_EXTHDR_OFFSET
const EXTENSION_LENGTH: u16 = 4; // NFTA_EXTHDR_LEN
const EXTENSION_FLAGS: u16 = 5; // NFTA_EXTHDR_FLAGS
const EXTENSION_OPERATION: u16 = 6; // NFTA_EXTHDR_OP
const EXTENSION_SOURCE: u16 = 7; // NFTA_EXTHDR_SREG

/// Where the options of a TCP header begin.
const TCP_OPTIONS: u32 = 20;
/// The length of an interface's name (`IFNAMSIZ`).
const NAME_LENGTH: u32 = 16;

/// The header that a `payload` expression counts from.
pub(super) fn payload_base(base: u32) -> Option<PayloadBase> {
    match base {
        0 => Some(PayloadBase::Link),      // NFT_PAYLOAD_LL_HEADER
        1 => Some(PayloadBase::Network),   // NFT_PAYLOAD_NETWORK_HEADER
        2 => Some(PayloadBase::Transport), // NFT_PAYLOAD_TRANSPORT_HEADER
        3 => Some(PayloadBase::Inner),     // NFT_PAYLOAD_INNER_HEADER
        _ => None,
    }
}

/// A field whose value differs between packets or over time.
fn other(text: impl Into<String>) -> Field {
    Field::Unknown {
        uncertainty: Uncertainty::Other,
        text: text.into(),
    }
}

/// `meta`: the field of a key and its length.
fn meta(key: u32) -> (Field, u32) {
    match key {
        0 => (Field::PacketLength, 4),                  // NFT_META_LEN
        1 => (Field::EtherType, 2),                     // NFT_META_PROTOCOL
        2 => (other("meta priority"), 4),               // NFT_META_PRIORITY
        3 => (Field::Mark(Mark::Packet), 4),            // NFT_META_MARK
        4 => (Field::InputInterface, 4),                // NFT_META_IIF
        5 => (Field::OutputInterface, 4),               // NFT_META_OIF
        6 => (Field::InputInterfaceName, NAME_LENGTH),  // NFT_META_IIFNAME
        7 => (Field::OutputInterfaceName, NAME_LENGTH), // NFT_META_OIFNAME
        8 => (Field::InputInterfaceType, 2),            // NFT_META_IIFTYPE
        9 => (Field::OutputInterfaceType, 2),           // NFT_META_OIFTYPE
        10 => (other("meta skuid"), 4),                 // NFT_META_SKUID
        11 => (other("meta skgid"), 4),                 // NFT_META_SKGID
        12 => (other("meta nftrace"), 1),               // NFT_META_NFTRACE
        13 => (other("meta rtclassid"), 4),             // NFT_META_RTCLASSID
        14 => (other("meta secmark"), 4),               // NFT_META_SECMARK
        15 => (Field::NetworkFamily, 1),                // NFT_META_NFPROTO
        16 => (Field::TransportProtocol, 1),            // NFT_META_L4PROTO
        17 => (other("meta ibrname"), NAME_LENGTH),     // NFT_META_BRI_IIFNAME
        18 => (other("meta obrname"), NAME_LENGTH),     // NFT_META_BRI_OIFNAME
        19 => (Field::PacketType, 1),                   // NFT_META_PKTTYPE
        20 => (other("meta cpu"), 4),                   // NFT_META_CPU
        21 => (Field::InputInterfaceGroup, 4),          // NFT_META_IIFGROUP
        22 => (Field::OutputInterfaceGroup, 4),         // NFT_META_OIFGROUP
        23 => (other("meta cgroup"), 4),                // NFT_META_CGROUP
        24 => (other("meta random"), 4),                // NFT_META_PRANDOM
        25 => (other("meta ipsec"), 1),                 // NFT_META_SECPATH
        26 => (other("meta iifkind"), NAME_LENGTH),     // NFT_META_IIFKIND
        27 => (other("meta oifkind"), NAME_LENGTH),     // NFT_META_OIFKIND
        28 => (other("meta ibrpvid"), 2),               // NFT_META_BRI_IIFPVID
        29 => (other("meta ibrvproto"), 2),             // NFT_META_BRI_IIFVPROTO
        30 => (other("meta time"), 8),                  // NFT_META_TIME_NS
        31 => (other("meta day"), 1),                   // NFT_META_TIME_DAY
        32 => (other("meta hour"), 4),                  // NFT_META_TIME_HOUR
        33 => (other("meta sdif"), 4),                  // NFT_META_SDIF
        34 => (other("meta sdifname"), NAME_LENGTH),    // NFT_META_SDIFNAME
        key => (not_decoded(format!("meta key {key}")), 4),
    }
}

/// A field that a newer kernel knows and this decoder does not.
fn not_decoded(text: String) -> Field {
    Field::Unknown {
        uncertainty: Uncertainty::NotDecoded,
        text,
    }
}

/// `ct`: the field of a key and its length.
fn connection(key: u32, direction: Option<u8>, family: TableFamily) -> (Field, u32) {
    let end = |key, length| (Field::Connection { key, direction }, length);
    let address = if family == TableFamily::Ip { 4 } else { 16 };
    match key {
        0 => (Field::ConnectionState, 4),                // NFT_CT_STATE
        1 => (Field::ConnectionDirection, 1),            // NFT_CT_DIRECTION
        2 => (Field::ConnectionStatus, 4),               // NFT_CT_STATUS
        3 => (Field::Mark(Mark::Connection), 4),         // NFT_CT_MARK
        4 => (other("ct secmark"), 4),                   // NFT_CT_SECMARK
        5 => (other("ct expiration"), 4),                // NFT_CT_EXPIRATION
        6 => (other("ct helper"), NAME_LENGTH),          // NFT_CT_HELPER
        7 => end(ConnectionKey::NetworkFamily, 1),       // NFT_CT_L3PROTOCOL
        8 => end(ConnectionKey::SourceAddress, address), // NFT_CT_SRC
        9 => end(ConnectionKey::DestinationAddress, address), // NFT_CT_DST
        10 => end(ConnectionKey::TransportProtocol, 1),  // NFT_CT_PROTOCOL
        11 => end(ConnectionKey::SourcePort, 2),         // NFT_CT_PROTO_SRC
        12 => end(ConnectionKey::DestinationPort, 2),    // NFT_CT_PROTO_DST
        13 => (other("ct label"), 16),                   // NFT_CT_LABELS
        14 => (other("ct packets"), 8),                  // NFT_CT_PKTS
        15 => (other("ct bytes"), 8),                    // NFT_CT_BYTES
        16 => (other("ct avgpkt"), 8),                   // NFT_CT_AVGPKT
        17 => (other("ct zone"), 2),                     // NFT_CT_ZONE
        19 => end(ConnectionKey::SourceAddress, 4),      // NFT_CT_SRC_IP
        20 => end(ConnectionKey::DestinationAddress, 4), // NFT_CT_DST_IP
        21 => end(ConnectionKey::SourceAddress, 16),     // NFT_CT_SRC_IP6
        22 => end(ConnectionKey::DestinationAddress, 16), // NFT_CT_DST_IP6
        23 => (other("ct id"), 4),                       // NFT_CT_ID
        key => (not_decoded(format!("ct key {key}")), 4),
    }
}

impl Body<'_> {
    /// Puts a field into a register.
    pub(super) fn load(&mut self, register: u32, field: Field, length: u32) -> Option<()> {
        let part = Part {
            field,
            length,
            operations: Vec::new(),
        };
        self.registers.store(register, part)
    }

    /// `payload` with a destination register.
    pub(super) fn payload(&mut self, data: &Attributes<'_>) -> Option<()> {
        let length = data.number(PAYLOAD_LENGTH)?;
        let field = match payload_base(data.number(PAYLOAD_BASE)?) {
            Some(base) => Field::Payload {
                base,
                offset: data.number(PAYLOAD_OFFSET)?,
            },
            None => other("tunnel header"),
        };
        self.load(data.number(PAYLOAD_DESTINATION)?, field, length)
    }

    /// `meta` with a destination register.
    pub(super) fn meta(&mut self, data: &Attributes<'_>) -> Option<()> {
        let (field, length) = meta(data.number(META_KEY)?);
        self.load(data.number(META_DESTINATION)?, field, length)
    }

    /// `ct` with a destination register.
    pub(super) fn connection(&mut self, data: &Attributes<'_>) -> Option<()> {
        let direction = data
            .get(CT_DIRECTION)
            .and_then(|bytes| bytes.first().copied());
        let (field, length) = connection(data.number(CT_KEY)?, direction, self.family);
        self.load(data.number(CT_DESTINATION)?, field, length)
    }

    /// `fib`.
    pub(super) fn fib(&mut self, data: &Attributes<'_>) -> Option<()> {
        let flags = data.number(FIB_FLAGS)?;
        let present = flags & FIB_PRESENT != 0;
        let (result, length) = match data.number(FIB_RESULT)? {
            1 => (FibResult::InterfaceIndex, 4), // NFT_FIB_RESULT_OIF
            2 => (FibResult::InterfaceName, NAME_LENGTH), // NFT_FIB_RESULT_OIFNAME
            3 => (FibResult::AddressType, 4),    // NFT_FIB_RESULT_ADDRTYPE
            _ => return None,
        };
        let field = if flags & FIB_OUTPUT_INTERFACE != 0 {
            other("fib . oif")
        } else if flags & (FIB_SOURCE_ADDRESS | FIB_DESTINATION_ADDRESS) == 0 {
            return None;
        } else {
            // NFTA_FIB_F_MARK chooses a routing table by mark: like the tables themselves, the host's business.
            Field::Fib {
                destination: flags & FIB_DESTINATION_ADDRESS != 0,
                input_interface: flags & FIB_INPUT_INTERFACE != 0,
                result,
                present,
            }
        };
        let length = if present { 1 } else { length };
        self.load(data.number(FIB_DESTINATION)?, field, length)
    }

    /// `rt`: what routing found.
    pub(super) fn route(&mut self, data: &Attributes<'_>) -> Option<()> {
        // NFTA_RT_DREG = 1, NFTA_RT_KEY = 2; enum nft_rt_keys
        let (text, length) = match data.number(2)? {
            0 => ("rt classid", 4),
            1 => ("rt ip nexthop", 4),
            2 => ("rt ip6 nexthop", 16),
            3 => ("rt mtu", 2),
            4 => ("rt ipsec", 1),
            _ => return None,
        };
        self.load(data.number(1)?, other(text), length)
    }

    /// `socket`: whether a socket waits for the packet.
    pub(super) fn socket(&mut self, data: &Attributes<'_>) -> Option<()> {
        // NFTA_SOCKET_KEY = 1, NFTA_SOCKET_DREG = 2; enum nft_socket_keys
        let (text, length) = match data.number(1)? {
            0 => ("socket transparent", 1),
            1 => ("socket mark", 4),
            2 => ("socket wildcard", 1),
            3 => ("socket cgroupv2", 8),
            _ => return None,
        };
        self.load(data.number(2)?, other(text), length)
    }

    /// `exthdr`: extension headers and options; a packet without the header ends the rule. A write changes an option.
    pub(super) fn extension(&mut self, data: &Attributes<'_>) -> Option<()> {
        let kind = data
            .get(EXTENSION_TYPE)
            .and_then(|bytes| bytes.first().copied())?;
        let header = match data.number(EXTENSION_OPERATION).unwrap_or_default() {
            0 => "exthdr",      // NFT_EXTHDR_OP_IPV6
            1 => "tcp option",  // NFT_EXTHDR_OP_TCPOPT
            2 => "ip option",   // NFT_EXTHDR_OP_IPV4
            3 => "sctp chunk",  // NFT_EXTHDR_OP_SCTP
            4 => "dccp option", // NFT_EXTHDR_OP_DCCP
            _ => return None,
        };
        let text = match (header, kind) {
            ("tcp option", 2) => String::from("tcp option maxseg"),
            ("tcp option", 3) => String::from("tcp option window"),
            ("tcp option", 4) => String::from("tcp option sack-perm"),
            ("tcp option", 8) => String::from("tcp option timestamp"),
            _ => format!("{header} {kind}"),
        };
        let Some(register) = data.number(EXTENSION_DESTINATION) else {
            // With a source register the option is set, with neither it is removed (`reset tcp option`), and the two ends
            // do without it. A smaller segment size is all that is harmless to set.
            let taken = data.get(EXTENSION_SOURCE).is_none();
            if (header, kind) == ("tcp option", 2) {
                let text = format!("{text} {}", if taken { "reset" } else { "set" });
                self.statements.push(Statement::SetSegmentSize { text });
            } else if taken {
                self.neutral(format!("{text} reset"));
            } else {
                self.statements.push(Statement::Rewrite {
                    base: PayloadBase::Transport,
                    offset: TCP_OPTIONS,
                    length: data.number(EXTENSION_LENGTH)?,
                    text: format!("{text} set"),
                });
            }
            return Some(());
        };
        let present = data.number(EXTENSION_FLAGS).unwrap_or_default() & 1 != 0; // NFT_EXTHDR_F_PRESENT
        let length = if present {
            1
        } else {
            data.number(EXTENSION_LENGTH)?
        };
        let field = match (header, kind) {
            // What is no header, such as `exthdr 6` for TCP itself, may be found.
            ("exthdr", 0 | 43 | 44 | 60 | 135) | ("ip option", 1..) => Field::Extension {
                ipv6: header == "exthdr",
                present,
                text,
            },
            ("tcp option", 2)
                if present || data.number(EXTENSION_OFFSET) == Some(2) && length == 2 =>
            {
                Field::SegmentSize { present }
            }
            _ => other(text),
        };
        self.load(register, field, length)
    }

    /// Loads of which only the name and the length matter; the destination register's attribute is given.
    pub(super) fn other_load(
        &mut self,
        data: &Attributes<'_>,
        register: u16,
        text: &str,
        length: u32,
    ) -> Option<()> {
        self.load(data.number(register)?, other(text), length)
    }
}
