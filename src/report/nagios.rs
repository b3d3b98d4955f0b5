//! The report as one line for Nagios and its like, with performance data behind a bar.

use firewall::model::ports::{PortRange, PortSet};

use super::{Report, text};
use crate::exit::Health;
use crate::findings::Severity;
use crate::terminal::clean;

/// The verdicts that are counted, each with its set of ports and whether a single one is critical.
type Counted<'report> = [(&'report str, PortSet, bool); 3];

/// The line, with its line end, and how bad it is.
pub fn line(report: &Report) -> (Health, String) {
    let counted = ["closed", "restricted", "unknown"].map(|verdict| {
        (
            verdict,
            ports(report, verdict),
            matches!(verdict, "closed" | "restricted"),
        )
    });
    let health = health(report, &counted);
    let words = match health {
        Health::Fine => text::all_open(report),
        _ => trouble(report, health, &counted),
    };
    let total = report.wanted().len();
    let data = counted.map(|(verdict, ports, critical)| {
        let threshold = if critical { "0" } else { "" };
        format!("{verdict}={};;{threshold};0;{total}", ports.len())
    });
    // Who has not looked must not say that nothing is closed.
    let data = if report.backends.is_empty() {
        String::new()
    } else {
        data.join(" ")
    };
    (health, format(health, &words, &data))
}

/// The line of a check that could not be finished.
pub fn failure(message: &str) -> String {
    format(Health::Unknown, message, "")
}

fn format(health: Health, words: &str, data: &str) -> String {
    // A bar begins the performance data, and a second line would be cut off.
    let words = clean(words).replace('|', "/");
    let data = if data.is_empty() {
        String::new()
    } else {
        format!(" | {data}")
    };
    format!("PASVSYNC {}: {words}{data}\n", health.word())
}

/// The ports that have this verdict in some family, now or after the next boot.
fn ports(report: &Report, verdict: &str) -> PortSet {
    let entries = report.layers().flat_map(|(_, _, layer)| &layer.reach);
    let matching = entries.filter(|entry| entry.verdict == verdict);
    matching
        .filter_map(|entry| PortRange::new(entry.first, entry.last))
        .collect()
}

fn health(
    report: &Report,
    [(_, closed, _), (_, restricted, _), (_, unknown, _)]: &Counted<'_>,
) -> Health {
    let finds = |severity| {
        report
            .findings
            .iter()
            .any(|finding| finding.severity == severity)
    };
    if !closed.is_empty() || !restricted.is_empty() || finds(Severity::Error) {
        Health::Critical
    } else if !unknown.is_empty() {
        Health::Unknown
    } else if !report.in_sync || finds(Severity::Warning) {
        Health::Warning
    } else {
        Health::Fine
    }
}

/// What is wrong: an error that was found says more than the ports that it closes.
fn trouble(report: &Report, health: Health, counted: &Counted<'_>) -> String {
    let found = |severity| {
        let mut findings = report.findings.iter();
        let finding = findings.find(|finding| finding.severity == severity)?;
        let place = finding.location.as_ref().map(|place| format!("{place}: "));
        Some(format!("{}{}", place.unwrap_or_default(), finding.message))
    };
    let not_open = || {
        let (verdict, ports, _) = counted.iter().find(|(_, ports, _)| !ports.is_empty())?;
        let mut entries = report
            .layers()
            .flat_map(|(_, name, layer)| layer.reach.iter().map(move |entry| (name, entry)));
        let (layer, entry) = entries.find(|(_, entry)| entry.verdict == *verdict)?;
        Some(format!(
            "{ports} {verdict} {}: {}",
            text::when(layer),
            entry.because
        ))
    };
    let edits: usize = report.layers().map(|(_, _, layer)| layer.edits.len()).sum();
    let planned = || {
        (edits > 0).then(|| {
            format!(
                "{} needed, every wanted port is open",
                text::count(edits, "edit")
            )
        })
    };
    let words = match health {
        Health::Warning => planned().or_else(|| found(Severity::Warning)),
        Health::Unknown => not_open(),
        _ => found(Severity::Error).or_else(not_open),
    };
    words.unwrap_or_else(|| "out of sync".to_owned())
}
