//! `sync` and `remove` in a loop beside another program that changes the rules all the time.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{closed, duration, foreign, iptables, legacy, lines, nftables, own};
use crate::support::command::Output;
use crate::support::host::Host;
use crate::support::say;

/// The neighbour that loads the boot file.
const RELOADS: &str = "reloads";

/// How many of a neighbour's rules are there at a time.
const KEPT: usize = 5;

/// How long a neighbour waits between two changes.
const PAUSE: Duration = Duration::from_millis(50);

/// What a run that could not finish says: that the rules moved under it.
const MOVED: [&str; 3] = ["changed", "changing", "another edit came in between"];

/// Runs beside `neighbour`, which works until it is told to stop and says what is left of its doing; then everything
/// of its is there, and of ours exactly `rules` rules.
#[track_caller]
pub(super) fn beside(
    name: &str,
    host: &Host,
    rules: usize,
    neighbour: impl FnOnce(&AtomicBool) -> Vec<String> + Send,
) {
    let reloads = name == RELOADS;
    let before = lines(host);
    let stop = AtomicBool::new(false);
    let (mut proved, mut moved) = (0, 0);
    let left = std::thread::scope(|scope| {
        let neighbour = scope.spawn(|| neighbour(&stop));
        // It also stops when a run does what it must not.
        let _stop = Stop(&stop);
        let end = Instant::now() + duration();
        while Instant::now() < end {
            for (command, marks) in [("sync", rules), ("remove", 0)] {
                if ends(host, command, marks, reloads) {
                    proved += 1;
                } else {
                    moved += 1;
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
        neighbour.join().expect("the neighbour")
    });
    say(&format!(
        "beside {name}: {proved} runs ended proved, {moved} said that the rules moved"
    ));
    assert!(ends(host, "sync", rules, false), "nothing moves any more");
    let after = lines(host);
    for line in &left {
        let there = after.iter().filter(|known| known.contains(line)).count();
        assert_eq!(there, 1, "{line}: {after:#?}");
    }
    assert!(ends(host, "remove", 0, false), "nothing moves any more");
    let after = lines(host);
    let others = foreign(&after)
        .into_iter()
        .filter(|line| !left.iter().any(|left| line.contains(left)));
    let others: Vec<_> = others.collect();
    for line in &before {
        assert!(others.contains(&line), "{line} was lost: {others:#?}");
    }
    assert!(proved > 0, "no run came through");
}

/// Has the neighbour stop, also when a test fails.
pub(super) struct Stop<'a>(pub(super) &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whether a run ends proved, which is then true; otherwise it says that the rules moved.
#[track_caller]
fn ends(host: &Host, command: &str, marks: usize, reloads: bool) -> bool {
    let run: Output = host.pasvsync(&[command]);
    match run.status.code() {
        Some(0) => {
            // A reload that had read the boot file before it was written may come last; the next one makes up for it.
            let end = Instant::now() + Duration::from_secs(3);
            while own(&lines(host)).len() != marks && reloads && Instant::now() < end {}
            let now = lines(host);
            assert_eq!(own(&now).len(), marks, "{command}: {run:?}\n{now:#?}");
            true
        }
        Some(1) => {
            let words = MOVED.iter().any(|words| run.stderr.contains(words));
            assert!(words, "{command}: {run:?}");
            false
        }
        _ => panic!("{command}: {run:?}"),
    }
}

/// Changes one rule after the other until it is told to stop; `add` gives what `delete` needs.
fn rules_come_and_go<T>(
    stop: &AtomicBool,
    mut add: impl FnMut(usize) -> Option<T>,
    mut delete: impl FnMut(T),
) -> Vec<usize> {
    let mut there = VecDeque::new();
    for number in 1.. {
        if stop.load(Ordering::Relaxed) && there.len() == KEPT {
            break;
        }
        there.extend(add(number).map(|rule| (number, rule)));
        // iptables-legacy has no batches: who never lets it be quiet for the time of a run keeps every run out.
        std::thread::sleep(PAUSE);
        if there.len() > KEPT
            && let Some((_, oldest)) = there.pop_front()
        {
            delete(oldest);
        }
    }
    there.into_iter().map(|(number, _)| number).collect()
}

/// An address that nobody has, a new one for each number.
pub(super) fn address(number: usize) -> String {
    // All of them of the same length: none is the beginning of another.
    format!("198.18.{}.{}", 100 + number / 150, 100 + number % 150)
}

#[test]
fn nft() {
    let Some(host) = closed(nftables) else {
        return;
    };
    beside("nft", &host, 1, |stop| {
        let add = |number| {
            let rule = format!(
                "insert rule inet filter input ip saddr {} drop",
                address(number)
            );
            let echoed = host.must("nft", &["-e", "-a", &rule]);
            let words = echoed.split_whitespace().collect::<Vec<_>>();
            let handle = words
                .windows(2)
                .find(|pair| pair[0] == "handle")
                .expect("a handle");
            Some(handle[1].to_owned())
        };
        let delete = |handle: String| {
            host.must(
                "nft",
                &[
                    "delete", "rule", "inet", "filter", "input", "handle", &handle,
                ],
            );
        };
        let left = rules_come_and_go(stop, add, delete);
        left.into_iter()
            .map(|number| format!("ip saddr {} drop", address(number)))
            .collect()
    });
}

fn beside_iptables(program: &str, host: &Host) {
    beside(program, host, 2, |stop| {
        let change = |action: &str, address: &str| {
            let run = host.command(
                program,
                &["-w", "20", action, "INPUT", "-s", address, "-j", "DROP"],
            );
            assert!(run.status.success(), "{run:?}");
        };
        let add = |number| {
            let address = address(number);
            change("-I", &address);
            Some(address)
        };
        let left = rules_come_and_go(stop, add, |address| change("-D", &address));
        left.into_iter().map(address).collect()
    });
}

#[test]
fn iptables_nft() {
    if let Some(host) = closed(iptables) {
        beside_iptables("iptables-nft", &host);
    }
}

#[test]
fn iptables_legacy() {
    if let Some(host) = closed(legacy) {
        beside_iptables("iptables-legacy", &host);
    }
}

/// What `systemctl reload nftables` runs.
#[test]
fn reload_of_nftables() {
    let Some(host) = closed(nftables) else {
        return;
    };
    beside(RELOADS, &host, 1, |stop| {
        let mut reloads = 0;
        while !stop.load(Ordering::Relaxed) {
            host.must("nft", &["-f", "/etc/nftables.conf"]);
            reloads += 1;
        }
        say(&format!("{reloads} reloads"));
        Vec::new()
    });
}
