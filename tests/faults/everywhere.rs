//! One fault at a time, at every system call of a scenario.
//!
//! `PASVSYNC_FAULTS` says at which:
//!
//! - `all`: every fault of [`CALLS`] at every one of those calls, of the program and of all that it starts, from the first
//!   line of the program's own code to its end. That takes hours.
//! - `sites`: the same without what is alike. Between two calls that change something outside of the process, it leaves
//!   the same behind wherever it is killed: so it is killed before each of those, and before the last call of all. Calls
//!   that change nothing are sampled: of those that the same code makes (by the nearest return addresses on the stack)
//!   on files of the same folder, in the program itself after the same calls that do change something, the first and the
//!   last fail, and of the program itself the second. Of reasons to fail that come to the same one is tried.
//! - otherwise a sample that takes seconds: one fault at the first and the last call of each name.
//!
//! Calls are told apart by their number. Where threads take turns, as they do on a bus, a number may mean another call
//! in the next run; then some are met twice and some not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::errno::Errno;

use super::calls::{CALLS, Call};
use super::judge::{Expected, is_own};
use super::prepared;
use super::scenarios::{self, Scenario};
use super::state::State;
use super::tracer::{Fault, Met, Point, trace};
use crate::support::host::Host;
use crate::support::program::PROGRAM;
use crate::support::say;

/// Says how many calls are tried.
const EXTENT: &str = "PASVSYNC_FAULTS";
/// Names the only program whose calls are tried.
const ONLY: &str = "PASVSYNC_FAULTS_PROGRAM";
/// What ends another program: that it cannot start, read, write or talk to the kernel.
const FATAL: [&str; 6] = ["execve", "openat", "read", "sendmsg", "sendto", "write"];

#[test]
fn sync_on_nftables() {
    everywhere(scenarios::NFTABLES_SYNC);
}

#[test]
fn remove_on_nftables() {
    everywhere(scenarios::NFTABLES_REMOVE);
}

#[test]
fn set_range() {
    everywhere(scenarios::SET_RANGE);
}

#[test]
fn set_range_below_a_root() {
    everywhere(scenarios::SET_RANGE_BELOW_ROOT);
}

#[test]
fn sync_on_iptables() {
    everywhere(scenarios::IPTABLES_SYNC);
}

#[test]
fn remove_on_iptables() {
    everywhere(scenarios::IPTABLES_REMOVE);
}

#[test]
fn sync_on_iptables_legacy() {
    everywhere(scenarios::LEGACY_SYNC);
}

#[test]
fn remove_on_iptables_legacy() {
    everywhere(scenarios::LEGACY_REMOVE);
}

#[test]
fn sync_on_csf() {
    everywhere(scenarios::CSF_SYNC);
}

#[test]
fn remove_on_csf() {
    everywhere(scenarios::CSF_REMOVE);
}

#[test]
fn first_sync_on_firewalld() {
    everywhere(scenarios::FIREWALLD_FIRST_SYNC);
}

#[test]
fn sync_on_firewalld() {
    everywhere(scenarios::FIREWALLD_SYNC);
}

#[test]
fn remove_on_firewalld() {
    everywhere(scenarios::FIREWALLD_REMOVE);
}

/// Counts what happened.
#[derive(Debug, Default)]
struct Tally {
    injected: AtomicUsize,
    missed: AtomicUsize,
    old: AtomicUsize,
    new: AtomicUsize,
    problems: AtomicUsize,
}

fn count(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn everywhere(scenario: Scenario) {
    let name = scenario.name;
    let Some(first) = prepared(scenario) else {
        return;
    };
    let expected = Expected::of(&first, scenario);
    drop(first);
    let cases = cases(name, &expected.calls);
    say(&format!("{name}: {} faults to come", cases.len()));
    let (next, tally) = (AtomicUsize::new(0), Tally::default());
    let work = || {
        let mut host = None;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some((point, fault)) = cases.get(number) else {
                break;
            };
            // At once: trying everything takes long.
            for problem in inject(&expected, &mut host, point, *fault, &tally) {
                count(&tally.problems);
                say(&problem);
            }
            if number % 500 == 499 {
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
    let points = expected.calls.len();
    let [injected, missed, old, new, problems] = [
        tally.injected,
        tally.missed,
        tally.old,
        tally.new,
        tally.problems,
    ]
    .map(AtomicUsize::into_inner);
    say(&format!(
        "{name}: {points} system calls, {injected} faults: {old} left the old state, {new} the new one, {} something in \
         between ({} different states) that heals; {missed} points were not met",
        injected - old - new,
        expected.states_between(),
    ));
    assert_eq!(problems, 0, "{name}: problems, see above");
}

/// Which calls are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    All,
    Sites,
    Sample,
}

/// Where, and what.
fn cases(name: &str, calls: &[Met]) -> Vec<(Point, Fault)> {
    let extent = match std::env::var(EXTENT).as_deref() {
        Ok("all") => Extent::All,
        Ok("sites") => Extent::Sites,
        _ => Extent::Sample,
    };
    let only = std::env::var(ONLY).ok();
    let alike = alike(calls);
    let mut turn = name.len();
    let mut cases = Vec::new();
    for (index, met) in calls.iter().enumerate() {
        let point = &met.point;
        if only.as_ref().is_some_and(|only| *only != point.program) {
            continue;
        }
        let known = CALLS.iter().find(|known| known.name == point.call);
        let mut faults = known.map_or(&[][..], |known| known.faults).to_vec();
        // Only who catches signals is interrupted, and no other program here does.
        faults
            .retain(|fault| is_own(&point.program) || !matches!(fault, Fault::Error(Errno::EINTR)));
        match extent {
            Extent::All => {}
            Extent::Sites => faults.retain(|fault| match fault {
                Fault::Kill => met.acts || index + 1 == calls.len(),
                Fault::Error(Errno::ENOSPC) => met.acts,
                Fault::Error(Errno::ENOMEM) if known.is_some_and(Call::can_be_unread) => false,
                _ => met.acts || alike.contains(&index),
            }),
            Extent::Sample => {
                turn += 1;
                let chosen = turn % faults.len();
                let last = || {
                    let mut later = calls.iter().skip(index + 1);
                    !later.any(|other| {
                        other.point.program == point.program && other.point.call == point.call
                    })
                };
                let tried = if is_own(&point.program) {
                    point.number == 1 || last()
                } else {
                    FATAL.contains(&point.call) && last()
                };
                faults = if tried {
                    vec![faults[chosen]]
                } else {
                    Vec::new()
                };
            }
        }
        let faults = faults.into_iter();
        cases.extend(faults.map(|fault| (met.acts, (point.clone(), fault))));
    }
    // What changes something comes first: who has not the time for all has tried that.
    cases.sort_by_key(|(acts, _)| !acts);
    cases.into_iter().map(|(_, case)| case).collect()
}

/// Of all calls of a name that are made by the same code on files of a folder, in the program under test after the same
/// has been done, the first and the last, and of its own the second.
fn alike(calls: &[Met]) -> BTreeSet<usize> {
    let mut sites: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    let mut done = 0;
    for (index, Met { point, acts, site }) in calls.iter().enumerate() {
        let own = is_own(&point.program);
        let since = if own { done } else { 0 };
        let site = (&point.program, point.call, *site, since);
        sites.entry(site).or_default().push(index);
        done += usize::from(*acts && own);
    }
    let chosen = sites.iter().flat_map(|((program, ..), calls)| {
        let first = if is_own(program) { 2 } else { 1 };
        let last = calls.iter().skip(first).last();
        calls.iter().take(first).chain(last)
    });
    chosen.copied().collect()
}

/// Runs a case on a host, which is kept when it can be used again; the problems.
fn inject(
    expected: &Expected,
    kept: &mut Option<Host>,
    point: &Point,
    fault: Fault,
    tally: &Tally,
) -> Vec<String> {
    let command = expected.scenario.command;
    let strike = |host: &Host| {
        let run = host.run(|| trace(PROGRAM, command, Some((point, fault))));
        let state = run.hit.as_ref().map(|_| State::of(host));
        (run, state)
    };
    let host = expected.ready(kept.take());
    let (run, state) = strike(&host);
    *kept = Some(host);
    let Some(state) = state else {
        // The run went through.
        count(&tally.missed);
        *kept = expected.again(kept.take());
        return Vec::new();
    };
    count(&tally.injected);
    let mut problems = expected.judge(point, fault, &run, &state);
    if state == expected.before {
        count(&tally.old);
    } else {
        if state.essence() == expected.after.essence() {
            count(&tally.new);
        }
        if expected.is_unseen(&state) {
            problems.extend(kept.iter().flat_map(|host| expected.heals(host)));
            // The same once more, and nothing mends it before everything of ours is to go.
            let host = expected.ready(expected.again(kept.take()));
            if strike(&host).1.as_ref() == Some(&state) {
                problems.extend(expected.is_removed(&host));
            }
            *kept = Some(host);
        }
        *kept = expected.again(kept.take());
    }
    let (code, signal, stderr) = (run.code, run.signal, run.stderr.trim());
    let hit = run.hit.as_deref().unwrap_or_default();
    let context = format!("{point} {hit} {fault:?}: status {code:?} {signal:?}: {stderr}");
    problems
        .iter()
        .map(|problem| format!("* {context}\n    {problem}"))
        .collect()
}
