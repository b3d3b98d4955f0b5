//! Edits as one atomic batch of netlink messages.
//!
//! rustables builds the messages. It knows neither insertion before a rule, nor the generation guard, nor `fib`, so
//! the bytes that it yields are patched.

use rustables::expr::VerdictKind;
use rustables::expr::{
    Cmp, CmpOp, HighLevelPayload, Immediate, Meta, MetaType, TCPHeaderField, TransportHeaderField,
};
use rustables::{Batch, Chain, MsgType, ProtocolFamily, Rule, Table};

use crate::error::{Error, ErrorKind, Result};
use crate::model::ports::PortRange;
use crate::model::ruleset::TableFamily;
use crate::netfilter::attributes::{attributes, put, put_nest, put_text};
use crate::proof::place::MARK;

/// TCP in an IP header (`IPPROTO_TCP`).
const PROTOCOL_TCP: u8 = 6;

/// `struct nlmsghdr`, and behind it `struct nfgenmsg`.
const MESSAGE_HEADER: usize = 16;
const BODY: usize = MESSAGE_HEADER + 4;
const ATTRIBUTE_HEADER: usize = 4;

const BATCH_BEGIN: u16 = 0x10; // NFNL_MSG_BATCH_BEGIN
const NEW_RULE: u16 = 0x0a06; // NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE
const FLAG_APPEND: u16 = 0x800; // NLM_F_APPEND
const BATCH_GENERATION: u16 = 1; // NFNL_BATCH_GENID
const RULE_EXPRESSIONS: u16 = 4; // NFTA_RULE_EXPRESSIONS
const ATTRIBUTE_KIND: u16 = 0x3fff; // NLA_TYPE_MASK
const LIST_ELEMENT: u16 = 1; // NFTA_LIST_ELEM

/// One edit of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new rule that accepts TCP connections to ports, marked with the comment [`MARK`].
    Insert {
        /// The table's family.
        family: TableFamily,
        /// The table.
        table: String,
        /// The chain.
        chain: String,
        /// The handle of the rule to stand before; `None`: at the end of the chain.
        before: Option<u64>,
        /// The ports.
        ports: PortRange,
        /// Accepts only what is addressed to the host itself, for chains that forwarded packets meet too.
        local_only: bool,
        /// The table is one of iptables', so the rule has to be of a form that iptables shows: a single `fib` makes it
        /// refuse the whole chain.
        iptables: bool,
    },
    /// A rule goes away.
    Delete {
        /// The table's family.
        family: TableFamily,
        /// The table.
        table: String,
        /// The chain.
        chain: String,
        /// The rule's handle.
        handle: u64,
    },
}

/// Encodes edits as a batch for `Socket::send_batch`. The kernel takes it only while the ruleset is of that generation.
///
/// # Errors
///
/// `Protocol` when rustables' messages are not of the form that is patched.
pub fn encode(changes: &[Change], generation: u32) -> Result<Vec<u8>> {
    let mut batch = Batch::new();
    for change in changes {
        match change {
            Change::Insert { .. } => batch.add(&rule(change)?, MsgType::Add),
            Change::Delete { .. } => batch.add(&rule(change)?, MsgType::Del),
        }
    }
    let built = batch.finalize();
    let mut bytes = Vec::with_capacity(built.len() + 8 + changes.len() * 96);
    // The first message begins the batch and the last ends it; between them stand the changes.
    let mut rest = built.as_slice();
    let mut changes = changes.iter();
    let mut first = true;
    while !rest.is_empty() {
        let length = rest
            .first_chunk()
            .map_or(0, |length| u32::from_ne_bytes(*length) as usize);
        let (Some(message), true) = (rest.get(..length), length >= BODY) else {
            return Err(malformed());
        };
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        let mut message = message.to_vec();
        if first {
            guard(&mut message, generation)?;
        } else if let Some(change) = changes.next() {
            patch(&mut message, change)?;
        }
        first = false;
        bytes.extend_from_slice(&message);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    Ok(bytes)
}

/// The rule of a change, as far as rustables can say it.
fn rule(change: &Change) -> Result<Rule> {
    match change {
        Change::Insert {
            family,
            table,
            chain,
            before,
            ports,
            ..
        } => {
            let mut rule = named(*family, table, chain)?
                .with_expr(Meta::new(MetaType::L4Proto))
                .with_expr(Cmp::new(CmpOp::Eq, [PROTOCOL_TCP]))
                .with_expr(
                    HighLevelPayload::Transport(TransportHeaderField::Tcp(TCPHeaderField::Dport))
                        .build(),
                );
            let (first, last) = (ports.first().to_be_bytes(), ports.last().to_be_bytes());
            rule = if first == last {
                rule.with_expr(Cmp::new(CmpOp::Eq, first))
            } else {
                rule.with_expr(Cmp::new(CmpOp::Gte, first))
                    .with_expr(Cmp::new(CmpOp::Lte, last))
            };
            rule = rule
                .with_expr(Immediate::new_verdict(VerdictKind::Accept))
                .with_userdata(user_data());
            Ok(match before {
                Some(handle) => rule.with_position(*handle),
                None => rule,
            })
        }
        Change::Delete {
            family,
            table,
            chain,
            handle,
        } => Ok(named(*family, table, chain)?.with_handle(*handle)),
    }
}

/// An empty rule in a chain.
fn named(family: TableFamily, table: &str, chain: &str) -> Result<Rule> {
    let family = match family {
        TableFamily::Ip => ProtocolFamily::Ipv4,
        TableFamily::Ip6 => ProtocolFamily::Ipv6,
        TableFamily::Inet => ProtocolFamily::Inet,
        TableFamily::Netdev => ProtocolFamily::NetDev,
        TableFamily::Bridge => ProtocolFamily::Bridge,
    };
    let table = Table::new(family).with_name(table);
    Rule::new(&Chain::new(&table).with_name(chain)).map_err(|_| malformed())
}

/// The comment in the form that nft and iptables show (libnftnl/udata.h): type 0 `NFTNL_UDATA_RULE_COMMENT`, length, text.
fn user_data() -> Vec<u8> {
    let mut bytes = vec![0, u8::try_from(MARK.len() + 1).unwrap_or(u8::MAX)];
    bytes.extend_from_slice(MARK.as_bytes());
    bytes.push(0);
    bytes
}

/// Makes the kernel refuse the batch (`ERESTART`) when the ruleset is of another generation.
fn guard(message: &mut Vec<u8>, generation: u32) -> Result<()> {
    if kind(message) != Some(BATCH_BEGIN) || message.len() != BODY {
        return Err(malformed());
    }
    put(message, BATCH_GENERATION, &generation.to_be_bytes());
    set_length(message)
}

/// Says in a rule's message what rustables cannot.
fn patch(message: &mut Vec<u8>, change: &Change) -> Result<()> {
    let Change::Insert {
        before,
        local_only,
        iptables,
        ..
    } = change
    else {
        return Ok(());
    };
    if kind(message) != Some(NEW_RULE) {
        return Err(malformed());
    }
    if before.is_some() {
        // With the flag the rule stands behind the position.
        let flags = message.get_mut(6..8).ok_or_else(malformed)?;
        let value = flags
            .first_chunk()
            .map_or(0, |flags| u16::from_ne_bytes(*flags))
            & !FLAG_APPEND;
        flags.copy_from_slice(&value.to_ne_bytes());
    }
    match (*local_only, *iptables) {
        (false, _) => Ok(()),
        (true, false) => add_expressions(message, &destination_is_local(), false),
        (true, true) => add_expressions(message, &address_type_is_local(), true),
    }
}

/// Puts expressions before those of a rule's message, or between them and the verdict.
fn add_expressions(message: &mut Vec<u8>, expressions: &[u8], last: bool) -> Result<()> {
    let mut at = BODY;
    while let Some(&[l0, l1, k0, k1]) = message.get(at..).and_then(<[u8]>::first_chunk) {
        let length = u16::from_ne_bytes([l0, l1]);
        if u16::from_ne_bytes([k0, k1]) & ATTRIBUTE_KIND == RULE_EXPRESSIONS {
            let added = u16::try_from(expressions.len()).ok();
            let longer = added
                .and_then(|added| length.checked_add(added))
                .ok_or_else(malformed)?;
            message.splice(at..at + 2, longer.to_ne_bytes());
            let start = at + ATTRIBUTE_HEADER;
            let end = at + usize::from(length);
            let verdict = attributes(message.get(start..end).unwrap_or_default()).last();
            let start = match verdict {
                Some((_, value)) if last => {
                    end - ATTRIBUTE_HEADER - value.len().next_multiple_of(4)
                }
                _ => start,
            };
            message.splice(start..start, expressions.iter().copied());
            return set_length(message);
        }
        at += usize::from(length)
            .max(ATTRIBUTE_HEADER)
            .next_multiple_of(4);
    }
    Err(malformed())
}

/// `fib daddr type local`.
fn destination_is_local() -> Vec<u8> {
    let register = 1_u32.to_be_bytes(); // NFT_REG_1
    let mut fib = Vec::new();
    put(&mut fib, 1, &register); // NFTA_FIB_DREG
    put(&mut fib, 2, &3_u32.to_be_bytes()); // NFTA_FIB_RESULT: NFT_FIB_RESULT_ADDRTYPE
    put(&mut fib, 3, &2_u32.to_be_bytes()); // NFTA_FIB_FLAGS: NFTA_FIB_F_DADDR
    let mut local = Vec::new();
    put(&mut local, 1, &2_u32.to_ne_bytes()); // NFTA_DATA_VALUE: RTN_LOCAL
    let mut compare = Vec::new();
    put(&mut compare, 1, &register); // NFTA_CMP_SREG
    put(&mut compare, 2, &0_u32.to_be_bytes()); // NFTA_CMP_OP: NFT_CMP_EQ
    put_nest(&mut compare, 3, &local); // NFTA_CMP_DATA
    let mut expressions = expression("fib", &fib);
    expressions.extend(expression("cmp", &compare));
    expressions
}

/// `-m addrtype --dst-type LOCAL`.
fn address_type_is_local() -> Vec<u8> {
    // struct xt_addrtype_info_v1: source, destination (bit n is route type n; RTN_LOCAL is 2), flags
    let mut info = Vec::new();
    info.extend_from_slice(&0_u16.to_ne_bytes());
    info.extend_from_slice(&(1_u16 << 2).to_ne_bytes());
    info.extend_from_slice(&0_u32.to_ne_bytes());
    let mut data = Vec::new();
    put_text(&mut data, 1, "addrtype"); // NFTA_MATCH_NAME
    put(&mut data, 2, &1_u32.to_be_bytes()); // NFTA_MATCH_REV
    put(&mut data, 3, &info); // NFTA_MATCH_INFO
    expression("match", &data)
}

/// An expression of a rule.
fn expression(name: &str, data: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    put_text(&mut body, 1, name); // NFTA_EXPR_NAME
    put_nest(&mut body, 2, data); // NFTA_EXPR_DATA
    let mut element = Vec::new();
    put_nest(&mut element, LIST_ELEMENT, &body);
    element
}

/// The type of a message.
fn kind(message: &[u8]) -> Option<u16> {
    let bytes = message.get(4..)?.first_chunk()?;
    Some(u16::from_ne_bytes(*bytes))
}

/// Writes a message's length into its header.
fn set_length(message: &mut [u8]) -> Result<()> {
    let length = u32::try_from(message.len()).map_err(|_| malformed())?;
    let header = message.get_mut(..4).ok_or_else(malformed)?;
    header.copy_from_slice(&length.to_ne_bytes());
    Ok(())
}

/// rustables yielded something else than the form that is patched.
fn malformed() -> Error {
    Error::new(
        ErrorKind::Protocol,
        "rustables built a batch of an unexpected form",
    )
}

#[cfg(test)]
mod tests;
