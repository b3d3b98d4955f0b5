//! Pure-FTPd: a configuration file, Debian's folder of options, or command line switches; all become switches.

mod edit;
mod matcher;
mod simpleconf;
mod switches;
mod wrapper;

use std::path::{Path, PathBuf};

use firewall::model::ports::PortRange;

use self::switches::{argument_switches, script_switches};
use super::disk::Kind;
use super::{
    ConfigError, ConfigErrorKind, Daemon, Host, NO_PORTS, Process, Trial, Ways, text, units,
};
use crate::findings::{Finding, Location};
use crate::listeners::Owner;
use crate::passive::{Advertised, PassiveRange, Reading};
use crate::terminal::clean;

/// The name, as `--daemon` takes it.
pub(super) const NAME: &str = "pure-ftpd";

/// Debian's wrapper reads this folder, and never the pure-ftpd.conf beside it (RUN).
const WRAPPER: &str = "/etc/pure-ftpd/conf";
/// EPEL and `CyberPanel`; upstream, Arch and cPanel; FreeBSD.
const PATHS: &[&str] = &[
    "/etc/pure-ftpd/pure-ftpd.conf",
    "/etc/pure-ftpd.conf",
    "/usr/local/etc/pure-ftpd.conf",
];
/// What the option of the range is called.
const RANGE_OPTION: &str = "PassivePortRange";
/// `DEFAULT_MAX_USERS` (SRC).
const DEFAULT_CLIENTS: u32 = 50;

/// Pure-FTPd.
#[derive(Clone, Copy, Debug)]
pub(super) struct PureFtpd;

/// A switch of the command line, under its long name.
#[derive(Clone, Debug)]
struct Switch {
    name: &'static str,
    value: Vec<u8>,
    location: Location,
}

/// How the daemon gets its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Way {
    File(PathBuf),
    /// pure-config.pl of 1.0.43 and older.
    Script(PathBuf),
    Wrapper(PathBuf),
    Arguments(PathBuf, Vec<String>),
}

impl Daemon for PureFtpd {
    fn name(&self) -> &'static str {
        NAME
    }

    fn read(&self, host: &Host, chosen: Option<&Path>) -> Result<Vec<Reading>, ConfigError> {
        let way = match chosen {
            Some(path) => Some(way(host, path)),
            None => find(host)?,
        };
        let Some(way) = way else {
            return Ok(Vec::new());
        };
        let mut reading = configured(host, &way)?;
        if chosen.is_none() {
            about_other_files(host, &way, &mut reading)?;
            super_server_ports(host, &way, &mut reading)?;
        }
        Ok(vec![reading])
    }

    fn started(&self, host: &Host, process: &Process) -> Result<Option<Reading>, ConfigError> {
        // Anybody can name a program so, and a file behind it.
        let Some((name, arguments)) = process.command() else {
            return Ok(None);
        };
        let is_daemon = name.starts_with(NAME) && !name.contains([' ', ':']);
        if !is_daemon || name.contains("wrapper") || process.user() != Some(0) {
            return Ok(None);
        }
        let way = match arguments {
            [file] if !file.starts_with('-') => Way::File(process.path(file)),
            _ => Way::Arguments(process.file(), arguments.to_vec()),
        };
        match &way {
            Way::File(path) if host.disk.kind(path).is_none() => Ok(None),
            way => configured(host, way).map(Some),
        }
    }

    fn ways(&self, host: &Host, chosen: Option<&Path>, range: PortRange) -> Ways {
        edit::ways(host, chosen, range)
    }

    fn range_by_hand(&self, reading: &Reading) -> String {
        match self.range_file(reading) {
            Some(file) => format!("write 49152 50175 into {}", file.display()),
            None => "write PassivePortRange 49152 50175".to_owned(),
        }
    }

    fn address_by_hand(&self) -> &'static str {
        "ForcePassiveIP ADDRESS"
    }

    /// Where Debian's wrapper reads the range, when it is what the reading is of.
    fn range_file(&self, reading: &Reading) -> Option<PathBuf> {
        // Any other way has a file of its own.
        let Some(first) = reading.files.first() else {
            return Some(Path::new(WRAPPER).join(RANGE_OPTION));
        };
        wrapper::is_option(first).then(|| first.with_file_name(RANGE_OPTION))
    }

    fn takes_none(&self) -> [&'static str; 3] {
        [
            "passive-disabled",
            "Pure-FTPd takes no passive connections (NATmode)",
            NO_PORTS,
        ]
    }

    fn services(&self) -> &'static [&'static str] {
        &[
            "pure-ftpd",
            "pure-ftpd-mysql",
            "pure-ftpd-ldap",
            "pure-ftpd-postgresql",
        ]
    }

    fn pid_files(&self) -> &'static [&'static str] {
        &["/run/pure-ftpd/pure-ftpd.pid", "/run/pure-ftpd.pid"]
    }

    fn is_run_by(&self, process: &Owner) -> bool {
        process.program.starts_with(NAME) || process.name.starts_with(NAME)
    }

    fn shows_arguments(&self) -> bool {
        true
    }

    /// Debian's wrapper shows what it would start, as whoever asks; with another folder than its own it does not.
    fn trial(&self, host: &Host, chosen: Option<&Path>) -> Result<Option<Trial>, ConfigError> {
        const PROGRAM: &str = "/usr/sbin/pure-ftpd-wrapper";
        let way = match chosen {
            Some(path) => Some(way(host, path)),
            None => find(host)?,
        };
        let tried = way == Some(Way::Wrapper(PathBuf::from(WRAPPER)))
            && host.disk.kind(Path::new(PROGRAM)).is_some();
        Ok(tried.then(|| Trial {
            words: vec![PROGRAM.to_owned(), "--show-options".to_owned()],
            environment: Vec::new(),
        }))
    }
}

/// What it makes of a configuration.
fn configured(host: &Host, way: &Way) -> Result<Reading, ConfigError> {
    let mut reading = Reading::new(NAME);
    let switches = match way {
        Way::File(path) | Way::Script(path) => {
            let Some(source) = host.disk.read(path)? else {
                let error =
                    ConfigError::new(ConfigErrorKind::Missing, path, "there is no such file");
                return Err(error.with_help(
                    "the unit or --daemon-config names it: create it, or name another",
                ));
            };
            if matches!(way, Way::Script(_)) {
                reading.files.push(path.clone());
                script_switches(path, &source.bytes)
            } else {
                let mut file = simpleconf::Simpleconf::default();
                file.file(host, path, &source.bytes, None, 0)?;
                reading.files = file.files;
                reading.refuses = file.refuses;
                reading.findings = file.findings;
                file.switches
            }
        }
        Way::Wrapper(folder) => {
            let wrapped = wrapper::read(host, folder)?;
            reading.files = wrapped.files;
            reading.refuses = wrapped.refuses;
            reading.findings = wrapped.findings;
            wrapped.switches
        }
        Way::Arguments(path, arguments) => {
            reading.files.push(path.clone());
            argument_switches(path, arguments)
        }
    };
    interpret(&switches, &mut reading);
    Ok(reading)
}

/// How the daemon gets a configuration that was named: a folder is Debian's.
fn way(host: &Host, path: &Path) -> Way {
    if host.disk.kind(path) == Some(Kind::Folder) {
        Way::Wrapper(path.to_path_buf())
    } else {
        Way::File(path.to_path_buf())
    }
}

/// What starts the daemon here: the unit, else Debian's folder, else a file, else a super server.
fn find(host: &Host) -> Result<Option<Way>, ConfigError> {
    for command in units::commands(&host.disk, "pure-ftpd.service")? {
        let program = command
            .words
            .first()
            .map(String::as_str)
            .unwrap_or_default();
        let arguments: Vec<String> = command.words.iter().skip(1).cloned().collect();
        let unit = PathBuf::from("/etc/systemd/system/pure-ftpd.service");
        if program.contains("wrapper") {
            return Ok(Some(Way::Wrapper(PathBuf::from(WRAPPER))));
        }
        match arguments.as_slice() {
            [file, ..] if program.contains("pure-config") => {
                return Ok(Some(Way::Script(PathBuf::from(file))));
            }
            [file] if !file.starts_with('-') => return Ok(Some(Way::File(PathBuf::from(file)))),
            [_, ..] => return Ok(Some(Way::Arguments(unit, arguments))),
            [] => {}
        }
    }
    if host.disk.kind(Path::new(WRAPPER)).is_some() {
        return Ok(Some(Way::Wrapper(PathBuf::from(WRAPPER))));
    }
    // cPanel generates upstream's path, whatever else lies around.
    let panel = Path::new("/var/cpanel");
    let preferred = (host.disk.kind(panel).is_some()).then_some(PATHS[1]);
    let file = preferred
        .iter()
        .chain(PATHS)
        .map(PathBuf::from)
        .find(|path| host.disk.kind(path).is_some());
    if let Some(file) = file {
        return Ok(Some(Way::File(file)));
    }
    let servers = units::super_servers(&host.disk, "pure-ftpd")?;
    Ok(servers
        .into_iter()
        .next()
        .map(|server| Way::Arguments(server.path, server.arguments)))
}

/// What the daemon makes of its switches (SRC main of ftpd.c).
fn interpret(switches: &[Switch], reading: &mut Reading) {
    let last = |name: &str| switches.iter().rev().find(|switch| switch.name == name);
    for name in ["passiveportrange", "bind", "maxclientsnumber"] {
        duplicates(switches, name, reading);
    }
    // Each is checked, the last one counts (RUN).
    for switch in switches
        .iter()
        .filter(|switch| switch.name == "passiveportrange")
    {
        reading.passive.clear();
        passive_range(switch, reading);
    }
    // The first of several counts (SRC).
    let mut addresses = switches
        .iter()
        .filter(|switch| switch.name == "forcepassiveip");
    if let Some(switch) = addresses.next() {
        reading.advertised.push(Advertised {
            address: clean(&switch.value),
            directive: "ForcePassiveIP",
            location: switch.location.clone(),
        });
    }
    for switch in addresses {
        let message = format!(
            "ForcePassiveIP {} is ignored: the first one counts",
            clean(&switch.value)
        );
        reading.findings.push(
            Finding::new("several-addresses", message)
                .with_hint("keep one ForcePassiveIP")
                .at(switch.location.clone()),
        );
    }
    bind(switches, reading);
    reading.passive_enabled = last("natmode").is_none();
    let never_starts = reading
        .refuses
        .as_ref()
        .is_some_and(|error| error.kind == ConfigErrorKind::Refused);
    if reading.passive_enabled && !never_starts {
        reading.effective = if reading.passive.is_empty() {
            // RUN: Unset: PASV and EPSV take any port from 1024 on.
            PortRange::new(1024, u16::MAX).into_iter().collect()
        } else {
            reading.written()
        };
    }
    if let Some(switch) = last("uploadscript") {
        reading.findings.push(
            Finding::new("upload-script-blocks", "CallUploadScript: Pure-FTPd does not listen until pure-uploadscript opens the pipe")
                .with_hint("start pure-uploadscript, or write CallUploadScript no")
                .at(switch.location.clone()),
        );
    }
    capacity(last("maxclientsnumber"), reading);
}

fn duplicates(switches: &[Switch], name: &str, reading: &mut Reading) {
    let mut same = switches.iter().rev().filter(|switch| switch.name == name);
    let Some(last) = same.next() else {
        return;
    };
    for earlier in same {
        let message = format!(
            "{} is ignored: {} comes later, on {}",
            clean(&earlier.value),
            clean(&last.value),
            last.location
        );
        reading.findings.push(
            Finding::new("duplicate-setting", message)
                .with_hint("remove one of the two lines")
                .at(earlier.location.clone()),
        );
    }
}

/// The two numbers of a range, as `sscanf` takes them.
fn bounds(switch: &Switch) -> (Option<u32>, Option<u32>) {
    let mut parts = switch.value.splitn(2, |&byte| byte == b':');
    let number = |part: Option<&[u8]>| {
        let part = text::trim_start(part?);
        part.first()?.is_ascii_digit().then(|| text::unsigned(part))
    };
    (number(parts.next()), number(parts.next()))
}

/// The line that sets the range in a file: in a folder of options the file's name is that of the option.
fn range_line(path: &Path, pair: &str) -> String {
    if path.file_name().is_some_and(|name| name == RANGE_OPTION) {
        pair.to_owned()
    } else {
        format!("{RANGE_OPTION} {pair}")
    }
}

/// The range that they are, when the daemon takes it.
fn valid(bounds: (Option<u32>, Option<u32>)) -> Option<PortRange> {
    let (first, last) = (bounds.0.filter(|first| *first >= 1024)?, bounds.1?);
    PortRange::new(u16::try_from(first).ok()?, u16::try_from(last).ok()?)
}

/// SRC: `sscanf("%u:%u")`; trailing garbage is accepted; 1024 <= first <= last <= 65535, else exit 252 (RUN).
fn passive_range(switch: &Switch, reading: &mut Reading) {
    let help = format!(
        "write two ports from 1024 to 65535, the lower one first: {}",
        range_line(&switch.location.path, "49152 65534")
    );
    let bounds = bounds(switch);
    if let Some(ports) = valid(bounds) {
        reading.passive.push(PassiveRange {
            ports,
            location: switch.location.clone(),
        });
        return;
    }
    let code = match bounds {
        (Some(first), Some(last)) if first > 65_535 || last > 65_535 => "range-above-65535",
        (Some(first), Some(last)) if first > last => "range-reversed",
        (Some(_), Some(_)) => "range-below-1024",
        _ => "range-malformed",
    };
    let shown = clean(&switch.value);
    let message = format!("421 Configuration error: Illegal ports range: {shown}");
    reading.findings.push(
        Finding::new(
            code,
            format!(
                "PassivePortRange {}: Pure-FTPd exits",
                shown.replacen(':', " ", 1)
            ),
        )
        .with_hint(help.clone())
        .at(switch.location.clone()),
    );
    let error = ConfigError::new(ConfigErrorKind::Refused, &switch.location.path, message);
    let line = switch.location.line.unwrap_or(1);
    let error = error.at_line(
        line,
        range_line(&switch.location.path, &shown.replacen(':', " ", 1)).as_bytes(),
    );
    reading.refuses.get_or_insert(error.with_help(help));
}

/// RUN: `Bind`: `port`, `,port`, `ip,port`, `ip,`; the last port counts; numbers are taken modulo 65536.
fn bind(switches: &[Switch], reading: &mut Reading) {
    let mut port = Some(21);
    for switch in switches.iter().filter(|switch| switch.name == "bind") {
        let value = clean(&switch.value);
        let written = match value.split_once(',') {
            Some((_, "")) => continue,
            Some((_, written)) => written,
            None => value.as_str(),
        };
        let unquoted = written.trim_matches('"');
        port = units::service_port(unquoted).or_else(|| {
            let digits = unquoted.as_bytes();
            (!digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
                .then(|| (text::unsigned(digits) % 65_536) as u16)
        });
        if port.is_none() || value.contains('"') {
            let kind = if port.is_none() {
                ConfigErrorKind::Refused
            } else {
                ConfigErrorKind::RefusedHere
            };
            let help = if port.is_none() {
                "write address and port with a comma between: Bind 192.0.2.1,21"
            } else {
                "leave the quotes away: only 1.0.53 and later take them"
            };
            let error = ConfigError::new(
                kind,
                &switch.location.path,
                "Unable to start a standalone server",
            )
            .at_line(
                switch.location.line.unwrap_or(1),
                format!("Bind {value}").as_bytes(),
            )
            .underlining(&switch.value)
            .with_help(help);
            reading.refuses.get_or_insert(error);
        }
    }
    // Port 0 is a random one, and another for each family (RUN).
    reading.control = port.into_iter().filter(|port| *port != 0).collect();
}

/// RUN: Pure-FTPd lowers its number of users to half the number of ports.
fn capacity(switch: Option<&Switch>, reading: &mut Reading) {
    let Some(range) = reading.passive.first() else {
        return;
    };
    let clients = switch.map_or(DEFAULT_CLIENTS, |switch| text::unsigned(&switch.value));
    let ports = u32::from(range.ports.last() - range.ports.first()) + 1;
    if ports / 2 >= clients {
        return;
    }
    let last = u32::from(range.ports.first())
        .saturating_add(clients.saturating_mul(2))
        .saturating_sub(1);
    let message = if ports == 1 {
        format!(
            "one port for {clients} clients: a second transfer gets 425 All reserved TCP ports are busy"
        )
    } else {
        format!(
            "{ports} ports: Pure-FTPd admits {} users, not {clients} (MaxClientsNumber): it keeps two ports for each",
            ports / 2
        )
    };
    let hint = if last <= 65_535 {
        let pair = format!("{} {last}", range.ports.first());
        format!("write {}", range_line(&range.location.path, &pair))
    } else {
        "write a wider range".to_owned()
    };
    let finding = Finding::new("range-too-small", message)
        .with_hint(hint)
        .at(range.location.clone());
    reading.findings.push(finding);
}

/// The files that lie beside the one that counts.
fn about_other_files(host: &Host, way: &Way, reading: &mut Reading) -> Result<(), ConfigError> {
    let used = match way {
        Way::File(path) | Way::Script(path) | Way::Wrapper(path) | Way::Arguments(path, _) => path,
    };
    for path in PATHS
        .iter()
        .map(Path::new)
        .filter(|path| *path != used.as_path())
    {
        if host.disk.kind(path) != Some(Kind::File) {
            continue;
        }
        if *way == Way::Wrapper(PathBuf::from(WRAPPER)) {
            ignored_by_wrapper(host, path, reading)?;
        } else if let Way::File(_) = way {
            let message = format!(
                "{} is there too; {} was read",
                path.display(),
                used.display()
            );
            let hint = format!(
                "name the one that runs: --daemon-config pure-ftpd={}",
                path.display()
            );
            reading.findings.push(
                Finding::new("several-configurations", message)
                    .with_hint(hint)
                    .at(Location::file(path)),
            );
        }
    }
    Ok(())
}

/// RUN: Debian ships a pure-ftpd.conf that its wrapper never reads; worth a word when it says something else.
fn ignored_by_wrapper(host: &Host, path: &Path, reading: &mut Reading) -> Result<(), ConfigError> {
    let Some(source) = host.disk.read(path)? else {
        return Ok(());
    };
    let mut file = simpleconf::Simpleconf::default();
    file.file(host, path, &source.bytes, None, 0)?;
    let mut other = Reading::new(NAME);
    interpret(&file.switches, &mut other);
    if !other.passive.is_empty() && other.written() != reading.written() {
        let message = format!(
            "PassivePortRange {} in {} is ignored: Debian's wrapper reads {WRAPPER}",
            other.written(),
            path.display()
        );
        let location = other.passive[0].location.clone();
        let hint = format!("write the two ports into {WRAPPER}/PassivePortRange");
        reading.findings.push(
            Finding::new("ignored-configuration", message)
                .with_hint(hint)
                .at(location),
        );
    }
    Ok(())
}

/// Under inetd, xinetd or a socket unit the control port is theirs.
fn super_server_ports(host: &Host, way: &Way, reading: &mut Reading) -> Result<(), ConfigError> {
    let inetd = match host.disk.read(Path::new("/etc/default/pure-ftpd-common"))? {
        Some(source) => units::assignments(&source.bytes)
            .iter()
            .any(|(name, value)| name == "STANDALONE_OR_INETD" && value == "inetd"),
        None => false,
    };
    if inetd || matches!(way, Way::Arguments(..)) {
        let servers = units::super_servers(&host.disk, "pure-ftpd")?;
        if !servers.is_empty() {
            reading.control = servers.iter().map(|server| server.port).collect();
        }
    }
    let sockets = units::socket_ports(&host.disk, "pure-ftpd.socket")?;
    if !sockets.is_empty() && inetd {
        reading.control = sockets;
    }
    reading.control.sort_unstable();
    reading.control.dedup();
    Ok(())
}
