//! Passive ranges with the place they were read from, and their union over the daemons.

use firewall::model::ports::{PortRange, PortSet};

use crate::config_error::ConfigError;
use crate::findings::{Finding, Location};

/// A passive range that a daemon's configuration sets, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassiveRange {
    /// The ports.
    pub ports: PortRange,
    /// The file and line that set them.
    pub location: Location,
}

/// An address or name that a configuration tells passive clients to connect to, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// The address or name as written.
    pub address: String,
    /// The directive that sets it, in the daemon's words.
    pub directive: &'static str,
    /// The file and line that set it.
    pub location: Location,
}

/// What one daemon's configuration says.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The daemon's name, as `--daemon` takes it: `pure-ftpd`, `proftpd`, `vsftpd`, ...
    pub daemon: &'static str,
    /// The configuration that was read, the main file first, includes behind it.
    pub files: Vec<std::path::PathBuf>,
    /// Those of the files that each session reads anew: a change of them needs no restart.
    pub read_by_sessions: Vec<std::path::PathBuf>,
    /// Where a change may make this another reading: files and folders, which need not be there yet.
    pub consulted: Vec<std::path::PathBuf>,
    /// The passive ranges as written and valid, the daemon's own repairs applied; empty when unset, and when the
    /// daemon refuses the configuration everywhere ([`crate::config_error::ConfigErrorKind::Refused`]).
    pub passive: Vec<PassiveRange>,
    /// The TCP ports of the control connection, ascending.
    pub control: Vec<u16>,
    /// The ports that can really appear in a passive reply, the daemon's default included. Empty when the daemon
    /// refuses the configuration everywhere; as written when only this version or build refuses it.
    pub effective: PortSet,
    /// What the daemon says when it refuses to start with this configuration; `None` when it would start.
    pub refuses: Option<ConfigError>,
    /// Whether the daemon answers PASV or EPSV at all (vsftpd `pasv_enable=NO`, Pure-FTPd `NATmode` say no).
    pub passive_enabled: bool,
    /// The addresses that passive clients are told to connect to; empty when the daemon uses its own.
    pub advertised: Vec<Advertised>,
    /// What the user should know about this configuration.
    pub findings: Vec<Finding>,
}

impl Reading {
    /// A reading of nothing yet.
    pub fn new(daemon: &'static str) -> Self {
        Self {
            daemon,
            files: Vec::new(),
            read_by_sessions: Vec::new(),
            consulted: Vec::new(),
            passive: Vec::new(),
            control: Vec::new(),
            effective: PortSet::EMPTY,
            refuses: None,
            passive_enabled: true,
            advertised: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// The passive ports that the firewall must let in: none when the daemon refuses to start or takes no passive
    /// connections.
    pub fn wanted(&self) -> PortSet {
        if self.refuses.is_some() || !self.passive_enabled {
            return PortSet::EMPTY;
        }
        self.written()
    }

    /// The passive ports as written, whatever the daemon makes of them.
    pub fn written(&self) -> PortSet {
        self.passive.iter().map(|range| range.ports).collect()
    }

    /// The control ports that the firewall must let in: none when the daemon refuses to start.
    pub fn wanted_control(&self) -> PortSet {
        if self.refuses.is_some() {
            return PortSet::EMPTY;
        }
        self.control
            .iter()
            .copied()
            .map(PortRange::single)
            .collect()
    }
}

/// The control ports of all daemons together.
pub fn control(readings: &[Reading]) -> PortSet {
    readings.iter().fold(PortSet::EMPTY, |ports, reading| {
        ports.union(&reading.wanted_control())
    })
}

/// The passive ports of all daemons together; with `control`, their control ports too.
pub fn wanted(readings: &[Reading], control: bool) -> PortSet {
    readings.iter().fold(PortSet::EMPTY, |ports, reading| {
        let ports = ports.union(&reading.wanted());
        if control {
            ports.union(&reading.wanted_control())
        } else {
            ports
        }
    })
}
