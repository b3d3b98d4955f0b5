//! A firewalld that was killed: firewalld 1.3.3 leaves its rules in the kernel, and the next one adds its own behind them,
//! without knowing of the old ones. A reload takes all of them away.

use super::lab::{Lab, possible};
use super::story::{FIRST, SECOND, codes, in_sync, message};
use crate::support::program::Run;

const LEFTOVERS: &str = "firewalld-leftovers";

/// The finding tells that these ports are still let in, by which rule, and what helps.
#[track_caller]
fn tells(run: &Run, ports: &str) {
    let said = message(run, LEFTOVERS);
    assert!(said.contains(&format!("still let in: {ports}: ")), "{said}");
    assert!(said.contains("filter_IN_public_allow"), "{said}");
    let hint = format!("{run:?}");
    assert!(hint.contains("firewall-cmd --reload"), "{hint}");
}

/// Whether firewalld left its rules where they were.
fn leaves(lab: &Lab) -> bool {
    let rules = lab.world.exact().text;
    rules.matches("jump filter_INPUT_ZONES").count() > 1
}

/// `remove` has nothing to say of leftovers.
#[track_caller]
fn removes_without_a_word(lab: &Lab) {
    let remove = lab.pasvsync(&["remove"]).expect(0);
    assert!(
        !codes(&remove).contains(&LEFTOVERS.to_owned()),
        "{remove:?}"
    );
}

#[test]
fn what_is_still_let_in_is_named() {
    let Some(lab) = Lab::wanting(FIRST) else {
        return;
    };
    let before = lab.everything();
    lab.pasvsync(&["sync"]).expect(0);
    lab.kill_and_start();
    if !leaves(&lab) {
        return;
    }
    let check = lab.pasvsync(&["check"]).expect(0);
    assert!(message(&check, LEFTOVERS).contains("every rule twice"));
    lab.assert_open(&[FIRST.0, FIRST.1], true);

    // The range moves; what it was is still open, whatever firewalld says.
    lab.world.want(SECOND.0, SECOND.1);
    for _ in 0..2 {
        let sync = lab.pasvsync(&["sync"]).expect(0);
        assert!(in_sync(&sync, "runtime"), "{sync:?}");
        tells(&sync, "50000-50049");
        lab.assert_open(&[FIRST.0, SECOND.0 - 1, SECOND.0, SECOND.1], true);
    }
    let explain = lab.pasvsync(&["explain", "50000"]).expect(0);
    assert_eq!(explain.report()["families"][0]["verdict"], "open");

    // Taken back, and still open.
    for _ in 0..2 {
        let remove = lab.pasvsync(&["remove"]).expect(0);
        tells(&remove, "50000-50100");
        lab.assert_open(&[FIRST.0, FIRST.1], true);
        lab.assert_open(&[SECOND.1], false);
    }
    assert_eq!(lab.everything(), before);
    lab.firewall_cmd(&["--reload"]);
    lab.assert_open(&[FIRST.0, FIRST.1], false);
    removes_without_a_word(&lab);
    assert!(!lab.folder().join("lib/pasvsync").exists());
}

/// What the service of ours has let in is left, too.
#[test]
fn what_a_service_let_in_is_named() {
    let Some(lab) = Lab::wanting(FIRST) else {
        return;
    };
    lab.pasvsync(&["sync"]).expect(0);
    lab.restart();
    lab.pasvsync(&["sync"]).expect(0);
    assert!(!lab.folder().join("lib/pasvsync/firewalld.owned").exists());
    lab.kill_and_start();
    if !leaves(&lab) {
        return;
    }
    let remove = lab.pasvsync(&["remove"]).expect(0);
    tells(&remove, "50000-50100");
    lab.assert_open(&[FIRST.0, FIRST.1], true);
    lab.restart();
    lab.assert_open(&[FIRST.0, FIRST.1], false);
    removes_without_a_word(&lab);
    assert!(!lab.folder().join("lib/pasvsync").exists());
}

/// iptables' chains are emptied by the next start: nothing is left, nothing is said.
#[test]
fn nothing_is_left_with_iptables() {
    if !possible() {
        return;
    }
    let lab = Lab::start("iptables", |_| {});
    lab.world.want(FIRST.0, FIRST.1);
    lab.pasvsync(&["sync"]).expect(0);
    lab.kill_and_start();
    removes_without_a_word(&lab);
    lab.assert_open(&[FIRST.0, FIRST.1], false);
}
