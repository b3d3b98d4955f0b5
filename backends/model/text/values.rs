//! Names of fields and the words for their values.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Clean, only_mask};
use crate::model::ruleset::{
    ConnectionKey, FibResult, Field, Mark, Operation, Operator, Part, PayloadBase, Statement, Test,
    Value,
};

const IPV4: u8 = 2; // NFPROTO_IPV4
const IPV6: u8 = 10; // NFPROTO_IPV6
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
fn protocol_name(protocol: u8) -> Option<&'static str> {
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
pub(super) fn part_name(part: &Part, context: &Context) -> String {
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

fn field_name(part: &Part, context: &Context) -> String {
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
        Field::Unknown { text, .. } => return Clean(text).to_string(),
        Field::Constant(bytes) => return hexadecimal(bytes, false),
        Field::NetworkFamily => "meta nfproto",
        Field::TransportProtocol => "meta l4proto",
        Field::EtherType => "meta protocol",
        Field::PacketLength => "meta length",
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

/// Whether the bytes of a field are a number in the host's order.
fn is_host_order(field: &Field) -> bool {
    matches!(
        field,
        Field::PacketLength
            | Field::Mark(_)
            | Field::InputInterface
            | Field::InputInterfaceType
            | Field::InputInterfaceGroup
            | Field::OutputInterface
            | Field::OutputInterfaceType
            | Field::OutputInterfaceGroup
            | Field::ConnectionState
            | Field::ConnectionStatus
            | Field::Fib { .. }
    )
}

/// A number of up to sixteen bytes.
fn number(bytes: &[u8], host_order: bool) -> u128 {
    let add = |sum: u128, byte: &u8| sum << 8 | u128::from(*byte);
    let bytes = bytes.get(..16).unwrap_or(bytes);
    if host_order && cfg!(target_endian = "little") {
        bytes.iter().rev().fold(0, add)
    } else {
        bytes.iter().fold(0, add)
    }
}

fn hexadecimal(bytes: &[u8], host_order: bool) -> String {
    format!("{:#x}", number(bytes, host_order))
}

/// The word for the bytes that a field is compared with.
pub(super) fn operand(part: &Part, data: &[u8], context: &Context) -> String {
    let swapped = matches!(part.operations.as_slice(), [.., Operation::Swap { .. }]);
    let plain = number(data, is_host_order(&part.field) != swapped);
    match &part.field {
        Field::InputInterfaceName | Field::OutputInterfaceName => interface_name(data),
        Field::TransportProtocol
        | Field::Connection {
            key: ConnectionKey::TransportProtocol,
            ..
        } => word(plain, data, protocol_name),
        Field::NetworkFamily
        | Field::Connection {
            key: ConnectionKey::NetworkFamily,
            ..
        } => word(plain, data, family_name),
        Field::EtherType => ether_type(data),
        Field::PacketType => word(plain, data, packet_type),
        Field::ConnectionDirection => word(plain, data, |byte| {
            Some(if byte == 0 { "original" } else { "reply" })
        }),
        Field::ConnectionState | Field::ConnectionStatus => {
            bit_names(plain, bits_of(&part.field), ",")
        }
        Field::Mark(_) => format!("{plain:#010x}"),
        Field::Fib { present: true, .. } => {
            String::from(if plain == 0 { "missing" } else { "exists" })
        }
        Field::Fib {
            result: FibResult::AddressType,
            ..
        } => address_type(plain),
        Field::Fib {
            result: FibResult::InterfaceName,
            ..
        } => interface_name(data),
        Field::Connection {
            key: ConnectionKey::SourceAddress | ConnectionKey::DestinationAddress,
            ..
        } => address(data, part),
        Field::Payload { .. } => payload_operand(part, data, plain, context),
        Field::Unknown { .. } | Field::Constant(_) => format!("{plain:#x}"),
        _ => plain.to_string(),
    }
}

/// Bytes of a header.
fn payload_operand(part: &Part, data: &[u8], plain: u128, context: &Context) -> String {
    let name = field_name(part, context);
    if name.starts_with("ip saddr")
        || name.starts_with("ip daddr")
        || name.starts_with("ip6 saddr")
        || name.starts_with("ip6 daddr")
    {
        return address(data, part);
    }
    match name.as_str() {
        "ip protocol" | "ip6 nexthdr" => word(plain, data, protocol_name),
        "ether saddr" | "ether daddr" => {
            let bytes: Vec<String> = data.iter().map(|byte| format!("{byte:02x}")).collect();
            bytes.join(":")
        }
        "ether type" => ether_type(data),
        name if name.starts_with('@') || name.ends_with("flags") => format!("{plain:#x}"),
        _ => plain.to_string(),
    }
}

/// A one-byte value by name, or as a number.
fn word(plain: u128, data: &[u8], name: impl Fn(u8) -> Option<&'static str>) -> String {
    let name = match data {
        [byte] => name(*byte),
        _ => None,
    };
    name.map_or_else(|| plain.to_string(), String::from)
}

fn family_name(family: u8) -> Option<&'static str> {
    match family {
        IPV4 => Some("ipv4"),
        IPV6 => Some("ipv6"),
        _ => None,
    }
}

fn packet_type(kind: u8) -> Option<&'static str> {
    match kind {
        0 => Some("host"),
        1 => Some("broadcast"),
        2 => Some("multicast"),
        3 => Some("other"),
        _ => None,
    }
}

fn ether_type(data: &[u8]) -> String {
    match data {
        [0x08, 0x00] => String::from("ip"),
        [0x86, 0xdd] => String::from("ip6"),
        [0x08, 0x06] => String::from("arp"),
        [0x81, 0x00] => String::from("vlan"),
        data => hexadecimal(data, false),
    }
}

/// Route types (`RTN_*`).
fn address_type(kind: u128) -> String {
    let names = [
        "unspec",
        "unicast",
        "local",
        "broadcast",
        "anycast",
        "multicast",
        "blackhole",
        "unreachable",
        "prohibit",
    ];
    let name = usize::try_from(kind).ok().and_then(|kind| names.get(kind));
    name.map_or_else(|| kind.to_string(), |name| String::from(*name))
}

/// An interface's name; without the closing NUL it is the beginning of a name.
fn interface_name(data: &[u8]) -> String {
    let end = data.iter().position(|byte| *byte == 0);
    let bytes = data.get(..end.unwrap_or(data.len())).unwrap_or_default();
    let star = if end.is_some() { "" } else { "*" };
    let text = String::from_utf8_lossy(bytes);
    format!("\"{}{star}\"", Clean(&text))
}

/// An address, or the prefix that its first bytes are or its mask leaves.
fn address(data: &[u8], part: &Part) -> String {
    let whole: usize = match &part.field {
        Field::Payload {
            offset: 12 | 16, ..
        } => 4,
        Field::Connection { .. } => {
            if part.length == 4 {
                4
            } else {
                16
            }
        }
        _ => 16,
    };
    let mut bytes = data.to_vec();
    bytes.resize(whole, 0);
    let text = if let Ok(bytes) = <[u8; 4]>::try_from(bytes.as_slice()) {
        Ipv4Addr::from(bytes).to_string()
    } else if let Ok(bytes) = <[u8; 16]>::try_from(bytes.as_slice()) {
        Ipv6Addr::from(bytes).to_string()
    } else {
        return hexadecimal(data, false);
    };
    match prefix_length(part) {
        Some(bits) if bits as usize == whole * 8 => text,
        Some(bits) => format!("{text}/{bits}"),
        None if data.len() < whole => format!("{text}/{}", data.len() * 8),
        None => text,
    }
}

/// The length of the prefix that a mask leaves of an address.
fn prefix_length(part: &Part) -> Option<u32> {
    let is_address = match part.field {
        Field::Payload {
            base: PayloadBase::Network,
            offset,
        } => {
            matches!((offset, part.length), (12 | 16, 1..=4) | (8 | 24, 2..=16))
        }
        Field::Connection {
            key: ConnectionKey::SourceAddress | ConnectionKey::DestinationAddress,
            ..
        } => true,
        _ => false,
    };
    let mask = only_mask(part).filter(|_| is_address)?;
    let bits: u32 = mask.iter().map(|byte| byte.leading_ones()).sum();
    let ones: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
    let first_bits = mask.iter().take_while(|byte| **byte == 0xff).count();
    let contiguous = bits == ones && mask.iter().skip(first_bits + 1).all(|byte| *byte == 0);
    contiguous.then_some(ones)
}

/// An interval of one field; an aligned one of addresses is a prefix.
pub(super) fn interval(part: &Part, first: &[u8], last: &[u8], context: &Context) -> String {
    let (low, high) = (operand(part, first, context), operand(part, last, context));
    if first == last {
        return low;
    }
    let size = number(last, false) ^ number(first, false);
    let aligned = size & size.wrapping_add(1) == 0 && number(first, false) & size == 0;
    let is_address = low.contains('.') || low.contains(':');
    if aligned && is_address {
        let bits = first.len() * 8 - size.count_ones() as usize;
        return format!("{low}/{bits}");
    }
    format!("{low}-{high}")
}

/// Tests that have words of their own: states, TCP flags, merged ports.
pub(super) fn special(value: &Value, test: &Test, context: &Context) -> Option<String> {
    let [part] = value.parts.as_slice() else {
        return None;
    };
    let Test::Compare { operator, data } = test else {
        return None;
    };
    let zero = data.iter().all(|byte| *byte == 0);
    match (&part.field, only_mask(part), operator) {
        (
            Field::ConnectionState | Field::ConnectionStatus,
            Some(mask),
            Operator::Equal | Operator::NotEqual,
        ) if zero => {
            let names = bit_names(number(mask, true), bits_of(&part.field), ",");
            let not = if *operator == Operator::Equal {
                "! "
            } else {
                ""
            };
            Some(format!("{} {not}{names}", field_name(part, context)))
        }
        (
            Field::ConnectionState | Field::ConnectionStatus,
            None,
            Operator::Equal | Operator::NotEqual,
        ) => {
            let names = bit_names(number(data, true), bits_of(&part.field), ",");
            let sign = if *operator == Operator::Equal {
                "=="
            } else {
                "!="
            };
            Some(format!("{} {sign} {names}", field_name(part, context)))
        }
        (
            Field::Payload {
                base: PayloadBase::Transport,
                offset: 13,
            },
            mask,
            Operator::Equal | Operator::NotEqual,
        ) if part.length == 1 => {
            let sign = if *operator == Operator::Equal {
                "=="
            } else {
                "!="
            };
            let flags = bit_names(number(data, false), &TCP_FLAGS, "|");
            Some(match mask {
                Some(mask) if zero => format!(
                    "tcp flags & ({}) {sign} 0",
                    bit_names(number(mask, false), &TCP_FLAGS, "|")
                ),
                Some(mask) => format!(
                    "tcp flags & ({}) {sign} {flags}",
                    bit_names(number(mask, false), &TCP_FLAGS, "|")
                ),
                None => format!("tcp flags {sign} {flags}"),
            })
        }
        (
            Field::Payload {
                base: PayloadBase::Transport,
                offset: 0,
            },
            None,
            Operator::Equal,
        ) => {
            let [s0, s1, d0, d1] = *<&[u8; 4]>::try_from(data.as_slice()).ok()?;
            let header = context.protocol.and_then(protocol_name).unwrap_or("th");
            let (source, destination) =
                (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
            Some(format!(
                "{header} sport {source} {header} dport {destination}"
            ))
        }
        _ => None,
    }
}

/// Bits of the TCP flags.
const TCP_FLAGS: [&str; 8] = ["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"];
/// Bits of `ct state`.
const STATES: [&str; 7] = [
    "invalid",
    "established",
    "related",
    "new",
    "",
    "",
    "untracked",
];
/// Bits of `ct status` (`IPS_*`).
const STATUSES: [&str; 10] = [
    "expected",
    "seen-reply",
    "assured",
    "confirmed",
    "snat",
    "dnat",
    "seq-adjust",
    "snat-done",
    "dnat-done",
    "dying",
];

fn bits_of(field: &Field) -> &'static [&'static str] {
    if *field == Field::ConnectionState {
        &STATES
    } else {
        &STATUSES
    }
}

/// The names of the bits that are set; a bit without a name makes it a number.
fn bit_names(bits: u128, names: &[&str], separator: &str) -> String {
    let mut rest = bits;
    let mut words = Vec::new();
    for (bit, name) in names.iter().enumerate() {
        if bits & (1 << bit) != 0 && !name.is_empty() {
            words.push(*name);
            rest &= !(1 << bit);
        }
    }
    if rest != 0 || words.is_empty() {
        return format!("{bits:#x}");
    }
    words.join(separator)
}
