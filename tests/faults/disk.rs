//! Disks that are full, read-only, in part immutable, or not there: what is wrong is said, and nothing is lost.

use nix::errno::Errno;
use rustix::mount::{MountFlags, mount, mount_remount};

use super::judge::Expected;
use super::prepared;
use super::scenarios::{CSF_SYNC, FIREWALLD_FIRST_SYNC, NFTABLES_REMOVE, NFTABLES_SYNC, Scenario};
use super::state::State;
use super::tracer::{Fault, Point, trace};
use crate::support::command::Output;
use crate::support::host::Host;
use crate::support::program::PROGRAM;
use crate::support::skip;

const BOOT_FILE: &str = "/etc/nftables.conf";

/// What a folder of the host is mounted with.
fn remount(host: &Host, folder: &str, flags: MountFlags) {
    host.run(|| mount_remount(folder, flags, ""))
        .expect("mount it anew");
}

/// Writes until nothing more goes in.
fn fill(host: &Host, folder: &str) -> String {
    let path = format!("{folder}/ballast");
    host.run(|| {
        use std::io::Write;
        let mut file = fs_err::File::create(&path).expect("a file");
        for size in [1 << 16, 1] {
            while file.write_all(&vec![b'x'; size]).is_ok() {}
        }
    });
    path
}

fn remove(host: &Host, path: &str) {
    host.run(|| fs_err::remove_file(path)).expect("make room");
}

/// The running firewall is mended, the boot file is untouched and the report says why; once there is room, all is well.
#[track_caller]
fn only_the_boot_file_is_not_written(host: &Host, words: &str, mend: impl FnOnce()) {
    let before = State::of(host);
    let run = host.pasvsync(&["sync"]);
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    assert!(run.stderr.contains(words), "{words}: {run:?}");
    assert!(run.stderr.contains("hint: "), "{run:?}");
    let after = State::of(host);
    assert!(after.0["nft"].contains("51000-51009"), "{run:?}");
    let files = |state: &State| {
        let mut state = state.essence();
        state.0.remove("nft");
        state
    };
    assert_eq!(files(&after), files(&before));
    assert_eq!(after.left_over(), before.left_over());
    mend();
    heals(host);
}

#[track_caller]
fn heals(host: &Host) {
    let run = host.pasvsync(&["sync"]);
    assert!(run.status.success(), "{run:?}");
    assert!(host.read(BOOT_FILE).contains("51000-51009"), "{run:?}");
    let check = host.pasvsync(&["check"]);
    assert!(check.status.success(), "{check:?}");
}

/// The run succeeds as if nothing were wrong; its words.
#[track_caller]
fn goes_well(host: &Host) -> Output {
    let run = host.pasvsync(&["sync"]);
    assert!(run.status.success(), "{run:?}");
    assert!(run.stdout.contains("proved"), "{run:?}");
    heals(host);
    run
}

#[test]
fn a_full_disk() {
    let Some(host) = prepared(NFTABLES_SYNC) else {
        return;
    };
    let ballast = fill(&host, "/etc");
    let make_room = || remove(&host, &ballast);
    only_the_boot_file_is_not_written(&host, "make room on that file system", make_room);

    let host = prepared(NFTABLES_SYNC).expect("a second one");
    let ballast = fill(&host, "/tmp");
    let make_room = || remove(&host, &ballast);
    only_the_boot_file_is_not_written(&host, "No space left on device", make_room);

    for folder in ["/var/lib", "/run"] {
        let host = prepared(NFTABLES_SYNC).expect("another one");
        fill(&host, folder);
        goes_well(&host);
    }
}

#[test]
fn a_read_only_disk() {
    let Some(host) = prepared(NFTABLES_SYNC) else {
        return;
    };
    let read_only = MountFlags::RDONLY;
    remount(&host, "/etc", read_only);
    let writable = || remount(&host, "/etc", MountFlags::empty());
    only_the_boot_file_is_not_written(&host, "the file system is read-only", writable);

    let host = prepared(NFTABLES_SYNC).expect("a second one");
    remount(&host, "/tmp", read_only);
    let writable = || remount(&host, "/tmp", MountFlags::empty());
    only_the_boot_file_is_not_written(&host, "Read-only file system", writable);

    for folder in ["/var/lib", "/run"] {
        let host = prepared(NFTABLES_SYNC).expect("another one");
        remount(&host, folder, read_only);
        goes_well(&host);
    }
}

/// Where no mark tells what is ours, nothing is opened that could not be written down.
fn any_disk(scenario: Scenario, folders: &[&str]) {
    let Some(first) = prepared(scenario) else {
        return;
    };
    let expected = Expected::of(&first, scenario);
    for folder in folders {
        for full in [true, false] {
            let host = prepared(scenario).expect("another one");
            let ballast = full.then(|| fill(&host, folder));
            if !full {
                remount(&host, folder, MountFlags::RDONLY);
            }
            let before = State::of(&host);
            let run = host.pasvsync(scenario.command);
            let state = State::of(&host);
            let what = format!("{folder}, full {full}: {run:?}");
            let [now, before, after] = [&state, &before, &expected.after].map(State::essence);
            let broken = now.broken(&before, &after, scenario.steps());
            assert_eq!(broken, [""; 0], "{what}");
            match run.status.code() {
                Some(0) => {
                    let differs = now.broken(&after, &after, scenario.steps());
                    let at_all = differs.iter().any(|place| !place.contains("ballast"));
                    assert!(!at_all, "success is claimed: {what}");
                }
                Some(1) => {
                    let said = run.stdout.clone() + &run.stderr;
                    let words = ["No space left on device", "ead-only file system"];
                    assert!(words.iter().any(|words| said.contains(words)), "{what}");
                }
                _ => panic!("{what}"),
            }
            match ballast {
                Some(ballast) => remove(&host, &ballast),
                None => remount(&host, folder, MountFlags::empty()),
            }
            assert_eq!(expected.heals(&host), [""; 0], "{what}");
        }
    }
}

#[test]
fn any_disk_with_csf() {
    any_disk(CSF_SYNC, &["/etc", "/var/lib", "/run", "/tmp"]);
}

#[test]
fn any_disk_with_firewalld() {
    any_disk(FIREWALLD_FIRST_SYNC, &["/etc", "/var/lib", "/run", "/tmp"]);
}

#[test]
fn an_immutable_file() {
    let Some(host) = prepared(NFTABLES_SYNC) else {
        return;
    };
    for (path, name) in [(BOOT_FILE, "file"), ("/etc", "folder")] {
        let immutable = host.command("chattr", &["+i", path]);
        if !immutable.status.success() {
            return skip(&format!("an immutable {name}: {}", immutable.stderr.trim()));
        }
    }
    let mutable = || {
        host.must("chattr", &["-i", "/etc"]);
        host.must("chattr", &["-i", BOOT_FILE]);
    };
    only_the_boot_file_is_not_written(&host, "lsattr -d", mutable);

    let host = prepared(NFTABLES_SYNC).expect("a second one");
    host.must("chattr", &["+i", BOOT_FILE]);
    let mutable = || drop(host.must("chattr", &["-i", BOOT_FILE]));
    only_the_boot_file_is_not_written(&host, "lsattr -d", mutable);
}

/// Quotas do not hold for root; they do in a service that may not exceed them. So the kernel's answer is injected.
#[test]
fn a_quota_that_is_used_up() {
    let Some(host) = prepared(NFTABLES_SYNC) else {
        return;
    };
    for number in 1.. {
        let point = Point {
            program: "pasvsync".to_owned(),
            call: "write",
            number,
        };
        let fault = Fault::Error(Errno::EDQUOT);
        let run = host.run(|| trace(PROGRAM, &["sync"], Some((&point, fault))));
        let hit = run.hit.as_ref().expect("the boot file is written");
        if hit.contains(".nftables.conf.pasvsync") {
            assert_eq!(run.code, Some(1), "{run:?}");
            assert!(
                run.stderr.contains("make room on that file system"),
                "{run:?}"
            );
            break;
        }
        // A scratch copy: nothing of the boot file has been touched.
        assert!(!host.read(BOOT_FILE).contains("51000"), "{run:?}");
    }
    assert_eq!(State::of(&host).left_over(), Vec::<&String>::new());
    heals(&host);
}

#[test]
fn without_a_place_for_state() {
    let Some(host) = prepared(NFTABLES_SYNC) else {
        return;
    };
    host.run(|| mount("none", "/var", "tmpfs", MountFlags::empty(), None))
        .expect("an empty /var");
    goes_well(&host);
    assert!(host.run(|| fs_err::read_dir("/var").expect("/var").next().is_none()));
}

/// Whatever the clock says: neither files from the future nor a proof from there change a verdict.
#[test]
fn files_from_the_future() {
    let Some(host) = prepared(NFTABLES_SYNC) else {
        return;
    };
    let date = |path: &str, year: &str| {
        host.must("touch", &["-d", &format!("{year}-01-01"), path]);
    };
    for path in ["/etc/vsftpd.conf", BOOT_FILE] {
        date(path, "2099");
    }
    goes_well(&host);
    for year in ["2099", "1971"] {
        date("/var/lib/pasvsync/boot.proof", year);
        date(BOOT_FILE, year);
        let before = State::of(&host).essence();
        let run = host.pasvsync(&["sync"]);
        assert!(
            run.status.success() && run.stdout.starts_with("in sync"),
            "{run:?}"
        );
        assert_eq!(State::of(&host).essence(), before);
    }
}

/// `remove` and `set-range` with nowhere to write.
#[test]
fn other_commands_on_a_full_disk() {
    let Some(host) = prepared(NFTABLES_REMOVE) else {
        return;
    };
    let ballast = fill(&host, "/etc");
    let before = State::of(&host).essence();
    let command = ["set-range", "51000-51009", "--daemon", "vsftpd"];
    let run = host.pasvsync(&command);
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    assert!(
        run.stderr.contains("make room on that file system"),
        "{run:?}"
    );
    assert_eq!(State::of(&host).essence(), before);
    let run = host.pasvsync(&["remove"]);
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    assert!(
        run.stderr.contains("make room on that file system"),
        "{run:?}"
    );
    assert!(!State::of(&host).0["nft"].contains("pasvsync"));
    assert_eq!(State::of(&host).0[BOOT_FILE], before.0[BOOT_FILE]);
    remove(&host, &ballast);
    let run = host.pasvsync(&["remove"]);
    assert!(run.status.success(), "{run:?}");
    assert!(!host.read(BOOT_FILE).contains("pasvsync"));
}
