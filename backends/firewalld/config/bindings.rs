//! Interfaces that `NetworkManager` and the network scripts put into zones when they bring them up.

use std::path::Path;

use super::disk::Disk;
use super::objects::Binding;
use crate::error::Result;

/// `NetworkManager`'s keyfiles.
const CONNECTIONS: [&str; 2] = [
    "/etc/NetworkManager/system-connections",
    "/usr/lib/NetworkManager/system-connections",
];
/// Red Hat's older files.
const SCRIPTS: &str = "/etc/sysconfig/network-scripts";

/// Every connection that names a zone.
pub(super) fn read(disk: &Disk<'_>) -> Result<Vec<Binding>> {
    let mut bindings = Vec::new();
    for folder in CONNECTIONS.map(Path::new) {
        for name in disk.list(folder)? {
            if !name.starts_with('.') {
                bindings.extend(one(disk, &folder.join(name), keyfile)?);
            }
        }
    }
    for name in disk.list(Path::new(SCRIPTS))? {
        if name.starts_with("ifcfg-") {
            bindings.extend(one(disk, &Path::new(SCRIPTS).join(name), script)?);
        }
    }
    Ok(bindings)
}

fn one(
    disk: &Disk<'_>,
    path: &Path,
    parse: impl Fn(&str) -> Option<(String, Option<String>)>,
) -> Result<Option<Binding>> {
    if disk.is_folder(path) {
        return Ok(None);
    }
    let bytes = disk.read(path)?.unwrap_or_default();
    let found = parse(&String::from_utf8_lossy(&bytes));
    Ok(found.map(|(zone, interface)| Binding {
        path: disk.at(path),
        zone,
        interface,
    }))
}

/// `zone` and `interface-name` of `[connection]`.
fn keyfile(text: &str) -> Option<(String, Option<String>)> {
    let (mut inside, mut zone, mut interface) = (false, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            inside = section.trim_end_matches(']') == "connection";
        } else if let Some((key, value)) = line.split_once('=').filter(|_| inside) {
            match key.trim() {
                "zone" => zone = Some(value.trim().to_owned()),
                "interface-name" => interface = Some(value.trim().to_owned()),
                _ => {}
            }
        }
    }
    Some((zone.filter(|zone| !zone.is_empty())?, interface))
}

/// `ZONE` and `DEVICE`.
fn script(text: &str) -> Option<(String, Option<String>)> {
    let value = |wanted: &str| {
        let mut values = text.lines().rev().filter_map(|line| {
            let (key, value) = line.trim().split_once('=')?;
            let value = value.trim().trim_matches(['"', '\'']);
            (key == wanted && !value.is_empty()).then(|| value.to_owned())
        });
        values.next()
    };
    Some((value("ZONE")?, value("DEVICE")))
}
