//! What a `sync` costs where firewalld runs, beside the `firewall-cmd` calls that it stands for, in turns in one run.
//!
//! Prints a table for the README. firewalld, with a bus and files of its own, runs in namespaces of the bench's own.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and stops when something is wrong"
)]

#[path = "measure.rs"]
mod measure;

use std::fmt::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use measure::{beside, median, milliseconds, run, time};

const PASVSYNC: &str = env!("CARGO_BIN_EXE_pasvsync");

/// Set in the process that runs inside the namespaces.
const INSIDE: &str = "PASVSYNC_BENCH_INSIDE";

/// How many rich rules stand in the zone.
const CASES: [usize; 2] = [10, 500];

/// The bus, with the policy that firewalld's package brings for its name.
const BUS: &str = include_str!("../tests/firewalld/bus.conf");

fn main() {
    let needed = [
        "/usr/sbin/firewalld",
        "/usr/bin/firewall-cmd",
        "/usr/bin/dbus-daemon",
    ];
    if let Some(missing) = needed.iter().find(|path| !Path::new(path).exists()) {
        println!("not measured with firewalld: {missing} is not installed (apt install firewalld)");
    } else if !rustix::process::geteuid().is_root() {
        println!("not measured with firewalld: it takes root");
    } else if std::env::var_os(INSIDE).is_some() {
        bench();
    } else {
        let error = Command::new("unshare")
            .args(["--net", "--mount", "--propagation", "private", "--"])
            .arg(std::env::current_exe().unwrap())
            .env(INSIDE, "1")
            .exec();
        panic!("cannot run unshare: {error}");
    }
}

/// Measures every case and prints the table.
fn bench() {
    let root = tempfile::tempdir().unwrap();
    // A host that is reached has an address.
    for link in [
        "link set lo up",
        "link add eth0 type veth peer name eth1",
        "address add 192.0.2.1/24 dev eth0",
        "address add 2001:db8::1/64 dev eth0 nodad",
        "link set eth0 up",
        "link set eth1 up",
    ] {
        run(Command::new("ip").args(link.split(' ')));
    }
    for folder in ["/run", "/etc/firewalld", "/var/lib"] {
        run(Command::new("mount").args(["-t", "tmpfs", "tmpfs", folder]));
    }
    for folder in ["/run/dbus", "/run/firewalld", "/etc/firewalld/zones"] {
        fs_err::create_dir_all(folder).unwrap();
    }
    let bus = root.path().join("bus.conf");
    fs_err::write(&bus, BUS).unwrap();
    let daemon = root.path().join("proftpd.conf");
    fs_err::write(&daemon, "PassivePorts 50000 50999\n").unwrap();
    let _bus = start(
        "dbus-daemon",
        &[
            "--nofork",
            "--nopidfile",
            &format!("--config-file={}", bus.display()),
        ],
    );
    await_that("the bus", || {
        Path::new("/run/dbus/system_bus_socket").exists()
    });

    println!();
    println!("| `sync` | rich rules | `sync` | `firewall-cmd` | ratio | goal |");
    println!("|---|---|---|---|---|---|");
    for rules in CASES {
        fs_err::write("/etc/firewalld/zones/public.xml", zone(rules)).unwrap();
        let _firewalld = start(
            "/usr/sbin/firewalld",
            &["--nofork", "--nopid", "--log-target", "console"],
        );
        await_that("firewalld", || quiet(&mut firewall_cmd(&["--state"])));
        first(rules, &daemon);
        nothing_to_do(rules, &daemon);
        run(&mut pasvsync("remove", &daemon));
    }
}

/// A first `sync` against the three commands that manuals tell.
fn first(rules: usize, daemon: &Path) {
    let recipe: [&[&str]; 3] = [
        &["--permanent", "--zone=public", "--add-service=ftp"],
        &["--permanent", "--add-port=40000-40999/tcp"],
        &["--reload"],
    ];
    let back: [&[&str]; 3] = [
        &["--permanent", "--zone=public", "--remove-service=ftp"],
        &["--permanent", "--remove-port=40000-40999/tcp"],
        &["--reload"],
    ];
    let (mut syncs, mut commands) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        commands.push(
            recipe
                .iter()
                .map(|words| time(&mut firewall_cmd(words)))
                .sum(),
        );
        for words in back {
            run(&mut firewall_cmd(words));
        }
        syncs.push(time(&mut pasvsync("sync", daemon)));
        run(&mut pasvsync("remove", daemon));
    }
    row(
        "the first one, manuals' three commands",
        rules,
        syncs,
        commands,
    );
}

/// A `sync` with nothing to do against a question.
fn nothing_to_do(rules: usize, daemon: &Path) {
    run(&mut pasvsync("sync", daemon));
    let (mut syncs, mut commands) = (Vec::new(), Vec::new());
    for _ in 0..9 {
        commands.push(time(&mut firewall_cmd(&["--query-port=50000-50999/tcp"])));
        for _ in 0..5 {
            syncs.push(time(&mut pasvsync("sync", daemon)));
        }
    }
    row("nothing to do, `--query-port`", rules, syncs, commands);
}

fn row(name: &str, rules: usize, syncs: Vec<Duration>, commands: Vec<Duration>) {
    let (sync, command) = (median(syncs), median(commands));
    println!(
        "| {name} | {rules} | {} | {} | {} |",
        milliseconds(sync),
        milliseconds(command),
        beside(sync, command, Some(0.05))
    );
}

/// The zone with so many bans, as they pile up.
fn zone(rules: usize) -> String {
    let mut text = "<zone>\n<service name=\"ssh\"/>\n".to_owned();
    for number in 0..rules {
        let _ = writeln!(
            text,
            "<rule family=\"ipv4\"><source address=\"10.1.{}.{}\"/><reject/></rule>",
            number / 250,
            number % 250
        );
    }
    text + "</zone>\n"
}

fn pasvsync(command: &str, daemon: &Path) -> Command {
    let mut pasvsync = Command::new(PASVSYNC);
    let daemon = format!("proftpd={}", daemon.display());
    pasvsync.args([command, "--daemon-config", &daemon, "--daemon", "proftpd"]);
    pasvsync
}

fn firewall_cmd(arguments: &[&str]) -> Command {
    let mut command = Command::new("firewall-cmd");
    command.args(arguments);
    command
}

/// A process that ends with the bench.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let process = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

fn start(program: &str, arguments: &[&str]) -> Running {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    Running(
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    )
}

fn await_that(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "{what} does not come up"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn quiet(command: &mut Command) -> bool {
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().unwrap().success()
}
