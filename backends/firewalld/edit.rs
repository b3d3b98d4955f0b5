//! The edits, as firewalld makes them and as an admin would type them.

use std::fmt;
use std::path::PathBuf;

use super::bus::{Bus, Exception};
use super::config::Folders;
use super::records::{Record, What};
use super::{DESCRIPTION, SERVICE, permanent};
use crate::error::{Error, ErrorKind, Result};
use crate::host::file::make_sure_of_room;
use crate::model::ports::{PortRange, PortSet};

/// What firewalld writes for us is no larger, in bytes, than this and what is there already.
const ADDED: usize = 8192;

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
    /// Makes the permanent service of ours.
    NewService {
        /// What it lets in.
        content: Content,
    },
    /// Has it let in something else.
    ChangeService {
        /// What it lets in.
        from: Content,
        /// What it will.
        to: Content,
    },
    /// Removes it.
    DeleteService {
        /// What it lets in.
        content: Content,
    },
    /// Adds it to a permanent zone.
    AddToZone {
        /// The zone.
        zone: String,
    },
    /// Takes it out of there.
    TakeFromZone {
        /// The zone.
        zone: String,
    },
}

/// What the service of ours lets in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Ports.
    pub ports: PortSet,
    /// Services of firewalld's own, by name.
    pub includes: Vec<String>,
}

impl Content {
    /// The commands that add all of it to the service, or (`remove`) take all of it out.
    fn typed(&self, verb: &str) -> Vec<String> {
        let ranges = self.ports.ranges().iter();
        let ports: String = ranges
            .map(|range| format!(" --{verb}-port={range}/tcp"))
            .collect();
        let includes = self.includes.iter();
        let includes: String = includes
            .map(|service| format!(" --{verb}-include={service}"))
            .collect();
        let options = [ports, includes];
        let options = options.iter().filter(|options| !options.is_empty());
        options
            .map(|options| format!("firewall-cmd --permanent --service={SERVICE}{options}"))
            .collect()
    }

    /// What of it is not in the other.
    fn without(&self, other: &Self) -> Self {
        let includes = self.includes.iter();
        let includes = includes.filter(|service| !other.includes.contains(service));
        Self {
            ports: self.ports.difference(&other.ports),
            includes: includes.cloned().collect(),
        }
    }
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
            Self::NewService { content } => {
                let mut commands = vec![
                    format!("firewall-cmd --permanent --new-service={SERVICE}"),
                    format!(
                        "firewall-cmd --permanent --service={SERVICE} --set-description='{DESCRIPTION}'"
                    ),
                ];
                commands.extend(content.typed("add"));
                formatter.write_str(&commands.join(" && "))
            }
            Self::ChangeService { from, to } => {
                let mut commands = from.without(to).typed("remove");
                commands.extend(to.without(from).typed("add"));
                formatter.write_str(&commands.join(" && "))
            }
            Self::DeleteService { .. } => {
                write!(
                    formatter,
                    "firewall-cmd --permanent --delete-service={SERVICE}"
                )
            }
            Self::AddToZone { zone } => write!(
                formatter,
                "firewall-cmd --permanent --zone={zone} --add-service={SERVICE}"
            ),
            Self::TakeFromZone { zone } => write!(
                formatter,
                "firewall-cmd --permanent --zone={zone} --remove-service={SERVICE}"
            ),
        }
    }
}

impl Edit {
    /// What takes back what is on record.
    pub(super) fn removal(record: &Record) -> Self {
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
    pub(super) fn reversed(&self) -> Self {
        match self.clone() {
            Self::AddPort { zone, ports } => Self::RemovePort { zone, ports },
            Self::RemovePort { zone, ports } => Self::AddPort { zone, ports },
            Self::AddService { zone, service } => Self::RemoveService { zone, service },
            Self::RemoveService { zone, service } => Self::AddService { zone, service },
            Self::NewService { content } => Self::DeleteService { content },
            Self::ChangeService { from, to } => Self::ChangeService { from: to, to: from },
            Self::DeleteService { content } => Self::NewService { content },
            Self::AddToZone { zone } => Self::TakeFromZone { zone },
            Self::TakeFromZone { zone } => Self::AddToZone { zone },
        }
    }

    /// What of ours it adds to the running firewalld, or takes away, that bears no mark.
    pub(super) fn record(&self) -> Option<Record> {
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

    /// Whether it adds something, rather than taking it away.
    pub(super) fn adds(&self) -> bool {
        matches!(self, Self::AddPort { .. } | Self::AddService { .. })
    }

    /// The file that firewalld writes for it, if it is permanent.
    fn file(&self, folders: &Folders) -> Option<PathBuf> {
        let (folder, name) = match self {
            Self::NewService { .. } | Self::ChangeService { .. } | Self::DeleteService { .. } => {
                ("services", SERVICE)
            }
            Self::AddToZone { zone } | Self::TakeFromZone { zone } => ("zones", zone.as_str()),
            _ => return None,
        };
        Some(folders.system.join(folder).join(format!("{name}.xml")))
    }

    /// Makes sure that there is room for the file that firewalld writes for it: where there is none, firewalld (1.3.3)
    /// leaves the file empty, and does not start with it.
    ///
    /// # Errors
    /// Why the file cannot be written.
    pub(super) fn make_sure_of_room(&self, folders: &Folders) -> Result<()> {
        let Some(path) = self.file(folders) else {
            return Ok(());
        };
        // firewalld keeps the old one beside it.
        let old = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let old = usize::try_from(old).unwrap_or(usize::MAX);
        make_sure_of_room(&path, old.saturating_mul(2).saturating_add(ADDED))
    }

    /// Has firewalld make it.
    ///
    /// # Errors
    /// `Changed` when it is there already: somebody else was faster. Else what firewalld says.
    pub(super) fn make(&self, bus: &Bus) -> Result<()> {
        let done = |answer: std::result::Result<String, Exception>| answer.map(|_| ());
        let answer = match self {
            Self::AddPort { zone, ports } => done(bus.add_port(zone, &ports.to_string())?),
            Self::RemovePort { zone, ports } => done(bus.remove_port(zone, &ports.to_string())?),
            Self::AddService { zone, service } => done(bus.add_service(zone, service)?),
            Self::RemoveService { zone, service } => done(bus.remove_service(zone, service)?),
            Self::NewService { content } => {
                bus.new_permanent_service(SERVICE, &permanent::settings(content))?
            }
            Self::ChangeService { to, .. } => {
                bus.update_permanent_service(SERVICE, &permanent::settings(to))?
            }
            Self::DeleteService { .. } => bus.remove_permanent_service(SERVICE)?,
            Self::AddToZone { zone } => bus.change_permanent_zone(zone, SERVICE, true)?,
            Self::TakeFromZone { zone } => bus.change_permanent_zone(zone, SERVICE, false)?,
        };
        match answer {
            Ok(()) => Ok(()),
            // Gone already, which is what is wanted.
            Err(exception) if exception.is("NOT_ENABLED") => Ok(()),
            Err(exception) if exception.is("ALREADY_ENABLED") => Err(Error::new(
                ErrorKind::Changed,
                format!("somebody else has just done it: {}", exception.message),
            )),
            Err(exception) => Err(exception.into()),
        }
    }
}
