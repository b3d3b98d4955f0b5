//! A real firewalld in a namespace of its own, with a D-Bus daemon of its own: no systemd, no polkit, nothing shared
//! with the host's or with the other tests'.
//!
//! firewalld and the program see their files in the usual places: a mount namespace has `/etc/firewalld`, `/run` and
//! `/var/lib` of its own.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::command::{Output, Running, finish, quiet, run};
use crate::support::program::{PROGRAM, Run};
use crate::support::world::World;
use crate::support::{ready, skip};

/// The bus, with the policy that firewalld's package brings for its name.
pub(crate) const BUS: &str = include_str!("bus.conf");

/// The parts of firewalld's package that the tests use, below its root.
pub(super) const PARTS: [&str; 4] = [
    "usr/sbin/firewalld",
    "usr/bin/firewall-cmd",
    "usr/lib/firewalld",
    "usr/lib/python3/dist-packages/firewall",
];

/// Where firewalld's package is unpacked: another version than the host's may be, with `FIREWALLD_ROOT`.
pub(super) fn root() -> PathBuf {
    std::env::var_os("FIREWALLD_ROOT").map_or_else(|| PathBuf::from("/"), PathBuf::from)
}

/// The arguments of `dbus-send` that ask for its state.
pub(crate) const STATE: [&str; 7] = [
    "--system",
    "--print-reply=literal",
    "--dest=org.fedoraproject.FirewallD1",
    "/org/fedoraproject/FirewallD1",
    "org.freedesktop.DBus.Properties.Get",
    "string:org.fedoraproject.FirewallD1",
    "string:state",
];

/// A loaded machine may take its time to start a Python program.
pub(super) const PATIENCE: Duration = Duration::from_secs(240);

/// A host with firewalld, and the clients around it.
#[derive(Debug)]
pub(crate) struct Lab {
    firewalld: Mutex<Option<Running>>,
    bus: Option<Running>,
    /// Keeps the mount namespace.
    holder: Running,
    /// Where firewalld is told to have its files; else in the usual place.
    pub(crate) system_config: Option<&'static str>,
    pub(crate) world: World,
}

/// What these tests run.
pub(crate) const TOOLS: [&str; 8] = [
    "dbus-daemon",
    "dbus-send",
    "firewall-cmd",
    "firewalld",
    "ip",
    "nft",
    "nsenter",
    "unshare",
];

/// Whether these tests can run here; prints why not.
pub(crate) fn possible() -> bool {
    if !ready(&TOOLS) {
        return false;
    }
    if !rustix::process::geteuid().is_root() {
        skip("firewalld takes root");
        return false;
    }
    true
}

impl Lab {
    /// firewalld as it comes, with nftables, and daemons that want a range; `None`, with the reason said, where these
    /// tests cannot run.
    pub(crate) fn wanting(range: (u16, u16)) -> Option<Self> {
        if !possible() {
            return None;
        }
        let lab = Self::start("nftables", |_| {});
        lab.world.want(range.0, range.1);
        Some(lab)
    }

    /// firewalld with its own defaults and this backend; `prepare` may change its configuration before it
    /// starts.
    pub(crate) fn start(backend: &str, prepare: impl FnOnce(&mut Lab)) -> Self {
        Self::start_in(World::new(), backend, prepare)
    }

    /// The same on the server of that world.
    pub(crate) fn start_in(world: World, backend: &str, prepare: impl FnOnce(&mut Lab)) -> Self {
        let mut lab = Self::without_firewalld(world);
        lab.edit("firewalld.conf", |text| {
            format!("{text}FirewallBackend={backend}\n")
        });
        prepare(&mut lab);
        lab.boot();
        assert_eq!(lab.state(), "RUNNING", "{}", lab.log());
        lab
    }

    /// The host without a bus and without firewalld.
    pub(crate) fn without_firewalld(world: World) -> Self {
        let folder = world.folder.path().join("host");
        for name in ["etc", "run/dbus", "run/firewalld", "lib"] {
            fs_err::create_dir_all(folder.join(name)).expect("a folder");
        }
        let holder = world.server.run(|| {
            let mut unshare = Command::new("unshare");
            unshare
                .args(["--mount", "--propagation", "private", "sh", "-c"])
                .arg(
                    "set -e; mount --bind \"$0/etc\" /etc/firewalld; mount --bind \"$0/lib\" /var/lib; \
                     mount --bind \"$0/run\" /run; root=$1; shift; \
                     if [ \"$root\" != / ]; then for path; do mount --bind \"$root/$path\" \"/$path\"; done; fi; \
                     echo mounted; exec sleep infinity",
                )
                .arg(&folder)
                .arg(root())
                .args(PARTS)
                .stdin(Stdio::null())
                .stdout(Stdio::piped());
            let mut child = unshare.spawn().expect("a mount namespace");
            let mut line = [0; 8];
            let mut stdout = child.stdout.take().expect("its output");
            stdout.read_exact(&mut line).expect("the mounts");
            Running(child)
        });
        Self {
            firewalld: Mutex::new(None),
            bus: None,
            holder,
            system_config: None,
            world,
        }
    }

    /// Starts the bus, and firewalld on it, until firewalld says that it is running or has failed.
    pub(crate) fn boot(&mut self) {
        self.start_bus();
        self.start_firewalld();
    }

    /// Starts the bus alone.
    pub(crate) fn start_bus(&mut self) {
        if self.bus.is_none() {
            let configuration = self.folder().join("bus.conf");
            fs_err::write(&configuration, BUS).expect("the bus's configuration");
            let file = format!("--config-file={}", configuration.display());
            self.bus = Some(self.spawn("dbus-daemon", &[&file, "--nofork", "--nopidfile"]));
            let socket = self.folder().join("run/dbus/system_bus_socket");
            wait("the bus", || socket.exists());
        }
    }

    /// firewalld's process.
    fn process(&self) -> MutexGuard<'_, Option<Running>> {
        let process = self.firewalld.lock();
        process.unwrap_or_else(PoisonError::into_inner)
    }

    fn start_firewalld(&self) {
        let log = self.folder().join("log");
        let log = log.to_str().expect("a path");
        let mut arguments = vec![
            "--nofork",
            "--nopid",
            "--log-target",
            "file",
            "--log-file",
            log,
        ];
        if let Some(folder) = self.system_config {
            arguments.extend(["--system-config", folder]);
        }
        *self.process() = Some(self.spawn("/usr/sbin/firewalld", &arguments));
        wait("firewalld", || {
            !matches!(self.state().as_str(), "" | "INIT")
        });
    }

    /// Ends firewalld as systemd would, and starts it again: what a boot does to the rules.
    pub(crate) fn restart(&self) {
        self.stop();
        self.start_firewalld();
        assert_eq!(self.state(), "RUNNING", "{}", self.log());
    }

    /// Ends firewalld as systemd would.
    pub(crate) fn stop(&self) {
        let process = self.process().take();
        if let Some(firewalld) = process {
            signal(&firewalld.0, Signal::TERM);
            let ended = finish(firewalld, PATIENCE);
            assert!(ended.is_some(), "firewalld does not end: {}", self.log());
        }
    }

    /// Stops firewalld where it is: it answers nobody.
    pub(crate) fn freeze(&self) {
        if let Some(firewalld) = &*self.process() {
            signal(&firewalld.0, Signal::STOP);
        }
    }

    /// Ends firewalld without a chance to clean up.
    pub(crate) fn kill(&self) {
        if let Some(firewalld) = &*self.process() {
            signal(&firewalld.0, Signal::KILL);
        }
    }

    /// Ends it so, and starts it again.
    pub(crate) fn kill_and_start(&self) {
        self.kill();
        let process = self.process().take();
        if let Some(firewalld) = process {
            assert!(finish(firewalld, PATIENCE).is_some(), "it does not end");
        }
        self.start_firewalld();
        assert_eq!(self.state(), "RUNNING", "{}", self.log());
    }

    /// What firewalld says of itself; nothing when it is not there.
    pub(crate) fn state(&self) -> String {
        let output = self.command("dbus-send", &STATE);
        let words = output.stdout.split_whitespace().last();
        words.unwrap_or_default().to_owned()
    }

    /// Runs a command where firewalld runs.
    #[track_caller]
    pub(crate) fn command(&self, program: &str, arguments: &[&str]) -> Output {
        self.world
            .server
            .run(|| run(self.inside(quiet("nsenter"), program).args(arguments), ""))
    }

    /// `firewall-cmd` with these arguments: what it prints.
    #[track_caller]
    pub(crate) fn firewall_cmd(&self, arguments: &[&str]) -> String {
        self.command("firewall-cmd", arguments)
            .expect_success(&format!("firewall-cmd {arguments:?}"))
            .trim()
            .to_owned()
    }

    /// Whether `firewall-cmd` answers yes.
    #[track_caller]
    pub(crate) fn query(&self, arguments: &[&str]) -> bool {
        self.command("firewall-cmd", arguments).status.success()
    }

    /// Everything that firewalld is configured to do, in what runs and in what the next start loads.
    #[track_caller]
    pub(crate) fn everything(&self) -> [String; 2] {
        [
            self.firewall_cmd(&["--list-all-zones"]),
            self.firewall_cmd(&["--permanent", "--list-all-zones"]),
        ]
    }

    /// The program with the daemon's configuration of [`World::want`] and JSON output.
    #[track_caller]
    pub(crate) fn pasvsync(&self, command: &[&str]) -> Run {
        let arguments = self.world.arguments(command);
        self.world.server.run(|| {
            let mut inside = self.inside(quiet("nsenter"), PROGRAM);
            Run::from(run(inside.args(&arguments), ""))
        })
    }

    /// Runs the program and kills it after so long.
    pub(crate) fn pasvsync_killed(&self, command: &[&str], delay: Duration) {
        let arguments = self.world.arguments(command);
        self.world.server.run(|| {
            let mut inside = self.inside(quiet("nsenter"), PROGRAM);
            inside
                .args(&arguments)
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let child = Running(inside.spawn().expect("the program"));
            std::thread::sleep(delay);
            drop(child);
        });
    }

    /// A command that runs where firewalld runs.
    pub(crate) fn inside(&self, mut nsenter: Command, program: &str) -> Command {
        nsenter
            .arg("--mount")
            .arg(format!("--target={}", self.holder.0.id()))
            .args(["--", program]);
        nsenter
    }

    fn spawn(&self, program: &str, arguments: &[&str]) -> Running {
        let output = fs_err::File::create(self.folder().join("output")).expect("a file");
        let errors = output.try_clone().expect("share the file");
        self.world.server.run(|| {
            let mut command = self.inside(quiet("nsenter"), program);
            command
                .args(arguments)
                .stdout(output.into_file())
                .stderr(errors.into_file());
            Running(command.spawn().expect(program))
        })
    }

    /// Changes a file of `/etc/firewalld`.
    pub(crate) fn edit(&self, name: &str, change: impl FnOnce(String) -> String) {
        let path = self.folder().join("etc").join(name);
        let text = fs_err::read_to_string(&path).unwrap_or_default();
        fs_err::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs_err::write(path, change(text)).expect("write the file");
    }

    /// The folder with the host's own `etc` (which is `/etc/firewalld`), `run` and `lib`.
    pub(crate) fn folder(&self) -> PathBuf {
        self.world.folder.path().join("host")
    }

    fn log(&self) -> String {
        let read = |name| fs_err::read_to_string(self.folder().join(name)).unwrap_or_default();
        format!("{}{}", read("output"), read("log"))
    }
}

fn signal(child: &Child, signal: Signal) {
    let process = rustix::process::Pid::from_child(child);
    // It may have ended by itself.
    let _ = rustix::process::kill_process(process, signal);
}

/// Waits until it has come up.
#[track_caller]
pub(crate) fn wait(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "{what} does not come up");
        std::thread::sleep(Duration::from_millis(50));
    }
}
