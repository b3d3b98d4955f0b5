//! What fuzzing calls: every reader of this library on any bytes, and what has to hold of its answer.
//!
//! A function that is given bytes panics when that does not hold. The fuzzers in `fuzz/` and the tests call the same ones.

use std::path::Path;

pub use crate::boot::fuzzing::{iptables, nftables};
pub use crate::csf::fuzzing::csf;
pub use crate::firewalld::fuzzing::firewalld;

use crate::backend::Desired;
use crate::host::owned::Owned;
use crate::model::ports::{PortRange, PortSet};
use crate::model::reach::{Family, Reach};
use crate::model::ruleset::{Chain, Interface, Ruleset, Statement};
use crate::netfilter::Scope;
use crate::netfilter::replay::{decode_ipsets, replay};
use crate::{own, proof};

/// The kernel's messages about `nf_tables`, ipsets, interfaces and addresses.
pub fn netlink(bytes: &[u8]) {
    // The first byte is not the kernel's: it chooses the rule that is doubted.
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    decode_ipsets(bytes);
    for scope in [Scope::Everything, Scope::InputPath] {
        if let Ok(mut ruleset) = replay(bytes, scope) {
            if ruleset.interfaces.is_empty() {
                ruleset.interfaces = vec![ethernet()];
            }
            judge(&ruleset, usize::from(*choice));
        }
    }
}

/// What pasvsync keeps below `/var/lib/pasvsync`.
pub fn state(bytes: &[u8]) {
    if let Some(lines) = Owned::parse(bytes) {
        if !lines.iter().any(|line| line.contains(char::is_control)) {
            let text = Owned::text(&lines);
            assert_eq!(Owned::parse(text.as_bytes()).as_ref(), Some(&lines));
        }
        for line in &lines {
            crate::csf::fuzzing::entry(line);
            crate::firewalld::fuzzing::record(line);
        }
    }
    crate::boot::fuzzing::proof(bytes);
}

/// Some ports that are asked about, apart from each other.
pub(crate) fn ports() -> PortSet {
    let ranges = [(21, 21), (1_000, 1_100), (50_000, 50_009), (65_535, 65_535)];
    let ranges = ranges.into_iter();
    ranges
        .filter_map(|(first, last)| PortRange::new(first, last))
        .collect()
}

/// A host's usual interface.
pub(crate) fn ethernet() -> Interface {
    Interface {
        name: "eth0".to_owned(),
        index: 2,
        hardware_type: 1,
        up: true,
        addresses: [
            [192, 0, 2, 1].into(),
            [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into(),
        ]
        .to_vec(),
        ..Interface::default()
    }
}

/// Judges a ruleset, whatever it is: each port has one verdict, which its explanation shares; and none is open that
/// would not be if one of the rules, whatever it says, did something else.
pub(crate) fn judge(ruleset: &Ruleset, choice: usize) {
    let ports = ports();
    let doubted = doubt(ruleset, choice);
    for family in Family::BOTH {
        let map = proof::trace(ruleset, family, &ports);
        let mut judged = PortSet::default();
        for entry in &map.entries {
            assert!(judged.intersection(&entry.ports).is_empty(), "{map:?}");
            judged = judged.union(&entry.ports);
        }
        assert_eq!(judged, ports, "{map:?}");
        let (explained, _) = proof::walk(ruleset, family, 50_000);
        let explained = explained.map(|entry| entry.reach);
        assert_eq!(explained, map.reach(50_000), "{ruleset:?}");
        if let Some(doubted) = &doubted {
            let open = proof::trace(doubted, family, &ports).with(Reach::Open);
            let without = "open though a rule might do anything";
            assert!(
                map.with(Reach::Open).covers(&open),
                "{without}: {doubted:?}"
            );
        }
    }
    let desired = Desired {
        ports,
        families: Family::BOTH.to_vec(),
        force: choice.is_multiple_of(2),
    };
    own::decide(ruleset, &desired);
    for table in &ruleset.tables {
        for rule in table.chains.iter().flat_map(Chain::rules) {
            let _ = rule.to_string();
        }
    }
}

/// The ruleset with one rule that is not understood in the place of one that is; `None` when there are no rules.
fn doubt(ruleset: &Ruleset, choice: usize) -> Option<Ruleset> {
    let mut ruleset = ruleset.clone();
    let chains = ruleset
        .tables
        .iter_mut()
        .flat_map(|table| &mut table.chains);
    let mut rules: Vec<_> = chains
        .flat_map(|chain| chain.rules.iter_mut().flatten())
        .collect();
    let index = choice.checked_rem(rules.len())?;
    let name = "doubt".to_owned();
    rules.get_mut(index)?.statements = vec![Statement::NotDecoded { name }].into();
    Some(ruleset)
}

/// A folder that no host has.
pub(crate) fn nowhere() -> &'static Path {
    Path::new("/nonexistent")
}
