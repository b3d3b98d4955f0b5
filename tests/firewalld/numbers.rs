//! A reload gives firewalld's objects other numbers. One that comes between the question for a number and the edit has
//! the edit hit somebody else: who must be as before.

use std::thread::sleep;
use std::time::Duration;

use super::lab::{Lab, PATIENCE, possible};
use crate::support::command::{Running, finish, quiet};
use crate::support::program::PROGRAM;
use crate::support::ready;

/// For so long, in microseconds, a message is kept back: a reload takes less.
const DELAY: &str = "3000000";

/// The numbers, from 1, of those messages of a run that call this method.
fn messages(lab: &Lab, command: &[&str], method: &str) -> Vec<usize> {
    let log = lab.folder().join("messages");
    let child = traced(lab, command, &["-o", &log.display().to_string()]);
    assert!(finish(child, PATIENCE).is_some());
    let text = fs_err::read_to_string(log).expect("strace's log");
    let called = format!("\\0{method}\\0");
    let numbered = text
        .lines()
        .filter(|line| line.contains("sendmsg("))
        .zip(1..);
    numbered
        .filter(|(line, _)| line.contains(&called))
        .map(|(_, number)| number)
        .collect()
}

/// Starts the program under strace.
fn traced(lab: &Lab, command: &[&str], options: &[&str]) -> Running {
    let arguments = lab.world.arguments(command);
    lab.world.server.run(|| {
        let mut strace = lab.inside(quiet("nsenter"), "strace");
        strace.args(["-f", "-s", "4096", "-e", "trace=sendmsg"]);
        strace.args(options).arg(PROGRAM).args(&arguments);
        strace.stdout(std::process::Stdio::null());
        Running(strace.spawn().expect("strace"))
    })
}

/// Runs the program, and reloads firewalld just before it calls this method. `prepare` makes what the run finds, with
/// numbers that the reload changes.
fn reloaded_before(lab: &Lab, method: &str, command: &[&str], prepare: impl Fn()) {
    prepare();
    let calls = messages(lab, command, method);
    assert!(!calls.is_empty(), "{command:?} does not call {method}");
    prepare();
    let log = lab.folder().join("delayed");
    let when = format!("inject=sendmsg:delay_enter={DELAY}:when={}", calls[0]);
    let options = ["-e", &when, "-o", &log.display().to_string()];
    let child = traced(lab, command, &options);
    let sent = || {
        let text = fs_err::read_to_string(&log).unwrap_or_default();
        text.matches("sendmsg(").count()
    };
    while sent() + 1 < calls[0] {
        sleep(Duration::from_millis(5));
    }
    lab.firewall_cmd(&["--reload"]);
    let ended = finish(child, PATIENCE).expect("it ends");
    assert_eq!(
        ended.code(),
        Some(0),
        "{}",
        fs_err::read_to_string(&log).unwrap_or_default()
    );
}

/// firewalld with a service of the admin's, after whose name no other comes.
fn with_last() -> Option<Lab> {
    if !possible() || !ready(&["strace"]) {
        return None;
    }
    let lab = Lab::start("nftables", |_| {});
    lab.world.want(50_000, 50_100);
    for arguments in [
        vec!["--new-service=zzz"],
        vec!["--service=zzz", "--add-port=7777/tcp"],
        vec!["--add-service=zzz"],
        vec!["--new-policy=mine"],
        vec!["--policy=mine", "--add-service=zzz"],
    ] {
        lab.firewall_cmd(&[&["--permanent"], arguments.as_slice()].concat());
    }
    lab.firewall_cmd(&["--reload"]);
    Some(lab)
}

/// The files of the admin's, and of ours, without the older ones that firewalld keeps.
fn files(lab: &Lab, kind: &str) -> Vec<(String, String)> {
    let folder = fs_err::read_dir(lab.folder().join("etc").join(kind)).expect("a folder");
    let paths = folder.map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "xml"))
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy();
            let text = fs_err::read_to_string(&path).expect("a file");
            (name.into_owned(), text)
        })
        .collect();
    files.sort();
    files
}

#[test]
fn a_service_is_removed() {
    let Some(lab) = with_last() else { return };
    let (before, services) = (lab.everything(), files(&lab, "services"));
    let policy = ["--permanent", "--info-policy=mine"];
    let used = lab.firewall_cmd(&policy);
    reloaded_before(&lab, "remove", &["remove"], || {
        lab.firewall_cmd(&["--reload"]);
        lab.pasvsync(&["sync"]).expect(0);
    });
    for (now, before) in lab.everything().iter().zip(&before) {
        let mut pairs = now.lines().zip(before.lines());
        assert_eq!(pairs.find(|(now, before)| now != before), None);
        assert_eq!(now, before);
    }
    assert_eq!(lab.firewall_cmd(&policy), used);
    assert_eq!(files(&lab, "services"), services);
}

#[test]
fn a_service_is_changed() {
    let Some(lab) = with_last() else { return };
    let services = files(&lab, "services");
    let info = ["--permanent", "--info-service=zzz"];
    let before = lab.firewall_cmd(&info);
    reloaded_before(&lab, "update2", &["sync"], || {
        lab.world.want(50_000, 50_100);
        lab.pasvsync(&["remove"]).expect(0);
        lab.firewall_cmd(&["--reload"]);
        lab.pasvsync(&["sync"]).expect(0);
        lab.world.want(51_000, 51_100);
    });
    assert_eq!(lab.firewall_cmd(&info), before);
    lab.assert_open(&[50_000], false);
    lab.assert_open(&[51_000, 51_100], true);
    lab.pasvsync(&["remove"]).expect(0);
    let content = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for ((name, now), (before_name, before)) in files(&lab, "services").iter().zip(&services) {
        assert_eq!((name, content(now)), (before_name, content(before)));
    }
    assert_eq!(files(&lab, "services").len(), services.len());
}

#[test]
fn a_zone_is_changed() {
    let Some(lab) = with_last() else { return };
    let zones = files(&lab, "zones");
    let made = ["--permanent", "--new-zone=aaa"];
    reloaded_before(&lab, "addService", &["sync"], || {
        lab.pasvsync(&["remove"]).expect(0);
        lab.query(&["--permanent", "--delete-zone=aaa"]);
        lab.firewall_cmd(&["--reload"]);
        lab.firewall_cmd(&made);
    });
    lab.assert_open(&[50_000, 50_100], true);
    lab.pasvsync(&["remove"]).expect(0);
    lab.firewall_cmd(&["--permanent", "--delete-zone=aaa"]);
    assert_eq!(files(&lab, "zones"), zones);
}
