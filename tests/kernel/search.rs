//! The search for a random ruleset that fails, and for the smallest part of it that still does.
//!
//! `PASVSYNC_ORACLE` is the number of cases, `PASVSYNC_ORACLE_SEED` the first seed.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::judge::{Tally, add, words};
use crate::support::say;
use crate::support::world::World;

/// Worlds that work side by side: most of a case is waiting for silence.
const WORKERS: u64 = 8;
/// Shrinking stops after this many tries, or this long: a failure should be seen, not waited for.
const MOST_TRIES: usize = 150;
const LONGEST: Duration = Duration::from_secs(120);

/// A random ruleset.
pub(crate) trait Ruleset: Clone + Display {
    /// Puts it in place of the one before; the error is the loader's message.
    fn load(&self, world: &World) -> Result<(), String>;

    /// Leaves out the rules that the loader's message is about.
    #[must_use]
    fn without_refused(self, message: &str) -> Self;

    /// Every ruleset with one thing less, the largest things first.
    fn reductions(&self) -> Vec<Self>;
}

/// What is searched for, and where.
pub(crate) struct Search<R> {
    /// The name that the numbers are printed under.
    pub(crate) name: &'static str,
    /// How many cases, unless the environment says otherwise.
    pub(crate) cases: u64,
    /// The network of a seed.
    pub(crate) world: fn() -> World,
    /// The ruleset of a seed.
    pub(crate) generate: fn(u64) -> R,
    /// What must hold for a loaded case; the error says what does not.
    pub(crate) judge: fn(&World, &R) -> Result<Tally, String>,
}

/// What became of the cases of one worker, or of all.
#[derive(Default)]
struct Outcome {
    passed: u64,
    tally: Tally,
    failures: Vec<String>,
}

impl<R: Ruleset> Search<R> {
    /// Goes through all cases; panics when one fails, or when too few rulesets load to prove anything.
    pub(crate) fn run(&self) -> Tally {
        let cases = setting("PASVSYNC_ORACLE", self.cases);
        let first = setting("PASVSYNC_ORACLE_SEED", 1);
        let next = AtomicU64::new(first);
        let mut total = Outcome::default();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..WORKERS.min(cases))
                .map(|_| scope.spawn(|| self.work(&next, first + cases)))
                .collect();
            for worker in workers {
                let outcome = worker.join().expect("a worker");
                total.passed += outcome.passed;
                add(&mut total.tally, &outcome.tally);
                total.failures.extend(outcome.failures);
            }
        });
        let failed = total.failures.len();
        say(&format!(
            "{}: {} of {cases} rulesets pass, {failed} fail; {}",
            self.name,
            total.passed,
            words(&total.tally)
        ));
        for failure in &total.failures {
            eprintln!("{failure}");
        }
        assert_eq!(failed, 0, "{}: rulesets fail", self.name);
        assert!(total.passed * 10 > cases * 9, "too few rulesets load");
        total.tally
    }

    /// Takes one seed after the other until `end`.
    fn work(&self, next: &AtomicU64, end: u64) -> Outcome {
        let world = (self.world)();
        let mut outcome = Outcome::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return outcome;
            }
            let case = loadable(&world, (self.generate)(seed));
            match self.attempt(&world, &case) {
                None => {}
                Some(Ok(tally)) => {
                    outcome.passed += 1;
                    add(&mut outcome.tally, &tally);
                }
                Some(Err(message)) => {
                    let (case, message) = self.shrink(&world, case, message);
                    outcome
                        .failures
                        .push(format!("seed {seed}:\n{case}{message}"));
                }
            }
        }
    }

    /// Loads the case in place of the one before and judges it; `None` when the loader refuses it.
    fn attempt(&self, world: &World, case: &R) -> Option<Result<Tally, String>> {
        case.load(world).ok()?;
        // A program that hangs or a report that cannot be read is a failure of this ruleset, not of the search.
        let judged = catch_unwind(AssertUnwindSafe(|| (self.judge)(world, case)));
        Some(judged.unwrap_or_else(|panic| {
            let message = panic.downcast_ref::<String>().cloned();
            Err(message.unwrap_or_else(|| "the test panics, see above".to_owned()))
        }))
    }

    /// Leaves out tables, chains, sets and rules as long as the case still fails.
    fn shrink(&self, world: &World, mut case: R, mut message: String) -> (R, String) {
        let (begin, mut tries) = (Instant::now(), 0);
        loop {
            let mut smaller = None;
            for candidate in case.reductions() {
                tries += 1;
                if tries > MOST_TRIES || begin.elapsed() > LONGEST {
                    return (case, message);
                }
                if let Some(Err(found)) = self.attempt(world, &candidate) {
                    smaller = Some((candidate, found));
                    break;
                }
            }
            match smaller {
                Some(found) => (case, message) = found,
                None => return (case, message),
            }
        }
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| {
        value
            .parse()
            .unwrap_or_else(|error| panic!("{name}={value}: {error}"))
    })
}

/// Leaves out the rules that the loader refuses: some of the tests and verdicts that meet by chance do not go together.
fn loadable<R: Ruleset>(world: &World, mut case: R) -> R {
    for _ in 0..12 {
        let Err(message) = case.load(world) else {
            break;
        };
        case = case.without_refused(&message);
    }
    case
}
