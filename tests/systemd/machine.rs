//! A machine with a real systemd as its first process, which is booted and rebooted, and real connections to it.
//!
//! Its network is the server's namespace of a [`World`]; every boot gets a new one, as a kernel that starts has no rules.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::cgroup::Cgroups;
use super::root::Root;
use crate::support::command::{Output, Running, quiet, run};
use crate::support::program::PROGRAM;
use crate::support::world::World;
use crate::support::{ready, skip};

/// How long a boot or a reboot may take on a machine that does much else besides.
const PATIENCE: Duration = Duration::from_secs(120);
/// What systemd-nspawn exits with when the machine wants to be booted again.
const REBOOT: i32 = 133;
/// The packet filter that the machine loads at boot.
const FIREWALL: &str = include_str!("nftables.conf");
/// How the README installs the units.
const README: &str = include_str!("../../README.md");

/// A machine that is up.
#[derive(Debug)]
pub(crate) struct Machine {
    name: String,
    boot: Option<Boot>,
    root: Root,
    // Behind what runs in them: fields are dropped in this order.
    cgroups: Cgroups,
}

/// From power on to power off.
#[derive(Debug)]
struct Boot {
    supervisor: Running,
    /// The first process, as this process sees it.
    leader: u32,
    world: World,
}

impl Drop for Boot {
    fn drop(&mut self) {
        let supervisor = self.supervisor.0.id();
        // Not the supervisor: the machine would outlive it. Asked again, for the number may be somebody else's by now.
        if first_process(supervisor) == Some(self.leader) {
            let leader = Pid::from_raw(i32::try_from(self.leader).expect("a process id"));
            let _ = kill(leader, Signal::SIGKILL);
        }
        // It ends when the machine has, and all that ran there with it.
        let end = Instant::now() + Duration::from_secs(5);
        while matches!(self.supervisor.0.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Machine {
    /// A booted machine with the firewall, the program and no units of ours; `None` where that cannot be.
    pub(super) fn new(name: &str) -> Option<Self> {
        Self::with(name, Path::new("/usr"))
    }

    /// The same with another /usr, or with several that lie over each other, as overlayfs has it.
    pub(crate) fn with(name: &str, usr: &Path) -> Option<Self> {
        let tools = ["ip", "mount", "nft", "nsenter", "systemctl"];
        let systemd = ["systemd-analyze", "systemd-nspawn"];
        if !ready(&[&tools[..], &systemd].concat()) {
            return None;
        }
        if !owns_the_host() {
            skip(&format!(
                "{name}: a machine needs a root that is root outside as well"
            ));
            return None;
        }
        let name = format!("pasvsync-{name}-{}", std::process::id());
        let parts = Cgroups::new(&name).and_then(|cgroups| Ok((cgroups, Root::with(usr)?)));
        let (cgroups, root) = match parts {
            Ok(parts) => parts,
            Err(reason) => {
                skip(&format!("{name}: no machine can be made: {reason}"));
                return None;
            }
        };
        let mut machine = Self {
            name,
            boot: None,
            root,
            cgroups,
        };
        machine.furnish();
        machine.boot();
        Some(machine)
    }

    /// What an admin has on the machine before pasvsync's units are installed.
    fn furnish(&self) {
        self.write("etc/nftables.conf", FIREWALL);
        let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
        self.root.run(|root| {
            fs_err::copy(PROGRAM, root.join("usr/sbin/pasvsync")).expect("install the program");
            run(
                quiet("cp").args(["-r", examples]).arg(root.join("root")),
                "",
            )
            .expect_success("copy the examples");
            run(
                quiet("systemctl")
                    .arg("--root")
                    .arg(root)
                    .args(["enable", "nftables.service"]),
                "",
            )
            .expect_success("enable the firewall");
        });
    }

    /// Powers the machine on and waits until it has nothing more to do.
    fn boot(&mut self) {
        let world = World::new();
        let supervisor = Running(self.root.run(|root| {
            let mut command = self.supervisor(root, &world.server.path());
            command.spawn().expect("systemd-nspawn")
        }));
        let begin = Instant::now();
        let leader = loop {
            if let Some(leader) = first_process(supervisor.0.id()) {
                break leader;
            }
            assert!(begin.elapsed() < PATIENCE, "no systemd: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        };
        self.boot = Some(Boot {
            supervisor,
            leader,
            world,
        });
        loop {
            let state = self.command("systemctl", &["is-system-running"]).stdout;
            // Degraded is what a host's own units without their hardware make it.
            if ["running", "degraded"].contains(&state.trim()) {
                break;
            }
            assert!(begin.elapsed() < PATIENCE, "{state}: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn supervisor(&self, root: &Path, network: &str) -> Command {
        // The shell puts itself into the control groups before it becomes systemd-nspawn.
        let script =
            "for door in $DOORS; do echo $$ >$door || exit; done; exec systemd-nspawn \"$@\"";
        let mut command = quiet("sh");
        command.args([
            "-c",
            script,
            "sh",
            "--quiet",
            "--register=no",
            "--keep-unit",
        ]);
        command.args(["--link-journal=no", "--console=pipe", "--boot"]);
        command.args(["--capability=CAP_NET_ADMIN", "--machine", &self.name]);
        command.arg(format!("--network-namespace-path={network}"));
        command.arg(format!("--directory={}", root.display()));
        command.arg("systemd.unit=multi-user.target");
        command.env("DOORS", self.cgroups.doors().join(" "));
        let log = fs_err::File::create(root.with_file_name("log")).expect("a file for the log");
        let log = log.into_file();
        command.stdout(log.try_clone().expect("share the file"));
        command.stderr(Stdio::from(log));
        command
    }

    /// What systemd-nspawn and the machine's systemd printed.
    fn log(&self) -> String {
        self.root
            .run(|root| fs_err::read_to_string(root.with_file_name("log")).unwrap_or_default())
    }

    /// Has the machine boot anew.
    pub(super) fn reboot(&mut self) {
        self.command("systemctl", &["reboot"]);
        let mut boot = self.boot.take().expect("a machine that is up");
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = boot
                .supervisor
                .0
                .try_wait()
                .expect("the supervisor's state")
            {
                break status;
            }
            assert!(begin.elapsed() < PATIENCE, "goes on: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        };
        assert_eq!(status.code(), Some(REBOOT), "{}", self.log());
        // The old rules are gone with their namespace before the machine comes up.
        drop(boot);
        self.boot();
    }

    /// The machine's network, and the client's.
    pub(crate) fn world(&self) -> &World {
        &self.boot.as_ref().expect("a machine that is up").world
    }

    /// Runs a command on the machine.
    #[track_caller]
    pub(super) fn command(&self, program: &str, arguments: &[&str]) -> Output {
        let leader = self.boot.as_ref().expect("a machine that is up").leader;
        let mut command = quiet("nsenter");
        command.args(["--all", "--target", &leader.to_string(), "--", program]);
        run(command.args(arguments).env("LC_ALL", "C.UTF-8"), "")
    }

    /// The same for one that must succeed.
    #[track_caller]
    pub(crate) fn must(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program, arguments);
        if !output.status.success() {
            let journal = self.command("journalctl", &["--no-pager", "-b", "-n", "40"]);
            eprintln!("{}", journal.stdout);
        }
        output.expect_success(&format!("{program} {arguments:?}"))
    }

    /// Replaces a file by rename, as most editors do.
    pub(crate) fn write(&self, path: &str, text: &str) {
        self.write_bytes(path, text.as_bytes());
    }

    /// The same for what is no text.
    pub(super) fn write_bytes(&self, path: &str, bytes: &[u8]) {
        self.root.run(|root| {
            let (path, new) = (root.join(path), root.join(format!("{path}.new")));
            fs_err::write(&new, bytes).expect("write a file");
            fs_err::rename(new, path).expect("replace a file");
        });
    }

    /// Overwrites a file in its place.
    pub(super) fn overwrite(&self, path: &str, text: &str) {
        self.root
            .run(|root| fs_err::write(root.join(path), text).expect("write a file"));
    }

    /// Waits until nothing of ours runs: what changes between a run's reading and its end is left to the timer.
    #[track_caller]
    pub(super) fn settle(&self) {
        eventually("done", self, || {
            let state = self.property("pasvsync.service", "ActiveState");
            ["inactive", "failed"].contains(&state.as_str())
        });
    }

    /// The firewall's own configuration as it was, whatever was made of it meanwhile.
    pub(super) fn forget_the_edits(&self) {
        self.write("etc/nftables.conf", FIREWALL);
    }

    /// What vsftpd's configuration says when it wants this range.
    pub(crate) fn vsftpd((first, last): (u16, u16)) -> String {
        format!("listen=YES\npasv_min_port={first}\npasv_max_port={last}\n")
    }

    /// Installs and enables the units by the commands of the README.
    pub(super) fn install(&self) {
        let (_, section) = README
            .split_once("\n## Run it by itself\n")
            .expect("the section");
        let (_, block) = section.split_once("```sh\n").expect("its commands");
        let (block, _) = block.split_once("```").expect("their end");
        let script = format!("cd /root && set -e\n{}", block.replace("sudo ", ""));
        self.must("sh", &["-c", &script]);
    }

    /// A property of a unit.
    #[track_caller]
    pub(crate) fn property(&self, unit: &str, name: &str) -> String {
        let value = self.must("systemctl", &["show", "--value", "--property", name, unit]);
        value.trim().to_owned()
    }
}

/// Whether this root is everybody's, and not only that of a user namespace.
pub(crate) fn owns_the_host() -> bool {
    let map = fs_err::read_to_string("/proc/self/uid_map").expect("the map of users");
    map.split_whitespace().eq(["0", "0", "4294967295"]) && rustix::process::geteuid().is_root()
}

/// The child of the supervisor that is the first process of its own process namespace.
fn first_process(supervisor: u32) -> Option<u32> {
    let processes = fs_err::read_dir("/proc").ok()?;
    let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.into_iter().find(|id: &u32| {
        let status = fs_err::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        let parent = field("PPid:").is_some_and(|value| value.trim() == supervisor.to_string());
        parent && field("NSpid:").is_some_and(|value| value.split_whitespace().skip(1).eq(["1"]))
    })
}

/// Waits for something to become true.
#[track_caller]
pub(super) fn eventually(what: &str, machine: &Machine, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(90);
    while !holds() {
        if Instant::now() > end {
            let journal = machine.command("journalctl", &["--no-pager", "-b", "-n", "60"]);
            let rules = machine.command("nft", &["list", "ruleset"]);
            panic!("not {what}:\n{}\n{}", journal.stdout, rules.stdout);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
