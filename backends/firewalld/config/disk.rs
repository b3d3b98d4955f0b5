//! The folders and files that firewalld reads.

use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::host::file;

/// The system under a root.
#[derive(Clone, Debug)]
pub(super) struct Disk<'a> {
    pub(super) root: &'a Path,
}

impl Disk<'_> {
    /// Where a path of the system is now, as reports name it.
    pub(super) fn at(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// A whole file, links followed; `None` when there is none.
    pub(super) fn read(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        let real = match file::follow(self.root, path) {
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
        let Ok(real) = file::follow(self.root, folder) else {
            return Ok(Vec::new());
        };
        let entries = match std::fs::read_dir(&real) {
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
    pub(super) fn is_folder(&self, path: &Path) -> bool {
        file::follow(self.root, path).is_ok_and(|real| real.is_dir())
    }
}

fn is_missing(error: &std::io::Error) -> bool {
    matches!(error.kind(), IoKind::NotFound | IoKind::NotADirectory)
}

fn unreadable(path: &Path, source: std::io::Error) -> Error {
    let message = format!("cannot read `{}`", path.display());
    let kind = Error::from(std::io::Error::from(source.kind())).kind();
    Error::new(kind, message).with_source(source)
}
