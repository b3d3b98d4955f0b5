//! The report as people read it: aligned, short, and clear without colour.

use std::fmt::Write as _;

use firewall::model::ports::{PortRange, PortSet};

use super::diff::{self, Line};
use super::{DaemonReport, Explanation, FileReport, LayerReport, ReachReport, Report};
use crate::daemons::Restart;
use crate::findings::Location;
use crate::terminal::{Style, Tone, clean};

/// A table whose columns line up; the last one is not padded.
#[derive(Debug, Default)]
struct Table {
    rows: Vec<Vec<(String, Option<Tone>)>>,
}

impl Table {
    fn row(&mut self, cells: Vec<(String, Option<Tone>)>) {
        self.rows.push(cells);
    }

    fn render(&self, indent: &str, style: Style, text: &mut String) {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            for (index, (cell, _)) in row.iter().enumerate() {
                let width = cell.chars().count();
                match widths.get_mut(index) {
                    Some(widest) => *widest = width.max(*widest),
                    None => widths.push(width),
                }
            }
        }
        for row in &self.rows {
            text.push_str(indent);
            for (index, (cell, tone)) in row.iter().enumerate() {
                match tone {
                    Some(tone) => text.push_str(&style.paint(*tone, cell)),
                    None => text.push_str(cell),
                }
                if index + 1 < row.len() {
                    let width = widths.get(index).copied().unwrap_or_default();
                    let padding = width - cell.chars().count() + 2;
                    text.extend(std::iter::repeat_n(' ', padding));
                }
            }
            text.push('\n');
        }
    }
}

pub(super) fn cell(text: impl Into<String>) -> (String, Option<Tone>) {
    (text.into(), None)
}

/// The word with the colour that goes with it.
pub(super) fn verdict(word: &str) -> (String, Option<Tone>) {
    let tone = match word {
        "open" => Tone::Good,
        "closed" => Tone::Bad,
        _ => Tone::Warning,
    };
    (word.to_owned(), Some(tone))
}

pub(super) fn family(name: &str) -> &'static str {
    if name == "ipv6" { "IPv6" } else { "IPv4" }
}

pub(super) fn joined<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let mut text = String::new();
    for item in items {
        let separator = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{separator}{item}");
    }
    text
}

/// What layer is meant, in a word.
pub(super) fn when(layer: &str) -> &'static str {
    if layer == "permanent" {
        "after the next boot"
    } else {
        "now"
    }
}

/// What a layer is of: boot files may be another program's than what filters now.
pub(super) fn filter(backend: &'static str, layer: &str) -> &'static str {
    match (backend, layer) {
        ("iptables" | "nftables", "permanent") => "boot files",
        _ => backend,
    }
}

/// The daemons, what they want, and which lines say so.
fn daemons(report: &Report, style: Style, text: &mut String) {
    let mut table = Table::default();
    for daemon in &report.daemons {
        let passive = if daemon.refuses.is_some() {
            ("would not start".to_owned(), Some(Tone::Bad))
        } else if daemon.passive.is_empty() {
            ("no passive range".to_owned(), Some(Tone::Warning))
        } else {
            let ranges = daemon.passive.iter();
            let ranges = ranges.filter_map(|ports| PortRange::new(ports.first, ports.last));
            cell(format!("passive {}", joined(ranges)))
        };
        // Of the files read, the first is the daemon's main one: enough to find it by.
        let shown = if daemon.passive.is_empty() {
            1
        } else {
            daemon.sources.len()
        };
        table.row(vec![
            (daemon.daemon.to_owned(), Some(Tone::Strong)),
            passive,
            cell(format!("control {}", joined(&daemon.control))),
            cell(joined(
                daemon.sources.iter().take(shown).map(ToString::to_string),
            )),
        ]);
    }
    table.render("", style, text);
}

/// The verdicts on the ports of each daemon; only those that are not open unless `all`.
fn reach(report: &Report, layer: &LayerReport, all: bool, style: Style, text: &mut String) {
    let mut table = Table::default();
    for daemon in &report.daemons {
        for entry in &layer.reach {
            if !all && entry.verdict == "open" {
                continue;
            }
            let ports = shared(daemon, entry);
            if !ports.is_empty() {
                table.row(vec![
                    cell(daemon.daemon),
                    cell(family(entry.family)),
                    cell(ports.to_string()),
                    verdict(entry.verdict),
                    cell(clean(&entry.because)),
                ]);
            }
        }
    }
    table.render("  ", style, text);
}

/// The ports of a verdict that a daemon wants.
pub(super) fn shared(daemon: &DaemonReport, entry: &ReachReport) -> PortSet {
    PortRange::new(entry.first, entry.last)
        .map(PortSet::from)
        .unwrap_or_default()
        .intersection(&daemon.wanted)
}

/// The edits: commands as typed, or as removed and added rules.
fn edits(layer: &LayerReport, diff: bool, style: Style, text: &mut String) {
    if diff {
        for line in diff::lines(layer.edits.iter().map(String::as_str)) {
            let shown = clean(line.to_string());
            let shown = match line {
                Line::Place(_) => style.paint(Tone::Strong, &shown),
                Line::Removed(_) => style.paint(Tone::Bad, &shown),
                Line::Added(_) => style.paint(Tone::Good, &shown),
                Line::Command(_) => shown,
            };
            let _ = writeln!(text, "{shown}");
        }
    } else {
        for edit in &layer.edits {
            let _ = writeln!(text, "  {}", clean(edit));
        }
    }
}

pub(super) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Which families the report speaks of.
fn families(report: &Report) -> String {
    let mut names: Vec<&str> = report
        .layers()
        .flat_map(|(_, _, layer)| layer.reach.iter().map(|entry| family(entry.family)))
        .collect();
    names.sort_unstable();
    names.dedup();
    names.join(" and ")
}

/// `30000-30009 open over IPv4 and IPv6`, or that nothing is wanted.
pub(super) fn all_open(report: &Report) -> String {
    let wanted = report.wanted();
    let judged = report.layers().any(|(_, name, _)| name == "permanent");
    let mut unjudged = report.findings.iter();
    let unjudged = unjudged.find(|finding| match finding.code {
        "boot-managed" | "boot-other-namespace" => !judged,
        code => code == "boot-unit",
    });
    if wanted.is_empty() {
        "no daemon wants a passive port".to_owned()
    } else if let Some(finding) = unjudged {
        format!(
            "{wanted} open over {} now; the next boot was not judged: {}",
            families(report),
            finding.message
        )
    } else if report.finds("nothing-filters") {
        format!(
            "{wanted} open over {}, since nothing filters this host",
            families(report)
        )
    } else {
        format!("{wanted} open over {}", families(report))
    }
}

/// The words for an edit that did what it should.
const CHANGED: &str = "changed and proved";

/// What `check` prints.
pub fn check(report: &Report, diff: bool, quiet: bool, style: Style) -> String {
    let mut text = String::new();
    if report.in_sync {
        if !quiet {
            let _ = writeln!(
                text,
                "{}: {}",
                style.paint(Tone::Good, "in sync"),
                all_open(report)
            );
        }
        return text;
    }
    daemons(report, style, &mut text);
    let mut planned = 0;
    for (backend, name, layer) in report.layers() {
        if layer.in_sync {
            continue;
        }
        if !layer.edits.is_empty() || layer.reach.iter().any(|entry| entry.verdict != "open") {
            let _ = writeln!(text, "{}, {}:", filter(backend, name), when(name));
            reach(report, layer, false, style, &mut text);
        }
        if !layer.edits.is_empty() {
            text.push_str("sync would run:\n");
            edits(layer, diff, style, &mut text);
            planned += layer.edits.len();
        }
    }
    let refused = report.layers().any(|(_, _, layer)| layer.refused);
    let verdict = if report.backends.is_empty() {
        "the firewall was not looked at".to_owned()
    } else if planned == 0 {
        format!("{}; the errors say why", no_edit(report))
    } else if refused {
        let edits = count(planned, "edit");
        format!(
            "{edits} would mend a part, nothing was changed; the errors say what keeps the rest closed"
        )
    } else {
        let edits = count(planned, "edit");
        format!("{edits} needed, nothing was changed; run `pasvsync sync`")
    };
    let drift = style.paint(Tone::Bad, "out of sync");
    let _ = writeln!(text, "{drift}: {verdict}");
    text
}

/// What `sync` prints.
pub fn sync(report: &Report, diff: bool, quiet: bool, style: Style) -> String {
    let mut text = String::new();
    if report.in_sync && !report.changed {
        return check(report, diff, quiet, style);
    }
    for (_, _, layer) in report.layers() {
        if report.changed && !quiet {
            edits(layer, diff, style, &mut text);
        }
    }
    if report.in_sync {
        // A change is worth a line; the journal may have one already.
        if !(quiet && report.announced) {
            let changed = style.paint(Tone::Good, CHANGED);
            let _ = writeln!(text, "{changed}: {}", all_open(report));
        }
        return text;
    }
    daemons(report, style, &mut text);
    for (backend, name, layer) in report.layers() {
        if !layer.in_sync {
            let _ = writeln!(text, "{}, {}:", filter(backend, name), when(name));
            reach(report, layer, false, style, &mut text);
        }
    }
    if report.backends.is_empty() {
        text.push_str("nothing was touched\n");
    } else {
        let failed = style.paint(Tone::Bad, "not in sync");
        let _ = writeln!(
            text,
            "{failed}: {}; the errors say why",
            still_not_open(report)
        );
    }
    text
}

/// Whether no port is known to be closed: what is wrong is that not everything is known.
fn only_unknown(report: &Report) -> bool {
    let mut verdicts = report
        .layers()
        .flat_map(|(_, _, layer)| layer.reach.iter().map(|entry| entry.verdict));
    let mut unknown = false;
    verdicts.all(|verdict| {
        unknown |= verdict == "unknown";
        matches!(verdict, "open" | "unknown")
    }) && unknown
}

/// What is wrong where nothing is planned.
pub(super) fn no_edit(report: &Report) -> &'static str {
    if only_unknown(report) {
        "not everything is known, and no edit changes that"
    } else {
        "no safe edit opens these ports"
    }
}

fn still_not_open(report: &Report) -> &'static str {
    if only_unknown(report) {
        "not everything is known"
    } else {
        "some ports are still not open"
    }
}

/// A change in one line, as the journal has it.
pub fn change(report: &Report) -> String {
    let edits = report.layers().map(|(_, _, layer)| layer.edits.len()).sum();
    let edits = count(edits, "edit");
    if !report.in_sync {
        format!("{edits} made, and {}", still_not_open(report))
    } else if report.wanted().is_empty() {
        format!("{edits} made, and nothing of pasvsync's is left")
    } else {
        format!("{CHANGED}: {}", all_open(report))
    }
}

/// What `set-range` prints: what was written, how to restart, and what sync did.
pub fn set_range(report: &Report, diff: bool, quiet: bool, style: Style) -> String {
    let mut text = String::new();
    let Some(done) = &report.set_range else {
        return text;
    };
    let range = joined(PortRange::new(done.first, done.last));
    let word = match (done.dry_run, done.files.is_empty()) {
        (_, true) => "is set already",
        (true, false) => "would be written, nothing was changed",
        (false, false) => "is written",
    };
    if !quiet || done.dry_run {
        for file in &done.files {
            written(file, diff, style, &mut text);
        }
        let _ = writeln!(text, "{}: passive {range} {word}", done.daemon);
    }
    // Quiet or not: until then transfers hang, since the old ports are closed.
    if done.written && !done.restarted || done.restarted && !quiet {
        let _ = match &done.restart {
            Restart::Command(words) if done.restarted => {
                writeln!(text, "restarted: {}", clean(words.join(" ")))
            }
            Restart::Command(words) => {
                writeln!(text, "to use it, restart: {}", clean(words.join(" ")))
            }
            Restart::Needless => {
                writeln!(
                    text,
                    "new sessions use it: a super server starts the daemon"
                )
            }
            Restart::ByHand => {
                writeln!(text, "to use it: restart the daemon the way it was started")
            }
        };
    }
    if !done.dry_run {
        text.push_str(&sync(report, diff, quiet, style));
    }
    text
}

/// An edit of a daemon's file: its diff, or its new lines with their places.
fn written(file: &FileReport, diff: bool, style: Style, text: &mut String) {
    if !diff {
        for (number, line) in &file.lines {
            let place = Location::line(&file.path, *number);
            let _ = writeln!(text, "  {place}: {}", clean(line));
        }
        return;
    }
    for line in file.diff.lines() {
        let tone = match line.as_bytes() {
            [b'+', ..] => Some(Tone::Good),
            [b'-', ..] => Some(Tone::Bad),
            [b'@', ..] => Some(Tone::Strong),
            _ => None,
        };
        let line = clean(line);
        let line = tone.map_or(line.clone(), |tone| style.paint(tone, &line));
        let _ = writeln!(text, "{line}");
    }
}

/// What `remove` prints.
pub fn remove(report: &Report, diff: bool, quiet: bool, style: Style) -> String {
    let mut text = String::new();
    if quiet && (!report.changed || report.announced) {
        return text;
    }
    let mut removed = 0;
    for (_, _, layer) in report.layers() {
        if !quiet {
            edits(layer, diff, style, &mut text);
        }
        removed += layer.edits.len();
    }
    let stopped = report.findings.iter();
    let mut stopped = stopped.filter(|finding| finding.code == "firewalld-stopped");
    let configured = report.backends.iter();
    let mut configured = configured.filter(|found| matches!(found.backend, "firewalld" | "csf"));
    let done = if report.changed && (configured.next().is_some() || stopped.next().is_some()) {
        format!(
            "removed: what was pasvsync's, by {}",
            count(removed, "edit")
        )
    } else if report.changed {
        format!("removed: {} of pasvsync's", count(removed, "rule"))
    } else if report.in_sync {
        "nothing to remove".to_owned()
    } else {
        "nothing removed".to_owned()
    };
    let left = if report.left.is_empty() {
        String::new()
    } else {
        format!("; left in what boot loads: {}", clean(&report.left))
    };
    let _ = writeln!(text, "{done}{left}");
    text
}

/// What `explain` prints; with the whole walk when verbose.
pub fn explain(explanation: &Explanation, verbose: bool, style: Style) -> String {
    let mut text = String::new();
    let port = match explanation.layer {
        "permanent" => format!("{}/tcp, {}", explanation.port, when("permanent")),
        _ => format!("{}/tcp", explanation.port),
    };
    let _ = writeln!(text, "{}", style.paint(Tone::Strong, &port));
    if explanation.wanted_by.is_empty() {
        text.push_str("  wanted by no daemon's configuration\n");
    }
    for wanted in &explanation.wanted_by {
        let range = PortRange::new(wanted.first, wanted.last).map(|range| range.to_string());
        let _ = writeln!(
            text,
            "  wanted by {} ({} {}): {}",
            wanted.daemon,
            wanted.role,
            range.unwrap_or_default(),
            wanted.location
        );
    }
    let mut table = Table::default();
    for explained in &explanation.families {
        table.row(vec![
            cell(family(explained.family)),
            verdict(explained.verdict),
            cell(clean(&explained.because)),
        ]);
        // Whoever is shut out of a closed port is no exception.
        let exceptions = explained.exceptions.iter();
        for exception in exceptions.filter(|_| explained.verdict != "closed") {
            let exception = format!("but some clients are shut out by {}", clean(exception));
            table.row(vec![cell(""), cell(""), cell(exception)]);
        }
    }
    table.render("  ", style, &mut text);
    if !verbose {
        return text;
    }
    for explained in &explanation.families {
        let _ = writeln!(text, "{}, step by step:", family(explained.family));
        let mut table = Table::default();
        for step in &explained.steps {
            let indent = "  ".repeat(step.depth);
            let perhaps = if step.sure { "" } else { "perhaps " };
            table.row(vec![
                cell(step.packet),
                cell(format!("{indent}{}", clean(&step.place))),
                cell(format!("{perhaps}{}", clean(&step.effect))),
            ]);
        }
        table.render("  ", style, &mut text);
    }
    text
}
