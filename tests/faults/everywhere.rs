//! One fault at a time, at every system call of a scenario.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::Signal;

use super::calls::CALLS;
use super::prepared;
use super::scenarios::{self, Scenario};
use super::state::{LOCK, State};
use super::tracer::{Fault, Point, Traced, retried, trace};
use crate::support::host::Host;
use crate::support::program::PROGRAM;
use crate::support::{ready, say};

/// Says that every call is to be tried, not the first and the last of each name alone.
const ALL: &str = "PASVSYNC_FAULTS";
/// Names the only program whose calls are tried.
const ONLY: &str = "PASVSYNC_FAULTS_PROGRAM";
/// What ends another program: that it cannot start, read, write or talk to the kernel.
const FATAL: [&str; 6] = ["execve", "openat", "read", "sendmsg", "sendto", "write"];

/// What takes temporary files away: when that fails, they stay.
const TIDYING: [&str; 7] = [
    "unlink",
    "unlinkat",
    "rmdir",
    "openat",
    "fcntl",
    "getdents64",
    "newfstatat",
];

/// How Rust's runtime ends a program that gets no memory: for an allocation, and before `main`.
const NO_MEMORY: [&str; 2] = [
    "memory allocation of",
    "failed to allocate an alternative stack",
];

#[test]
fn sync_on_nftables() {
    everywhere("sync on nftables", scenarios::NFTABLES_SYNC, &[]);
}

#[test]
fn remove_on_nftables() {
    everywhere("remove on nftables", scenarios::NFTABLES_REMOVE, &[]);
}

#[test]
fn set_range() {
    everywhere("set-range", scenarios::SET_RANGE, &[]);
}

#[test]
fn set_range_below_a_root() {
    everywhere("set-range --root", scenarios::SET_RANGE_BELOW_ROOT, &[]);
}

#[test]
fn sync_on_iptables() {
    let tools = ["iptables-nft-restore", "ip6tables-nft-restore"];
    everywhere("sync on iptables-nft", scenarios::IPTABLES_SYNC, &tools);
}

#[test]
fn sync_on_iptables_legacy() {
    let tools = ["iptables-legacy-restore", "ip6tables-legacy-restore"];
    everywhere("sync on iptables-legacy", scenarios::LEGACY_SYNC, &tools);
}

#[test]
fn remove_on_iptables_legacy() {
    let tools = ["iptables-legacy-restore", "ip6tables-legacy-restore"];
    everywhere(
        "remove on iptables-legacy",
        scenarios::LEGACY_REMOVE,
        &tools,
    );
}

/// What a scenario does when nothing goes wrong.
struct Expected {
    scenario: Scenario,
    before: State,
    after: State,
    /// Then everything of ours has gone.
    removed: State,
    calls: BTreeMap<(String, &'static str), usize>,
    /// States that were found to heal.
    healed: Mutex<BTreeSet<State>>,
}

/// Counts what happened.
#[derive(Debug, Default)]
struct Tally {
    injected: AtomicUsize,
    missed: AtomicUsize,
    old: AtomicUsize,
    new: AtomicUsize,
}

fn everywhere(name: &str, scenario: Scenario, tools: &[&str]) {
    if !ready(tools) {
        return;
    }
    let Some(first) = prepared(scenario) else {
        return;
    };
    let expected = expected(&first, scenario);
    let cases = cases(name, &expected.calls);
    let (next, tally) = (AtomicUsize::new(0), Tally::default());
    let problems = AtomicUsize::new(0);
    let work = || {
        let mut host = None;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some((point, fault)) = cases.get(number) else {
                break;
            };
            let found = inject(&expected, &mut host, point, *fault, &tally);
            // At once: trying everything takes long.
            for problem in found {
                problems.fetch_add(1, Ordering::Relaxed);
                say(&problem);
            }
            if number % 1000 == 999 {
                say(&format!("{name}: {number} of {} faults", cases.len()));
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    let points: usize = expected.calls.values().sum();
    say(&format!(
        "{name}: {points} system calls, {} faults: {} left the old state, {} the new one, {} something in between that \
         heals; {} points were not met",
        cases.len(),
        tally.old.load(Ordering::Relaxed),
        tally.new.load(Ordering::Relaxed),
        tally.injected.load(Ordering::Relaxed)
            - tally.old.load(Ordering::Relaxed)
            - tally.new.load(Ordering::Relaxed),
        tally.missed.load(Ordering::Relaxed),
    ));
    assert_eq!(problems.into_inner(), 0, "{name}: problems, see above");
}

fn expected(host: &Host, scenario: Scenario) -> Expected {
    let before = State::of(host);
    let clean = host.run(|| trace(PROGRAM, scenario.command, None));
    assert_eq!(clean.code, Some(0), "{clean:?}");
    let after = State::of(host);
    assert_ne!(before.essence(), after.essence(), "nothing changes");
    assert_eq!(after.left_over(), Vec::<&String>::new());
    let removed = host.pasvsync(scenario.remove);
    assert!(removed.status.success(), "{removed:?}");
    Expected {
        scenario,
        before,
        after,
        removed: State::of(host).essence(),
        calls: clean.calls,
        healed: Mutex::default(),
    }
}

/// Where, and what: every fault at every call; or one fault at the first and the last call of each name, another one in
/// each scenario, and at the last of those calls of other programs that can end them.
fn cases(name: &str, calls: &BTreeMap<(String, &'static str), usize>) -> Vec<(Point, Fault)> {
    let all = std::env::var(ALL).is_ok_and(|value| value == "all");
    let only = std::env::var(ONLY).ok();
    let mut cases = Vec::new();
    let mut turn = name.len();
    for ((program, call), count) in calls {
        if only.as_ref().is_some_and(|only| only != program) {
            continue;
        }
        let known = CALLS.iter().find(|known| known.name == *call);
        let faults = known.map_or(&[][..], |known| known.faults);
        let mut numbers: Vec<usize> = (1..=*count).collect();
        if !all && is_own(program) {
            numbers.retain(|number| [1, *count].contains(number));
        } else if !all {
            numbers.retain(|number| number == count && FATAL.contains(call));
        }
        for number in numbers {
            let point = Point {
                program: program.clone(),
                call,
                number,
            };
            turn += 1;
            let chosen = if all {
                faults
            } else {
                let first = turn % faults.len();
                &faults[first..=first]
            };
            cases.extend(chosen.iter().map(|fault| (point.clone(), *fault)));
        }
    }
    cases
}

/// Whether this is the program under test.
fn is_own(program: &str) -> bool {
    PROGRAM.ends_with(&format!("/{program}"))
}

/// Runs a case on a host, which is kept when nothing has happened to it; the problems.
fn inject(
    expected: &Expected,
    kept: &mut Option<Host>,
    point: &Point,
    fault: Fault,
    tally: &Tally,
) -> Vec<String> {
    let host = kept.take().unwrap_or_else(|| {
        let host = Host::new("16m").expect("a host");
        (expected.scenario.prepare)(&host);
        host
    });
    let run = host.run(|| trace(PROGRAM, expected.scenario.command, Some((point, fault))));
    let Some(hit) = run.hit.clone() else {
        tally.missed.fetch_add(1, Ordering::Relaxed);
        return Vec::new();
    };
    tally.injected.fetch_add(1, Ordering::Relaxed);
    let state = State::of(&host);
    let mut problems = judge(expected, point, fault, &run, &state);
    if state == expected.before {
        tally.old.fetch_add(1, Ordering::Relaxed);
        *kept = Some(host);
    } else {
        if state == expected.after {
            tally.new.fetch_add(1, Ordering::Relaxed);
        }
        let known = expected.healed.lock().expect("the states").contains(&state);
        if !known {
            problems.extend(heal(expected, &host));
            expected.healed.lock().expect("the states").insert(state);
        }
    }
    let (code, signal, stderr) = (run.code, run.signal, run.stderr.trim());
    let context = format!("{point} {hit} {fault:?}: status {code:?} {signal:?}: {stderr}");
    problems
        .iter()
        .map(|problem| format!("* {context}\n    {problem}"))
        .collect()
}

/// What must hold right after the fault.
fn judge(
    expected: &Expected,
    point: &Point,
    fault: Fault,
    run: &Traced,
    state: &State,
) -> Vec<String> {
    let mut problems = Vec::new();
    let broken = state.essence().broken(&expected.before, &expected.after);
    if !broken.is_empty() {
        problems.push(format!("neither old nor new: {}", broken.join("\n")));
    }
    let own = is_own(&point.program);
    let new = state.essence() == expected.after.essence();
    if own && fault.is_passing() && retried(point.call) && (run.code != Some(0) || !new) {
        problems.push("the call was not simply made again".to_owned());
    }
    match (run.code, run.signal) {
        (Some(0), _) if !new => problems.push(format!("success is claimed: {}", run.stdout)),
        (Some(1), _) if run.stderr.is_empty() && point.call != "write" => {
            problems.push("no word of what is wrong".to_owned());
        }
        (Some(0 | 1), _) => {}
        (_, Some(Signal::SIGKILL)) if matches!(fault, Fault::Kill) && own => {}
        (_, Some(Signal::SIGABRT)) if NO_MEMORY.iter().any(|words| run.stderr.contains(words)) => {}
        _ => problems.push("another end than success or failure".to_owned()),
    }
    if run.stderr.contains("panicked") && !run.stderr.contains(NO_MEMORY[1]) {
        problems.push("it panicked".to_owned());
    }
    let tidying = run.hit.as_ref().is_some_and(|hit| hit.contains("/tmp/"));
    let excused = matches!(fault, Fault::Kill) || tidying || TIDYING.contains(&point.call);
    // A lock file that nobody has locked is no harm.
    let mut left = state.left_over();
    left.retain(|place| !place.ends_with(LOCK));
    if run.code.is_some() && !excused && !left.is_empty() {
        problems.push(format!("left over: {left:?}"));
    }
    problems
}

/// The next run mends everything, and what is ours can be taken back as ever.
fn heal(expected: &Expected, host: &Host) -> Vec<String> {
    let mut problems = Vec::new();
    let mut step = |what: &str, command: &[&str], wanted: &State| {
        let run = host.pasvsync(command);
        let state = State::of(host);
        let left: Vec<_> = state
            .left_over()
            .into_iter()
            .filter(|at| !at.starts_with("/tmp/"))
            .cloned()
            .collect();
        if !run.status.success() || state.essence() != *wanted || !left.is_empty() {
            let broken = state.essence().broken(wanted, wanted);
            problems.push(format!(
                "{what}: {run:?}, left over {left:?}, {}",
                broken.join("\n")
            ));
        }
    };
    step(
        "does not heal",
        expected.scenario.heal,
        &expected.after.essence(),
    );
    step(
        "is not removed",
        expected.scenario.remove,
        &expected.removed,
    );
    problems
}
