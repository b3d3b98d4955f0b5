//! Tables, chains, sets and their elements.

use super::effects::expression_uncertainty;
use super::{LIST_ELEMENT, constant, verdict};
use crate::model::ruleset::{
    BaseChain, Chain, ChainKind, Element, ElementKey, Elements, Filter, Hook, Policy, Set, Table,
    TableFamily, Uncertainty,
};
use crate::netfilter::attributes::{Attributes, attributes, text};
use crate::netfilter::body::SetHeader;

// enum nft_table_flags
const TABLE_DORMANT: u32 = 0x1; // NFT_TABLE_F_DORMANT
const TABLE_OWNER: u32 = 0x2; // NFT_TABLE_F_OWNER

// enum nft_set_flags
const SET_ANONYMOUS: u32 = 0x1; // NFT_SET_ANONYMOUS
const SET_INTERVAL: u32 = 0x4; // NFT_SET_INTERVAL
const SET_MAP: u32 = 0x8; // NFT_SET_MAP
/// The data type of verdicts (`NFT_DATA_VERDICT`).
const TYPE_VERDICT: u32 = 0xffff_ff00;

// enum nft_set_elem_flags
const ELEMENT_INTERVAL_END: u32 = 0x1; // NFT_SET_ELEM_INTERVAL_END
const ELEMENT_CATCH_ALL: u32 = 0x2; // NFT_SET_ELEM_CATCHALL

/// The family of a table by the kernel's number; `None` for arp, which no IP packet meets.
pub(in crate::netfilter) fn family(number: u8) -> Option<TableFamily> {
    match number {
        1 => Some(TableFamily::Inet),   // NFPROTO_INET
        2 => Some(TableFamily::Ip),     // NFPROTO_IPV4
        5 => Some(TableFamily::Netdev), // NFPROTO_NETDEV
        7 => Some(TableFamily::Bridge), // NFPROTO_BRIDGE
        10 => Some(TableFamily::Ip6),   // NFPROTO_IPV6
        _ => None,
    }
}

/// The kernel's number of a family.
pub(in crate::netfilter) fn family_number(family: TableFamily) -> u8 {
    match family {
        TableFamily::Inet => 1,
        TableFamily::Ip => 2,
        TableFamily::Netdev => 5,
        TableFamily::Bridge => 7,
        TableFamily::Ip6 => 10,
    }
}

/// A table without its chains and sets.
pub(in crate::netfilter) fn table(family: TableFamily, message: &[u8]) -> Option<Table> {
    // NFTA_TABLE_NAME = 1, NFTA_TABLE_FLAGS = 2
    let message = Attributes::new(message);
    let flags = message.number(2).unwrap_or_default();
    Some(Table {
        family,
        name: message.text(1)?,
        filter: Filter::Nftables,
        owned: flags & TABLE_OWNER != 0,
        dormant: flags & TABLE_DORMANT != 0,
        chains: Vec::new(),
        sets: Vec::new(),
    })
}

/// The name of a chain's table, and the chain without its rules. A base chain whose hook, type or policy is unknown to
/// this decoder is an error, since nothing could be said about any packet.
pub(in crate::netfilter) fn chain(
    family: TableFamily,
    message: &[u8],
) -> Option<(String, Result<Chain, String>)> {
    // NFTA_CHAIN_TABLE = 1, _HANDLE = 2, _NAME = 3, _HOOK = 4
    let message = Attributes::new(message);
    let (table, name) = (message.text(1)?, message.text(3)?);
    let base = match message.nest(4) {
        None => None,
        Some(hook) => match base_chain(family, &message, &hook) {
            Some(base) => Some(base),
            None => return Some((table, Err(name))),
        },
    };
    let chain = Chain {
        handle: message.long(2).unwrap_or_default(),
        name,
        base,
        rules: None,
    };
    Some((table, Ok(chain)))
}

/// Where a base chain is attached.
fn base_chain(
    family: TableFamily,
    message: &Attributes<'_>,
    hook: &Attributes<'_>,
) -> Option<BaseChain> {
    // NFTA_HOOK_HOOKNUM = 1, _PRIORITY = 2, _DEV = 3, _DEVS = 4; NFTA_CHAIN_POLICY = 5, NFTA_CHAIN_TYPE = 7
    let kind = match message.text(7)?.as_str() {
        "filter" => ChainKind::Filter,
        "nat" => ChainKind::Nat,
        "route" => ChainKind::Route,
        _ => return None,
    };
    let policy = match message.number(5)? {
        0 => Policy::Drop,   // NF_DROP
        1 => Policy::Accept, // NF_ACCEPT
        _ => return None,
    };
    // The list names every device, the single attribute only the first of them.
    let devices = match (hook.get(4), hook.get(3)) {
        (Some(list), _) => attributes(list).map(device).collect(),
        (None, one) => one.map(text).into_iter().collect(),
    };
    Some(BaseChain {
        kind,
        hook: hook_of(family, hook.number(1)?)?,
        priority: hook.number(2)?.cast_signed(),
        policy,
        devices,
    })
}

/// A device of a chain: its name, or the first letters of several names (`NFTA_DEVICE_PREFIX`) and a star.
fn device((kind, name): (u16, &[u8])) -> String {
    let star = if kind == 2 { "*" } else { "" };
    text(name) + star
}

/// The hook by the kernel's number: `NF_INET_*`, in netdev tables `NF_NETDEV_*`; `NF_BR_*` are those of `NF_INET_*`.
fn hook_of(family: TableFamily, number: u32) -> Option<Hook> {
    match (family, number) {
        (TableFamily::Netdev, 0) => Some(Hook::Ingress), // NF_NETDEV_INGRESS
        (TableFamily::Netdev, 1) => Some(Hook::Egress),  // NF_NETDEV_EGRESS
        (TableFamily::Netdev, _) => None,
        (_, 0) => Some(Hook::Prerouting),
        (_, 1) => Some(Hook::Input),
        (_, 2) => Some(Hook::Forward),
        (_, 3) => Some(Hook::Output),
        (_, 4) => Some(Hook::Postrouting),
        (_, 5) => Some(Hook::Ingress), // NF_INET_INGRESS
        _ => None,
    }
}

/// The name of a set's table, and the set without its elements.
pub(in crate::netfilter) fn set(message: &[u8]) -> Option<(String, Set, SetHeader)> {
    // NFTA_SET_TABLE = 1, _NAME = 2, _FLAGS = 3, _KEY_LEN = 5, _DATA_TYPE = 6, _DATA_LEN = 7, _DESC = 9,
    // _OBJ_TYPE = 15, _EXPR = 17, _EXPRESSIONS = 18
    let message = Attributes::new(message);
    let flags = message.number(3).unwrap_or_default();
    let key_length = message.number(5)?;
    let concatenation = message.nest(9).and_then(|description| description.get(2)); // NFTA_SET_DESC_CONCAT
    let mut key_fields: Vec<u32> = concatenation
        .into_iter()
        .flat_map(attributes)
        .filter_map(|(_, field)| Attributes::new(field).number(1)) // NFTA_SET_FIELD_LEN
        .collect();
    if key_fields.is_empty() {
        key_fields.push(key_length);
    }
    let list = message
        .get(18)
        .into_iter()
        .flat_map(attributes)
        .map(|(_, expression)| expression);
    let header = SetHeader {
        key_length,
        data_length: message.number(7).unwrap_or_default(),
        object: message.number(15).unwrap_or_default(),
        interval: flags & SET_INTERVAL != 0,
        uncertainty: message
            .get(17)
            .into_iter()
            .chain(list)
            .filter_map(expression_uncertainty)
            .max(),
    };
    let set = Set {
        name: message.text(2)?,
        anonymous: flags & SET_ANONYMOUS != 0,
        verdict_map: flags & SET_MAP != 0 && message.number(6) == Some(TYPE_VERDICT),
        key_fields,
        elements: Elements::NotRead,
        outside: None,
    };
    Some((message.text(1)?, set, header))
}

/// An element as the kernel sends it.
#[derive(Debug)]
pub(in crate::netfilter) struct RawElement {
    key: Vec<u8>,
    end: Option<Vec<u8>>,
    flags: u32,
    element: Element,
}

/// Decodes the elements of one message (`NFTA_SET_ELEM_LIST_ELEMENTS`).
pub(in crate::netfilter) fn elements(message: &[u8], into: &mut Vec<RawElement>) {
    let list = Attributes::new(message).get(3).unwrap_or_default();
    for (kind, element) in attributes(list) {
        if kind == LIST_ELEMENT {
            into.push(raw_element(&Attributes::new(element)));
        }
    }
}

/// Decodes one element. A verdict that is not understood makes it uncertain, not absent.
fn raw_element(element: &Attributes<'_>) -> RawElement {
    // NFTA_SET_ELEM_KEY = 1, _DATA = 2, _FLAGS = 3, _EXPIRATION = 5, _EXPR = 7, _KEY_END = 10, _EXPRESSIONS = 11
    let list = element
        .get(11)
        .into_iter()
        .flat_map(attributes)
        .map(|(_, expression)| expression);
    let uncertainty = element
        .get(7)
        .into_iter()
        .chain(list)
        .filter_map(expression_uncertainty)
        .max();
    let data = element.nest(2);
    let is_verdict = data
        .as_ref()
        .is_some_and(|data| data.get(super::DATA_VERDICT).is_some());
    let verdict = data.as_ref().and_then(verdict);
    let not_understood = (is_verdict && verdict.is_none()).then_some(Uncertainty::NotDecoded);
    let expires = element.get(5).map(|_| Uncertainty::Other);
    RawElement {
        key: constant(element, 1).unwrap_or_default().to_vec(),
        end: constant(element, 10).map(<[u8]>::to_vec),
        flags: element.number(3).unwrap_or_default(),
        element: Element {
            key: ElementKey::CatchAll,
            verdict,
            uncertainty: uncertainty.max(expires).max(not_understood),
        },
    }
}

/// The elements in the model's form. The kernel sends an interval as its first key and, as an element of its own, the
/// first key behind it; the last interval may lack that one.
pub(in crate::netfilter) fn normalise(mut raw: Vec<RawElement>, interval: bool) -> Vec<Element> {
    if interval && raw.iter().all(|element| element.end.is_none()) {
        // An end comes before a start of the same key: the intervals touch.
        raw.sort_by(|one, other| {
            let order = |element: &RawElement| element.flags & ELEMENT_INTERVAL_END == 0;
            one.key.cmp(&other.key).then(order(one).cmp(&order(other)))
        });
        return intervals(raw);
    }
    let mut elements = Vec::with_capacity(raw.len());
    for mut element in raw {
        element.element.key = match element.end {
            _ if element.flags & ELEMENT_CATCH_ALL != 0 => ElementKey::CatchAll,
            Some(end) if end != element.key => ElementKey::Range(element.key, end),
            _ => ElementKey::Single(element.key),
        };
        elements.push(element.element);
    }
    elements
}

/// Joins the sorted ends of intervals.
fn intervals(raw: Vec<RawElement>) -> Vec<Element> {
    let mut elements = Vec::with_capacity(raw.len().div_ceil(2));
    let mut open: Option<RawElement> = None;
    let mut close = |open: Option<RawElement>, next: Option<&[u8]>| {
        if let Some(mut start) = open {
            let last = next.map_or_else(|| vec![0xff; start.key.len()], before);
            start.element.key = if last == start.key {
                ElementKey::Single(last)
            } else {
                ElementKey::Range(start.key, last)
            };
            elements.push(start.element);
        }
    };
    let mut catch_all = None;
    for element in raw {
        if element.flags & ELEMENT_CATCH_ALL != 0 {
            catch_all = Some(element.element);
            continue;
        }
        close(open.take(), Some(&element.key));
        open = (element.flags & ELEMENT_INTERVAL_END == 0).then_some(element);
    }
    close(open, None);
    elements.extend(catch_all);
    elements
}

/// The number before, of the same length, most significant byte first.
fn before(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for byte in bytes.iter_mut().rev() {
        let (value, borrowed) = byte.overflowing_sub(1);
        *byte = value;
        if !borrowed {
            break;
        }
    }
    bytes
}
