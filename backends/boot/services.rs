//! Which services boot starts, told by the links that enable them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::find::Boot;

/// Where systemd looks for units, first match wins (systemd.unit(5), "System Unit Search Path").
const UNIT_FOLDERS: [&str; 5] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];

/// The folder of the links that `systemctl enable` makes.
const ENABLEMENT: &str = "etc/systemd/system";

/// The folders of `S01nftables` and the like: those of the runlevels, and `OpenWrt`'s.
const RUNLEVELS: [&str; 6] = [
    "etc/rcS.d",
    "etc/rc2.d",
    "etc/rc3.d",
    "etc/rc4.d",
    "etc/rc5.d",
    "etc/rc.d",
];

/// The folders of links that are named like their services: `OpenRC`'s, and Void's.
const LINKS: [&str; 4] = [
    "etc/runlevels/sysinit",
    "etc/runlevels/boot",
    "etc/runlevels/default",
    "etc/runit/runsvdir/default",
];

/// What the links enable.
#[derive(Clone, Debug, Default)]
pub(crate) struct Services {
    /// For systemd, without `.service`.
    pub(super) units: BTreeSet<String>,
    /// For the others: the links of each.
    pub(super) scripts: BTreeMap<String, PathBuf>,
}

impl Services {
    /// Reads the links.
    pub(super) fn find(boot: &Boot) -> Self {
        let name_of = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let mut services = Self::default();
        for folder in boot.look.entries(&boot.root.join(ENABLEMENT)) {
            let name = name_of(&folder);
            let kind = name.rsplit_once('.').map(|(_, kind)| kind);
            if matches!(kind, Some("wants" | "requires")) {
                let units = boot.look.entries(&folder.path()).into_iter();
                let units = units.filter_map(|unit| {
                    let name = name_of(&unit);
                    name.strip_suffix(".service").map(ToOwned::to_owned)
                });
                services.units.extend(units);
            }
        }
        for folder in RUNLEVELS {
            for entry in boot.look.entries(&boot.root.join(folder)) {
                let name = name_of(&entry);
                let numbered = name.strip_prefix('S').unwrap_or_default();
                let service = numbered.trim_start_matches(|digit: char| digit.is_ascii_digit());
                if service.len() < numbered.len() {
                    services.scripts.insert(service.to_owned(), entry.path());
                }
            }
        }
        for folder in LINKS {
            let entries = boot.look.entries(&boot.root.join(folder)).into_iter();
            let named = entries.map(|entry| (name_of(&entry), entry.path()));
            services.scripts.extend(named);
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
        let unit = format!("{service}.service");
        if !self.services.units.contains(service) {
            return false;
        }
        let masked = self.root.join(ENABLEMENT).join(&unit);
        if self
            .look
            .link(&masked)
            .is_some_and(|target| target == Path::new("/dev/null"))
        {
            return false;
        }
        // A package that was removed but not purged leaves its links behind. A tree without any units tells nothing.
        let units = ["usr/lib/systemd/system", "lib/systemd/system"];
        let template = service
            .split_once('@')
            .map(|(name, _)| format!("{name}@.service"));
        !units.iter().any(|folder| self.exists(folder))
            || self.unit_file(&unit).is_some()
            || template.is_some_and(|unit| self.unit_file(&unit).is_some())
    }

    pub(super) fn enabled_in_rc(&self, service: &str) -> bool {
        self.services.scripts.contains_key(service)
            && !(self.systemd_runs() && self.unit_file(&format!("{service}.service")).is_some())
    }

    pub(super) fn unit_file(&self, unit: &str) -> Option<PathBuf> {
        let mut paths = UNIT_FOLDERS
            .iter()
            .map(|folder| self.root.join(folder).join(unit));
        paths.find(|path| self.look.is_there(path))
    }

    /// What a service's `ExecStart=` lines run, drop-ins included; nothing when its unit cannot be read.
    pub(super) fn start_commands(&self, service: &str) -> Vec<String> {
        let unit = format!("{service}.service");
        let Some(path) = self.unit_file(&unit) else {
            return Vec::new();
        };
        let mut commands = Vec::new();
        let link = self.look.link(&path);
        let target = link.map_or(path, |target| self.real(&target));
        start_lines(&self.look.text(&target), &mut commands);
        for text in self.dropins(&unit) {
            start_lines(&text, &mut commands);
        }
        commands
    }

    /// What a service's unit and its drop-ins say.
    pub(super) fn unit_text(&self, service: &str) -> String {
        // An instance of a template has its unit under the template's name.
        let template = service.split_once('@').map(|(name, _)| format!("{name}@"));
        let names = [Some(service.to_owned()), template].into_iter().flatten();
        let mut text = String::new();
        for unit in names.map(|name| format!("{name}.service")) {
            if let Some(path) = self.unit_file(&unit) {
                let link = self.look.link(&path);
                let target = link.map_or(path, |target| self.real(&target));
                text += &self.look.text(&target);
                text.push('\n');
            }
            text += &self.dropins(&unit).join("\n");
        }
        text
    }

    fn dropins(&self, unit: &str) -> Vec<String> {
        // The same name in an earlier folder hides the later ones; the names are read in order (systemd.unit(5)).
        let mut dropins = std::collections::BTreeMap::new();
        for folder in UNIT_FOLDERS {
            let folder = self.root.join(folder).join(format!("{unit}.d"));
            let entries = self.look.entries(&folder).into_iter();
            for entry in entries.filter(|entry| entry.path().extension() == Some("conf".as_ref())) {
                dropins.entry(entry.file_name()).or_insert(entry.path());
            }
        }
        dropins.values().map(|path| self.look.text(path)).collect()
    }
}

/// Gathers the commands of a unit's text; an empty one takes back those before it.
pub(super) fn start_lines(unit: &str, commands: &mut Vec<String>) {
    let joined = unit.replace("\\\n", " ");
    for line in joined.lines() {
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        if key.trim() != "ExecStart" {
            continue;
        }
        match value.trim() {
            "" => commands.clear(),
            command => commands.push(command.to_owned()),
        }
    }
}
