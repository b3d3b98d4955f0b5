//! What the benches share: commands are run to their end, and times are put side by side.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs a command. `firewall-cmd --query-port` says no where a service opens the port, which takes it as long.
pub(crate) fn run(command: &mut Command) {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null());
    let status = status.status().unwrap();
    let mut words = command.get_args();
    let question = words.any(|word| word.to_string_lossy().starts_with("--query"));
    assert!(
        status.success() || question && status.code() == Some(1),
        "{command:?}: {status}"
    );
}

pub(crate) fn time(command: &mut Command) -> Duration {
    let start = Instant::now();
    run(command);
    start.elapsed()
}

pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

/// Two cells of a table: the ratio, and the goal for it with whether it is met.
pub(crate) fn beside(sync: Duration, other: Duration, goal: Option<f64>) -> String {
    let ratio = sync.as_secs_f64() / other.as_secs_f64();
    let goal = goal.map_or_else(String::new, |goal| {
        format!("<= {goal}: {}", met(ratio <= goal))
    });
    format!("{ratio:.3} | {goal}")
}

pub(crate) fn met(is: bool) -> &'static str {
    if is { "met" } else { "not met" }
}
