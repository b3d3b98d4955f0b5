//! Where a value stands in a JSON text that is known to be valid.

use std::ops::Range;

use firewall::model::ports::PortRange;

use super::{TABLE, Values};

/// The values of the range, when both are there.
pub(super) fn values(text: &str) -> Option<Values> {
    let inner = table(text)?;
    let inner = member(text, inner.start, TABLE[1])?;
    Some(Values {
        start: member(text, inner.start, "start")?,
        end: member(text, inner.start, "end")?,
    })
}

/// Where the outer object stands.
fn table(text: &str) -> Option<Range<usize>> {
    let document = skip_blanks(text, 0);
    member(text, document, TABLE[0])
}

/// The range as the first member of the outer object, which must have none.
pub(super) fn with(text: &str, range: PortRange) -> Option<String> {
    let outer = table(text)?;
    if member(text, outer.start, TABLE[1]).is_some() || !text[outer.clone()].starts_with('{') {
        return None;
    }
    let inside = outer.start + 1;
    let first = skip_blanks(text, inside);
    let empty = text.as_bytes().get(first) == Some(&b'}');
    let entry = format!(
        "{}\"passive_port_range\": {{\"start\": {}, \"end\": {}}}{}",
        if empty { "" } else { &text[inside..first] },
        range.first(),
        range.last(),
        if empty { "" } else { "," }
    );
    let mut edited = text.to_owned();
    edited.insert_str(inside, &entry);
    Some(edited)
}

/// Where the value of a key stands in the object that begins at `at`; viper's keys are case-insensitive.
fn member(text: &str, at: usize, key: &str) -> Option<Range<usize>> {
    let mut at = at;
    if text.as_bytes().get(at) != Some(&b'{') {
        return None;
    }
    at = skip_blanks(text, at + 1);
    let mut found = None;
    while text.as_bytes().get(at) == Some(&b'"') {
        let name_end = skip_value(text, at)?;
        let name: String = serde_json::from_str(&text[at..name_end]).ok()?;
        at = skip_blanks(text, skip_blanks(text, name_end) + 1);
        let end = skip_value(text, at)?;
        if name.eq_ignore_ascii_case(key) {
            // Which of two counts is not worth knowing.
            if found.is_some() {
                return None;
            }
            found = Some(at..end);
        }
        at = skip_blanks(text, end);
        if text.as_bytes().get(at) == Some(&b',') {
            at = skip_blanks(text, at + 1);
        }
    }
    found
}

fn skip_blanks(text: &str, at: usize) -> usize {
    let rest = &text.as_bytes()[at.min(text.len())..];
    at + rest
        .iter()
        .take_while(|byte| byte.is_ascii_whitespace())
        .count()
}

/// Where the value that begins at `at` ends.
fn skip_value(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (index, &byte) in bytes.iter().enumerate().skip(at) {
        if quoted {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
            if !quoted && depth == 0 {
                return Some(index + 1);
            }
            continue;
        }
        match byte {
            b'"' => quoted = true,
            b'{' | b'[' => depth += 1,
            // A plain value ends before what closes its container.
            b'}' | b']' | b',' if depth == 0 => return Some(index),
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(index + 1);
                }
            }
            byte if depth == 0 && byte.is_ascii_whitespace() => return Some(index),
            _ => {}
        }
    }
    (depth == 0 && !quoted).then_some(bytes.len())
}
