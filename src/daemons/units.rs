//! How the system starts a daemon: systemd units with their drop-ins and environment files, xinetd and inetd.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::disk::Disk;
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
        words: command_words(line, &environment),
        environment: environment.clone(),
    });
    Ok(commands
        .filter(|command| !command.words.is_empty())
        .collect())
}

/// Whether there is such a unit, masked or not.
pub(super) fn is_there(disk: &Disk, unit: &str) -> bool {
    FOLDERS
        .iter()
        .any(|folder| disk.kind(&Path::new(folder).join(unit)).is_some())
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
        let template = template(name);
        let names = [Some(name), template.as_deref()];
        let paths = names.iter().flatten().flat_map(|name| {
            let folders = FOLDERS.iter();
            folders.map(move |folder| Path::new(folder).join(name))
        });
        let Some(path) = paths.into_iter().find(|path| disk.kind(path).is_some()) else {
            return Ok(None);
        };
        let mut unit = Self::default();
        if is_masked(disk, &path) {
            return Ok(None);
        }
        if let Some(source) = disk.read(&path)? {
            unit.apply(&source.bytes);
        }
        // Drop-ins count in the order of their names, whatever folder they are in; the strongest of a name counts.
        let mut drop_ins = BTreeMap::new();
        for folder in names.iter().flatten().flat_map(|name| {
            let folders = FOLDERS.iter();
            folders.map(move |folder| Path::new(folder).join(format!("{name}.d")))
        }) {
            let files = disk.list(&folder)?.unwrap_or_default();
            let is_drop_in = |file: &OsString| file.as_encoded_bytes().ends_with(b".conf");
            for file in files.into_iter().filter(is_drop_in) {
                let path = folder.join(&file);
                drop_ins.entry(file).or_insert(path);
            }
        }
        for path in drop_ins.values().filter(|path| !is_masked(disk, path)) {
            if let Some(source) = disk.read(path)? {
                unit.apply(&source.bytes);
            }
        }
        for text in unit.exec_start.iter_mut().chain(&mut unit.listen) {
            *text = specifiers(text, name);
        }
        for path in &mut unit.environment_files {
            *path = PathBuf::from(specifiers(&path.to_string_lossy(), name));
        }
        Ok(Some(unit))
    }

    /// The assignments of a unit file; an empty one clears the list (systemd.syntax(7)).
    fn apply(&mut self, bytes: &[u8]) {
        let mut section = String::new();
        for line in logical_lines(&text_of(bytes)) {
            if line.starts_with('[') {
                section = line;
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            let value = value.trim();
            match (section.as_str(), key.trim()) {
                ("[Service]", "ExecStart") if value.is_empty() => self.exec_start.clear(),
                ("[Service]", "ExecStart") => self.exec_start.push(value.to_owned()),
                ("[Socket]", "ListenStream") if value.is_empty() => self.listen.clear(),
                ("[Socket]", "ListenStream") => self.listen.push(value.to_owned()),
                ("[Service]", "EnvironmentFile") if value.is_empty() => {
                    self.environment_files.clear();
                }
                ("[Service]", "EnvironmentFile") => self
                    .environment_files
                    .push(PathBuf::from(value.trim_start_matches('-'))),
                ("[Service]", "Environment") if value.is_empty() => self.environment.clear(),
                ("[Service]", "Environment") => self.environment.extend(
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

/// `systemctl mask` links the unit to /dev/null.
fn is_masked(disk: &Disk, path: &Path) -> bool {
    let target = disk.link(path);
    target.is_some_and(|target| target == Path::new("/dev/null"))
}

/// The template of an instance: `vsftpd@.service` of `vsftpd@one.service`.
fn template(name: &str) -> Option<String> {
    let (prefix, rest) = name.split_once('@')?;
    let (instance, suffix) = rest.rsplit_once('.')?;
    (!instance.is_empty()).then(|| format!("{prefix}@.{suffix}"))
}

/// Lines without comments; a backslash at the end continues one, also over comments (systemd.syntax(7)).
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut begun = String::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(start) = line.strip_suffix('\\') {
            begun.push_str(start);
            begun.push(' ');
            continue;
        }
        begun.push_str(line);
        lines.push(std::mem::take(&mut begun));
    }
    lines.push(begun);
    lines
}

/// The specifiers that name the unit (systemd.unit(5)); the others do not occur in commands of FTP daemons.
fn specifiers(text: &str, unit: &str) -> String {
    let name = unit.rsplit_once('.').map_or(unit, |(name, _)| name);
    let (prefix, instance) = name.split_once('@').unwrap_or((name, ""));
    let mut expanded = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        let specifier = if c == '%' { characters.next() } else { None };
        match specifier {
            None => expanded.push(c),
            Some('i') => expanded.push_str(instance),
            // Unescaped: a dash stands for a slash.
            Some('I') => expanded.push_str(&instance.replace('-', "/")),
            Some('p' | 'P') => expanded.push_str(prefix),
            Some('n') => expanded.push_str(unit),
            Some('N') => expanded.push_str(name),
            Some('%') => expanded.push('%'),
            Some(other) => expanded.extend([c, other]),
        }
    }
    expanded
}

/// The instances of a template that are enabled: `vsftpd@one.service` for `vsftpd@.service`.
pub(super) fn instances(disk: &Disk, prefix: &str) -> Result<Vec<String>, ConfigError> {
    let start = format!("{prefix}@");
    let mut found = BTreeSet::new();
    for folder in FOLDERS.iter().map(Path::new) {
        for wants in disk.list(folder)?.unwrap_or_default() {
            let wants = folder.join(wants);
            let kind = wants.extension().and_then(OsStr::to_str);
            if !matches!(kind, Some("wants" | "requires")) {
                continue;
            }
            for unit in disk.list(&wants)?.unwrap_or_default() {
                found.extend(
                    unit.to_str()
                        .filter(|unit| unit.starts_with(&start))
                        .map(str::to_owned),
                );
            }
        }
    }
    Ok(found.into_iter().collect())
}

/// The program and its arguments: the prefixes are no part of it, and after `@` the second word is only what the
/// program is called (systemd.service(5)).
fn command_words(line: &str, environment: &[(String, String)]) -> Vec<String> {
    let command = line.trim_start_matches(['-', '@', ':', '+', '!']);
    let mut words = expand(command, environment);
    if line[..line.len() - command.len()].contains('@') && words.len() > 1 {
        words.remove(1);
    }
    words
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
