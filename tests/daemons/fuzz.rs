//! Bytes of all kinds through every parser: no panic, no hang, and answers that hold together.

use std::time::{Duration, Instant};

use pasvsync::daemons::discover;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::support::Image;

/// The words that make the parsers branch.
const WORDS: &[&str] = &[
    "PassivePorts",
    "50000",
    "50009",
    "\n",
    "\n",
    "\n",
    " ",
    " ",
    "\t",
    "\"",
    "'",
    "#",
    "\\",
    "\\\n",
    "\r\n",
    "\0",
    "=",
    ":",
    "<Global>",
    "</Global>",
    "<VirtualHost 192.0.2.1>",
    "</VirtualHost>",
    "<IfModule mod_x.c>",
    "<IfModule !mod_x.c>",
    "</IfModule>",
    "<Limit PASV EPSV>",
    "DenyAll",
    "</Limit>",
    "Include /etc/proftpd/*",
    "Include /etc/pure-ftpd.conf",
    "Port",
    "0",
    "-1",
    "99999999999999999999999",
    "%{env:X}",
    "Define X",
    "<IfDefine X>",
    "</IfDefine>",
    "LoadModule mod_tls.c",
    "Bogus",
    "\u{feff}",
    "PassivePortRange",
    "Bind",
    ",2121",
    "ForcePassiveIP",
    "10.0.0.1",
    "NATmode",
    "yes",
    "no",
    "CertFileAndKey",
    "listen=YES",
    "pasv_min_port=",
    "pasv_max_port=",
    "pasv_enable=NO",
    "user_config_dir=/etc",
    "{",
    "}",
    "[",
    "]",
    "ftpd",
    "passive_port_range",
    "start",
    "end",
    "bindings",
    "port",
    "- ",
    "<filezilla>",
    "<ftp_server>",
    "<listener>",
    "<port>",
    "</port>",
    "<pasv>",
    "<port_range>",
    "<min>",
    "</min>",
    "&lt;",
    "<!--",
    "<![CDATA[",
];

fn text() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        8 => prop::sample::select(WORDS).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop_oneof![
        4 => prop::collection::vec(word, 0..60).prop_map(|words| words.concat()),
        1 => prop::collection::vec(any::<u8>(), 0..400),
    ]
}

#[test]
fn no_bytes_make_a_parser_panic_or_hang() {
    let paths = [
        "/etc/proftpd/proftpd.conf",
        "/etc/pure-ftpd.conf",
        "/etc/pure-ftpd/conf/PassivePortRange",
        "/etc/vsftpd.conf",
        "/etc/sftpgo/sftpgo.json",
        "/etc/sftpgo/sftpgo.toml",
        "/etc/sftpgo/sftpgo.yaml",
        "/opt/filezilla-server/etc/settings.xml",
        "/var/cpanel/conf/pureftpd/local",
        "/etc/systemd/system/vsftpd.service",
        "/etc/xinetd.d/ftp",
        "/etc/inetd.conf",
    ];
    let each = std::env::var("PASVSYNC_FUZZ")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(400);
    let mut tried = 0;
    let started = Instant::now();
    for path in paths {
        let image = Image::new()
            .with(path, "")
            .with("/etc/vsftpd/vsftpd.conf", "listen=YES\n");
        let mut runner = TestRunner::new(Config {
            cases: each,
            failure_persistence: None,
            ..Config::default()
        });
        runner
            .run(&text(), |bytes| {
                std::fs::write(image.path(path), &bytes).unwrap();
                let began = Instant::now();
                if let Ok(discovery) = discover(&image.request()) {
                    for reading in discovery.readings {
                        prop_assert!(reading.effective.covers(&reading.wanted()), "{reading:?}");
                        let shown = reading
                            .refuses
                            .as_ref()
                            .map(ToString::to_string)
                            .unwrap_or_default();
                        prop_assert!(!shown.replace('\n', "").chars().any(char::is_control));
                        for finding in &reading.findings {
                            let place = finding.location.as_ref().map(ToString::to_string);
                            let shown =
                                [Some(finding.message.clone()), finding.hint.clone(), place];
                            prop_assert!(
                                !shown
                                    .iter()
                                    .flatten()
                                    .any(|text| text.chars().any(char::is_control)),
                                "{finding:?}"
                            );
                        }
                    }
                }
                prop_assert!(
                    began.elapsed() < Duration::from_secs(2),
                    "{path} took too long"
                );
                Ok(())
            })
            .unwrap();
        tried += each;
    }
    println!(
        "{tried} inputs over {} parsers in {:?}",
        paths.len(),
        started.elapsed()
    );
}
