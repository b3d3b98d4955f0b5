//! Makes a file of root's that is not there yet: at any moment it is missing or whole.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, RenameFlags};

use super::file::resolve;
use crate::error::{Error, ErrorKind, Result};

/// How the name of a file ends that is not whole yet; it begins with a dot.
pub(crate) const TEMPORARY: &str = ".pasvsync";

/// Makes the file, whose path is meant as seen from `root`, with the mode given, and gives its real path. Its folder
/// must be there, and be nobody's but root's and the running user's.
///
/// # Errors
/// `Changed` when something of that name is there meanwhile; `NotOurs` when somebody else could change the folder; `Io`
/// when the system refuses. Nothing is left behind then.
pub fn create(root: &Path, path: &Path, bytes: &[u8], mode: u32) -> Result<PathBuf> {
    let name = path.file_name().unwrap_or_default();
    let folder = resolve(root, path.parent().unwrap_or(Path::new("/")))?;
    let target = folder.join(name);
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(TEMPORARY);
    let temporary = folder.join(hidden);
    // What a killed run left behind.
    let _ = std::fs::remove_file(&temporary);
    let made = write(&temporary, bytes, mode).and_then(|()| {
        rustix::fs::renameat_with(CWD, &temporary, CWD, &target, RenameFlags::NOREPLACE)?;
        File::open(&folder)?.sync_all()
    });
    made.map_err(|source| {
        let _ = std::fs::remove_file(&temporary);
        let kind = match source.kind() {
            std::io::ErrorKind::AlreadyExists => ErrorKind::Changed,
            std::io::ErrorKind::PermissionDenied => ErrorKind::Permission,
            _ => ErrorKind::Io,
        };
        Error::new(
            kind,
            format!("cannot make `{}`: {source}", target.display()),
        )
        .with_source(source)
    })?;
    Ok(target)
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let open = || rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR);
    let mut file = File::from(rustix::io::retry_on_intr(open)?);
    file.write_all(bytes)?;
    // The mask of the running process must not decide who can read a daemon's configuration.
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_made_once_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = create(folder.path(), Path::new("/new"), b"text\n", 0o644).unwrap();
        assert_eq!(fs_err::read(&path).unwrap(), b"text\n");
        let mode = fs_err::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o644);
        let error = create(folder.path(), Path::new("/new"), b"other", 0o644).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Changed);
        assert_eq!(fs_err::read(&path).unwrap(), b"text\n");
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
    }
}
