//! Edits as a diff: the rules that go and come, under the chain they stand in.

use std::fmt;

/// A line of the diff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The chain, or the line of a file, that the next lines are about.
    Place(String),
    /// A rule that goes.
    Removed(String),
    /// A rule that comes.
    Added(String),
    /// A command that is no edit of one rule.
    Command(String),
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place(place) => write!(formatter, "@@ {place} @@"),
            Self::Removed(rule) => write!(formatter, "-{rule}"),
            Self::Added(rule) => write!(formatter, "+{rule}"),
            Self::Command(command) => write!(formatter, " {command}"),
        }
    }
}

/// The diff that some edits make. A command of another form is shown as it is.
pub(super) fn lines<'edit>(edits: impl IntoIterator<Item = &'edit str>) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut current = String::new();
    for edit in edits {
        let found = of_nft(edit).or_else(|| of_iptables(edit));
        let Some((place, line)) = found.or_else(|| of_file(edit)) else {
            lines.push(Line::Command(edit.to_owned()));
            continue;
        };
        if place != current {
            lines.push(Line::Place(place.clone()));
            current = place;
        }
        lines.push(line);
    }
    lines
}

/// `PROGRAM [-t TABLE] -I CHAIN NUMBER RULE`, `-A CHAIN RULE` or `-D CHAIN NUMBER`.
fn of_iptables(edit: &str) -> Option<(String, Line)> {
    let words: Vec<&str> = edit.split(' ').collect();
    let (table, rest) = match words.as_slice() {
        [program, "-t", table, rest @ ..] => (format!("{program} -t {table}"), rest),
        [program, rest @ ..] => ((*program).to_owned(), rest),
        [] => return None,
    };
    if !table.starts_with("iptables") && !table.starts_with("ip6tables") {
        return None;
    }
    let (chain, line) = match rest {
        ["-I", chain, number, rule @ ..] => {
            let line = format!("{} # number {number}", rule.join(" "));
            (chain, Line::Added(line))
        }
        ["-A", chain, rule @ ..] => (chain, Line::Added(format!("{} # last", rule.join(" ")))),
        ["-D", chain, number] => (chain, Line::Removed(format!("number {number}"))),
        _ => return None,
    };
    Some((format!("{table} {chain}"), line))
}

/// `PATH:LINE: + TEXT`, or with `-`; of csf.conf the setting stands before the sign.
fn of_file(edit: &str) -> Option<(String, Line)> {
    let (place, text) = edit.starts_with('/').then(|| edit.split_once(": "))??;
    let sign = text.find(['+', '-'])?;
    let (setting, item) = text.split_at(sign);
    let line = format!("{setting}{}", item.get(2..)?);
    let line = match item.as_bytes() {
        [b'+', b' ', ..] => Line::Added(line),
        [b'-', b' ', ..] => Line::Removed(line),
        _ => return None,
    };
    Some((place.to_owned(), line))
}

/// `nft VERB rule FAMILY TABLE CHAIN [handle HANDLE] RULE`, with the rule of a deletion as a comment behind it.
fn of_nft(edit: &str) -> Option<(String, Line)> {
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
            "/etc/nftables.conf:26: + tcp dport 3-4 accept comment \"pasvsync\"",
            "/etc/csf/csf.conf:9: TCP_IN - 1:2",
            "ip6tables -D INPUT 5",
            "iptables-legacy -t filter -A INPUT -p tcp -j ACCEPT",
            "iptables -I INPUT 4 -p tcp -j ACCEPT",
            "firewall-cmd --zone=public --remove-port=1-2/tcp",
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
                "@@ /etc/nftables.conf:26 @@",
                "+tcp dport 3-4 accept comment \"pasvsync\"",
                "@@ /etc/csf/csf.conf:9 @@",
                "-TCP_IN 1:2",
                "@@ ip6tables INPUT @@",
                "-number 5",
                "@@ iptables-legacy -t filter INPUT @@",
                "+-p tcp -j ACCEPT # last",
                "@@ iptables INPUT @@",
                "+-p tcp -j ACCEPT # number 4",
                " firewall-cmd --zone=public --remove-port=1-2/tcp",
            ]
        );
    }
}
