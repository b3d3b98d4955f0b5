//! firewalld, over D-Bus: zones are opened, in what runs and in what the next start loads, without a reload.
//!
//! What is open is read off the kernel's rules, which firewalld has written, whichever of its backends it uses; what
//! will be, off its permanent configuration. Nothing here activates firewalld, reloads it, or edits its rules.

mod bus;
pub mod config;
mod direct;
mod edit;
mod files;
#[cfg(feature = "kernel")]
pub(crate) mod fuzzing;
mod leftovers;
mod listing;
mod members;
mod memory;
mod objects;
mod permanent;
mod questions;
mod records;
pub mod ruleset;
mod runtime;
#[cfg(test)]
mod tests;
mod zones;

use std::path::Path;

pub use self::edit::{Content, Edit};
pub use self::files::{FileEdit, Files};
pub use self::members::Zone;
pub use self::zones::Choice;

use self::bus::{Bus, Settings};
use self::config::{Configuration, Folders};
use self::memory::Surroundings;
use self::permanent::Permanent;
use self::records::Record;
use self::runtime::Runtime;
use crate::backend::{Backend, Desired, Layer, Plan, Proof, Scope};
use crate::boot::{BootLayer, Note};
use crate::error::{Error, ErrorKind, Result};
use crate::host::owned::Owned;
use crate::kernel::Kernel;
use crate::model::ports::PortSet;
use crate::model::ruleset::{Filter, Ruleset, Table};
use crate::netfilter;
use crate::proof::place::MARK;

/// The name of the service of ours.
const SERVICE: &str = MARK;

/// How often what filters is read anew because it changed meanwhile.
const ATTEMPTS: usize = 10;

/// How the description of the service of ours begins: the mark.
const DESCRIPTION: &str = "Managed by pasvsync";

/// A running firewalld, and the kernel that it writes to.
#[derive(Debug)]
pub struct Firewalld {
    bus: Bus,
    /// Where it has its files.
    folders: Folders,
    kernel: Kernel,
    /// The kernel's ruleset when firewalld was asked ahead.
    asked_at: Option<u32>,
    owned: Owned,
    choice: Choice,
    runtime: Runtime,
    /// What this run has taken away.
    closed: Vec<Record>,
    /// What the last edit has added.
    made: Vec<Record>,
    permanent: Option<Permanent>,
    /// What else boot loads.
    boot: Option<BootLayer>,
}

/// Edits that were not all made.
struct Unfinished {
    error: Error,
    /// So many of them, from the first on, may have been made and still be there.
    left: usize,
}

/// Whether settings of a service are those of ours.
fn is_ours(settings: &Settings) -> bool {
    bus::value::<String>(settings, "description").is_some_and(|text| text.starts_with(DESCRIPTION))
}

impl Firewalld {
    /// The firewalld that is running; `None` when there is none. It is never started.
    ///
    /// # Errors
    /// `Failed` when it says of itself that it is not working; `Permission` when it does not talk to this user;
    /// `Unsupported` when a chosen zone does not exist; and what opening the kernel's packet filter says.
    pub fn find(choice: Choice) -> Result<Option<Self>> {
        let Some(bus) = Bus::find()? else {
            return Ok(None);
        };
        let kernel = Kernel::open().and_then(|mut kernel| Ok((kernel.generation()?, kernel)));
        bus.ask_ahead(SERVICE);
        works(&bus.state()?)?;
        if !choice.zones.is_empty() {
            let known = bus.zones()?;
            if let Some(zone) = choice.zones.iter().find(|zone| !known.contains(zone)) {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("firewalld has no zone `{zone}`"),
                )
                .with_hint(format!("its zones are {}", known.join(", "))));
            }
        }
        let folders = bus.folders()?;
        let (generation, kernel) = kernel?;
        Ok(Some(Self {
            owned: Owned::new(Path::new("/"), &records::list_name(&folders)),
            folders,
            bus,
            kernel,
            asked_at: Some(generation),
            choice,
            runtime: Runtime::default(),
            closed: Vec::new(),
            made: Vec::new(),
            permanent: None,
            boot: None,
        }))
    }

    /// The same on a host where boot loads rules beside firewalld's, which are judged with them.
    #[must_use]
    pub fn with_boot(self, boot: BootLayer) -> Self {
        let boot = Some(boot);
        Self { boot, ..self }
    }

    /// The error that says that there is none.
    pub fn missing() -> Error {
        Error::new(
            ErrorKind::NotRunning,
            "firewalld is not running: nobody owns its name on the system bus, or there is no system bus",
        )
        .with_hint(
            "firewalld is not in charge of this host now: leave --backend, --zone and the settings of that name away, or say \
             --backend auto, to work with what filters here",
        )
    }

    /// What the admin should know of the zones, once the ruleset was read.
    pub fn notes(&self) -> Vec<Note> {
        let mut notes = Vec::new();
        let note = |code, message, hint: &str| Note {
            code,
            warning: false,
            message,
            hint: Some(hint.to_owned()),
        };
        for (zone, members) in &self.runtime.division.others {
            let mut what: Vec<String> = Vec::new();
            let interfaces = members.interfaces.iter().filter(|interface| interface.up);
            what.extend(interfaces.map(|interface| format!("interface {}", interface.name)));
            what.extend(zone.sources.iter().map(|source| format!("source {source}")));
            if !what.is_empty() {
                notes.push(note(
                    "zone-left-out",
                    format!(
                        "zone {} is not opened, nothing is said of connections from its {}",
                        zone.name,
                        what.join(", ")
                    ),
                    "it does not let the control port in; to open it all the same, name every zone to open with --zone",
                ));
            }
        }
        for (zone, members) in &self.runtime.division.opened {
            if !members.unasked.is_empty() {
                notes.push(note(
                    "zone-source-not-proved",
                    format!(
                        "zone {} is opened for {} too, but the verdicts are about other clients",
                        zone.name,
                        members.unasked.join(", ")
                    ),
                    "log in and list a folder from there to see it",
                ));
            }
        }
        notes
    }

    /// What is still let in although firewalld knows nothing of it, once the ruleset was read.
    pub fn leftovers(&self, desired: &Desired) -> Vec<Note> {
        self.runtime.leftovers.notes(desired)
    }

    /// Makes the edits of the running firewalld, or none of them.
    fn apply_runtime(&mut self, edits: &[Edit]) -> Result<Vec<Edit>> {
        let before = self.runtime.records();
        let of = |adds: bool| {
            let edits = edits.iter().filter(move |edit| edit.adds() == adds);
            edits.filter_map(Edit::record).collect::<Vec<_>>()
        };
        let (added, removed) = (of(true), of(false));
        // First, so that a run that is killed between the two leaves nothing of ours without a record.
        if !added.is_empty() {
            self.write(&[before.clone(), added.clone()].concat())?;
        }
        let undo = match self.make(edits) {
            Ok(undo) => undo,
            Err(Unfinished { error, left }) => {
                let left = edits.iter().take(left).filter(|edit| edit.adds());
                let ours = before.into_iter().chain(left.filter_map(Edit::record));
                let kept = self.write(&ours.collect::<Vec<_>>());
                return Err(also(
                    error,
                    kept,
                    "and what is ours could not be written down",
                ));
            }
        };
        let mut records = [before, added.clone()].concat();
        records.retain(|record| !removed.contains(record));
        self.write(&records)?;
        self.closed.extend(self.runtime.closes(edits));
        self.made = added;
        Ok(undo)
    }

    /// Writes down what of the running firewalld is ours.
    fn write(&self, records: &[Record]) -> Result<()> {
        let mut lines: Vec<String> = records.iter().map(ToString::to_string).collect();
        lines.dedup();
        self.owned.write(&lines)
    }

    /// Makes the edits, or takes those back that were made before one failed. Returns what undoes them.
    fn make(&self, edits: &[Edit]) -> std::result::Result<Vec<Edit>, Unfinished> {
        let mut undo: Vec<Edit> = Vec::new();
        for edit in edits {
            if let Err(error) = edit.make(&self.bus) {
                let made = undo.len();
                let mut back = undo.iter().rev();
                let undone = back.try_for_each(|edit| edit.make(&self.bus));
                let answered = matches!(error.kind(), ErrorKind::Changed | ErrorKind::Refused);
                let left = match (answered, &undone) {
                    (true, Ok(())) => 0,
                    (true, Err(_)) => made,
                    // It may have been made, and only the answer was lost.
                    (false, _) => made + 1,
                };
                let what = "the edits made before it could not be taken back";
                let error = also(error, undone, what);
                return Err(Unfinished { error, left });
            }
            undo.push(edit.reversed());
        }
        undo.reverse();
        Ok(undo)
    }

    /// The ports that a zone has by name after the next reload.
    fn saved(folders: &Folders, zone: &str) -> Result<PortSet> {
        let configuration = Configuration::read_in(Path::new("/"), folders)?;
        Ok(permanent::ports_of(&configuration, zone))
    }

    /// What filters, and what firewalld says of it, at one time: firewalld answers nobody while it reloads, so rules that
    /// were read in the middle of that are no longer there when it has answered.
    fn read_runtime(&mut self, scope: Scope) -> Result<Ruleset> {
        for _ in 0..ATTEMPTS {
            let mut ruleset = self.kernel.ruleset(Layer::Runtime, scope)?;
            // Asked ahead, firewalld may have answered before somebody edited it; the older packet filter does not tell.
            let older = |table: &Table| table.filter == Filter::Legacy;
            if self.asked_at.take() != ruleset.generation || ruleset.tables.iter().any(older) {
                self.bus.forget_ahead();
            }
            // Among several edits of firewalld's this number tells nothing.
            let generation = ruleset.generation.take();
            self.runtime = Runtime::read(
                &self.bus,
                &self.owned,
                &self.choice,
                &mut ruleset,
                scope,
                &self.closed,
                |zone| Self::saved(&self.folders, zone),
            )?;
            if generation == Some(self.kernel.generation()?) {
                self.still_there()?;
                return Ok(ruleset);
            }
        }
        Err(Error::new(
            ErrorKind::Changed,
            format!("the rules kept changing while they were read, {ATTEMPTS} times in a row"),
        )
        .with_hint("see whether firewalld is reloaded all the time: journalctl -u firewalld"))
    }

    /// Whether what was just made is still there.
    fn still_there(&mut self) -> Result<()> {
        let records = self.runtime.records();
        let mut made = std::mem::take(&mut self.made).into_iter();
        if made.any(|record| !records.contains(&record)) {
            return Err(Error::new(
                ErrorKind::Changed,
                "firewalld was reloaded after the edit",
            ));
        }
        Ok(())
    }

    fn read_permanent(&mut self) -> Result<Ruleset> {
        let zones = self.runtime.division.zones();
        let beside = match &mut self.boot {
            Some(boot) => boot.beside("firewalld")?,
            None => Vec::new(),
        };
        let interfaces = netfilter::interfaces()?;
        let manager = self.manager();
        let permanent = Permanent::read(&self.folders, zones, manager, interfaces, &self.choice)?;
        let mut permanent = permanent.beside(beside);
        let ruleset = permanent.ruleset();
        self.permanent = Some(permanent);
        Ok(ruleset)
    }

    /// Whether boot starts `NetworkManager`.
    fn manager(&self) -> bool {
        self.boot.as_ref().is_some_and(BootLayer::network_manager)
    }

    /// The proof of an earlier run, where it was about firewalld's own configuration alone.
    fn remembered_permanent(&self, desired: &Desired) -> Option<Proof> {
        let boot = self.boot.as_ref()?;
        if boot.fresh() || !boot.nothing_beside("firewalld") {
            return None;
        }
        let surroundings = Surroundings {
            folders: &self.folders,
            choice: &self.choice,
            running: &self.runtime.division.zones(),
            manager: self.manager(),
            interfaces: &netfilter::interfaces().ok()?,
        };
        surroundings.remembered(desired)
    }

    fn permanent(&self) -> Result<&Permanent> {
        self.permanent.as_ref().ok_or_else(|| {
            Error::new(
                ErrorKind::Changed,
                "the permanent configuration was not read",
            )
        })
    }
}

/// Whether firewalld does its work, by what it says of its state.
fn works(state: &str) -> Result<()> {
    match state {
        "RUNNING" => Ok(()),
        "INIT" => Err(
            Error::new(ErrorKind::Busy, "firewalld is just starting: it has no rules yet")
                .with_hint("run pasvsync again once `firewall-cmd --state` says that it is running"),
        ),
        state => Err(Error::new(
            ErrorKind::Failed,
            format!("firewalld is not working: its state is {state}"),
        )
        .with_hint(
            "its configuration may be broken: see `firewall-cmd --check-config` and `journalctl -u firewalld`, mend it, and restart firewalld",
        )),
    }
}

/// The error, and what went wrong while it was dealt with.
fn also(error: Error, dealt: Result<()>, what: &str) -> Error {
    match dealt {
        Ok(()) => error,
        Err(second) => Error::new(error.kind(), format!("{error}; {what}: {second}")),
    }
}

impl Backend for Firewalld {
    type Edit = Edit;

    fn name(&self) -> &'static str {
        "firewalld"
    }

    fn layers(&self) -> Vec<Layer> {
        vec![Layer::Runtime, Layer::Permanent]
    }

    fn remembered(&self, layer: Layer, desired: &Desired) -> Option<Proof> {
        match layer {
            Layer::Runtime => None,
            Layer::Permanent => self.remembered_permanent(desired),
        }
    }

    fn remember(&self, layer: Layer, desired: &Desired, proof: &Proof) {
        let beside = self.boot.as_ref().map(|it| !it.nothing_beside("firewalld"));
        match layer {
            Layer::Runtime => {
                if let Err(error) = self.runtime.tidy(&self.owned) {
                    tracing::debug!("the list of what is ours stays as it is: {error}");
                }
            }
            // Of no ports nothing is remembered, nor left behind.
            Layer::Permanent if desired.ports.is_empty() => memory::forget(Path::new("/")),
            Layer::Permanent => {
                if let (Some(permanent), Some(false)) = (&self.permanent, beside) {
                    permanent.remember(&self.folders, desired, proof);
                }
            }
        }
    }

    fn ruleset(&mut self, layer: Layer, scope: Scope) -> Result<Ruleset> {
        match layer {
            Layer::Runtime => self.read_runtime(scope),
            Layer::Permanent => self.read_permanent(),
        }
    }

    fn settled(&self, layer: Layer, ruleset: &Ruleset, desired: &Desired) -> bool {
        match layer {
            Layer::Runtime => self.runtime.settled(ruleset, desired),
            Layer::Permanent => {
                let permanent = self.permanent.as_ref();
                permanent.is_some_and(|permanent| permanent.settled(ruleset, desired))
            }
        }
    }

    fn plan(&self, layer: Layer, ruleset: &Ruleset, desired: &Desired) -> Result<Plan<Edit>> {
        Ok(match layer {
            Layer::Runtime => self.runtime.plan(ruleset, desired),
            Layer::Permanent => self.permanent()?.plan(desired),
        })
    }

    fn apply(&mut self, layer: Layer, _ruleset: &Ruleset, edits: &[Edit]) -> Result<Vec<Edit>> {
        match layer {
            Layer::Runtime => self.apply_runtime(edits),
            Layer::Permanent => {
                self.permanent()?.agree(&self.bus, edits)?;
                for edit in edits {
                    edit.make_sure_of_room(&self.folders)?;
                }
                self.make(edits).map_err(|unfinished| unfinished.error)
            }
        }
    }
}
