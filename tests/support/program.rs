//! The program under test, run in the server's namespace.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::Value;

use super::command::{Output, run};
use super::world::World;

/// The binary under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_pasvsync");

/// What every object that the program prints has to be.
pub(crate) static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    let schema = include_str!("../../schema/report.schema.json");
    let schema = serde_json::from_str(schema).expect("the schema is JSON");
    jsonschema::validator_for(&schema).expect("the schema is one")
});

/// The two families as the report names them.
pub(crate) const FAMILIES: [&str; 2] = ["ipv4", "ipv6"];

/// A finished run of the program.
#[derive(Debug)]
pub(crate) struct Run {
    /// The exit status; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: output.stderr,
        }
    }

    /// The report; panics when standard output is not one JSON object of the known schema.
    #[track_caller]
    pub(crate) fn report(&self) -> Value {
        let report: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON report ({error}): {self:?}"));
        if let Err(error) = SCHEMA.validate(&report) {
            panic!("{}: {error}\n{report:#}", error.instance_path());
        }
        report
    }

    /// Panics unless the exit status is `code`.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "exit status\nstdout: {}\nstderr: {}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// Whether the report says that something changed.
    #[track_caller]
    pub(crate) fn changed(&self) -> bool {
        let report = self.report();
        let changed = report["changed"].as_bool();
        changed.unwrap_or_else(|| panic!("`changed` is no boolean: {self:?}"))
    }

    /// The verdict that the running firewall has for a port, as the report words it.
    #[track_caller]
    pub(crate) fn verdict(&self, family: &str, port: u16) -> String {
        let report = self.report();
        let reach = &report["backends"][0]["layers"]["runtime"]["reach"];
        let entry = reach
            .as_array()
            .unwrap_or_else(|| panic!("no reach in {report:#}"))
            .iter()
            .find(|entry| {
                entry["family"] == family
                    && entry["first"].as_u64() <= Some(port.into())
                    && entry["last"].as_u64() >= Some(port.into())
            })
            .unwrap_or_else(|| panic!("nothing about {family} port {port} in {report:#}"));
        assert!(
            entry["because"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "no reason in {entry}"
        );
        entry["verdict"].as_str().expect("a verdict").to_owned()
    }
}

impl World {
    /// Writes the daemon's configuration with this passive range; runs of the program read it.
    pub(crate) fn want(&self, first: u16, last: u16) {
        let text = format!("# sample\nChrootEveryone yes\nPassivePortRange {first} {last}\n");
        fs_err::write(self.configuration(), text).expect("write the configuration");
    }

    fn configuration(&self) -> PathBuf {
        self.folder.path().join("pure-ftpd.conf")
    }

    /// The program's arguments for a command, JSON output and the configuration of [`World::want`].
    pub(crate) fn arguments(&self, command: &[&str]) -> Vec<String> {
        arguments("pure-ftpd", &self.configuration(), command)
    }

    /// Runs the program: `command` is the verb and further arguments.
    #[track_caller]
    pub(crate) fn pasvsync(&self, command: &[&str]) -> Run {
        self.pasvsync_for("pure-ftpd", &self.configuration(), command)
    }

    /// Runs the program with the configuration of another daemon.
    #[track_caller]
    pub(crate) fn pasvsync_for(&self, daemon: &str, path: &Path, command: &[&str]) -> Run {
        let arguments = arguments(daemon, path, command);
        let output = self
            .server
            .run(|| run(self.seeing_files(PROGRAM).args(&arguments), ""));
        Run::from(output)
    }

    /// The same under strace; also panics when the program started another one.
    #[track_caller]
    pub(crate) fn pasvsync_alone(&self, command: &[&str]) -> Run {
        let log = self.folder.path().join("strace");
        let arguments = self.arguments(command);
        let output = self.server.run(|| {
            let mut strace = self.seeing_files("strace");
            strace.args([
                "-f",
                "-qq",
                "-e",
                "trace=execve,execveat,fork,vfork,clone,clone3",
            ]);
            strace.arg("-o").arg(&log).arg(PROGRAM).args(&arguments);
            run(&mut strace, "")
        });
        let calls = fs_err::read_to_string(&log).expect("strace's log");
        let started: Vec<&str> = calls
            .lines()
            .filter(|line| line.contains("exec") || line.contains("fork"))
            .collect();
        assert_eq!(started.len(), 1, "the program starts others:\n{calls}");
        Run::from(output)
    }
}

/// The verb, JSON output, the daemon's configuration, and the further arguments.
fn arguments(daemon: &str, path: &Path, command: &[&str]) -> Vec<String> {
    let (verb, rest) = command.split_first().expect("a command");
    let configuration = format!("{daemon}={}", path.display());
    [*verb, "--output", "json", "--daemon-config", &configuration]
        .iter()
        .chain(rest)
        .map(ToString::to_string)
        .collect()
}
