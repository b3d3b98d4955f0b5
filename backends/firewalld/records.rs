//! What of the running firewalld is ours: its ports bear no mark, so they are written down.

use std::fmt;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use super::config::Folders;
use crate::model::ports::{PortRange, PortSet};

/// Something that we have added to a zone of the running firewalld.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) zone: String,
    pub(super) what: What,
}

/// What we have added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Ports.
    Ports(PortRange),
    /// A service of firewalld's own.
    Service(String),
}

impl fmt::Display for Record {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Ports(ports) => write!(formatter, "port {} {ports}", self.zone),
            What::Service(service) => write!(formatter, "service {} {service}", self.zone),
        }
    }
}

impl Record {
    /// A record as it was written; `None` for what is none.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (kind, zone, what) = (words.next()?, words.next()?, words.next()?);
        let what = match kind {
            "port" => What::Ports(range(what)?),
            "service" => What::Service(what.to_owned()),
            _ => return None,
        };
        let record = Self {
            zone: zone.to_owned(),
            what,
        };
        words.next().is_none().then_some(record)
    }
}

/// The name of the list of a firewalld with its files in these folders: several may run on a host, each in a network
/// namespace of its own, and each has ports of its own.
pub(super) fn list_name(folders: &Folders) -> String {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = real(&folders.system);
    let mut name = "firewalld".to_owned();
    if folder == real(&Folders::default().system) {
        return name;
    }
    for part in folder.components() {
        if let Component::Normal(part) = part {
            name.push('-');
            for byte in part.as_bytes() {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' => {
                        name.push(char::from(*byte));
                    }
                    _ => {
                        let _ = write!(name, "%{byte:02x}");
                    }
                }
            }
        }
    }
    name
}

/// Ports as firewalld writes them: `50000-50100` or `21`.
pub(super) fn range(text: &str) -> Option<PortRange> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    PortRange::new(first.parse().ok()?, last.parse().ok()?)
}

/// The TCP ports of a list of ports with their protocols.
pub(super) fn tcp<'p>(ports: impl IntoIterator<Item = (&'p str, &'p str)>) -> PortSet {
    let tcp = ports.into_iter().filter(|(_, protocol)| *protocol == "tcp");
    tcp.filter_map(|(ports, _)| range(ports)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_has_a_list_of_its_own() {
        for (folder, name) in [
            ("/etc/firewalld", "firewalld"),
            ("/etc/firewalld/", "firewalld"),
            ("/no/such", "firewalld-no-such"),
            ("/no-such", "firewalld-no%2dsuch"),
            ("/no such/", "firewalld-no%20such"),
        ] {
            let folders = Folders {
                system: folder.into(),
                ..Folders::default()
            };
            assert_eq!(list_name(&folders), name);
        }
    }

    #[test]
    fn a_record_comes_back() {
        for line in [
            "port public 50000-50100",
            "port dmz 21",
            "service public ftp",
        ] {
            assert_eq!(Record::parse(line).unwrap().to_string(), line);
        }
        for line in [
            "",
            "port public",
            "port public x",
            "port public 1-2 3",
            "zone a b",
        ] {
            assert_eq!(Record::parse(line), None, "{line}");
        }
    }
}
