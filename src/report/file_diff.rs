//! The difference of two texts that have most lines in common, in the form of `diff -u`.

use std::fmt::Write as _;
use std::path::Path;

use crate::terminal::clean;

/// How many lines are shown around a change.
const CONTEXT: usize = 3;
/// Above so many pairs of lines, what is between the first and the last change is shown as one.
const MOST_PAIRS: usize = 4_000_000;

/// A line of either text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line<'a> {
    Same(&'a [u8]),
    Removed(&'a [u8]),
    Added(&'a [u8]),
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|&byte| byte == b'\n').collect()
}

/// Both texts as one list of lines: the longest common subsequence of what is between their common ends.
fn merged<'a>(before: &'a [u8], after: &'a [u8]) -> Vec<Line<'a>> {
    let (old, new) = (lines(before), lines(after));
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = old[head..].iter().rev().zip(new[head..].iter().rev());
    let tail = rest.take_while(|(a, b)| a == b).count();
    let (left, right) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut merged: Vec<Line<'a>> = old[..head].iter().map(|line| Line::Same(line)).collect();
    if left.len() * right.len() > MOST_PAIRS {
        merged.extend(left.iter().map(|line| Line::Removed(line)));
        merged.extend(right.iter().map(|line| Line::Added(line)));
    } else {
        middle(left, right, &mut merged);
    }
    merged.extend(old[old.len() - tail..].iter().map(|line| Line::Same(line)));
    merged
}

fn middle<'a>(left: &[&'a [u8]], right: &[&'a [u8]], merged: &mut Vec<Line<'a>>) {
    // common[i][j]: how many lines left[i..] and right[j..] can have in common.
    let width = right.len() + 1;
    let mut common = vec![0_usize; (left.len() + 1) * width];
    for i in (0..left.len()).rev() {
        for j in (0..right.len()).rev() {
            common[i * width + j] = if left[i] == right[j] {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < left.len() || j < right.len() {
        if i < left.len() && j < right.len() && left[i] == right[j] {
            merged.push(Line::Same(left[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < left.len()
            && (j == right.len() || common[(i + 1) * width + j] >= common[i * width + j + 1])
        {
            merged.push(Line::Removed(left[i]));
            i += 1;
        } else {
            merged.push(Line::Added(right[j]));
            j += 1;
        }
    }
}

/// The lines of the new text that the old one has not, with their numbers.
pub(super) fn new_lines(before: &[u8], after: &[u8]) -> Vec<(u32, String)> {
    let mut number = 0;
    let mut found = Vec::new();
    for line in merged(before, after) {
        number += u32::from(!matches!(line, Line::Removed(_)));
        if let Line::Added(text) = line {
            found.push((number, clean(text).trim().to_owned()));
        }
    }
    found
}

/// The difference as `diff -u` shows it.
pub(super) fn unified(path: &Path, before: Option<&[u8]>, after: &[u8]) -> String {
    let merged = merged(before.unwrap_or_default(), after);
    let shown = clean(path.as_os_str().as_encoded_bytes());
    let old = before.map_or("/dev/null", |_| shown.as_str());
    let mut text = format!("--- {old}\n+++ {shown}\n");
    let changed: Vec<usize> = (0..merged.len())
        .filter(|&at| !matches!(merged[at], Line::Same(_)))
        .collect();
    let mut at = 0;
    while at < changed.len() {
        let start = changed[at].saturating_sub(CONTEXT);
        let mut last = changed[at];
        while at < changed.len() && changed[at] <= last + 2 * CONTEXT {
            last = changed[at];
            at += 1;
        }
        let end = (last + 1 + CONTEXT).min(merged.len());
        hunk(&merged, start, end, &mut text);
    }
    text
}

fn hunk(merged: &[Line<'_>], start: usize, end: usize, text: &mut String) {
    let old = |lines: &[Line<'_>]| {
        lines
            .iter()
            .filter(|l| !matches!(l, Line::Added(_)))
            .count()
    };
    let new = |lines: &[Line<'_>]| {
        lines
            .iter()
            .filter(|l| !matches!(l, Line::Removed(_)))
            .count()
    };
    let (before, inside) = (&merged[..start], &merged[start..end]);
    let place = |skipped: usize, count: usize| match count {
        0 => format!("{skipped},0"),
        1 => (skipped + 1).to_string(),
        count => format!("{},{count}", skipped + 1),
    };
    let _ = writeln!(
        text,
        "@@ -{} +{} @@",
        place(old(before), old(inside)),
        place(new(before), new(inside))
    );
    for line in inside {
        let (sign, bytes) = match line {
            Line::Same(bytes) => (' ', bytes),
            Line::Removed(bytes) => ('-', bytes),
            Line::Added(bytes) => ('+', bytes),
        };
        let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let _ = writeln!(text, "{sign}{}", clean(body).trim_end());
        if !bytes.ends_with(b"\n") {
            text.push_str("\\ No newline at end of file\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{new_lines, unified};

    #[test]
    fn a_diff_is_that_of_diff() {
        let before = b"1\n2\n3\n4\nx\n6\n7\n8\n9\n10\n11\n12\n13\ny";
        let after = b"1\n2\n3\n4\nX\n6\n7\n8\n9\n10\n11\n12\n13\ny\nz\n";
        assert_eq!(
            unified(Path::new("/f"), Some(before), after),
            "--- /f\n+++ /f\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-x\n+X\n 6\n 7\n 8\n@@ -11,4 +11,5 @@\n 11\n 12\n 13\n-y\n\\ No newline at end of file\n+y\n+z\n"
        );
        assert_eq!(
            new_lines(before, after),
            [
                (5, "X".to_owned()),
                (14, "y".to_owned()),
                (15, "z".to_owned())
            ]
        );
        assert_eq!(
            unified(Path::new("/f"), None, b"a\n"),
            "--- /dev/null\n+++ /f\n@@ -0,0 +1 @@\n+a\n"
        );
    }
}
