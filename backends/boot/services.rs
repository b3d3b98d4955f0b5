//! Which services boot starts, told by the links that enable them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::find::Boot;

/// Where the admin's units are.
const OWN: &str = "/etc/systemd/system";

/// Where systemd looks for units, first match wins (systemd.unit(5), "System Unit Search Path"). What is in `/run` is gone
/// by the next boot.
const UNIT_FOLDERS: [&str; 4] = [
    OWN,
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// The folders of `S01nftables` and the like: those of the runlevels, and `OpenWrt`'s.
const RUNLEVELS: [&str; 6] = [
    "/etc/rcS.d",
    "/etc/rc2.d",
    "/etc/rc3.d",
    "/etc/rc4.d",
    "/etc/rc5.d",
    "/etc/rc.d",
];

/// The folders of links that are named like their services: `OpenRC`'s, and Void's.
const LINKS: [&str; 4] = [
    "/etc/runlevels/sysinit",
    "/etc/runlevels/boot",
    "/etc/runlevels/default",
    "/etc/runit/runsvdir/default",
];

/// What the links enable.
#[derive(Clone, Debug, Default)]
pub(crate) struct Services {
    /// For systemd, without `.service`.
    pub(super) units: BTreeSet<String>,
    /// systemd's timers, without `.timer`.
    pub(super) timers: BTreeSet<String>,
    /// For the others: the links of each.
    pub(super) scripts: BTreeMap<String, PathBuf>,
    /// systemd has booted this host.
    by_systemd: bool,
    /// The folders of units, the admin's first.
    folders: Vec<UnitFolder>,
}

/// A folder of units.
#[derive(Clone, Debug)]
struct UnitFolder {
    /// As the booted system sees it.
    path: &'static Path,
    /// Where it is now.
    real: PathBuf,
    /// What is in it.
    names: BTreeSet<String>,
}

impl Services {
    /// Reads the links.
    pub(super) fn find(boot: &Boot) -> Self {
        let name_of = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let mut services = Self {
            by_systemd: boot.systemd_runs(),
            ..Self::default()
        };
        for path in UNIT_FOLDERS.map(Path::new) {
            let real = boot.real(path);
            // `/lib` may be a link to `/usr/lib`.
            if !services.folders.iter().any(|known| known.real == real) {
                let names = boot.look.entries(&real).iter().map(name_of).collect();
                services.folders.push(UnitFolder { path, real, names });
            }
        }
        for folder in &services.folders {
            for name in &folder.names {
                let kind = name.rsplit_once('.').map(|(_, kind)| kind);
                if !matches!(kind, Some("wants" | "requires" | "upholds")) {
                    continue;
                }
                for unit in boot.look.entries(&folder.real.join(name)) {
                    let unit = name_of(&unit);
                    if let Some(service) = unit.strip_suffix(".service") {
                        services.units.insert(service.to_owned());
                    } else if let Some(timer) = unit.strip_suffix(".timer") {
                        services.timers.insert(timer.to_owned());
                    }
                }
            }
        }
        for folder in RUNLEVELS {
            let folder = Path::new(folder);
            for entry in boot.look.entries(&boot.within(folder)) {
                let name = name_of(&entry);
                let numbered = name.strip_prefix('S').unwrap_or_default();
                let service = numbered.trim_start_matches(|digit: char| digit.is_ascii_digit());
                if service.len() < numbered.len() {
                    services
                        .scripts
                        .insert(service.to_owned(), folder.join(&name));
                }
            }
        }
        for folder in LINKS {
            let folder = Path::new(folder);
            let names = boot.look.entries(&boot.within(folder)).into_iter();
            let names = names.map(|entry| name_of(&entry));
            let links = names.map(|name| (name.clone(), folder.join(name)));
            services.scripts.extend(links);
        }
        services
    }
}

impl Boot {
    /// Whether boot starts the service.
    ///
    /// Where systemd runs its links count, and the runlevels' only for scripts that it has no unit for
    /// (systemd-sysv-generator(8)). Elsewhere, in an image or a container, nothing tells which of the two will boot: either
    /// counts.
    pub(crate) fn enabled(&self, service: &str) -> bool {
        self.enabled_in_systemd(service) || self.enabled_in_rc(service)
    }

    fn enabled_in_systemd(&self, service: &str) -> bool {
        self.services.units.contains(service) && self.has_unit(service)
    }

    /// Whether systemd finds the service's unit, or may for all that can be told, and it is not masked.
    pub(super) fn has_unit(&self, service: &str) -> bool {
        let unit = format!("{service}.service");
        if let Some(folder) = self.unit_folder(&unit) {
            // Only an admin masks (systemctl(1), "mask").
            return !folder.is_own()
                || self.look.link(&folder.real.join(unit)).as_deref()
                    != Some(Path::new("/dev/null"));
        }
        // A package that was removed but not purged leaves its links behind. A tree without any units tells nothing.
        let mut packaged = self.services.folders.iter().skip(1);
        packaged.all(|folder| folder.names.is_empty())
            || template(&unit).is_some_and(|unit| self.unit_folder(&unit).is_some())
    }

    /// Whether the service's unit is the admin's own.
    pub(super) fn has_own_unit(&self, service: &str) -> bool {
        let folder = self.unit_folder(&format!("{service}.service"));
        folder.is_some_and(UnitFolder::is_own)
    }

    pub(super) fn enabled_in_rc(&self, service: &str) -> bool {
        self.services.scripts.contains_key(service)
            && !(self.services.by_systemd
                && self.unit_folder(&format!("{service}.service")).is_some())
    }

    fn unit_folder(&self, unit: &str) -> Option<&UnitFolder> {
        let mut folders = self.services.folders.iter();
        folders.find(|folder| folder.names.contains(unit))
    }

    /// What a unit, such as `nftables.service`, and its drop-ins say, every setting on one line; empty when it is not
    /// there.
    pub(super) fn unit_text(&self, unit: &str) -> String {
        // An instance of a template has its unit under the template's name.
        let names = [template(unit), Some(unit.to_owned())];
        let mut text = String::new();
        for name in names.iter().flatten() {
            if let Some(folder) = self.unit_folder(name) {
                text += &self.look.text(&self.within(&folder.path.join(name)));
                text.push('\n');
            }
        }
        for name in names.iter().flatten() {
            text += &self.dropins(name, false);
        }
        joined(&text)
    }

    /// What an admin's own drop-ins say of a service.
    pub(super) fn own_dropins(&self, service: &str) -> String {
        let unit = format!("{service}.service");
        let names = [template(&unit), Some(unit)];
        let texts = names.iter().flatten();
        joined(
            &texts
                .map(|name| self.dropins(name, true))
                .collect::<String>(),
        )
    }

    /// What a service's `ExecStart=` lines run, drop-ins included; nothing when its unit cannot be read.
    pub(super) fn start_commands(&self, service: &str) -> Vec<String> {
        let text = self.unit_text(&format!("{service}.service"));
        let commands = commands(&text).into_iter();
        let starts = commands.filter(|(key, _)| *key == "ExecStart");
        starts.map(|(_, command)| command.to_owned()).collect()
    }

    fn dropins(&self, unit: &str, only_own: bool) -> String {
        // The same name in an earlier folder hides the later ones; the names are read in order. Drop-ins for `a-.service`
        // are for `a-b.service`, too, and those for `service` for all (systemd.unit(5)).
        let kind = unit.rsplit_once('.').map_or("", |(_, kind)| kind);
        let dashes = unit.match_indices('-').rev();
        let prefixes = dashes.map(|(at, _)| unit.get(..=at).unwrap_or_default());
        let prefixes = prefixes.map(|prefix| format!("{prefix}.{kind}.d"));
        let names = [format!("{unit}.d")].into_iter().chain(prefixes);
        let mut dropins = BTreeMap::new();
        for name in names.chain([format!("{kind}.d")]) {
            let folders = self.services.folders.iter();
            for folder in folders.filter(|folder| folder.names.contains(&name)) {
                let entries = self.look.entries(&folder.real.join(&name)).into_iter();
                for entry in entries.map(|entry| entry.file_name()) {
                    let path = folder.path.join(&name).join(&entry);
                    if path.extension() == Some("conf".as_ref()) {
                        dropins.entry(entry).or_insert((path, folder.is_own()));
                    }
                }
            }
        }
        let wanted = dropins.values().filter(|(_, own)| *own || !only_own);
        wanted
            .map(|(path, _)| self.look.text(&self.within(path)) + "\n")
            .collect()
    }
}

impl UnitFolder {
    /// Whether it is the admin's.
    fn is_own(&self) -> bool {
        self.path == Path::new(OWN)
    }
}

/// The template of an instance: `wg-quick@.service` of `wg-quick@wg0.service`.
fn template(unit: &str) -> Option<String> {
    let (name, instance) = unit.split_once('@')?;
    let (_, kind) = instance.rsplit_once('.')?;
    Some(format!("{name}@.{kind}"))
}

/// The text with every setting on one line.
fn joined(text: &str) -> String {
    text.replace("\\\n", " ")
}

/// The commands that a unit starts, by their keys, such as `ExecStartPost`; an empty one takes back those of its key
/// before it.
pub(super) fn commands(unit: &str) -> Vec<(&str, &str)> {
    let mut commands: Vec<(&str, &str)> = Vec::new();
    for line in unit.lines() {
        let Some((key, command)) = line.split_once('=') else {
            continue;
        };
        let (key, command) = (key.trim(), command.trim());
        match command {
            _ if !key.starts_with("ExecStart") => {}
            "" => commands.retain(|(known, _)| *known != key),
            _ => commands.push((key, command)),
        }
    }
    commands
}
