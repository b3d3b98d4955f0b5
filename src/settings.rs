//! From what was typed, and what `/etc/pasvsync.toml` says, to what is meant. Flags win over the file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::cli::{BackendChoice, Global};
use crate::daemons;
use crate::findings::Location;

/// Where the settings file is, below the root.
const SETTINGS_FILE: &str = "etc/pasvsync.toml";

/// What is meant.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of its own, and any of them may go with any other"
)]
pub struct Settings {
    /// The folder that stands for `/` when configuration is read.
    pub root: Option<PathBuf>,
    /// The firewall to work with.
    pub backend: BackendChoice,
    /// The zones of firewalld's to open; empty for those that matter.
    pub zones: Vec<String>,
    /// The one daemon to look at; `None` for all.
    pub daemon: Option<String>,
    /// Where daemons' configurations are instead of their usual places.
    pub daemon_config: Vec<(String, PathBuf)>,
    /// Open the control ports too.
    pub control: bool,
    /// Edit even where a block looks intended.
    pub force: bool,
    /// Remembered proofs of the next boot do not count.
    pub fresh: bool,
    /// Show edits as removed and added rules.
    pub diff: bool,
    /// Open nothing while something else listens on a passive port.
    pub refuse_exposed: bool,
    /// The one daemon that the settings file names, whatever the flags say.
    pub file_daemon: Option<String>,
}

/// `/etc/pasvsync.toml` as typed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct SettingsFile {
    backend: Option<BackendChoice>,
    #[serde(default)]
    zones: Vec<String>,
    daemon: Option<String>,
    #[serde(default)]
    daemon_config: BTreeMap<String, PathBuf>,
    control: Option<bool>,
    refuse_exposed: Option<bool>,
}

/// Something in the settings file that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    /// Where.
    pub location: Location,
    /// What is wrong: lower case, no final period.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for SettingsError {}

impl Settings {
    /// Reads the settings file, if there is one, and lets the flags win over it.
    ///
    /// # Errors
    /// When the file cannot be read or makes no sense, with the place.
    pub fn resolve(flags: &Global) -> anyhow::Result<Self> {
        let path = flags
            .root
            .as_deref()
            .unwrap_or(Path::new("/"))
            .join(SETTINGS_FILE);
        let file = match fs_err::read_to_string(&path) {
            Ok(text) => parse(&path, &text)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => SettingsFile::default(),
            Err(error) => return Err(error.into()),
        };
        Ok(Self::merge(flags, file))
    }

    fn merge(flags: &Global, mut file: SettingsFile) -> Self {
        for (name, path) in &flags.daemon_config {
            file.daemon_config.insert(name.clone(), path.clone());
        }
        let file_daemon = file.daemon.clone().filter(|name| name != "auto");
        Self {
            root: flags.root.clone(),
            backend: flags.backend.or(file.backend).unwrap_or_default(),
            zones: if flags.zones.is_empty() {
                file.zones
            } else {
                flags.zones.clone()
            },
            daemon: flags
                .daemon
                .clone()
                .or(file.daemon)
                .filter(|name| name != "auto"),
            daemon_config: file.daemon_config.into_iter().collect(),
            control: flags.control.or(file.control).unwrap_or(false),
            force: flags.force,
            fresh: flags.fresh,
            diff: flags.diff,
            refuse_exposed: flags
                .refuse_exposed
                .or(file.refuse_exposed)
                .unwrap_or(false),
            file_daemon,
        }
    }
}

fn parse(path: &Path, text: &str) -> Result<SettingsFile, SettingsError> {
    let wrong = |offset: Option<usize>, message: String, hint: Option<String>| SettingsError {
        location: locate(path, text, offset),
        message,
        hint,
    };
    let file: SettingsFile = toml::from_str(text).map_err(|error| {
        // The parser's message may have several lines; the first says what is wrong.
        let message = error.message().lines().next().unwrap_or("not valid TOML");
        wrong(
            error.span().map(|span| span.start),
            message.to_owned(),
            Some(
                "the keys are backend, zones, daemon, control, refuse-exposed and the table daemon-config"
                    .to_owned(),
            ),
        )
    })?;
    let names = file.daemon_config.keys().chain(&file.daemon);
    for name in names {
        if name != "auto" && !daemons::NAMES.contains(&name.as_str()) {
            return Err(wrong(
                text.find(name.as_str()),
                format!("no daemon is called `{name}`"),
                Some(format!("known are {}", daemons::NAMES.join(", "))),
            ));
        }
    }
    Ok(file)
}

/// The line and column of a byte offset, both from 1, columns in characters.
fn locate(path: &Path, text: &str, offset: Option<usize>) -> Location {
    let before = offset.and_then(|offset| text.get(..offset));
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Location {
        path: path.to_owned(),
        line: before.map(|before| count(before.matches('\n').count() + 1)),
        column: before.map(|before| {
            let line = before.rsplit('\n').next().unwrap_or_default();
            count(line.chars().count() + 1)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let error = parse(Path::new("/etc/pasvsync.toml"), text).unwrap_err();
        let location = error.location;
        format!(
            "{}:{}:{}: {}",
            location.path.display(),
            location.line.unwrap(),
            location.column.unwrap(),
            error.message
        )
    }

    #[test]
    fn a_full_file_is_read() {
        let text = "backend = \"nftables\"\ndaemon = \"auto\"\ncontrol = true\n\n[daemon-config]\nproftpd = \"/srv/p.conf\"\n";
        let file = parse(Path::new("x"), text).unwrap();
        assert_eq!(file.backend, Some(BackendChoice::Nftables));
        assert_eq!(file.control, Some(true));
        assert_eq!(file.daemon_config["proftpd"], PathBuf::from("/srv/p.conf"));
    }

    #[test]
    fn what_makes_no_sense_is_named_with_its_place() {
        assert_eq!(
            error("control = true\nports = 3\n"),
            "/etc/pasvsync.toml:2:1: unknown field `ports`, expected one of `backend`, `zones`, `daemon`, `daemon-config`, `control`, `refuse-exposed`"
        );
        assert_eq!(
            error("control = \"yes\"\n"),
            "/etc/pasvsync.toml:1:11: invalid type: string \"yes\", expected a boolean"
        );
        assert_eq!(
            error("[daemon-config]\nwu-ftpd = \"/etc/x\"\n"),
            "/etc/pasvsync.toml:2:1: no daemon is called `wu-ftpd`"
        );
    }
}
