//! Interfaces that `NetworkManager` and the network scripts put into zones when they bring them up.
//!
//! Of every interface that it activates `NetworkManager` tells firewalld the connection's zone, the empty name when it has
//! none (`changeZone`, in its `nm-firewalld-manager.c`); that is the default zone to firewalld, whichever zone's file names
//! the interface (1.3.3: `change_zone_of_interface` and `check_zone`).

use std::path::Path;

use super::disk::Disk;
use super::objects::{Binding, Connection};
use crate::error::Result;

/// `NetworkManager`'s keyfiles.
const CONNECTIONS: [&str; 2] = [
    "/etc/NetworkManager/system-connections",
    "/usr/lib/NetworkManager/system-connections",
];
/// Red Hat's older files.
const SCRIPTS: &str = "/etc/sysconfig/network-scripts";

/// The connections: those that name a zone, and those that do not.
pub(super) fn read(disk: &Disk<'_>) -> Result<(Vec<Binding>, Vec<Connection>)> {
    let (mut bindings, mut unbound) = (Vec::new(), Vec::new());
    for (connection, zone) in connections(disk)? {
        let Connection { path, interface } = connection;
        match zone {
            Some(zone) => bindings.push(Binding {
                path,
                zone,
                interface,
            }),
            None => unbound.push(Connection { path, interface }),
        }
    }
    Ok((bindings, unbound))
}

fn connections(disk: &Disk<'_>) -> Result<Vec<(Connection, Option<String>)>> {
    let mut all = Vec::new();
    for folder in CONNECTIONS.map(Path::new) {
        for name in disk.list(folder)? {
            if !name.starts_with('.') {
                all.extend(one(disk, &folder.join(name), keyfile)?);
            }
        }
    }
    for name in disk.list(Path::new(SCRIPTS))? {
        if name.starts_with("ifcfg-") {
            all.extend(one(disk, &Path::new(SCRIPTS).join(name), |text| {
                Some(script(text))
            })?);
        }
    }
    Ok(all)
}

/// The zone and the interface that a connection names.
type Parsed = (Option<String>, Option<String>);

fn one(
    disk: &Disk<'_>,
    path: &Path,
    parse: impl Fn(&str) -> Option<Parsed>,
) -> Result<Option<(Connection, Option<String>)>> {
    if disk.is_folder(path)? {
        return Ok(None);
    }
    let bytes = disk.read(path)?.unwrap_or_default();
    let found = parse(&String::from_utf8_lossy(&bytes));
    let connection = |interface| Connection {
        path: disk.at(path),
        interface,
    };
    Ok(found.map(|(zone, interface)| (connection(interface), zone)))
}

/// `zone` and `interface-name` of `[connection]`.
fn keyfile(text: &str) -> Option<Parsed> {
    let (mut inside, mut known, mut zone, mut interface) = (false, false, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            inside = section.trim_end_matches(']') == "connection";
            known |= inside;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| inside) {
            match key.trim() {
                "zone" => zone = Some(value.trim().to_owned()),
                "interface-name" => interface = Some(value.trim().to_owned()),
                _ => {}
            }
        }
    }
    known.then(|| (zone.filter(|zone| !zone.is_empty()), interface))
}

/// `ZONE` and `DEVICE`.
fn script(text: &str) -> Parsed {
    let value = |wanted: &str| {
        let mut values = text.lines().rev().filter_map(|line| {
            let (key, value) = line.trim().split_once('=')?;
            let value = value.trim().trim_matches(['"', '\'']);
            (key == wanted && !value.is_empty()).then(|| value.to_owned())
        });
        values.next()
    };
    (value("ZONE"), value("DEVICE"))
}
