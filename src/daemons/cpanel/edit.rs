//! Writing the range into cPanel's local overlay, which is the administrator's; cPanel writes the rest from it.

use std::path::Path;

use firewall::model::ports::PortRange;

use super::{Managed, unquote};
use crate::daemons::edit::lines;
use crate::daemons::edit::{Draft, Ways};
use crate::daemons::{Host, text};
use crate::terminal::clean;

pub(super) fn ways(host: &Host, managed: &Managed, range: PortRange) -> Ways {
    let mut draft = Draft::new(&host.disk);
    let local = Path::new(managed.folder).join("local");
    overlay(draft.text(&local)?, managed.range, range);
    Ok(vec![draft.into_edits()])
}

/// The overlay's text with the range at the last line that has the key, or at the end.
fn overlay(text: &mut Vec<u8>, key: &str, range: PortRange) {
    let found = lines::spans(text)
        .filter_map(|span| value(&text[span.clone()], key).map(|value| (span.start, value)))
        .last();
    if let Some((start, value)) = found {
        text.splice(
            start + value.start..start + value.end,
            lines::pair(range).into_bytes(),
        );
        return;
    }
    let line = format!("{key}: {}", lines::pair(range));
    if text.is_empty() {
        lines::append(text, &["---"]);
    }
    lines::append(text, &[&line]);
}

/// Where the value stands in a line with the key: without its quotes, comments left out.
fn value(line: &[u8], key: &str) -> Option<std::ops::Range<usize>> {
    if line.starts_with(b" ") || line.starts_with(b"#") || line.starts_with(b"-") {
        return None;
    }
    let colon = line.iter().position(|&byte| byte == b':')?;
    let name = clean(&line[..colon]);
    if unquote(name.trim()) != key {
        return None;
    }
    let rest = &line[colon + 1..];
    let start = colon + 1 + rest.len() - text::trim_start(rest).len();
    let written = &line[start..];
    if let Some(quote) = written.first().filter(|byte| matches!(byte, b'"' | b'\'')) {
        let length = written[1..].iter().position(|byte| byte == quote)?;
        return Some(start + 1..start + 1 + length);
    }
    let comment = written.windows(2).position(|pair| pair == b" #");
    let written = text::trim_end(&written[..comment.unwrap_or(written.len())]);
    // A key without a value ends in its colon: the value needs a blank in front.
    (start > colon + 1).then_some(start..start + written.len())
}

#[cfg(test)]
mod tests {
    use firewall::model::ports::PortRange;

    use super::overlay;

    #[test]
    fn only_the_value_changes() {
        let range = PortRange::new(51_000, 51_099).unwrap();
        for (before, after) in [
            ("", "---\nPassivePorts: 51000 51099\n"),
            (
                "---\nTLS: 'no'",
                "---\nTLS: 'no'\nPassivePorts: 51000 51099\n",
            ),
            (
                "---\nPassivePorts: ~\nX: 1\n",
                "---\nPassivePorts: 51000 51099\nX: 1\n",
            ),
            (
                "PassivePorts: '1 2' # ours\r\n",
                "PassivePorts: '51000 51099' # ours\r\n",
            ),
            (
                "\"PassivePorts\": 1 2  # ours\n",
                "\"PassivePorts\": 51000 51099  # ours\n",
            ),
            (
                "PassivePorts: 1 2\nPassivePorts: 3 4\n",
                "PassivePorts: 1 2\nPassivePorts: 51000 51099\n",
            ),
            (
                "X:\n  PassivePorts: 1 2\n",
                "X:\n  PassivePorts: 1 2\nPassivePorts: 51000 51099\n",
            ),
        ] {
            let mut text = before.as_bytes().to_vec();
            overlay(&mut text, "PassivePorts", range);
            assert_eq!(String::from_utf8(text.clone()).unwrap(), after);
            overlay(&mut text, "PassivePorts", range);
            assert_eq!(String::from_utf8(text).unwrap(), after);
        }
    }
}
