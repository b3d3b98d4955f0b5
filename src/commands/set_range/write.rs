//! Writing edits so that all of them stand, or none.

use std::path::{Path, PathBuf};

use firewall::host::create::create;
use firewall::host::file::Snapshot;
use firewall::{Error, ErrorKind};

use crate::daemons::Edit;

/// A daemon's option that was not there before is for everybody to read, like those that its package brings.
const NEW_FILE_MODE: u32 = 0o644;

/// Edits that stand in the files.
#[derive(Debug)]
pub(super) struct Written<'a> {
    root: &'a Path,
    edits: Vec<(&'a Edit, PathBuf)>,
}

impl<'a> Written<'a> {
    /// Writes the edits one after the other; when one cannot be written, those before it are taken back.
    pub(super) fn write(root: &'a Path, edits: &'a [Edit]) -> anyhow::Result<Self> {
        let mut written = Self {
            root,
            edits: Vec::new(),
        };
        for edit in edits {
            match one(root, edit) {
                Ok(path) => written.edits.push((edit, path)),
                Err(error) => {
                    written.undo()?;
                    return Err(error.into());
                }
            }
        }
        Ok(written)
    }

    /// Puts back what was there before, provided that nobody has changed it since.
    pub(super) fn undo(&self) -> anyhow::Result<()> {
        for (edit, path) in self.edits.iter().rev() {
            let now = Snapshot::read(self.root, &edit.path)?;
            if now.bytes() != edit.after {
                return Err(changed(&edit.path).into());
            }
            match &edit.before {
                Some(before) => now.replace(before)?,
                None => fs_err::remove_file(path)?,
            }
        }
        Ok(())
    }
}

/// Writes one edit, and gives the file's real path.
fn one(root: &Path, edit: &Edit) -> firewall::Result<PathBuf> {
    let Some(before) = &edit.before else {
        return create(root, &edit.path, &edit.after, NEW_FILE_MODE);
    };
    let now = Snapshot::read(root, &edit.path)?;
    if now.bytes() != before {
        return Err(changed(&edit.path));
    }
    now.replace(&edit.after)?;
    Ok(now.path().to_path_buf())
}

fn changed(path: &Path) -> Error {
    let message = format!("`{}` changed while it was edited", path.display());
    Error::new(ErrorKind::Changed, message)
        .with_hint("somebody else is editing it; try again when they are done")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn edit(path: &str, before: Option<&str>, after: &str) -> Edit {
        Edit {
            path: PathBuf::from(path),
            before: before.map(|text| text.as_bytes().to_vec()),
            after: after.as_bytes().to_vec(),
        }
    }

    #[test]
    fn all_edits_stand_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs_err::write(root.join("a"), "old").unwrap();
        fs_err::set_permissions(root.join("a"), PermissionsExt::from_mode(0o640)).unwrap();
        let edits = [edit("/a", Some("old"), "new"), edit("/b", None, "made")];
        let written = Written::write(root, &edits).unwrap();
        assert_eq!(fs_err::read_to_string(root.join("a")).unwrap(), "new");
        assert_eq!(fs_err::read_to_string(root.join("b")).unwrap(), "made");
        written.undo().unwrap();
        let mode = fs_err::metadata(root.join("a"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o640);
        assert_eq!(fs_err::read_to_string(root.join("a")).unwrap(), "old");
        assert!(!root.join("b").exists());
        let edits = [
            edit("/a", Some("old"), "new"),
            edit("/c", Some("x"), "made"),
        ];
        assert!(Written::write(root, &edits).is_err());
        assert_eq!(fs_err::read_to_string(root.join("a")).unwrap(), "old");
        assert_eq!(fs_err::read_dir(root).unwrap().count(), 1);
    }
}
