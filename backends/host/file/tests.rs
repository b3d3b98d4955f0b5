//! Replacing files, and refusing to.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs_err::write(&path, content).unwrap();
        mode(&path, 0o640);
        path
    }

    fn read(&self, name: &str) -> Result<Snapshot> {
        Snapshot::read(self.folder.path(), Path::new(name))
    }

    /// The names in the folder.
    fn names(&self) -> Vec<String> {
        let entries = fs_err::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn mode(path: &Path, mode: u32) {
    fs_err::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn content_changes_and_mode_owner_and_attributes_stay() {
    let place = Place::new();
    let path = place.file("rules.v4", "old");
    if root() {
        rustix::fs::chown(&path, None, Some(Gid::from_raw(4))).unwrap();
        mode(&path, 0o640);
    }
    let file = File::open(&path).unwrap();
    let label = rustix::fs::fsetxattr(&file, "user.label", b"etc_t\0", XattrFlags::empty());
    place.read("/rules.v4").unwrap().replace(b"new").unwrap();
    let metadata = fs_err::metadata(&path).unwrap();
    assert_eq!(fs_err::read(&path).unwrap(), b"new");
    assert_eq!(metadata.mode() & 0o7777, 0o640);
    if root() {
        assert_eq!(metadata.gid(), 4);
    }
    if label.is_ok() {
        assert_eq!(
            attribute(&File::open(&path).unwrap(), b"user.label").unwrap(),
            b"etc_t\0"
        );
    }
    assert_eq!(place.names(), ["rules.v4"]);
}

#[test]
fn a_file_that_changed_meanwhile_is_left_alone() {
    let place = Place::new();
    let path = place.file("nftables.conf", "one");
    let snapshot = place.read("nftables.conf").unwrap();
    fs_err::write(&path, "two").unwrap();
    let error = snapshot.replace(b"mine").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed);
    assert_eq!(fs_err::read(&path).unwrap(), b"two");
    // The same content in another file is another file.
    fs_err::remove_file(&path).unwrap();
    place.file("other", "one");
    fs_err::rename(place.path("other"), &path).unwrap();
    assert_eq!(
        snapshot.replace(b"mine").unwrap_err().kind(),
        ErrorKind::Changed
    );
    assert_eq!(place.names(), ["nftables.conf"]);
}

#[test]
fn what_a_killed_run_left_behind_is_cleared_away() {
    let place = Place::new();
    place.file("nftables.conf", "one");
    place.file(".nftables.conf.pasvsync", "half");
    place
        .read("nftables.conf")
        .unwrap()
        .replace(b"two")
        .unwrap();
    assert_eq!(place.names(), ["nftables.conf"]);
}

#[test]
fn files_and_folders_that_others_can_write_are_refused() {
    let place = Place::new();
    let path = place.file("rules.v4", "x");
    mode(&path, 0o660);
    let error = place.read("rules.v4").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotOurs);
    assert!(error.hint().unwrap().contains("chmod go-w"), "{error:?}");
    mode(&path, 0o640);
    mode(place.folder.path(), 0o777);
    let error = place.read("rules.v4").unwrap_err();
    assert!(error.to_string().contains("folder"), "{error}");
    mode(place.folder.path(), 0o755);
    if root() {
        rustix::fs::chown(&path, Some(Uid::from_raw(1000)), None).unwrap();
        let error = place.read("rules.v4").unwrap_err();
        assert!(error.to_string().contains("user 1000"), "{error}");
    }
}

#[test]
fn links_are_followed_inside_the_root_and_kept() {
    let place = Place::new();
    fs_err::create_dir(place.path("etc")).unwrap();
    fs_err::create_dir(place.path("srv")).unwrap();
    place.file("srv/real", "x");
    symlink("/srv/real", place.path("etc/absolute")).unwrap();
    symlink("../srv/real", place.path("etc/relative")).unwrap();
    symlink("../../../../../srv/real", place.path("etc/outside")).unwrap();
    for name in ["absolute", "relative", "outside"] {
        let snapshot = place.read(&format!("/etc/{name}")).unwrap();
        assert_eq!(
            snapshot.path().canonicalize().unwrap(),
            place.path("srv/real").canonicalize().unwrap()
        );
        snapshot.replace(name.as_bytes()).unwrap();
        assert!(place.path(&format!("etc/{name}")).is_symlink());
    }
    assert_eq!(fs_err::read(place.path("srv/real")).unwrap(), b"outside");
    symlink("loop", place.path("loop")).unwrap();
    assert_eq!(place.read("loop").unwrap_err().kind(), ErrorKind::Io);
    mode(&place.path("srv"), 0o777);
    assert_eq!(
        place.read("/etc/absolute").unwrap_err().kind(),
        ErrorKind::NotOurs
    );
}

#[test]
fn second_names_folders_pipes_and_missing_files_are_refused() {
    let place = Place::new();
    let path = place.file("one", "x");
    fs_err::hard_link(&path, place.path("two")).unwrap();
    let error = place.read("one").unwrap().replace(b"y").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotOurs);
    fs_err::create_dir(place.path("folder")).unwrap();
    assert_eq!(place.read("folder").unwrap_err().kind(), ErrorKind::NotOurs);
    let pipe = place.path("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        Mode::RUSR,
        0,
    )
    .unwrap();
    assert_eq!(place.read("pipe").unwrap_err().kind(), ErrorKind::NotOurs);
    let error = place.read("none").unwrap_err();
    assert!(error.to_string().contains("none"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Io);
}

/// A file system of two pages fills up; one that is read-only refuses; in both cases the old file stays, alone.
#[test]
fn a_full_or_read_only_file_system_leaves_the_old_file() {
    use rustix::mount::{MountFlags, mount, mount_remount, unmount};
    let place = Place::new();
    let folder = place.path("small");
    fs_err::create_dir(&folder).unwrap();
    let limits = std::ffi::CString::new("size=8k,mode=755").unwrap();
    let own = nix::sched::CloneFlags::CLONE_NEWNS;
    let thread = std::thread::spawn(move || {
        if nix::sched::unshare(own).is_err() {
            return None;
        }
        let private = rustix::mount::MountPropagationFlags::PRIVATE
            | rustix::mount::MountPropagationFlags::REC;
        rustix::mount::mount_change("/", private).unwrap();
        mount("tmpfs", &folder, "tmpfs", MountFlags::empty(), &*limits).unwrap();
        fs_err::write(folder.join("f"), "old").unwrap();
        let snapshot = Snapshot::read(&folder, Path::new("f")).unwrap();
        let full = snapshot.replace(&vec![b'x'; 100_000]).unwrap_err();
        let count = fs_err::read_dir(&folder).unwrap().count();
        mount_remount(&folder, MountFlags::RDONLY, "").unwrap();
        let read_only = snapshot.replace(b"new").unwrap_err();
        let content = fs_err::read(folder.join("f")).unwrap();
        unmount(&folder, rustix::mount::UnmountFlags::empty()).unwrap();
        Some((full, count, read_only, content))
    });
    let Some((full, count, read_only, content)) = thread.join().unwrap() else {
        assert!(std::env::var_os("CI").is_none(), "no mount namespace");
        return;
    };
    assert!(full.hint().unwrap().contains("room"), "{full:?}");
    assert_eq!(count, 1);
    assert!(
        read_only.hint().unwrap().contains("read-only"),
        "{read_only:?}"
    );
    assert_eq!(content, b"old");
}

#[test]
fn our_own_files_live_in_a_folder_that_only_root_enters() {
    let place = Place::new();
    let folder = place.path("pasvsync");
    assert_eq!(read_private(&folder, "proof").unwrap(), None);
    write_private(&folder, "proof", b"1").unwrap();
    write_private(&folder, "proof", b"2").unwrap();
    assert_eq!(read_private(&folder, "proof").unwrap().unwrap(), b"2");
    assert_eq!(fs_err::metadata(&folder).unwrap().mode() & 0o7777, 0o700);
    mode(&folder, 0o755);
    assert!(read_private(&folder, "proof").is_err());
    assert!(write_private(&folder, "proof", b"3").is_err());
}
