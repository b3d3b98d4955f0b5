//! The files of the host, or of an image under `--root`: the only place where the daemons' side reads the disk.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::config_error::{ConfigError, ConfigErrorKind};

/// No configuration is larger; what is, is refused before it is read.
pub const LARGEST_FILE: u64 = 10 * 1024 * 1024;
/// No configuration has more files; includes beyond that are refused.
pub const MOST_FILES: usize = 2_000;
/// Nor more bytes in all its files together.
const LARGEST_TOTAL: u64 = 64 * 1024 * 1024;

/// What a path names, symlinks not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symlink.
    Symlink,
    /// A pipe, a socket, a device.
    Other,
}

/// A file that was read.
#[derive(Clone, Debug)]
pub struct Source {
    /// All of it.
    pub bytes: Vec<u8>,
    /// Its owner.
    pub owner: u32,
}

/// The host's files, or those of the image under a root.
pub struct Disk {
    root: Option<(PathBuf, OwnedFd)>,
    trusted_owner: u32,
    files: Cell<usize>,
    bytes: Cell<u64>,
    loose: RefCell<Vec<(PathBuf, u32, u32)>>,
    consulted: RefCell<BTreeSet<PathBuf>>,
    /// The first path that nobody could tell anything about.
    untold: RefCell<Option<ConfigError>>,
    instead: BTreeMap<PathBuf, Vec<u8>>,
}

impl fmt::Debug for Disk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Disk")
            .field("root", &self.root())
            .finish_non_exhaustive()
    }
}

impl Disk {
    /// The files under `root`, or the host's own.
    ///
    /// # Errors
    /// When the root is not a folder that can be opened.
    pub fn new(root: Option<&Path>) -> Result<Self, ConfigError> {
        let mut trusted_owner = 0;
        let root = match root {
            None => None,
            Some(path) => {
                let opened = rustix::fs::open(
                    path,
                    OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                    Mode::empty(),
                )
                .and_then(|descriptor| Ok((rustix::fs::fstat(&descriptor)?, descriptor)));
                let (status, descriptor) = opened.map_err(|errno| failure(path, errno))?;
                // An image is unpacked by whoever works on it: its owner stands for root.
                trusted_owner = status.st_uid;
                Some((path.to_path_buf(), descriptor))
            }
        };
        Ok(Self {
            root,
            trusted_owner,
            files: Cell::new(0),
            bytes: Cell::new(0),
            loose: RefCell::new(Vec::new()),
            consulted: RefCell::new(BTreeSet::new()),
            untold: RefCell::new(None),
            instead: BTreeMap::new(),
        })
    }

    /// The same files, some of them with another text, or there although they are not yet: what an edit would come to.
    #[must_use]
    pub fn with(mut self, texts: impl IntoIterator<Item = (PathBuf, Vec<u8>)>) -> Self {
        self.instead.extend(texts);
        self
    }

    /// The root, when there is one.
    pub fn root(&self) -> Option<&Path> {
        self.root.as_ref().map(|(path, _)| path.as_path())
    }

    /// The path that an error shows: the root's in front.
    pub fn shown(&self, path: &Path) -> PathBuf {
        match &self.root {
            None => path.to_path_buf(),
            Some((root, _)) => root.join(path.strip_prefix("/").unwrap_or(path)),
        }
    }

    /// A file, or `None` when there is none of that name.
    ///
    /// # Errors
    /// When the file is there and cannot be read, is a dangling symlink, no regular file, or too large.
    pub fn read(&self, path: &Path) -> Result<Option<Source>, ConfigError> {
        let Some(bytes) = self.instead.get(path) else {
            return self.stored(path);
        };
        let stored = self.stored(path)?;
        if stored.is_none() {
            self.count(path, bytes.len())?;
        }
        Ok(Some(Source {
            bytes: bytes.clone(),
            owner: stored.map_or(self.trusted_owner, |file| file.owner),
        }))
    }

    fn stored(&self, path: &Path) -> Result<Option<Source>, ConfigError> {
        self.consulted.borrow_mut().insert(path.to_path_buf());
        // O_NONBLOCK: a pipe in the place of a configuration must not stop us.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let descriptor = match self.open(path, flags) {
            Ok(descriptor) => descriptor,
            Err(Errno::NOENT) if self.kind(path) == Some(Kind::Symlink) => {
                return Err(ConfigError::new(
                    ConfigErrorKind::Missing,
                    path,
                    "the symlink points to nothing",
                )
                .with_help("remove the symlink, or restore the file it points to"));
            }
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(failure(path, errno)),
        };
        self.contents(path, descriptor).map(Some)
    }

    /// Keeps the bounds: a file that includes itself more than once would else be read without end.
    fn count(&self, path: &Path, length: usize) -> Result<(), ConfigError> {
        let length = length as u64;
        self.bytes.set(self.bytes.get() + length);
        if length > LARGEST_FILE || self.bytes.get() > LARGEST_TOTAL {
            return Err(too_large(path));
        }
        self.files.set(self.files.get() + 1);
        if self.files.get() > MOST_FILES {
            return Err(ConfigError::new(
                ConfigErrorKind::TooManyIncludes,
                path,
                format!("more than {MOST_FILES} files: the configuration is not read further"),
            ));
        }
        Ok(())
    }

    /// The contents of an open file, within the bounds.
    fn contents(&self, path: &Path, descriptor: OwnedFd) -> Result<Source, ConfigError> {
        let status = rustix::fs::fstat(&descriptor).map_err(|errno| failure(path, errno))?;
        match FileType::from_raw_mode(status.st_mode) {
            FileType::RegularFile => {}
            FileType::Directory => return Err(not_a_file(path, "is a folder, not a file")),
            _ => return Err(not_a_file(path, "is not a regular file")),
        }
        let size = u64::try_from(status.st_size).unwrap_or(0);
        if size > LARGEST_FILE {
            return Err(too_large(path));
        }
        // Files in /proc say that they are empty.
        let mut bytes = Vec::with_capacity(size as usize + 1);
        File::from(descriptor)
            .take(LARGEST_FILE + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| {
                ConfigError::new(
                    ConfigErrorKind::Unreadable,
                    path,
                    format!("cannot be read: {error}"),
                )
            })?;
        self.count(path, bytes.len())?;
        let mode = status.st_mode & 0o7777;
        if status.st_uid != self.trusted_owner && status.st_uid != 0 || mode & 0o022 != 0 {
            self.loose
                .borrow_mut()
                .push((path.to_path_buf(), status.st_uid, mode));
        }
        Ok(Source {
            bytes,
            owner: status.st_uid,
        })
    }

    /// The files read so far that someone besides root can change: path, owner, permission bits. Empties the list.
    pub fn take_loose(&self) -> Vec<(PathBuf, u32, u32)> {
        self.loose.take()
    }

    /// A program's file, open for reading; `None` when there is none that can be read.
    pub fn file(&self, path: &Path) -> Option<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(self.open(path, flags).ok()?);
        file.metadata().ok()?.is_file().then_some(file)
    }

    /// The files that were asked for and the folders that were listed so far, whether they are there or not. Empties
    /// the list.
    pub fn take_consulted(&self) -> BTreeSet<PathBuf> {
        self.consulted.take()
    }

    /// The names in a folder except `.` and `..`, in strcmp order, or `None` when there is no such folder.
    ///
    /// # Errors
    /// When the folder is there and cannot be read.
    pub fn list(&self, path: &Path) -> Result<Option<Vec<OsString>>, ConfigError> {
        self.consulted.borrow_mut().insert(path.to_path_buf());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor = match self.open(path, flags) {
            Ok(descriptor) => descriptor,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(failure(path, errno)),
        };
        let new = self
            .instead
            .keys()
            .filter(|file| file.parent() == Some(path))
            .filter_map(|file| file.file_name().map(OsStr::to_owned));
        let unreadable = |errno| failure(path, errno);
        let mut names = Vec::new();
        for entry in Dir::new(descriptor).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name: &CStr = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                names.push(OsStr::from_bytes(name.to_bytes()).to_owned());
            }
        }
        names.extend(new);
        names.sort_unstable_by(|left, right| left.as_bytes().cmp(right.as_bytes()));
        names.dedup();
        Ok(Some(names))
    }

    /// Fails when [`Disk::kind`] or [`Disk::link`] said that nothing is there, and it was not so: the disk could not be
    /// read. A daemon that is overlooked would lose its ports.
    ///
    /// # Errors
    /// `Unreadable`, for the first such path.
    pub fn all_told(&self) -> Result<(), ConfigError> {
        self.untold.take().map_or(Ok(()), Err)
    }

    /// Notes that it could not be told what is there.
    pub(super) fn untold(&self, error: ConfigError) {
        self.untold.borrow_mut().get_or_insert(error);
    }

    /// What comes of a question about a path: `None` when nothing can be found there.
    fn told<T>(&self, path: &Path, answer: rustix::io::Result<T>) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(
                Errno::NOENT
                | Errno::NOTDIR
                | Errno::LOOP
                | Errno::ACCESS
                | Errno::NAMETOOLONG
                | Errno::INVAL,
            ) => None,
            Err(errno) => {
                self.untold(failure(path, errno));
                None
            }
        }
    }

    /// What `path` names, symlinks not followed; `None` when nothing can be found there ([`Disk::all_told`] says
    /// whether that is true).
    pub fn kind(&self, path: &Path) -> Option<Kind> {
        let kind = self.named(path);
        // Of a folder only what is in it counts.
        if kind != Some(Kind::Folder) {
            self.consulted.borrow_mut().insert(path.to_path_buf());
        }
        kind
    }

    fn named(&self, path: &Path) -> Option<Kind> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Some(descriptor) = self.told(path, self.open(path, flags)) else {
            return self.instead.contains_key(path).then_some(Kind::File);
        };
        let status = self.told(path, rustix::fs::fstat(&descriptor))?;
        Some(match FileType::from_raw_mode(status.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Folder,
            FileType::Symlink => Kind::Symlink,
            _ => Kind::Other,
        })
    }

    /// Where a symlink points.
    pub fn link(&self, path: &Path) -> Option<PathBuf> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let descriptor = self.told(path, self.open(path, flags))?;
        let target = rustix::fs::readlinkat(&descriptor, c"", Vec::new());
        let target = self.told(path, target)?;
        Some(PathBuf::from(OsString::from_vec(target.into_bytes())))
    }

    /// Opens below the root, and never outside it, whatever symlinks say.
    fn open(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        retry_on_intr(|| match &self.root {
            None => rustix::fs::openat(CWD, path, flags, Mode::empty()),
            Some((_, root)) => {
                rustix::fs::openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)
            }
        })
    }
}

fn failure(path: &Path, errno: Errno) -> ConfigError {
    let reason = std::io::Error::from_raw_os_error(errno.raw_os_error());
    let error = ConfigError::new(
        ConfigErrorKind::Unreadable,
        path,
        format!("cannot be opened: {reason}"),
    );
    match errno {
        Errno::ACCESS | Errno::PERM => {
            error.with_help("run as root: the configuration of a daemon may be private")
        }
        Errno::LOOP => error.with_help("the symlinks point at each other"),
        _ => error,
    }
}

fn not_a_file(path: &Path, message: &str) -> ConfigError {
    ConfigError::new(ConfigErrorKind::NotAFile, path, message)
}

fn too_large(path: &Path) -> ConfigError {
    ConfigError::new(
        ConfigErrorKind::TooLarge,
        path,
        "is larger than 10 MB: no configuration is",
    )
}
