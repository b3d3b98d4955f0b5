//! The permanent configuration: what is worked out from the files, against what firewalld writes when it starts with
//! them. The same evaluator judges both, every port, both families.

mod configurations;
mod direct;
mod random;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use firewall::firewalld::config::Configuration;
use firewall::model::ports::PortSet;
use firewall::model::reach::{Family, Reach, ReachMap};
use firewall::netfilter::{self, Scope, Socket};
use firewall::proof;

use super::lab;
use crate::support::command::{Running, run};
use crate::support::namespace::Namespace;
use crate::support::{ready, say};

/// What became of the comparison.
#[derive(Debug, Default)]
pub(super) struct Tally {
    configurations: usize,
    /// firewalld did not start, and the files were refused here too.
    refused: usize,
    /// Refused here although firewalld starts.
    too_strict: usize,
    /// Ports, of both families, with the same verdict.
    equal: u64,
    /// Ports that are unknown here, and known to the kernel.
    unknown: u64,
    open: u64,
    closed: u64,
    restricted: u64,
}

/// firewalld in a namespace with two interfaces.
pub(super) struct Lab {
    namespace: Namespace,
    root: tempfile::TempDir,
    _python: Running,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pub(super) tally: Tally,
}

impl Lab {
    pub(super) fn new() -> Option<Self> {
        if !ready(&["firewalld", "ip", "nft", "iptables", "ip6tables"]) {
            return None;
        }
        let namespace = Namespace::new().expect("a namespace");
        let links = "link set lo up\n\
            link add eth0 type veth peer name eth1\n\
            addr add 192.0.2.1/24 dev eth0\naddr add 198.51.100.1/24 dev eth1\n\
            addr add 2001:db8::1/64 dev eth0 nodad\naddr add 2001:db8:1::1/64 dev eth1 nodad\n\
            link set eth0 up\nlink set eth1 up\n";
        namespace.run(|| {
            run(Command::new("ip").args(["-batch", "-"]), links).expect_success("ip");
        });
        let root = tempfile::tempdir().expect("a folder");
        let installed = lab::root();
        let copies = [
            (installed.join("usr/lib/firewalld"), "usr/lib/"),
            (PathBuf::from("/etc/services"), "etc/"),
            (
                installed.join("usr/lib/python3/dist-packages/firewall/config/__init__.py"),
                "usr/lib/python3/dist-packages/firewall/config/",
            ),
        ];
        for (from, to) in copies {
            let to = root.path().join(to);
            fs_err::create_dir_all(&to).expect("a folder");
            let mut copy = Command::new("cp");
            run(copy.arg("-r").arg(from).arg(to), "").expect_success("cp");
        }
        let script = include_str!("permanent/start.py");
        let mut python = namespace.run(|| {
            // firewalld's own interpreter: another may not have its package.
            Command::new("/usr/bin/python3")
                .args(["-c", script])
                .env(
                    "PYTHONPATH",
                    installed.join("usr/lib/python3/dist-packages"),
                )
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("python3")
        });
        let input = python.stdin.take().expect("its input");
        let output = BufReader::new(python.stdout.take().expect("its output"));
        Some(Self {
            namespace,
            root,
            _python: Running(python),
            input,
            output,
            tally: Tally::default(),
        })
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("an answer");
        line.trim().to_owned()
    }

    /// Starts firewalld with the files and compares; what differs, in words.
    pub(super) fn compare(&mut self, files: &[(String, String)]) -> Vec<String> {
        let etc = self.root.path().join("etc/firewalld");
        if etc.exists() {
            fs_err::remove_dir_all(&etc).expect("remove the last configuration");
        }
        for folder in [
            "zones",
            "services",
            "policies",
            "ipsets",
            "icmptypes",
            "helpers",
        ] {
            fs_err::create_dir_all(etc.join(folder)).expect("a folder");
        }
        for (path, text) in files {
            let path = etc.join(path);
            fs_err::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs_err::write(path, text).expect("write a file");
        }
        let usr = self.root.path().join("usr/lib/firewalld");
        writeln!(self.input, "{}\t{}", etc.display(), usr.display()).expect("ask firewalld");
        let state = self.answer();
        let differences = self.differences(&state, self.root.path().to_owned().as_path());
        writeln!(self.input).expect("end firewalld");
        assert_eq!(self.answer(), "stopped");
        differences
    }

    fn differences(&mut self, state: &str, root: &Path) -> Vec<String> {
        self.tally.configurations += 1;
        let configuration = Configuration::read(root).map(Configuration::with_direct);
        let configuration = match (configuration, state == "RUNNING") {
            (Err(_), false) => {
                self.tally.refused += 1;
                return Vec::new();
            }
            (Err(error), true) => {
                self.tally.too_strict += 1;
                return vec![format!("refused though firewalld starts: {error}")];
            }
            (Ok(configuration), false) => {
                let unknown = self.namespace.run(|| is_unknown(&configuration));
                self.tally.refused += usize::from(unknown);
                let accepted = format!("accepted though firewalld says {state}");
                return Vec::from_iter((!unknown).then_some(accepted));
            }
            (Ok(configuration), true) => configuration,
        };
        let kernel = self.namespace.run(|| {
            netfilter::read(&mut Socket::open().expect("a socket"), Scope::InputPath)
                .expect("read the ruleset")
        });
        let own = configuration.ruleset(&kernel.interfaces);
        let mut differences = Vec::new();
        for family in Family::BOTH {
            let judge = |ruleset| proof::trace(ruleset, family, &PortSet::all());
            self.tally
                .count(&judge(&kernel), &judge(&own), &mut differences);
        }
        differences
    }
}

/// Whether nothing is said about any port.
fn is_unknown(configuration: &Configuration) -> bool {
    let interfaces = netfilter::interfaces().expect("the interfaces");
    let ruleset = configuration.ruleset(&interfaces);
    Family::BOTH.into_iter().all(|family| {
        let map = proof::trace(&ruleset, family, &PortSet::all());
        let mut entries = map.entries.iter();
        entries.all(|entry| entry.reach == Reach::Unknown)
    })
}

impl Tally {
    fn count(&mut self, kernel: &ReachMap, own: &ReachMap, differences: &mut Vec<String>) {
        for theirs in &kernel.entries {
            for ours in &own.entries {
                let ports = theirs.ports.intersection(&ours.ports);
                if ports.is_empty() {
                    continue;
                }
                let number = u64::from(ports.len());
                if theirs.reach == ours.reach {
                    self.equal += number;
                    match theirs.reach {
                        Reach::Open => self.open += number,
                        Reach::Restricted => self.restricted += number,
                        Reach::Closed => self.closed += number,
                        Reach::Unknown => {}
                    }
                } else if ours.reach == Reach::Unknown {
                    self.unknown += number;
                } else {
                    let family = own.family;
                    differences.push(format!(
                        "{family} {ports}: the kernel is {} ({}), the files say {} ({})",
                        theirs.reach.as_str(),
                        theirs.because,
                        ours.reach.as_str(),
                        ours.because
                    ));
                }
            }
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{} configurations, {} refused by both, {} here alone; ports: {} equal ({} open, {} restricted, {} closed), {} unknown here",
            self.configurations,
            self.refused,
            self.too_strict,
            self.equal,
            self.open,
            self.restricted,
            self.closed,
            self.unknown
        )
    }
}

/// A configuration in words, for a failure.
pub(super) fn in_words(files: &[(String, String)]) -> String {
    let mut words = String::new();
    for (path, text) in files {
        let _ = writeln!(words, "--- {path}\n{text}");
    }
    words
}

/// Random configurations; `PASVSYNC_FIREWALLD` says how many, `PASVSYNC_SEED` from which seed on.
#[test]
fn random_configurations_are_judged_as_firewalld_writes_them() {
    let Some(mut lab) = Lab::new() else {
        return;
    };
    let number = |name: &str, default: u64| {
        let value = std::env::var(name).ok();
        value.map_or(default, |value| value.parse().expect("a number"))
    };
    let (count, seed) = (number("PASVSYNC_FIREWALLD", 20), number("PASVSYNC_SEED", 1));
    let mut failures = Vec::new();
    for seed in seed..seed + count {
        let files = random::configuration(seed);
        let differences = lab.compare(&files);
        if !differences.is_empty() {
            failures.push(format!(
                "seed {seed}:\n{}\n{}",
                differences.join("\n"),
                in_words(&files)
            ));
        }
    }
    say(&format!("firewalld: {}", lab.tally));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
