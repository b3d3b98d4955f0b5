//! The controller: Ansible and ssh, with keys, settings and an inventory of the test's own, on the network of its hosts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use super::hosts::{Common, Host};
use crate::support::command::{Output, quiet, run, run_within};
use crate::support::connections::{Target, probe};
use crate::support::daemons::unpack;
use crate::support::namespace::Namespace;
use crate::support::program::PROGRAM;
use crate::support::{ready, skip};
use crate::systemd::machine::owns_the_host;

/// The collection.
pub(super) const COLLECTION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/ansible");
/// Where `.ci/ansible` installs Ansible.
const ANSIBLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/ansible/bin");
/// What hosts have beside the programs of this one.
const PACKAGES: &[&[&str]] = &[&["openssh-server", "python3-apt", "sudo"]];
/// No playbook of the tests takes nearly as long.
const LIMIT: Duration = Duration::from_secs(900);
/// The controller's own.
const ADDRESSES: [&str; 2] = ["198.18.255.1", "2001:db8::ffff"];
/// How long a silent port is waited for, and how long one that should answer.
const SILENCE: Duration = Duration::from_millis(400);
const PATIENCE: Duration = Duration::from_secs(3);

/// A controller and its hosts.
#[derive(Debug)]
pub(super) struct Controller {
    pub(super) hosts: Vec<Host>,
    namespace: Namespace,
    folder: tempfile::TempDir,
    source: AtomicU16,
}

/// What `ansible-playbook` printed.
#[derive(Debug)]
pub(super) struct Play {
    pub(super) status: Option<i32>,
    pub(super) text: String,
}

impl Play {
    /// The counts of a host in the recap, by their names.
    #[track_caller]
    pub(super) fn counts(&self, host: &str) -> BTreeMap<String, u32> {
        let (_, recap) = self
            .text
            .split_once("PLAY RECAP")
            .unwrap_or_else(|| panic!("no recap: {}", self.text));
        let line = recap
            .lines()
            .find(|line| line.split_whitespace().next() == Some(host));
        let line = line.unwrap_or_else(|| panic!("nothing about {host}: {}", self.text));
        let counts = line
            .split_whitespace()
            .filter_map(|word| word.split_once('='));
        counts
            .map(|(name, count)| (name.to_owned(), count.parse().expect("a count")))
            .collect()
    }

    /// Panics unless the play went well on all hosts and changed something on each of them this many times.
    #[track_caller]
    pub(super) fn changed(self, hosts: &[Host], times: u32) -> Self {
        assert_eq!(self.status, Some(0), "{}", self.text);
        for host in hosts {
            let counts = self.counts(&host.name());
            assert_eq!(counts["changed"], times, "{}: {}", host.name(), self.text);
            assert_eq!(
                (counts["failed"], counts["unreachable"]),
                (0, 0),
                "{}",
                self.text
            );
        }
        self
    }
}

/// A program of Ansible's, with nothing of the user's settings; `None` where Ansible is not installed for the tests.
pub(super) fn ansible(program: &str, home: &Path) -> Option<Command> {
    let path = Path::new(ANSIBLE).join(program);
    if !path.exists() {
        skip(&format!(
            "{program}: not installed for the tests; run .ci/ansible"
        ));
        return None;
    }
    let mut command = quiet(&path.display().to_string());
    let search = format!(
        "{ANSIBLE}:{}:/usr/sbin:/sbin",
        std::env::var("PATH").unwrap_or_default()
    );
    command
        .env("PATH", search)
        .env("HOME", home)
        .env("LC_ALL", "C.UTF-8");
    command
        .env("NO_COLOR", "1")
        .env_remove("PYTHONPATH")
        .env_remove("VIRTUAL_ENV");
    Some(command)
}

/// Builds the collection and installs it below a folder, the way the README says. `None` without Ansible.
pub(super) fn install(folder: &Path) -> Option<PathBuf> {
    let mut build = ansible("ansible-galaxy", folder)?;
    build
        .args(["collection", "build", COLLECTION, "--output-path"])
        .arg(folder);
    run(&mut build, "").expect_success("build the collection");
    let collections = folder.join("collections");
    let mut install = ansible("ansible-galaxy", folder)?;
    install
        .args(["collection", "install", "--offline", "-p"])
        .arg(&collections);
    install.arg(folder.join("pasvsync-pasvsync-1.0.0.tar.gz"));
    run(&mut install, "").expect_success("install the collection");
    Some(collections)
}

/// The host's /usr with what hosts have besides, as overlayfs takes it.
pub(super) fn usr() -> PathBuf {
    let packages = unpack("ansible", PACKAGES)
        .unwrap_or_else(|reason| panic!("cannot unpack {PACKAGES:?}: {reason}"));
    PathBuf::from(format!("{}/usr:/usr", packages.display()))
}

impl Controller {
    /// A controller with this many hosts that have no Python; `None` where that cannot be.
    pub(super) fn new(hosts: u16) -> Option<Self> {
        Self::with(hosts, false)
    }

    /// The same with hosts that may have one.
    pub(super) fn with(hosts: u16, python: bool) -> Option<Self> {
        if !ready(&[
            "ip",
            "mount",
            "nft",
            "python3",
            "ssh",
            "ssh-keygen",
            "systemctl",
            "unshare",
        ]) {
            return None;
        }
        if !owns_the_host() {
            skip("hosts with an sshd need a root that is root outside as well");
            return None;
        }
        let namespace = Namespace::new().expect("a namespace");
        let network = "link set lo up\nlink add bridge type bridge\naddr add 198.18.255.1/15 dev bridge\n\
                       addr add 2001:db8::ffff/64 dev bridge nodad\nlink set bridge up\n";
        namespace
            .run(|| run(quiet("ip").args(["-batch", "-"]), network))
            .expect_success("ip");
        let mut controller = Self::at(namespace)?;
        // One copy for all hosts, at the place of an installed program.
        let own = controller.folder().join("usr");
        fs_err::create_dir_all(own.join("sbin")).expect("a folder");
        fs_err::copy(PROGRAM, own.join("sbin/pasvsync")).expect("install the program");
        let usr = format!("{}:{}", own.display(), usr().display());
        let common = Common {
            usr: Path::new(&usr),
            keys: controller.folder(),
            python,
        };
        let made = (1..=hosts).map(|number| Host::new(number, &common, &controller.namespace));
        let made: Result<Vec<Host>, String> = made.collect();
        controller.hosts = made.unwrap_or_else(|reason| panic!("no host can be made: {reason}"));
        let hosts = controller.hosts.iter();
        let hosts: Vec<_> = hosts
            .map(|host| (host.name(), host.addresses()[0]))
            .collect();
        controller.manage(&hosts);
        Some(controller)
    }

    /// A controller on a network where there will be hosts; `None` where Ansible is not installed for the tests.
    pub(super) fn at(namespace: Namespace) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        install(folder.path())?;
        for key in ["host", "user"] {
            let arguments = ["-q", "-t", "ed25519", "-N", "", "-C", key, "-f"];
            let path = folder.path().join(key);
            run(quiet("ssh-keygen").args(arguments).arg(path), "").expect_success("ssh-keygen");
        }
        Some(Self {
            hosts: Vec::new(),
            namespace,
            folder,
            source: AtomicU16::new(10_000),
        })
    }

    /// Writes the settings, the inventory and what is known of the hosts, and waits until sshd listens on all of them.
    pub(super) fn manage(&self, hosts: &[(String, IpAddr)]) {
        let folder = self.folder.path().display();
        let settings = format!(
            "[defaults]\ninventory = {folder}/inventory\ncollections_path = {folder}/collections\nremote_user = root\n\
             private_key_file = {folder}/user\ninterpreter_python = /usr/bin/python3\nforks = 25\n\n\
             [ssh_connection]\npipelining = true\ncontrol_path_dir = {folder}/ssh\n\
             ssh_args = -F /dev/null -o ControlMaster=auto -o ControlPersist=60s -o UserKnownHostsFile={folder}/known\n"
        );
        self.write("ansible.cfg", &settings);
        let key = fs_err::read_to_string(self.folder.path().join("host.pub")).expect("the key");
        self.write("known", &format!("* {key}"));
        let mut inventory = "[ftp]\n".to_owned();
        for (name, address) in hosts {
            let _ = writeln!(inventory, "{name} ansible_host={address}");
        }
        self.write("inventory", &inventory);
        let end = Instant::now() + Duration::from_secs(60);
        for (name, address) in hosts {
            let connects = || TcpStream::connect_timeout(&(*address, 22).into(), SILENCE).is_ok();
            while !self.namespace.run(connects) {
                assert!(Instant::now() < end, "{name} has no sshd");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// Where the playbooks are.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file beside the playbooks.
    pub(super) fn write(&self, name: &str, text: &str) {
        fs_err::write(self.folder.path().join(name), text).expect("write a file");
    }

    /// Runs a playbook that was written beside the inventory.
    #[track_caller]
    pub(super) fn play(&self, playbook: &str, arguments: &[&str]) -> Play {
        let folder = self.folder.path();
        let mut command = ansible("ansible-playbook", folder).expect("Ansible, which was there");
        command
            .current_dir(folder)
            .env("ANSIBLE_CONFIG", folder.join("ansible.cfg"));
        command.arg(playbook).args(arguments);
        let Output {
            status,
            stdout,
            stderr,
        } = self.namespace.run(|| run_within(LIMIT, &mut command, ""));
        Play {
            status: status.code(),
            text: stdout + &stderr,
        }
    }

    /// How many of these ports of these hosts answer the controller, over IPv4 and IPv6 together, all asked at once.
    pub(super) fn reached(&self, hosts: &[Host], ports: &[u16], expected: bool) -> usize {
        let sources: [IpAddr; 2] = ADDRESSES.map(|text| text.parse().expect("an address"));
        let targets: Vec<Target> = hosts
            .iter()
            .flat_map(|host| {
                sources
                    .into_iter()
                    .zip(host.addresses())
                    .map(move |(from, to)| (host, from, to))
            })
            .flat_map(|(host, from, to)| {
                ports.iter().map(move |port| Target {
                    from,
                    to,
                    host: host.greeting(),
                    port: *port,
                })
            })
            .collect();
        let source = self.source.fetch_add(1, Ordering::Relaxed);
        let limit = if expected { PATIENCE } else { SILENCE };
        let _listeners: Vec<_> = hosts.iter().map(|host| host.listen(ports)).collect();
        let answers = self.namespace.run(|| probe(&targets, source, limit));
        answers.into_iter().filter(|answer| *answer).count()
    }
}
