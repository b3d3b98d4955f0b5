//! csf.conf on the disk: read, locked as csf locks it, kept as a profile that csf can restore, and replaced in one step.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};
use crate::host::create::{TEMPORARY, create};
use crate::host::file::{Snapshot, read_dir, resolve};
use crate::host::lock::PATIENCE;

/// The file, as csf sees it.
pub(super) const CONF: &str = "/etc/csf/csf.conf";
/// Where csf keeps earlier versions: `csf --profile restore NAME`.
const BACKUPS: &str = "/var/lib/csf/backup";
/// How the names of ours end there; before that comes the time.
const BACKUP: &str = "_pasvsync";
/// Held by csf while it rebuilds its rules.
const CSF_LOCK: &str = "/var/lib/csf/csf.lock";
/// The mode of all of csf's files.
const MODE: u32 = 0o600;
/// csf keeps its folders so.
const FOLDER_MODE: &str = "csf's folders have mode 0600, so that even root needs CAP_DAC_OVERRIDE to write there; a systemd unit must allow it";
const PAUSE: Duration = Duration::from_millis(20);

/// Reads csf.conf.
///
/// # Errors
/// `NotOurs` when others could change it; `Io` when it cannot be read.
pub(super) fn read(root: &Path) -> Result<Snapshot> {
    Snapshot::read(root, Path::new(CONF))
}

/// Puts other text in the place of csf.conf, provided that it still is `before`.
///
/// # Errors
/// `Changed` when it is not; `Busy` when csf or its web interface holds its lock; what writing says. The file is then as
/// before.
pub(super) fn write(root: &Path, before: &[u8], after: &[u8]) -> Result<()> {
    // csf and its web interface lock the file itself. The lock ends here, before any of csf's commands could want it.
    let _lock = lock(root)?;
    let snapshot = read(root)?;
    if snapshot.bytes() != before {
        let message = format!("`{}` changed since it was read", snapshot.path().display());
        return Err(Error::new(ErrorKind::Changed, message));
    }
    let written = keep(root, before).and_then(|()| snapshot.replace(after));
    written.map_err(|error| match errno(&error) {
        Some(Errno::ACCESS) => error.with_hint(FOLDER_MODE),
        _ => error,
    })
}

/// What the system said.
fn errno(error: &Error) -> Option<Errno> {
    let source = std::error::Error::source(error)?;
    Errno::from_io_error(source.downcast_ref()?)
}

/// Locks csf.conf as csf does.
fn lock(root: &Path) -> Result<File> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let path = resolve(root, Path::new(CONF))?;
        let file = fs_err::File::open(&path)?.into_file();
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let (here, there) = (file.metadata()?, fs_err::metadata(&path)?);
                // Another file may have taken its place while this one was opened.
                if (here.dev(), here.ino()) == (there.dev(), there.ino()) {
                    return Ok(file);
                }
            }
            Err(Errno::INTR | Errno::WOULDBLOCK) => {}
            Err(errno) => return Err(std::io::Error::from(errno).into()),
        }
        if Instant::now() > deadline {
            return Err(busy(&path));
        }
        std::thread::sleep(PAUSE);
    }
}

fn busy(path: &Path) -> Error {
    let (path, seconds) = (path.display(), PATIENCE.as_secs());
    let message = format!("csf has held its lock of `{path}` for more than {seconds} s");
    Error::new(ErrorKind::Busy, message).with_hint(format!(
        "wait for it to end; `fuser -v {path}` names the process"
    ))
}

/// Keeps the text where csf keeps its own, if csf has made that folder.
fn keep(root: &Path, bytes: &[u8]) -> Result<()> {
    let folder = match resolve(root, Path::new(BACKUPS)) {
        Ok(folder) => folder,
        Err(error) if error.kind() == ErrorKind::Io && errno(&error) != Some(Errno::NOENT) => {
            return Err(error);
        }
        // Not there, or not csf's.
        Err(_) => return Ok(()),
    };
    remove_unfinished(&folder);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let mut seconds = now.map_or(0, |now| now.as_secs());
    loop {
        let name = format!("{BACKUPS}/{seconds}{BACKUP}");
        match create(root, Path::new(&name), bytes, MODE) {
            // Of the same second.
            Err(error) if error.kind() == ErrorKind::Changed => seconds += 1,
            outcome => return outcome.map(drop),
        }
    }
}

/// Takes away what runs that were killed left of backups: another time, another name.
fn remove_unfinished(folder: &Path) {
    for entry in read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let whole = name
            .to_str()
            .and_then(|name| name.strip_prefix('.')?.strip_suffix(TEMPORARY));
        if whole.is_some_and(|name| name.ends_with(BACKUP)) {
            // It does no harm where it is.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Waits until csf does not rebuild its rules.
///
/// # Errors
/// `Busy` when it goes on for longer than a run waits.
pub(super) fn wait_for_csf(root: &Path) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let path = root.join(CSF_LOCK.trim_start_matches('/'));
    while is_locked(&path) {
        if Instant::now() > deadline {
            return Err(busy(&path));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// Whether somebody holds a lock of the file, told without touching it: csf gives up when it does not get its lock at
/// once, and at boot the host would be without rules then.
fn is_locked(path: &Path) -> bool {
    let Ok(inode) = fs_err::metadata(path).map(|metadata| metadata.ino()) else {
        return false;
    };
    // Such as `1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF`. Its device is not always the one that stat(2) gives.
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let same = |line: &str| {
        let mut words = line.split_whitespace();
        words.nth(1) == Some("FLOCK")
            && words
                .nth(3)
                .and_then(|file| file.rsplit(':').next()?.parse().ok())
                == Some(inode)
    };
    locks.lines().any(same)
}

/// Where a file of csf's is.
pub(super) fn path(root: &Path, name: &str) -> PathBuf {
    root.join(name.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(root.path().join("etc/csf")).unwrap();
        let path = root.path().join("etc/csf/csf.conf");
        fs_err::write(&path, "TCP_IN = \"21\"").unwrap();
        fs_err::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        root
    }

    #[test]
    fn a_file_that_changed_since_it_was_read_stays_as_it_is() {
        let root = root();
        let read = read(root.path()).unwrap();
        let path = root.path().join("etc/csf/csf.conf");
        fs_err::write(&path, "TCP_IN = \"22\"").unwrap();
        let error = write(root.path(), read.bytes(), b"TCP_IN = \"21,30000:50000\"").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Changed);
        assert_eq!(fs_err::read(&path).unwrap(), b"TCP_IN = \"22\"");
    }

    #[test]
    fn what_was_there_is_kept_where_csf_finds_it() {
        let root = root();
        let backups = root.path().join("var/lib/csf/backup");
        fs_err::create_dir_all(&backups).unwrap();
        // Of a run that was killed.
        fs_err::write(backups.join(".1700000000_pasvsync.pasvsync"), "TCP_").unwrap();
        for (before, after) in [("TCP_IN = \"21\"", "one"), ("one", "two")] {
            write(root.path(), before.as_bytes(), after.as_bytes()).unwrap();
        }
        let names = fs_err::read_dir(&backups).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().path()).collect();
        names.sort();
        let kept: Vec<_> = names
            .iter()
            .map(|path| fs_err::read_to_string(path).unwrap())
            .collect();
        assert_eq!(kept, ["TCP_IN = \"21\"", "one"]);
        for path in names {
            assert!(path.to_string_lossy().ends_with("_pasvsync"));
            assert_eq!(fs_err::metadata(path).unwrap().mode() & 0o7777, MODE);
        }
    }

    #[test]
    fn a_lock_of_csf_is_seen_without_touching_it() {
        let root = root();
        let path = root.path().join("csf.lock");
        assert!(!is_locked(&path));
        let file = fs_err::File::create(&path).unwrap().into_file();
        assert!(!is_locked(&path));
        rustix::fs::flock(&file, FlockOperation::LockExclusive).unwrap();
        assert!(is_locked(&path));
        // Closing it does not do: a child that another test is just starting has it as well.
        rustix::fs::flock(&file, FlockOperation::Unlock).unwrap();
        assert!(!is_locked(&path));
    }
}
