//! ProFTPD 1.3: the servers of its configuration and the ports of each.

mod contexts;
mod directives;
mod edit;
mod include;
mod lines;
mod modules;
mod parse;
mod program;
mod sections;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use firewall::model::ports::{PortRange, PortSet};

use self::parse::{Build, Parsed, Settings, Start};
use self::program::Program;
#[doc(hidden)]
pub use self::program::fuzz_program;
use super::units::{self, Command};
use super::{ConfigError, ConfigErrorKind, Daemon, Host, Trial, Ways, text};
use crate::findings::{Finding, Location};
use crate::passive::{PassiveRange, Reading};

/// The name, as `--daemon` takes it.
pub(super) const NAME: &str = "proftpd";

/// Compiled-in paths: Debian and Ubuntu; EPEL, cPanel, Plesk, `DirectAdmin`, upstream's rpm; FreeBSD.
const PATHS: &[&str] = &[
    "/etc/proftpd/proftpd.conf",
    "/etc/proftpd.conf",
    "/usr/local/etc/proftpd.conf",
];

/// Where the program is.
const PROGRAMS: &[&str] = &[
    "/usr/sbin/proftpd",
    "/usr/local/sbin/proftpd",
    "/opt/proftpd/sbin/proftpd",
];

/// ProFTPD.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProFtpd;

impl Daemon for ProFtpd {
    fn name(&self) -> &'static str {
        NAME
    }

    fn read(&self, host: &Host, chosen: Option<&Path>) -> Result<Vec<Reading>, ConfigError> {
        let Some(found) = Self::parsed(host, chosen)? else {
            return Ok(Vec::new());
        };
        let path = found.path;
        let mut reading = assemble(host, found.parsed);
        for other in found.others {
            reading.findings.push(
                Finding::new(
                    "several-configurations",
                    format!(
                        "{} is there too; {} was read",
                        other.display(),
                        path.display()
                    ),
                )
                .with_hint(format!(
                    "name the one that runs: --daemon-config proftpd={}",
                    other.display()
                ))
                .at(Location::file(other)),
            );
        }
        Ok(vec![reading])
    }

    fn ways(&self, host: &Host, chosen: Option<&Path>, range: PortRange) -> Ways {
        edit::ways(host, chosen, range)
    }

    fn range_by_hand(&self, _: &Reading) -> String {
        "write PassivePorts 49152 50175 in <Global>".to_owned()
    }

    fn address_by_hand(&self) -> &'static str {
        "MasqueradeAddress ADDRESS"
    }

    fn services(&self) -> &'static [&'static str] {
        &["proftpd"]
    }

    fn pid_files(&self) -> &'static [&'static str] {
        &["/run/proftpd.pid", "/run/proftpd/proftpd.pid"]
    }

    fn trial(&self, host: &Host, chosen: Option<&Path>) -> Result<Option<Trial>, ConfigError> {
        let Some(found) = Self::parsed(host, chosen)? else {
            return Ok(None);
        };
        let invocation = Invocation::find(host)?;
        let Some(program) = invocation.program(host) else {
            return Ok(None);
        };
        let program = program.display().to_string();
        let mut words = vec![program, "-t".to_owned(), "-c".to_owned()];
        words.push(found.path.display().to_string());
        for define in &invocation.defines {
            words.push(format!("-D{}", String::from_utf8_lossy(define)));
        }
        Ok(Some(Trial {
            words,
            environment: invocation.environment,
        }))
    }
}

/// The configuration that was found.
struct Found {
    path: PathBuf,
    parsed: Parsed,
    /// Other main files, which were not read.
    others: Vec<PathBuf>,
}

impl ProFtpd {
    fn parsed(host: &Host, chosen: Option<&Path>) -> Result<Option<Found>, ConfigError> {
        let invocation = Invocation::find(host)?;
        let named = chosen.map(Path::to_path_buf).or(invocation.file.clone());
        let mut others = match named {
            Some(path) => vec![path],
            None => PATHS
                .iter()
                .map(PathBuf::from)
                .filter(|path| host.disk.kind(path).is_some())
                .collect(),
        };
        if others.is_empty() {
            return Ok(None);
        }
        let path = others.remove(0);
        let Some(source) = host.disk.read(&path)? else {
            return missing(chosen, &path).map(|()| None);
        };
        let program = invocation.program(host);
        let program = program.and_then(|path| Program::read(&host.disk, &path));
        // Without a program to ask, Debian's path is taken for Debian's build.
        let known = program.as_ref().map_or(
            path == Path::new(PATHS[0]) || chosen.is_some(),
            Program::is_known,
        );
        let start = Start {
            defines: invocation.defines,
            environment: invocation.environment,
            build: if known { Build::Known } else { Build::Other },
            modules: program.map_or_else(modules::debians, |program| program.modules),
        };
        let parsed = parse::parse(host, start, &path, source.bytes)?;
        Ok(Some(Found {
            path,
            parsed,
            others,
        }))
    }
}

/// A named file that is not there is an error; the leftover of a unit or of a defaults file is not.
fn missing(chosen: Option<&Path>, path: &Path) -> Result<(), ConfigError> {
    if chosen.is_none() {
        return Ok(());
    }
    let error = ConfigError::new(ConfigErrorKind::Missing, path, "there is no such file");
    Err(error.with_help("check the path behind --daemon-config proftpd="))
}

/// How the daemon is started: `-c FILE`, `-D NAME`, and the environment it gets.
#[derive(Debug, Default)]
struct Invocation {
    program: Option<PathBuf>,
    file: Option<PathBuf>,
    defines: BTreeSet<Vec<u8>>,
    environment: Vec<(String, String)>,
}

impl Invocation {
    /// From the unit, or else from the defaults file of the init script.
    fn find(host: &Host) -> Result<Self, ConfigError> {
        let commands = match units::commands(&host.disk, "proftpd.service")? {
            commands if commands.is_empty() => init_script(host)?,
            commands => commands,
        };
        let mut invocation = Self::default();
        for command in commands {
            invocation.environment = command.environment;
            let mut words = command.words.into_iter();
            invocation.program = words.next().map(PathBuf::from);
            while let Some(word) = words.next() {
                match word.as_str() {
                    "-c" | "--config" => invocation.file = words.next().map(PathBuf::from),
                    "-D" | "--define" => invocation
                        .defines
                        .extend(words.next().map(String::into_bytes)),
                    _ => {
                        if let Some(name) = word.strip_prefix("-D") {
                            invocation.defines.insert(name.as_bytes().to_vec());
                        } else if let Some(file) = word.strip_prefix("-c") {
                            invocation.file = Some(PathBuf::from(file));
                        }
                    }
                }
            }
        }
        invocation
            .environment
            .extend(host.environment.iter().cloned());
        Ok(invocation)
    }

    /// The program that runs here: the unit's, else where it usually is.
    fn program(&self, host: &Host) -> Option<PathBuf> {
        let usual = PROGRAMS.iter().map(PathBuf::from);
        let mut places = self.program.clone().into_iter().chain(usual);
        places.find(|path| path.is_absolute() && host.disk.kind(path).is_some())
    }
}

/// Debian's /etc/default/proftpd (`CONFIG_FILE`, `OPTIONS`) and the rpm's /etc/sysconfig/proftpd (`PROFTPD_OPTIONS`).
fn init_script(host: &Host) -> Result<Vec<Command>, ConfigError> {
    let mut commands = Vec::new();
    for (path, file, options) in [
        ("/etc/default/proftpd", "CONFIG_FILE", "OPTIONS"),
        ("/etc/sysconfig/proftpd", "", "PROFTPD_OPTIONS"),
    ] {
        let Some(source) = host.disk.read(Path::new(path))? else {
            continue;
        };
        let environment = units::assignments(&source.bytes);
        let value = |name: &str| {
            environment
                .iter()
                .rev()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.as_str())
        };
        let mut words = vec!["proftpd".to_owned()];
        if let Some(file) = value(file) {
            words.extend(["-c".to_owned(), file.to_owned()]);
        }
        words.extend(text::shell_words(value(options).unwrap_or_default()));
        commands.push(Command {
            words,
            environment: Vec::new(),
        });
    }
    Ok(commands)
}

/// The reading that the servers of a configuration add up to.
fn assemble(host: &Host, parsed: Parsed) -> Reading {
    let mut reading = Reading::new(NAME);
    reading.files.clone_from(&parsed.files);
    reading.findings.clone_from(&parsed.findings);
    let (mut control, mut effective) = (BTreeSet::new(), PortSet::EMPTY);
    let (mut listening, mut denying) = (0_usize, 0_usize);
    let any_set = parsed
        .servers
        .iter()
        .any(|server| resolve(&parsed, &server.settings, |s| s.passive.as_ref()).is_some());
    for (index, server) in parsed.servers.iter().enumerate() {
        let settings = &server.settings;
        let port = resolve(&parsed, settings, |s| s.port.as_ref()).map_or(21, |(port, _)| *port);
        let sftp = resolve(&parsed, settings, |s| s.sftp.as_ref()).is_some_and(|on| *on);
        // SFTPEngine: the port speaks SSH. Port 0: the server does not listen.
        if sftp || port == 0 {
            continue;
        }
        listening += 1;
        denying += usize::from(
            settings.denies_passive || parsed.globals.iter().any(|global| global.denies_passive),
        );
        control.insert(port);
        let ranges = ranges_of(&parsed, settings);
        if resolve(&parsed, settings, |s| s.passive.as_ref()).is_none() {
            effective = effective.union(&default_ports(host));
            if any_set || index > 0 && !ranges.is_empty() {
                reading.findings.push(without_range(index, server));
            }
        }
        effective = effective.union(&ranges.iter().map(|range| range.ports).collect());
        too_small(&parsed, settings, &ranges, &mut reading);
        for range in ranges {
            if !reading
                .passive
                .iter()
                .any(|known| known.ports == range.ports)
            {
                reading.passive.push(range);
            }
        }
        if let Some(advertised) = resolve(&parsed, settings, |s| s.masquerade.as_ref())
            && !reading.advertised.contains(advertised)
        {
            reading.advertised.push(advertised.clone());
        }
        if settings.implicit_tls || parsed.globals.iter().any(|global| global.implicit_tls) {
            let message =
                format!("port {port} speaks TLS from the first byte (TLSOptions UseImplicitSSL)");
            reading.findings.push(
                Finding::new("implicit-ftps", message)
                    .with_hint("no connection-tracking helper can follow it: the passive range must be open in the firewall")
                    .at(server.location.clone()),
            );
        }
    }
    reading.control = control.into_iter().collect();
    reading.passive_enabled = listening > 0 && denying < listening;
    let never_starts = parsed
        .refuses
        .as_ref()
        .is_some_and(|error| error.kind == ConfigErrorKind::Refused);
    if !never_starts && reading.passive_enabled {
        reading.effective = effective;
    }
    reading.refuses = parsed.refuses;
    reading
}

/// A server's own value, else that of the last `<Global>` that has one (RUN).
fn resolve<'a, T>(
    parsed: &'a Parsed,
    own: &'a Settings,
    value: impl Fn(&'a Settings) -> Option<&'a T>,
) -> Option<&'a T> {
    value(own).or_else(|| parsed.globals.iter().rev().find_map(&value))
}

fn ranges_of(parsed: &Parsed, settings: &Settings) -> Vec<PassiveRange> {
    let plain = resolve(parsed, settings, |s| s.passive.as_ref()).cloned();
    let conditional = parsed.globals.iter().flat_map(|global| &global.conditional);
    plain
        .into_iter()
        .chain(settings.conditional.iter().chain(conditional).cloned())
        .collect()
}

/// RUN: Without `PassivePorts`, PASV takes the kernel's ephemeral ports, EPSV any port from 1024 on.
fn default_ports(host: &Host) -> PortSet {
    PortRange::new(1024, u16::MAX)
        .into_iter()
        .chain([host.ephemeral])
        .collect()
}

fn without_range(index: usize, server: &parse::Server) -> Finding {
    let name = if index == 0 {
        "the main server".to_owned()
    } else {
        format!("<VirtualHost {}>", server.addresses.join(" "))
    };
    Finding::new(
        "server-without-range",
        format!(
            "{name} has no PassivePorts, while another server has: its passive ports are not opened"
        ),
    )
    .with_hint("put PassivePorts into <Global>, which serves every server without its own")
    .at(server.location.clone())
}

/// RUN: When all ports of the range are busy, ProFTPD takes one outside it, which the firewall then blocks.
fn too_small(parsed: &Parsed, settings: &Settings, ranges: &[PassiveRange], reading: &mut Reading) {
    let clients = resolve(parsed, settings, |s| s.max_clients.as_ref());
    let limit = match (parsed.max_instances.as_ref(), clients) {
        (Some(instances), Some(clients)) => Some(if instances.0 <= clients.0 {
            ("MaxInstances", instances)
        } else {
            ("MaxClients", clients)
        }),
        (Some(instances), None) => Some(("MaxInstances", instances)),
        (None, Some(clients)) => Some(("MaxClients", clients)),
        (None, None) => None,
    };
    let (Some((directive, (number, _))), Some(range)) = (limit, ranges.first()) else {
        return;
    };
    let ports = u32::from(range.ports.last() - range.ports.first()) + 1;
    if ports < *number {
        let last = u32::from(range.ports.first()) + number - 1;
        reading.findings.push(
            Finding::new(
                "range-too-small",
                format!("{directive} admits {number} clients, the range {} has {ports} ports: ProFTPD then answers with a port outside the range", range.ports),
            )
            .with_hint(if last <= 65_535 {
                format!("write PassivePorts {} {last}, or {directive} {ports}", range.ports.first())
            } else {
                format!("write {directive} {ports}, or a wider range")
            })
            .at(range.location.clone()),
        );
    }
}

/// A path as written in a configuration.
fn path_of(word: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(word))
}

/// `<IfVersion>` of `mod_ifversion`, for 1.3.8: `[op] version`; a regular expression is taken to hold.
fn version_holds(words: &[String]) -> bool {
    let (operator, version) = match words {
        [version] => ("==", version.as_str()),
        [operator, version, ..] => (operator.trim_start_matches('!'), version.as_str()),
        [] => return false,
    };
    let mut numbers = version
        .trim_start_matches('!')
        .split('.')
        .map(|part| text::atoi(part.as_bytes()));
    let wanted = [numbers.next(), numbers.next(), numbers.next()].map(Option::unwrap_or_default);
    let order = [1, 3, 8].cmp(&wanted);
    match operator {
        "=" | "==" => order.is_eq(),
        ">" => order.is_gt(),
        ">=" => order.is_ge(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        _ => true,
    }
}
