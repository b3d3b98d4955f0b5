//! Replaces a file of root's so that at any moment it is the old one or the new one, and otherwise stays as it was.

use std::fs::{File, Metadata};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::error::{Error, ErrorKind, Result};

/// No firewall configuration that a person keeps is larger; a larger file is a mistake.
pub const LARGEST: u64 = 64 << 20;

/// The kernel follows as many symbolic links before it gives up (`MAXSYMLINKS`).
const MOST_LINKS: usize = 40;

/// Write permission for the group or for everybody.
const OTHERS_WRITE: u32 = 0o022;
/// Any permission for the group or for everybody.
const OTHERS_ENTER: u32 = 0o077;
/// In such a folder only its owner can rename or remove an entry (`S_ISVTX`).
const STICKY: u32 = 0o1000;

/// Attributes that sign the content: the kernel makes them anew for new content.
const SIGNATURES: [&[u8]; 2] = [b"security.ima", b"security.evm"];

/// A file as it was when it was read.
#[derive(Clone, Debug)]
pub struct Snapshot {
    path: PathBuf,
    bytes: Vec<u8>,
    identity: Identity,
}

/// What changes when somebody writes to a file or puts another in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl Snapshot {
    /// Reads a whole file, whose path is meant as seen from `root`. Nobody but root and the running user may be able to
    /// change it, its folder, or a symbolic link on the way to it.
    ///
    /// # Errors
    /// `NotOurs` when somebody else could change it; `Io` when it cannot be read or is larger than [`LARGEST`].
    pub fn read(root: &Path, path: &Path) -> Result<Self> {
        let path = resolve(root, path)?;
        let (bytes, metadata) = contents(&path)?;
        refuse_foreign(&path, &metadata)?;
        Ok(Self {
            identity: Identity::of(&metadata),
            path,
            bytes,
        })
    }

    /// Where the file is, all symbolic links followed.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Puts new content in the file's place, with the mode, owner and extended attributes that the file has, provided
    /// that it still is as it was read.
    ///
    /// # Errors
    /// `Changed` when somebody changed the file meanwhile; `NotOurs` when it has a second name; `Permission` or `Io` with
    /// the reason and a hint when the system refuses. The file is then as before, and nothing is left beside it.
    pub fn replace(&self, bytes: &[u8]) -> Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let before = self.unchanged()?;
        if before.nlink() > 1 {
            let message = format!("`{}` has a second name (hard link)", self.path.display());
            return Err(Error::new(ErrorKind::NotOurs, message)
                .with_hint("replacing it would leave the other name with the old content"));
        }
        let original = open(&self.path)?;
        let temporary = Temporary::create(&self.path)?;
        let write = || -> std::io::Result<()> {
            (&temporary.file).write_all(bytes)?;
            copy_attributes(&original, &temporary.file)?;
            temporary.file.sync_all()
        };
        write().map_err(|source| failed("write", &self.path, source))?;
        self.unchanged()?;
        rustix::fs::rename(&temporary.path, &self.path)
            .map_err(|errno| failed("replace", &self.path, errno.into()))?;
        temporary.keep();
        // The rename itself must outlast a power cut.
        let folder_file = open(folder)?;
        folder_file
            .sync_all()
            .map_err(|source| failed("flush the folder of", &self.path, source))
    }

    /// The file's metadata, provided that it still is as it was read.
    fn unchanged(&self) -> Result<Metadata> {
        let (bytes, metadata) = contents(&self.path)?;
        if Identity::of(&metadata) != self.identity || bytes != self.bytes {
            let message = format!("`{}` changed while it was edited", self.path.display());
            return Err(Error::new(ErrorKind::Changed, message)
                .with_hint("somebody else is editing it; try again when they are done"));
        }
        refuse_foreign(&self.path, &metadata)?;
        Ok(metadata)
    }
}

/// The file's path with all symbolic links followed, each of them and every folder on the way being root's or the
/// running user's. An absolute link counts from `root`.
///
/// # Errors
/// `NotOurs` when somebody else could lead the path elsewhere; `Io` when there is no such file.
pub fn resolve(root: &Path, path: &Path) -> Result<PathBuf> {
    walk(root, path, true)
}

/// What is in a plain file; of anything else, such as a pipe, which might never end, nothing.
///
/// # Errors
/// When it cannot be read, or is larger than [`LARGEST`].
pub(crate) fn read_plain(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut options = File::options();
    let file = options
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    let metadata = file.metadata()?;
    // One byte more than there are shows the end at once.
    let size = usize::try_from(metadata.len().min(LARGEST)).unwrap_or_default();
    let mut bytes = Vec::with_capacity(size + 1);
    if metadata.is_file() {
        file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 > LARGEST {
        let message = format!("larger than {LARGEST} bytes");
        return Err(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            message,
        ));
    }
    Ok(bytes)
}

/// What is in a folder. Of the calls that look at files only this one is not made again by the standard library when a
/// signal came in between.
pub(crate) fn read_dir(path: &Path) -> std::io::Result<std::fs::ReadDir> {
    loop {
        match std::fs::read_dir(path) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            listing => return listing,
        }
    }
}

/// The file's path with all symbolic links followed, whoever made them: for reading only.
///
/// # Errors
/// `Io` when there is no such file.
pub fn follow(root: &Path, path: &Path) -> Result<PathBuf> {
    walk(root, path, false)
}

fn walk(root: &Path, path: &Path, trusted: bool) -> Result<PathBuf> {
    let root = std::path::absolute(root)?;
    let mut current = PathBuf::from("/");
    let mut pending = components(&root);
    // Links within the root's own path lead where they lead; behind it they stay inside.
    let mut start = None;
    let mut links = 0;
    loop {
        let Some(name) = pending.pop() else {
            if start.is_some() {
                return Ok(current);
            }
            start = Some(current.clone());
            pending = components(path);
            continue;
        };
        if name == ".." {
            if Some(&current) != start.as_ref() {
                current.pop();
            }
            continue;
        }
        if trusted {
            trust_folder(&current)?;
        }
        let next = current.join(&name);
        let metadata =
            std::fs::symlink_metadata(&next).map_err(|source| failed("read", &next, source))?;
        if !metadata.is_symlink() {
            current = next;
            continue;
        }
        if trusted {
            trust_owner(&next, &metadata)?;
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(failed("read", path, Errno::LOOP.into()));
        }
        let target = std::fs::read_link(&next).map_err(|source| failed("read", &next, source))?;
        if target.is_absolute() {
            current = start.clone().unwrap_or_else(|| PathBuf::from("/"));
        }
        pending.extend(components(&target));
    }
}

/// The names of a path, last first; `..` is kept.
fn components(path: &Path) -> Vec<std::ffi::OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    let mut names: Vec<_> = names.collect();
    names.reverse();
    names
}

fn trust_folder(path: &Path) -> Result<()> {
    let metadata = fs_err::symlink_metadata(path)?;
    trust_owner(path, &metadata)?;
    let mode = metadata.mode();
    if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 {
        return Err(writable("folder", path, mode));
    }
    Ok(())
}

fn trust_owner(path: &Path, metadata: &Metadata) -> Result<()> {
    let own = rustix::process::geteuid().as_raw();
    if metadata.uid() == 0 || metadata.uid() == own {
        return Ok(());
    }
    let (path, owner) = (path.display(), metadata.uid());
    Err(Error::new(
        ErrorKind::NotOurs,
        format!("`{path}` belongs to user {owner}, who could change it"),
    )
    .with_hint(format!("make it root's: chown root: {path}")))
}

fn writable(what: &str, path: &Path, mode: u32) -> Error {
    let path = path.display();
    Error::new(
        ErrorKind::NotOurs,
        format!(
            "others than root can write to the {what} `{path}` (mode {:04o})",
            mode & 0o7777
        ),
    )
    .with_hint(format!("take the permission away: chmod go-w {path}"))
}

/// Refuses what is no plain file, and what others could change.
fn refuse_foreign(path: &Path, metadata: &Metadata) -> Result<()> {
    if !metadata.is_file() {
        let message = format!("`{}` is no plain file", path.display());
        return Err(Error::new(ErrorKind::NotOurs, message));
    }
    trust_owner(path, metadata)?;
    if metadata.mode() & OTHERS_WRITE != 0 {
        return Err(writable("file", path, metadata.mode()));
    }
    Ok(())
}

/// Opens for reading, not through a symbolic link; a pipe does not make it wait.
fn open(path: &Path) -> Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()));
    file.map(File::from)
        .map_err(|errno| failed("read", path, errno.into()))
}

fn contents(path: &Path) -> Result<(Vec<u8>, Metadata)> {
    let file = open(path)?;
    let read = || -> std::io::Result<(Vec<u8>, Metadata)> {
        let metadata = file.metadata()?;
        let mut bytes = Vec::new();
        if metadata.is_file() {
            (&file).take(LARGEST + 1).read_to_end(&mut bytes)?;
        }
        Ok((bytes, metadata))
    };
    let (bytes, metadata) = read().map_err(|source| failed("read", path, source))?;
    if bytes.len() as u64 > LARGEST {
        let message = format!("`{}` is larger than {LARGEST} bytes", path.display());
        return Err(Error::new(ErrorKind::Io, message));
    }
    Ok((bytes, metadata))
}

/// Gives a file the owner, the group, the extended attributes (the `SELinux` label, access lists) and the mode of
/// another.
pub(crate) fn copy_attributes(from: &File, to: &File) -> std::io::Result<()> {
    let (metadata, current) = (from.metadata()?, to.metadata()?);
    if (metadata.uid(), metadata.gid()) != (current.uid(), current.gid()) {
        let owner = Uid::from_raw(metadata.uid());
        let group = Gid::from_raw(metadata.gid());
        rustix::fs::fchown(to, Some(owner), Some(group))?;
    }
    for name in attribute_names(from)? {
        let value = attribute(from, &name)?;
        if attribute(to, &name).ok() != Some(value.clone()) {
            rustix::fs::fsetxattr(to, name.as_slice(), &value, XattrFlags::empty())?;
        }
    }
    // Last, since a new owner takes the set-user-id bits away and an access list sets the group's.
    rustix::fs::fchmod(to, Mode::from_raw_mode(metadata.mode()))?;
    Ok(())
}

fn attribute_names(file: &File) -> std::io::Result<Vec<Vec<u8>>> {
    // XATTR_LIST_MAX
    let mut list = vec![0; 1 << 16];
    let length = match rustix::fs::flistxattr(file, list.as_mut_slice()) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => 0,
        Err(errno) => return Err(errno.into()),
    };
    list.truncate(length);
    let names = list.split(|byte| *byte == 0);
    Ok(names
        .filter(|name| !name.is_empty() && !SIGNATURES.contains(name))
        .map(<[u8]>::to_vec)
        .collect())
}

fn attribute(file: &File, name: &[u8]) -> std::io::Result<Vec<u8>> {
    // XATTR_SIZE_MAX
    let mut value = vec![0; 1 << 16];
    let length = rustix::fs::fgetxattr(file, name, value.as_mut_slice())?;
    value.truncate(length);
    Ok(value)
}

/// Where a file's successor is written.
fn temporary_of(path: &Path) -> PathBuf {
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(path.file_name().unwrap_or_default());
    hidden.push(".pasvsync");
    path.with_file_name(hidden)
}

/// A file beside another, gone when it is dropped unless it has taken the other's place.
struct Temporary {
    path: PathBuf,
    file: File,
}

impl Temporary {
    /// The name begins with a dot, so that no `include "*"` meets it, and is the same each time, so that what a killed
    /// run left behind does not stay for ever.
    fn create(beside: &Path) -> Result<Self> {
        let path = temporary_of(beside);
        let _ = std::fs::remove_file(&path);
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = retry_on_intr(|| rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR))
            .map_err(|errno| failed("write a file beside", beside, errno.into()))?;
        Ok(Self {
            path,
            file: File::from(file),
        })
    }

    fn keep(mut self) {
        self.path = PathBuf::new();
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The error of a system call on a file, with what to do about the usual ones.
fn failed(action: &str, path: &Path, source: std::io::Error) -> Error {
    let errno = Errno::from_io_error(&source);
    let kind = match errno {
        Some(Errno::ACCESS | Errno::PERM) => ErrorKind::Permission,
        _ => ErrorKind::Io,
    };
    let shown = path.display();
    let hint = match errno {
        Some(Errno::PERM) => Some(format!(
            "the file or its folder may be immutable: look with `lsattr -d {shown}`, allow with `chattr -i`"
        )),
        Some(Errno::ACCESS) => Some("run it as root".to_owned()),
        Some(Errno::ROFS) => Some(
            "the file system is read-only; under systemd, ReadWritePaths= must name the folder, not the file"
                .to_owned(),
        ),
        Some(Errno::NOSPC | Errno::DQUOT) => Some("make room on that file system".to_owned()),
        Some(Errno::BUSY) => Some(
            "the file is mounted by itself, as in a container; edit it where it comes from"
                .to_owned(),
        ),
        _ => None,
    };
    let error = Error::new(kind, format!("cannot {action} `{shown}`")).with_source(source);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// Makes sure that another program could write so many bytes to a file, whose folder it may have to make first; nothing
/// stays.
///
/// # Errors
/// `Permission` or `Io` with the reason and a hint when the system refuses.
pub fn make_sure_of_room(path: &Path, bytes: usize) -> Result<()> {
    let mut beside = path;
    while let Some(folder) = beside.parent()
        && !folder.is_dir()
    {
        beside = folder;
    }
    let temporary = Temporary::create(beside)?;
    let write = || {
        (&temporary.file).write_all(&vec![b' '; bytes])?;
        temporary.file.sync_all()
    };
    write().map_err(|source| failed("write a file beside", beside, source))
}

/// Writes a file of our own into a folder that only root can enter, made when it is missing; in one step, so that a
/// reader sees the old one or the new one.
///
/// # Errors
/// `NotOurs` when others can enter the folder; `Io` and `Permission` as the system says.
pub fn write_private(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    match rustix::fs::mkdir(folder, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(failed("make the folder", folder, errno.into())),
    }
    trust_private(folder)?;
    let path = folder.join(name);
    let temporary = Temporary::create(&path)?;
    let write = || {
        (&temporary.file).write_all(bytes)?;
        temporary.file.sync_all()
    };
    write().map_err(|source| failed("write", &path, source))?;
    rustix::fs::rename(&temporary.path, &path)
        .map_err(|errno| failed("write", &path, errno.into()))?;
    temporary.keep();
    Ok(())
}

/// Removes a file of our own, with what a killed [`write_private`] may have left beside it, and the folder when nothing
/// else is in it. What is not there need not be removed.
///
/// # Errors
/// As the system says.
pub fn remove_private(folder: &Path, name: &str) -> Result<()> {
    let path = folder.join(name);
    let removed = remove_leftover(&path);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(failed("remove", &path, error));
        }
        Err(_) if !removed => {}
        _ => drop(std::fs::remove_dir(folder)),
    }
    Ok(())
}

/// Removes what a killed [`write_private`] may have left beside a file; whether there was any.
pub fn remove_leftover(path: &Path) -> bool {
    std::fs::remove_file(temporary_of(path)).is_ok()
}

/// Reads a file of our own; `None` when there is none.
///
/// # Errors
/// As for [`write_private`].
pub fn read_private(folder: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    let path = folder.join(name);
    match std::fs::symlink_metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", &path, error)),
        Ok(_) => {}
    }
    trust_private(folder)?;
    let (bytes, metadata) = contents(&path)?;
    refuse_foreign(&path, &metadata)?;
    Ok(Some(bytes))
}

fn trust_private(folder: &Path) -> Result<()> {
    let metadata = fs_err::symlink_metadata(folder)?;
    trust_owner(folder, &metadata)?;
    if metadata.is_dir() && metadata.mode() & OTHERS_ENTER == 0 {
        return Ok(());
    }
    let shown = folder.display();
    Err(Error::new(
        ErrorKind::NotOurs,
        format!("`{shown}` is no folder that only root can enter"),
    )
    .with_hint(format!(
        "remove it; it is made anew with mode 0700: rm -r {shown}"
    )))
}

#[cfg(test)]
mod tests;
