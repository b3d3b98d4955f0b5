//! What is ours where no mark fits: a text of a few lines under `/var/lib/pasvsync`, one for each thing.
//!
//! A line is written before its thing is made and taken out after it is gone, so that nothing of ours is ever forgotten;
//! whoever reads it has to look whether the thing is really there.

use std::path::{Path, PathBuf};

use super::file::{read_private, remove_private, write_private};
use crate::error::{Error, ErrorKind, Result};

/// The folder, under the root.
const FOLDER: &str = "var/lib/pasvsync";

/// The first line, so that a file of another form is never taken for one of these.
const HEADER: &str = "pasvsync owns 1";

/// The list of what is ours in one firewall.
#[derive(Clone, Debug)]
pub struct Owned {
    folder: PathBuf,
    name: String,
}

impl Owned {
    /// The list of that name under `root`, which is read and written only when asked.
    pub fn new(root: &Path, name: &str) -> Self {
        Self {
            folder: root.join(FOLDER),
            name: format!("{name}.owned"),
        }
    }

    /// The lines, in the order they were written; none when there is no list.
    ///
    /// # Errors
    /// `Protocol` when the file is no such list: what is ours is then not known, and nothing may be taken away. Else as
    /// for [`read_private`].
    pub fn read(&self) -> Result<Vec<String>> {
        let Some(bytes) = read_private(&self.folder, &self.name)? else {
            return Ok(Vec::new());
        };
        Self::parse(&bytes).ok_or_else(|| {
            let path = self.folder.join(&self.name);
            Error::new(
                ErrorKind::Protocol,
                format!("`{}` is not what pasvsync wrote there", path.display()),
            )
            .with_hint(format!(
                "see what is in it, then remove it: what it listed is then no longer known as pasvsync's: rm {}",
                path.display()
            ))
        })
    }

    /// The lines of a list's text; `None` for what is no list.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Vec<String>> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut lines = text.ends_with('\n').then(|| text.lines())?;
        let lines = (lines.next() == Some(HEADER)).then_some(lines)?;
        Some(lines.map(ToOwned::to_owned).collect())
    }

    /// The text of a list.
    pub(crate) fn text(lines: &[String]) -> String {
        let mut text = HEADER.to_owned();
        for line in lines {
            text.push('\n');
            text.push_str(&line.replace(char::is_control, " "));
        }
        text.push('\n');
        text
    }

    /// Writes the lines, none of which may contain a line break; an empty list leaves no file, and no empty folder.
    ///
    /// # Errors
    /// As for [`write_private`].
    pub fn write(&self, lines: &[String]) -> Result<()> {
        if !lines.is_empty() {
            return write_private(&self.folder, &self.name, Self::text(lines).as_bytes());
        }
        remove_private(&self.folder, &self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(root.path().join("var/lib")).unwrap();
        root
    }

    #[test]
    fn a_list_comes_back_and_goes_away_with_its_last_line() {
        let root = root();
        let owned = Owned::new(root.path(), "firewall");
        assert_eq!(owned.read().unwrap(), Vec::<String>::new());
        let lines = ["public 50000-50100".to_owned(), "dmz 21".to_owned()];
        owned.write(&lines).unwrap();
        assert_eq!(owned.read().unwrap(), lines);
        owned.write(&[]).unwrap();
        assert_eq!(owned.read().unwrap(), Vec::<String>::new());
        assert!(!root.path().join(FOLDER).exists());
    }

    #[test]
    fn what_is_no_list_is_an_error() {
        let root = root();
        let owned = Owned::new(root.path(), "firewall");
        for text in [
            "",
            "pasvsync owns 1",
            "public 50000-50100\n",
            "pasvsync owns 2\n",
            "pasvsync owns 12\n",
        ] {
            write_private(&root.path().join(FOLDER), "firewall.owned", text.as_bytes()).unwrap();
            let error = owned.read().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{text:?}");
        }
    }
}
