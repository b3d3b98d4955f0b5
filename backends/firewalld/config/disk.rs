//! The folders and files that firewalld reads.

use std::cell::RefCell;
use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::boot::sources::{Digest, Fingerprint};
use crate::error::{Error, Result};
use crate::host::file;

/// The system under a root.
#[derive(Clone, Debug)]
pub(crate) struct Disk<'a> {
    root: &'a Path,
    /// Where firewalld's own folders are.
    folders: &'a Folders,
    seen: RefCell<Vec<Seen>>,
}

/// Something that was looked at, and what was seen: a configuration that was read is made of these and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    what: What,
    path: PathBuf,
    digest: Digest,
}

/// What was asked about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// What is in the file.
    File,
    /// The names in the folder.
    Folder,
    /// Whether it is a folder.
    Kind,
}

impl What {
    const ALL: [Self; 3] = [Self::File, Self::Folder, Self::Kind];

    fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "folder",
            Self::Kind => "kind",
        }
    }
}

impl Seen {
    /// What was looked at, as one line.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.what.word(), self.path.display())
    }

    /// Adds it to what a proof depends on.
    pub(crate) fn add_to(&self, fingerprint: &mut Fingerprint) {
        fingerprint.add(self.what.word().as_bytes());
        fingerprint.add_path(&self.path);
        fingerprint.add(&self.digest);
    }
}

/// Where firewalld has its files: it can be told to look elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folders {
    /// The admin's, `--system-config`.
    pub system: PathBuf,
    /// The package's, `--default-config`.
    pub stock: PathBuf,
}

impl Default for Folders {
    fn default() -> Self {
        Self {
            system: PathBuf::from(super::ETC),
            stock: PathBuf::from(super::USR),
        }
    }
}

impl<'a> Disk<'a> {
    /// The system under `root`, where firewalld has its files in these folders.
    pub(crate) fn new(root: &'a Path, folders: &'a Folders) -> Self {
        Self {
            root,
            folders,
            seen: RefCell::default(),
        }
    }

    /// Everything that was looked at, in order.
    pub(crate) fn seen(self) -> Vec<Seen> {
        self.seen.into_inner()
    }

    fn note<'p>(&self, what: What, path: &Path, parts: impl IntoIterator<Item = &'p [u8]>) {
        let mut fingerprint = Fingerprint::default();
        parts.into_iter().for_each(|part| fingerprint.add(part));
        self.seen.borrow_mut().push(Seen {
            what,
            path: path.to_owned(),
            digest: fingerprint.finish(),
        });
    }

    /// Looks again at what a line of [`Seen::line`] says; `None` when that is no such line, or cannot be told.
    pub(crate) fn look(&self, line: &str) -> Option<()> {
        let (word, path) = line.split_once(' ')?;
        let path = Path::new(path);
        match What::ALL.into_iter().find(|what| what.word() == word)? {
            What::File => drop(self.read(path).ok()?),
            What::Folder => drop(self.list(path).ok()?),
            What::Kind => {
                self.is_folder(path).ok()?;
            }
        }
        Some(())
    }

    /// Where a path of the system is now, as reports name it.
    pub(super) fn at(&self, path: &Path) -> PathBuf {
        let path = self.meant(path);
        self.root.join(path.strip_prefix("/").unwrap_or(&path))
    }

    /// The path with firewalld's folder where it is.
    fn meant(&self, path: &Path) -> PathBuf {
        if let Ok(inside) = path.strip_prefix(super::ETC) {
            return self.folders.system.join(inside);
        }
        if let Ok(inside) = path.strip_prefix(super::USR) {
            return self.folders.stock.join(inside);
        }
        path.to_owned()
    }

    /// A whole file, links followed; `None` when there is none.
    pub(super) fn read(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        let bytes = self.read_now(path)?;
        self.note(What::File, path, bytes.as_deref());
        Ok(bytes)
    }

    fn read_now(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        let real = match file::follow(self.root, &self.meant(path)) {
            Ok(real) => real,
            // A link that leads nowhere is there all the same.
            Err(error) => {
                return match std::fs::symlink_metadata(self.at(path)) {
                    Err(missing) if is_missing(&missing) => Ok(None),
                    _ => Err(error),
                };
            }
        };
        match std::fs::read(&real) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(source) if source.kind() == IoKind::NotFound => Ok(None),
            Err(source) => Err(unreadable(&real, source)),
        }
    }

    /// The names in a folder, sorted; none when there is no such folder.
    pub(super) fn list(&self, folder: &Path) -> Result<Vec<String>> {
        let names = self.list_now(folder)?;
        self.note(What::Folder, folder, names.iter().map(String::as_bytes));
        Ok(names)
    }

    fn list_now(&self, folder: &Path) -> Result<Vec<String>> {
        let real = match file::follow(self.root, &self.meant(folder)) {
            Ok(real) => real,
            Err(error) if leads_nowhere(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let entries = match file::read_dir(&real) {
            Ok(entries) => entries,
            Err(source) if is_missing(&source) => return Ok(Vec::new()),
            Err(source) => return Err(unreadable(&real, source)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|source| unreadable(&real, source))?;
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    /// Whether it is a folder, links followed.
    pub(super) fn is_folder(&self, path: &Path) -> Result<bool> {
        let folder = self.is_folder_now(path)?;
        self.note(What::Kind, path, folder.then_some([].as_slice()));
        Ok(folder)
    }

    fn is_folder_now(&self, path: &Path) -> Result<bool> {
        match file::follow(self.root, &self.meant(path)) {
            Ok(real) => match std::fs::metadata(&real) {
                Ok(metadata) => Ok(metadata.is_dir()),
                Err(source) if is_missing(&source) => Ok(false),
                Err(source) => Err(unreadable(&real, source)),
            },
            Err(error) if leads_nowhere(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Whether a path could not be followed since there is nothing, or a link to nothing or itself.
fn leads_nowhere(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    let source = source.and_then(|source| source.downcast_ref::<std::io::Error>());
    let errno = source.and_then(Errno::from_io_error);
    matches!(errno, Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP))
}

fn is_missing(error: &std::io::Error) -> bool {
    matches!(error.kind(), IoKind::NotFound | IoKind::NotADirectory)
}

fn unreadable(path: &Path, source: std::io::Error) -> Error {
    let message = format!("cannot read `{}`", path.display());
    let kind = Error::from(std::io::Error::from(source.kind())).kind();
    Error::new(kind, message).with_source(source)
}
