//! Remembers that the next boot was proved to be in sync, so that a run in which nothing changed starts no process.
//!
//! The file is a text of a few lines. It counts only when its key is that of now, and its last line that of its content;
//! anything else means to prove again.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::find::Boot;
use super::load::programs;
use super::sources::{Digest, Fingerprint, Source, digest, of_load};
use crate::backend::{Desired, Proof};
use crate::error::ErrorKind;
use crate::host::file::{read_private, remove_private, write_private};
use crate::model::ports::{PortRange, PortSet};
use crate::model::reach::{Family, Reach, ReachEntry, ReachMap};
use crate::model::ruleset::Interface;

/// The folder, under the root.
const FOLDER: &str = "var/lib/pasvsync";
pub(super) const NAME: &str = "boot.proof";
const HEADER: &str = "pasvsync boot proof 1";

/// Where loaders look up the names of ports, protocols, users, hosts and marks.
const NAMES: [&str; 9] = [
    "/etc/services",
    "/etc/protocols",
    "/etc/hosts",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/iproute2/rt_marks",
    "/etc/iproute2/rt_realms",
    "/etc/iproute2/group",
];

/// The digest of everything that the proof depends on.
pub(crate) fn key(
    boot: &Boot,
    sources: &[Source],
    interfaces: &[Interface],
    desired: &Desired,
) -> Digest {
    let files = sources
        .iter()
        .map(|source| (source.path.as_path(), source.bytes.as_slice()));
    let mut fingerprint = Fingerprint::default();
    fingerprint.add(env!("CARGO_PKG_VERSION").as_bytes());
    fingerprint.add(&of_load(boot, files, interfaces));
    fingerprint.add(format!("{desired:?}").as_bytes());
    let kernel = std::fs::read("/proc/sys/kernel/osrelease").unwrap_or_default();
    fingerprint.add(&kernel);
    let mut programs = programs(boot);
    programs.push(PathBuf::from("/proc/self/exe"));
    let names = NAMES.iter().map(|path| boot.real(Path::new(path)));
    for path in programs.into_iter().chain(names) {
        fingerprint.add_path(&path);
        fingerprint.add(&identity(&path));
    }
    fingerprint.finish()
}

/// What changes when a file does; nothing for one that is not there.
pub(crate) fn identity(path: &Path) -> Vec<u8> {
    let Ok(metadata) = std::fs::metadata(path) else {
        return Vec::new();
    };
    let numbers = [
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        metadata.mtime().cast_unsigned(),
        metadata.mtime_nsec().cast_unsigned(),
        metadata.ctime().cast_unsigned(),
        metadata.ctime_nsec().cast_unsigned(),
    ];
    numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

/// The text of a remembered proof of that name, if it is whole.
pub(crate) fn recall(root: &Path, name: &str) -> Option<String> {
    let folder = root.join(FOLDER);
    let bytes = match read_private(&folder, name) {
        Ok(bytes) => bytes?,
        Err(error) => {
            tracing::debug!("the remembered proof of the next boot does not count: {error}");
            return None;
        }
    };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if !is_whole(&text) {
        let path = folder.join(name);
        tracing::warn!(
            "`{}` is damaged: it counts for nothing, the next boot is proved again",
            path.display()
        );
        return None;
    }
    Some(text)
}

/// Remembers the text of a proof. That it cannot be is worth a word where somebody has meddled with the file or its
/// folder; a full or read-only disk says so by itself.
pub(crate) fn store(root: &Path, name: &str, text: &str) {
    let Err(error) = write_private(&root.join(FOLDER), name, text.as_bytes()) else {
        return;
    };
    let hint = error.hint().map(|hint| format!("; {hint}"));
    let words = format!(
        "the proof of the next boot is not remembered: {error}{}",
        hint.unwrap_or_default()
    );
    if error.kind() == ErrorKind::NotOurs {
        tracing::warn!("{words}");
    } else {
        tracing::debug!("{words}");
    }
}

/// Forgets the remembered proof of that name, and removes its folder when nothing else is in it.
pub(crate) fn forget(root: &Path, name: &str) {
    if let Err(error) = remove_private(&root.join(FOLDER), name) {
        tracing::debug!("the proof of the next boot stays remembered: {error}");
    }
}

fn hexadecimal(digest: &Digest) -> String {
    let mut text = String::with_capacity(64);
    for byte in digest {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A proof as it is remembered, and what was looked at for it, where the key does not say.
pub(crate) fn format(proof: &Proof, key: &Digest, looks: &[String]) -> String {
    let mut text = format!(
        "{HEADER}\nkey {}\nfilters {}\n",
        hexadecimal(key),
        proof.filters
    );
    for look in looks {
        let _ = writeln!(text, "look {look}");
    }
    // Words come from rules: no line break may come from them.
    let clean = |words: &str| words.replace(char::is_control, " ");
    for map in &proof.reach {
        let _ = writeln!(text, "family {}", map.family.as_str());
        for entry in &map.entries {
            let ranges = entry.ports.ranges().iter();
            let ranges: Vec<String> = ranges.map(ToString::to_string).collect();
            let because = clean(&entry.because);
            let _ = writeln!(text, "open {} {because}", ranges.join(","));
        }
    }
    let sum = hexadecimal(&digest(text.as_bytes()));
    let _ = writeln!(text, "sum {sum}");
    text
}

/// What a file of ours says, whichever version wrote it, when its last line is that of its content.
fn content(text: &str) -> Option<&str> {
    let (content, sum) = text.strip_suffix('\n')?.rsplit_once("\nsum ")?;
    let content = text.get(..=content.len())?;
    (sum == hexadecimal(&digest(content.as_bytes()))).then_some(content)
}

fn is_whole(text: &str) -> bool {
    content(text).is_some()
}

/// What was looked at for a remembered proof.
pub(crate) fn looks(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix("look "))
}

/// The proof that a text says, if its key is this one.
pub(crate) fn parse(text: &str, key: &Digest) -> Option<Proof> {
    let content = content(text)?;
    let mut lines = content.lines();
    if lines.next()? != HEADER || lines.next()?.strip_prefix("key ")? != hexadecimal(key) {
        return None;
    }
    let filters = lines.next()?.strip_prefix("filters ")?.parse().ok()?;
    let mut reach: Vec<ReachMap> = Vec::new();
    for line in lines {
        let (word, rest) = line.split_once(' ')?;
        match word {
            "look" => {}
            "family" => reach.push(ReachMap {
                family: *Family::BOTH.iter().find(|family| family.as_str() == rest)?,
                entries: Vec::new(),
            }),
            "open" => {
                let (ports, because) = rest.split_once(' ')?;
                let ports = ports.split(',').map(range).collect::<Option<PortSet>>()?;
                reach.last_mut()?.entries.push(ReachEntry {
                    ports,
                    reach: Reach::Open,
                    because: because.to_owned(),
                });
            }
            _ => return None,
        }
    }
    Some(Proof { reach, filters })
}

/// Any text, and the same with a last line that makes it count: what is taken from it is written and read alike.
#[cfg(all(feature = "kernel", feature = "firewalld"))]
pub(super) fn fuzz(text: &str) {
    let key = digest(b"fuzz");
    let sealed = format!("{HEADER}\nkey {}\n{text}\n", hexadecimal(&key));
    let sum = hexadecimal(&digest(sealed.as_bytes()));
    for text in [text, &format!("{sealed}sum {sum}\n")] {
        if let Some(proof) = parse(text, &key) {
            let again = format(&proof, &key, &[]);
            assert_eq!(
                parse(&again, &key).map(|proof| format(&proof, &key, &[])),
                Some(again)
            );
        }
    }
}

fn range(text: &str) -> Option<PortRange> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    PortRange::new(first.parse().ok()?, last.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof() -> Proof {
        let map = |family| ReachMap {
            family,
            entries: vec![ReachEntry {
                ports: [
                    PortRange::new(40000, 40100).unwrap(),
                    PortRange::single(50000),
                ]
                .into_iter()
                .collect(),
                reach: Reach::Open,
                because: "rule in\nchain".to_owned(),
            }],
        };
        Proof {
            reach: Family::BOTH.map(map).to_vec(),
            filters: true,
        }
    }

    #[test]
    fn what_is_remembered_comes_back() {
        let key = digest(b"inputs");
        let looked = ["file /etc/a b".to_owned(), "folder /etc".to_owned()];
        let text = format(&proof(), &key, &looked);
        assert_eq!(looks(&text).collect::<Vec<_>>(), looked);
        let back = parse(&text, &key).unwrap();
        assert_eq!(back.reach[1].entries[0].because, "rule in chain");
        assert_eq!(
            back.reach[0].entries[0].ports,
            proof().reach[0].entries[0].ports
        );
        assert!(back.filters);
    }

    #[test]
    fn another_key_or_any_damage_makes_it_count_for_nothing() {
        let key = digest(b"inputs");
        let text = format(&proof(), &key, &[]);
        assert_eq!(parse(&text, &digest(b"other")), None);
        for index in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[index] ^= 1;
            let damaged = String::from_utf8(bytes).unwrap();
            assert!(!is_whole(&damaged), "{damaged}");
            assert_eq!(parse(&damaged, &key), None, "{damaged}");
            assert_eq!(parse(&text[..index], &key), None);
        }
    }
}
