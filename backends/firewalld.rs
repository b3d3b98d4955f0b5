//! firewalld, over D-Bus: zones are opened, in what runs and in what the next start loads, without a reload.
//!
//! What is open is read off the kernel's rules, which firewalld has written, whichever of its backends it uses; what
//! will be, off its permanent configuration. Nothing here activates firewalld, reloads it, or edits its rules.

mod bus;
pub mod config;
mod records;
pub mod ruleset;
mod runtime;
#[cfg(test)]
mod tests;
mod zones;

use std::fmt;
use std::path::Path;

pub use self::zones::{Choice, Zone};

use self::bus::{Bus, Exception, Settings};
use self::records::{Record, What};
use self::runtime::Runtime;
use crate::backend::{Backend, Desired, Layer, Plan, Scope};
use crate::boot::Note;
use crate::error::{Error, ErrorKind, Result};
use crate::host::owned::Owned;
use crate::kernel::Kernel;
use crate::model::ports::{PortRange, PortSet};
use crate::model::ruleset::Ruleset;
use crate::proof::place::MARK;

/// The name of the service of ours.
const SERVICE: &str = MARK;

/// How the description of the service of ours begins: the mark.
const DESCRIPTION: &str = "Managed by pasvsync";

/// A running firewalld, and the kernel that it writes to.
#[derive(Debug)]
pub struct Firewalld {
    bus: Bus,
    kernel: Kernel,
    owned: Owned,
    choice: Choice,
    runtime: Runtime,
}

/// One change, printed as an admin would type it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Opens ports in a zone of the running firewalld.
    AddPort {
        /// The zone.
        zone: String,
        /// The ports.
        ports: PortRange,
    },
    /// Closes them.
    RemovePort {
        /// The zone.
        zone: String,
        /// The ports, just as they were added.
        ports: PortRange,
    },
    /// Adds a service to a zone of the running firewalld.
    AddService {
        /// The zone.
        zone: String,
        /// The service.
        service: String,
    },
    /// Takes it out of there.
    RemoveService {
        /// The zone.
        zone: String,
        /// The service.
        service: String,
    },
}

impl fmt::Display for Edit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddPort { zone, ports } => {
                write!(
                    formatter,
                    "firewall-cmd --zone={zone} --add-port={ports}/tcp"
                )
            }
            Self::RemovePort { zone, ports } => {
                write!(
                    formatter,
                    "firewall-cmd --zone={zone} --remove-port={ports}/tcp"
                )
            }
            Self::AddService { zone, service } => {
                write!(
                    formatter,
                    "firewall-cmd --zone={zone} --add-service={service}"
                )
            }
            Self::RemoveService { zone, service } => {
                write!(
                    formatter,
                    "firewall-cmd --zone={zone} --remove-service={service}"
                )
            }
        }
    }
}

impl Edit {
    /// What takes back what is on record.
    fn removal(record: &Record) -> Self {
        let zone = record.zone.clone();
        match &record.what {
            What::Ports(ports) => Self::RemovePort {
                zone,
                ports: *ports,
            },
            What::Service(service) => Self::RemoveService {
                zone,
                service: service.clone(),
            },
        }
    }

    /// What undoes it.
    fn reversed(&self) -> Self {
        match self.clone() {
            Self::AddPort { zone, ports } => Self::RemovePort { zone, ports },
            Self::RemovePort { zone, ports } => Self::AddPort { zone, ports },
            Self::AddService { zone, service } => Self::RemoveService { zone, service },
            Self::RemoveService { zone, service } => Self::AddService { zone, service },
        }
    }

    /// What of ours it adds to the running firewalld, or takes away; the service of ours needs no record.
    fn record(&self) -> Option<Record> {
        let (zone, what) = match self {
            Self::AddPort { zone, ports } | Self::RemovePort { zone, ports } => {
                (zone, What::Ports(*ports))
            }
            Self::AddService { zone, service } | Self::RemoveService { zone, service }
                if service != SERVICE =>
            {
                (zone, What::Service(service.clone()))
            }
            _ => return None,
        };
        Some(Record {
            zone: zone.clone(),
            what,
        })
    }

    fn adds(&self) -> bool {
        matches!(self, Self::AddPort { .. } | Self::AddService { .. })
    }
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
        let state = bus.state()?;
        if state != "RUNNING" {
            return Err(Error::new(
                ErrorKind::Failed,
                format!("firewalld is not working: its state is {state}"),
            )
            .with_hint(
                "its configuration may be broken: see `firewall-cmd --check-config` and `journalctl -u firewalld`, mend it, and restart firewalld",
            ));
        }
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
        Ok(Some(Self {
            bus,
            kernel: Kernel::open()?,
            owned: Owned::new(Path::new("/"), "firewalld"),
            choice,
            runtime: Runtime::default(),
        }))
    }

    /// The error that says that there is none.
    pub fn missing() -> Error {
        Error::new(
            ErrorKind::NotRunning,
            "firewalld is not running: nobody owns its name on the system bus, or there is no system bus",
        )
        .with_hint("start it: systemctl start firewalld; it is never started from here")
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
                    "try it with `pasvsync probe` from there",
                ));
            }
        }
        notes
    }

    /// Makes one edit of the running firewalld; whether it was needed.
    fn make(&self, edit: &Edit) -> Result<()> {
        let ports = |ports: &PortRange| ports.to_string();
        let answer = match edit {
            Edit::AddPort { zone, ports: range } => self.bus.add_port(zone, &ports(range))?,
            Edit::RemovePort { zone, ports: range } => self.bus.remove_port(zone, &ports(range))?,
            Edit::AddService { zone, service } => self.bus.add_service(zone, service)?,
            Edit::RemoveService { zone, service } => self.bus.remove_service(zone, service)?,
        };
        match answer {
            Ok(_) => Ok(()),
            // Gone already, which is what is wanted.
            Err(exception) if exception.is("NOT_ENABLED") => Ok(()),
            Err(exception) if exception.is("ALREADY_ENABLED") => Err(Error::new(
                ErrorKind::Changed,
                format!("somebody else has just done it: {}", exception.message),
            )),
            Err(exception) => Err(Exception::into(exception)),
        }
    }

    /// Makes the edits of the running firewalld, or none of them.
    fn apply_runtime(&self, edits: &[Edit]) -> Result<Vec<Edit>> {
        let before: Vec<Record> = self.runtime.records().to_vec();
        let added = edits.iter().filter(|edit| edit.adds());
        let added: Vec<Record> = added.filter_map(Edit::record).collect();
        let write = |records: &[Record]| {
            let mut lines: Vec<String> = records.iter().map(ToString::to_string).collect();
            lines.dedup();
            self.owned.write(&lines)
        };
        // First, so that a run that is killed between the two leaves nothing of ours without a record.
        if !added.is_empty() {
            write(&[before.clone(), added.clone()].concat())?;
        }
        let mut made: Vec<Edit> = Vec::new();
        for edit in edits {
            if let Err(error) = self.make(edit) {
                return Err(self.take_back(error, &made, || write(&before)));
            }
            made.push(edit.reversed());
        }
        let removed = edits.iter().filter(|edit| !edit.adds());
        let removed: Vec<Record> = removed.filter_map(Edit::record).collect();
        let mut records = [before, added].concat();
        records.retain(|record| !removed.contains(record));
        write(&records)?;
        made.reverse();
        Ok(made)
    }

    /// Takes edits back after a later one failed; the error says so when that fails too.
    fn take_back(&self, error: Error, made: &[Edit], forget: impl FnOnce() -> Result<()>) -> Error {
        let mut back = made.iter().rev();
        let undone = back.try_for_each(|edit| self.make(edit));
        match undone.and_then(|()| forget()) {
            Ok(()) => error,
            Err(second) => Error::new(
                error.kind(),
                format!("{error}; the edits made before it could not be taken back: {second}"),
            ),
        }
    }
}

impl Backend for Firewalld {
    type Edit = Edit;

    fn name(&self) -> &'static str {
        "firewalld"
    }

    fn layers(&self) -> Vec<Layer> {
        vec![Layer::Runtime]
    }

    fn remember(&self, layer: Layer, _desired: &Desired, _proof: &crate::backend::Proof) {
        if layer == Layer::Runtime
            && let Err(error) = self.runtime.tidy(&self.owned)
        {
            tracing::debug!("the list of what is ours stays as it is: {error}");
        }
    }

    fn ruleset(&mut self, layer: Layer, scope: Scope) -> Result<Ruleset> {
        let mut ruleset = self.kernel.ruleset(layer, scope)?;
        // firewalld edits the kernel as often as it likes: that number tells nothing.
        ruleset.generation = None;
        self.runtime = Runtime::read(
            &self.bus,
            &self.owned,
            &self.choice,
            &mut ruleset,
            scope,
            |_| PortSet::EMPTY,
        )?;
        Ok(ruleset)
    }

    fn settled(&self, _layer: Layer, ruleset: &Ruleset, desired: &Desired) -> bool {
        self.runtime.settled(ruleset, desired)
    }

    fn plan(&self, _layer: Layer, ruleset: &Ruleset, desired: &Desired) -> Result<Plan<Edit>> {
        Ok(self.runtime.plan(ruleset, desired))
    }

    fn apply(&mut self, _layer: Layer, _ruleset: &Ruleset, edits: &[Edit]) -> Result<Vec<Edit>> {
        self.apply_runtime(edits)
    }
}
