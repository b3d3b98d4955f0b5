//! Looking around on a system's disk: what is not there is an answer, what cannot be read is none.
//!
//! A loader that is overlooked would make the next boot look as if nothing filtered it. So the first thing that could not
//! be read is kept, and nothing is judged on the rest.

use std::fs::{DirEntry, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::error::{Error, ErrorKind};
use crate::host::file::{read_dir, read_plain};

/// Remembers the first path that could not be read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Look {
    unread: OnceLock<(PathBuf, io::ErrorKind, String)>,
}

impl Look {
    /// What could not be read, if anything.
    pub(crate) fn failure(&self) -> Option<Error> {
        let (path, kind, words) = self.unread.get()?;
        let message = format!(
            "it cannot be told what boot loads: `{}` cannot be read: {words}",
            path.display()
        );
        let kind = match kind {
            io::ErrorKind::PermissionDenied => ErrorKind::Permission,
            _ => ErrorKind::Io,
        };
        Some(Error::new(kind, message))
    }

    /// The answer, or that nothing is there.
    pub(crate) fn told<T>(&self, path: &Path, answer: io::Result<T>) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(error) => {
                let absent = matches!(
                    error.kind(),
                    io::ErrorKind::NotFound
                        | io::ErrorKind::NotADirectory
                        | io::ErrorKind::InvalidInput
                        | io::ErrorKind::InvalidFilename
                        | io::ErrorKind::IsADirectory
                        // Whoever may not look may not write either; and a loop of links leads nowhere.
                        | io::ErrorKind::PermissionDenied
                ) || error.raw_os_error()
                    == Some(rustix::io::Errno::LOOP.raw_os_error());
                if !absent {
                    let unread = (path.to_owned(), error.kind(), error.to_string());
                    // The first one stays.
                    let _ = self.unread.set(unread);
                }
                None
            }
        }
    }

    /// What a path leads to.
    pub(crate) fn metadata(&self, path: &Path) -> Option<Metadata> {
        self.told(path, std::fs::metadata(path))
    }

    /// Where a link points.
    pub(crate) fn link(&self, path: &Path) -> Option<PathBuf> {
        self.told(path, std::fs::read_link(path))
    }

    /// What is in a folder; nothing when there is none.
    pub(crate) fn entries(&self, path: &Path) -> Vec<DirEntry> {
        let entries = self.told(path, read_dir(path)).into_iter().flatten();
        entries.filter_map(|entry| self.told(path, entry)).collect()
    }

    /// What is in a plain file.
    pub(crate) fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        self.told(path, read_plain(path))
    }

    /// The same as text; empty when there is no such file.
    pub(crate) fn text(&self, path: &Path) -> String {
        String::from_utf8_lossy(&self.bytes(path).unwrap_or_default()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_no_failure_and_what_cannot_be_read_is() {
        let folder = tempfile::tempdir().unwrap();
        let look = Look::default();
        assert_eq!(look.text(&folder.path().join("none")), "");
        assert!(look.link(&folder.path().join("none/deeper")).is_none());
        assert!(look.entries(&folder.path().join("none")).is_empty());
        assert!(look.failure().is_none());
        let broken: io::Result<()> = Err(io::Error::from_raw_os_error(5));
        assert_eq!(look.told(Path::new("/etc/x"), broken), None);
        let words = look.failure().unwrap().to_string();
        assert!(words.contains("`/etc/x`"), "{words}");
    }
}
