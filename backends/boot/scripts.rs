//! Scripts and services that may load rules at boot besides the usual loaders: what they load cannot be told, but that
//! they are there can.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::find::Boot;

/// Firewalls with loaders of their own.
const SERVICES: [&str; 10] = [
    "shorewall",
    "shorewall6",
    "shorewall-lite",
    "ferm",
    "firehol",
    "arno-iptables-firewall",
    "vuurmuur",
    "apf",
    "imunify360",
    "iptables-persistent",
];

/// Files and folders whose content runs at boot or when a network comes up.
const SCRIPTS: [&str; 8] = [
    "/etc/rc.local",
    "/etc/rc.d/rc.local",
    "/etc/network/interfaces",
    "/etc/network/interfaces.d",
    "/etc/network/if-pre-up.d",
    "/etc/network/if-up.d",
    "/etc/NetworkManager/dispatcher.d",
    "/etc/networkd-dispatcher/routable.d",
];

/// Programs that load rules.
const PROGRAMS: [&str; 6] = [
    "nft",
    "iptables",
    "ip6tables",
    "iptables-restore",
    "ip6tables-restore",
    "iptables-apply",
];

/// A file larger than this is no script.
const LARGEST: u64 = 1 << 20;

/// Whoever may load rules at boot and is no plain loader: the name of a service or the path of a script, and the line
/// that says so.
pub(crate) fn find(boot: &Boot) -> Vec<(String, String)> {
    let services = SERVICES.iter().filter(|service| boot.enabled(service));
    let mut found: Vec<(String, String)> = services
        .map(|service| (format!("{service}.service"), (*service).to_owned()))
        .collect();
    for path in SCRIPTS.iter().flat_map(|path| files(boot, Path::new(path))) {
        let real = boot.real(&path);
        // Nobody runs a script without the permission; the configuration of interfaces is no script.
        let runs = path.starts_with("/etc/network/interfaces")
            || path.starts_with("/etc/network/interfaces.d")
            || boot
                .look
                .metadata(&real)
                .is_some_and(|file| file.permissions().mode() & 0o111 != 0);
        if runs && let Some(line) = loading_line(boot, &real) {
            found.push((real.display().to_string(), line));
        }
    }
    found.extend(own_units(boot));
    found
}

/// A file, or the files in a folder.
fn files(boot: &Boot, path: &Path) -> Vec<PathBuf> {
    let real = boot.real(path);
    if !boot
        .look
        .metadata(&real)
        .is_some_and(|found| found.is_dir())
    {
        return vec![path.to_owned()];
    }
    let entries = boot.look.entries(&real).into_iter();
    let mut files: Vec<PathBuf> = entries.map(|entry| path.join(entry.file_name())).collect();
    files.sort();
    files
}

/// Units that the admin wrote, that are enabled, and that start a program that loads rules.
fn own_units(boot: &Boot) -> Vec<(String, String)> {
    let folder = boot.root.join("etc/systemd/system");
    let entries = boot.look.entries(&folder).into_iter();
    let mut units: Vec<(String, String)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let service = name.strip_suffix(".service")?;
            // A link leads to a package's unit: its name is another one, or it is one of the usual loaders.
            let path = entry.path();
            let kind = boot.look.told(&path, entry.file_type())?;
            if matches!(service, "nftables" | "pasvsync") || !kind.is_file() {
                return None;
            }
            let line = starting_line(&boot.look.text(&path))?;
            boot.enabled(service).then_some((name, line))
        })
        .collect();
    units.sort();
    units
}

/// The first command of a unit that loads rules.
pub(super) fn starting_line(unit: &str) -> Option<String> {
    let mut commands = unit.lines().filter_map(|line| {
        let (key, command) = line.split_once('=')?;
        key.trim().starts_with("ExecStart").then_some(command)
    });
    let command = commands.find(|command| loads(command))?;
    Some(command.trim().to_owned())
}

/// The first line of a script that runs a program that loads rules.
fn loading_line(boot: &Boot, path: &Path) -> Option<String> {
    let metadata = boot.look.metadata(path)?;
    if !metadata.is_file() || metadata.len() > LARGEST {
        return None;
    }
    let text = boot.look.text(path);
    let mut lines = text.lines().map(str::trim);
    lines
        .find(|line| !line.starts_with('#') && loads(line))
        .map(ToOwned::to_owned)
}

/// Whether a command line names such a program.
fn loads(line: &str) -> bool {
    let ends = |letter: char| {
        letter.is_whitespace() || matches!(letter, ';' | '&' | '|' | '(' | ')' | '"' | '\'' | '`')
    };
    line.split(ends).any(|word| {
        let name = word.rsplit('/').next().unwrap_or(word);
        PROGRAMS.contains(&name.trim_start_matches(['-', '@', ':', '+', '!']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_known_by_their_names_alone() {
        for line in [
            "pre-up /sbin/iptables-restore < /etc/firewall.rules",
            "[ -x /usr/sbin/nft ] && nft -f /root/fw",
            "-/usr/sbin/nft -f /root/fw",
            "sh -c 'iptables -A INPUT -j DROP'",
        ] {
            assert!(loads(line), "{line}");
        }
        for line in [
            "echo iptables-save",
            "nfthing",
            "/etc/nft/x",
            "systemctl start x",
        ] {
            assert!(!loads(line), "{line}");
        }
    }
}
