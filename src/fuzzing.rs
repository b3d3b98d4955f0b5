//! What fuzzing calls: every parser and decoder on any bytes, and what has to hold of its answer.
//!
//! A function that is given bytes panics when that does not hold. The fuzzers in `fuzz/` and the tests call the same ones.

use std::path::{Path, PathBuf};

pub use firewall::fuzzing::{csf, firewalld, iptables, netlink, nftables};
use firewall::model::ports::PortRange;

pub use crate::daemons::fuzz_program as programs;
use crate::daemons::{Request, discover, set_range};
pub use crate::listeners::fuzz as sockets;
use crate::passive::Reading;
use crate::{history, settings};

/// What is called with an input: its name, and the function.
pub type Target = (&'static str, fn(&[u8]));

/// Everything there is to call.
pub const TARGETS: [Target; 10] = [
    ("csf", csf),
    ("daemons", daemons),
    ("firewalld", firewalld),
    ("iptables", iptables),
    ("netlink", netlink),
    ("nftables", nftables),
    ("programs", programs),
    ("settings", settings),
    ("sockets", sockets),
    ("state", state),
];

/// The files that daemons are configured by, one of each kind.
const PATHS: [&str; 16] = [
    "/etc/proftpd/proftpd.conf",
    "/etc/pure-ftpd/pure-ftpd.conf",
    "/etc/pure-ftpd/conf/PassivePortRange",
    "/etc/default/pure-ftpd-common",
    "/etc/vsftpd.conf",
    "/etc/sftpgo/sftpgo.json",
    "/etc/sftpgo/sftpgo.toml",
    "/etc/sftpgo/sftpgo.yaml",
    "/opt/filezilla-server/etc/settings.xml",
    "/var/cpanel/conf/pureftpd/local",
    "/var/cpanel/conf/proftpd/local",
    "/etc/systemd/system/vsftpd.service",
    "/etc/systemd/system/proftpd.service",
    "/etc/systemd/system/pure-ftpd.service",
    "/etc/xinetd.d/ftp",
    "/etc/inetd.conf",
];

thread_local! {
    static ROOT: Option<tempfile::TempDir> = tempfile::tempdir().ok();
}

/// A file that a daemon is configured by, the first byte says which and whether it is to be given another range: no
/// port is wanted that is not used, and nothing that is shown moves the cursor.
pub fn daemons(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    let path = PATHS[usize::from(*choice) % PATHS.len()];
    let mut instead = vec![(PathBuf::from(path), bytes.to_vec())];
    if path.starts_with("/var/cpanel") {
        let config = PathBuf::from("/var/cpanel/cpanel.config");
        let server = if path.contains("proftpd") {
            "proftpd"
        } else {
            "pure-ftpd"
        };
        instead.push((config, format!("ftpserver={server}\n").into_bytes()));
    }
    let root = ROOT.with(|root| root.as_ref().map(|root| root.path().to_owned()));
    let request = Request {
        root,
        instead,
        ..Request::default()
    };
    let Ok(discovery) = discover(&request) else {
        return;
    };
    for reading in &discovery.readings {
        check(reading);
        if choice & 0x20 != 0
            && let Some(range) = PortRange::new(51_000, 51_009)
        {
            let request = Request {
                only: Some(reading.daemon.to_owned()),
                ..request.clone()
            };
            change(request, range);
        }
    }
}

/// What another range comes to is that range, and nothing is left to do then.
fn change(mut request: Request, range: PortRange) {
    // A NUL joins two lines for ProFTPD, and then those behind have other numbers than in an editor.
    if request.instead.iter().any(|(_, text)| text.contains(&0)) {
        return;
    }
    let Ok(change) = set_range(&request, range) else {
        return;
    };
    let edits = change.edits.into_iter();
    request
        .instead
        .extend(edits.map(|edit| (edit.path, edit.after)));
    match set_range(&request, range) {
        Ok(change) => {
            assert_eq!(change.edits, []);
            assert_eq!(change.reading.written(), range.into());
        }
        Err(error) => panic!("{error}: {:?}", request.instead),
    }
}

fn check(reading: &Reading) {
    assert!(reading.effective.covers(&reading.wanted()), "{reading:?}");
    let refusal = reading.refuses.as_ref().map(ToString::to_string);
    let refusal = refusal.map(|refusal| refusal.replace('\n', ""));
    let places = reading.findings.iter().map(|finding| {
        let place = finding.location.as_ref().map(ToString::to_string);
        [Some(finding.message.clone()), finding.hint.clone(), place]
    });
    for text in places.flatten().chain([refusal]).flatten() {
        assert!(!text.contains(char::is_control), "{text:?}: {reading:?}");
    }
}

/// The settings file.
pub fn settings(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Err(error) = settings::parse(Path::new("/etc/pasvsync.toml"), text)
    {
        assert!(!error.message.is_empty());
    }
}

/// What pasvsync keeps below `/var/lib/pasvsync`.
pub fn state(bytes: &[u8]) {
    firewall::fuzzing::state(bytes);
    if let Some(seconds) = history::parse(bytes) {
        assert_eq!(
            history::parse(seconds.to_string().as_bytes()),
            Some(seconds)
        );
    }
}
