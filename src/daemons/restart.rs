//! How a daemon is made to read its configuration anew.

use std::ffi::OsStr;
use std::path::Path;

use super::disk::Kind;
use super::{ConfigError, Host, cpanel, units, vsftpd};
use crate::passive::Reading;

/// What makes a daemon read its configuration anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restart {
    /// A super server starts it for each session: nothing to do.
    Needless,
    /// It was started by hand: nothing that could be known.
    ByHand,
    /// This command.
    Command(Vec<String>),
}

impl Restart {
    /// The command as an administrator would type it.
    pub fn command(&self) -> Option<String> {
        match self {
            Self::Needless | Self::ByHand => None,
            Self::Command(words) => Some(words.join(" ")),
        }
    }
}

/// Programs of cPanel.
const CPANEL_RESTART: &str = "/usr/local/cpanel/scripts/restartsrv_ftpserver";

/// How the daemon of a reading is restarted on this host.
///
/// # Errors
/// When a unit cannot be read.
pub fn restart(host: &Host, reading: &Reading) -> Result<Restart, ConfigError> {
    let there = |path: &str| host.disk.kind(Path::new(path)).is_some();
    if there(CPANEL_RESTART) && cpanel::manages(host, reading.daemon)? {
        return Ok(Restart::Command(vec![CPANEL_RESTART.to_owned()]));
    }
    let instance = instance(host, reading)?;
    let services = services(reading.daemon);
    let names = instance
        .iter()
        .map(String::as_str)
        .chain(services.iter().copied());
    let systemd = host.disk.kind(Path::new("/run/systemd/system")) == Some(Kind::Folder);
    for name in names {
        let template = name
            .split_once('@')
            .map(|(base, _)| format!("{base}@.service"));
        let unit = template.unwrap_or_else(|| format!("{name}.service"));
        let script = there(&format!("/etc/init.d/{name}"));
        if script && !systemd {
            return Ok(Restart::Command(words(&["service", name, "restart"])));
        }
        // systemd takes init scripts for units; an image is shown the command that its host will need.
        if script || units::is_there(&host.disk, &unit) {
            return Ok(Restart::Command(words(&["systemctl", "restart", name])));
        }
    }
    if !units::super_servers(&host.disk, reading.daemon)?.is_empty() {
        return Ok(Restart::Needless);
    }
    Ok(Restart::ByHand)
}

/// The services of a daemon's packages.
pub(super) fn services(daemon: &str) -> &'static [&'static str] {
    super::named(daemon).map_or(&[], |daemon| daemon.services())
}

/// The enabled instance that runs vsftpd with the reading's file. RHEL's target starts one for each file of its folder
/// by itself: vsftpd@NAME for /etc/vsftpd/NAME.conf, but vsftpd.service for vsftpd.conf.
fn instance(host: &Host, reading: &Reading) -> Result<Option<String>, ConfigError> {
    let Some(file) = reading
        .files
        .first()
        .filter(|_| reading.daemon == vsftpd::NAME)
    else {
        return Ok(None);
    };
    for unit in units::instances(&host.disk, vsftpd::NAME)? {
        for command in units::commands(&host.disk, &unit)? {
            if command.words.iter().any(|word| Path::new(word) == file) {
                return Ok(unit.strip_suffix(".service").map(str::to_owned));
            }
        }
    }
    let in_folder = file
        .parent()
        .is_some_and(|folder| folder.ends_with("etc/vsftpd"));
    let name = file.file_stem().and_then(OsStr::to_str);
    let name = name.filter(|name| in_folder && *name != "vsftpd");
    Ok(name.map(|name| format!("vsftpd@{name}")))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
