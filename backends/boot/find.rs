//! Which loaders boot runs, told by the links that enable their services; nothing is started to find out.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::look::Look;
use super::scripts::{self, base_name};
use super::services::Services;
use crate::host::file::follow;
use crate::model::reach::Family;
use crate::tools::{TOOLS, Tool};

/// What the next boot loads.
#[derive(Clone, Debug)]
pub struct Boot {
    pub(crate) root: PathBuf,
    /// In the order in which boot runs them.
    pub(crate) loaders: Vec<Loader>,
    pub(crate) managed: Vec<&'static str>,
    /// Who loads rules beside the loaders: neither what they load is known, nor what comes of both.
    pub(crate) beside: Vec<String>,
    /// This network namespace is not the one that boot fills.
    pub(crate) elsewhere: bool,
    /// What boot starts.
    pub(super) services: Services,
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

/// The boot unit.
const UNIT: &str = "pasvsync";

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
            beside: Vec::new(),
            elsewhere: false,
            services: Services::default(),
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
        boot.services = Services::find(&boot);
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

    /// Why the verdicts on the files that boot loads are not the whole truth: something else loads rules, too.
    pub fn doubt(&self) -> Option<&str> {
        self.beside.first().map(String::as_str)
    }

    /// What loads rules at boot that nobody can tell beforehand, where the boot unit runs `pasvsync sync` behind it.
    pub fn left_to_unit(&self) -> Option<String> {
        if !self.enabled(UNIT) {
            return None;
        }
        let mut loaders = self.loaders.iter();
        let script = loaders.find_map(|loader| match loader {
            Loader::Script { service, command } => Some(format!("{service} runs `{command}`")),
            _ => None,
        });
        script.or_else(|| self.doubt().map(ToOwned::to_owned))
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

    /// Whether what boot runs loads rules, but none of it from a file that is known.
    pub fn runs_only_scripts(&self) -> bool {
        let mut loaders = self.loaders.iter();
        !self.loaders.is_empty() && loaders.all(|loader| loader.file().is_none())
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

    /// Where a path of the booted system can be read: without looking at every link when that is this system.
    pub(super) fn within(&self, path: &Path) -> PathBuf {
        if self.root == Path::new("/") {
            path.to_owned()
        } else {
            self.real(path)
        }
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        self.look.metadata(&self.within(Path::new(path))).is_some()
    }

    pub(super) fn text(&self, path: &str) -> String {
        self.look.text(&self.within(Path::new(path)))
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
            // RHEL's unit names the first, Debian's and Arch's the second, Alpine's and Gentoo's scripts the others.
            let usual = [
                "/etc/sysconfig/nftables.conf",
                "/etc/nftables.conf",
                "/etc/nftables.nft",
                "/var/lib/nftables/rules-save",
            ];
            let file = usual.iter().find(|path| self.exists(path));
            let file = PathBuf::from(file.unwrap_or(&"/etc/nftables.conf"));
            self.add(Loader::Nft { service, file });
        }
    }

    fn netfilter_persistent(&mut self) {
        let service = "netfilter-persistent.service";
        for command in self.start_commands("netfilter-persistent") {
            let mut words = command.split_whitespace();
            if words.next().map(base_name) != Some("netfilter-persistent") || !words.eq(["start"]) {
                return self.loaders.push(Loader::Script {
                    service: service.to_owned(),
                    command,
                });
            }
        }
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
        let message = format!(
            "{service} also runs {}, and what that loads is not judged",
            unknown.join(", ")
        );
        self.beside.push(message.clone());
        self.notes.push(Note {
            code: "boot-unknown-plugin",
            warning: true,
            message,
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

    /// The unit is an admin's own on some hosts.
    fn restore_service(&mut self, service: &'static str, family: Family, name: &str) {
        let commands = self.start_commands(name);
        if commands.is_empty() {
            return self.usual_save(service, family, name);
        }
        for command in commands {
            let mut words = command.split_whitespace();
            let program = words.next().map(base_name).unwrap_or_default();
            let arguments: Vec<&str> = words.collect();
            let restored = match program {
                "iptables-restore" => Some(Family::Ipv4),
                "ip6tables-restore" => Some(Family::Ipv6),
                _ => None,
            };
            match (restored, arguments.as_slice()) {
                (Some(family), [file]) if file.starts_with('/') => self.add(Loader::Iptables {
                    service,
                    family,
                    file: file.into(),
                }),
                // RHEL's.
                (None, ["start"]) if program == format!("{name}.init") => {
                    self.usual_save(service, family, name);
                }
                _ => self.loaders.push(Loader::Script {
                    service: service.to_owned(),
                    command,
                }),
            }
        }
    }

    /// RHEL's services read the first file, Arch's the second, the scripts of Alpine and Gentoo the others.
    fn usual_save(&mut self, service: &'static str, family: Family, name: &str) {
        let six = if family == Family::Ipv6 { "6" } else { "" };
        let usual = [
            format!("/etc/sysconfig/{name}"),
            format!("/etc/iptables/{name}.rules"),
            format!("/etc/iptables/rules{six}-save"),
            format!("/var/lib/{name}/rules-save"),
        ];
        let file = usual.iter().find(|path| self.exists(path));
        let file = file.unwrap_or(&usual[0]).clone();
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
        let told = TOOLS.iter().filter(|tool| tool.is_told());
        let managed = told.filter(|tool| self.starts(tool).is_some());
        self.managed = managed.map(|tool| tool.name).collect();
    }

    /// The service by which boot has the tool load its rules.
    pub(super) fn starts(&self, tool: &Tool) -> Option<String> {
        let on = |(file, wanted): (&str, &str)| {
            let text = self.text(file);
            text.lines()
                .any(|line| line.trim().eq_ignore_ascii_case(wanted))
        };
        let mut services = tool.services.iter();
        let service = services.find(|service| self.enabled(service))?;
        let runs = tool.switched_on.is_none_or(on)
            && !tool.switched_off.is_some_and(|file| self.exists(file));
        runs.then(|| format!("{service}.service"))
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
            let message = format!("{script} also loads rules (`{line}`), which are not judged");
            self.beside.push(message.clone());
            self.notes.push(Note {
                code: "boot-script",
                warning: true,
                message,
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

/// The files of `nft -f FILE`; none when the command is something else.
pub(super) fn files_of_nft(command: &str) -> Vec<PathBuf> {
    let mut words = command.split_whitespace();
    let program = words.next().unwrap_or_default();
    if base_name(program) != "nft" {
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
