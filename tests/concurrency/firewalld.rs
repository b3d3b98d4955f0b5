//! `sync` and `remove` in a loop beside a firewalld that is reloaded, or restarted, all the time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::duration;
use super::neighbours::Stop;
use crate::firewalld::lab::{Lab, possible};
use crate::support::say;
use crate::support::world::{BANNED, CLIENT};

/// The daemon's range.
const RANGE: (u16, u16) = (50_000, 50_100);

/// On a busy machine a run may take longer than the time between two reloads, and not come through for a while.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a run says that could not finish: that firewalld, or what it has written, moved under it.
const MOVED: [&str; 4] = [
    "kept changing while",
    "firewalld has stopped meanwhile",
    "firewalld is just starting",
    "has not read it again",
];

/// What is somebody else's: a ban, a port and a service of the admin's, and a table beside firewalld's.
fn foreign(lab: &Lab) {
    let ban = format!("rule family=ipv4 source address={} drop", BANNED[0]);
    for arguments in [
        format!("--add-rich-rule={ban}"),
        "--add-port=2222/tcp".to_owned(),
        "--add-service=ftp".to_owned(),
    ] {
        lab.firewall_cmd(&["--permanent", &arguments]);
    }
    lab.firewall_cmd(&["--reload"]);
    lab.world.load(
        "table inet mine {\nchain input {\ntype filter hook input priority -5\ntcp dport 4444 drop\n}\n}\n",
    );
}

/// Everything that the kernel filters with, in words.
fn ruleset(lab: &Lab) -> [String; 2] {
    ["firewalld", "mine"].map(|table| {
        let list = ["-s", "list", "table", "inet", table];
        lab.world.command("nft", &list, "").expect_success("nft")
    })
}

/// Rules of the kernel that let the range in.
fn rules(lab: &Lab) -> usize {
    let [text, _] = ruleset(lab);
    text.matches(&format!("{}-{} accept", RANGE.0, RANGE.1))
        .count()
}

/// Whether a run ends proved; otherwise it says what moved.
#[track_caller]
fn ends(lab: &Lab, command: &str) -> bool {
    let run = lab.pasvsync(&[command]);
    if run.code == Some(0) {
        return true;
    }
    let said = format!("{}{}", run.stdout, run.stderr);
    let moved = MOVED.iter().any(|words| said.contains(words));
    assert!(run.code == Some(1) && moved, "{command}: {run:?}");
    false
}

/// Runs beside `neighbour`, which does one thing at a time; then everything is as one run would have made it.
#[track_caller]
fn beside(name: &str, neighbour: impl Fn(&Lab) + Send + Sync) {
    if !possible() {
        return;
    }
    let lab = Lab::start("nftables", |_| {});
    lab.world.want(RANGE.0, RANGE.1);
    foreign(&lab);
    let (before, kernel) = (lab.everything(), ruleset(&lab));
    let stop = AtomicBool::new(false);
    let (mut proved, mut moved) = (0, 0);
    let times = std::thread::scope(|scope| {
        let neighbour = scope.spawn(|| {
            let mut times = 0;
            while !stop.load(Ordering::Relaxed) {
                neighbour(&lab);
                times += 1;
            }
            times
        });
        let _stop = Stop(&stop);
        let (end, latest) = (Instant::now() + duration(), Instant::now() + PATIENCE);
        let more = |proved| Instant::now() < end || proved == 0 && Instant::now() < latest;
        while more(proved) && !neighbour.is_finished() {
            for command in ["sync", "remove"] {
                if ends(&lab, command) {
                    proved += 1;
                } else {
                    moved += 1;
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
        neighbour.join().expect("the neighbour")
    });
    say(&format!(
        "beside {times} {name}: {proved} runs ended proved, {moved} said what moved"
    ));
    assert!(proved > 0 && times > 0, "nothing came through");

    assert!(ends(&lab, "sync"), "nothing moves any more");
    assert!(!lab.pasvsync(&["sync"]).expect(0).changed());
    lab.assert_open(&[RANGE.0, RANGE.1], true);
    assert!(!lab.world.connects(BANNED[0], RANGE.0), "the ban is gone");
    assert!(lab.world.connects(CLIENT[0], 21) && lab.world.connects(CLIENT[0], 2222));
    // As many as firewalld knows of.
    let service = lab.query(&["--query-service=pasvsync"]);
    let port = lab.query(&["--query-port=50000-50100/tcp"]);
    assert_eq!(rules(&lab), usize::from(service) + usize::from(port));

    assert!(ends(&lab, "remove"), "nothing moves any more");
    lab.assert_open(&[RANGE.0, RANGE.1], false);
    assert_eq!(lab.everything(), before);
    lab.firewall_cmd(&["--reload"]);
    assert_eq!(lab.everything(), before);
    assert_eq!(ruleset(&lab), kernel);
}

#[test]
fn reloads() {
    beside("reloads of firewalld", |lab| {
        lab.firewall_cmd(&["--reload"]);
    });
}

#[test]
fn restarts() {
    beside("restarts of firewalld", Lab::restart);
}
