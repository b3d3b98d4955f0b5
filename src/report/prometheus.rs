//! The report as metrics, in the text format that Prometheus' node exporter reads from files.
//!
//! Every label's value is a word of pasvsync's own: nothing needs to be escaped.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::time::Duration;

use firewall::model::reach::{Family, Reach};

use super::Report;

/// The verdicts, all of which are always counted: a series that comes and goes is hard to alert on.
const VERDICTS: [Reach; 4] = [
    Reach::Open,
    Reach::Restricted,
    Reach::Unknown,
    Reach::Closed,
];

/// What a finished check found. `took` is how long it ran, `last_change` when pasvsync last changed the firewall, in
/// seconds since 1970.
pub fn metrics(report: &Report, took: Duration, last_change: Option<u64>) -> String {
    // Nobody looks at the firewall when a daemon refuses its configuration.
    let mut text = head(!report.backends.is_empty());
    family(
        &mut text,
        "check_duration_seconds",
        "How long the check took.",
        [("", took.as_secs_f64())],
    );
    let in_sync = u8::from(report.in_sync);
    family(
        &mut text,
        "in_sync",
        "Whether every wanted port is open and nothing of pasvsync's is left over.",
        [("", in_sync)],
    );
    let mut daemons: BTreeMap<&str, u32> = BTreeMap::new();
    for daemon in &report.daemons {
        *daemons.entry(daemon.daemon).or_default() += daemon.wanted.len();
    }
    let daemons = daemons
        .iter()
        .map(|(name, ports)| (format!("{{daemon=\"{name}\"}}"), *ports));
    family(
        &mut text,
        "wanted_ports",
        "The ports that the firewall must let in for a daemon.",
        daemons,
    );
    family(
        &mut text,
        "ports",
        "The wanted ports by what becomes of a new connection to them, now (runtime) and after the next boot (permanent).",
        ports(report),
    );
    let edits = report.layers().map(|(backend, layer, found)| {
        (
            format!("{{backend=\"{backend}\",layer=\"{layer}\"}}"),
            found.edits.len(),
        )
    });
    family(
        &mut text,
        "edits_needed",
        "The edits that sync would make.",
        edits,
    );
    let mut findings: BTreeMap<String, usize> = BTreeMap::new();
    for finding in &report.findings {
        let severity = finding.severity.as_str();
        let labels = format!("{{code=\"{}\",severity=\"{severity}\"}}", finding.code);
        *findings.entry(labels).or_default() += 1;
    }
    family(
        &mut text,
        "findings",
        "What the user should know, by code; the README has the table.",
        findings,
    );
    let last_change = last_change.map(|seconds| ("", seconds));
    family(
        &mut text,
        "last_change_timestamp_seconds",
        "When pasvsync last changed the firewall.",
        last_change,
    );
    text
}

/// What a check that could not be finished has to say: nothing of the firewall.
pub fn failure() -> String {
    head(false)
}

fn head(success: bool) -> String {
    let mut text = String::new();
    let version = format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    family(
        &mut text,
        "build_info",
        "The version that made these metrics.",
        [(version, 1)],
    );
    family(
        &mut text,
        "check_success",
        "Whether the daemons and the firewall could be read.",
        [("", u8::from(success))],
    );
    text
}

/// The number of ports of each verdict.
fn ports(report: &Report) -> Vec<(String, u32)> {
    let mut lines = Vec::new();
    for (backend, layer, found) in report.layers() {
        for family in Family::BOTH.map(Family::as_str) {
            for verdict in VERDICTS.map(Reach::as_str) {
                let matching = found
                    .reach
                    .iter()
                    .filter(|entry| entry.family == family && entry.verdict == verdict);
                let count = matching
                    .map(|entry| u32::from(entry.last - entry.first) + 1)
                    .sum();
                let labels = format!(
                    "{{backend=\"{backend}\",layer=\"{layer}\",family=\"{family}\",verdict=\"{verdict}\"}}"
                );
                lines.push((labels, count));
            }
        }
    }
    lines
}

/// A metric with what it means; nothing when there is no sample of it.
fn family<L: Display, V: Display>(
    text: &mut String,
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (L, V)>,
) {
    let mut samples = samples.into_iter().peekable();
    if samples.peek().is_some() {
        let _ = writeln!(
            text,
            "# HELP pasvsync_{name} {help}\n# TYPE pasvsync_{name} gauge"
        );
    }
    for (labels, value) in samples {
        let _ = writeln!(text, "pasvsync_{name}{labels} {value}");
    }
}
