//! The places in a file where a line of ours might go, and the line itself, whatever the file's language.

use super::shape::OwnRule;
use super::sources::{Language, Source};
use super::text::{Boundary, Group, Style, Text};
use super::{iptables_text, nft_text};
use crate::model::reach::Family;
use crate::model::ruleset::TableFamily;

/// The places where a line for a rule may go, the likeliest group first.
pub(crate) fn groups(source: &Source, text: &Text, rule: &OwnRule) -> Vec<Group> {
    let bytes = text.bytes();
    match source.language {
        Language::Nft { included } => nft_text::groups(&bytes, rule, included),
        Language::Iptables(family) => match (family, rule.family) {
            (Family::Ipv4, TableFamily::Ip) | (Family::Ipv6, TableFamily::Ip6) => {
                iptables_text::groups(&bytes, rule)
            }
            _ => Vec::new(),
        },
        Language::Other => Vec::new(),
    }
}

/// The line for a rule at a place.
pub(crate) fn render(text: &Text, group: &Group, boundary: Boundary, rule: &OwnRule) -> String {
    let Some(ports) = rule.ports else {
        return String::new();
    };
    let neighbour = neighbour(text, group, boundary);
    match group.style {
        Style::Block => format!(
            "{}{}",
            indentation(&neighbour),
            nft_text::rule(ports, rule.local_only)
        ),
        Style::Command => {
            let place = format!("{} {} {}", rule.family.as_str(), rule.table, rule.chain);
            let accept = nft_text::rule(ports, rule.local_only);
            format!("{}add rule {place} {accept}", indentation(&neighbour))
        }
        Style::Save => iptables_text::rule(&neighbour, &rule.chain, ports, rule.local_only),
    }
}

/// The line whose looks are copied: a rule before the place, else one behind it.
fn neighbour(text: &Text, group: &Group, boundary: Boundary) -> String {
    let rules = || group.boundaries.iter().filter(|other| other.rule);
    let before = rules().rev().find(|other| other.line < boundary.line);
    let found = before.or_else(|| rules().next());
    let line = match (found, group.style) {
        (Some(found), _) => text.line(found.line),
        // An empty chain: its header is the line before, and may be copied with one more step.
        (None, Style::Block) => b"\t\t",
        (None, _) => b"",
    };
    String::from_utf8_lossy(line).into_owned()
}

fn indentation(line: &str) -> &str {
    let rest = line.trim_start_matches([' ', '\t']);
    line.get(..line.len() - rest.len()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::ports::PortRange;

    proptest! {
        #[test]
        fn no_text_makes_the_lexers_panic(content in "[a-z{}#;\"\\\\ \n*:-]{0,60}") {
            let rule = OwnRule {
                family: TableFamily::Ip,
                table: "a".to_owned(),
                chain: "b".to_owned(),
                index: 0,
                ports: PortRange::new(1, 2),
                local_only: false,
            };
            let text = Text::new(content.as_bytes());
            for group in nft_text::groups(content.as_bytes(), &rule, true) {
                for boundary in &group.boundaries {
                    prop_assert!(!render(&text, &group, *boundary, &rule).is_empty());
                }
            }
            let _ = iptables_text::groups(content.as_bytes(), &rule);
            let _ = nft_text::includes(content.as_bytes());
        }
    }
}
