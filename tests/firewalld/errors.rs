//! No firewalld, a broken one, one that goes away: each is an error of its own, and none of them starts anything.

use std::time::Duration;

use super::lab::{Lab, possible};
use super::story::FIRST;
use crate::support::command::{quiet, run};
use crate::support::program::{PROGRAM, Run};
use crate::support::world::World;

/// The error's message and hint.
#[track_caller]
fn error(run: &Run) -> [String; 2] {
    let report = run.report();
    ["message", "hint"].map(|key| {
        let text = report["error"][key].as_str();
        text.unwrap_or_else(|| panic!("no {key}: {run:?}"))
            .to_owned()
    })
}

/// Without a bus, without its name on the bus, and once it has ended, firewalld is not running; nobody starts it.
#[test]
fn not_running() {
    if !possible() {
        return;
    }
    let mut lab = Lab::without_firewalld(World::new());
    lab.world.want(FIRST.0, FIRST.1);
    for step in ["no bus", "no name on the bus", "ended"] {
        match step {
            "no name on the bus" => lab.start_bus(),
            "ended" => {
                lab.boot();
                lab.pasvsync(&["sync"]).expect(0);
                lab.stop();
            }
            _ => {}
        }
        let check = lab.pasvsync(&["check", "--backend", "firewalld"]).expect(1);
        let [message, hint] = error(&check);
        assert!(
            message.contains("firewalld is not running"),
            "{step}: {message}"
        );
        // Whoever starts it from afar may be locked out.
        assert!(hint.contains("--backend auto"), "{step}: {hint}");
        assert!(!hint.contains("systemctl"), "{step}: {hint}");
        // Nobody asks for it: without it, nothing filters here.
        let check = lab.pasvsync(&["check"]).expect(0);
        assert_ne!(
            check.report()["backends"][0]["backend"],
            "firewalld",
            "{step}"
        );
        assert_eq!(lab.state(), "", "{step}: it was started");
    }
}

/// firewalld is gone and its rules are still there.
#[test]
fn leftovers() {
    let Some(lab) = Lab::wanting(FIRST) else {
        return;
    };
    let before = lab.world.exact();
    lab.kill();
    while !lab.state().is_empty() {}
    let sync = lab.pasvsync(&["sync"]).expect(1);
    let report = sync.report();
    let findings = report["findings"].as_array().expect("`findings`");
    let managed = findings
        .iter()
        .find(|finding| finding["code"] == "managed-table");
    let hint = managed.unwrap_or_else(|| panic!("{sync:?}"))["hint"].to_string();
    assert!(hint.contains("systemctl start firewalld"), "{hint}");
    assert_eq!(lab.world.exact(), before);
}

/// With a zone's file that it cannot read, firewalld answers and does not work.
#[test]
fn a_broken_configuration() {
    if !possible() {
        return;
    }
    let mut lab = Lab::without_firewalld(World::new());
    lab.world.want(FIRST.0, FIRST.1);
    lab.edit("zones/public.xml", |_| "<zone><short>".to_owned());
    lab.boot();
    assert_eq!(lab.state(), "FAILED");
    let sync = lab.pasvsync(&["sync"]).expect(1);
    let [message, hint] = error(&sync);
    assert!(message.contains("FAILED"), "{message}");
    assert!(hint.contains("--check-config"), "{hint}");

    // Mended for what runs, broken again for the next start: now is opened, the next start is an error.
    lab.edit("zones/public.xml", |_| {
        "<zone><short>x</short></zone>\n".to_owned()
    });
    lab.restart();
    lab.edit("zones/public.xml", |_| {
        "<zone>\n  <nonsense/>\n</zone>\n".to_owned()
    });
    let sync = lab.pasvsync(&["sync"]).expect(1);
    lab.assert_open(&[FIRST.0, FIRST.1], true);
    let text = sync.report()["findings"].to_string();
    assert!(text.contains("public.xml:2:3"), "{text}");
}

/// It stops between two of our questions: an error that says so, and a later run does the rest.
#[test]
fn stopped_in_the_middle() {
    let Some(lab) = Lab::wanting(FIRST) else {
        return;
    };
    lab.freeze();
    let sync = std::thread::scope(|scope| {
        let sync = scope.spawn(|| lab.pasvsync(&["sync"]));
        std::thread::sleep(Duration::from_millis(500));
        lab.kill();
        sync.join().expect("the run")
    });
    let [message, hint] = error(&sync.expect(1));
    assert!(message.contains("stopped meanwhile"), "{message}");
    assert!(hint.contains("journalctl -u firewalld"), "{hint}");
}

/// Killed at any moment of a run: the run ends, and says the truth of what runs.
#[test]
fn killed_at_any_moment() {
    if !possible() {
        return;
    }
    for delay in [10, 30, 50] {
        let mut lab = Lab::start("nftables", |_| {});
        lab.world.want(FIRST.0, FIRST.1);
        let sync = std::thread::scope(|scope| {
            let sync = scope.spawn(|| lab.pasvsync(&["sync"]));
            std::thread::sleep(Duration::from_millis(delay));
            lab.kill();
            sync.join().expect("the run")
        });
        if sync.code == Some(0) {
            lab.assert_open(&[FIRST.0, FIRST.1], true);
        } else {
            assert_eq!(sync.code, Some(1), "{sync:?}");
        }
        lab.stop();
        lab.boot();
        lab.pasvsync(&["sync"]).expect(0);
        lab.assert_open(&[FIRST.0, FIRST.1], true);
        lab.pasvsync(&["remove"]).expect(0);
        // What a killed firewalld has left in the kernel the next one adds to and knows nothing of (1.3.3); its reload
        // clears it away.
        lab.firewall_cmd(&["--reload"]);
        lab.assert_open(&[FIRST.0, FIRST.1], false);
    }
}

/// firewalld has its own idea of who may ask it.
#[test]
fn not_authorized() {
    if !possible() {
        return;
    }
    let lab = Lab::start("nftables", |_| {});
    let output = lab.world.server.run(|| {
        let mut setpriv = lab.inside(quiet("nsenter"), "setpriv");
        setpriv.args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--inh-caps=+net_admin",
            "--ambient-caps=+net_admin",
            PROGRAM,
            "explain",
            "--output=json",
            "50000",
        ]);
        run(&mut setpriv, "")
    });
    let [message, hint] = error(&Run::from(output).expect(1));
    assert!(message.contains("does not let this user"), "{message}");
    assert!(hint.contains("root"), "{hint}");
}

/// A firewalld that was cut short has left the service of ours empty: the hint says what to type.
#[test]
fn an_empty_file_of_ours() {
    let Some(lab) = Lab::wanting(FIRST) else {
        return;
    };
    lab.pasvsync(&["sync"]).expect(0);
    let before = lab.everything();
    lab.edit("services/pasvsync.xml", |_| String::new());
    let sync = lab.pasvsync(&["sync"]).expect(1);
    let report = sync.report();
    let findings = report["findings"].as_array().expect("`findings`").iter();
    let mut hints = findings.filter_map(|finding| finding["hint"].as_str());
    let hint = hints.find(|hint| hint.contains("pasvsync.xml"));
    let hint = hint.unwrap_or_else(|| panic!("{sync:?}"));
    let (_, command) = hint.rsplit_once(": ").expect("a command");
    lab.command("sh", &["-c", command]).expect_success(command);
    // What firewalld itself takes the file to be is either known to it, or read anew.
    if lab.pasvsync(&["sync"]).code != Some(0) {
        lab.firewall_cmd(&["--reload"]);
        lab.pasvsync(&["sync"]).expect(0);
    }
    lab.restart();
    lab.assert_open(&[FIRST.0, FIRST.1], true);
    assert_eq!(lab.everything()[1], before[1]);
}
