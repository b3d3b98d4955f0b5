//! Where the range stands in a YAML text: block mappings, and a flow mapping on one line. Anything else is left alone.

use std::ops::Range;

use firewall::model::ports::PortRange;

use super::{TABLE, Values};
use crate::daemons::edit::lines;
use crate::daemons::text as bytes_of;

/// A line that is a key of a block mapping.
#[derive(Clone, Debug)]
struct Entry {
    line: Range<usize>,
    indent: usize,
    key: String,
    /// What stands behind the colon, comments and blanks left away.
    value: Range<usize>,
}

/// The values of the range, when both are there.
pub(super) fn values(text: &str) -> Option<Values> {
    let entries = entries(text);
    let inner = child(&entries, Some(child(&entries, None, TABLE[0])?), TABLE[1])?;
    let flow = &text[entries[inner].value.clone()];
    if flow.starts_with('{') && flow.ends_with('}') {
        let offset = entries[inner].value.start;
        let value = |key| flow_value(flow, key).map(|at| at.start + offset..at.end + offset);
        return Some(Values {
            start: value("start")?,
            end: value("end")?,
        });
    }
    let scalar = |key| {
        let value = entries[child(&entries, Some(inner), key)?].value.clone();
        let plain = text[value.clone()].trim_matches(['"', '\'']);
        let number = !plain.is_empty() && plain.bytes().all(|byte| byte.is_ascii_digit());
        number.then_some(value)
    };
    Some(Values {
        start: scalar("start")?,
        end: scalar("end")?,
    })
}

/// The range as the first entry of the outer mapping, which must have none.
pub(super) fn with(text: &str, range: PortRange) -> Option<String> {
    let entries = entries(text);
    let outer = child(&entries, None, TABLE[0])?;
    if child(&entries, Some(outer), TABLE[1]).is_some() || !entries[outer].value.is_empty() {
        return None;
    }
    let next = entries.get(outer + 1)?;
    if next.indent <= entries[outer].indent {
        return None;
    }
    let indent = " ".repeat(next.indent);
    let table = format!("{indent}passive_port_range:");
    let start = format!("{indent}{indent}start: {}", range.first());
    let end = format!("{indent}{indent}end: {}", range.last());
    let mut edited = text.as_bytes().to_vec();
    lines::insert(&mut edited, next.line.start, &[&table, &start, &end]);
    String::from_utf8(edited).ok()
}

/// The entry of a key directly below another, or at the top.
fn child(entries: &[Entry], parent: Option<usize>, key: &str) -> Option<usize> {
    let (from, above) = match parent {
        Some(parent) => (parent + 1, Some(entries[parent].indent)),
        None => (0, None),
    };
    let below = entries[from..]
        .iter()
        .take_while(|entry| above.is_none_or(|above| entry.indent > above));
    let indent = below.clone().next()?.indent;
    let mut found = below
        .enumerate()
        .filter(|(_, entry)| entry.indent == indent && entry.key.eq_ignore_ascii_case(key));
    let (index, _) = found.next()?;
    // Which of two counts is not worth knowing.
    found.next().is_none().then_some(from + index)
}

fn entries(text: &str) -> Vec<Entry> {
    let lines = lines::spans(text.as_bytes());
    lines.filter_map(|line| entry(text, line)).collect()
}

/// A plain `key: value`; list items, comments and everything else are none.
fn entry(text: &str, line: Range<usize>) -> Option<Entry> {
    let content = &text[line.clone()];
    let indent = content.len() - content.trim_start_matches(' ').len();
    let body = &content[indent..];
    if body.starts_with(['#', '-', '\t']) {
        return None;
    }
    let colon = body.find(':')?;
    let key = body[..colon].trim_matches(['"', '\'']).to_owned();
    let rest = &body[colon + 1..];
    if !rest.is_empty() && !rest.starts_with([' ', '\t', '\r']) {
        return None;
    }
    let comment = if rest.trim_start().starts_with('#') {
        Some(0)
    } else {
        rest.find(" #")
    };
    let written = &rest[..comment.unwrap_or(rest.len())];
    let trimmed = bytes_of::trim(written.as_bytes()).len();
    let blanks = written.len() - written.trim_start().len();
    let start = line.start + indent + colon + 1 + blanks;
    Some(Entry {
        line,
        indent,
        key,
        value: start..start + trimmed,
    })
}

/// The number of a key in `{start: 1, end: 2}`.
fn flow_value(flow: &str, key: &str) -> Option<Range<usize>> {
    let mut at = 1;
    for part in flow[1..flow.len() - 1].split(',') {
        if let Some((name, value)) = part.split_once(':')
            && name
                .trim()
                .trim_matches(['"', '\''])
                .eq_ignore_ascii_case(key)
        {
            let blanks = value.len() - value.trim_start().len();
            let start = at + name.len() + 1 + blanks;
            return Some(start..start + value.trim().len());
        }
        at += part.len() + 1;
    }
    None
}
