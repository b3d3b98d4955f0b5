//! The whole story: closed, opened for now and for ever, unchanged, moved, taken back.

use std::time::{Duration, Instant};

use super::lab::{Lab, possible};
use crate::support::program::Run;
use crate::support::world::CLIENT;

/// The daemon's range at first, and after its configuration was edited.
pub(super) const FIRST: (u16, u16) = (50_000, 50_100);
pub(super) const SECOND: (u16, u16) = (50_050, 50_150);

impl Lab {
    /// Every port is open to the client in both families, or none is.
    #[track_caller]
    pub(crate) fn assert_open(&self, ports: &[u16], open: bool) {
        let reached = self.world.reached_both([ports, ports], |_, _| open);
        for found in reached {
            let expected = if open { ports.to_vec() } else { Vec::new() };
            let found: Vec<u16> = found.into_iter().collect();
            assert_eq!(found, expected, "{}", self.world.exact().text);
        }
    }
}

/// Whether the report calls a layer in sync.
pub(super) fn in_sync(run: &Run, layer: &str) -> bool {
    let report = run.report();
    assert_eq!(report["backends"][0]["backend"], "firewalld", "{run:?}");
    let layer = &report["backends"][0]["layers"][layer]["in_sync"];
    layer
        .as_bool()
        .unwrap_or_else(|| panic!("no such layer: {run:?}"))
}

/// The codes of the findings.
pub(super) fn codes(run: &Run) -> Vec<String> {
    let report = run.report();
    let findings = report["findings"].as_array().expect("`findings`");
    let codes = findings
        .iter()
        .filter_map(|finding| finding["code"].as_str());
    codes.map(ToOwned::to_owned).collect()
}

/// The message of the finding with that code.
#[track_caller]
pub(super) fn message(run: &Run, code: &str) -> String {
    let report = run.report();
    let findings = report["findings"].as_array().expect("`findings`");
    let mut found = findings.iter().filter(|finding| finding["code"] == code);
    let finding = found.next().unwrap_or_else(|| panic!("no {code}: {run:?}"));
    finding["message"].as_str().expect("a message").to_owned()
}

fn tell(backend: &str) {
    let lab = Lab::start(backend, |_| {});
    lab.world.want(FIRST.0, FIRST.1);
    let before = lab.everything();
    lab.assert_open(&[FIRST.0, FIRST.1], false);
    let check = lab.pasvsync(&["check"]).expect(3);
    assert!(
        !in_sync(&check, "runtime") && !in_sync(&check, "permanent"),
        "{check:?}"
    );
    assert_eq!(lab.everything(), before, "check writes");

    let sync = lab.pasvsync(&["sync"]).expect(0);
    assert!(sync.changed(), "{sync:?}");
    lab.assert_open(&[FIRST.0, 50_042, FIRST.1], true);
    lab.assert_open(&[FIRST.0 - 1, FIRST.1 + 1], false);
    assert!(lab.query(&["--zone=public", "--query-port=50000-50100/tcp"]));
    assert!(lab.query(&["--permanent", "--zone=public", "--query-service=pasvsync"]));
    let ports = lab.firewall_cmd(&["--permanent", "--service=pasvsync", "--get-ports"]);
    assert_eq!(ports, "50000-50100/tcp");

    let (configured, kernel) = (lab.everything(), lab.world.exact());
    let again = lab.pasvsync(&["sync"]).expect(0);
    assert!(!again.changed(), "{again:?}");
    assert_eq!((lab.everything(), lab.world.exact()), (configured, kernel));

    // The service takes the place of the ports; then there is nothing left to do.
    for restart in [true, false] {
        if restart {
            lab.restart();
        } else {
            lab.firewall_cmd(&["--reload"]);
        }
        lab.assert_open(&[FIRST.0, FIRST.1], true);
        assert_eq!(lab.firewall_cmd(&["--zone=public", "--list-ports"]), "");
        let after = lab.pasvsync(&["sync"]).expect(0);
        assert!(!after.changed(), "{after:?}");
    }

    // The range moves: nothing is left of the old one, now or after a reload.
    lab.world.want(SECOND.0, SECOND.1);
    lab.pasvsync(&["sync"]).expect(0);
    for _ in 0..2 {
        lab.assert_open(&[SECOND.0, SECOND.1], true);
        lab.assert_open(&[FIRST.0, SECOND.0 - 1], false);
        lab.firewall_cmd(&["--reload"]);
    }
    let ports = lab.firewall_cmd(&["--permanent", "--service=pasvsync", "--get-ports"]);
    assert_eq!(ports, "50050-50150/tcp");

    let remove = lab.pasvsync(&["remove"]).expect(0);
    assert!(remove.changed(), "{remove:?}");
    lab.assert_open(&[SECOND.0, SECOND.1], false);
    assert_eq!(lab.everything(), before);
    let services = lab.firewall_cmd(&["--permanent", "--get-services"]);
    assert!(!services.contains("pasvsync"), "{services}");
    assert!(!lab.folder().join("lib/pasvsync").exists());
    let again = lab.pasvsync(&["remove"]).expect(0);
    assert!(!again.changed(), "{again:?}");
}

#[test]
fn closed_opened_moved_and_taken_back_with_nftables() {
    if possible() {
        tell("nftables");
    }
}

#[test]
fn closed_opened_moved_and_taken_back_with_iptables() {
    if possible() {
        tell("iptables");
    }
}

/// Only one of the two layers lacks something, and the report says which.
#[test]
fn what_is_only_there_now_and_what_only_comes_with_the_next_start() {
    let Some(lab) = Lab::wanting(FIRST) else {
        return;
    };
    lab.firewall_cmd(&["--add-port=50000-50100/tcp"]);
    let check = lab.pasvsync(&["check"]).expect(3);
    assert!(
        in_sync(&check, "runtime") && !in_sync(&check, "permanent"),
        "{check:?}"
    );
    lab.firewall_cmd(&["--remove-port=50000-50100/tcp"]);
    lab.firewall_cmd(&["--permanent", "--add-port=50000-50100/tcp"]);
    let check = lab.pasvsync(&["check"]).expect(3);
    assert!(
        !in_sync(&check, "runtime") && in_sync(&check, "permanent"),
        "{check:?}"
    );
    // What the admin has saved needs no service beside it.
    lab.pasvsync(&["sync"]).expect(0);
    assert!(!lab.query(&["--permanent", "--query-service=pasvsync"]));
    lab.assert_open(&[FIRST.0, FIRST.1], true);
}

/// What the manuals say to run is all that is needed; nothing is added to it, nothing of it is taken away.
#[test]
fn the_manuals_recipe_is_in_sync() {
    let Some(lab) = Lab::wanting(FIRST) else {
        return;
    };
    lab.firewall_cmd(&["--permanent", "--zone=public", "--add-service=ftp"]);
    lab.firewall_cmd(&["--permanent", "--add-port=49152-65534/tcp"]);
    lab.firewall_cmd(&["--reload"]);
    let before = lab.everything();
    for command in ["check", "sync", "remove"] {
        let run = lab.pasvsync(&[command]).expect(0);
        assert!(!run.changed(), "{run:?}");
    }
    assert_eq!(lab.everything(), before);
    lab.assert_open(&[FIRST.0, FIRST.1, 60_000], true);
}

/// An admin's range that overlaps stays as it is, whatever becomes of ours.
#[test]
fn an_admins_overlapping_range_stays() {
    if !possible() {
        return;
    }
    let lab = Lab::start("nftables", |_| {});
    for place in [&["--permanent"][..], &[]] {
        lab.firewall_cmd(&[place, &["--add-port=50050-50060/tcp"]].concat());
    }
    let admins = || {
        let now = lab.firewall_cmd(&["--zone=public", "--list-ports"]);
        let now = now.split(' ').any(|ports| ports == "50050-50060/tcp");
        (now, lab.firewall_cmd(&["--permanent", "--list-ports"]))
    };
    let before = (lab.everything(), admins());
    for range in [FIRST, SECOND, (49_000, 50_055)] {
        lab.world.want(range.0, range.1);
        lab.pasvsync(&["sync"]).expect(0);
        lab.assert_open(&[range.0, range.1], true);
        assert_eq!(admins(), (true, "50050-50060/tcp".to_owned()));
    }
    lab.pasvsync(&["remove"]).expect(0);
    assert_eq!((lab.everything(), admins()), before);
    lab.assert_open(&[50_050, 50_060], true);
    lab.assert_open(&[50_049, 50_061, 49_000], false);
}

/// Somebody who is banned until the next reload stays banned.
#[test]
fn a_ban_at_runtime_survives() {
    let Some(lab) = Lab::wanting(FIRST) else {
        return;
    };
    let [banned, _] = crate::support::world::BANNED;
    lab.firewall_cmd(&[&format!(
        "--add-rich-rule=rule family=ipv4 source address={banned} drop"
    )]);
    lab.firewall_cmd(&["--add-service=ftp"]);
    assert!(!lab.world.connects(banned, 21) && lab.world.connects(CLIENT[0], 21));
    lab.pasvsync(&["sync"]).expect(0);
    assert!(!lab.world.connects(banned, 21), "the ban is gone");
    assert!(
        !lab.world.connects(banned, FIRST.0),
        "the ban does not hold for the range"
    );
    lab.assert_open(&[FIRST.0, FIRST.1], true);
}

/// Two firewallds of one host, each with a folder and a network namespace of its own: what is taken back in one stays
/// known in the other.
#[test]
fn two_with_folders_of_their_own() {
    if !possible() {
        return;
    }
    let usual = Lab::start("nftables", |_| {});
    let other = Lab::start("nftables", |lab| {
        let folder = usual.folder().join("lib");
        let folder = folder.to_str().expect("a path");
        lab.command("mount", &["--bind", folder, "/var/lib"])
            .expect_success("mount");
        lab.system_config = Some("/run/firewalld-of-its-own");
    });
    for lab in [&usual, &other] {
        lab.world.want(FIRST.0, FIRST.1);
        lab.pasvsync(&["sync"]).expect(0);
        assert!(!lab.pasvsync(&["sync"]).expect(0).changed());
        lab.assert_open(&[FIRST.0, FIRST.1], true);
    }
    let lists = || {
        let folder = fs_err::read_dir(usual.folder().join("lib/pasvsync"));
        let names = folder.into_iter().flatten().map(|entry| {
            let name = entry.expect("an entry").file_name();
            name.into_string().expect("a plain name")
        });
        let lists = names.filter_map(|name| name.strip_suffix(".owned").map(ToOwned::to_owned));
        let mut lists: Vec<String> = lists.collect();
        lists.sort();
        lists
    };
    let own = "firewalld-run-firewalld%2dof%2dits%2down";
    assert_eq!(lists(), ["firewalld", own]);
    usual.pasvsync(&["remove"]).expect(0);
    assert_eq!(lists(), [own]);
    usual.assert_open(&[FIRST.0, FIRST.1], false);
    other.assert_open(&[FIRST.0, FIRST.1], true);
    other.pasvsync(&["remove"]).expect(0);
    other.assert_open(&[FIRST.0, FIRST.1], false);
    assert_eq!(lists(), [""; 0]);
}

/// Several at once: the ports are opened once, and everybody says so.
#[test]
fn eight_at_once() {
    let Some(lab) = Lab::wanting(FIRST) else {
        return;
    };
    let runs: Vec<Run> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| lab.pasvsync(&["sync"])))
            .collect();
        runs.into_iter()
            .map(|run| run.join().expect("a run"))
            .collect()
    });
    let changed = runs.into_iter().filter(|run| {
        assert_eq!(run.code, Some(0), "{run:?}");
        run.changed()
    });
    assert_eq!(changed.count(), 1);
    assert_eq!(
        lab.firewall_cmd(&["--zone=public", "--list-ports"]),
        "50000-50100/tcp"
    );
    lab.pasvsync(&["remove"]).expect(0);
    lab.assert_open(&[FIRST.0], false);
}

/// Killed at any moment, a run leaves nothing that the next one does not mend, and `remove` does not find.
#[test]
fn killed_at_any_moment() {
    let Some(lab) = Lab::wanting(FIRST) else {
        return;
    };
    let before = lab.everything();
    for delay in (0..60).step_by(6) {
        let started = Instant::now();
        lab.pasvsync_killed(&["sync"], Duration::from_millis(delay));
        assert!(started.elapsed() < Duration::from_secs(60));
        if delay % 12 == 0 {
            lab.pasvsync(&["sync"]).expect(0);
            lab.assert_open(&[FIRST.0], true);
        }
        lab.pasvsync(&["remove"]).expect(0);
        assert_eq!(lab.everything(), before, "killed after {delay} ms");
    }
}
