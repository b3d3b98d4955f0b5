//! Edits as a diff: the rules that go and come, under the chain they stand in.

use std::fmt;

/// A line of the diff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The chain that the next lines are about.
    Chain(String),
    /// A rule that goes.
    Removed(String),
    /// A rule that comes.
    Added(String),
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain(chain) => write!(formatter, "@@ {chain} @@"),
            Self::Removed(rule) => write!(formatter, "-{rule}"),
            Self::Added(rule) => write!(formatter, "+{rule}"),
        }
    }
}

/// The diff that some `nft` commands make. A command of another form is shown as it is, as something that comes.
pub(super) fn lines<'edit>(edits: impl IntoIterator<Item = &'edit str>) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut current = String::new();
    for edit in edits {
        let Some((chain, line)) = line(edit) else {
            lines.push(Line::Added(edit.to_owned()));
            continue;
        };
        if chain != current {
            lines.push(Line::Chain(chain.clone()));
            current = chain;
        }
        lines.push(line);
    }
    lines
}

/// `nft VERB rule FAMILY TABLE CHAIN [handle HANDLE] RULE`, with the rule of a deletion as a comment behind it.
fn line(edit: &str) -> Option<(String, Line)> {
    let (command, comment) = edit.split_once(" # ").unwrap_or((edit, ""));
    let mut words = command.split(' ');
    let mut next = || words.next();
    if next()? != "nft" {
        return None;
    }
    let verb = next()?;
    if next()? != "rule" {
        return None;
    }
    let chain = format!("{} {} {}", next()?, next()?, next()?);
    let rest: Vec<&str> = words.collect();
    let (handle, rule) = match rest.as_slice() {
        ["handle", handle, rule @ ..] => (Some(*handle), rule.join(" ")),
        rule => (None, rule.join(" ")),
    };
    let line = match (verb, handle) {
        ("delete", Some(handle)) if comment.is_empty() => Line::Removed(format!("handle {handle}")),
        ("delete", Some(handle)) => Line::Removed(format!("{comment} # handle {handle}")),
        ("insert", Some(handle)) => Line::Added(format!("{rule} # before handle {handle}")),
        ("insert", None) => Line::Added(format!("{rule} # first")),
        ("add", None) => Line::Added(format!("{rule} # last")),
        _ => return None,
    };
    Some((chain, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_go_and_come_under_their_chain() {
        let edits = [
            "nft delete rule inet filter input handle 12 # tcp dport 1-2 accept comment pasvsync",
            "nft insert rule inet filter input handle 9 tcp dport 3-4 accept comment pasvsync",
            "nft add rule ip6 filter INPUT tcp dport 3-4 accept comment pasvsync",
            "nft delete rule ip6 filter INPUT handle 3",
            "something else",
        ];
        let lines: Vec<String> = lines(edits).iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "@@ inet filter input @@",
                "-tcp dport 1-2 accept comment pasvsync # handle 12",
                "+tcp dport 3-4 accept comment pasvsync # before handle 9",
                "@@ ip6 filter INPUT @@",
                "+tcp dport 3-4 accept comment pasvsync # last",
                "-handle 3",
                "+something else",
            ]
        );
    }
}
