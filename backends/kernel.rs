//! What the running kernel filters with: `nf_tables`, whoever wrote into it, and the older `x_tables` beside it.
//!
//! A packet meets both, so both are one ruleset. The edit goes where the block is: over netlink into native tables and
//! those of iptables-nft, through iptables-legacy into the older ones.

use std::fmt;

use crate::backend::{Backend, Desired, Layer, Plan, Scope};
use crate::error::{Error, ErrorKind, Result};
use crate::iptables::legacy::Legacy;
use crate::iptables::{self, Action, Numbers};
use crate::model::reach::Family;
use crate::model::ruleset::{Filter, Hook, Ruleset, Table, TableFamily};
use crate::netfilter::{self, Socket};
use crate::nftables::batch::{self, Change};
use crate::nftables::{difference, table_of};
use crate::own::{self, Own};
use crate::proof::place::Insertion;

/// The running packet filter.
#[derive(Debug)]
pub struct Kernel {
    socket: Socket,
    legacy: [Legacy; 2],
    /// Who is in charge, as of the last reading.
    in_charge: Option<&'static str>,
}

/// A rule of ours that is put in or taken out, printed as an admin would type it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// In a native table, over netlink.
    Nftables(Change),
    /// In a table of iptables-nft, over netlink as well.
    Iptables {
        /// What is sent.
        change: Change,
        /// What an admin would type.
        typed: iptables::Edit,
    },
    /// In the older packet filter, by iptables-legacy.
    Legacy(iptables::Edit),
}

impl fmt::Display for Edit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nftables(change) => change.fmt(formatter),
            Self::Iptables { typed: edit, .. } | Self::Legacy(edit) => edit.fmt(formatter),
        }
    }
}

impl Edit {
    fn deletion(own: &Own, ruleset: &Ruleset, numbers: &mut Numbers<'_>) -> Option<Self> {
        let change = Change::deletion(own);
        Self::in_table(table_of(ruleset, own)?, change, |_| numbers.delete(own))
    }

    fn insertion(
        insertion: &Insertion,
        ruleset: &Ruleset,
        numbers: &mut Numbers<'_>,
    ) -> Option<Self> {
        let table = ruleset.table(insertion.filter, insertion.family, &insertion.table)?;
        let change = Change::insertion(insertion, iptables::is_iptables(table));
        Self::in_table(table, change, |_| numbers.insert(insertion))
    }

    fn in_table(
        table: &Table,
        change: Change,
        typed: impl FnOnce(&Table) -> Option<iptables::Edit>,
    ) -> Option<Self> {
        if !iptables::is_iptables(table) {
            return Some(Self::Nftables(change));
        }
        let typed = typed(table)?;
        Some(match table.filter {
            Filter::Legacy => Self::Legacy(typed),
            Filter::Nftables => Self::Iptables { change, typed },
        })
    }
}

impl Kernel {
    /// Opens the socket.
    ///
    /// # Errors
    /// Without `CAP_NET_ADMIN`, or without `nf_tables` in the kernel.
    pub fn open() -> Result<Self> {
        let mut socket = Socket::open()?;
        socket.generation()?;
        Ok(Self {
            socket,
            legacy: Family::BOTH.map(Legacy::new),
            in_charge: None,
        })
    }

    /// The number that every change of the rules raises.
    #[cfg(feature = "firewalld")]
    pub(crate) fn generation(&mut self) -> Result<u32> {
        self.socket.generation()
    }

    /// Makes sure that this firewall is in charge of what comes in; where nothing filters, either may be.
    ///
    /// # Errors
    /// `Unsupported` when another one is; what reading the ruleset says.
    pub fn require(&mut self, name: &'static str) -> Result<()> {
        self.ruleset(Layer::Runtime, Scope::InputPath)?;
        match self.in_charge {
            Some(other) if other != name => Err(Error::new(
                ErrorKind::Unsupported,
                format!("{name} is not in charge of this host's packet filter, {other} is"),
            )
            .with_hint(format!("leave --backend away, or name {other}"))),
            _ => Ok(()),
        }
    }

    /// The tables of the older packet filter, both families side by side: each waits for two processes.
    fn legacy_tables(&mut self) -> Result<Vec<Table>> {
        let [ipv4, ipv6] = &mut self.legacy;
        if !ipv6.is_present()? {
            return Ok(ipv4.tables()?.to_vec());
        }
        std::thread::scope(|scope| {
            let other = std::thread::Builder::new().spawn_scoped(scope, || ipv6.tables())?;
            let mut tables = ipv4.tables()?.to_vec();
            let other = other.join().unwrap_or_else(|_| {
                let message = "the thread that reads ip6tables-legacy panicked";
                Err(Error::new(ErrorKind::Protocol, message))
            });
            tables.extend_from_slice(other?);
            Ok(tables)
        })
    }

    /// Sends what goes over netlink as one batch.
    fn send(&mut self, ruleset: &Ruleset, changes: &[Change]) -> Result<()> {
        let generation = ruleset.generation.ok_or_else(|| {
            Error::new(
                ErrorKind::Changed,
                "the ruleset to edit did not come from the kernel",
            )
        })?;
        self.socket.send_batch(&batch::encode(changes, generation)?)
    }

    /// Makes the edits of iptables-legacy, those of both families or none.
    fn edit_legacy(&mut self, ruleset: &Ruleset, edits: &[iptables::Edit]) -> Result<()> {
        let mut made: Vec<iptables::Edit> = Vec::new();
        for legacy in &mut self.legacy {
            let family = legacy.family();
            let own: Vec<&iptables::Edit> =
                edits.iter().filter(|edit| edit.family == family).collect();
            if own.is_empty() {
                continue;
            }
            let outcome = legacy.apply(&tables_of(ruleset, family), &own);
            if let Err(error) = outcome {
                let back: Vec<iptables::Edit> = reversed(&made, ruleset);
                return Err(self.after_failure(error, &back));
            }
            made.extend(own.into_iter().cloned());
        }
        Ok(())
    }

    /// Takes edits of iptables-legacy back after a later one failed; the error says so when that fails too.
    fn after_failure(&mut self, error: Error, back: &[iptables::Edit]) -> Error {
        if back.is_empty() {
            return error;
        }
        let undone = self
            .ruleset(Layer::Runtime, Scope::InputPath)
            .and_then(|now| self.edit_legacy(&now, back));
        match undone {
            Ok(()) => error,
            Err(second) => Error::new(
                error.kind(),
                format!("{error}; the edits made before it could not be taken back: {second}"),
            ),
        }
    }
}

impl Backend for Kernel {
    type Edit = Edit;

    fn name(&self) -> &'static str {
        self.in_charge.unwrap_or("nftables")
    }

    fn layers(&self) -> Vec<Layer> {
        vec![Layer::Runtime]
    }

    fn ruleset(&mut self, _layer: Layer, scope: Scope) -> Result<Ruleset> {
        let mut ruleset = netfilter::read(&mut self.socket, scope)?;
        let mut tables = self.legacy_tables()?;
        tables.append(&mut ruleset.tables);
        ruleset.tables = tables;
        self.in_charge = in_charge(&ruleset);
        Ok(ruleset)
    }

    fn settled(&self, _layer: Layer, ruleset: &Ruleset, desired: &Desired) -> bool {
        own::settled(ruleset, &desired.ports)
    }

    fn plan(&self, _layer: Layer, ruleset: &Ruleset, desired: &Desired) -> Result<Plan<Edit>> {
        let decision = own::decide(ruleset, desired);
        let mut numbers = Numbers::new(ruleset);
        let mut edits = Vec::new();
        let mut stale = decision.stale();
        // The older packet filter knows no batches: a run that dies in between is to leave a port open too many, not one
        // too few.
        let legacy = ruleset
            .tables
            .iter()
            .any(|table| table.filter == Filter::Legacy);
        if !legacy {
            for own in stale.by_ref() {
                edits.extend(Edit::deletion(own, ruleset, &mut numbers));
            }
        }
        for missing in &decision.insertions {
            edits.extend(Edit::insertion(&missing.insertion, ruleset, &mut numbers));
        }
        for own in stale {
            edits.extend(Edit::deletion(own, ruleset, &mut numbers));
        }
        Ok(Plan {
            edits,
            refusals: decision.refusals,
        })
    }

    fn batches(&self, edits: &[Edit]) -> u32 {
        u32::from(edits.iter().any(|edit| !matches!(edit, Edit::Legacy(_))))
    }

    fn apply(&mut self, layer: Layer, ruleset: &Ruleset, edits: &[Edit]) -> Result<Vec<Edit>> {
        let (mut changes, mut orders) = (Vec::new(), Vec::new());
        for edit in edits {
            match edit {
                Edit::Nftables(change) | Edit::Iptables { change, .. } => {
                    changes.push(change.clone());
                }
                Edit::Legacy(order) => orders.push(order.clone()),
            }
        }
        // The batch last: nothing can go wrong behind it.
        self.edit_legacy(ruleset, &orders)?;
        let back = reversed(&orders, ruleset);
        if !changes.is_empty()
            && let Err(error) = self.send(ruleset, &changes)
        {
            return Err(self.after_failure(error, &back));
        }
        let after = self.ruleset(layer, Scope::Everything)?;
        let (added, deleted) = difference(ruleset, &after);
        let mut numbers = Numbers::new(&after);
        let mut undo: Vec<Edit> = Vec::new();
        for own in &added {
            undo.extend(Edit::deletion(own, &after, &mut numbers));
        }
        for own in &deleted {
            let insertion = own.insertion();
            undo.extend(insertion.and_then(|it| Edit::insertion(&it, &after, &mut numbers)));
        }
        undo.extend(back.into_iter().map(Edit::Legacy));
        Ok(undo)
    }
}

/// The tables of iptables-legacy in the ruleset.
fn tables_of(ruleset: &Ruleset, family: Family) -> Vec<&Table> {
    let wanted = match family {
        Family::Ipv4 => TableFamily::Ip,
        Family::Ipv6 => TableFamily::Ip6,
    };
    let tables = ruleset.tables.iter();
    tables
        .filter(|table| table.filter == Filter::Legacy && table.family == wanted)
        .collect()
}

/// The edits of iptables-legacy that take these back, given the ruleset before them.
fn reversed(edits: &[iptables::Edit], before: &Ruleset) -> Vec<iptables::Edit> {
    let own = own::rules(before);
    let mut numbers = Numbers::new(before);
    let mut back: Vec<iptables::Edit> = Vec::new();
    for edit in edits {
        let (handle, number) = numbers.follow(edit);
        let action = match edit.action {
            Action::Insert { .. } => Action::Delete { number },
            Action::Delete { .. } => {
                let ours = |rule: &&Own| rule.handle == handle && rule.is_in(edit);
                let Some((ports, local_only)) = own
                    .iter()
                    .find(ours)
                    .and_then(|rule| Some((rule.ports?, rule.local_only)))
                else {
                    continue;
                };
                Action::Insert {
                    number: Some(number),
                    ports,
                    local_only,
                }
            }
        };
        back.push(iptables::Edit {
            action,
            ..edit.clone()
        });
    }
    back.reverse();
    back
}

/// Which firewall filters what comes in: `iptables` where all base chains on the way in are tables of iptables, else
/// `nftables`; `None` where nothing filters.
fn in_charge(ruleset: &Ruleset) -> Option<&'static str> {
    let filters = |table: &&Table| {
        let mut bases = table.chains.iter().filter_map(|chain| chain.base.as_ref());
        !table.dormant
            && table.family != TableFamily::Bridge
            && bases.any(|base| matches!(base.hook, Hook::Ingress | Hook::Prerouting | Hook::Input))
    };
    let mut tables = ruleset.tables.iter().filter(filters).peekable();
    tables.peek()?;
    Some(if tables.all(iptables::is_iptables) {
        "iptables"
    } else {
        "nftables"
    })
}
