//! The files that boot loads rules from, and what is remembered of them, from any bytes.

use super::places::{groups, render};
use super::shape::OwnRule;
use super::sources::{Language, Source, matches};
use super::text::{Splice, Text, inverse, splice};
use super::{find, memory, nft_text, services};
use crate::iptables::legacy;
use crate::model::ports::PortRange;
use crate::model::reach::Family;
use crate::model::ruleset::TableFamily;

/// nft's language, as far as it takes to find where a rule may go; and the unit that has nft load it.
pub fn nftables(bytes: &[u8]) {
    let unit = String::from_utf8_lossy(bytes);
    for (_, command) in services::commands(&unit) {
        find::files_of_nft(command);
    }
    for pattern in nft_text::includes(bytes) {
        matches(pattern.as_bytes(), bytes.get(..255).unwrap_or(bytes));
    }
    for included in [false, true] {
        let families = [TableFamily::Inet, TableFamily::Ip];
        for rule in families.map(|family| wanted(family, "filter", "input")) {
            edit(bytes, Language::Nft { included }, &rule);
        }
    }
}

/// The text of iptables-save.
pub fn iptables(bytes: &[u8]) {
    for (family, table) in [
        (Family::Ipv4, TableFamily::Ip),
        (Family::Ipv6, TableFamily::Ip6),
    ] {
        let rule = wanted(table, "filter", "INPUT");
        edit(bytes, Language::Iptables(family), &rule);
    }
    legacy::fuzz(&String::from_utf8_lossy(bytes));
}

/// A remembered proof: what is written comes back.
pub(crate) fn proof(bytes: &[u8]) {
    memory::fuzz(&String::from_utf8_lossy(bytes));
}

fn wanted(family: TableFamily, table: &str, chain: &str) -> OwnRule {
    OwnRule {
        family,
        table: table.to_owned(),
        chain: chain.to_owned(),
        index: 0,
        ports: PortRange::new(50_000, 50_009),
        local_only: false,
    }
}

/// Our rule, in every place where it might go: it is found again, and changes nothing else; and what of ours is there
/// already is taken out and put back.
fn edit(bytes: &[u8], language: Language, rule: &OwnRule) {
    let source = Source {
        path: "/etc/rules".into(),
        language,
        bytes: bytes.to_vec(),
    };
    let text = Text::new(bytes);
    assert_eq!(text.bytes(), bytes);
    for group in groups(&source, &text, rule) {
        // The first and the last place, since there may be thousands.
        let places = [group.boundaries.first(), group.boundaries.last()];
        for place in places.into_iter().flatten() {
            let line = render(&text, &group, *place, rule);
            let mut edited = text.clone();
            edited.insert(place.line, &line);
            changes(bytes, &edited);
            let own = Text::new(&edited.bytes()).own_lines();
            assert!(own.iter().any(|(_, ports)| *ports == rule.ports), "{line}");
        }
    }
    let mut edited = text.clone();
    for (index, _) in text.own_lines().into_iter().rev() {
        edited.remove(index);
    }
    changes(bytes, &edited);
}

/// The changes that lead to a text lead there, and back.
fn changes(bytes: &[u8], edited: &Text) {
    let splices = edited.splices();
    let splices: Vec<&Splice> = splices.iter().collect();
    let after = splice(bytes, &splices);
    assert_eq!(after, Some(edited.bytes()));
    let back = inverse(&splices);
    let back: Vec<&Splice> = back.iter().collect();
    let before = after.and_then(|after| splice(&after, &back));
    assert_eq!(before.as_deref(), Some(bytes));
}
