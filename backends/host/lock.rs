//! One run at a time: a lock that goes away with the process that holds it.
//!
//! Rules live in a network namespace, so the lock does too: runs in different namespaces do not wait for each other.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

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
    file: File,
    /// The lock file, when it is one of ours.
    path: Option<PathBuf>,
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
            Some(folder) => Self::file(&folder.join(format!("net-{namespace}.lock")), PATIENCE),
            None => Self::namespace(PATIENCE),
        }
    }

    /// Locks a file, which is made for the purpose and goes away with the lock.
    fn file(path: &Path, patience: Duration) -> Result<Self> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let deadline = Instant::now() + patience;
        loop {
            let file = open(path, flags)?;
            flock(&file, path, deadline, patience)?;
            // The run before may have removed the file while this one waited for it: then this lock keeps nobody out.
            let same = |there: std::fs::Metadata, here: std::fs::Metadata| {
                there.dev() == here.dev() && there.ino() == here.ino()
            };
            let here = file.metadata()?;
            if std::fs::symlink_metadata(path).is_ok_and(|there| same(there, here)) {
                return Ok(Self {
                    file,
                    path: Some(path.to_owned()),
                });
            }
        }
    }

    /// Locks the network namespace itself, which can be done like with a file. Anybody in it can do so and keep a run
    /// waiting; that is why a folder of root's is better where there is one.
    fn namespace(patience: Duration) -> Result<Self> {
        let path = Path::new(NAMESPACE);
        let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC)?;
        flock(&file, path, Instant::now() + patience, patience)?;
        Ok(Self { file, path: None })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While the lock is still held, so that no other run's file is removed. A file that stays is no harm.
        if let Some(path) = &self.path {
            let _ = std::fs::remove_file(path);
        }
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

fn open(path: &Path, flags: OFlags) -> Result<File> {
    let file = retry_on_intr(|| rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR));
    file.map(File::from).map_err(|errno| {
        Error::new(
            ErrorKind::Io,
            format!("cannot open the lock file `{}`", path.display()),
        )
        .with_source(errno.into())
    })
}

fn flock(file: &File, path: &Path, deadline: Instant, patience: Duration) -> Result<()> {
    loop {
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => std::thread::sleep(PAUSE),
            Err(Errno::WOULDBLOCK) => {
                let (path, seconds) = (path.display(), patience.as_secs());
                return Err(Error::new(
                    ErrorKind::Busy,
                    format!("another run has held the lock `{path}` for more than {seconds} s"),
                )
                .with_hint(format!(
                    "wait for it to end; `fuser -v {path}` names the process"
                )));
            }
            Err(errno) => {
                return Err(
                    Error::new(ErrorKind::Io, format!("cannot lock `{}`", path.display()))
                        .with_source(errno.into()),
                );
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

    #[test]
    fn a_second_run_waits_and_then_says_for_what() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net-1.lock");
        let held = Lock::file(&path, Duration::ZERO).unwrap();
        let error = Lock::file(&path, Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert!(error.to_string().contains(&path.display().to_string()));
        drop(held);
        assert!(!path.exists());
        Lock::file(&path, Duration::ZERO).unwrap();
    }

    /// The file goes away with each lock, and still never do two runs hold it at once.
    #[test]
    fn many_runs_take_turns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net-1.lock");
        let inside = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let lock = Lock::file(&path, Duration::from_secs(30)).unwrap();
                        let others = inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        assert_eq!(others, 0);
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
    }

    #[test]
    fn the_namespace_itself_can_be_locked() {
        let held = Lock::namespace(Duration::from_secs(1)).unwrap();
        let error = Lock::namespace(Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
        drop(held);
        Lock::namespace(Duration::from_secs(1)).unwrap();
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
