//! Links and other tricks in the places that pasvsync writes to: refused, or harmless.

use super::prepared;
use super::scenarios::{NFTABLES_REMOVE, NFTABLES_SYNC};
use super::state::State;
use crate::support::host::Host;

const PRECIOUS: &str = "/etc/precious";

fn shell(host: &Host, script: &str) {
    host.must("sh", &["-ec", script]);
}

/// A host on which a trick was played.
fn tricked(script: &str) -> Option<Host> {
    let host = prepared(NFTABLES_SYNC)?;
    host.write(PRECIOUS, "precious\n", 0o600);
    shell(&host, script);
    Some(host)
}

/// The name of a temporary file is known beforehand: whatever has it is not written to.
#[test]
fn names_of_temporary_files() {
    for trick in [
        "ln -s /etc/precious",
        "ln /etc/precious",
        "ln -s /nowhere",
        "mkfifo",
        "touch",
    ] {
        let Some(host) = tricked(&format!("{trick} /etc/.nftables.conf.pasvsync")) else {
            return;
        };
        let run = host.pasvsync(&["sync"]);
        assert!(run.status.success(), "{trick}: {run:?}");
        assert_eq!(host.read(PRECIOUS), "precious\n", "{trick}");
        assert!(host.read("/etc/nftables.conf").contains("51000-51009"));
        assert_eq!(State::of(&host).left_over(), Vec::<&String>::new());
    }
    let host = tricked("mkdir /etc/.nftables.conf.pasvsync").expect("a host");
    let run = host.pasvsync(&["sync"]);
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    assert!(run.stderr.contains("File exists"), "{run:?}");
    assert!(!host.read("/etc/nftables.conf").contains("51000-51009"));
}

/// A file with a second name, and files that others can change or lead elsewhere.
#[test]
fn boot_files_that_are_not_roots_alone() {
    for (trick, words) in [
        ("ln nftables.conf second", "has a second name (hard link)"),
        (
            "chmod 775 nftables.conf",
            "others than root can write to the file",
        ),
        ("chown 1000 nftables.conf", "belongs to user 1000"),
        ("chmod 777 .", "others than root can write to the folder"),
        (
            "mkdir home; chown 1000 home; mv nftables.conf home; ln -s home/nftables.conf .",
            "belongs to user 1000",
        ),
        (
            "ln -s nftables.conf link; chown -h 1000 link; mv nftables.conf real; \
          ln -s real nftables.conf; chown -h 1000 nftables.conf",
            "belongs to user 1000",
        ),
    ] {
        let Some(host) = tricked(&format!("cd /etc; {trick}")) else {
            return;
        };
        let file = host.read("/etc/nftables.conf");
        let run = host.pasvsync(&["sync"]);
        assert_eq!(run.status.code(), Some(1), "{trick}: {run:?}");
        assert!(run.stderr.contains(words), "{trick}: {run:?}");
        assert_eq!(host.read("/etc/nftables.conf"), file, "{trick}");
        assert!(State::of(&host).0["nft"].contains("51000-51009"), "{trick}");
    }
}

/// The same of a daemon's configuration, which `set-range` writes.
#[test]
fn daemon_files_that_are_not_roots_alone() {
    for (trick, words) in [
        ("ln vsftpd.conf second", "has a second name (hard link)"),
        (
            "chmod 666 vsftpd.conf",
            "others than root can write to the file",
        ),
        (
            "mkdir home; chown 1000 home; mv vsftpd.conf home; ln -s home/vsftpd.conf .",
            "belongs to user 1000",
        ),
        (
            "mkdir -m 777 open; mv vsftpd.conf open; ln -s open/vsftpd.conf .",
            "others than root can write to the folder",
        ),
    ] {
        let Some(host) = prepared(NFTABLES_REMOVE) else {
            return;
        };
        shell(&host, &format!("cd /etc; {trick}"));
        let before = State::of(&host).essence();
        let run = host.pasvsync(&["set-range", "51000-51009", "--daemon", "vsftpd"]);
        assert_eq!(run.status.code(), Some(1), "{trick}: {run:?}");
        assert!(run.stderr.contains(words), "{trick}: {run:?}");
        assert_eq!(State::of(&host).essence(), before, "{trick}");
    }
}

/// Only root can play these tricks with the lock, and even then nothing is written where a link leads.
#[test]
fn the_lock() {
    // The number of the network namespace is in the lock's name.
    const NAME: &str = "/run/pasvsync/net-$(stat -Lc %i /proc/self/ns/net).lock";
    for (trick, status) in [
        (
            format!("mkdir -m 700 /run/pasvsync; ln /etc/precious {NAME}"),
            0,
        ),
        (format!("mkdir -m 700 /run/pasvsync; mkfifo {NAME}"), 0),
        (format!("mkdir -m 700 /run/pasvsync; touch {NAME}"), 0),
        (
            format!("mkdir -m 700 /run/pasvsync; ln -s /etc/precious {NAME}"),
            1,
        ),
        (format!("mkdir -m 700 /run/pasvsync; mkdir {NAME}"), 1),
        ("mkdir -m 777 /run/pasvsync".to_owned(), 1),
        ("ln -s /etc /run/pasvsync".to_owned(), 1),
        ("touch /run/pasvsync".to_owned(), 1),
    ] {
        // Links between file systems cannot be made: the file is where the lock is.
        let trick = trick.replace(
            "ln /etc/precious",
            "echo precious >/run/precious; ln /run/precious",
        );
        let Some(host) = tricked(&trick) else {
            return;
        };
        let before = State::of(&host).essence();
        let run = host.pasvsync(&["sync"]);
        assert_eq!(run.status.code(), Some(status), "{trick}: {run:?}");
        if status == 1 {
            assert!(run.stderr.contains("lock"), "{trick}: {run:?}");
            assert_eq!(State::of(&host).essence(), before, "{trick}");
        }
        assert_eq!(host.read(PRECIOUS), "precious\n", "{trick}");
        if trick.contains("/run/precious") {
            assert_eq!(host.read("/run/precious"), "precious\n", "{trick}");
        }
    }
}
