//! What the elements of an ipset stand for.

use std::sync::Arc;

use super::{EXCEPTION, Header, expires};
use crate::model::ruleset::{
    Element, ElementKey, Field, Mark, Part, PayloadBase, TableFamily, Uncertainty, Value,
};
use crate::netfilter::attributes::{Attributes, text};
use crate::netfilter::xtables::matches::address;

/// `IPPROTO_TCP`.
const TCP: u8 = 6;

/// One of the fields of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dimension {
    Address,
    Port,
    Interface,
    Hardware,
    Mark,
}

/// The fields of the elements of a type such as `hash:net,port`; `None` for one that is not known.
pub(super) fn fields(kind: &str) -> Option<Vec<Dimension>> {
    let (_, fields) = kind.split_once(':')?;
    let field = |field| match field {
        "ip" | "net" => Some(Dimension::Address),
        "port" => Some(Dimension::Port),
        "iface" => Some(Dimension::Interface),
        "mac" => Some(Dimension::Hardware),
        "mark" => Some(Dimension::Mark),
        _ => None,
    };
    fields.split(',').map(field).collect()
}

/// What of a packet is looked up in the set.
pub(super) fn shape(family: TableFamily, header: &Header, sources: &[bool]) -> Option<Value> {
    let fields = fields(&header.kind)?;
    if header.odd || header.prefix.is_some() && fields.len() > 1 {
        return None;
    }
    let payload = |base, offset, length| (Field::Payload { base, offset }, length);
    let mut parts = Vec::new();
    for (field, source) in fields.iter().zip(sources) {
        let (field, length) = match (field, source) {
            (Dimension::Address, source) => {
                parts.extend(address(family, !source)?.parts.iter().cloned());
                continue;
            }
            (Dimension::Port, true) => payload(PayloadBase::Transport, 0, 2),
            (Dimension::Port, false) => payload(PayloadBase::Transport, 2, 2),
            (Dimension::Hardware, true) => payload(PayloadBase::Link, 6, 6),
            (Dimension::Hardware, false) => payload(PayloadBase::Link, 0, 6),
            (Dimension::Interface, true) => (Field::InputInterfaceName, 16),
            (Dimension::Interface, false) => (Field::OutputInterfaceName, 16),
            (Dimension::Mark, _) => (Field::Mark(Mark::Packet), 4),
        };
        parts.push(Part {
            field,
            length,
            operations: Vec::new(),
        });
    }
    let parts = Arc::new(parts);
    Some(Value { parts })
}

/// The values that an element stands for: of each field the first and the last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    /// It is gone after a while.
    expires: bool,
    first: Vec<u8>,
    last: Vec<u8>,
    /// Nothing of it is in the set (`nomatch`).
    pub(super) exception: bool,
}

/// Decodes an element, unless it is of another protocol than TCP; `None` where it is not understood.
pub(super) fn entry(header: &Header, data: &Attributes<'_>, into: &mut Vec<Entry>) -> Option<()> {
    // IPSET_ATTR_PROTO = 7, _CADT_FLAGS = 8
    let protocol = data.get(7).and_then(|bytes| bytes.first());
    if protocol.is_some_and(|protocol| *protocol != TCP) {
        return Some(());
    }
    let flags = data.number(8).unwrap_or_default();
    let mut entry = Entry {
        expires: header.expires || expires(data),
        first: Vec::new(),
        last: Vec::new(),
        exception: flags & EXCEPTION != 0,
    };
    let mut addresses = [(1, 2, 3), (20, 22, 21)].into_iter(); // IPSET_ATTR_IP, _IP_TO, _CIDR; _IP2, _IP2_TO, _CIDR2
    let fields = fields(&header.kind)?;
    for field in &fields {
        let (first, last) = match field {
            Dimension::Address => {
                let (first, last, prefix) = addresses.next()?;
                network(
                    data,
                    (first, last),
                    data.get(prefix)
                        .and_then(|bytes| bytes.first())
                        .copied()
                        .or(header.prefix),
                )?
            }
            Dimension::Port => {
                // IPSET_ATTR_PORT, _PORT_TO
                let first: [u8; 2] = *data.get(4)?.first_chunk()?;
                let last = data.get(5).and_then(|bytes| bytes.first_chunk());
                (first.to_vec(), last.unwrap_or(&first).to_vec())
            }
            Dimension::Hardware => {
                let address: [u8; 6] = *data.get(17)?.first_chunk()?; // IPSET_ATTR_ETHER
                (address.to_vec(), address.to_vec())
            }
            Dimension::Interface => interface(data, flags)?,
            Dimension::Mark => {
                let mark = data.number(10)?.to_ne_bytes().to_vec(); // IPSET_ATTR_MARK
                (mark.clone(), mark)
            }
        };
        for (all, more) in [(&mut entry.first, first), (&mut entry.last, last)] {
            all.extend(more);
            if fields.len() > 1 {
                all.resize(all.len().next_multiple_of(4), 0);
            }
        }
    }
    into.push(entry);
    Some(())
}

/// The first and the last address of an element.
fn network(
    data: &Attributes<'_>,
    (first, last): (u16, u16),
    prefix: Option<u8>,
) -> Option<(Vec<u8>, Vec<u8>)> {
    // IPSET_ATTR_IPADDR_IPV4 = 1, IPSET_ATTR_IPADDR_IPV6 = 2
    let bytes = |kind| {
        let nest = data.nest(kind)?;
        let address = nest.get(1).or_else(|| nest.get(2))?;
        [4, 16].contains(&address.len()).then(|| address.to_vec())
    };
    let from = bytes(first)?;
    let to = match (bytes(last), prefix) {
        (Some(to), _) => to,
        (None, None) => from.clone(),
        (None, Some(prefix)) => {
            let bits = |index: usize| usize::from(prefix).saturating_sub(8 * index).min(8);
            let rest = |(index, byte): (usize, &u8)| {
                byte | 0xff_u8.checked_shr(bits(index) as u32).unwrap_or(0)
            };
            from.iter().enumerate().map(rest).collect()
        }
    };
    Some((from, to))
}

/// The names of the interfaces that an element stands for; `None` for those of a bridge's ports.
fn interface(data: &Attributes<'_>, flags: u32) -> Option<(Vec<u8>, Vec<u8>)> {
    // IPSET_FLAG_PHYSDEV, IPSET_FLAG_IFACE_WILDCARD
    if flags & 1 << 1 != 0 {
        return None;
    }
    let name = text(data.get(23)?); // IPSET_ATTR_IFACE
    let padded = |with: u8| {
        let mut bytes = name.as_bytes().to_vec();
        bytes.resize(16, with);
        bytes
    };
    let wildcard = flags & 1 << 7 != 0;
    Some((padded(0), padded(if wildcard { 0xff } else { 0 })))
}

/// The elements in the model's form; single numbers and networks that touch become one: a set of ports may hold all of
/// them.
pub(super) fn merged(mut entries: Vec<Entry>) -> Vec<Element> {
    entries.sort_unstable();
    let mut joined: Vec<Entry> = Vec::with_capacity(entries.len());
    for entry in entries {
        match joined.last_mut() {
            Some(before)
                if before.expires == entry.expires && touch(&before.last, &entry.first) =>
            {
                before.last = before.last.clone().max(entry.last);
            }
            _ => joined.push(entry),
        }
    }
    let element = |entry: Entry| Element {
        key: if entry.first == entry.last {
            ElementKey::Single(entry.first)
        } else {
            ElementKey::Range(entry.first, entry.last)
        },
        verdict: None,
        uncertainty: entry.expires.then_some(Uncertainty::Other),
    };
    joined.into_iter().map(element).collect()
}

/// Whether a number is at most the one behind another; only of one port or address.
fn touch(last: &[u8], first: &[u8]) -> bool {
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0_u128, |sum, byte| sum << 8 | u128::from(*byte))
    };
    matches!(last.len(), 2 | 4 | 16) && number(first) <= number(last).saturating_add(1)
}
