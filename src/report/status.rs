//! What `status` prints: for people, in 80 columns, each range drawn as a bar.

use std::fmt::Write as _;

use firewall::model::ports::{PortRange, PortSet};

use super::text::{all_open, count, family, filter, joined, no_edit, shared, verdict, when};
use super::{DaemonReport, LayerReport, ReachReport, Report};
use crate::terminal::{Glyphs, Style, Tone, clean};

/// As wide as a terminal is when nobody has changed it.
const COLUMNS: usize = 80;

/// How many characters a bar has at the most.
const BAR: usize = 40;

/// More spans than this of one range are counted, not listed.
const MOST_SPANS: usize = 8;

/// The daemons with their ranges, and what becomes of each now and after the next boot.
pub fn status(report: &Report, style: Style, glyphs: Glyphs) -> String {
    let mut text = String::new();
    if report.daemons.is_empty() {
        text.push_str("no FTP daemon found\n");
    }
    for daemon in &report.daemons {
        about(daemon, style, &mut text);
    }
    for (backend, name, layer) in report.layers() {
        if !layer.reach.is_empty() {
            let heading = format!("{}, {}", filter(backend, name), when(name));
            let _ = writeln!(text, "{}", style.paint(Tone::Strong, &heading));
            for daemon in &report.daemons {
                bars(daemon, layer, style, glyphs, &mut text);
            }
        }
    }
    conclusion(report, style, &mut text);
    text
}

/// A daemon, what it wants, and which lines say so.
fn about(daemon: &DaemonReport, style: Style, text: &mut String) {
    let name = style.paint(Tone::Strong, daemon.daemon);
    let passive = if daemon.refuses.is_some() {
        style.paint(Tone::Bad, "would not start")
    } else if daemon.passive.is_empty() {
        style.paint(Tone::Warning, "no passive range")
    } else {
        let ranges = daemon.passive.iter();
        let ranges = ranges.filter_map(|ports| PortRange::new(ports.first, ports.last));
        format!("passive {}", joined(ranges))
    };
    let control = joined(&daemon.control);
    let _ = writeln!(text, "{name}  {passive}  control {control}");
    // Of the files read, the first is the daemon's main one: enough to find it by.
    let (shown, noun) = if daemon.passive.is_empty() {
        (1, "file")
    } else {
        (MOST_SPANS, "line")
    };
    for source in daemon.sources.iter().take(shown) {
        let _ = writeln!(text, "  {source}");
    }
    more(daemon.sources.len(), shown, noun, text);
}

/// What becomes of a daemon's ports: a bar for each family and range, and the spans that differ.
fn bars(
    daemon: &DaemonReport,
    layer: &LayerReport,
    style: Style,
    glyphs: Glyphs,
    text: &mut String,
) {
    for name in ["ipv4", "ipv6"] {
        let of_family = layer.reach.iter().filter(|entry| entry.family == name);
        let spans: Vec<(PortSet, &ReachReport)> = of_family
            .map(|entry| (shared(daemon, entry), entry))
            .filter(|(ports, _)| !ports.is_empty())
            .collect();
        for range in daemon.wanted.ranges() {
            bar(*range, name, &spans, style, glyphs, text);
        }
        // The same reason is given once, for all the spans it holds for.
        let mut reasons: Vec<(PortSet, &ReachReport)> = Vec::new();
        for (ports, entry) in spans {
            let same = reasons.iter_mut().find(|(_, other)| {
                (other.verdict, &other.because) == (entry.verdict, &entry.because)
            });
            match same {
                Some((all, _)) => *all = all.union(&ports),
                None => reasons.push((ports, entry)),
            }
        }
        let several = reasons.len() > 1;
        for (ports, entry) in reasons.iter().take(MOST_SPANS) {
            let because = clean(&entry.because);
            let reason = if several {
                format!("{ports} {}: {because}", entry.verdict)
            } else {
                because
            };
            wrapped(&reason, "        ", text);
        }
        more(reasons.len(), MOST_SPANS, "reason", text);
    }
}

/// `  IPv4  50000 ########.... 50009  partly closed`.
fn bar(
    range: PortRange,
    name: &str,
    spans: &[(PortSet, &ReachReport)],
    style: Style,
    glyphs: Glyphs,
    text: &mut String,
) {
    let (first, size) = (
        usize::from(range.first()),
        usize::from(range.last() - range.first()) + 1,
    );
    let width = size.min(BAR);
    let mut drawn = String::new();
    for index in 0..width {
        // Each character stands for the worst of its ports.
        let from = first + index * size / width;
        let to = first + (index + 1) * size / width - 1;
        let ports = u16::try_from(from).ok().zip(u16::try_from(to).ok());
        let ports = ports
            .and_then(|(from, to)| PortRange::new(from, to))
            .map(PortSet::from)
            .unwrap_or_default();
        let meets = spans
            .iter()
            .filter(|(span, _)| !span.intersection(&ports).is_empty());
        let worst = meets
            .map(|(_, entry)| entry.verdict)
            .max_by_key(|word| rank(word));
        let worst = worst.unwrap_or("unknown");
        let (_, tone) = verdict(worst);
        let glyph = glyphs.of(worst).to_string();
        drawn.push_str(&tone.map_or(glyph.clone(), |tone| style.paint(tone, &glyph)));
    }
    let mut words = spans
        .iter()
        .filter(|(span, _)| !span.intersection(&range.into()).is_empty())
        .map(|(_, entry)| entry.verdict);
    let first_word = words.next().unwrap_or("unknown");
    let (worst, several) = words.fold((first_word, false), |(worst, several), word| {
        let worse = rank(word) > rank(worst);
        (
            if worse { word } else { worst },
            several || word != first_word,
        )
    });
    let tone = verdict(worst).1.unwrap_or(Tone::Warning);
    let partly = if several { "partly " } else { "" };
    let _ = writeln!(
        text,
        "  {}  {} {drawn} {}  {}",
        family(name),
        range.first(),
        range.last(),
        style.paint(tone, &format!("{partly}{worst}"))
    );
}

/// From best to worst.
fn rank(verdict: &str) -> usize {
    let words = ["open", "restricted", "unknown", "closed"];
    words
        .iter()
        .position(|word| *word == verdict)
        .unwrap_or(words.len())
}

/// How many of a long list were left out.
fn more(all: usize, shown: usize, noun: &str, text: &mut String) {
    if all > shown {
        let _ = writeln!(text, "  ... and {} more", count(all - shown, noun));
    }
}

/// A sentence in lines that fit, each behind the indent; a word that is too long stands alone.
fn wrapped(sentence: &str, indent: &str, text: &mut String) {
    let mut line = String::new();
    for word in sentence.split(' ') {
        if !line.is_empty()
            && indent.len() + line.chars().count() + 1 + word.chars().count() > COLUMNS
        {
            let _ = writeln!(text, "{indent}{line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    let _ = writeln!(text, "{indent}{line}");
}

fn conclusion(report: &Report, style: Style, text: &mut String) {
    let _ = if report.in_sync {
        let word = style.paint(Tone::Good, "in sync");
        writeln!(text, "{word}: {}", all_open(report))
    } else if report.backends.is_empty() {
        writeln!(text, "the firewall was not looked at")
    } else {
        let planned = report.layers().map(|(_, _, layer)| layer.edits.len()).sum();
        let drift = style.paint(Tone::Bad, "out of sync");
        writeln!(
            text,
            "{drift}: {}; `pasvsync check` says more",
            match planned {
                0 => no_edit(report).to_owned(),
                planned => format!("{} needed", count(planned, "edit")),
            }
        )
    };
}
