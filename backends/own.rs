//! The rules that are ours, and which of them a plan keeps: the same for every firewall whose rules carry our mark.

use std::cell::LazyCell;

use crate::backend::{Desired, Refusal};
use crate::model::ports::{PortRange, PortSet};
use crate::model::ruleset::{
    Field, Filter, Hook, Operator, PayloadBase, Rule, Ruleset, Statement, TableFamily, Test,
    Verdict,
};
use crate::proof::Bans;
use crate::proof::place::{self, Insertion, MARK};

/// A rule that carries our mark.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(feature = "kernel"),
    expect(dead_code, reason = "only the kernel's rules are known by handles")
)]
pub(crate) struct Own {
    pub(crate) filter: Filter,
    pub(crate) family: TableFamily,
    pub(crate) table: String,
    pub(crate) chain: String,
    pub(crate) handle: u64,
    /// Its place among the rules that are not ours.
    pub(crate) index: usize,
    /// The handle of the next rule that is not ours.
    pub(crate) before: Option<u64>,
    /// Its ports; `None` when it is not of the form that we write.
    pub(crate) ports: Option<PortRange>,
    pub(crate) local_only: bool,
    /// Forwarded packets might come by: nobody knows without reading their chains.
    pub(crate) exposed: bool,
    /// A rule further down the chain bans sources from its ports.
    pub(crate) ban_behind: bool,
}

/// What a plan does with the rules that are ours.
#[derive(Clone, Debug)]
pub(crate) struct Decision {
    /// Those that are there, in the order of [`rules`], and whether they stay.
    pub(crate) own: Vec<(Own, bool)>,
    /// Those that are missing, in the order that they are put in.
    pub(crate) insertions: Vec<Missing>,
    /// The ports that no accept opens.
    pub(crate) refusals: Vec<Refusal>,
}

/// A rule of ours that is missing.
#[derive(Clone, Debug)]
pub(crate) struct Missing {
    /// Where it belongs, counted with the other insertions of the plan.
    pub(crate) insertion: Insertion,
    /// Its place among the rules that are not ours.
    pub(crate) index: usize,
}

impl Decision {
    /// The rules that go.
    pub(crate) fn stale(&self) -> impl Iterator<Item = &Own> {
        let own = self.own.iter();
        own.filter(|(_, kept)| !kept).map(|(rule, _)| rule)
    }
}

/// Decides which rules of ours stay, which go, and which are missing.
pub(crate) fn decide(ruleset: &Ruleset, desired: &Desired) -> Decision {
    let placement = place::place(&without_own(ruleset), desired);
    let mut own: Vec<(Own, bool)> = rules(ruleset)
        .into_iter()
        .map(|rule| (rule, false))
        .collect();
    let mut insertions: Vec<Missing> = Vec::new();
    let indexes = among_others(&placement.insertions);
    for (insertion, index) in placement.insertions.into_iter().zip(indexes) {
        let mut there = own.iter_mut();
        match there.find(|(rule, kept)| !kept && rule.stands_for(&insertion, index)) {
            Some((_, kept)) => *kept = true,
            None => insertions.push(Missing { insertion, index }),
        }
    }
    Decision {
        own,
        insertions,
        refusals: placement.refusals,
    }
}

/// The places of insertions among the rules that are not ours: each counts those before it.
fn among_others(insertions: &[Insertion]) -> Vec<usize> {
    let mut made: Vec<(&Insertion, usize)> = Vec::new();
    let mut indexes = Vec::new();
    for insertion in insertions {
        let same_chain = |other: &Insertion| {
            other.filter == insertion.filter
                && other.family == insertion.family
                && other.table == insertion.table
                && other.chain == insertion.chain
        };
        let mut before = 0;
        for (other, position) in &mut made {
            if !same_chain(other) {
                continue;
            }
            if *position < insertion.index {
                before += 1;
            } else {
                *position += 1;
            }
        }
        made.push((insertion, insertion.index));
        indexes.push(insertion.index.saturating_sub(before));
    }
    indexes
}

/// Whether what is ours is just what the ports need, given that they are open.
pub(crate) fn settled(ruleset: &Ruleset, desired: &PortSet) -> bool {
    let own = rules(ruleset);
    own.iter().enumerate().all(|(index, rule)| {
        let earlier = own.iter().take(index);
        rule.wanted(desired)
            && !rule.ban_behind
            && !rule.exposed
            && !earlier.clone().any(|other| other.same_as(rule))
    })
}

impl Own {
    fn wanted(&self, desired: &PortSet) -> bool {
        self.ports
            .is_some_and(|ports| desired.covers(&PortSet::from(ports)))
    }

    /// Where the rule stands, to put it back there; `None` when it is not of the form that we write.
    #[cfg(feature = "kernel")]
    pub(crate) fn insertion(&self) -> Option<Insertion> {
        Some(Insertion {
            filter: self.filter,
            family: self.family,
            table: self.table.clone(),
            chain: self.chain.clone(),
            index: self.index,
            before: self.before,
            ports: self.ports?,
            local_only: self.local_only,
        })
    }

    fn same_as(&self, other: &Self) -> bool {
        self.filter == other.filter
            && self.family == other.family
            && self.table == other.table
            && self.chain == other.chain
            && self.ports == other.ports
    }

    /// Whether the rule does what the insertion would do, as late in the chain as it can stand.
    fn stands_for(&self, insertion: &Insertion, index: usize) -> bool {
        self.filter == insertion.filter
            && self.family == insertion.family
            && self.table == insertion.table
            && self.chain == insertion.chain
            && self.ports == Some(insertion.ports)
            && self.local_only == insertion.local_only
            && (self.index == index || self.index < index && !self.ban_behind)
    }
}

/// Whether a rule carries our mark.
pub(crate) fn is_own(rule: &Rule) -> bool {
    rule.comment.as_deref() == Some(MARK)
}

/// The ruleset without what is ours.
pub(crate) fn without_own(ruleset: &Ruleset) -> Ruleset {
    let mut stripped = ruleset.clone();
    let chains = stripped
        .tables
        .iter_mut()
        .flat_map(|table| &mut table.chains);
    for rules in chains.filter_map(|chain| chain.rules.as_mut()) {
        rules.retain(|rule| !is_own(rule));
    }
    stripped
}

/// Every rule of ours.
pub(crate) fn rules(ruleset: &Ruleset) -> Vec<Own> {
    let bans = LazyCell::new(|| Bans::new(ruleset));
    let mut own = Vec::new();
    for (table_index, table) in ruleset.tables.iter().enumerate() {
        for chain in &table.chains {
            let mut index = 0;
            for (position, rule) in chain.rules().iter().enumerate() {
                if !is_own(rule) {
                    index += 1;
                    continue;
                }
                let ports = accepted_ports(rule);
                let behind = || {
                    chain
                        .rules()
                        .iter()
                        .skip(position + 1)
                        .filter(|rule| !is_own(rule))
                };
                let local_only = rule.statements.iter().any(is_local_only);
                let base = chain.base.as_ref();
                let set = ports.map_or(PortSet::EMPTY, PortSet::from);
                own.push(Own {
                    filter: table.filter,
                    family: table.family,
                    table: table.name.clone(),
                    chain: chain.name.clone(),
                    handle: rule.handle,
                    index,
                    before: behind().next().map(|rule| rule.handle),
                    ports,
                    local_only,
                    exposed: !local_only && base.is_none_or(|base| base.hook != Hook::Input),
                    ban_behind: behind().any(|rule| bans.in_rule(table_index, rule, &set)),
                });
            }
        }
    }
    own
}

/// The ports that a rule of the form we write accepts.
pub(crate) fn accepted_ports(rule: &Rule) -> Option<PortRange> {
    if rule.statements.last() != Some(&Statement::Verdict(Verdict::Accept)) || !only_accepts(rule) {
        return None;
    }
    let (mut first, mut last) = (None, None);
    for statement in &rule.statements {
        let Statement::Match { value, test } = statement else {
            continue;
        };
        let [part] = value.parts.as_slice() else {
            return None;
        };
        let port_field = Field::Payload {
            base: PayloadBase::Transport,
            offset: 2,
        };
        if part.field != port_field || part.length != 2 || !part.operations.is_empty() {
            continue;
        }
        let port = |data: &[u8]| data.try_into().ok().map(u16::from_be_bytes);
        match test {
            Test::Compare { operator, data } => match operator {
                Operator::Equal => (first, last) = (port(data), port(data)),
                Operator::GreaterOrEqual => first = port(data),
                Operator::LessOrEqual => last = port(data),
                _ => return None,
            },
            Test::Range {
                negated: false,
                first: low,
                last: high,
            } => (first, last) = (port(low), port(high)),
            Test::Range { .. } => return None,
        }
    }
    PortRange::new(first?, last?)
}

/// Whether the rule has no condition but the protocol, the ports and the local destination.
fn only_accepts(rule: &Rule) -> bool {
    rule.statements.iter().all(|statement| match statement {
        Statement::Neutral { .. } | Statement::Verdict(_) => true,
        Statement::Match { value, test } => {
            let [part] = value.parts.as_slice() else {
                return false;
            };
            match part.field {
                // iptables-nft writes the protocol of the IP header; nft asks the kernel for it.
                Field::TransportProtocol
                | Field::Payload {
                    base: PayloadBase::Network,
                    offset: 6 | 9,
                } => {
                    let tcp = Test::Compare {
                        operator: Operator::Equal,
                        data: vec![6],
                    };
                    *test == tcp
                }
                Field::Payload {
                    base: PayloadBase::Transport,
                    offset: 2,
                } => true,
                _ => is_local_only(statement),
            }
        }
        _ => false,
    })
}

/// `fib daddr type local`, which stands first in accepts for this host alone.
fn is_local_only(statement: &Statement) -> bool {
    place::accept(PortRange::single(1), true).statements.first() == Some(statement)
}
