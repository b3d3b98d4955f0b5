//! iptables-save's format: sections of tables, one rule a line.

use super::shape::OwnRule;
use super::text::{Boundary, Group, Rank, Style};
use crate::model::ports::PortRange;
use crate::proof::place::MARK;

/// The line that we write, with the counters that its neighbour has.
pub(crate) fn rule(neighbour: &str, chain: &str, ports: PortRange, local_only: bool) -> String {
    let counters = if neighbour.trim_start().starts_with('[') {
        "[0:0] "
    } else {
        ""
    };
    let local = if local_only {
        " -m addrtype --dst-type LOCAL"
    } else {
        ""
    };
    let (first, last) = (ports.first(), ports.last());
    let range = if first == last {
        first.to_string()
    } else {
        format!("{first}:{last}")
    };
    format!(
        "{counters}-A {chain} -p tcp{local} -m tcp --dport {range} -m comment --comment {MARK} -j ACCEPT"
    )
}

/// The places for a rule: before each rule of its chain, and behind the last; in a chain without rules, at the end of the
/// table.
pub(crate) fn groups(bytes: &[u8], rule: &OwnRule) -> Vec<Group> {
    let mut table = None;
    let mut groups = Vec::new();
    let mut boundaries: Vec<Boundary> = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = String::from_utf8_lossy(line);
        let line = line.trim();
        if let Some(name) = line.strip_prefix('*') {
            table = Some(name.trim().to_owned());
            boundaries.clear();
        } else if table.as_deref() == Some(&rule.table) {
            if line == "COMMIT" {
                let end = boundaries.last().map_or(index, |last| last.line + 1);
                boundaries.push(Boundary {
                    line: end,
                    rule: false,
                });
                groups.push(Group {
                    boundaries: std::mem::take(&mut boundaries),
                    style: Style::Save,
                    rank: Rank::Chain,
                });
                table = None;
            } else if chain_of(line) == Some(&rule.chain) {
                boundaries.push(Boundary {
                    line: index,
                    rule: true,
                });
            }
        }
    }
    groups.reverse();
    groups
}

/// The chain that a line adds a rule to.
fn chain_of(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let mut word = words.next()?;
    if word.starts_with('[') {
        word = words.next()?;
    }
    matches!(word, "-A" | "--append" | "-I" | "--insert")
        .then(|| words.next())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ruleset::TableFamily;

    const TEXT: &str = "# saved
*nat
:INPUT ACCEPT [0:0]
-A INPUT -j ACCEPT
COMMIT
*filter
:INPUT DROP [0:0]
:web - [0:0]
[1:60] -A INPUT -i lo -j ACCEPT
# ssh
[2:99] -A INPUT -p tcp --dport 22 -j ACCEPT

-A FORWARD -j DROP
COMMIT
";

    #[test]
    fn the_places_are_in_the_right_table() {
        let mut rule = OwnRule {
            family: TableFamily::Ip,
            table: "filter".to_owned(),
            chain: "INPUT".to_owned(),
            index: 0,
            ports: PortRange::new(50000, 50000),
            local_only: true,
        };
        let lines = |rule: &OwnRule| -> Vec<usize> {
            let groups = groups(TEXT.as_bytes(), rule);
            groups[0]
                .boundaries
                .iter()
                .map(|place| place.line)
                .collect()
        };
        assert_eq!(lines(&rule), [8, 10, 11]);
        rule.chain = "web".to_owned();
        assert_eq!(lines(&rule), [13]);
        rule.table = "mangle".to_owned();
        assert_eq!(groups(TEXT.as_bytes(), &rule), []);
    }

    #[test]
    fn a_line_looks_like_its_neighbour() {
        let one = PortRange::single(40000);
        assert_eq!(
            super::rule("[1:2] -A INPUT", "INPUT", one, true),
            "[0:0] -A INPUT -p tcp -m addrtype --dst-type LOCAL -m tcp --dport 40000 -m comment --comment pasvsync -j ACCEPT"
        );
        assert_eq!(
            super::rule("-A INPUT", "web", PortRange::new(1, 2).unwrap(), false),
            "-A web -p tcp -m tcp --dport 1:2 -m comment --comment pasvsync -j ACCEPT"
        );
    }
}
