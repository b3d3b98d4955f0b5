//! What a `sync` with nothing to do costs, beside what `nft -j list ruleset` costs on the same ruleset in the same run.
//!
//! Prints the README's table. The rulesets stand in a network namespace of the bench's own.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and stops when something is wrong"
)]

#[path = "measure.rs"]
mod measure;

use std::fmt::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use measure::{beside, median, met, milliseconds, run, time};
use nix::sys::resource::{UsageWho, getrusage};

const PASVSYNC: &str = env!("CARGO_BIN_EXE_pasvsync");

/// Set in the process that runs inside the namespaces.
const INSIDE: &str = "PASVSYNC_BENCH_INSIDE";

/// Set in the process that only measures one run's memory.
const MEASURE: &str = "PASVSYNC_BENCH_MEASURE";

/// The rulesets: a name, and what stands in the input chain, elsewhere, and in a set.
const CASES: &[Case] = &[
    Case::new("10 unrelated rules", 10, 0, 0),
    Case::new("1,000 unrelated rules", 1_000, 0, 0),
    Case::new("10,000 unrelated rules", 10_000, 0, 0),
    Case::new("10,000 rules in the input chain", 0, 10_000, 0),
    Case::new("a set of 100,000 addresses", 10, 0, 100_000),
];

/// A ruleset to measure on.
struct Case {
    name: &'static str,
    unrelated: usize,
    input: usize,
    elements: usize,
}

impl Case {
    const fn new(name: &'static str, unrelated: usize, input: usize, elements: usize) -> Self {
        Self {
            name,
            unrelated,
            input,
            elements,
        }
    }

    /// The ruleset in nft's words.
    fn ruleset(&self) -> String {
        let mut text = "table inet filter {\n".to_owned();
        if self.elements > 0 {
            text.push_str("set banned {\ntype ipv4_addr\nelements = {");
            for number in 0..self.elements {
                let [_, b, c, d] = u32::try_from(number).unwrap().to_be_bytes();
                let _ = write!(text, "10.{b}.{c}.{d},");
            }
            text.push_str("}\n}\n");
        }
        text.push_str(
            "chain input {\ntype filter hook input priority filter; policy drop;\n\
             ct state established,related accept\niif lo accept\n",
        );
        if self.elements > 0 {
            text.push_str("ip saddr @banned drop\n");
        }
        for number in 0..self.input {
            let _ = writeln!(
                text,
                "ip saddr 10.{}.{}.9 tcp dport 22 accept",
                number / 250,
                number % 250
            );
        }
        text.push_str("tcp dport { 21, 22 } accept\n}\n");
        text.push_str(
            "chain forward {\ntype filter hook forward priority filter; policy accept;\n",
        );
        for number in 0..self.unrelated {
            let _ = writeln!(
                text,
                "ip saddr 10.{}.{}.9 tcp dport 80 accept",
                number / 250,
                number % 250
            );
        }
        text.push_str("}\n}\n");
        text
    }
}

fn main() {
    if std::env::var_os(MEASURE).is_some() {
        measure_memory();
    } else if std::env::var_os(INSIDE).is_some() {
        bench();
    } else {
        let mut unshare = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            unshare.args(["--user", "--map-root-user"]);
        }
        // An ordinary user's path lacks the folders that nft and ip are in.
        let path = std::env::var("PATH").unwrap() + ":/usr/local/sbin:/usr/sbin:/sbin";
        let error = unshare
            .args(["--net", "--mount", "--"])
            .arg(std::env::current_exe().unwrap())
            .env(INSIDE, "1")
            .env("PATH", path)
            .exec();
        panic!("cannot run unshare: {error}");
    }
}

/// Measures every case and prints the table.
fn bench() {
    run(Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/run"]));
    run(Command::new("ip").args(["link", "set", "lo", "up"]));
    let root = tempfile::tempdir().unwrap();
    let configuration = root.path().join("etc/proftpd/proftpd.conf");
    fs_err::create_dir_all(configuration.parent().unwrap()).unwrap();
    fs_err::write(&configuration, "PassivePorts 50000 50999\n").unwrap();
    let rules = root.path().join("rules.nft");

    println!("| ruleset | no-op `sync` | `nft -j list ruleset` | ratio | goal | memory |");
    println!("|---|---|---|---|---|---|");
    let mut syncs = Vec::new();
    for case in CASES {
        fs_err::write(&rules, case.ruleset()).unwrap();
        run(Command::new("nft").args(["flush", "ruleset"]));
        run(Command::new("nft").arg("-f").arg(&rules));
        run(&mut sync(root.path()));
        let (sync_time, nft_time) = side_by_side(root.path());
        let goal = if case.input > 0 {
            Some(0.25)
        } else {
            (case.unrelated >= 10_000 || case.elements > 0).then_some(0.02)
        };
        println!(
            "| {} | {} | {} | {} | {} |",
            case.name,
            milliseconds(sync_time),
            milliseconds(nft_time),
            beside(sync_time, nft_time, goal),
            memory(root.path())
        );
        syncs.push(sync_time.as_secs_f64());
    }
    let size = mega(PathBuf::from(PASVSYNC).metadata().unwrap().len());
    let growth = syncs[2] / syncs[0];
    println!();
    println!(
        "- from 10 to 10,000 unrelated rules a no-op `sync` takes {growth:.2} times as long (goal: <= 1.2, {})",
        met(growth <= 1.2)
    );
    println!(
        "- the release binary has {size:.1} MB (goal: <= 5 MB, {}); goal for memory: <= 6 MB",
        met(size <= 5.0)
    );
}

/// The medians of a no-op sync and of nft, taken in turns so that whatever else the machine does hits both.
fn side_by_side(root: &Path) -> (Duration, Duration) {
    let (mut syncs, mut nfts) = (Vec::new(), Vec::new());
    for _ in 0..15 {
        nfts.push(time(Command::new("nft").args(["-j", "list", "ruleset"])));
        for _ in 0..5 {
            syncs.push(time(&mut sync(root)));
        }
    }
    (median(syncs), median(nfts))
}

fn sync(root: &Path) -> Command {
    let mut command = Command::new(PASVSYNC);
    command.arg("sync").arg("--root").arg(root);
    command
}

#[expect(clippy::cast_precision_loss, reason = "a few megabytes")]
fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// The most memory that a no-op sync had resident, from a process that starts nothing else.
fn memory(root: &Path) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .env(MEASURE, root)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn measure_memory() {
    let root = std::env::var_os(MEASURE).unwrap();
    run(&mut sync(Path::new(&root)));
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    // The kernel counts in KiB.
    let bytes = u64::try_from(usage.max_rss()).unwrap() * 1024;
    print!("{:.1} MB", mega(bytes));
}
