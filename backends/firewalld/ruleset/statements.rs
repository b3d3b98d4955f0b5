//! Matches and verdicts in the model's terms.

use std::sync::Arc;

use std::net::IpAddr;

use crate::firewalld::config::{ForwardPort, Network};
use crate::model::ports::PortRange;
use crate::model::reach::Family;
use crate::model::ruleset::{
    Field, Nat, NatKind, Operation, Operator, Part, PayloadBase, Statement, Test, Uncertainty,
    Value, Verdict,
};

const TCP: u8 = 6;
/// An interface's name has as many bytes, with NUL behind it.
const NAME_LENGTH: usize = 16;
/// Where the addresses start in the headers, source and destination.
const IPV4_ADDRESSES: (u32, u32) = (12, 16);
const IPV6_ADDRESSES: (u32, u32) = (8, 24);
/// The source address of an Ethernet header.
const MAC_SOURCE: u32 = 6;
/// `ARPHRD_ETHER`
const ETHERNET: u16 = 1;

/// Which end of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Source,
    Destination,
}

pub(super) fn verdict(verdict: Verdict) -> Statement {
    Statement::Verdict(verdict)
}

pub(super) fn jump(chain: String) -> Statement {
    verdict(Verdict::Jump(chain))
}

pub(super) fn goto(chain: String) -> Statement {
    verdict(Verdict::Goto(chain))
}

/// Something that may or may not hold, and is not understood.
pub(super) fn perhaps(text: String) -> Statement {
    Statement::Condition {
        uncertainty: Uncertainty::NotDecoded,
        text,
    }
}

/// Any of the bits is set.
pub(super) fn any_bit(field: Field, bits: u32) -> Statement {
    let mask = bits.to_ne_bytes().to_vec();
    let operation = Operation::Bitwise {
        mask,
        xor: vec![0; 4],
    };
    Statement::Match {
        value: masked(field, 4, vec![operation]),
        test: Test::Compare {
            operator: Operator::NotEqual,
            data: vec![0; 4],
        },
    }
}

fn masked(field: Field, length: u32, operations: Vec<Operation>) -> Value {
    Value {
        parts: vec![Part {
            field,
            length,
            operations,
        }]
        .into(),
    }
}

fn compare(value: Value, equal: bool, data: Vec<u8>) -> Statement {
    let operator = if equal {
        Operator::Equal
    } else {
        Operator::NotEqual
    };
    Statement::Match {
        value,
        test: Test::Compare { operator, data },
    }
}

/// `meta nfproto ipv4`
pub(super) fn family(family: Family) -> Statement {
    let number = match family {
        Family::Ipv4 => 2,
        Family::Ipv6 => 10,
    };
    compare(Value::field(Field::NetworkFamily, 1), true, vec![number])
}

/// `meta l4proto tcp`
pub(super) fn tcp() -> Statement {
    compare(Value::field(Field::TransportProtocol, 1), true, vec![TCP])
}

/// `tcp dport 21`, `tcp sport 1024-2000`
pub(super) fn ports(end: End, range: PortRange) -> Vec<Statement> {
    let base = PayloadBase::Transport;
    let offset = match end {
        End::Source => 0,
        End::Destination => 2,
    };
    let value = Value::field(Field::Payload { base, offset }, 2);
    let (first, last) = (
        range.first().to_be_bytes().to_vec(),
        range.last().to_be_bytes().to_vec(),
    );
    let test = if first == last {
        compare(value, true, first)
    } else {
        let test = Test::Range {
            negated: false,
            first,
            last,
        };
        Statement::Match { value, test }
    };
    vec![tcp(), test]
}

/// An address in the packet.
pub(super) fn address(end: End, family: Family) -> Value {
    let ((source, destination), length) = match family {
        Family::Ipv4 => (IPV4_ADDRESSES, 4),
        Family::Ipv6 => (IPV6_ADDRESSES, 16),
    };
    let base = PayloadBase::Network;
    let offset = match end {
        End::Source => source,
        End::Destination => destination,
    };
    Value::field(Field::Payload { base, offset }, length)
}

/// `ip saddr 192.0.2.0/24`
pub(super) fn network(end: End, network: &Network, inverted: bool) -> Statement {
    let mut value = address(end, network.family);
    let mask = network.mask();
    if mask.iter().any(|byte| *byte != 0xff)
        && let Some(part) = Arc::make_mut(&mut value.parts).first_mut()
    {
        let xor = vec![0; mask.len()];
        part.operations.push(Operation::Bitwise { mask, xor });
    }
    compare(value, !inverted, network.address.clone())
}

/// A hardware address; only Ethernet has one.
pub(super) fn mac(address: [u8; 6], inverted: bool) -> Vec<Statement> {
    let ethernet = compare(
        Value::field(Field::InputInterfaceType, 2),
        true,
        ETHERNET.to_ne_bytes().to_vec(),
    );
    let field = Field::Payload {
        base: PayloadBase::Link,
        offset: MAC_SOURCE,
    };
    let value = Value::field(field, 6);
    vec![ethernet, compare(value, !inverted, address.to_vec())]
}

/// `iifname eth0`; `eth+` for all that begin so, `+` for all.
pub(super) fn interface(name: &str) -> Option<Statement> {
    let data = match name.strip_suffix('+') {
        Some("") => return None,
        Some(prefix) => prefix.as_bytes().to_vec(),
        None => {
            let mut padded = name.as_bytes().to_vec();
            padded.resize(NAME_LENGTH.max(padded.len()), 0);
            padded
        }
    };
    let length = data.len() as u32;
    Some(compare(
        Value::field(Field::InputInterfaceName, length),
        true,
        data,
    ))
}

/// Where a port is forwarded to.
pub(super) fn forward(port: &ForwardPort, family: Family) -> Statement {
    let target = |address: Option<IpAddr>, ports: Option<PortRange>| {
        let address = address.map(|address| match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) if ports.is_some() => format!("[{address}]"),
            IpAddr::V6(address) => address.to_string(),
        });
        let ports = ports.map(|ports| format!(":{ports}"));
        address.unwrap_or_default() + &ports.unwrap_or_default()
    };
    let (kind, word) = match port.to_address {
        Some(_) => (NatKind::Dnat, "dnat"),
        None => (NatKind::Redirect, "redirect"),
    };
    Statement::Nat(Nat {
        kind,
        family: Some(family),
        address: port.to_address,
        sets_address: port.to_address.is_some(),
        ports: port.to_ports.map(|ports| (ports.first(), ports.last())),
        sets_port: port.to_ports.is_some(),
        text: format!("{word} to {}", target(port.to_address, port.to_ports)),
    })
}
