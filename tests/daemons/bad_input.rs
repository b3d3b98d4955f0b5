//! Files that cannot be read, or that try to hold the reader up: bounded, said clearly, nothing opened.

use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use pasvsync::daemons::ConfigErrorKind;

use super::support::{Image, ports, read};

const PROFTPD: &str = "/etc/proftpd/proftpd.conf";
const MAIN_FILES: [&str; 5] = [
    PROFTPD,
    "/etc/pure-ftpd.conf",
    "/etc/vsftpd.conf",
    "/etc/sftpgo/sftpgo.json",
    "/opt/filezilla-server/etc/settings.xml",
];

#[test]
fn a_folder_a_pipe_and_a_dangling_link_are_errors() {
    for path in MAIN_FILES {
        let folder = Image::new().with_folder(path).error();
        assert_eq!(folder.kind, ConfigErrorKind::NotAFile, "{folder}");
        let dangling = Image::new().with_link(path, "/nowhere").error();
        assert_eq!(dangling.kind, ConfigErrorKind::Missing, "{dangling}");
        let image = Image::new().with(path, "");
        std::fs::remove_file(image.path(path)).unwrap();
        nix::unistd::mkfifo(&image.path(path), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let pipe = image.error();
        assert_eq!(pipe.kind, ConfigErrorKind::NotAFile, "{pipe}");
        let round = Image::new().with_link(path, path).error();
        assert_eq!(round.kind, ConfigErrorKind::Unreadable, "{round}");
    }
}

#[test]
fn an_unreadable_file_is_an_error() {
    if nix::unistd::geteuid().is_root() {
        eprintln!("skipped: root reads every file");
        return;
    }
    for path in MAIN_FILES {
        let image = Image::new().with(path, "");
        std::fs::set_permissions(image.path(path), std::fs::Permissions::from_mode(0o000)).unwrap();
        assert_eq!(image.error().kind, ConfigErrorKind::Unreadable);
    }
}

#[test]
fn a_file_of_50_megabytes_is_not_read() {
    for path in MAIN_FILES {
        let image = Image::new().with(path, "");
        let file = std::fs::File::options()
            .write(true)
            .open(image.path(path))
            .unwrap();
        file.set_len(50_000_000).unwrap();
        let started = Instant::now();
        assert_eq!(image.error().kind, ConfigErrorKind::TooLarge);
        assert!(started.elapsed() < Duration::from_secs(1));
    }
}

#[test]
fn an_include_loop_is_an_error() {
    let error = Image::new()
        .with(PROFTPD, "Include /etc/a.conf\n")
        .with(
            "/etc/a.conf",
            "Umask 022\nInclude /etc/proftpd/proftpd.conf\n",
        )
        .error();
    assert_eq!(error.kind, ConfigErrorKind::IncludeLoop);
    assert_eq!(error.location.line, Some(2));
    assert!(
        error.to_string().contains(
            "
  included from "
        ),
        "{error}"
    );
    let from = error.included_from.as_ref().unwrap();
    assert!(from.path.ends_with("etc/proftpd/proftpd.conf") && from.line == Some(1));
}

#[test]
fn ten_thousand_includes_end_soon() {
    let mut text = String::new();
    for number in 0..10_000 {
        writeln!(text, "Include /etc/a{}.conf", number % 7).unwrap();
    }
    let mut image = Image::new().with(PROFTPD, text);
    for number in 0..7 {
        image = image.with(&format!("/etc/a{number}.conf"), "Umask 022\n");
    }
    let started = Instant::now();
    assert_eq!(image.error().kind, ConfigErrorKind::TooManyIncludes);
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn an_unreadable_include_is_an_error_not_a_lost_line() {
    let image = Image::new()
        .with(PROFTPD, "Include /etc/a.conf\nPassivePorts 50000 50009\n")
        .with("/etc/a.conf", "");
    let file = std::fs::File::options()
        .write(true)
        .open(image.path("/etc/a.conf"))
        .unwrap();
    file.set_len(20_000_000).unwrap();
    let error = image.error();
    assert_eq!(error.kind, ConfigErrorKind::TooLarge);
    assert_eq!(error.included_from.as_ref().unwrap().line, Some(1));
}

#[test]
fn nul_latin_1_and_line_ends_are_read_as_the_daemons_do() {
    let glued = read(
        PROFTPD,
        b"ServerName x\0lost\nPassivePorts 50000 50009\nPort 2121\n",
    );
    assert!(
        glued.passive.is_empty(),
        "the line after a NUL is glued to its words"
    );
    assert_eq!(glued.control, [2121]);
    let latin = read(PROFTPD, b"# caf\xe9\nPassivePorts 50000 50009\r\n");
    assert_eq!(latin.written(), ports(&[(50_000, 50_009)]));
    let old_mac = read(PROFTPD, b"ServerName x\rPassivePorts 50000 50009\r");
    assert!(old_mac.passive.is_empty());
    let cut = read(
        "/etc/pure-ftpd.conf",
        b"PassivePortRange 50000 50009\0 junk\n",
    );
    assert_eq!(cut.written(), ports(&[(50_000, 50_009)]));
    let value = read(
        "/etc/vsftpd.conf",
        b"listen=YES\npasv_min_port=50000\0junk\npasv_max_port=50009\n",
    );
    assert_eq!(value.written(), ports(&[(50_000, 50_009)]));
    let bom = read(
        "/etc/pure-ftpd.conf",
        "\u{feff}PassivePortRange 50000 50009\n",
    );
    assert!(bom.refuses.is_some());
}

#[test]
fn nothing_that_a_terminal_obeys_is_shown() {
    for path in [
        "/etc/proftpd/proftpd.conf",
        "/etc/pure-ftpd.conf",
        "/etc/vsftpd.conf",
    ] {
        let error = read(path, "\x1b]0;title\x07\u{202e}Bogus\x1b[31m=1\n")
            .refuses
            .unwrap();
        assert!(
            !error
                .to_string()
                .replace('\n', "")
                .chars()
                .any(char::is_control),
            "{error:?}"
        );
    }
}
