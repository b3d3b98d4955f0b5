//! How the system starts a daemon: systemd units with their drop-ins and environment files, xinetd and inetd.

use std::path::{Path, PathBuf};

use super::disk::{Disk, Kind};
use super::{ConfigError, text};

/// A command that starts a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// The program and its arguments, variables replaced.
    pub(super) words: Vec<String>,
    /// The environment that the unit gives it.
    pub(super) environment: Vec<(String, String)>,
}

/// Where units lie, the strongest first (systemd.unit(5)).
const FOLDERS: &[&str] = &[
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// The commands of a unit's `ExecStart=`; none when there is no such unit, or it is masked.
pub(super) fn commands(disk: &Disk, unit: &str) -> Result<Vec<Command>, ConfigError> {
    let Some(unit) = Unit::read(disk, unit)? else {
        return Ok(Vec::new());
    };
    let mut environment = unit.environment;
    for file in unit.environment_files {
        if let Some(source) = disk.read(&file)? {
            environment.extend(assignments(&source.bytes));
        }
    }
    let commands = unit.exec_start.iter().map(|line| Command {
        words: expand(line, &environment),
        environment: environment.clone(),
    });
    Ok(commands
        .filter(|command| !command.words.is_empty())
        .collect())
}

/// Whether there is such a unit, masked or not.
pub(super) fn is_there(disk: &Disk, unit: &str) -> bool {
    let there = |folder: &&str| disk.kind(&Path::new(folder).join(unit)).is_some();
    FOLDERS.iter().any(|folder| there(&folder))
}

/// The TCP ports of a socket unit; none when there is no such unit.
pub(super) fn socket_ports(disk: &Disk, unit: &str) -> Result<Vec<u16>, ConfigError> {
    let unit = Unit::read(disk, unit)?;
    let addresses = unit.map(|unit| unit.listen).unwrap_or_default();
    Ok(addresses
        .iter()
        .filter_map(|address| address.rsplit(':').next()?.parse().ok())
        .collect())
}

#[derive(Debug, Default)]
struct Unit {
    exec_start: Vec<String>,
    environment: Vec<(String, String)>,
    environment_files: Vec<PathBuf>,
    listen: Vec<String>,
}

impl Unit {
    fn read(disk: &Disk, name: &str) -> Result<Option<Self>, ConfigError> {
        let mut unit = Self::default();
        let mut found = false;
        for folder in FOLDERS {
            let path = Path::new(folder).join(name);
            match disk.kind(&path) {
                None => continue,
                // `systemctl mask` links the unit to /dev/null.
                Some(Kind::Symlink)
                    if disk
                        .link(&path)
                        .is_some_and(|target| target == Path::new("/dev/null")) =>
                {
                    return Ok(None);
                }
                Some(_) => {}
            }
            if let Some(source) = disk.read(&path)? {
                unit.apply(&source.bytes);
                found = true;
                break;
            }
        }
        if !found {
            return Ok(None);
        }
        for folder in FOLDERS {
            let folder = Path::new(folder).join(format!("{name}.d"));
            for file in disk.list(&folder)?.unwrap_or_default() {
                let path = folder.join(&file);
                if path
                    .extension()
                    .is_some_and(|extension| extension == "conf")
                    && let Some(source) = disk.read(&path)?
                {
                    unit.apply(&source.bytes);
                }
            }
        }
        Ok(Some(unit))
    }

    /// The assignments of a unit file; an empty one clears the list (systemd.syntax(7)).
    fn apply(&mut self, bytes: &[u8]) {
        let joined = text_of(bytes).replace("\\\n", " ");
        for line in joined.lines().map(str::trim) {
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            let value = value.trim();
            match key.trim() {
                "ExecStart" if value.is_empty() => self.exec_start.clear(),
                "ExecStart" => self.exec_start.push(
                    value
                        .trim_start_matches(['-', '@', ':', '+', '!'])
                        .to_owned(),
                ),
                "ListenStream" if value.is_empty() => self.listen.clear(),
                "ListenStream" => self.listen.push(value.to_owned()),
                "EnvironmentFile" if value.is_empty() => self.environment_files.clear(),
                "EnvironmentFile" => self
                    .environment_files
                    .push(PathBuf::from(value.trim_start_matches('-'))),
                "Environment" if value.is_empty() => self.environment.clear(),
                "Environment" => self.environment.extend(
                    text::shell_words(value)
                        .iter()
                        .filter_map(|word| word.split_once('='))
                        .map(|(name, value)| (name.to_owned(), value.to_owned())),
                ),
                _ => {}
            }
        }
    }
}

/// `$NAME` as a word of its own is split, `${NAME}` inside a word is not (systemd.service(5)).
fn expand(line: &str, environment: &[(String, String)]) -> Vec<String> {
    let value = |name: &str| {
        let mut known = environment.iter().rev().filter(|(known, _)| known == name);
        known
            .next()
            .map(|(_, value)| value.as_str())
            .unwrap_or_default()
    };
    let mut words = Vec::new();
    for word in text::shell_words(line) {
        if let Some(name) = word.strip_prefix('$').filter(|name| !name.starts_with('{')) {
            words.extend(text::shell_words(value(name)));
            continue;
        }
        let mut expanded = String::new();
        let mut rest = word.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, behind)) = after.split_once('}') else {
                break;
            };
            expanded.push_str(before);
            expanded.push_str(value(name));
            rest = behind;
        }
        expanded.push_str(rest);
        words.push(expanded);
    }
    words
}

/// `NAME=VALUE` lines, as environment files, shells and `.env` files write them.
pub(super) fn assignments(bytes: &[u8]) -> Vec<(String, String)> {
    let text = text_of(bytes);
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with(['#', ';']));
    lines
        .filter_map(|line| line.strip_prefix("export ").unwrap_or(line).split_once('='))
        .map(|(name, value)| {
            (
                name.trim().to_owned(),
                text::shell_words(value.trim()).join(" "),
            )
        })
        .collect()
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// How xinetd or inetd starts a program: its port (as the service's name or number), and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SuperServer {
    /// The file that says so.
    pub(super) path: PathBuf,
    /// The control port.
    pub(super) port: u16,
    /// The arguments behind the program.
    pub(super) arguments: Vec<String>,
}

/// The enabled services of inetd and xinetd whose program's name contains `program`.
pub(super) fn super_servers(disk: &Disk, program: &str) -> Result<Vec<SuperServer>, ConfigError> {
    let mut found = Vec::new();
    let inetd = Path::new("/etc/inetd.conf");
    if let Some(source) = disk.read(inetd)? {
        for line in text_of(&source.bytes)
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
        {
            let words = text::shell_words(line);
            if let [service, _, _, _, _, server, rest @ ..] = words.as_slice()
                && (server.contains(program) || rest.iter().any(|word| word.contains(program)))
                && let Some(port) = service_port(service)
            {
                found.push(SuperServer {
                    path: inetd.to_path_buf(),
                    port,
                    arguments: rest.iter().skip(1).cloned().collect(),
                });
            }
        }
    }
    let folder = Path::new("/etc/xinetd.d");
    for name in disk.list(folder)?.unwrap_or_default() {
        let path = folder.join(name);
        if let Some(source) = disk.read(&path)? {
            found.extend(xinetd_service(&path, &text_of(&source.bytes), program));
        }
    }
    Ok(found)
}

fn xinetd_service(path: &Path, text: &str, program: &str) -> Option<SuperServer> {
    let value = |wanted: &str| {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs
            .filter(|(key, _)| key.trim_end_matches('+').trim() == wanted)
            .map(|(_, value)| value.trim())
            .next_back()
    };
    let name = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("service"))?
        .trim();
    let enabled = value("disable").is_none_or(|disabled| disabled != "yes");
    let arguments = value("server_args").unwrap_or_default();
    let ours = value("server")?.contains(program) || arguments.contains(program);
    let port = value("port")
        .and_then(|port| port.parse().ok())
        .or_else(|| service_port(name));
    (enabled && ours).then_some(SuperServer {
        path: path.to_path_buf(),
        port: port?,
        arguments: text::shell_words(arguments),
    })
}

/// The port of a service's name or number; addresses in front are left away.
pub(super) fn service_port(service: &str) -> Option<u16> {
    match service.rsplit(':').next()? {
        "ftp" | "ftp_psa" => Some(21),
        "ftps" => Some(990),
        "ftp-data" => Some(20),
        number => number.parse().ok(),
    }
}
