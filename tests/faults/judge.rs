//! What a scenario does when nothing goes wrong, and what must hold when something does.

use std::collections::BTreeSet;
use std::sync::Mutex;

use nix::sys::signal::Signal;

use super::scenarios::Scenario;
use super::state::{LOCK, State, harmless};
use super::tracer::{Fault, Met, Point, Traced, retried, trace};
use crate::support::host::Host;
use crate::support::program::PROGRAM;

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

/// How a program ends that gets no memory: for an allocation, before `main`, and for the thread that talks to the bus
/// (before anything is asked there).
const NO_MEMORY: [&str; 3] = [
    "memory allocation of",
    "failed to allocate an alternative stack",
    "the thread a runtime's helper runs on",
];

/// The exit status of a program that panicked.
const PANICKED: i32 = 101;

/// What a scenario does when nothing goes wrong.
pub(super) struct Expected {
    pub(super) scenario: Scenario,
    pub(super) before: State,
    pub(super) after: State,
    /// Then everything of ours has gone.
    removed: State,
    pub(super) calls: Vec<Met>,
    /// Other states that were met.
    seen: Mutex<BTreeSet<State>>,
}

/// Whether this is the program under test.
pub(super) fn is_own(program: &str) -> bool {
    PROGRAM.ends_with(&format!("/{program}"))
}

impl Expected {
    /// Runs the command on a host that is ready for it.
    pub(super) fn of(host: &Host, scenario: Scenario) -> Self {
        let before = State::of(host);
        let clean = host.run(|| trace(PROGRAM, scenario.command, None));
        assert_eq!(clean.code, Some(0), "{clean:?}");
        let after = State::of(host);
        assert_ne!(before.essence(), after.essence(), "nothing changes");
        assert_eq!(after.left_over(), Vec::<&String>::new());
        let removed = host.pasvsync(scenario.remove);
        assert!(removed.status.success(), "{removed:?}");
        Self {
            scenario,
            before,
            after,
            removed: State::of(host),
            calls: clean.calls,
            seen: Mutex::default(),
        }
    }

    /// That host, or a new one that is ready for the command.
    pub(super) fn ready(&self, host: Option<Host>) -> Host {
        host.unwrap_or_else(|| {
            let host = Host::new("16m").expect("a host");
            self.scenario.prepare(&host);
            host
        })
    }

    /// The host, when the program itself has made it all that it was before the command.
    pub(super) fn again(&self, host: Option<Host>) -> Option<Host> {
        host.filter(|host| self.scenario.prepare_again(host) && State::of(host) == self.before)
    }

    /// Whether such a state was not met before.
    pub(super) fn is_unseen(&self, state: &State) -> bool {
        self.seen.lock().expect("the states").insert(state.clone())
    }

    /// How many states were met that are neither old nor new.
    pub(super) fn states_between(&self) -> usize {
        let seen = self.seen.lock().expect("the states");
        let new = self.after.essence();
        seen.iter().filter(|state| state.essence() != new).count()
    }

    /// What must hold right after the fault.
    pub(super) fn judge(
        &self,
        point: &Point,
        fault: Fault,
        run: &Traced,
        state: &State,
    ) -> Vec<String> {
        let mut problems = Vec::new();
        let [now, before, after] = [state, &self.before, &self.after].map(State::essence);
        let broken = now.broken(&before, &after, self.scenario.steps());
        if !broken.is_empty() {
            problems.push(format!("neither old nor new: {}", broken.join("\n")));
        }
        let own = is_own(&point.program);
        let new = now == after;
        if own && fault.is_passing() && retried(point.call) && (run.code != Some(0) || !new) {
            problems.push("the call was not simply made again".to_owned());
        }
        let no_memory = NO_MEMORY.iter().any(|words| run.stderr.contains(words));
        match (run.code, run.signal) {
            (Some(0), _) if !new => problems.push(format!("success is claimed: {}", run.stdout)),
            (Some(1), _) if run.stderr.is_empty() && point.call != "write" => {
                problems.push("no word of what is wrong".to_owned());
            }
            (Some(0 | 1), _) => {}
            (_, Some(Signal::SIGKILL)) if matches!(fault, Fault::Kill) && own => {}
            (Some(PANICKED), _) | (_, Some(Signal::SIGABRT)) if no_memory => {}
            _ => problems.push("another end than success or failure".to_owned()),
        }
        if run.stderr.contains("panicked") && !no_memory {
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
    pub(super) fn heals(&self, host: &Host) -> Vec<String> {
        let mut problems = self.leads_to("does not heal", host, self.scenario.heal, &self.after);
        problems.extend(self.leads_to("is not removed", host, self.scenario.remove, &self.removed));
        problems
    }

    /// What is ours can be taken back as it is.
    pub(super) fn is_removed(&self, host: &Host) -> Vec<String> {
        if self.scenario.command.first() == Some(&"set-range") {
            // `remove` leaves the daemon's configuration as it is: half way, or with the new range.
            return Vec::new();
        }
        let words = "is not removed without being mended";
        self.leads_to(words, host, self.scenario.remove, &self.removed)
    }

    fn leads_to(&self, what: &str, host: &Host, command: &[&str], wanted: &State) -> Vec<String> {
        let run = host.pasvsync(command);
        let state = State::of(host);
        let left = state.left_over().into_iter();
        let left: Vec<_> = left
            .filter(|at| !at.starts_with("/tmp/") && !harmless(at))
            .collect();
        let [now, wanted] = [&state, wanted].map(State::settled);
        if run.status.success() && now == wanted && left.is_empty() {
            return Vec::new();
        }
        let broken = now.broken(&wanted, &wanted, self.scenario.steps());
        let broken = broken.join("\n");
        vec![format!("{what}: {run:?}, left over {left:?}, {broken}")]
    }
}
