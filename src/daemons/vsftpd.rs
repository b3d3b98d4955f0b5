//! vsftpd 3: files and `-oKEY=VALUE`, the last value wins; what is out of bounds is repaired without a word.

mod edit;
mod range;
mod settings;

use std::path::{Path, PathBuf};

use firewall::model::ports::{PortRange, PortSet};

use self::settings::{DEFAULT_MINIMUM, READ_LIMIT, Settings, effective_range, number};
use super::units::{self, SuperServer};
use super::{ConfigError, ConfigErrorKind, Daemon, Host, NO_PORTS, Process, Ways};
use crate::findings::{Finding, Location};
use crate::passive::{Advertised, PassiveRange, Reading};
use crate::terminal::clean;

/// The name, as `--daemon` takes it.
pub(super) const NAME: &str = "vsftpd";

/// Debian and upstream; FreeBSD. RHEL and Fedora have a folder, see [`FOLDER`].
const PATHS: &[&str] = &["/etc/vsftpd.conf", "/usr/local/etc/vsftpd.conf"];
/// RHEL: one instance per file under vsftpd.target, vsftpd.conf under vsftpd.service.
const FOLDER: &str = "/etc/vsftpd";
/// vsftpd.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vsftpd;

impl Daemon for Vsftpd {
    fn name(&self) -> &'static str {
        NAME
    }

    fn read(&self, host: &Host, chosen: Option<&Path>) -> Result<Vec<Reading>, ConfigError> {
        let servers = units::super_servers(&host.disk, "vsftpd")?;
        let mut readings = Vec::new();
        for instance in find(host, chosen)? {
            readings.extend(instance.read(host, chosen.is_some(), &servers)?);
        }
        Ok(readings)
    }

    fn started(&self, host: &Host, process: &Process) -> Result<Option<Reading>, ConfigError> {
        let Some((NAME, arguments)) = process.command() else {
            return Ok(None);
        };
        // Anybody can name a program so, and files behind it.
        if process.user() != Some(0) {
            return Ok(None);
        }
        let mut instance = Instance::new(host, arguments, process.file());
        for part in &mut instance.parts {
            if let Part::File(path) = part {
                *path = process.path(&path.to_string_lossy());
                if host.disk.kind(path).is_none() {
                    return Ok(None);
                }
            }
        }
        instance.read(host, true, &[])
    }

    fn ways(&self, host: &Host, chosen: Option<&Path>, range: PortRange) -> Ways {
        edit::ways(host, chosen, range)
    }

    fn range_by_hand(&self, _: &Reading) -> String {
        "write pasv_min_port=49152 and pasv_max_port=50175".to_owned()
    }

    fn address_by_hand(&self) -> &'static str {
        "pasv_address=ADDRESS"
    }

    fn takes_none(&self) -> [&'static str; 3] {
        [
            "passive-disabled",
            "vsftpd takes no passive connections (pasv_enable=NO)",
            NO_PORTS,
        ]
    }

    fn services(&self) -> &'static [&'static str] {
        &["vsftpd"]
    }

    fn pid_files(&self) -> &'static [&'static str] {
        &["/run/vsftpd/vsftpd.pid", "/run/vsftpd.pid"]
    }

    fn shows_arguments(&self) -> bool {
        true
    }
}

/// One process's arguments: files and settings in order.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Instance {
    parts: Vec<Part>,
    unit: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    File(PathBuf),
    Setting(String),
}

/// The instances: those of `chosen`, of the unit, of the files that are there.
fn find(host: &Host, chosen: Option<&Path>) -> Result<Vec<Instance>, ConfigError> {
    let single = |path: PathBuf| Instance {
        parts: vec![Part::File(path)],
        unit: PathBuf::new(),
    };
    if let Some(path) = chosen {
        return Ok(vec![single(path.to_path_buf())]);
    }
    let mut instances = Vec::new();
    let mut units = vec!["vsftpd.service".to_owned()];
    units.extend(units::instances(&host.disk, NAME)?);
    for unit in units {
        let path = Path::new("/etc/systemd/system").join(&unit);
        for command in units::commands(&host.disk, &unit)? {
            let arguments = command.words.get(1..).unwrap_or_default();
            let instance = Instance::new(host, arguments, path.clone());
            if !instances
                .iter()
                .any(|known: &Instance| known.parts == instance.parts)
            {
                instances.push(instance);
            }
        }
    }
    let mut paths: Vec<PathBuf> = PATHS.iter().map(PathBuf::from).collect();
    let names = host.disk.list(Path::new(FOLDER))?.unwrap_or_default();
    let is_configuration = |name: &std::ffi::OsString| {
        Path::new(name)
            .extension()
            .is_some_and(|extension| extension == "conf")
    };
    paths.extend(
        names
            .iter()
            .filter(|name| is_configuration(name))
            .map(|name| Path::new(FOLDER).join(name)),
    );
    for path in paths {
        let part = Part::File(path.clone());
        if host.disk.kind(&path).is_some()
            && !instances
                .iter()
                .any(|instance| instance.parts.contains(&part))
        {
            instances.push(single(path));
        }
    }
    Ok(instances)
}

impl Instance {
    fn new(host: &Host, arguments: &[String], unit: PathBuf) -> Self {
        let mut parts = Vec::new();
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            if word == "-o" {
                parts.extend(words.next().cloned().map(Part::Setting));
            } else if let Some(setting) = word.strip_prefix("-o") {
                parts.push(Part::Setting(setting.to_owned()));
            } else if !word.starts_with('-') {
                parts.push(Part::File(PathBuf::from(word)));
            }
        }
        if !parts.iter().any(|part| matches!(part, Part::File(_))) {
            let default = PATHS
                .iter()
                .map(PathBuf::from)
                .chain([Path::new(FOLDER).join("vsftpd.conf")])
                .find(|path| host.disk.kind(path).is_some());
            parts.splice(0..0, default.map(Part::File));
        }
        Self { parts, unit }
    }

    fn read(
        &self,
        host: &Host,
        chosen: bool,
        servers: &[SuperServer],
    ) -> Result<Option<Reading>, ConfigError> {
        let mut reading = Reading::new(NAME);
        let mut settings = Settings::default();
        for part in &self.parts {
            match part {
                Part::Setting(setting) => {
                    settings.line(setting.as_bytes(), &Location::file(&self.unit));
                }
                Part::File(path) => {
                    let Some(source) = host.disk.read(path)? else {
                        if chosen || self.parts.len() > 1 {
                            let message =
                                format!("500 OOPS: cannot read config file: {}", path.display());
                            return Err(ConfigError::new(ConfigErrorKind::Missing, path, message));
                        }
                        return Ok(None);
                    };
                    reading.files.push(path.clone());
                    about_length(path, &source.bytes, &mut reading);
                    settings.load(path, &source.bytes);
                    if host.is_live() && source.owner != 0 {
                        let message =
                            "500 OOPS: config file not owned by correct user, or not a file";
                        let error = ConfigError::new(ConfigErrorKind::Refused, path, message);
                        settings.refuses.get_or_insert(
                            error.with_help(format!("chown root {}", path.display())),
                        );
                    }
                }
            }
        }
        listening(&settings, servers, &mut reading);
        reading.passive_enabled = settings.truth("pasv_enable", true);
        let mut effective = PortSet::EMPTY;
        range::about_duplicates(&settings, &mut reading);
        range::about_bounds(&settings, &mut reading);
        match settings.range() {
            Some(ports) => {
                effective = ports.into();
                reading.passive.push(PassiveRange {
                    ports,
                    location: range::location(&settings),
                });
            }
            None => effective = effective.union(&effective_range(DEFAULT_MINIMUM, 0).into()),
        }
        if let Some(setting) = settings.last("pasv_address") {
            let advertised = Advertised {
                address: clean(&setting.value),
                directive: "pasv_address",
                location: setting.location.clone(),
            };
            about_address(&settings, &advertised, &mut reading);
            reading.advertised.push(advertised);
        }
        effective = effective.union(&per_user(host, &settings, &mut reading)?);
        let never_starts = reading
            .refuses
            .as_ref()
            .is_some_and(|error| error.kind == ConfigErrorKind::Refused);
        if reading.passive_enabled && !never_starts {
            reading.effective = effective;
        }
        capacity(&settings, &mut reading);
        Ok(Some(reading))
    }
}

/// The control port, and whether the daemon would listen at all.
fn listening(settings: &Settings, servers: &[SuperServer], reading: &mut Reading) {
    reading.refuses.clone_from(&settings.refuses);
    let port = settings
        .number("listen_port")
        .map_or(21, |port| (port % 65_536) as u16);
    // Port 0 is a random one (RUN).
    reading.control = if port == 0 { Vec::new() } else { vec![port] };
    if settings.truth("implicit_ssl", false) && settings.truth("ssl_enable", false) {
        reading.findings.push(
            Finding::new(
                "implicit-ftps",
                format!("port {port} speaks TLS from the first byte (implicit_ssl=YES)"),
            )
            .with_hint("the usual port is 990: listen_port=990"),
        );
    }
    let Some(path) = reading.files.first().cloned() else {
        return;
    };
    let listens = settings.truth("listen", false);
    let listens_ipv6 = settings.truth("listen_ipv6", false);
    if listens && listens_ipv6 {
        let error = ConfigError::new(
            ConfigErrorKind::Refused,
            &path,
            "500 OOPS: run two copies of vsftpd for IPv4 and IPv6",
        );
        reading
            .refuses
            .get_or_insert(error.with_help("keep listen_ipv6=YES alone: it listens for IPv4 too"));
    } else if !listens && !listens_ipv6 {
        if let Some(server) = servers.first() {
            reading.control = servers.iter().map(|server| server.port).collect();
            reading.files.push(server.path.clone());
        } else if path == Path::new(PATHS[0]) {
            let message =
                "500 OOPS: vsftpd: not configured for standalone, must be started from inetd";
            let error = ConfigError::new(ConfigErrorKind::RefusedHere, &path, message);
            reading.refuses.get_or_insert(error.with_help(
                "write listen_ipv6=YES (it listens for IPv4 too), or start vsftpd from inetd",
            ));
        }
    }
}

/// RUN: A name without `pasv_addr_resolve` kills the session at its first PASV.
fn about_address(settings: &Settings, advertised: &Advertised, reading: &mut Reading) {
    let numeric = advertised.address.parse::<std::net::IpAddr>().is_ok();
    if !numeric && !settings.truth("pasv_addr_resolve", false) {
        let message = format!(
            "pasv_address={} is no address: sessions die at their first PASV",
            advertised.address
        );
        let hint = "write pasv_addr_resolve=YES, or the address itself";
        reading.findings.push(
            Finding::new("private-address", message)
                .with_hint(hint)
                .at(advertised.location.clone()),
        );
    }
}

fn about_length(path: &Path, bytes: &[u8], reading: &mut Reading) {
    if bytes.len() > READ_LIMIT {
        let message = format!(
            "vsftpd reads only the first {READ_LIMIT} bytes of {}",
            path.display()
        );
        let finding = Finding::new("ignored-configuration", message);
        reading.findings.push(
            finding
                .with_hint("shorten the file: comments count")
                .at(Location::file(path)),
        );
    }
}

/// RUN: `user_config_dir/USER` is loaded after login and overrides the range: the union over that folder.
fn per_user(
    host: &Host,
    settings: &Settings,
    reading: &mut Reading,
) -> Result<PortSet, ConfigError> {
    let mut ports = PortSet::EMPTY;
    let Some(folder) = settings.last("user_config_dir") else {
        return Ok(ports);
    };
    let folder = PathBuf::from(clean(&folder.value));
    for name in host.disk.list(&folder)?.unwrap_or_default() {
        let path = folder.join(name);
        let Some(source) = host.disk.read(&path)? else {
            continue;
        };
        let mut user = Settings {
            list: settings.list.clone(),
            refuses: None,
        };
        user.load(&path, &source.bytes);
        if let Some(error) = user.refuses {
            let message = format!(
                "{}: sessions of this user end with {}",
                path.display(),
                error.message
            );
            let finding = Finding::new("user-directory", message)
                .with_hint(error.help.clone().unwrap_or_default());
            reading.findings.push(finding.at(error.location.clone()));
            continue;
        }
        reading.files.push(path.clone());
        reading.read_by_sessions.push(path.clone());
        let own = user.list[settings.list.len()..]
            .iter()
            .any(|setting| matches!(setting.key.as_str(), "pasv_min_port" | "pasv_max_port"));
        if let Some(range) = user.range().filter(|_| own) {
            range::about_bounds(&user, reading);
            ports = ports.union(&range.into());
            if !reading.passive.iter().any(|known| known.ports == range) {
                reading.passive.push(PassiveRange {
                    ports: range,
                    location: range::location(&user),
                });
            }
        }
    }
    Ok(ports)
}

/// RUN: With all ports busy, nine random tries and then the session dies.
fn capacity(settings: &Settings, reading: &mut Reading) {
    let Some(range) = reading.passive.first() else {
        return;
    };
    let ports = u32::from(range.ports.last() - range.ports.first()) + 1;
    let Some(setting) = settings.last("max_clients") else {
        return;
    };
    let clients = number(&setting.value);
    if clients > ports {
        let message = format!(
            "max_clients={clients}, the range {} has {ports} ports: sessions die with 500 OOPS: vsf_sysutil_bind",
            range.ports
        );
        let hint = format!("write max_clients={ports}, or a wider range");
        reading.findings.push(
            Finding::new("range-too-small", message)
                .with_hint(hint)
                .at(range.location.clone()),
        );
    }
}
