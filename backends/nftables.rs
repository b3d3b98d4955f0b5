//! Native nftables: the accept stands in the admin's own chain, marked by its comment.

pub mod batch;

use std::fmt;

use crate::backend::{Backend, Desired, Layer, Plan, Scope};
use crate::error::{Error, ErrorKind, Result};
use crate::model::ruleset::Ruleset;
use crate::netfilter::{self, Socket};
use crate::own::{self, Own};
use crate::proof::place::{Insertion, MARK};

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
        own::settled(ruleset, &desired.ports)
    }

    fn plan(&self, _layer: Layer, ruleset: &Ruleset, desired: &Desired) -> Result<Plan<Edit>> {
        let decision = own::decide(ruleset, desired);
        let mut edits: Vec<Edit> = decision.stale().map(Own::deletion).collect();
        let missing = decision.insertions.iter();
        edits.extend(missing.map(|missing| Edit::from(&missing.insertion)));
        Ok(Plan {
            edits,
            refusals: decision.refusals,
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
    let (old, new) = (own::rules(before), own::rules(after));
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
