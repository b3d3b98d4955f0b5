//! Passive ranges with the place they were read from, and their union over the daemons.

use firewall::model::ports::{PortRange, PortSet};

use crate::findings::{Finding, Location};

/// A passive range that a daemon's configuration sets, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassiveRange {
    /// The ports.
    pub ports: PortRange,
    /// The file and line that set them.
    pub location: Location,
}

/// What one daemon's configuration says.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The daemon's name, as `--daemon` takes it: `pure-ftpd`, `proftpd`, `vsftpd`, ...
    pub daemon: &'static str,
    /// The configuration that was read, the main file first, includes behind it.
    pub files: Vec<std::path::PathBuf>,
    /// The passive ranges as written and valid, the daemon's own repairs applied; empty when unset.
    pub passive: Vec<PassiveRange>,
    /// The TCP ports of the control connection, ascending.
    pub control: Vec<u16>,
    /// The ports that can really appear in a passive reply, the daemon's default included.
    pub effective: PortSet,
    /// What the daemon says when it refuses to start with this configuration; `None` when it would start.
    pub refuses: Option<String>,
    /// Whether the daemon answers PASV or EPSV at all (vsftpd `pasv_enable=NO`, Pure-FTPd `NATmode` say no).
    pub passive_enabled: bool,
    /// What the user should know about this configuration.
    pub findings: Vec<Finding>,
}

impl Reading {
    /// The passive ports that the firewall must let in: none when the daemon refuses to start or takes no passive
    /// connections.
    pub fn wanted(&self) -> PortSet {
        if self.refuses.is_some() || !self.passive_enabled {
            return PortSet::EMPTY;
        }
        self.passive.iter().map(|range| range.ports).collect()
    }
}
