//! Rules of the kernel, decoded into the model.
//!
//! A rule is a list of expressions that pass values through registers. The decoder follows the registers, so that each
//! test names the fields that it looks at. What it does not know stays in the rule by name.

mod effects;
mod loads;
pub(super) mod objects;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::attributes::{Attributes, attributes, text};
use super::body::{Body, SetHeader};
use super::registers::operate;
use super::xtables;
use crate::model::ruleset::{
    Field, Operation, Operator, Rule, Set, Statement, Statements, TableFamily, Test, Uncertainty,
    Value, Verdict,
};

// enum nft_rule_attributes
const RULE_HANDLE: u16 = 3; // NFTA_RULE_HANDLE
const RULE_EXPRESSIONS: u16 = 4; // NFTA_RULE_EXPRESSIONS
const RULE_USER_DATA: u16 = 7; // NFTA_RULE_USERDATA

// enum nft_list_attributes, nft_expr_attributes, nft_data_attributes
pub(super) const LIST_ELEMENT: u16 = 1; // NFTA_LIST_ELEM
const EXPRESSION_NAME: u16 = 1; // NFTA_EXPR_NAME
const EXPRESSION_DATA: u16 = 2; // NFTA_EXPR_DATA
const DATA_VALUE: u16 = 1; // NFTA_DATA_VALUE
const DATA_VERDICT: u16 = 2; // NFTA_DATA_VERDICT

// enum nft_verdict_attributes, nft_verdicts, linux/netfilter.h
const VERDICT_CODE: u16 = 1; // NFTA_VERDICT_CODE
const VERDICT_CHAIN: u16 = 2; // NFTA_VERDICT_CHAIN

/// The register that holds the rule's verdict (`NFT_REG_VERDICT`).
const VERDICT_REGISTER: u32 = 0;
/// The type of a comment in a rule's user data (`NFTNL_UDATA_RULE_COMMENT`, libnftnl/udata.h).
const USER_DATA_COMMENT: u8 = 0;

/// Decodes the rules of one table.
#[derive(Debug)]
pub(super) struct RuleDecoder<'t> {
    family: TableFamily,
    sets: &'t BTreeMap<String, SetHeader>,
    /// Sets that stand for what iptables matches hold themselves: port lists, address types, ipsets.
    pub(super) made: BTreeMap<String, Set>,
}

impl<'t> RuleDecoder<'t> {
    /// A decoder for a table of that family with these sets.
    pub(super) fn new(family: TableFamily, sets: &'t BTreeMap<String, SetHeader>) -> Self {
        Self {
            family,
            sets,
            made: BTreeMap::new(),
        }
    }

    /// Decodes a rule from its attributes. The rare rule whose iptables match is an "or" becomes two with one handle.
    pub(super) fn decode(&mut self, message: &[u8], rules: &mut Vec<Rule>) {
        let message = Attributes::new(message);
        let mut body = Body::new(self.family, self.sets, &mut self.made);
        for (_, expression) in attributes(message.get(RULE_EXPRESSIONS).unwrap_or_default()) {
            body.expression(expression);
        }
        let comment = message.get(RULE_USER_DATA).and_then(comment);
        let statements = match rules.last() {
            Some(before) => Statements::shared_with(body.statements, &before.statements),
            None => body.statements.into(),
        };
        let rule = Rule {
            handle: message.long(RULE_HANDLE).unwrap_or_default(),
            comment: comment.or(body.comment),
            statements,
        };
        let alternative = body.alternative.and_then(|(index, statement)| {
            let mut rule = rule.clone();
            *rule.statements.iter_mut().nth(index)? = statement;
            Some(rule)
        });
        rules.push(rule);
        rules.extend(alternative);
    }
}

/// The comment in a rule's user data: a list of type, length, value.
fn comment(user_data: &[u8]) -> Option<String> {
    let mut rest = user_data;
    while let [kind, length, tail @ ..] = rest {
        let length = usize::from(*length);
        if *kind == USER_DATA_COMMENT {
            return Some(text(tail.get(..length)?));
        }
        rest = tail.get(length..)?;
    }
    None
}

impl Body<'_> {
    /// Decodes one expression; one that is not understood stays by name.
    fn expression(&mut self, expression: &[u8]) {
        let expression = Attributes::new(expression);
        let name = expression.get(EXPRESSION_NAME).unwrap_or_default();
        let name = name.strip_suffix(&[0]).unwrap_or(name);
        let data = expression
            .nest(EXPRESSION_DATA)
            .unwrap_or_else(|| Attributes::new(&[]));
        if self.known_expression(name, &data).is_none() {
            self.not_decoded(text(name));
        }
    }

    /// Decodes an expression by name.
    fn known_expression(&mut self, name: &[u8], data: &Attributes<'_>) -> Option<()> {
        match name {
            b"payload" if data.get(loads::PAYLOAD_SOURCE).is_some() => self.payload_set(data),
            b"payload" => self.payload(data),
            b"cmp" => self.compare(data),
            b"meta" if data.get(loads::META_SOURCE).is_some() => self.meta_set(data),
            b"meta" => self.meta(data),
            b"immediate" => self.immediate(data),
            b"counter" | b"last" => {
                self.neutral(text(name));
                Some(())
            }
            b"match" => xtables::matches::decode(self, data),
            b"target" => xtables::targets::decode(self, data),
            b"lookup" => self.lookup(data),
            b"bitwise" => self.bitwise(data),
            b"ct" if data.get(loads::CT_SOURCE).is_some() => self.connection_set(data),
            b"ct" => self.connection(data),
            b"range" => self.range(data),
            b"byteorder" => self.byte_order(data),
            b"fib" => self.fib(data),
            b"rt" => self.route(data),
            b"socket" => self.socket(data),
            b"exthdr" => self.extension(data),
            b"osf" => self.other_load(data, 1, "osf name", 16), // NFTA_OSF_DREG
            b"numgen" => self.other_load(data, 1, "numgen", 4), // NFTA_NG_DREG
            b"hash" => self.other_load(data, 2, "hash", 4),     // NFTA_HASH_DREG
            b"tunnel" => self.other_load(data, 2, "tunnel", 4), // NFTA_TUNNEL_DREG
            b"xfrm" => self.other_load(data, 1, "ipsec", 16),   // NFTA_XFRM_DREG
            name => self.effect(name, data),
        }
    }

    /// `cmp`.
    fn compare(&mut self, data: &Attributes<'_>) -> Option<()> {
        // NFTA_CMP_SREG = 1, NFTA_CMP_OP = 2, NFTA_CMP_DATA = 3; enum nft_cmp_ops
        let operator = match data.number(2)? {
            0 => Operator::Equal,
            1 => Operator::NotEqual,
            2 => Operator::Less,
            3 => Operator::LessOrEqual,
            4 => Operator::Greater,
            5 => Operator::GreaterOrEqual,
            _ => return None,
        };
        let bytes = constant(data, 3)?;
        let value = self.registers.load(data.number(1)?, length(bytes))?;
        let data = bytes.to_vec();
        self.test(value, Test::Compare { operator, data });
        Some(())
    }

    /// `range`.
    fn range(&mut self, data: &Attributes<'_>) -> Option<()> {
        // NFTA_RANGE_SREG = 1, _OP = 2, _FROM_DATA = 3, _TO_DATA = 4; enum nft_range_ops
        let negated = match data.number(2)? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let (first, last) = (constant(data, 3)?, constant(data, 4)?);
        if first.len() != last.len() {
            return None;
        }
        let value = self.registers.load(data.number(1)?, length(first))?;
        let (first, last) = (first.to_vec(), last.to_vec());
        self.test(
            value,
            Test::Range {
                negated,
                first,
                last,
            },
        );
        Some(())
    }

    /// `lookup`: a set, a verdict map, or a map whose data goes into a register.
    fn lookup(&mut self, data: &Attributes<'_>) -> Option<()> {
        // NFTA_LOOKUP_SET = 1, _SREG = 2, _DREG = 3, _FLAGS = 5; NFT_LOOKUP_F_INV = 1
        let name = data.text(1)?;
        let header = *self.sets.get(&name)?;
        let value = self.registers.load(data.number(2)?, header.key_length)?;
        let register = data.number(3);
        if register == Some(VERDICT_REGISTER) {
            self.statements
                .push(Statement::VerdictMap { value, map: name });
            return Some(());
        }
        let field = register.map(|register| (register, format!("map @{name}")));
        self.statements.push(Statement::Lookup {
            value,
            set: name,
            negated: data.number(5).unwrap_or_default() & 1 != 0,
        });
        if let Some((register, text)) = field {
            // The rule goes on only when the map has the value; what it then yields is not followed.
            let uncertainty = Uncertainty::Other;
            self.load(
                register,
                Field::Unknown { uncertainty, text },
                header.data_length,
            )?;
        }
        Some(())
    }

    /// `immediate`: a verdict, or a constant for a register.
    fn immediate(&mut self, data: &Attributes<'_>) -> Option<()> {
        // NFTA_IMMEDIATE_DREG = 1, NFTA_IMMEDIATE_DATA = 2
        let register = data.number(1)?;
        if register == VERDICT_REGISTER {
            let verdict = verdict(&data.nest(2)?)?;
            self.verdict(verdict);
            return Some(());
        }
        let bytes = constant(data, 2)?;
        self.load(register, Field::Constant(bytes.to_vec()), length(bytes))
    }

    /// `bitwise`: masks, shifts, and since Linux 6.13 "and", "or", "xor" with a second register or a constant.
    fn bitwise(&mut self, data: &Attributes<'_>) -> Option<()> {
        // NFTA_BITWISE_SREG = 1, _DREG = 2, _LEN = 3, _MASK = 4, _XOR = 5, _OP = 6, _DATA = 7; enum nft_bitwise_ops
        let length = data.number(3)?;
        let mut value = self.registers.load(data.number(1)?, length)?;
        let operand = constant(data, 7);
        let masks = match (data.number(6).unwrap_or_default(), operand) {
            (0, _) => Some((constant(data, 4)?.to_vec(), constant(data, 5)?.to_vec())),
            (3, Some(bits)) => Some((bits.to_vec(), vec![0; bits.len()])), // NFT_BITWISE_AND
            (4, Some(bits)) => Some((bits.iter().map(|bits| !bits).collect(), bits.to_vec())), // NFT_BITWISE_OR
            (5, Some(bits)) => Some((vec![0xff; bits.len()], bits.to_vec())), // NFT_BITWISE_XOR
            _ => None,
        };
        operate(&mut value, length, |start, end| {
            let (mask, xor) = masks.as_ref()?;
            Some(Operation::Bitwise {
                mask: mask.get(start..end)?.to_vec(),
                xor: xor.get(start..end)?.to_vec(),
            })
        });
        self.store(data.number(2)?, value)
    }

    /// `byteorder`.
    fn byte_order(&mut self, data: &Attributes<'_>) -> Option<()> {
        // NFTA_BYTEORDER_SREG = 1, _DREG = 2, _LEN = 4, _SIZE = 5
        let (length, size) = (data.number(4)?, data.number(5)?);
        let mut value = self.registers.load(data.number(1)?, length)?;
        operate(&mut value, length, |_, _| Some(Operation::Swap { size }));
        self.store(data.number(2)?, value)
    }

    /// Puts the fields of a value into registers.
    fn store(&mut self, register: u32, value: Value) -> Option<()> {
        let mut register = match register {
            1..=4 => 8 + (register - 1) * 4, // the same word by its other name, NFT_REG32_00 and on
            register => register,
        };
        for part in Arc::unwrap_or_clone(value.parts) {
            let words = part.length.div_ceil(4).max(1);
            self.registers.store(register, part)?;
            register += words;
        }
        Some(())
    }
}

/// The bytes of a `NFTA_DATA_VALUE` in the nest of that kind.
fn constant<'a>(data: &Attributes<'a>, kind: u16) -> Option<&'a [u8]> {
    data.nest(kind)?.get(DATA_VALUE)
}

/// The length of a constant.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// A verdict from the attributes of `NFTA_IMMEDIATE_DATA` or `NFTA_SET_ELEM_DATA`.
fn verdict(data: &Attributes<'_>) -> Option<Verdict> {
    let verdict = data.nest(DATA_VERDICT)?;
    let chain = || verdict.text(VERDICT_CHAIN);
    match verdict.number(VERDICT_CODE)?.cast_signed() {
        -1 => Some(Verdict::Continue),                      // NFT_CONTINUE
        -3 => chain().map(Verdict::Jump),                   // NFT_JUMP
        -4 => chain().map(Verdict::Goto),                   // NFT_GOTO
        -5 => Some(Verdict::Return),                        // NFT_RETURN
        1 => Some(Verdict::Accept),                         // NF_ACCEPT
        2 => Some(Verdict::Stolen(String::from("stolen"))), // NF_STOLEN
        code if code < 0 => None,
        // The upper half carries an error or a queue number (NF_VERDICT_MASK).
        code => match code & 0xff {
            0 => Some(Verdict::Drop),                                // NF_DROP
            3 => Some(Verdict::Queue(format!("to {}", code >> 16))), // NF_QUEUE
            _ => None,
        },
    }
}
