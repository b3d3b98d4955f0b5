//! csf.conf and our notes about it, from any bytes.

use super::conf::Conf;
use super::items::{Items, added, item, removed};
use super::live::Direction;
use super::permanent::{self, Lists};
use super::{notes, ours};
use crate::backend::Desired;
use crate::fuzzing::{ethernet, judge, nowhere, ports};
use crate::model::ports::{PortRange, PortSet};
use crate::model::reach::Family;
use crate::model::ruleset::Ruleset;

/// csf.conf: an edit of a port list adds its ports and nothing else, and is taken back without a trace.
pub fn csf(bytes: &[u8]) {
    let Ok(conf) = Conf::parse(bytes) else {
        return;
    };
    assert_eq!(conf.bytes(), bytes);
    for family in Family::BOTH {
        for direction in Direction::BOTH {
            edit(&conf, direction.setting(family));
        }
    }
    let Ok(lists) = Lists::of(&conf) else { return };
    let live = Ruleset {
        interfaces: vec![ethernet()],
        ..Ruleset::default()
    };
    let ruleset = permanent::ruleset(&live, nowhere(), &conf, &lists);
    judge(&ruleset, bytes.len());
    let desired = Desired {
        ports: ports(),
        families: Family::BOTH.to_vec(),
        force: false,
    };
    notes::of_rules(&ruleset, &conf, &desired);
}

fn edit(conf: &Conf, setting: &str) {
    let Ok(items) = Items::of(conf, setting) else {
        return;
    };
    let value = conf.value(setting).unwrap_or_default();
    for range in [PortRange::new(50_000, 50_009), PortRange::new(21, 21)] {
        let Some(range) = range else { continue };
        let item = item(range);
        let longer = added(value, &item);
        let edited = conf.with(setting, &longer).map(|bytes| Conf::parse(&bytes));
        let Some(Ok(edited)) = edited else {
            panic!("{setting} with {item} is no csf.conf any more");
        };
        assert!(edited.differs_only_in(conf, &[setting]));
        let expected = items.ports().union(&PortSet::from(range));
        let now = Items::of(&edited, setting).map(|items| items.ports());
        assert_eq!(now, Ok(expected));
        if !items.iter().any(|known| known.text == item) {
            assert_eq!(removed(&longer, &item).as_deref(), Some(value));
        }
    }
}

/// A line of the list of what is ours.
pub(crate) fn entry(line: &str) {
    if let Some(entry) = ours::parse(line) {
        assert_eq!(ours::parse(&entry.to_string()), Some(entry));
    }
}
