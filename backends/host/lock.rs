//! One run at a time: a lock that goes away with the process that holds it.
//!
//! Rules live in a network namespace, so the lock does too: runs in different namespaces do not wait for each other.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};

/// The folder of the lock files; only root may write there, so that nobody else can hold a lock and stop a run.
const FOLDER: &str = "/run/pasvsync";

/// This process's network namespace.
const NAMESPACE: &str = "/proc/self/ns/net";

/// How long a run waits for another one.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How long it sleeps between two tries: flock has no time limit of its own.
const PAUSE: Duration = Duration::from_millis(20);

/// The lock, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits until no other run works on this network namespace, for [`PATIENCE`] at most.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] when another run does not finish in time; [`ErrorKind::Io`] when the lock file cannot be
    /// opened or its folder could be written by others.
    pub fn acquire() -> Result<Self> {
        let namespace = fs_err::metadata(NAMESPACE)?.ino();
        match folder(Path::new(FOLDER))? {
            Some(folder) => {
                let path = folder.join(format!("net-{namespace}.lock"));
                let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
                Self::wait(&path, flags, PATIENCE)
            }
            // Root of a user namespace has no /run of its own. The namespace itself can be locked like a file; only
            // since anybody in it can do so, the folder is better where there is one.
            None => Self::wait(
                Path::new(NAMESPACE),
                OFlags::RDONLY | OFlags::CLOEXEC,
                PATIENCE,
            ),
        }
    }

    fn wait(path: &Path, flags: OFlags, patience: Duration) -> Result<Self> {
        let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(|errno| {
            Error::new(
                ErrorKind::Io,
                format!("cannot open the lock file `{}`", path.display()),
            )
            .with_source(errno.into())
        })?;
        let start = Instant::now();
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _file: file.into() }),
                Err(Errno::WOULDBLOCK) if start.elapsed() < patience => std::thread::sleep(PAUSE),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => {
                    return Err(Error::new(
                        ErrorKind::Busy,
                        format!(
                            "another run has held the lock `{}` for more than {} s",
                            path.display(),
                            patience.as_secs()
                        ),
                    )
                    .with_hint(format!(
                        "wait for it to end; `fuser -v {}` names the process",
                        path.display()
                    )));
                }
                Err(errno) => {
                    return Err(Error::new(
                        ErrorKind::Io,
                        format!("cannot lock `{}`", path.display()),
                    )
                    .with_source(errno.into()));
                }
            }
        }
    }
}

/// Makes the folder of the lock files. `None` when this process may not, as in a user namespace.
fn folder(path: &Path) -> Result<Option<PathBuf>> {
    match rustix::fs::mkdir(path, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::NOENT) => return Ok(None),
        Err(errno) => {
            return Err(Error::new(
                ErrorKind::Io,
                format!("cannot make the lock folder `{}`", path.display()),
            )
            .with_source(errno.into()));
        }
    }
    let metadata = fs_err::symlink_metadata(path)?;
    let own = rustix::process::geteuid().as_raw();
    if metadata.uid() != own && metadata.uid() != 0 {
        // Seen from a user namespace, the host's root is nobody: the folder is his, not ours.
        return Ok(None);
    }
    if !metadata.is_dir() || metadata.mode() & 0o022 != 0 {
        return Err(Error::new(
            ErrorKind::Io,
            format!(
                "the lock folder `{}` is no folder, or others can write to it",
                path.display()
            ),
        )
        .with_hint(format!(
            "remove it; pasvsync makes it anew with mode 0700: rm -r {}",
            path.display()
        )));
    }
    Ok((metadata.uid() == own).then(|| path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(path: &Path, patience: Duration) -> Result<Lock> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Lock::wait(path, flags, patience)
    }

    #[test]
    fn a_second_run_waits_and_then_says_for_what() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net-1.lock");
        let held = lock(&path, Duration::ZERO).unwrap();
        let error = lock(&path, Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert!(error.to_string().contains(&path.display().to_string()));
        drop(held);
        lock(&path, Duration::ZERO).unwrap();
    }

    #[test]
    fn the_namespace_itself_can_be_locked() {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let path = Path::new(NAMESPACE);
        let held = Lock::wait(path, flags, Duration::from_secs(1)).unwrap();
        let error = Lock::wait(path, flags, Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
        drop(held);
        Lock::wait(path, flags, Duration::from_secs(1)).unwrap();
    }

    #[test]
    fn a_folder_that_others_can_write_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("pasvsync");
        assert_eq!(folder(&path).unwrap(), Some(path.clone()));
        fs_err::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
        assert!(folder(&path).is_err());
    }
}
