//! Which loaders boot runs, told by the links that enable their services; nothing is started to find out.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::look::Look;
use super::scripts;
use crate::host::file::follow;
use crate::model::reach::Family;

/// What the next boot loads.
#[derive(Clone, Debug)]
pub struct Boot {
    pub(crate) root: PathBuf,
    /// In the order in which boot runs them.
    pub(crate) loaders: Vec<Loader>,
    pub(crate) managed: Vec<&'static str>,
    /// This network namespace is not the one that boot fills.
    pub(crate) elsewhere: bool,
    /// What the admin should know.
    pub(crate) notes: Vec<Note>,
    /// What could not be read.
    pub(crate) look: Look,
}

/// Something that the admin should know about the next boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// A stable kebab-case code.
    pub code: &'static str,
    /// Whether the next boot may not do what it looks as if it would; otherwise it is for information.
    pub warning: bool,
    /// What was found: lower case, no final period.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// One program that boot runs to load rules. Paths are as the booted system sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Loader {
    /// `nft -f FILE`.
    Nft { service: String, file: PathBuf },
    /// `iptables-restore < FILE`, or its sister.
    Iptables {
        service: &'static str,
        family: Family,
        file: PathBuf,
    },
    /// `ipset restore < FILE`.
    Ipset { file: PathBuf },
    /// Something else, whose effect cannot be told beforehand.
    Script { service: String, command: String },
}

impl Loader {
    /// The file it reads.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::Nft { file, .. } | Self::Iptables { file, .. } | Self::Ipset { file } => {
                Some(file)
            }
            Self::Script { .. } => None,
        }
    }
}

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

/// netfilter-persistent runs what is in here, by name.
const PLUGINS: &str = "usr/share/netfilter-persistent/plugins.d";

impl Boot {
    /// Finds the loaders that boot runs on the system under `root`.
    pub fn find(root: &Path) -> Self {
        let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        let mut boot = Self {
            root,
            loaders: Vec::new(),
            managed: Vec::new(),
            elsewhere: false,
            notes: Vec::new(),
            look: Look::default(),
        };
        let own = boot.root == Path::new("/") && in_a_namespace_of_its_own(&boot.look);
        // Where that cannot be told nothing else matters: there is no verdict.
        if own && boot.look.failure().is_none() {
            boot.elsewhere = true;
            boot.notes.push(Note {
                code: "boot-other-namespace",
                warning: false,
                message: "this network namespace is not the one whose rules are loaded at boot"
                    .to_owned(),
                hint: None,
            });
            return boot;
        }
        let mut services = Vec::new();
        for (service, find) in [
            ("nftables", Self::nftables as fn(&mut Self)),
            ("netfilter-persistent", Self::netfilter_persistent),
            ("iptables", Self::iptables),
            ("ip6tables", Self::ip6tables),
        ] {
            if boot.enabled(service) {
                find(&mut boot);
                services.push(service);
            }
        }
        boot.find_managers();
        boot.find_scripts();
        boot.count(&services);
        boot
    }

    /// The program in charge of the next boot's rules that is no plain loader, such as firewalld: its own backend
    /// judges what it loads.
    pub fn managed(&self) -> Option<&'static str> {
        self.managed.first().copied()
    }

    /// Whether systemd has booted this host.
    pub fn systemd_runs(&self) -> bool {
        self.root == Path::new("/") && self.exists("/run/systemd/system")
    }

    /// What the admin should know.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Whether boot runs a loader, or may for all that can be told. Without one, nothing filters after it.
    pub fn loads(&self) -> bool {
        !self.loaders.is_empty() || self.look.failure().is_some()
    }

    /// The firewall that the first loader fills, for reports.
    pub(crate) fn kind(&self) -> &'static str {
        match self.loaders.first() {
            Some(Loader::Iptables { .. } | Loader::Ipset { .. }) => "iptables",
            _ => "nftables",
        }
    }

    /// Where a path of the booted system is now, links followed.
    pub(crate) fn real(&self, path: &Path) -> PathBuf {
        let plain = self.root.join(path.strip_prefix("/").unwrap_or(path));
        let real = follow(&self.root, path).map_err(std::io::Error::from);
        self.look.told(path, real).unwrap_or(plain)
    }

    fn exists(&self, path: &str) -> bool {
        self.look.metadata(&self.real(Path::new(path))).is_some()
    }

    fn text(&self, path: &str) -> String {
        self.look.text(&self.real(Path::new(path)))
    }

    fn nftables(&mut self) {
        let service = "nftables.service".to_owned();
        let commands = self.start_commands("nftables");
        for command in &commands {
            let files = files_of_nft(command);
            if files.is_empty() {
                self.loaders.push(Loader::Script {
                    service: service.clone(),
                    command: command.clone(),
                });
            }
            for file in files {
                self.add(Loader::Nft {
                    service: service.clone(),
                    file,
                });
            }
        }
        if commands.is_empty() {
            // RHEL's unit names the first, Debian's and Arch's the second.
            let usual = ["/etc/sysconfig/nftables.conf", "/etc/nftables.conf"];
            let file = usual.iter().find(|path| self.exists(path));
            let file = PathBuf::from(file.unwrap_or(&"/etc/nftables.conf"));
            self.add(Loader::Nft { service, file });
        }
    }

    fn netfilter_persistent(&mut self) {
        let service = "netfilter-persistent.service";
        let all = !self.exists(PLUGINS);
        self.note_unknown_plugins(service);
        let has = |boot: &Self, plugin: &str| all || boot.exists(&format!("{PLUGINS}/{plugin}"));
        let sets = PathBuf::from("/etc/iptables/ipsets");
        if has(self, "10-ipset") && self.look.metadata(&self.real(&sets)).is_some() {
            self.loaders.push(Loader::Ipset { file: sets });
        }
        let families = [
            (Family::Ipv4, "15-ip4tables", "/etc/iptables/rules.v4"),
            (Family::Ipv6, "25-ip6tables", "/etc/iptables/rules.v6"),
        ];
        for (family, plugin, file) in families {
            if has(self, plugin) {
                self.add(Loader::Iptables {
                    service,
                    family,
                    file: file.into(),
                });
            }
        }
    }

    /// Plugins of other packages or the admin's own may load more.
    fn note_unknown_plugins(&mut self, service: &str) {
        let entries = self.look.entries(&self.root.join(PLUGINS)).into_iter();
        let mut unknown: Vec<String> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| {
                !name.ends_with("-ip4tables")
                    && !name.ends_with("-ip6tables")
                    && !name.ends_with("-ipset")
            })
            .collect();
        if unknown.is_empty() {
            return;
        }
        unknown.sort();
        self.notes.push(Note {
            code: "boot-unknown-plugin",
            warning: true,
            message: format!(
                "{service} also runs {}, and what that loads is not judged",
                unknown.join(", ")
            ),
            hint: None,
        });
    }

    fn iptables(&mut self) {
        let sets = PathBuf::from("/etc/sysconfig/ipset");
        if self.enabled("ipset") && self.look.metadata(&self.real(&sets)).is_some() {
            self.loaders.push(Loader::Ipset { file: sets });
        }
        self.restore_service("iptables.service", Family::Ipv4, "iptables");
    }

    fn ip6tables(&mut self) {
        self.restore_service("ip6tables.service", Family::Ipv6, "ip6tables");
    }

    /// RHEL's services read one file, Arch's another.
    fn restore_service(&mut self, service: &'static str, family: Family, name: &str) {
        let red_hat = format!("/etc/sysconfig/{name}");
        let arch = format!("/etc/iptables/{name}.rules");
        let file = if !self.exists(&red_hat) && self.exists(&arch) {
            arch
        } else {
            red_hat
        };
        self.add(Loader::Iptables {
            service,
            family,
            file: file.into(),
        });
    }

    /// Adds a loader, or says that its file is missing.
    fn add(&mut self, loader: Loader) {
        let (Some(file), service) = (loader.file(), loader.service()) else {
            return;
        };
        if self.look.metadata(&self.real(file)).is_some() {
            self.loaders.push(loader);
            return;
        }
        self.notes.push(Note {
            code: "boot-file-missing",
            warning: true,
            message: format!(
                "{service} is enabled, but its file `{}` does not exist: the next boot loads nothing from it",
                self.real(file).display()
            ),
            hint: Some(format!("write the file, or run `systemctl disable {service}`")),
        });
    }

    fn find_managers(&mut self) {
        if self.enabled("firewalld") {
            self.managed.push("firewalld");
        }
        // The service is enabled wherever ufw is installed; whether it does anything is another matter.
        let on = |line: &str| line.trim().eq_ignore_ascii_case("ENABLED=yes");
        if self.enabled("ufw") && self.text("/etc/ufw/ufw.conf").lines().any(on) {
            self.managed.push("ufw");
        }
        if self.enabled("csf") && !self.exists("/etc/csf/csf.disable") {
            self.managed.push("csf");
        }
    }

    /// Without a usual loader, a script must be what loads the rules: they are not known then. Beside one, it most
    /// probably adds to them.
    fn find_scripts(&mut self) {
        let scripts = scripts::find(self);
        if self.loaders.is_empty() && self.managed.is_empty() {
            let scripts = scripts.into_iter();
            let loaders = scripts.map(|(service, command)| Loader::Script { service, command });
            self.loaders.extend(loaders);
            return;
        }
        for (script, line) in scripts {
            self.notes.push(Note {
                code: "boot-script",
                warning: true,
                message: format!("{script} also loads rules (`{line}`), which are not judged"),
                hint: None,
            });
        }
    }

    /// None, or more than one: worth a word.
    fn count(&mut self, services: &[&'static str]) {
        // iptables-services are two for one firewall.
        let mut names: Vec<&str> = services
            .iter()
            .map(|name| {
                if *name == "ip6tables" {
                    "iptables"
                } else {
                    *name
                }
            })
            .chain(self.managed.iter().copied())
            .collect();
        names.dedup();
        if names.len() > 1 {
            let list: Vec<String> = names.iter().map(|name| format!("{name}.service")).collect();
            self.notes.push(Note {
                code: "boot-two-loaders",
                warning: true,
                message: format!(
                    "{} all load rules at boot, in no certain order",
                    list.join(" and ")
                ),
                hint: Some("keep one and disable the others".to_owned()),
            });
        }
        if let Some(name) = self.managed() {
            self.notes.push(Note {
                code: "boot-managed",
                warning: false,
                message: format!("{name} loads the rules at boot"),
                hint: None,
            });
        } else if names.is_empty() && !self.loads() {
            self.notes.push(Note {
                code: "boot-loads-nothing",
                warning: false,
                message:
                    "no service that loads firewall rules is enabled: nothing filters after a boot"
                        .to_owned(),
                hint: None,
            });
        }
    }

    /// Whether boot starts the service.
    /// Where systemd runs only its links count (`sd_booted(3)`). Elsewhere, in an image or a container, nothing tells which
    /// of the two will boot: either counts.
    pub(crate) fn enabled(&self, service: &str) -> bool {
        self.enabled_in_systemd(service) || !self.systemd_runs() && self.enabled_in_rc(service)
    }

    fn enabled_in_systemd(&self, service: &str) -> bool {
        let unit = format!("{service}.service");
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
        if units.iter().any(|folder| self.exists(folder)) && self.unit_file(&unit).is_none() {
            return false;
        }
        let entries = self.look.entries(&self.root.join(ENABLEMENT));
        entries.iter().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            (name.ends_with(".wants") || name.ends_with(".requires"))
                && self.look.is_there(&entry.path().join(&unit))
        })
    }

    /// `/etc/rc2.d/S01nftables` and the like.
    fn enabled_in_rc(&self, service: &str) -> bool {
        ["S", "2", "3", "4", "5"].iter().any(|level| {
            let folder = self.root.join(format!("etc/rc{level}.d"));
            self.look.entries(&folder).iter().any(|entry| {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                let rest = name.strip_prefix('S').unwrap_or_default();
                rest.trim_start_matches(|digit: char| digit.is_ascii_digit()) == service
            })
        })
    }

    fn unit_file(&self, unit: &str) -> Option<PathBuf> {
        let mut paths = UNIT_FOLDERS
            .iter()
            .map(|folder| self.root.join(folder).join(unit));
        paths.find(|path| self.look.is_there(path))
    }

    /// What a service's `ExecStart=` lines run, drop-ins included; nothing when its unit cannot be read.
    fn start_commands(&self, service: &str) -> Vec<String> {
        let unit = format!("{service}.service");
        let Some(path) = self.unit_file(&unit) else {
            return Vec::new();
        };
        let mut commands = Vec::new();
        let link = self.look.link(&path);
        let target = link.map_or(path, |target| self.real(&target));
        start_lines(&self.look.text(&target), &mut commands);
        // The same name in an earlier folder hides the later ones; the names are read in order (systemd.unit(5)).
        let mut dropins = std::collections::BTreeMap::new();
        for folder in UNIT_FOLDERS {
            let folder = self.root.join(folder).join(format!("{unit}.d"));
            let entries = self.look.entries(&folder).into_iter();
            for entry in entries.filter(|entry| entry.path().extension() == Some("conf".as_ref())) {
                dropins.entry(entry.file_name()).or_insert(entry.path());
            }
        }
        for path in dropins.values() {
            start_lines(&self.look.text(path), &mut commands);
        }
        commands
    }
}

impl Loader {
    /// The service that runs it.
    pub(crate) fn service(&self) -> &str {
        match self {
            Self::Nft { service, .. } | Self::Script { service, .. } => service,
            Self::Iptables { service, .. } => service,
            Self::Ipset { .. } => "ipset",
        }
    }
}

/// What boot reads of a host's configuration.
const BOOT_PATHS: [&str; 5] = [
    "etc",
    "etc/systemd/system",
    "etc/nftables.conf",
    "etc/iptables",
    "etc/sysconfig",
];

/// Whether this network namespace is another than that of the first process, for which boot's loaders run from the
/// files that are seen here. Files of its own make a namespace a host of its own.
fn in_a_namespace_of_its_own(look: &Look) -> bool {
    let file = |root: &str, path: &str| {
        let metadata = look.metadata(&Path::new(root).join(path))?;
        Some((metadata.dev(), metadata.ino()))
    };
    let same = |path: &str| file("/", path) == file("/proc/1/root", path);
    if file("/proc/1/root", "etc").is_some() && !BOOT_PATHS.into_iter().all(same) {
        return false;
    }
    let link = |path: &str| look.link(Path::new(path));
    if let (Some(own), Some(first)) = (link("/proc/thread-self/ns/net"), link("/proc/1/ns/net")) {
        return own != first;
    }
    // Without CAP_SYS_PTRACE the first process's is not shown. Only in a user namespace is that a sign: its root is not
    // the host's (user_namespaces(7): the initial one maps every number to itself).
    let map = look.text(Path::new("/proc/self/uid_map"));
    map.split_whitespace().ne(["0", "0", "4294967295"])
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

/// The files of `nft -f FILE`; none when the command is something else.
pub(super) fn files_of_nft(command: &str) -> Vec<PathBuf> {
    let mut words = command.split_whitespace();
    let program = words.next().unwrap_or_default();
    let program = program.trim_start_matches(['-', '@', ':', '+', '!']);
    if Path::new(program).file_name() != Some("nft".as_ref()) {
        return Vec::new();
    }
    let mut files = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "-f" | "--file" => {
                files.extend(
                    words
                        .next()
                        .map(|file| PathBuf::from(file.trim_matches(['"', '\'']))),
                );
            }
            // Any other option may change what the file means.
            _ => return Vec::new(),
        }
    }
    files
}
