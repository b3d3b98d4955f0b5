//! SFTPGo: a file in one of viper's formats, under the environment (SRC sftpgo, ftpserverlib).

mod edit;

use std::path::{Path, PathBuf};

use firewall::model::ports::{PortRange, PortSet};
use serde_json::Value;

use super::{ConfigError, ConfigErrorKind, Daemon, Host, Ways, units};
use crate::findings::{Finding, Location};
use crate::passive::{Advertised, PassiveRange, Reading};
use crate::terminal::clean;

/// The name, as `--daemon` takes it.
pub(super) const NAME: &str = "sftpgo";

/// Folders that are searched when the environment names none.
const FOLDERS: &[&str] = &["/etc/sftpgo", "/usr/local/etc/sftpgo", "/var/lib/sftpgo"];
/// viper's extensions in its order; the last ones are not read here.
const EXTENSIONS: &[&str] = &[
    "json",
    "toml",
    "yaml",
    "yml",
    "properties",
    "hcl",
    "env",
    "ini",
];
/// The built-in range.
const DEFAULT_RANGE: (i64, i64) = (50_000, 50_100);

/// `SFTPGo`.
#[derive(Clone, Copy, Debug)]
pub(super) struct SftpGo;

impl Daemon for SftpGo {
    fn name(&self) -> &'static str {
        NAME
    }

    fn read(&self, host: &Host, chosen: Option<&Path>) -> Result<Vec<Reading>, ConfigError> {
        let environment = Environment::read(host)?;
        let path = match chosen {
            Some(path) => Some(path.to_path_buf()),
            None => find(host, &environment)?,
        };
        let Some(path) = path else {
            return Ok(Vec::new());
        };
        let Some(source) = host.disk.read(&path)? else {
            let error = ConfigError::new(ConfigErrorKind::Missing, &path, "there is no such file");
            return Err(error.with_help(
                "the environment or --daemon-config names it: create it, or name another",
            ));
        };
        let mut reading = Reading::new(NAME);
        reading.files.push(path.clone());
        reading.files.extend(environment.files.iter().cloned());
        let text = String::from_utf8_lossy(&source.bytes);
        match parse(&path, &text) {
            Ok(document) => fill(host, &path, &text, &document, &environment, &mut reading),
            Err(problem) => reading.refuses = Some(problem.into_error(&path, &text)?),
        }
        Ok(vec![reading])
    }

    fn ways(&self, host: &Host, chosen: Option<&Path>, range: PortRange) -> Ways {
        edit::ways(host, chosen, range)
    }

    fn range_by_hand(&self, _: &Reading) -> String {
        r#"write "passive_port_range": {"start": 49152, "end": 50175} under "ftpd""#.to_owned()
    }

    fn address_by_hand(&self) -> &'static str {
        r#""force_passive_ip": "ADDRESS" into the binding"#
    }

    fn takes_none(&self) -> [&'static str; 3] {
        [
            "ftp-disabled",
            "SFTPGo's FTP service is off (no binding has a port)",
            "set ftpd.bindings[0].port to switch it on",
        ]
    }

    fn services(&self) -> &'static [&'static str] {
        &["sftpgo"]
    }
}

/// Where the configuration lies: `--config-file`, `--config-dir`, their variables, the usual folders.
fn find(host: &Host, environment: &Environment) -> Result<Option<PathBuf>, ConfigError> {
    let folder = environment
        .get("SFTPGO_CONFIG_DIR")
        .map(|(value, _)| PathBuf::from(value));
    if let Some((file, _)) = environment
        .get("SFTPGO_CONFIG_FILE")
        .filter(|(value, _)| !value.is_empty())
    {
        let base = folder.unwrap_or_else(|| PathBuf::from(FOLDERS[0]));
        return Ok(Some(base.join(file)));
    }
    for folder in folder.into_iter().chain(FOLDERS.iter().map(PathBuf::from)) {
        let names = host.disk.list(&folder)?.unwrap_or_default();
        let present = EXTENSIONS
            .iter()
            .map(|extension| format!("sftpgo.{extension}"))
            .find(|name| names.iter().any(|known| known.to_str() == Some(name)));
        if let Some(name) = present {
            return Ok(Some(folder.join(name)));
        }
    }
    Ok(None)
}

/// The variables that SFTPGo gets, with their places.
#[derive(Debug, Default)]
struct Environment {
    variables: Vec<(String, String, Location)>,
    files: Vec<PathBuf>,
}

impl Environment {
    /// env.d is weaker than the real environment: the unit's, its files', and what the caller knows.
    fn read(host: &Host) -> Result<Self, ConfigError> {
        let mut environment = Self::default();
        let folder = Path::new("/etc/sftpgo/env.d");
        for name in host.disk.list(folder)?.unwrap_or_default() {
            environment.file(host, &folder.join(name))?;
        }
        environment.file(host, Path::new("/etc/sftpgo/sftpgo.env"))?;
        let unit = Location::file("/etc/systemd/system/sftpgo.service");
        for command in units::commands(&host.disk, "sftpgo.service")? {
            environment.variables.extend(
                command
                    .environment
                    .into_iter()
                    .map(|(name, value)| (name, value, unit.clone())),
            );
        }
        let caller = Location::file("environment");
        environment.variables.extend(
            host.environment
                .iter()
                .map(|(name, value)| (name.clone(), value.clone(), caller.clone())),
        );
        Ok(environment)
    }

    fn file(&mut self, host: &Host, path: &Path) -> Result<(), ConfigError> {
        if let Some(source) = host.disk.read(path)? {
            self.files.push(path.to_path_buf());
            let found = units::assignments(&source.bytes).into_iter();
            self.variables.extend(found.map(|(name, value)| {
                let line = line_of(&String::from_utf8_lossy(&source.bytes), &[&name]);
                (
                    name,
                    value,
                    Location {
                        path: path.to_path_buf(),
                        line,
                        column: None,
                    },
                )
            }));
        }
        Ok(())
    }

    fn get(&self, name: &str) -> Option<(&str, &Location)> {
        let mut matching = self
            .variables
            .iter()
            .rev()
            .filter(|(known, ..)| known.eq_ignore_ascii_case(name));
        matching
            .next()
            .map(|(_, value, location)| (value.as_str(), location))
    }
}

/// Why a file could not be taken apart.
enum Problem {
    Syntax {
        message: String,
        line: Option<usize>,
        column: Option<usize>,
    },
    Format(String),
}

impl Problem {
    /// SFTPGo does not start with a file that it cannot read; a format that only pasvsync lacks is another thing.
    fn into_error(self, path: &Path, text: &str) -> Result<ConfigError, ConfigError> {
        match self {
            Self::Format(extension) => {
                let message = format!("pasvsync does not read {extension} files of SFTPGo");
                Err(ConfigError::new(ConfigErrorKind::Malformed, path, message)
                    .with_help("convert it to JSON, TOML or YAML"))
            }
            Self::Syntax {
                message,
                line,
                column,
            } => {
                let error = ConfigError::new(
                    ConfigErrorKind::Refused,
                    path,
                    format!("error loading configuration file: {message}"),
                );
                let Some(line) = line.and_then(|line| u32::try_from(line).ok()) else {
                    return Ok(error);
                };
                let raw = text
                    .lines()
                    .nth(line.saturating_sub(1) as usize)
                    .unwrap_or_default();
                let raw: String = raw.chars().take(240).collect();
                let error = error.at_line(line, raw.as_bytes());
                Ok(match column.and_then(|column| u32::try_from(column).ok()) {
                    Some(column) => error.at_column(column.max(1)),
                    None => error,
                })
            }
        }
    }
}

fn parse(path: &Path, text: &str) -> Result<Value, Problem> {
    match path
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or("json")
    {
        "json" => serde_json::from_str(text).map_err(|error| Problem::Syntax {
            message: error.to_string(),
            line: Some(error.line()),
            column: Some(error.column()),
        }),
        "toml" => toml::from_str(text).map_err(|error| {
            let before = error
                .span()
                .map(|span| text[..span.start.min(text.len())].to_owned());
            Problem::Syntax {
                message: error.message().to_owned(),
                line: before
                    .as_ref()
                    .map(|before| before.matches('\n').count() + 1),
                column: before
                    .map(|before| before.chars().rev().take_while(|c| *c != '\n').count() + 1),
            }
        }),
        "yaml" | "yml" => serde_saphyr::from_str(text).map_err(|error| {
            let location = error.location();
            Problem::Syntax {
                message: error
                    .to_string()
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
                line: location.map(|location| location.line() as usize),
                column: location.map(|location| location.column() as usize),
            }
        }),
        other => Err(Problem::Format(other.to_owned())),
    }
}

/// A member of an object; viper's keys are case-insensitive.
fn member<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    value
        .as_object()?
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(key))
        .map(|(_, value)| value)
}

/// A number, or a text that is one: viper converts.
fn integer(value: &Value) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| value.as_str()?.trim().parse().ok())
}

/// The line where the last of several keys stands, each behind the one before it.
fn line_of(text: &str, keys: &[&str]) -> Option<u32> {
    let lowered = text.to_ascii_lowercase();
    let mut at = 0;
    for key in keys {
        at += lowered[at..].find(&key.to_ascii_lowercase())?;
    }
    u32::try_from(lowered[..at].matches('\n').count() + 1).ok()
}

fn fill(
    host: &Host,
    path: &Path,
    text: &str,
    document: &Value,
    environment: &Environment,
    reading: &mut Reading,
) {
    let ftpd = member(document, "ftpd");
    let place = |keys: &[&str]| Location {
        path: path.to_path_buf(),
        line: line_of(text, keys),
        column: None,
    };
    bindings(ftpd, environment, &place, reading);
    reading.passive_enabled = !reading.control.is_empty();

    let range = ftpd.and_then(|ftpd| member(ftpd, "passive_port_range"));
    let bound = |key: &str, variable: &str| {
        let from_environment = environment
            .get(variable)
            .and_then(|(value, location)| Some((value.trim().parse().ok()?, location.clone())));
        let from_file = || {
            let value = range
                .and_then(|range| member(range, key))
                .and_then(integer)?;
            Some((value, place(&["ftpd", "passive_port_range", key])))
        };
        from_environment.or_else(from_file)
    };
    let start = bound("start", "SFTPGO_FTPD__PASSIVE_PORT_RANGE__START");
    let end = bound("end", "SFTPGO_FTPD__PASSIVE_PORT_RANGE__END");
    let set = start.as_ref().or(end.as_ref());
    let location = set.map(|(_, location)| location.clone());
    let location = location.unwrap_or_else(|| Location::file(path));
    if start.is_some() != end.is_some() {
        reading.findings.push(
            Finding::new("single-bound", "only one end of passive_port_range is set: SFTPGo takes the other from its built-in 50000-50100")
                .with_hint("set both start and end")
                .at(location.clone()),
        );
    }
    let set = set.is_some();
    let first = start.map_or(DEFAULT_RANGE.0, |(value, _)| value);
    let last = end.map_or(DEFAULT_RANGE.1, |(value, _)| value);
    // SRC: A range counts when start > 0 and end >= start; else the kernel gives the port.
    let ports = u16::try_from(first)
        .ok()
        .filter(|first| *first > 0)
        .zip(u16::try_from(last).ok())
        .and_then(|(first, last)| PortRange::new(first, last));
    if let Some(ports) = ports {
        reading.effective = ports.into();
        if set {
            reading.passive.push(PassiveRange { ports, location });
        }
        return;
    }
    reading.effective = PortSet::from(host.ephemeral);
    if first != 0 || last != 0 {
        let code = if first > 65_535 || last > 65_535 {
            "range-above-65535"
        } else {
            "range-reversed"
        };
        let message =
            format!("passive_port_range {first} to {last} is none: SFTPGo lets the kernel choose");
        let hint = "set start to the lower port and end to the higher one";
        reading
            .findings
            .push(Finding::new(code, message).with_hint(hint).at(location));
    }
}

/// The bindings with a port: control ports, implicit TLS, the address for passive clients.
fn bindings(
    ftpd: Option<&Value>,
    environment: &Environment,
    place: &dyn Fn(&[&str]) -> Location,
    reading: &mut Reading,
) {
    let list = ftpd
        .and_then(|ftpd| member(ftpd, "bindings"))
        .and_then(Value::as_array);
    let count = list
        .map_or(1, Vec::len)
        .max(1)
        .max(highest_binding(environment));
    for index in 0..count {
        let binding = list.and_then(|list| list.get(index));
        let text_of = |key: &str| {
            let variable = format!(
                "SFTPGO_FTPD__BINDINGS__{index}__{}",
                key.to_ascii_uppercase()
            );
            let from_environment = environment
                .get(&variable)
                .map(|(value, location)| (value.to_owned(), location.clone()));
            from_environment.or_else(|| {
                let value = member(binding?, key)?;
                let shown = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                Some((shown, place(&["ftpd", "bindings", key])))
            })
        };
        let port = text_of("port")
            .and_then(|(value, _)| value.trim().parse::<u16>().ok())
            .filter(|port| *port > 0);
        let Some(port) = port else {
            continue;
        };
        reading.control.push(port);
        if let Some((_, location)) = text_of("tls_mode").filter(|(value, _)| value.trim() == "2") {
            let message = format!("port {port} speaks TLS from the first byte (tls_mode 2)");
            reading.findings.push(
                Finding::new("implicit-ftps", message)
                    .with_hint("the usual port is 990")
                    .at(location),
            );
        }
        if let Some((address, location)) =
            text_of("force_passive_ip").filter(|(value, _)| !value.is_empty())
        {
            reading.advertised.push(Advertised {
                address: clean(address.as_bytes()),
                directive: "force_passive_ip",
                location,
            });
        }
    }
    reading.control.sort_unstable();
    reading.control.dedup();
}

/// One more than the highest index that the environment names.
fn highest_binding(environment: &Environment) -> usize {
    let indices = environment.variables.iter().filter_map(|(name, ..)| {
        let upper = name.to_ascii_uppercase();
        let index = upper
            .strip_prefix("SFTPGO_FTPD__BINDINGS__")?
            .split("__")
            .next()?
            .parse::<usize>()
            .ok()?;
        (index < 10).then_some(index + 1)
    });
    indices.max().unwrap_or(0)
}
