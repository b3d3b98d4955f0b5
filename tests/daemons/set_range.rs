//! `set-range`: every configuration that a daemon takes gets the range, and only that; the real daemons use it.

use std::path::Path;

use firewall::model::ports::{PortRange, PortSet};
use pasvsync::daemons::{Change, ConfigError, Request, discover, set_range};
use serde_json::Value;

use super::compliance::STARTING;
use super::corpus::{corpus, install};
use super::running::{PROFTPD, PURE_FTPD, VSFTPD, WRAPPER, image};
use super::support::{Image, codes};

fn range() -> PortRange {
    PortRange::new(51_000, 51_299).unwrap()
}

fn name_of(path: &str) -> &'static str {
    match path {
        PROFTPD => "proftpd",
        VSFTPD => "vsftpd",
        _ => "pure-ftpd",
    }
}

/// Works the edit out, and checks what must hold of it: it reads as the new range, and another one changes nothing.
#[track_caller]
fn edit(request: &Request, daemon: &str) -> Result<Change, ConfigError> {
    let request = Request {
        only: Some(daemon.to_owned()),
        ..request.clone()
    };
    let change = set_range(&request, range())?;
    assert_eq!(change.reading.written(), PortSet::from(range()));
    let mut edited = request.clone();
    let texts = change.edits.iter();
    edited
        .instead
        .extend(texts.map(|edit| (edit.path.clone(), edit.after.clone())));
    let again = set_range(&edited, range()).unwrap();
    assert_eq!(again.edits, [], "a second edit changes something");
    for edit in &change.edits {
        let before = edit.before.as_deref().unwrap_or_default();
        only_lines_of_the_range(before, &edit.after);
    }
    Ok(change)
}

/// Every line that goes or comes is about the range.
#[track_caller]
fn only_lines_of_the_range(before: &[u8], after: &[u8]) {
    let lines = |text: &[u8]| -> Vec<String> {
        let text = String::from_utf8_lossy(text).into_owned();
        text.lines().map(|line| line.trim().to_owned()).collect()
    };
    let (old, new) = (lines(before), lines(after));
    let about = |line: &String| {
        let line = line.to_ascii_lowercase();
        [
            "passiveport",
            "pasv_m",
            "start",
            "end",
            "<min>",
            "<max>",
            "global>",
            "passive_port",
            "---",
        ]
        .iter()
        .any(|word| line.contains(word))
            || line
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte.is_ascii_whitespace())
    };
    for line in new.iter().filter(|line| !old.contains(line)) {
        let moved = line.starts_with('#') && old.iter().any(|old| old.ends_with(line));
        assert!(moved || about(line), "{line:?} came");
    }
    for line in old.iter().filter(|line| !new.contains(line)) {
        assert!(about(line), "{line:?} went");
    }
}

/// What stands on several lines, and what the daemon refuses for another reason, is left alone.
const LEFT_ALONE: &[&str] = &[
    "adv_bom",
    "adv_continuation",
    "adv_indented_comment",
    "adv_space_before_eq",
];

#[test]
fn every_configuration_of_the_corpus_gets_the_range() {
    let Some(folder) = corpus() else {
        return;
    };
    let index = std::fs::read_to_string(folder.join("index.json")).unwrap();
    let index: Value = serde_json::from_str(&index).unwrap();
    let mut edited = 0;
    let cases = index.as_array().unwrap();
    for case in cases {
        let (_image, request) = install(&folder, case);
        let name = case["name"].as_str().unwrap();
        let outcome = edit(&request, case["daemon"].as_str().unwrap());
        let expected = LEFT_ALONE.contains(&name);
        assert_eq!(outcome.is_err(), expected, "{name}: {outcome:#?}");
        edited += usize::from(!expected);
    }
    println!(
        "{edited} of {} configurations get the range, the others say why not",
        cases.len()
    );
    assert_eq!(edited + LEFT_ALONE.len(), cases.len());
}

#[test]
fn every_configuration_of_the_real_daemons_gets_the_range() {
    let mut refused = Vec::new();
    for (path, text) in STARTING {
        let outcome = edit(&image(path, text).request(), name_of(path));
        if outcome.is_err() {
            refused.push(*text);
        }
    }
    // What stands on two lines, of a line's end or of a NUL, is left alone.
    assert_eq!(
        refused,
        [
            "Define A\n<IfDefine A>\nPassive\\\nPorts 50000 50009\n</IfDefine>\n",
            "ServerAdmin x\0lost\nPassivePorts 50000 50009\nPassivePorts 51000 51009\n",
        ]
    );
}

#[test]
fn a_range_that_the_daemon_refuses_is_refused_in_its_words() {
    let low = PortRange::new(1000, 1030).unwrap();
    for (path, text, words) in [
        (
            PROFTPD,
            "PassivePorts 50000 50009\n",
            "port numbers must be above 1023",
        ),
        (
            PURE_FTPD,
            "PassivePortRange 50000 50009\n",
            "421 Configuration error: Illegal ports range: 1000:1030",
        ),
        (
            WRAPPER,
            "50000 50009\n",
            "421 Configuration error: Illegal ports range: 1000:1030",
        ),
        (
            VSFTPD,
            "pasv_min_port=50000\npasv_max_port=50009\n",
            "vsftpd would use 1024-1030, not 1000-1030",
        ),
    ] {
        let image = image(path, text);
        let request = Request {
            only: Some(name_of(path).to_owned()),
            ..image.request()
        };
        let error = set_range(&request, low).unwrap_err();
        assert!(error.message.contains(words), "{error}");
        let one = PortRange::single(50_000);
        let error = set_range(&request, one);
        assert_eq!(error.is_err(), path == PROFTPD, "{error:#?}");
    }
}

/// Whoever includes, the file where the directive stands is edited.
#[test]
fn includes_are_edited_where_the_range_stands() {
    let image = Image::new()
        .with(
            PROFTPD,
            "Include /etc/proftpd/conf.d/*.conf\nPassivePorts 1024 1030\n",
        )
        .with(
            "/etc/proftpd/conf.d/ports.conf",
            "<Global>\nUmask 022\n</Global>\nPassivePorts 50000 50009\n",
        );
    let change = edit(&image.request(), "proftpd").unwrap();
    assert_eq!(change.edits.len(), 1);
    assert_eq!(
        change.edits[0].path,
        Path::new("/etc/proftpd/conf.d/ports.conf")
    );
    let image = Image::new()
        .with(
            PURE_FTPD,
            "PassivePortRange 1 2\nInclude /etc/ports\nBind ,21\n",
        )
        .with("/etc/ports", "PassivePortRange 50000 50009");
    // The last one counts, and the daemon stops at the first.
    let change = edit(&image.request(), "pure-ftpd").unwrap();
    assert_eq!(change.edits[0].path, Path::new("/etc/ports"));
    assert_eq!(change.edits.len(), 2);
    assert_eq!(change.edits[0].after, b"PassivePortRange 51000 51299");
}

/// Servers with a range of their own get the new one, the others one from `<Global>`.
#[test]
fn every_server_gets_the_range() {
    let own = "<VirtualHost 192.0.2.1>\n  PassivePorts 50000 50009\n</VirtualHost>\n<VirtualHost 192.0.2.2>\n</VirtualHost>\n";
    let image = Image::new().with(PROFTPD, own);
    let change = edit(&image.request(), "proftpd").unwrap();
    let text = String::from_utf8(change.edits[0].after.clone()).unwrap();
    let expected = own.replace("50000 50009", "51000 51299");
    assert_eq!(
        text,
        format!("{expected}<Global>\n  PassivePorts 51000 51299\n</Global>\n")
    );
    assert!(!codes(&change.reading).contains(&"server-without-range"));
    let global = format!("<Global>\n  Umask 022\n</Global>\n{own}");
    let image = Image::new().with(PROFTPD, &global);
    let change = edit(&image.request(), "proftpd").unwrap();
    let text = String::from_utf8(change.edits[0].after.clone()).unwrap();
    assert!(
        text.starts_with("<Global>\n  Umask 022\n  PassivePorts 51000 51299\n</Global>\n"),
        "{text}"
    );
}

#[test]
fn command_lines_are_left_to_the_administrator() {
    let unit = "[Service]\nExecStart=/usr/sbin/vsftpd /etc/vsftpd.conf -opasv_min_port=50000\n";
    let image = Image::new()
        .with("/etc/systemd/system/vsftpd.service", unit)
        .with(VSFTPD, "listen=YES\n");
    let error = edit(&image.request(), "vsftpd").unwrap_err();
    assert_eq!(
        error.message,
        "pasv_min_port is set on vsftpd's command line"
    );
    assert_eq!(
        error.help.as_deref(),
        Some("write -opasv_min_port=51000 there")
    );
    let unit = "[Service]\nExecStart=/usr/sbin/pure-ftpd -p 50000:50009\n";
    let image = Image::new().with("/etc/systemd/system/pure-ftpd.service", unit);
    let error = edit(&image.request(), "pure-ftpd").unwrap_err();
    assert!(
        error.help.as_deref().unwrap().contains("-p 51000:51299"),
        "{error}"
    );
    let image = Image::new()
        .with(
            "/etc/sftpgo/sftpgo.json",
            "{\"ftpd\": {\"bindings\": [{\"port\": 21}]}}",
        )
        .with(
            "/etc/sftpgo/sftpgo.env",
            "SFTPGO_FTPD__PASSIVE_PORT_RANGE__END=50009\n",
        );
    let error = edit(&image.request(), "sftpgo").unwrap_err();
    assert!(
        error
            .message
            .contains("SFTPGO_FTPD__PASSIVE_PORT_RANGE__END"),
        "{error}"
    );
}

/// Beyond what vsftpd reads of a file, nothing is written: the beginning takes it.
#[test]
fn a_range_is_written_where_it_is_read() {
    let long = format!("listen=YES\n{}\n", "# comment\n".repeat(11_000));
    let image = Image::new().with(VSFTPD, &long);
    let change = edit(&image.request(), "vsftpd").unwrap();
    assert!(
        change.edits[0]
            .after
            .starts_with(b"pasv_min_port=51000\npasv_max_port=51299\nlisten=YES\n")
    );
}

#[test]
fn per_user_files_and_several_instances() {
    let image = Image::new()
        .with(
            VSFTPD,
            "listen=YES\nuser_config_dir=/etc/users\n#pasv_min_port=1\n#pasv_max_port=2\n",
        )
        .with("/etc/users/ann", "pasv_max_port=2000\n")
        .with("/etc/users/bob", "local_umask=022\n");
    let change = edit(&image.request(), "vsftpd").unwrap();
    let paths: Vec<&Path> = change
        .edits
        .iter()
        .map(|edit| edit.path.as_path())
        .collect();
    assert_eq!(paths, [Path::new("/etc/users/ann"), Path::new(VSFTPD)]);
    let image = Image::new()
        .with("/etc/vsftpd/one.conf", "listen=YES\n")
        .with("/etc/vsftpd/two.conf", "listen=YES\nlisten_port=2121\n");
    let error = edit(&image.request(), "vsftpd").unwrap_err();
    assert!(error.message.contains("several configurations"), "{error}");
    let named = Request {
        overrides: vec![("vsftpd".to_owned(), "/etc/vsftpd/two.conf".into())],
        ..image.request()
    };
    assert_eq!(edit(&named, "vsftpd").unwrap().edits.len(), 1);
}

#[test]
fn options_and_overlays_that_are_not_there_are_made() {
    let image = Image::new().with("/etc/pure-ftpd/conf/NoAnonymous", "yes\n");
    let change = edit(&image.request(), "pure-ftpd").unwrap();
    assert_eq!(change.edits[0].path, Path::new(WRAPPER));
    assert_eq!(
        (&change.edits[0].before, change.edits[0].after.as_slice()),
        (&None, b"51000 51299\n".as_slice())
    );
    let image = Image::new()
        .with("/var/cpanel/cpanel.config", "ftpserver=proftpd\n")
        .with(
            "/var/cpanel/conf/proftpd/main",
            "---\nPassivePorts: 49152 65534\n",
        )
        .with("/etc/proftpd.conf", "PassivePorts 49152 65534\n");
    let change = edit(&image.request(), "proftpd").unwrap();
    assert!(change.panel);
    assert_eq!(
        change.edits[0].path,
        Path::new("/var/cpanel/conf/proftpd/local")
    );
    assert_eq!(change.edits[0].after, b"---\nPassivePorts: 51000 51299\n");
    // What runs is what cPanel generated, until it generates it again.
    let mut edited = image.request();
    edited
        .instead
        .push((change.edits[0].path.clone(), change.edits[0].after.clone()));
    let discovery = discover(&edited).unwrap();
    assert!(codes(&discovery.readings[0]).contains(&"cpanel-generated-differs"));
}
