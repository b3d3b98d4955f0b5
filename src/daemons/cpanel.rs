//! cPanel: which daemon counts, what is wanted (the overlays) and what runs (the generated file).
//!
//! DOC docs.cpanel.net: `local` overwrites `main`, key by key; `~` is no value; without a key the range is
//! 49152-65534; `setupftpserver` writes the daemon's file from both.

mod edit;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use firewall::model::ports::PortRange;

use super::disk::Kind;
use super::{ConfigError, ConfigErrorKind, Discovery, Host, Ways, proftpd, pure_ftpd, text};
use crate::findings::{Finding, Location};
use crate::passive::{Advertised, PassiveRange, Reading};
use crate::terminal::clean;

/// One of the two daemons that cPanel manages.
struct Managed {
    daemon: &'static str,
    folder: &'static str,
    range: &'static str,
    address: &'static str,
    generated: &'static str,
    /// Whether a range of one port is refused.
    two_ports: bool,
}

const MANAGED: [Managed; 2] = [
    Managed {
        daemon: pure_ftpd::NAME,
        folder: "/var/cpanel/conf/pureftpd",
        range: "PassivePortRange",
        address: "ForcePassiveIP",
        generated: "/etc/pure-ftpd.conf",
        two_ports: false,
    },
    Managed {
        daemon: proftpd::NAME,
        folder: "/var/cpanel/conf/proftpd",
        range: "PassivePorts",
        address: "MasqueradeAddress",
        generated: "/etc/proftpd.conf",
        two_ports: true,
    },
];

/// A key's value; `None` for `~`.
type Overlay = BTreeMap<String, (Option<String>, Location)>;

/// Lets cPanel's settings decide, where cPanel is.
pub(super) fn apply(
    host: &Host,
    only: Option<&str>,
    discovery: &mut Discovery,
) -> Result<(), ConfigError> {
    let panel = Path::new("/var/cpanel");
    if host.disk.kind(panel) != Some(Kind::Folder) {
        return Ok(());
    }
    let server = chosen_server(host)?;
    for managed in &MANAGED {
        if only.is_some_and(|only| only != managed.daemon) {
            continue;
        }
        if let Some((name, location)) = &server
            && name != managed.daemon
        {
            let before = discovery.readings.len();
            discovery
                .readings
                .retain(|reading| reading.daemon != managed.daemon);
            if discovery.readings.len() < before {
                let message = format!(
                    "the configuration of {} is a leftover: cPanel says ftpserver={name}",
                    managed.daemon
                );
                let hint = format!(
                    "/usr/local/cpanel/scripts/setupftpserver {} makes it the one that runs",
                    managed.daemon
                );
                discovery.findings.push(
                    Finding::new("cpanel-other-daemon", message)
                        .with_hint(hint)
                        .at(location.clone()),
                );
            }
            continue;
        }
        if host.disk.kind(Path::new(managed.folder)).is_some() || server.is_some() {
            managed.apply(host, discovery)?;
        }
    }
    Ok(())
}

/// `ftpserver=` of cpanel.config.
fn chosen_server(host: &Host) -> Result<Option<(String, Location)>, ConfigError> {
    let path = Path::new("/var/cpanel/cpanel.config");
    let Some(source) = host.disk.read(path)? else {
        return Ok(None);
    };
    let lines = (1..).zip(source.bytes.split(|&byte| byte == b'\n'));
    let values = lines.filter_map(|(number, line)| {
        let value = text::trim(line).strip_prefix(b"ftpserver=")?;
        Some((clean(text::trim(value)), Location::line(path, number)))
    });
    Ok(values.last())
}

/// Whether cPanel writes this daemon's configuration.
pub(super) fn manages(host: &Host, daemon: &str) -> Result<bool, ConfigError> {
    let Some(managed) = managed(daemon) else {
        return Ok(false);
    };
    if host.disk.kind(Path::new("/var/cpanel")) != Some(Kind::Folder) {
        return Ok(false);
    }
    Ok(match chosen_server(host)? {
        Some((name, _)) => name == daemon,
        None => host.disk.kind(Path::new(managed.folder)).is_some(),
    })
}

/// What cPanel's settings say of a daemon, whatever was generated from them.
pub(super) fn settings(host: &Host, daemon: &str) -> Result<Reading, ConfigError> {
    match managed(daemon) {
        Some(managed) => managed.wanted(host),
        None => Ok(Reading::new("")),
    }
}

/// The ways to give cPanel's settings a passive range.
pub(super) fn ways(host: &Host, daemon: &str, range: PortRange) -> Ways {
    match managed(daemon) {
        Some(managed) => edit::ways(host, managed, range),
        None => Ok(Vec::new()),
    }
}

fn managed(daemon: &str) -> Option<&'static Managed> {
    MANAGED.iter().find(|managed| managed.daemon == daemon)
}

impl Managed {
    /// The reading of the settings.
    fn wanted(&self, host: &Host) -> Result<Reading, ConfigError> {
        let mut wanted = Reading::new(self.daemon);
        let mut overlay = Overlay::new();
        for name in ["main", "local"] {
            let path = Path::new(self.folder).join(name);
            if let Some(source) = host.disk.read(&path)? {
                wanted.files.insert(0, path.clone());
                let (values, findings) = parse_overlay(&path, &source.bytes);
                overlay.extend(values);
                wanted.findings.extend(findings);
            }
        }
        self.fill(&overlay, &mut wanted);
        Ok(wanted)
    }

    fn apply(&self, host: &Host, discovery: &mut Discovery) -> Result<(), ConfigError> {
        let mut wanted = self.wanted(host)?;
        let generated = Path::new(self.generated);
        let running = discovery.readings.iter_mut().find(|reading| {
            reading.daemon == self.daemon
                && reading.files.first().is_some_and(|file| file == generated)
        });
        let Some(running) = running else {
            // Nothing was generated yet: the overlay is all there is.
            if !wanted.files.is_empty() {
                discovery
                    .readings
                    .retain(|reading| reading.daemon != self.daemon);
                discovery.readings.push(wanted);
            }
            return Ok(());
        };
        if !wanted.files.is_empty() {
            self.compare(&wanted, running);
            running.findings.append(&mut wanted.findings);
            running.files.append(&mut wanted.files);
        }
        Ok(())
    }

    /// The reading that the overlays add up to.
    fn fill(&self, overlay: &Overlay, reading: &mut Reading) {
        reading.control = vec![21];
        if let Some((Some(address), location)) = overlay.get(self.address) {
            reading.advertised.push(Advertised {
                address: address.clone(),
                directive: self.address,
                location: location.clone(),
            });
        }
        for other in MANAGED.iter().filter(|other| other.daemon != self.daemon) {
            if let Some((_, location)) = overlay.get(other.range) {
                let message = format!(
                    "{} is a key of {}; {} ignores it",
                    other.range, other.daemon, self.daemon
                );
                reading.findings.push(
                    Finding::new("cpanel-misplaced-key", message)
                        .with_hint(format!("write {}: 49152 65534", self.range))
                        .at(location.clone()),
                );
            }
        }
        let (written, location) = match overlay.get(self.range) {
            Some((Some(value), location)) => (value.as_str(), location.clone()),
            // `~`: the generated file has no such line.
            Some((None, _)) => {
                reading.effective = PortRange::new(1024, u16::MAX).into_iter().collect();
                return;
            }
            None => (
                "49152 65534",
                Location::file(
                    reading
                        .files
                        .first()
                        .cloned()
                        .unwrap_or_else(|| PathBuf::from(self.folder)),
                ),
            ),
        };
        let Some(ports) = self.range_of(written) else {
            let message = format!(
                "{}: {written}: {} takes two ports from 1024 to 65535, the lower one first",
                self.range, self.daemon
            );
            let error = ConfigError::new(ConfigErrorKind::Refused, &location.path, message)
                .at_line(
                    location.line.unwrap_or(1),
                    format!("{}: {written}", self.range).as_bytes(),
                )
                .underlining(written.as_bytes())
                .with_help(format!("write {}: 49152 65534", self.range));
            reading.refuses = Some(error);
            return;
        };
        reading.passive.push(PassiveRange { ports, location });
        reading.effective = ports.into();
    }

    fn range_of(&self, written: &str) -> Option<PortRange> {
        let mut words = written.split_whitespace();
        let (first, last) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let ports = PortRange::new(first, last)?;
        (words.next().is_none() && first >= 1024 && (first < last || !self.two_ports))
            .then_some(ports)
    }

    /// DOC: The generated file is what runs; a difference means that setupftpserver has not run yet.
    fn compare(&self, wanted: &Reading, running: &mut Reading) {
        let addresses = |reading: &Reading| {
            reading
                .advertised
                .iter()
                .map(|advertised| advertised.address.clone())
                .collect::<Vec<_>>()
        };
        let mut differences = Vec::new();
        if wanted.written() != running.written() {
            differences.push(format!(
                "{} is {} in cPanel's settings and {} in {}",
                self.range,
                wanted.written(),
                running.written(),
                self.generated
            ));
        }
        if addresses(wanted) != addresses(running) {
            let show = |reading: &Reading| {
                Some(addresses(reading).join(", "))
                    .filter(|text| !text.is_empty())
                    .unwrap_or_else(|| "unset".to_owned())
            };
            differences.push(format!(
                "{} is {} in cPanel's settings and {} in {}",
                self.address,
                show(wanted),
                show(running),
                self.generated
            ));
        }
        if differences.is_empty() {
            return;
        }
        let location = wanted.passive.first().map(|range| range.location.clone());
        let location = location.or_else(|| wanted.files.first().map(Location::file));
        let finding =
            Finding::new("cpanel-generated-differs", differences.join("; ")).with_hint(format!(
                "run /usr/local/cpanel/scripts/setupftpserver {} --force",
                self.daemon
            ));
        running.findings.push(match location {
            Some(location) => finding.at(location),
            None => finding,
        });
    }
}

/// The flat YAML map of an overlay. Own lines rather than a YAML crate: those refuse duplicate keys, which repeated
/// `echo >>` leaves, and where the last one counts.
fn parse_overlay(path: &Path, bytes: &[u8]) -> (Overlay, Vec<Finding>) {
    let (mut overlay, mut findings) = (Overlay::new(), Vec::new());
    for (number, line) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
        let line = clean(line);
        // Nested values and list items belong to keys that do not matter here.
        if line.starts_with([' ', '#', '-']) {
            continue;
        }
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let key = unquote(key.trim()).to_owned();
        let location = Location::line(path, number);
        let value = scalar(value);
        if let Some((_, earlier)) = overlay.insert(key.clone(), (value, location.clone())) {
            let message = format!("{key} stands again on {location}: the last one counts");
            findings.push(
                Finding::new("duplicate-setting", message)
                    .with_hint("remove one of the two lines")
                    .at(earlier),
            );
        }
    }
    (overlay, findings)
}

fn scalar(value: &str) -> Option<String> {
    let value = value.trim();
    if let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let inner = &value[1..];
        return Some(inner.split(quote).next().unwrap_or(inner).to_owned());
    }
    let plain = value.split(" #").next().unwrap_or(value).trim();
    (!matches!(plain, "" | "~" | "null" | "Null" | "NULL")).then(|| plain.to_owned())
}

fn unquote(key: &str) -> &str {
    key.trim_matches(['"', '\''])
}
