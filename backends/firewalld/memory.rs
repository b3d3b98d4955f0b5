//! Remembers that firewalld's permanent configuration was proved to be in sync, so that a run in which nothing changed
//! neither parses nor judges it.
//!
//! What a configuration is made of, files and folders, only shows while it is read. So the proof names them, and counts
//! when they are as they were: each is looked at again, in the same way.

use std::path::Path;

use super::config::{Disk, Folders, Seen};
use super::members::Zone;
use super::zones::Choice;
use crate::backend::{Desired, Proof};
use crate::boot::memory::{self, format, identity, looks, parse, recall, store};
use crate::boot::sources::{Digest, Fingerprint};
use crate::model::ruleset::Interface;

const NAME: &str = "firewalld.proof";
const ROOT: &str = "/";

/// What a proof depends on beside firewalld's files and what is wanted.
#[derive(Clone, Debug)]
pub(super) struct Surroundings<'a> {
    /// Where firewalld has its files.
    pub(super) folders: &'a Folders,
    /// Which zones are meant.
    pub(super) choice: &'a Choice,
    /// The zones of the running firewalld.
    pub(super) running: &'a [Zone],
    /// Whether boot starts `NetworkManager`.
    pub(super) manager: bool,
    /// The interfaces of this host.
    pub(super) interfaces: &'a [Interface],
}

impl Surroundings<'_> {
    fn key(&self, seen: &[Seen], desired: &Desired) -> Digest {
        let mut fingerprint = Fingerprint::default();
        fingerprint.add(env!("CARGO_PKG_VERSION").as_bytes());
        fingerprint.add(&identity(Path::new("/proc/self/exe")));
        let Self {
            folders,
            choice,
            running,
            manager,
            interfaces,
        } = self;
        let around = (folders, choice, running, manager, interfaces, desired);
        fingerprint.add(format!("{around:?}").as_bytes());
        for seen in seen {
            seen.add_to(&mut fingerprint);
        }
        fingerprint.finish()
    }

    /// The proof of an earlier run, if nothing that it depends on has changed since.
    pub(super) fn remembered(&self, desired: &Desired) -> Option<Proof> {
        let text = recall(Path::new(ROOT), NAME)?;
        let disk = Disk::new(Path::new(ROOT), self.folders);
        for line in looks(&text) {
            disk.look(line)?;
        }
        parse(&text, &self.key(&disk.seen(), desired))
    }

    /// Remembers what a configuration made of these was proved to be.
    pub(super) fn remember(&self, seen: &[Seen], desired: &Desired, proof: &Proof) {
        let lines: Vec<String> = seen.iter().map(Seen::line).collect();
        let text = format(proof, &self.key(seen, desired), &lines);
        store(Path::new(ROOT), NAME, &text);
    }
}

/// Forgets the proof of the system under `root`.
pub(super) fn forget(root: &Path) {
    memory::forget(root, NAME);
}
