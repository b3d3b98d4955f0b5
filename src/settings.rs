//! From what was typed, and what `/etc/pasvsync.toml` says, to what is meant. Flags win over the file.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::cli::{BackendChoice, Global};
use crate::daemons::{self, ConfigError, ConfigErrorKind};
use crate::findings::Location;

/// How much alike two names must be, from 0 to 1, for one to be meant by the other.
const NEAR: f64 = 0.8;

/// Where the settings file is, below the root.
const SETTINGS_FILE: &str = "etc/pasvsync.toml";

/// What is meant.
#[derive(Clone, Debug, Default)]
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
    /// That is so for this run alone: a flag says it, and the settings file does not.
    pub control_for_now: bool,
    /// Edit even where a block looks intended.
    pub force: bool,
    /// Remembered proofs of the next boot do not count.
    pub fresh: bool,
    /// Show edits as removed and added rules.
    pub diff: bool,
    /// Open nothing while something else listens on a passive port.
    pub refuse_exposed: bool,
    /// csf may be restarted.
    pub restart_csf: bool,
    /// CSF's outbound lists get the ports too.
    pub csf_tcp_out: bool,
    /// The one daemon that the settings file names, whatever the flags say.
    pub file_daemon: Option<String>,
    /// The same of where daemons' configurations are.
    pub file_daemon_config: Vec<(String, PathBuf)>,
    /// The paths of `daemon_config` that the settings file names, below the root, each with its line there.
    pub named_in: Vec<(PathBuf, Location)>,
}

/// `/etc/pasvsync.toml` as typed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SettingsFile {
    backend: Option<BackendChoice>,
    #[serde(default)]
    zones: Vec<String>,
    daemon: Option<String>,
    #[serde(default)]
    daemon_config: BTreeMap<String, PathBuf>,
    control: Option<bool>,
    refuse_exposed: Option<bool>,
    #[serde(default)]
    csf: CsfSettings,
}

/// The table `csf` of the settings file; its keys are named as in csf.conf.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CsfSettings {
    tcp_out: Option<bool>,
}

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
        let text = match fs_err::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error.into()),
        };
        let file = parse(&path, &text)?;
        let named_in = named_in(&path, &text, &file, flags);
        Ok(Self {
            named_in,
            ..Self::merge(flags, file)
        })
    }

    /// The error with the line of the settings file that names the configuration which is not there.
    pub fn placed(&self, error: anyhow::Error) -> anyhow::Error {
        let missing = error
            .downcast_ref::<ConfigError>()
            .filter(|error| error.kind == ConfigErrorKind::Missing);
        let named = missing.and_then(|error| {
            let mut named = self.named_in.iter();
            let (_, line) = named.find(|(path, _)| *path == error.location.path)?;
            let help = format!("{line} names it: create it, or name another");
            Some(error.clone().with_help(help))
        });
        named.map_or(error, Into::into)
    }

    /// The settings file, which need not be there.
    pub fn file(&self) -> PathBuf {
        self.root().join(SETTINGS_FILE)
    }

    /// The folder that stands for `/`.
    pub fn root(&self) -> &Path {
        self.root.as_deref().unwrap_or(Path::new("/"))
    }

    fn merge(flags: &Global, file: SettingsFile) -> Self {
        let file_daemon_config: Vec<_> = file.daemon_config.into_iter().collect();
        let named = |name: &String| flags.daemon_config.iter().any(|(flag, _)| flag == name);
        let mut daemon_config = file_daemon_config.clone();
        daemon_config.retain(|(name, _)| !named(name));
        // A daemon may have several instances.
        daemon_config.extend(flags.daemon_config.iter().cloned());
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
            daemon_config,
            control: flags.control.or(file.control).unwrap_or(false),
            control_for_now: flags.control == Some(true) && file.control != Some(true),
            force: flags.force,
            fresh: flags.fresh,
            diff: flags.diff,
            refuse_exposed: flags
                .refuse_exposed
                .or(file.refuse_exposed)
                .unwrap_or(false),
            restart_csf: flags.restart_csf,
            // What the hosting guides do.
            csf_tcp_out: file.csf.tcp_out.unwrap_or(true),
            file_daemon,
            file_daemon_config,
            named_in: Vec::new(),
        }
    }
}

/// Where the settings file names the configurations that no flag names.
fn named_in(
    settings: &Path,
    text: &str,
    file: &SettingsFile,
    flags: &Global,
) -> Vec<(PathBuf, Location)> {
    let root = flags.root.as_deref().unwrap_or(Path::new("/"));
    let mut named = Vec::new();
    for (name, path) in &file.daemon_config {
        let key = |line: &str| {
            let key = line.split('=').next().unwrap_or_default().trim();
            let key = key.rsplit('.').next().unwrap_or_default();
            key == name && line.contains(&*path.to_string_lossy())
        };
        let line = (1..).zip(text.lines()).find(|(_, line)| key(line));
        if flags.daemon_config.iter().all(|(flag, _)| flag != name) {
            let location = match line {
                Some((number, _)) => Location::line(settings, number),
                None => Location::file(settings),
            };
            let below = path.strip_prefix("/").unwrap_or(path);
            named.push((root.join(below), location));
        }
    }
    named
}

/// Reads the text of a settings file.
///
/// # Errors
/// When it makes no sense, with the place.
pub fn parse(path: &Path, text: &str) -> Result<SettingsFile, ConfigError> {
    let file: SettingsFile = toml::from_str(text).map_err(|error| {
        // The parser's message may have several lines; the first says what is wrong.
        let message = error.message().lines().next().unwrap_or("not valid TOML");
        let (message, hint) = about_key(message);
        let hint = hint.or_else(|| about_value(text, error.span()?));
        let wrong = match error.span() {
            Some(span) => at(path, text, span, message),
            None => ConfigError::new(ConfigErrorKind::Malformed, path, message),
        };
        match hint {
            Some(hint) => wrong.with_help(hint),
            None => wrong,
        }
    })?;
    let names = file.daemon_config.keys().chain(&file.daemon);
    for name in names {
        if name != "auto" && !daemons::names().contains(&name.as_str()) {
            let start = text.find(name.as_str()).unwrap_or_default();
            let message = format!("no daemon is called `{name}`");
            return Err(at(path, text, start..start + name.len(), &message)
                .with_help(suggestion(name, &daemons::names())));
        }
    }
    Ok(file)
}

/// What serde says of a key or value that it does not know, with the list of those that it does as a hint of its own.
fn about_key(message: &str) -> (&str, Option<String>) {
    let quoted = |text: &str| -> Vec<String> {
        let odd = text.split('`').skip(1).step_by(2);
        odd.map(ToOwned::to_owned).collect()
    };
    if let Some((short, known)) = message.split_once(", expected ")
        && let ([unknown], known) = (quoted(short).as_slice(), quoted(known))
        && !known.is_empty()
    {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        return (short, Some(suggestion(unknown, &known)));
    }
    (message, None)
}

/// How the value of the key in whose line the span starts is written.
fn about_value(text: &str, span: Range<usize>) -> Option<String> {
    let start = text.get(..span.start)?.rfind('\n').map_or(0, |at| at + 1);
    let (key, _) = text.get(start..)?.lines().next()?.split_once('=')?;
    match key.trim() {
        "control" | "refuse-exposed" | "csf.tcp_out" | "tcp_out" => {
            Some("write true or false, without quotes".to_owned())
        }
        "daemon" | "backend" => Some(format!(
            "write one name in quotes: {} = \"auto\"",
            key.trim()
        )),
        "zones" => {
            let value = text.get(span).filter(|value| value.starts_with('"'));
            let value = value.unwrap_or("\"dmz\"");
            Some(format!("write a list: zones = [{value}]"))
        }
        _ => None,
    }
}

/// The nearest of the names that are known, or all of them when none is near.
fn suggestion(unknown: &str, known: &[&str]) -> String {
    let near = known
        .iter()
        .map(|name| (strsim::jaro_winkler(unknown, name), name))
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    match near {
        Some((likeness, name)) if likeness > NEAR => format!("did you mean `{name}`?"),
        _ => format!("known are {}", known.join(", ")),
    }
}

/// An error about some bytes of the settings file.
fn at(path: &Path, text: &str, span: Range<usize>, message: &str) -> ConfigError {
    let before = text.get(..span.start).unwrap_or_default();
    let number = before.matches('\n').count();
    let line = text.lines().nth(number).unwrap_or_default();
    let column = before.rsplit('\n').next().unwrap_or_default();
    let count = |number: usize| u32::try_from(number + 1).unwrap_or(u32::MAX);
    let part = text.get(span).unwrap_or_default().lines().next();
    ConfigError::new(ConfigErrorKind::Malformed, path, message)
        .at_line(count(number), line.as_bytes())
        .at_column(count(column.chars().count()))
        .of_width(part.unwrap_or_default().chars().count())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn hint(text: &str) -> Option<String> {
        let error = parse(Path::new("/etc/pasvsync.toml"), text).unwrap_err();
        error.help.clone()
    }

    #[test]
    fn how_a_value_is_written_is_said() {
        let bool = Some("write true or false, without quotes");
        assert_eq!(hint("csf.tcp_out = 1\n").as_deref(), bool);
        assert_eq!(hint("[csf]\ntcp_out = 1\n").as_deref(), bool);
        assert_eq!(hint("control = yes\n").as_deref(), bool);
        assert_eq!(hint("control = \"yes\"\n").as_deref(), bool);
        assert_eq!(
            hint("daemon = [\"proftpd\"]\n").as_deref(),
            Some("write one name in quotes: daemon = \"auto\"")
        );
        assert_eq!(
            hint("daemon = \"auto\"\nzones = \"dmz\"\n").as_deref(),
            Some("write a list: zones = [\"dmz\"]")
        );
    }

    fn error(text: &str) -> String {
        let error = parse(Path::new("/etc/pasvsync.toml"), text).unwrap_err();
        let location = &error.location;
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
    fn a_flag_stands_for_the_files_path_and_may_be_repeated() {
        let text = "[daemon-config]\nproftpd = \"/srv/p.conf\"\nvsftpd = \"/srv/v.conf\"\n";
        let file = || parse(Path::new("x"), text).unwrap();
        let flags = [
            "pasvsync",
            "check",
            "--daemon-config",
            "vsftpd=/a",
            "--daemon-config",
            "vsftpd=/b",
        ];
        let settings = Settings::merge(&Cli::parse_from(flags).global, file());
        let paths = |all: &[(String, PathBuf)]| -> Vec<String> {
            all.iter()
                .map(|(_, path)| path.display().to_string())
                .collect()
        };
        assert_eq!(paths(&settings.daemon_config), ["/srv/p.conf", "/a", "/b"]);
        assert_eq!(
            paths(&settings.file_daemon_config),
            ["/srv/p.conf", "/srv/v.conf"]
        );
    }

    /// The sample that packages install says nothing, and, its comments taken away, everything that can be said.
    #[test]
    fn the_sample_has_every_key_with_its_default() {
        let sample = include_str!("../examples/pasvsync.toml");
        let path = Path::new("/etc/pasvsync.toml");
        let flags = Cli::parse_from(["pasvsync", "check"]).global;
        let as_it_is = Settings::merge(&flags, parse(path, sample).unwrap());
        let nothing = Settings::merge(&flags, SettingsFile::default());
        assert_eq!(format!("{as_it_is:?}"), format!("{nothing:?}"));
        let keys = sample.lines().filter_map(|line| line.strip_prefix('#'));
        let keys: Vec<&str> = keys.filter(|line| !line.starts_with(' ')).collect();
        let everything = parse(path, &keys.join("\n")).unwrap();
        let SettingsFile {
            backend,
            daemon,
            daemon_config,
            control,
            refuse_exposed,
            zones,
            csf,
        } = &everything;
        assert!(backend.is_some() && daemon.is_some() && !daemon_config.is_empty());
        assert!(control.is_some() && refuse_exposed.is_some());
        assert!(!zones.is_empty() && csf.tcp_out.is_some());
        let said = Settings::merge(&flags, everything);
        let without_example = Settings {
            daemon_config: Vec::new(),
            file_daemon_config: Vec::new(),
            zones: Vec::new(),
            ..said
        };
        assert_eq!(format!("{without_example:?}"), format!("{nothing:?}"));
    }

    #[test]
    fn the_outbound_ports_of_csf_can_be_left_out() {
        let file = parse(Path::new("x"), "csf.tcp_out = false\n").unwrap();
        assert_eq!(file.csf.tcp_out, Some(false));
        let error = parse(Path::new("x"), "[csf]\ntcp-out = false\n").unwrap_err();
        assert_eq!(error.help.as_deref(), Some("did you mean `tcp_out`?"));
    }

    #[test]
    fn what_makes_no_sense_is_named_with_its_place() {
        assert_eq!(
            error("control = true\nports = 3\n"),
            "/etc/pasvsync.toml:2:1: unknown field `ports`"
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
