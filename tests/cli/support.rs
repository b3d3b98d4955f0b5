//! Runs the program in a network namespace of its own, on a tree of configuration files of the test's own.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A host to run on: files below a root, and the ruleset that is loaded first.
pub(super) struct Host {
    root: TempDir,
    ruleset: String,
}

impl Host {
    /// A host with ProFTPD's configuration, and no ruleset.
    pub(super) fn new(configuration: &str) -> Self {
        let host = Self {
            root: tempfile::tempdir().unwrap(),
            ruleset: String::new(),
        };
        host.file("etc/proftpd/proftpd.conf", configuration);
        host
    }

    /// The same host with a ruleset in nft's words.
    pub(super) fn filtered(mut self, ruleset: &str) -> Self {
        ruleset.clone_into(&mut self.ruleset);
        self
    }

    /// Writes a file below the root.
    pub(super) fn file(&self, path: &str, content: &str) {
        let path = self.root.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
    }

    /// Runs commands one after the other in one fresh namespace and gives the output of the last. `None` where no
    /// namespace can be made.
    pub(super) fn run(&self, commands: &[&str]) -> Option<Output> {
        let rules = self.root.path().join("rules.nft");
        fs_err::write(&rules, &self.ruleset).unwrap();
        // A /run of its own keeps the host's lock folder out of it.
        let mut script = "mount -t tmpfs tmpfs /run && ip link set lo up".to_owned();
        let _ = write!(script, " && nft -f {}", rules.display());
        let (last, before) = commands.split_last().unwrap();
        for command in before {
            let _ = write!(script, "; {} >/dev/null 2>&1", self.line(command));
        }
        let _ = write!(script, "; exec {}", self.line(last));
        isolated(&["sh", "-c", &script])
    }

    /// The command line of a command: pasvsync's own are given the root.
    fn line(&self, command: &str) -> String {
        let program = env!("CARGO_BIN_EXE_pasvsync");
        if command == "pasvsync" {
            return program.to_owned();
        }
        let Some(arguments) = command.strip_prefix("pasvsync ") else {
            return command.to_owned();
        };
        format!(
            "{program} --root {} {arguments}",
            self.root.path().display()
        )
    }

    /// The text with this test's own folder out of it.
    pub(super) fn without_root(&self, text: &[u8]) -> String {
        let root = self.root.path().display().to_string();
        String::from_utf8_lossy(text).replace(&root, "[ROOT]")
    }

    /// The root.
    pub(super) fn root(&self) -> &Path {
        self.root.path()
    }
}

/// Runs a command in new network and mount namespaces. `None` where they cannot be made, which in CI is a failure.
pub(super) fn isolated(command: &[&str]) -> Option<Output> {
    // An ordinary user's path lacks the folders that nft and ip are in.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/local/sbin:/usr/sbin:/sbin";
    let mut unshare = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args(["--net", "--mount", "--"]);
    let works = |tool: &str| {
        let mut trial = Command::new("sh");
        trial
            .args(["-c", &format!("command -v {tool}")])
            .env("PATH", &path);
        trial.output().is_ok_and(|output| output.status.success())
    };
    let mut trial = Command::new(unshare.get_program());
    trial.args(unshare.get_args()).arg("true");
    let allowed = trial.output().is_ok_and(|output| output.status.success());
    if !allowed || !["nft", "ip", "mount"].into_iter().all(works) {
        assert!(
            std::env::var_os("CI").is_none_or(|value| value != "true"),
            "cannot be skipped in CI: nft, ip and mount must be here, and namespaces allowed"
        );
        eprintln!("SKIPPED: needs nft, ip, mount and the right to make namespaces");
        return None;
    }
    let output = unshare
        .args(command)
        .env("NO_COLOR", "1")
        .env("LC_ALL", "C.UTF-8")
        .env("PATH", &path)
        .env_remove("COLUMNS")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Some(output)
}
