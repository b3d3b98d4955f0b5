//! The next boot: what its loaders will load, judged by loading it, and edited in the admin's own files.
//!
//! Nothing is parsed that a loader could load: boot's own programs fill a scratch network namespace, and that is read
//! like the host's. An edit is one line in the right place. The place is found by proof: the edited text, loaded, must
//! be the ruleset that is wanted, and the file is replaced only then.

mod find;
#[cfg(all(feature = "kernel", feature = "firewalld"))]
pub(crate) mod fuzzing;
mod iptables_text;
mod load;
mod look;
pub(crate) mod memory;
mod nft_text;
mod places;
mod scripts;
mod search;
mod shape;
pub(crate) mod sources;
#[cfg(test)]
mod tests;
mod text;
mod with;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

pub use find::{Boot, Note};
pub use load::BOOT_UNIT;
pub use with::{LayerEdit, WithBoot, not_written, unjudged};

use self::search::Search;
use self::shape::Shape;
use self::sources::{Digest, Source, digest};
use self::text::{Splice, Text};
use crate::backend::{Desired, Plan, Proof};
use crate::error::{Error, ErrorKind, Result};
use crate::host::file::Snapshot;
use crate::model::ruleset::{Interface, Ruleset, Table};
use crate::{netfilter, own};

/// As often the files may change while they are loaded.
const ATTEMPTS: usize = 5;

/// The permanent layer of a host whose rules come from plain files.
#[derive(Debug)]
pub struct BootLayer {
    boot: Boot,
    /// Remembered proofs do not count.
    fresh: bool,
    /// What the last ruleset was loaded from.
    inputs: Inputs,
    /// The last load, by the digest of what went in.
    last: RefCell<Option<(Digest, Ruleset)>>,
}

/// What a load reads.
#[derive(Clone, Debug, Default)]
struct Inputs {
    sources: Vec<Source>,
    interfaces: Vec<Interface>,
}

/// One change of a boot file, printed as an admin would see it: `/etc/nftables.conf:23: + tcp dport ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The file, as the booted system sees it.
    file: PathBuf,
    /// Where it is now.
    path: PathBuf,
    /// The digest of the whole file that the change is made for.
    before: Digest,
    splice: Splice,
}

impl fmt::Display for Edit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, bytes) = if self.splice.inserted.is_empty() {
            ('-', &self.splice.removed)
        } else {
            ('+', &self.splice.inserted)
        };
        let text = String::from_utf8_lossy(bytes);
        let text: String = text
            .trim()
            .chars()
            .filter(|letter| !letter.is_control())
            .collect();
        let (path, line) = (self.path.display(), self.splice.line);
        write!(formatter, "{path}:{line}: {sign} {text}")
    }
}

impl BootLayer {
    /// Finds what the next boot of the system under `root` loads. With `fresh`, no remembered proof counts.
    pub fn open(root: &Path, fresh: bool) -> Self {
        Self {
            boot: Boot::find(root),
            fresh,
            inputs: Inputs::default(),
            last: RefCell::new(None),
        }
    }

    /// Which loaders boot runs, and what is to be said of them.
    pub fn boot(&self) -> &Boot {
        &self.boot
    }

    /// Whether the next boot is judged here: it is not when firewalld, ufw or CSF is in charge of it, or when it fills
    /// another network namespace than this one.
    pub fn in_charge(&self) -> bool {
        self.boot.managed().is_none() && !self.boot.elsewhere
    }

    /// What the next boot loads. Nothing is started when it loads nothing, or when nothing changed since the last call.
    ///
    /// # Errors
    /// `Refused`, with its words, when a loader rejects a file; `Unsupported` when a loader is missing or what it does
    /// cannot be told; `Permission` without `CAP_SYS_ADMIN`.
    pub fn ruleset(&mut self) -> Result<Ruleset> {
        if let Some(error) = self.boot.look.failure() {
            return Err(error);
        }
        for _ in 0..ATTEMPTS {
            let inputs = self.read_inputs()?;
            if !self.boot.loads() {
                return Ok(Ruleset {
                    interfaces: inputs.interfaces,
                    ..Ruleset::default()
                });
            }
            let texts: Vec<Vec<u8>> = inputs
                .sources
                .iter()
                .map(|source| source.bytes.clone())
                .collect();
            let ruleset = self.load(&inputs, &texts);
            // The loader read the files after they were read here.
            if sources::read(&self.boot)? == inputs.sources {
                self.inputs = inputs;
                return ruleset;
            }
            self.last.replace(None);
        }
        Err(Error::new(
            ErrorKind::Changed,
            "the boot configuration keeps changing while it is read",
        ))
    }

    /// The lines of boot files that are ours, each with its file's path and its number from 1; also of files that their
    /// loader rejects.
    ///
    /// # Errors
    /// When one of the files cannot be read.
    pub fn own_lines(&self) -> Result<Vec<(PathBuf, usize)>> {
        let mut found = Vec::new();
        for source in sources::read(&self.boot)? {
            let path = self.boot.real(&source.path);
            let lines = Text::new(&source.bytes).own_lines();
            found.extend(lines.iter().map(|(index, _)| (path.clone(), index + 1)));
        }
        Ok(found)
    }

    /// Whether boot starts `NetworkManager`.
    pub fn network_manager(&self) -> bool {
        !self.boot.elsewhere && self.boot.enabled("NetworkManager")
    }

    /// Whether remembered proofs are not to count.
    pub(crate) fn fresh(&self) -> bool {
        self.fresh
    }

    /// Whether boot loads nothing beside the program in charge of it.
    pub(crate) fn nothing_beside(&self, manager: &str) -> bool {
        let mut managed = self.boot.managed.iter();
        self.boot.elsewhere || !self.boot.loads() && managed.all(|other| *other == manager)
    }

    /// What boot loads beside the program in charge of it: both filter then, whichever comes first.
    ///
    /// # Errors
    /// `NotOurs` when another such program is enabled as well; what [`BootLayer::ruleset`] says.
    pub fn beside(&mut self, manager: &str) -> Result<Vec<Table>> {
        if self.nothing_beside(manager) {
            return Ok(Vec::new());
        }
        let mut others = self.boot.managed.iter();
        if let Some(other) = others.find(|other| **other != manager) {
            return Err(Error::new(
                ErrorKind::NotOurs,
                format!(
                    "{other} loads rules at boot too, beside {manager}, and those are not judged"
                ),
            )
            .with_hint(format!(
                "keep one of {other} and {manager}, and disable the other"
            )));
        }
        Ok(self.ruleset()?.tables)
    }

    /// Whether what is ours in the ruleset is just what `desired` needs, given that its ports are open.
    pub fn settled(&self, ruleset: &Ruleset, desired: &Desired) -> bool {
        own::settled(ruleset, &desired.ports)
    }

    /// The edits of the files that make `desired` reachable after the next boot, each proved in a scratch namespace.
    /// `ruleset` is the last one that [`BootLayer::ruleset`] gave.
    ///
    /// # Errors
    /// When a proof cannot be made at all; a file that cannot be edited is a refusal of the plan.
    pub fn plan(&self, ruleset: &Ruleset, desired: &Desired) -> Result<Plan<Edit>> {
        let decision = own::decide(ruleset, desired);
        let mut refusals = decision.refusals.clone();
        if decision.stale().next().is_none() && decision.insertions.is_empty() {
            return Ok(Plan {
                edits: Vec::new(),
                refusals,
            });
        }
        let sources = &self.inputs.sources;
        let mut search = Search {
            load: &|texts| self.load(&self.inputs, texts),
            sources,
            texts: sources
                .iter()
                .map(|source| Text::new(&source.bytes))
                .collect(),
            shape: Shape::of(ruleset),
            started: Instant::now(),
        };
        refusals.extend(search.edit(&decision)?);
        let edited = sources.iter().zip(&search.texts);
        let edits = edited.flat_map(|(source, text)| {
            let before = digest(&source.bytes);
            text.splices().into_iter().map(move |splice| Edit {
                path: self.boot.real(&source.path),
                file: source.path.clone(),
                before,
                splice,
            })
        });
        Ok(Plan {
            edits: edits.collect(),
            refusals,
        })
    }

    /// Makes the edits, all or none, once the edited files have been proved to load, and to change nothing but what is
    /// ours. Returns the edits that restore the files byte for byte.
    ///
    /// # Errors
    /// `Changed` when a file is no longer as it was planned for; `Refused` when the loader would reject it; what writing
    /// says. The files are then as before.
    pub fn apply(&mut self, ruleset: &Ruleset, edits: &[Edit]) -> Result<Vec<Edit>> {
        let mut changes = self.changes(edits)?;
        let inputs = self.read_inputs()?;
        let texts = inputs.sources.iter().map(|source| {
            let change = changes.iter().find(|change| change.file == source.path);
            change.map_or_else(|| source.bytes.clone(), |change| change.after.clone())
        });
        let loaded = self.load(&inputs, &texts.collect::<Vec<_>>())?;
        if Shape::of(&loaded).foreign != Shape::of(ruleset).foreign {
            return Err(Error::new(
                ErrorKind::Changed,
                "the boot configuration changed since the edit was planned",
            ));
        }
        let mut undo = Vec::new();
        for index in 0..changes.len() {
            let Some(change) = changes.get_mut(index) else {
                break;
            };
            if let Err(error) = change.snapshot.replace(&change.after) {
                self.restore(&undo)?;
                return Err(error);
            }
            undo.extend(change.undo());
        }
        Ok(undo)
    }

    /// The proof of an earlier run, if nothing that it depends on has changed since.
    pub fn remembered(&self, desired: &Desired) -> Option<Proof> {
        if self.fresh || self.boot.look.failure().is_some() {
            return None;
        }
        let inputs = self.read_inputs().ok()?;
        let key = memory::key(&self.boot, &inputs.sources, &inputs.interfaces, desired);
        memory::parse(&memory::recall(&self.boot.root, memory::NAME)?, &key)
    }

    /// Remembers that the last ruleset was judged to be in sync. Whatever cannot be remembered is proved again. Of no
    /// ports nothing is remembered, nor left behind.
    pub fn remember(&self, desired: &Desired, proof: &Proof) {
        if desired.ports.is_empty() {
            return memory::forget(&self.boot.root, memory::NAME);
        }
        let all_open = proof
            .reach
            .iter()
            .all(crate::model::reach::ReachMap::all_open);
        if !all_open || !self.boot.loads() {
            return;
        }
        let inputs = &self.inputs;
        let key = memory::key(&self.boot, &inputs.sources, &inputs.interfaces, desired);
        let text = memory::format(proof, &key, &[]);
        memory::store(&self.boot.root, memory::NAME, &text);
    }

    fn read_inputs(&self) -> Result<Inputs> {
        Ok(Inputs {
            sources: sources::read(&self.boot)?,
            interfaces: netfilter::interfaces()?,
        })
    }

    /// What boot would load if the files held these texts.
    fn load(&self, inputs: &Inputs, texts: &[Vec<u8>]) -> Result<Ruleset> {
        let files = inputs.sources.iter().zip(texts);
        let files = files.map(|(source, text)| (source.path.as_path(), text.as_slice()));
        let key = sources::of_load(&self.boot, files, &inputs.interfaces);
        if let Some((_, ruleset)) = self.last.borrow().as_ref().filter(|(last, _)| *last == key) {
            return Ok(ruleset.clone());
        }
        let ruleset = load::load(&self.boot, &inputs.sources, texts, &inputs.interfaces)?;
        self.last.replace(Some((key, ruleset.clone())));
        Ok(ruleset)
    }

    /// The edits by file.
    fn changes(&self, edits: &[Edit]) -> Result<Vec<Change>> {
        let mut files: BTreeMap<&Path, Vec<&Edit>> = BTreeMap::new();
        for edit in edits {
            files.entry(&edit.file).or_default().push(edit);
        }
        let changes = files.into_iter().map(|(file, mut edits)| {
            edits.sort_by_key(|edit| edit.splice.offset);
            let snapshot = Snapshot::read(&self.boot.root, file)?;
            let same = |edit: &&Edit| edit.before == digest(snapshot.bytes());
            let splices: Vec<&Splice> = edits.iter().map(|edit| &edit.splice).collect();
            match text::splice(snapshot.bytes(), &splices) {
                Some(after) if edits.iter().all(same) => Ok(Change {
                    file: file.to_owned(),
                    after,
                    edits: edits.into_iter().cloned().collect(),
                    snapshot,
                }),
                _ => Err(Error::new(
                    ErrorKind::Changed,
                    format!(
                        "`{}` changed since the edit was planned",
                        snapshot.path().display()
                    ),
                )),
            }
        });
        changes.collect()
    }

    /// Takes back what was written before a later file could not be.
    fn restore(&self, undo: &[Edit]) -> Result<()> {
        for change in self.changes(undo)? {
            change.snapshot.replace(&change.after)?;
        }
        Ok(())
    }
}

/// All edits of one file.
struct Change {
    file: PathBuf,
    snapshot: Snapshot,
    after: Vec<u8>,
    /// By offset.
    edits: Vec<Edit>,
}

impl Change {
    /// The edits that make the file what it was.
    fn undo(&self) -> Vec<Edit> {
        let before = digest(&self.after);
        let splices: Vec<&Splice> = self.edits.iter().map(|edit| &edit.splice).collect();
        let inverse = text::inverse(&splices).into_iter().zip(&self.edits);
        let undo = inverse.map(|(splice, edit)| Edit {
            before,
            splice,
            ..edit.clone()
        });
        undo.collect()
    }
}
