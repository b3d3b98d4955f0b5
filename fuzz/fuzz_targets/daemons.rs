//! Any bytes in any of the files that daemons are configured by: no panic, no hang, no control character in a message,
//! and no port that is wanted without being used.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use firewall::model::ports::PortRange;
use libfuzzer_sys::fuzz_target;
use pasvsync::daemons::{Request, discover, set_range};

/// The files, one of each kind that is parsed.
const PATHS: &[&str] = &[
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
    "/etc/xinetd.d/ftp",
    "/etc/inetd.conf",
];

static ROOT: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let path = PATHS[usize::from(*choice) % PATHS.len()];
    let request = Request {
        root: Some(ROOT.path().to_owned()),
        instead: vec![
            (PathBuf::from(path), bytes.to_vec()),
            (
                PathBuf::from("/var/cpanel/cpanel.config"),
                b"ftpserver=proftpd\n".to_vec(),
            ),
        ],
        ..Request::default()
    };
    let Ok(discovery) = discover(&request) else {
        return;
    };
    for reading in &discovery.readings {
        assert!(reading.effective.covers(&reading.wanted()), "{reading:?}");
        for finding in &reading.findings {
            let texts = [Some(&finding.message), finding.hint.as_ref()];
            for text in texts.into_iter().flatten() {
                assert!(!text.chars().any(char::is_control), "{finding:?}");
            }
        }
        let only = Request {
            only: Some(reading.daemon.to_owned()),
            ..request.clone()
        };
        // What it would write must read back as the range: `set_range` itself checks that, and says so in an error.
        let _ = set_range(&only, PortRange::new(51000, 51009).expect("a range"));
    }
});
