//! The rule that is being decoded, and what the decoders of expressions and of iptables' matches both say of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::registers::Registers;
use crate::model::ruleset::{
    Field, Nat, NatKind, Operation, Part, Set, Statement, TableFamily, Test, Uncertainty, Value,
    Verdict,
};

/// A packet that may take so many hops gets anywhere.
pub(super) const ENOUGH_HOPS: u8 = 32;
/// A limit in bytes stops packets of so many as one of less than a packet a second does.
pub(super) const LARGEST_PACKET: u64 = 1500;

/// A rate of less than a packet a second stops ordinary clients, too, where it stops anybody.
pub(super) fn at_rate(slow: bool, uncertainty: Uncertainty) -> Uncertainty {
    match uncertainty {
        Uncertainty::Rate if slow => Uncertainty::SlowRate,
        _ if slow => Uncertainty::Other,
        _ => uncertainty,
    }
}

/// What the decoding of rules and elements needs to know of a set.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SetHeader {
    /// The length of the key in registers.
    pub(super) key_length: u32,
    /// The length of a map's data.
    pub(super) data_length: u32,
    /// The type of a map's objects (`NFT_OBJECT_*`).
    pub(super) object: u32,
    /// Keys are the ends of intervals.
    pub(super) interval: bool,
    /// The condition that every element added by a packet carries.
    pub(super) uncertainty: Option<Uncertainty>,
}

/// The rule that is being decoded.
#[derive(Debug)]
pub(super) struct Body<'d> {
    pub(super) family: TableFamily,
    /// The sets of the rule's table.
    pub(super) sets: &'d BTreeMap<String, SetHeader>,
    /// Sets that the rule brings along.
    made: &'d mut BTreeMap<String, Set>,
    pub(super) registers: Registers,
    pub(super) statements: Vec<Statement>,
    pub(super) comment: Option<String>,
    /// The number of a statement, and another for which the whole rule holds as well.
    pub(super) alternative: Option<(usize, Statement)>,
}

impl<'d> Body<'d> {
    /// A rule without expressions yet; what it brings along is added to `made`.
    pub(super) fn new(
        family: TableFamily,
        sets: &'d BTreeMap<String, SetHeader>,
        made: &'d mut BTreeMap<String, Set>,
    ) -> Self {
        Self {
            family,
            sets,
            made,
            registers: Registers::default(),
            statements: Vec::new(),
            comment: None,
            alternative: None,
        }
    }

    /// Something that is not understood: it might decide anything and write any register.
    pub(super) fn not_decoded(&mut self, name: String) {
        self.registers.forget();
        self.statements.push(Statement::NotDecoded { name });
    }

    /// Something that decides nothing.
    pub(super) fn neutral(&mut self, text: impl Into<String>) {
        self.statements
            .push(Statement::Neutral { text: text.into() });
    }

    /// A condition that is not known beforehand.
    pub(super) fn condition(&mut self, uncertainty: Uncertainty, text: impl Into<String>) {
        let text = text.into();
        self.statements
            .push(Statement::Condition { uncertainty, text });
    }

    /// A verdict.
    pub(super) fn verdict(&mut self, verdict: Verdict) {
        self.statements.push(Statement::Verdict(verdict));
    }

    /// A test.
    pub(super) fn test(&mut self, value: Value, test: Test) {
        self.statements.push(Statement::Match { value, test });
    }

    /// A lookup in a set that the rule brings along.
    pub(super) fn lookup_made(&mut self, value: Value, set: Set, negated: bool) -> Statement {
        let name = set.name.clone();
        self.made.entry(name.clone()).or_insert(set);
        Statement::Lookup {
            value,
            set: name,
            negated,
        }
    }

    /// An element is put into a list, or taken out of it, that the rule brings along.
    pub(super) fn update_made(&mut self, set: Set) {
        let (name, text) = (set.name.clone(), set.name.clone());
        self.made.entry(name.clone()).or_insert(set);
        self.statements.push(Statement::UpdateSet {
            set: name,
            uncertainty: None,
            text,
        });
    }

    /// Two statements of which one is enough for the rule to go on; a rule has room for one such pair.
    pub(super) fn either(&mut self, one: Statement, other: Statement) -> Option<()> {
        if self.alternative.is_some() {
            return None;
        }
        self.alternative = Some((self.statements.len(), other));
        self.statements.push(one);
        Some(())
    }
}

/// A value of one field after one operation.
pub(super) fn masked(field: Field, length: u32, mask: Vec<u8>) -> Value {
    let xor = vec![0; mask.len()];
    Value {
        parts: Arc::new(vec![Part {
            field,
            length,
            operations: vec![Operation::Bitwise { mask, xor }],
        }]),
    }
}

/// A translation in nft's words.
pub(super) fn nat_text(action: &str, nat: &Nat) -> String {
    let address = match nat.address {
        Some(address) if address.is_ipv6() && nat.sets_port => format!("[{address}]"),
        Some(address) => address.to_string(),
        None if nat.sets_address && nat.kind != NatKind::Redirect => String::from("(computed)"),
        None => String::new(),
    };
    let ports = match nat.ports {
        Some((first, last)) if first == last => format!(":{first}"),
        Some((first, last)) => format!(":{first}-{last}"),
        None if nat.sets_port => String::from(":(computed)"),
        None => String::new(),
    };
    format!("{action} {address}{ports}")
}
