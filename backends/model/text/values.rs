//! Words for the values of fields.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Clean;
use super::bytes::{hexadecimal, is_host_order, number, only_mask, prefix_length};
use super::names::{Context, IPV4, IPV6, field_name, protocol_name};
use crate::model::ruleset::{
    ConnectionKey, FibResult, Field, Operation, Operator, Part, PayloadBase, ROUTE_TYPES, Test,
    Value,
};

/// The word for the bytes that a field is compared with.
pub(super) fn operand(part: &Part, data: &[u8], context: Context) -> String {
    let swapped = matches!(part.operations.as_slice(), [.., Operation::Swap { .. }]);
    let plain = number(data, is_host_order(&part.field) != swapped);
    match &part.field {
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
        Field::Fib { present: true, .. }
        | Field::Extension { present: true, .. }
        | Field::SegmentSize { present: true } => {
            String::from(if plain == 0 { "missing" } else { "exists" })
        }
        Field::Fib {
            result: FibResult::AddressType,
            ..
        } => address_type(plain),
        Field::InputInterfaceName
        | Field::OutputInterfaceName
        | Field::Fib {
            result: FibResult::InterfaceName,
            ..
        } => interface_name(data),
        Field::Connection {
            key: ConnectionKey::SourceAddress | ConnectionKey::DestinationAddress,
            ..
        } => address(data, part),
        Field::Payload { .. } => payload_operand(part, data, plain, context),
        Field::Unknown { .. } | Field::Extension { .. } | Field::Constant(_) => {
            format!("{plain:#x}")
        }
        _ => plain.to_string(),
    }
}

/// Bytes of a header.
fn payload_operand(part: &Part, data: &[u8], plain: u128, context: Context) -> String {
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
    let name = usize::try_from(kind)
        .ok()
        .and_then(|kind| ROUTE_TYPES.get(kind));
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
        Field::Connection { .. } if part.length == 4 => 4,
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

/// An interval of one field; an aligned one of addresses is a prefix.
pub(super) fn interval(part: &Part, first: &[u8], last: &[u8], context: Context) -> String {
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
pub(super) fn special(value: &Value, test: &Test, context: Context) -> Option<String> {
    let [part] = value.parts.as_slice() else {
        return None;
    };
    let Test::Compare { operator, data } = test else {
        return None;
    };
    let sign = match operator {
        Operator::Equal => "==",
        Operator::NotEqual => "!=",
        _ => return None,
    };
    let equal = *operator == Operator::Equal;
    let zero = data.iter().all(|byte| *byte == 0);
    match (&part.field, only_mask(part)) {
        (Field::ConnectionState | Field::ConnectionStatus, Some(mask)) if zero => {
            let names = bit_names(number(mask, true), bits_of(&part.field), ",");
            let not = if equal { "! " } else { "" };
            Some(format!("{} {not}{names}", field_name(part, context)))
        }
        (Field::ConnectionState | Field::ConnectionStatus, None) => {
            let names = bit_names(number(data, true), bits_of(&part.field), ",");
            Some(format!("{} {sign} {names}", field_name(part, context)))
        }
        (
            Field::Payload {
                base: PayloadBase::Transport,
                offset: 13,
            },
            mask,
        ) if part.length == 1 => {
            let flags = |bytes: &[u8]| bit_names(number(bytes, false), &TCP_FLAGS, "|");
            let tested = mask.map_or_else(String::new, |mask| format!(" & ({})", flags(mask)));
            let wanted = if mask.is_some() && zero {
                "0".to_owned()
            } else {
                flags(data)
            };
            Some(format!("tcp flags{tested} {sign} {wanted}"))
        }
        (
            Field::Payload {
                base: PayloadBase::Transport,
                offset: 0,
            },
            None,
        ) if equal => {
            let [s0, s1, d0, d1] = *<&[u8; 4]>::try_from(data.as_slice()).ok()?;
            let header = context.transport();
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
