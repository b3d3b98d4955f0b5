//! Names of fields.

use super::Clean;
use super::bytes::{hexadecimal, is_host_order, only_mask, prefix_length};
use crate::model::ruleset::{
    ConnectionKey, FibResult, Field, Mark, Operation, Operator, Part, PayloadBase, Statement, Test,
};

pub(super) const IPV4: u8 = 2; // NFPROTO_IPV4
pub(super) const IPV6: u8 = 10; // NFPROTO_IPV6
const TCP: u8 = 6; // IPPROTO_TCP
const UDP: u8 = 17; // IPPROTO_UDP

/// What the earlier statements of a rule say about the packet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Context {
    family: Option<u8>,
    protocol: Option<u8>,
}

impl Context {
    /// Learns from a test that the packet has passed.
    pub(super) fn learn(&mut self, statement: &Statement) {
        let Statement::Match {
            value,
            test:
                Test::Compare {
                    operator: Operator::Equal,
                    data,
                },
        } = statement
        else {
            return;
        };
        let [part] = value.parts.as_slice() else {
            return;
        };
        match (&part.field, data.as_slice()) {
            (Field::NetworkFamily, [family]) => self.family = Some(*family),
            (Field::EtherType, [0x08, 0x00]) => self.family = Some(IPV4),
            (Field::EtherType, [0x86, 0xdd]) => self.family = Some(IPV6),
            (
                Field::TransportProtocol
                | Field::Payload {
                    base: PayloadBase::Network,
                    offset: 9,
                },
                [protocol],
            ) => self.protocol = Some(*protocol),
            _ => {}
        }
    }

    /// The name of the transport header.
    pub(super) fn transport(self) -> &'static str {
        self.protocol.and_then(protocol_name).unwrap_or("th")
    }
}

/// The name of a header field; the family as `meta nfproto` and the protocol where they are known.
pub(crate) fn payload_name(
    base: PayloadBase,
    offset: u32,
    length: u32,
    family: Option<u8>,
    protocol: Option<u8>,
) -> String {
    let name = match base {
        PayloadBase::Link => link_name(offset, length),
        PayloadBase::Network => network_name(offset, length, family),
        PayloadBase::Transport => return transport_name(offset, length, protocol),
        PayloadBase::Inner => None,
    };
    let short = match base {
        PayloadBase::Link => "ll",
        PayloadBase::Network => "nh",
        PayloadBase::Transport => "th",
        PayloadBase::Inner => "ih",
    };
    name.map_or_else(
        || {
            format!(
                "@{short},{},{}",
                u64::from(offset) * 8,
                u64::from(length) * 8
            )
        },
        String::from,
    )
}

fn link_name(offset: u32, length: u32) -> Option<&'static str> {
    match (offset, length) {
        (0, 6) => Some("ether daddr"),
        (6, 6) => Some("ether saddr"),
        (12, 2) => Some("ether type"),
        _ => None,
    }
}

fn network_name(offset: u32, length: u32, family: Option<u8>) -> Option<&'static str> {
    match (offset, length, family) {
        (6, 1, Some(IPV6)) => Some("ip6 nexthdr"),
        (7, 1, Some(IPV6)) => Some("ip6 hoplimit"),
        (4, 2, Some(IPV6)) => Some("ip6 length"),
        (8, 1..=16, Some(IPV6)) | (8, 5..=16, None) => Some("ip6 saddr"),
        (24, 1..=16, Some(IPV6) | None) => Some("ip6 daddr"),
        (_, _, Some(IPV6)) => None,
        (1, 1, _) => Some("ip dscp"),
        (2, 2, _) => Some("ip length"),
        (4, 2, _) => Some("ip id"),
        (6, 2, _) => Some("ip frag-off"),
        (8, 1, _) => Some("ip ttl"),
        (9, 1, _) => Some("ip protocol"),
        (12, 1..=4, _) => Some("ip saddr"),
        (16, 1..=4, _) => Some("ip daddr"),
        _ => None,
    }
}

fn transport_name(offset: u32, length: u32, protocol: Option<u8>) -> String {
    let field = match (offset, length, protocol) {
        (0, 1, Some(1 | 58)) => "type",
        (1, 1, Some(1 | 58)) => "code",
        (0, 2, _) => "sport",
        (2, 2, _) => "dport",
        (4, 4, Some(TCP)) => "sequence",
        (8, 4, Some(TCP)) => "ackseq",
        (13, 1, Some(TCP)) => "flags",
        (14, 2, Some(TCP)) => "window",
        (16, 2, Some(TCP)) => "checksum",
        (4, 2, Some(UDP)) => "length",
        _ => return format!("@th,{},{}", u64::from(offset) * 8, u64::from(length) * 8),
    };
    let header = protocol.and_then(protocol_name).unwrap_or("th");
    format!("{header} {field}")
}

/// The names of protocols that rules test (`/etc/protocols`).
pub(super) fn protocol_name(protocol: u8) -> Option<&'static str> {
    Some(match protocol {
        1 => "icmp",
        2 => "igmp",
        4 => "ipencap",
        6 => "tcp",
        17 => "udp",
        33 => "dccp",
        41 => "ipv6",
        47 => "gre",
        50 => "esp",
        51 => "ah",
        58 => "icmpv6",
        89 => "ospf",
        112 => "vrrp",
        132 => "sctp",
        136 => "udplite",
        _ => return None,
    })
}

/// The name of a field with what is done to it.
pub(super) fn part_name(part: &Part, context: Context) -> String {
    let name = field_name(part, context);
    if prefix_length(part).is_some()
        || part
            .operations
            .iter()
            .all(|one| matches!(one, Operation::Swap { .. }))
    {
        return name;
    }
    match only_mask(part) {
        Some(mask) => format!("{name} & {}", hexadecimal(mask, is_host_order(&part.field))),
        None => format!("{name} (computed)"),
    }
}

pub(super) fn field_name(part: &Part, context: Context) -> String {
    let name = match &part.field {
        Field::Payload { base, offset } => {
            return payload_name(
                *base,
                *offset,
                part.length,
                context.family,
                context.protocol,
            );
        }
        Field::Connection { key, direction } => return connection_name(*key, *direction),
        Field::Fib {
            destination,
            input_interface,
            result,
            ..
        } => return fib_name(*destination, *input_interface, *result),
        Field::Unknown { text, .. } | Field::Extension { text, .. } => {
            return Clean(text).to_string();
        }
        Field::Constant(bytes) => return hexadecimal(bytes, false),
        Field::NetworkFamily => "meta nfproto",
        Field::TransportProtocol => "meta l4proto",
        Field::EtherType => "meta protocol",
        Field::PacketLength => "meta length",
        Field::SegmentSize { present: true } => "tcp option maxseg",
        Field::SegmentSize { present: false } => "tcp option maxseg size",
        Field::Mark(Mark::Packet) => "meta mark",
        Field::Mark(Mark::Connection) => "ct mark",
        Field::PacketType => "meta pkttype",
        Field::InputInterface => "iif",
        Field::InputInterfaceName => "iifname",
        Field::InputInterfaceType => "iiftype",
        Field::InputInterfaceGroup => "iifgroup",
        Field::OutputInterface => "oif",
        Field::OutputInterfaceName => "oifname",
        Field::OutputInterfaceType => "oiftype",
        Field::OutputInterfaceGroup => "oifgroup",
        Field::ConnectionState => "ct state",
        Field::ConnectionStatus => "ct status",
        Field::ConnectionDirection => "ct direction",
    };
    String::from(name)
}

fn connection_name(key: ConnectionKey, direction: Option<u8>) -> String {
    let key = match key {
        ConnectionKey::SourceAddress => "saddr",
        ConnectionKey::DestinationAddress => "daddr",
        ConnectionKey::SourcePort => "proto-src",
        ConnectionKey::DestinationPort => "proto-dst",
        ConnectionKey::TransportProtocol => "protocol",
        ConnectionKey::NetworkFamily => "l3proto",
    };
    match direction {
        Some(0) => format!("ct original {key}"),
        Some(_) => format!("ct reply {key}"),
        None => format!("ct {key}"),
    }
}

fn fib_name(destination: bool, input_interface: bool, result: FibResult) -> String {
    let address = if destination { "daddr" } else { "saddr" };
    let interface = if input_interface { " . iif" } else { "" };
    let result = match result {
        FibResult::InterfaceIndex => "oif",
        FibResult::InterfaceName => "oifname",
        FibResult::AddressType => "type",
    };
    format!("fib {address}{interface} {result}")
}
