//! The FTP daemons: which are here, and what their configuration says.
//!
//! One file per daemon and one line in `DAEMONS`. Parsers take bytes and give values; [`disk::Disk`] alone reads.
//! In the comments RUN marks what was seen in the running daemon, SRC what was read in its source, DOC what its vendor
//! documents.

mod advice;
mod cpanel;
pub mod disk;
pub mod edit;
mod filezilla_server;
mod host;
mod nat;
mod proftpd;
mod pure_ftpd;
mod pyftpdlib;
mod restart;
mod running;
mod set_range;
mod sftpgo;
mod text;
mod units;
mod vsftpd;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

pub use edit::{Edit, Ways};
pub use host::{Host, Process};
#[doc(hidden)]
pub use proftpd::fuzz_program;
pub use restart::{Restart, restart};
pub use running::{about_running, about_unread, is_daemon};
pub use set_range::{Change, set_range};

use firewall::model::ports::PortRange;

pub use crate::config_error::{ConfigError, ConfigErrorKind};
use crate::findings::Finding;
use crate::listeners::Owner;
use crate::passive::Reading;

/// An FTP daemon: where its configuration lies and what it makes of it.
pub trait Daemon: Sync {
    /// The name, as `--daemon` takes it.
    fn name(&self) -> &'static str;

    /// What its configuration says, one reading per instance; none when the daemon is not here. `chosen` is the
    /// configuration that `--daemon-config` names.
    ///
    /// # Errors
    /// When a file cannot be read to its end. A configuration that the daemon would refuse is a reading, not an error.
    fn read(&self, host: &Host, chosen: Option<&Path>) -> Result<Vec<Reading>, ConfigError>;

    /// What the daemon makes of the command line of a process that runs it; `None` when the process is no such daemon,
    /// or shows another command line than it was started with.
    ///
    /// # Errors
    /// When a file that the command line names cannot be read to its end.
    fn started(&self, _: &Host, _: &Process) -> Result<Option<Reading>, ConfigError> {
        Ok(None)
    }

    /// The ways to give its configuration a passive range. Nothing is written; whether a way does what it should is proved
    /// by reading what it would come to ([`set_range()`]).
    ///
    /// # Errors
    /// When a file cannot be read, or when the range is set where pasvsync cannot change it safely.
    fn ways(&self, host: &Host, chosen: Option<&Path>, range: PortRange) -> Ways;

    /// How an administrator sets the range 49152-50175 by hand, for hints.
    fn range_by_hand(&self, reading: &Reading) -> String;

    /// How an administrator has `ADDRESS` told to passive clients, for hints.
    fn address_by_hand(&self) -> &'static str;

    /// Whether it has a configuration that a range can be written into.
    fn is_editable(&self) -> bool {
        true
    }

    /// The file that holds the range and nothing else, where it has such a one; it may have to be created.
    fn range_file(&self, _: &Reading) -> Option<PathBuf> {
        None
    }

    /// What is said of a configuration that takes no passive connections: code, message and hint.
    fn takes_none(&self) -> [&'static str; 3] {
        [
            "passive-disabled",
            "no server of this configuration takes passive connections",
            NO_PORTS,
        ]
    }

    /// The units and init scripts that its packages bring.
    fn services(&self) -> &'static [&'static str] {
        &[]
    }

    /// Where its process may have written its number.
    fn pid_files(&self) -> &'static [&'static str] {
        &[]
    }

    /// How the names of its processes begin.
    fn process_name(&self) -> &'static str {
        self.name()
    }

    /// Whether the process is one of its.
    fn is_run_by(&self, process: &Owner) -> bool {
        let name = kernels(self.name());
        [&process.program, &process.name]
            .into_iter()
            .any(|known| known == self.name() || known == name)
    }

    /// Whether its processes go on showing the arguments that they were started with.
    fn shows_arguments(&self) -> bool {
        false
    }

    /// The daemon's own test of its configuration, where it has one that starts nothing.
    ///
    /// # Errors
    /// When what starts the daemon cannot be read.
    fn trial(&self, _: &Host, _: Option<&Path>) -> Result<Option<Trial>, ConfigError> {
        Ok(None)
    }
}

/// The hint of a daemon that takes no passive connections.
const NO_PORTS: &str = "no passive ports are needed";

/// The name of a process as the kernel keeps it, which is 15 bytes of it.
fn kernels(name: &str) -> &str {
    name.get(..15).unwrap_or(name)
}

/// A command that fails when a daemon would refuse its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// The environment that the daemon has, besides the usual.
    pub environment: Vec<(String, String)>,
}

/// Whether an admin may edit the path to configure a daemon: programs are told by their folder.
fn is_configuration(path: &Path) -> bool {
    let program = |folder: &Path| folder.ends_with("sbin") || folder.ends_with("bin");
    let mut places = NOT_CONFIGURATION.iter();
    !places.any(|place| path.starts_with(place)) && !path.parent().is_some_and(program)
}

/// Every daemon that pasvsync knows.
const DAEMONS: &[&dyn Daemon] = &[
    &pure_ftpd::PureFtpd,
    &proftpd::ProFtpd,
    &vsftpd::Vsftpd,
    &sftpgo::SftpGo,
    &filezilla_server::FileZillaServer,
    &pyftpdlib::Pyftpdlib,
];

/// What lies here is the kernel's, or came with a package, or starts and stops with the system: nobody edits it to
/// configure a daemon. Units are systemd's own to watch.
const NOT_CONFIGURATION: &[&str] = &[
    "/dev",
    "/etc/systemd",
    "/lib",
    "/proc",
    "/run",
    "/sys",
    "/usr/lib",
    "/usr/local/lib/systemd",
];

/// What to look for, and where.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Read below this folder instead of `/`; then only files are looked at.
    pub root: Option<PathBuf>,
    /// Configuration files given by name of daemon (`--daemon-config NAME=PATH`), as the daemon knows them.
    pub overrides: Vec<(String, PathBuf)>,
    /// The only daemon to look for (`--daemon`).
    pub only: Option<String>,
    /// Environment variables that the daemons are known to have, besides those of their units.
    pub environment: Vec<(String, String)>,
    /// The addresses of this host's interfaces; none of an image, or where they do not matter.
    pub addresses: Vec<IpAddr>,
    /// Texts to read instead of what is in the files of that name, as the daemon knows them; the files may be missing.
    pub instead: Vec<(PathBuf, Vec<u8>)>,
}

/// The daemons that are here.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    /// What each daemon's configuration says.
    pub readings: Vec<Reading>,
    /// What concerns no single daemon, or several.
    pub findings: Vec<Finding>,
}

/// Finds the daemons and reads their configuration.
///
/// # Errors
/// When a configuration is there and cannot be read to its end: nothing may be opened on half a reading.
pub fn discover(request: &Request) -> Result<Discovery, ConfigError> {
    let host = Host::new(request)?;
    let shown = |path: &Path| host.disk.shown(path);
    match discover_on(&host, request) {
        Ok(mut discovery) => {
            relocate(&mut discovery, &shown);
            Ok(discovery)
        }
        Err(error) => Err(error.relocated(&shown)),
    }
}

fn discover_on(host: &Host, request: &Request) -> Result<Discovery, ConfigError> {
    let mut discovery = Discovery::default();
    let only = request.only.as_deref();
    let wanted = |daemon: &&&dyn Daemon| only.is_none_or(|only| only == daemon.name());
    for daemon in DAEMONS.iter().filter(wanted) {
        let mut chosen = request
            .overrides
            .iter()
            .filter(|(name, _)| name == daemon.name())
            .map(|(_, path)| path.as_path())
            .peekable();
        if chosen.peek().is_none() {
            discovery.readings.extend(read(*daemon, host, None)?);
        }
        for path in chosen {
            discovery.readings.extend(read(*daemon, host, Some(path))?);
        }
    }
    // Only now, since it means looking through every process.
    if discovery.readings.is_empty() {
        for daemon in DAEMONS.iter().filter(wanted) {
            discovery.readings.extend(started_by_hand(*daemon, host)?);
        }
    }
    if request.overrides.is_empty() {
        cpanel::apply(host, only, &mut discovery)?;
        host.disk.all_told()?;
    }
    for reading in &mut discovery.readings {
        let Some(daemon) = named(reading.daemon) else {
            continue;
        };
        advice::about_one(host, daemon, reading);
        nat::about_one(&request.addresses, daemon, reading);
    }
    advice::about_all(request, &mut discovery);
    Ok(discovery)
}

/// What runs with no configuration in any usual place: then its command line is the configuration.
fn started_by_hand(daemon: &dyn Daemon, host: &Host) -> Result<Vec<Reading>, ConfigError> {
    let mut known: Vec<&[String]> = Vec::new();
    let mut readings = Vec::new();
    for process in host.processes() {
        // A session shows what its daemon was started with.
        if !known.contains(&process.arguments.as_slice())
            && let Some(reading) = daemon.started(host, process)?
        {
            known.push(&process.arguments);
            readings.push(reading);
        }
    }
    Ok(readings)
}

/// The names that `--daemon` takes.
pub fn names() -> Vec<&'static str> {
    DAEMONS.iter().map(|daemon| daemon.name()).collect()
}

/// The daemon of that name.
fn named(name: &str) -> Option<&'static dyn Daemon> {
    let mut daemons = DAEMONS.iter().copied();
    daemons.find(|daemon| daemon.name() == name)
}

/// The test that the one daemon named has for its configuration, where it has one.
///
/// # Errors
/// When what starts the daemon cannot be read.
pub fn trial(request: &Request) -> Result<Option<Trial>, ConfigError> {
    let host = Host::new(request)?;
    let Some(daemon) = request.only.as_deref().and_then(named) else {
        return Ok(None);
    };
    let mut chosen = request.overrides.iter();
    let chosen = chosen.find(|(name, _)| name == daemon.name());
    daemon.trial(&host, chosen.map(|(_, path)| path.as_path()))
}

/// Puts the root in front of every path: what is named is the file that was read. The daemon's own words stay.
fn relocate(discovery: &mut Discovery, shown: &dyn Fn(&Path) -> PathBuf) {
    let finding = |finding: &mut Finding| {
        if let Some(location) = &mut finding.location {
            location.path = shown(&location.path);
        }
    };
    discovery.findings.iter_mut().for_each(finding);
    for reading in &mut discovery.readings {
        reading.findings.iter_mut().for_each(finding);
        for path in reading
            .files
            .iter_mut()
            .chain(&mut reading.read_by_sessions)
        {
            *path = shown(path);
        }
        for range in &mut reading.passive {
            range.location.path = shown(&range.location.path);
        }
        for advertised in &mut reading.advertised {
            advertised.location.path = shown(&advertised.location.path);
        }
        reading.refuses = reading.refuses.take().map(|error| error.relocated(shown));
    }
}

/// One daemon, with what is wrong with the files it was read from.
fn read(
    daemon: &dyn Daemon,
    host: &Host,
    chosen: Option<&Path>,
) -> Result<Vec<Reading>, ConfigError> {
    host.disk.take_loose();
    host.disk.take_consulted();
    let readings = daemon.read(host, chosen);
    // Also when it failed: what could not be read may be why.
    host.disk.all_told()?;
    let mut readings = readings?;
    let loose = host.disk.take_loose();
    if let Some(reading) = readings.first_mut() {
        let mut consulted = host.disk.take_consulted();
        consulted.retain(|path| is_configuration(path));
        reading.consulted = consulted.into_iter().collect();
        advice::about_writers(&loose, reading);
    }
    Ok(readings)
}
