//! FileZilla Server 1.x on Linux: settings.xml (SRC its headers; the element path is partly a guess).

mod edit;

use std::path::{Path, PathBuf};

use firewall::model::ports::{PortRange, PortSet};
use quick_xml::Reader;
use quick_xml::events::Event;

use super::{ConfigError, ConfigErrorKind, Daemon, Host, Ways, text};
use crate::findings::{Finding, Location};
use crate::passive::{Advertised, PassiveRange, Reading};
use crate::terminal::clean;

/// The name, as `--daemon` takes it.
pub(super) const NAME: &str = "filezilla-server";

/// Where its package keeps the settings.
const PATH: &str = "/opt/filezilla-server/etc/settings.xml";
/// Deeper nesting is no settings file.
const DEEPEST: usize = 64;

/// `FileZilla` Server.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileZillaServer;

impl Daemon for FileZillaServer {
    fn name(&self) -> &'static str {
        NAME
    }

    fn read(&self, host: &Host, chosen: Option<&Path>) -> Result<Vec<Reading>, ConfigError> {
        let path = chosen.map_or_else(|| PathBuf::from(PATH), Path::to_path_buf);
        let Some(source) = host.disk.read(&path)? else {
            return match chosen {
                None => Ok(Vec::new()),
                Some(_) => Err(ConfigError::new(
                    ConfigErrorKind::Missing,
                    &path,
                    "there is no such file",
                )),
            };
        };
        let settings = Settings::parse(&source.bytes).map_err(|(at, message)| {
            let before = &source.bytes[..at.min(source.bytes.len())];
            let line = text::newlines(before);
            let raw = source.bytes.split(|&byte| byte == b'\n').nth(line as usize).unwrap_or_default();
            ConfigError::new(ConfigErrorKind::Malformed, &path, message)
                .at_line(line + 1, &raw[..raw.len().min(240)])
                .with_help("restore settings.xml from a backup, or save the settings again in the administration interface")
        })?;
        Ok(vec![settings.into_reading(host, &path)])
    }

    fn ways(&self, host: &Host, chosen: Option<&Path>, range: PortRange) -> Ways {
        edit::ways(host, chosen, range)
    }

    fn range_by_hand(&self, _: &Reading) -> String {
        "write a custom port range under Protocols settings, Passive mode".to_owned()
    }

    fn address_by_hand(&self) -> &'static str {
        "ADDRESS under Protocols settings, Passive mode"
    }

    fn services(&self) -> &'static [&'static str] {
        &["filezilla-server"]
    }
}

#[derive(Debug, Default)]
struct Listener {
    port: Option<(u16, u32)>,
    implicit: bool,
}

/// What matters in settings.xml, with lines.
#[derive(Debug, Default)]
struct Settings {
    minimum: Option<(u16, u32)>,
    maximum: Option<(u16, u32)>,
    host: Option<(String, u32)>,
    listeners: Vec<Listener>,
}

impl Settings {
    fn parse(bytes: &[u8]) -> Result<Self, (usize, String)> {
        let mut settings = Self::default();
        let mut reader = Reader::from_reader(bytes);
        let mut path: Vec<String> = Vec::new();
        let (mut line, mut counted) = (1_u32, 0);
        loop {
            let event = reader.read_event();
            let at = usize::try_from(reader.buffer_position())
                .unwrap_or(bytes.len())
                .min(bytes.len());
            let event = event.map_err(|error| (at, error.to_string()))?;
            line += text::newlines(&bytes[counted..at]);
            counted = at;
            match event {
                Event::Start(element) => {
                    path.push(element.local_name().as_ref().to_owned());
                    if path.len() > DEEPEST {
                        return Err((at, "elements are nested too deep".to_owned()));
                    }
                    settings.open(&path);
                }
                Event::End(_) => {
                    path.pop();
                }
                Event::Text(content) => {
                    settings.text(&path, &clean(content.as_bytes()), line);
                }
                Event::Eof if path.is_empty() => return Ok(settings),
                Event::Eof => return Err((at, "the file ends inside an element".to_owned())),
                _ => {}
            }
        }
    }

    fn open(&mut self, path: &[String]) {
        if ends(path, &["ftp_server", "listener"]) {
            self.listeners.push(Listener::default());
        }
    }

    fn text(&mut self, path: &[String], content: &str, line: u32) {
        let content = content.trim();
        if content.is_empty() {
            return;
        }
        let number = content.parse().ok().map(|number| (number, line));
        if ends(path, &["pasv", "port_range", "min"]) {
            self.minimum = number;
        } else if ends(path, &["pasv", "port_range", "max"]) {
            self.maximum = number;
        } else if ends(path, &["pasv", "host_override"]) {
            self.host = Some((content.to_owned(), line));
        } else if let Some(listener) = self.listeners.last_mut() {
            if ends(path, &["ftp_server", "listener", "port"]) {
                listener.port = number;
            } else if ends(path, &["ftp_server", "listener", "tls_mode"]) {
                listener.implicit = content == "1";
            }
        }
    }

    fn into_reading(self, host: &Host, path: &Path) -> Reading {
        let mut reading = Reading::new(NAME);
        reading.files.push(path.to_path_buf());
        for (port, line) in self.listeners.iter().filter_map(|listener| listener.port) {
            reading.control.push(port);
            if self
                .listeners
                .iter()
                .any(|listener| listener.implicit && listener.port == Some((port, line)))
            {
                let message = format!("port {port} speaks TLS from the first byte (tls_mode 1)");
                reading.findings.push(
                    Finding::new("implicit-ftps", message)
                        .with_hint("the usual port is 990")
                        .at(Location::line(path, line)),
                );
            }
        }
        reading.control.sort_unstable();
        reading.control.dedup();
        if let Some((address, line)) = self.host {
            reading.advertised.push(Advertised {
                address,
                directive: "host_override",
                location: Location::line(path, line),
            });
        }
        // Without a range the kernel chooses; a reversed one is swapped by the constructor (SRC).
        match (self.minimum, self.maximum) {
            (Some((minimum, line)), Some((maximum, _))) if minimum > 0 => {
                if let Some(ports) = PortRange::new(minimum.min(maximum), minimum.max(maximum)) {
                    reading.effective = ports.into();
                    reading.passive.push(PassiveRange {
                        ports,
                        location: Location::line(path, line),
                    });
                    if minimum > maximum {
                        let message = format!(
                            "min {minimum} is above max {maximum}: FileZilla Server swaps them"
                        );
                        reading.findings.push(
                            Finding::new("range-repaired", message)
                                .with_hint("swap them")
                                .at(Location::line(path, line)),
                        );
                    }
                }
            }
            _ => reading.effective = PortSet::from(host.ephemeral),
        }
        reading
    }
}

fn ends(path: &[String], names: &[&str]) -> bool {
    path.len() >= names.len()
        && path[path.len() - names.len()..]
            .iter()
            .zip(names)
            .all(|(element, name)| element == name)
}
