//! Lines of a text that is edited: found, replaced, put in, with the line ends that the text has.

use std::ops::Range;

use firewall::model::ports::PortRange;

use crate::daemons::text;

/// Where a line stands, counted from 1, without its newline.
pub(in crate::daemons) fn span(text: &[u8], number: u32) -> Option<Range<usize>> {
    let index = usize::try_from(number.checked_sub(1)?).ok()?;
    spans(text).nth(index)
}

/// Where each line stands, without its newline. What follows the last newline is a line when it has any byte.
pub(in crate::daemons) fn spans(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..).filter(|rest| !rest.is_empty())?;
        let length = rest.iter().position(|&byte| byte == b'\n');
        let start = at;
        at += length.map_or(rest.len(), |length| length + 1);
        Some(start..start + length.unwrap_or(rest.len()))
    })
}

/// How the lines of a text end.
pub(in crate::daemons) fn ending(text: &[u8]) -> &'static [u8] {
    let first = text.iter().position(|&byte| byte == b'\n');
    match first.map(|at| &text[..at]) {
        Some([.., b'\r']) => b"\r\n",
        _ => b"\n",
    }
}

/// The text with lines at its end.
pub(in crate::daemons) fn append(text: &mut Vec<u8>, lines: &[&str]) {
    let ending = ending(text);
    if text.last().is_some_and(|&byte| byte != b'\n') {
        text.extend_from_slice(ending);
    }
    for line in lines {
        text.extend_from_slice(line.as_bytes());
        text.extend_from_slice(ending);
    }
}

/// The text with lines where `at` says, which is the beginning of a line.
pub(in crate::daemons) fn insert(text: &mut Vec<u8>, at: usize, lines: &[&str]) {
    let ending = ending(text);
    let mut inserted = Vec::new();
    for line in lines {
        inserted.extend_from_slice(line.as_bytes());
        inserted.extend_from_slice(ending);
    }
    text.splice(at..at, inserted);
}

/// The blanks that a line begins with.
pub(in crate::daemons) fn indent(line: &[u8]) -> &[u8] {
    &line[..line.len() - text::trim_start(line).len()]
}

/// The line without the `#` in front of it and the blanks behind that; `None` when it is no comment.
pub(in crate::daemons) fn uncommented(line: &[u8]) -> Option<Vec<u8>> {
    let rest = text::trim_start(line).strip_prefix(b"#")?;
    Some([indent(line), text::trim_start(rest)].concat())
}

/// Two numbers and what is between and behind them: `50000 50009 rest`.
#[derive(Debug)]
pub(in crate::daemons) struct Pair<'a> {
    between: &'a [u8],
    behind: &'a [u8],
}

impl<'a> Pair<'a> {
    /// The pair that a text begins with, as `digits blanks digits`.
    pub(in crate::daemons) fn parse(text: &'a [u8]) -> Option<Self> {
        let number = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let first = number(text);
        let rest = &text[first..];
        let blanks = rest.len() - text::trim_start(rest).len();
        let last = number(&rest[blanks..]);
        (first > 0 && blanks > 0 && last > 0).then(|| Self {
            between: &rest[..blanks],
            behind: &rest[blanks + last..],
        })
    }

    /// What stands behind the two.
    pub(in crate::daemons) fn behind(&self) -> &'a [u8] {
        self.behind
    }

    /// The same with other numbers.
    pub(in crate::daemons) fn with(&self, range: PortRange) -> Vec<u8> {
        let (first, last) = (range.first().to_string(), range.last().to_string());
        [first.as_bytes(), self.between, last.as_bytes(), self.behind].concat()
    }
}

/// `50000 50009`.
pub(in crate::daemons) fn pair(range: PortRange) -> String {
    format!("{} {}", range.first(), range.last())
}

#[cfg(test)]
mod tests {
    use super::{append, insert, span, spans, uncommented};

    #[test]
    fn lines_are_found_and_put_in() {
        let text = b"a\r\n\nb";
        assert_eq!(spans(text).collect::<Vec<_>>(), [0..2, 3..3, 4..5]);
        assert_eq!(span(text, 3), Some(4..5));
        assert_eq!(span(text, 4), None);
        assert_eq!(span(text, 0), None);
        let mut text = text.to_vec();
        append(&mut text, &["c", "d"]);
        assert_eq!(text, b"a\r\n\nb\r\nc\r\nd\r\n");
        insert(&mut text, 3, &["x"]);
        assert_eq!(text, b"a\r\nx\r\n\nb\r\nc\r\nd\r\n");
        let mut empty = Vec::new();
        append(&mut empty, &["a"]);
        assert_eq!(empty, b"a\n");
    }

    #[test]
    fn a_comment_becomes_a_line() {
        assert_eq!(uncommented(b"  #  Port 21").unwrap(), b"  Port 21");
        assert_eq!(uncommented(b"Port 21"), None);
    }
}
