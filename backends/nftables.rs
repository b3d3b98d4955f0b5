//! Native nftables: the accept stands in the admin's own chain, marked by its comment.

pub mod batch;

use std::cell::LazyCell;
use std::fmt;

use crate::backend::{Backend, Desired, Layer, Plan, Scope};
use crate::error::{Error, ErrorKind, Result};
use crate::model::ports::{PortRange, PortSet};
use crate::model::ruleset::{
    Field, Hook, Operator, PayloadBase, Rule, Ruleset, Statement, TableFamily, Test, Value, Verdict,
};
use crate::netfilter::{self, Socket};
use crate::proof::Bans;
use crate::proof::place::{self, Insertion, MARK};

/// The kernel's `nf_tables`, over one netlink socket.
#[derive(Debug)]
pub struct Nftables {
    socket: Socket,
}

/// A rule of ours that is put in or taken out, printed as an admin would type it.
pub use batch::Change as Edit;

impl fmt::Display for Edit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Insert {
                family,
                table,
                chain,
                before,
                ports,
                local_only,
            } => {
                let place = format!("{} {table} {chain}", family.as_str());
                match before {
                    Some(handle) => write!(formatter, "nft insert rule {place} handle {handle} ")?,
                    None => write!(formatter, "nft add rule {place} ")?,
                }
                if *local_only {
                    formatter.write_str("fib daddr type local ")?;
                }
                write!(formatter, "tcp dport {ports} accept comment {MARK}")
            }
            Self::Delete {
                family,
                table,
                chain,
                handle,
            } => write!(
                formatter,
                "nft delete rule {} {table} {chain} handle {handle}",
                family.as_str()
            ),
        }
    }
}

/// A rule that carries our mark.
#[derive(Clone, Debug)]
struct Own {
    family: TableFamily,
    table: String,
    chain: String,
    handle: u64,
    /// Its place among the rules that are not ours.
    index: usize,
    /// The handle of the next rule that is not ours.
    before: Option<u64>,
    /// Its ports; `None` when it is not of the form that we write.
    ports: Option<PortRange>,
    local_only: bool,
    /// Forwarded packets might come by: nobody knows without reading their chains.
    exposed: bool,
    /// A rule further down the chain bans sources from its ports.
    ban_behind: bool,
}

impl Nftables {
    /// Opens the socket.
    ///
    /// # Errors
    /// Without `CAP_NET_ADMIN`, or without `nf_tables` in the kernel.
    pub fn open() -> Result<Self> {
        let mut socket = Socket::open()?;
        socket.generation()?;
        Ok(Self { socket })
    }
}

impl Backend for Nftables {
    type Edit = Edit;

    fn name(&self) -> &'static str {
        "nftables"
    }

    fn layers(&self) -> Vec<Layer> {
        vec![Layer::Runtime]
    }

    fn ruleset(&mut self, _layer: Layer, scope: Scope) -> Result<Ruleset> {
        netfilter::read(&mut self.socket, scope)
    }

    fn settled(&self, _layer: Layer, ruleset: &Ruleset, desired: &Desired) -> bool {
        let own = own_rules(ruleset);
        own.iter().enumerate().all(|(index, rule)| {
            let earlier = own.iter().take(index);
            rule.wanted(&desired.ports)
                && !rule.ban_behind
                && !rule.exposed
                && !earlier.clone().any(|other| other.same_as(rule))
        })
    }

    fn plan(&self, _layer: Layer, ruleset: &Ruleset, desired: &Desired) -> Result<Plan<Edit>> {
        let own = own_rules(ruleset);
        let placement = place::place(&without_own(ruleset), desired);
        let mut kept = vec![false; own.len()];
        let mut inserts = Vec::new();
        for insertion in &placement.insertions {
            let position = own
                .iter()
                .zip(&kept)
                .position(|(rule, kept)| !kept && rule.stands_for(insertion));
            match position.and_then(|index| kept.get_mut(index)) {
                Some(kept) => *kept = true,
                None => inserts.push(Edit::from(insertion)),
            }
        }
        let stale = own.iter().zip(&kept).filter(|(_, kept)| !**kept);
        let mut edits: Vec<Edit> = stale.map(|(rule, _)| rule.deletion()).collect();
        edits.extend(inserts);
        Ok(Plan {
            edits,
            refusals: placement.refusals,
        })
    }

    fn apply(&mut self, _layer: Layer, ruleset: &Ruleset, edits: &[Edit]) -> Result<Vec<Edit>> {
        let generation = ruleset.generation.ok_or_else(|| {
            Error::new(
                ErrorKind::Changed,
                "the ruleset to edit did not come from the kernel",
            )
        })?;
        self.socket.send_batch(&batch::encode(edits, generation)?)?;
        let after = netfilter::read(&mut self.socket, Scope::Everything)?;
        Ok(undo(ruleset, &after, edits))
    }
}

/// The edits that take these edits back.
fn undo(before: &Ruleset, after: &Ruleset, edits: &[Edit]) -> Vec<Edit> {
    let (old, new) = (own_rules(before), own_rules(after));
    let known = |handle: u64| old.iter().any(|rule| rule.handle == handle);
    let added = new.iter().filter(|rule| !known(rule.handle));
    let deleted = edits.iter().filter_map(|edit| match edit {
        Edit::Delete { handle, .. } => old.iter().find(|rule| rule.handle == *handle),
        Edit::Insert { .. } => None,
    });
    added
        .map(Own::deletion)
        .chain(deleted.filter_map(Own::insertion))
        .collect()
}

impl Own {
    fn wanted(&self, desired: &PortSet) -> bool {
        self.ports
            .is_some_and(|ports| desired.covers(&PortSet::from(ports)))
    }

    fn same_as(&self, other: &Self) -> bool {
        self.family == other.family
            && self.table == other.table
            && self.chain == other.chain
            && self.ports == other.ports
    }

    /// Whether the rule does what the insertion would do, as late in the chain as it can stand.
    fn stands_for(&self, insertion: &Insertion) -> bool {
        self.family == insertion.family
            && self.table == insertion.table
            && self.chain == insertion.chain
            && self.ports == Some(insertion.ports)
            && self.local_only == insertion.local_only
            && (self.index == insertion.index || self.index < insertion.index && !self.ban_behind)
    }

    fn deletion(&self) -> Edit {
        Edit::Delete {
            family: self.family,
            table: self.table.clone(),
            chain: self.chain.clone(),
            handle: self.handle,
        }
    }

    fn insertion(&self) -> Option<Edit> {
        Some(Edit::Insert {
            family: self.family,
            table: self.table.clone(),
            chain: self.chain.clone(),
            before: self.before,
            ports: self.ports?,
            local_only: self.local_only,
        })
    }
}

impl From<&Insertion> for Edit {
    fn from(insertion: &Insertion) -> Self {
        Self::Insert {
            family: insertion.family,
            table: insertion.table.clone(),
            chain: insertion.chain.clone(),
            before: insertion.before,
            ports: insertion.ports,
            local_only: insertion.local_only,
        }
    }
}

fn is_own(rule: &Rule) -> bool {
    rule.comment.as_deref() == Some(MARK)
}

fn without_own(ruleset: &Ruleset) -> Ruleset {
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

fn own_rules(ruleset: &Ruleset) -> Vec<Own> {
    let mut own = Vec::new();
    let bans = LazyCell::new(|| Bans::new(ruleset));
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

/// The ports that a rule of the form we write accepts; iptables adds a counter.
fn accepted_ports(rule: &Rule) -> Option<PortRange> {
    let (verdict, tests) = rule.statements.split_last()?;
    if *verdict != Statement::Verdict(Verdict::Accept) {
        return None;
    }
    let [tcp, ..] = &place::accept(PortRange::single(1), false).statements[..] else {
        return None;
    };
    let is_counter = |statement: &Statement| matches!(statement, Statement::Neutral { .. });
    let (mut first, mut last, mut is_tcp) = (None, None, false);
    for statement in tests.iter().filter(|statement| !is_counter(statement)) {
        if statement == tcp {
            is_tcp = true;
            continue;
        }
        if is_local_only(statement) {
            continue;
        }
        let Statement::Match { value, test } = statement else {
            return None;
        };
        let port_field = Field::Payload {
            base: PayloadBase::Transport,
            offset: 2,
        };
        if *value != Value::field(port_field, 2) {
            return None;
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
    PortRange::new(first?, last?).filter(|_| is_tcp)
}

/// `fib daddr type local`, which stands first in accepts for this host alone.
fn is_local_only(statement: &Statement) -> bool {
    place::accept(PortRange::single(1), true).statements.first() == Some(statement)
}
