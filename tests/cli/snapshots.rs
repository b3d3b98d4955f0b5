//! What the commands print, word for word, kept in `snapshots/`. `make update` writes them anew.

use std::path::Path;

use super::support::Host;

const RANGE: &str = "Port 21\nPassivePorts 50000 50009\n";
const POLICY_DROP: &str = include_str!("../../examples/default-deny.nft");

const REDIRECT: &str = "table inet nat {
    chain prerouting {
        type nat hook prerouting priority dstnat
        tcp dport 50005 redirect to :8080
    }
}
";

/// Compares a run with the file that says how it should be.
pub(super) fn snapshot(name: &str, host: &Host, commands: &[&str]) {
    let Some(output) = host.run(commands) else {
        return;
    };
    let shown = commands.iter().map(|line| format!("$ {line}\n"));
    let shown: Vec<String> = shown
        .map(|line| host.without_root(line.as_bytes()))
        .collect();
    let actual = format!(
        "{}exit status {}\n--- stdout\n{}--- stderr\n{}",
        shown.concat(),
        output.status.code().unwrap(),
        host.without_root(&output.stdout),
        host.without_root(&output.stderr)
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cli/snapshots")
        .join(format!("{name}.txt"));
    if std::env::var_os("UPDATE").is_some() {
        fs_err::write(&path, actual).unwrap();
        return;
    }
    let expected = fs_err::read_to_string(&path).unwrap();
    assert!(
        actual == expected,
        "{name} differs from its snapshot\n=== expected\n{expected}\n=== actual\n{actual}"
    );
}

fn closed() -> Host {
    Host::new(RANGE).filtered(POLICY_DROP)
}

#[test]
fn check() {
    snapshot("check-drift", &closed(), &["pasvsync check"]);
    snapshot("check-diff", &closed(), &["pasvsync check --diff"]);
    snapshot(
        "check-quiet",
        &closed(),
        &["pasvsync sync", "pasvsync check -q"],
    );
    snapshot(
        "check-in-sync",
        &closed(),
        &["pasvsync sync", "pasvsync check"],
    );
}

#[test]
fn sync() {
    snapshot("sync", &closed(), &["pasvsync sync"]);
    snapshot("sync-again", &closed(), &["pasvsync sync", "pasvsync sync"]);
    snapshot("sync-quiet", &closed(), &["pasvsync sync -q"]);
    snapshot("sync-control", &closed(), &["pasvsync sync --control"]);
    let commands = ["pasvsync sync --control", "pasvsync sync --control"];
    snapshot("sync-control-again", &closed(), &commands);
    snapshot("sync-unfiltered", &Host::new(RANGE), &["pasvsync sync"]);
}

#[test]
fn moved_range() {
    let host = closed();
    let root = host.root().display();
    let edit = format!("sed -i s/500/510/g {root}/etc/proftpd/proftpd.conf");
    let commands = ["pasvsync sync", edit.as_str(), "pasvsync check --diff"];
    let Some(output) = host.run(&commands) else {
        return;
    };
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8(output.stdout).unwrap();
    let signs = |sign: &str| text.lines().filter(|line| line.starts_with(sign)).count();
    assert_eq!((signs("+"), signs("-")), (1, 1), "{text}");
}

/// A plan that only takes away says of what.
#[test]
fn nothing_is_wanted_any_more() {
    let host = closed();
    let file = host.root().join("etc/proftpd/proftpd.conf");
    let edit = format!("sed -i /Passive/d {}", file.display());
    let commands = ["pasvsync sync", edit.as_str(), "pasvsync check"];
    snapshot("check-deletes", &host, &commands);
}

/// A bar with spans, in a locale that has no shades.
#[test]
fn status_in_ascii() {
    let host = Host::new("Port 21\nPassivePorts 50000 50999\n").filtered(&format!(
        "{}{REDIRECT}",
        POLICY_DROP.replace("{ 21, 22 }", "{ 21, 22, 50000-50499 }")
    ));
    snapshot(
        "status-spans",
        &host,
        &["export LC_ALL=C", "pasvsync status"],
    );
}

#[test]
fn status() {
    snapshot("status-drift", &closed(), &["pasvsync status"]);
    snapshot(
        "status-in-sync",
        &closed(),
        &["pasvsync sync", "pasvsync status"],
    );
}

#[test]
fn explain() {
    snapshot("explain", &closed(), &["pasvsync explain 50003"]);
    let commands = ["pasvsync sync", "pasvsync explain 50003 -v"];
    snapshot("explain-verbose", &closed(), &commands);
    snapshot("explain-unwanted", &closed(), &["pasvsync explain 8080"]);
    let boot = &["pasvsync explain 50003 --boot"];
    snapshot("explain-boot-unfiltered", &closed(), boot);
    snapshot("explain-control", &closed(), &["pasvsync explain 21"]);
}

/// A port that nat takes away, and one that the admin closed by name.
#[test]
fn what_no_edit_opens() {
    let redirected = format!("{POLICY_DROP}\n{REDIRECT}");
    let host = Host::new(RANGE).filtered(&redirected);
    snapshot("refusal-check", &host, &["pasvsync check"]);
    snapshot("refusal-sync", &host, &["pasvsync sync"]);
    let denied = POLICY_DROP.replace(
        "tcp dport { 21, 22 }",
        "tcp dport 50000-50009 drop\n tcp dport { 21, 22 }",
    );
    let host = Host::new(RANGE).filtered(&denied);
    snapshot("refusal-deny", &host, &["pasvsync sync"]);
    snapshot("refusal-deny-force", &host, &["pasvsync sync --force"]);
}

#[test]
fn remove() {
    snapshot("remove", &closed(), &["pasvsync sync", "pasvsync remove"]);
    snapshot("remove-nothing", &closed(), &["pasvsync remove"]);
}

#[test]
fn no_range_and_no_daemon() {
    let without = |configuration: &str| Host::new(configuration).filtered(POLICY_DROP);
    snapshot("no-range", &without("Port 21\n"), &["pasvsync sync"]);
    let empty = without("");
    fs_err::remove_dir_all(empty.root().join("etc")).unwrap();
    snapshot("no-daemon", &empty, &["pasvsync sync"]);
}

/// What was opened stays open, and nothing else is.
#[test]
fn what_is_not_found_and_what_is_not_meant() {
    let commands = ["pasvsync sync", "pasvsync sync --daemon vsftpd"];
    snapshot("daemon-not-read", &closed(), &commands);
    let host = Host::new("").filtered(POLICY_DROP);
    fs_err::remove_dir_all(host.root().join("etc")).unwrap();
    host.file(
        "etc/vsftpd.conf",
        "listen=YES\npasv_min_port=51000\npasv_max_port=50000\n",
    );
    snapshot("beyond-written", &host, &["pasvsync sync"]);
    snapshot("beyond-written-check", &host, &["pasvsync check"]);
    snapshot("beyond-written-force", &host, &["pasvsync sync --force"]);
}

#[test]
fn configurations_that_make_no_sense() {
    let host = Host::new("Port 21\nPassivePorts 50000-50009\n").filtered(POLICY_DROP);
    snapshot("refused-sync", &host, &["pasvsync sync"]);
    snapshot("refused-check", &host, &["pasvsync check"]);
    snapshot("refused-status", &host, &["pasvsync status"]);
    let host = Host::new("PassivePorts 50009 50000\n").filtered(POLICY_DROP);
    snapshot("refused-reversed", &host, &["pasvsync sync"]);
    let host = closed();
    host.file(
        "etc/pasvsync.toml",
        "control = true\nports = \"50000-50009\"\n",
    );
    snapshot("settings-unknown-key", &host, &["pasvsync check"]);
    host.file(
        "etc/pasvsync.toml",
        "[daemon-config]\nproftpd = \"/srv/none.conf\"\n",
    );
    snapshot("settings-missing-file", &host, &["pasvsync check"]);
    host.file("etc/pasvsync.toml", "control = true\n");
    snapshot("settings-control", &host, &["pasvsync sync"]);
    let flag = "pasvsync sync --control";
    snapshot("settings-control-and-flag", &host, &[flag]);
    snapshot(
        "settings-flag-wins",
        &host,
        &["pasvsync sync --control=false"],
    );
}

/// In Debian's folder of options a file holds the two ports and nothing else.
#[test]
fn a_folder_of_options() {
    let host = closed();
    let check = &["pasvsync check --daemon pure-ftpd"];
    host.file("etc/pure-ftpd/conf/AltLog", "clf:/var/log/x.log\n");
    snapshot("options-no-range", &host, check);
    let file = "etc/pure-ftpd/conf/PassivePortRange";
    host.file(file, "50140 50100\n");
    snapshot("options-reversed", &host, check);
    host.file(file, "50000 50009\n");
    snapshot("options-few", &host, check);
}

/// What cannot be taken out of a boot file is named.
#[test]
fn a_boot_file_that_is_broken() {
    let host = closed();
    host.file(
        "etc/nftables.conf",
        &format!("flush ruleset\n{POLICY_DROP}"),
    );
    host.file(
        "lib/systemd/system/nftables.service",
        "[Service]\nExecStart=/usr/sbin/nft -f /etc/nftables.conf\n",
    );
    let wants = host.root().join("etc/systemd/system/sysinit.target.wants");
    fs_err::create_dir_all(&wants).unwrap();
    let unit = "/lib/systemd/system/nftables.service";
    fs_err::os::unix::fs::symlink(unit, wants.join("nftables.service")).unwrap();
    let file = host.root().join("etc/nftables.conf");
    let junk = format!("sed -i '$a junk here' {}", file.display());
    snapshot("check-boot-file", &host, &["pasvsync check"]);
    // An image has nothing that filters now.
    snapshot("explain-boot-file", &host, &["pasvsync explain 50003"]);
    snapshot("check-boot-file-diff", &host, &["pasvsync check --diff"]);
    let commands = ["pasvsync sync", junk.as_str(), "pasvsync remove"];
    snapshot("remove-broken-boot-file", &host, &commands);
}

#[test]
fn usage() {
    snapshot("usage-none", &closed(), &["pasvsync"]);
    snapshot("usage-port", &closed(), &["pasvsync explain 70000"]);
    let ranged = &["pasvsync explain 50000-50010"];
    snapshot("usage-port-range", &closed(), ranged);
    let missing = "pasvsync check --output prometheus --to /nowhere/pasvsync.prom";
    snapshot("metrics-missing-folder", &closed(), &[missing]);
    snapshot(
        "usage-daemon",
        &closed(),
        &["pasvsync check --daemon-config wu-ftpd=/x"],
    );
    snapshot("usage-dry-run", &closed(), &["pasvsync sync --dry-run"]);
    snapshot("help", &closed(), &["pasvsync -h"]);
    snapshot("help-check", &closed(), &["pasvsync check -h"]);
    snapshot("help-set-range", &closed(), &["pasvsync set-range -h"]);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let host = closed();
    let line = format!(
        "{} --root {} status | true; exit ${{PIPESTATUS[0]}}",
        env!("CARGO_BIN_EXE_pasvsync"),
        host.root().display()
    );
    let command = format!("bash -c '{line}'");
    if let Some(output) = host.run(&[&command]) {
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.contains("error"), "{stderr}");
        assert_eq!(output.status.code(), Some(0), "{stderr}");
    }
}

#[test]
fn colour_only_repeats_what_the_words_say() {
    let host = closed();
    let (Some(plain), Some(colored)) = (
        host.run(&["pasvsync check"]),
        host.run(&["pasvsync check --color always"]),
    ) else {
        return;
    };
    let colored = String::from_utf8(colored.stdout).unwrap();
    assert!(colored.contains("\x1b[31mclosed\x1b[0m"), "{colored}");
    let mut words = colored;
    for code in ["\x1b[0m", "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[33m"] {
        words = words.replace(code, "");
    }
    assert_eq!(words, String::from_utf8(plain.stdout).unwrap());
}

/// no-color.org and bixense.com/clicolors: the one turns colour off whatever else is said, the other turns it on.
#[test]
fn variables_turn_colour_on_and_off() {
    let host = closed();
    let colored = |variables: &str| {
        let program = env!("CARGO_BIN_EXE_pasvsync");
        let root = host.root().display();
        let command = format!("env -u NO_COLOR {variables} {program} --root {root} check");
        let output = host.run(&[&command])?;
        Some(output.stdout.contains(&0x1b))
    };
    for (variables, expected) in [
        ("", false),
        ("CLICOLOR_FORCE=1", true),
        ("CLICOLOR_FORCE=1 TERM=dumb", true),
        ("CLICOLOR_FORCE=0", false),
        ("CLICOLOR_FORCE=1 NO_COLOR=1", false),
    ] {
        let Some(colored) = colored(variables) else {
            return;
        };
        assert_eq!(colored, expected, "{variables}");
    }
}

#[test]
fn what_files_say_cannot_play_tricks_on_the_terminal() {
    let host = closed();
    host.file("etc/pasvsync.toml", "\"\\u001b[2J\" = 1\n");
    let Some(output) = host.run(&["pasvsync check"]) else {
        return;
    };
    assert_eq!(output.status.code(), Some(1));
    assert!(!output.stderr.contains(&0x1b), "{output:?}");
}
