//! Port tests of iptables: `tcp`, `udp`, `multiport`.

use super::Info;
use super::sizes::tcp_option;
use crate::model::ruleset::{
    Element, ElementKey, Elements, Field, Operator, PayloadBase, Set, Statement, Test, Value,
};
use crate::netfilter::body::{Body, masked};

/// Where the ports stand in a TCP or UDP header.
const SOURCE: u32 = 0;
const DESTINATION: u32 = 2;
/// Where the flags stand in a TCP header.
const FLAGS: u32 = 13;

/// A port of the packet's header.
fn port(offset: u32) -> Value {
    let base = PayloadBase::Transport;
    Value::field(Field::Payload { base, offset }, 2)
}

/// The test of a two-byte number in network byte order against an interval.
pub(super) fn interval(first: u16, last: u16, negated: bool) -> Test {
    let (data, last) = (first.to_be_bytes().to_vec(), last.to_be_bytes().to_vec());
    match (data == last, negated) {
        (true, false) => Test::Compare {
            operator: Operator::Equal,
            data,
        },
        (true, true) => Test::Compare {
            operator: Operator::NotEqual,
            data,
        },
        (false, negated) => Test::Range {
            negated,
            first: data,
            last,
        },
    }
}

/// `struct xt_tcp`.
pub(super) fn tcp(body: &mut Body<'_>, info: Info<'_>) -> Option<()> {
    let (option, mask, compare) = (info.byte(8)?, info.byte(9)?, info.byte(10)?);
    let inverted = info.byte(11)?;
    port_pair(body, info, inverted)?;
    if mask != 0 || inverted & 4 != 0 {
        // XT_TCP_INV_FLAGS
        let operator = if inverted & 4 == 0 {
            Operator::Equal
        } else {
            Operator::NotEqual
        };
        let field = Field::Payload {
            base: PayloadBase::Transport,
            offset: FLAGS,
        };
        let data = vec![compare];
        body.test(
            masked(field, 1, vec![mask]),
            Test::Compare { operator, data },
        );
    }
    if option != 0 {
        // XT_TCP_INV_OPTION
        tcp_option(body, option, inverted & 8 != 0);
    }
    Some(())
}

/// `struct xt_udp`.
pub(super) fn udp(body: &mut Body<'_>, info: Info<'_>) -> Option<()> {
    let inverted = info.byte(8)?;
    port_pair(body, info, inverted)
}

/// The source and destination ports that `xt_tcp` and `xt_udp` begin with (`XT_TCP_INV_SRCPT`, `XT_TCP_INV_DSTPT`).
fn port_pair(body: &mut Body<'_>, info: Info<'_>, inverted: u8) -> Option<()> {
    for (at, offset, flag) in [(0, SOURCE, 1), (4, DESTINATION, 2)] {
        let (first, last) = (info.short(at)?, info.short(at + 2)?);
        let negated = inverted & flag != 0;
        if (first, last) != (0, u16::MAX) || negated {
            body.test(port(offset), interval(first, last, negated));
        }
    }
    Some(())
}

/// `struct xt_multiport` (revision 0), `struct xt_multiport_v1`.
pub(super) fn multiport(body: &mut Body<'_>, info: Info<'_>, revision: u32) -> Option<()> {
    let (direction, count) = (info.byte(0)?, usize::from(info.byte(1)?));
    let mut ranges = Vec::with_capacity(count);
    let mut index = 0;
    while index < count.min(15) {
        let first = info.short(2 + 2 * index)?;
        // A port whose flag is set is the first of a range, the next one its last.
        let is_range = revision > 0 && info.byte(32 + index)? != 0;
        if is_range {
            index += 1;
        }
        ranges.push((first, info.short(2 + 2 * index)?));
        index += 1;
    }
    let negated = revision > 0 && info.byte(47)? != 0;
    match direction {
        0 => {
            // XT_MULTIPORT_SOURCE
            let statement = port_list(body, SOURCE, &ranges, negated);
            body.statements.push(statement);
        }
        1 => {
            // XT_MULTIPORT_DESTINATION
            let statement = port_list(body, DESTINATION, &ranges, negated);
            body.statements.push(statement);
        }
        2 => {
            // XT_MULTIPORT_EITHER
            let destination = port_list(body, DESTINATION, &ranges, negated);
            let source = port_list(body, SOURCE, &ranges, negated);
            if negated {
                body.statements.extend([destination, source]);
            } else {
                body.either(destination, source)?;
            }
        }
        _ => return None,
    }
    Some(())
}

/// Whether a port is in a list.
fn port_list(body: &mut Body<'_>, offset: u32, ranges: &[(u16, u16)], negated: bool) -> Statement {
    if let [(first, last)] = *ranges {
        return Statement::Match {
            value: port(offset),
            test: interval(first, last, negated),
        };
    }
    let mut elements = Vec::with_capacity(ranges.len());
    let mut words = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        let (key, end) = (first.to_be_bytes().to_vec(), last.to_be_bytes().to_vec());
        if first == last {
            words.push(first.to_string());
            elements.push(ElementKey::Single(key));
        } else {
            words.push(format!("{first}-{last}"));
            elements.push(ElementKey::Range(key, end));
        }
    }
    let set = made_set(format!("{{ {} }}", words.join(", ")), 2, elements);
    body.lookup_made(port(offset), set, negated)
}

/// A set that stands for a list in a match; its name is the list itself.
pub(super) fn made_set(name: String, length: u32, keys: Vec<ElementKey>) -> Set {
    let element = |key| Element {
        key,
        verdict: None,
        uncertainty: None,
    };
    Set {
        name,
        anonymous: true,
        verdict_map: false,
        key_fields: vec![length],
        elements: Elements::Read(keys.into_iter().map(element).collect()),
        outside: None,
    }
}
