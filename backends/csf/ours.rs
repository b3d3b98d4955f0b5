//! What is ours in csf.conf and in csf's chains. Neither has room for a mark: csf writes its rules itself, and an upgrade
//! drops comments and settings that it does not know.

use std::fmt;
use std::path::Path;
use std::time::SystemTime;

use crate::error::Result;
use crate::host::owned::Owned;

/// What pasvsync has put where.
#[derive(Clone, Debug)]
pub(super) struct Ours {
    list: Owned,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// A setting of csf.conf, or a chain.
    place: String,
    /// The exact item.
    item: String,
    /// When it was put there, in seconds since 1970: for people.
    since: u64,
}

impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, item, since } = self;
        write!(formatter, "{place} {item} {since}")
    }
}

impl Ours {
    /// Reads the list.
    ///
    /// # Errors
    /// When the list makes no sense or cannot be read: what is ours is then not known.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let list = Owned::new(root, "csf");
        let lines = list.read()?;
        Ok(Self {
            list,
            entries: lines.iter().filter_map(|line| parse(line)).collect(),
        })
    }

    /// The items that are ours in one place.
    pub(super) fn items(&self, place: &str) -> Vec<&str> {
        let here = self.entries.iter().filter(|entry| entry.place == place);
        here.map(|entry| entry.item.as_str()).collect()
    }

    /// From now on the item is ours.
    pub(super) fn add(&mut self, place: &str, item: &str) {
        if self.items(place).contains(&item) {
            return;
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        self.entries.push(Entry {
            place: place.to_owned(),
            item: item.to_owned(),
            since: now.map_or(0, |since| since.as_secs()),
        });
    }

    /// The item is ours no longer.
    pub(super) fn remove(&mut self, place: &str, item: &str) {
        self.entries
            .retain(|entry| entry.place != place || entry.item != item);
    }

    /// Writes the list.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn write(&self) -> Result<()> {
        let lines = self.entries.iter().map(ToString::to_string);
        self.list.write(&lines.collect::<Vec<_>>())
    }
}

/// An entry as it was written; `None` for what is none.
pub(super) fn parse(line: &str) -> Option<Entry> {
    let mut words = line.split(' ');
    let mut next = || words.next().map(str::to_owned);
    Some(Entry {
        place: next()?,
        item: next()?,
        since: next()?.parse().ok()?,
    })
}
