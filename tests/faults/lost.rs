//! What was done, while the word that it was is lost: it stays known as ours.

use nix::errno::Errno;

use super::prepared;
use super::scenarios::{CSF_SYNC, FIREWALLD_FIRST_SYNC, FIREWALLD_SYNC, Scenario};
use super::state::State;
use super::tracer::{Fault, Met, Point, trace};
use crate::support::host::Host;
use crate::support::program::PROGRAM;

/// A host on which `sync` met the fault: the next one succeeds, and then `remove` leaves nothing behind.
#[track_caller]
fn nothing_is_forgotten(host: &Host, what: &str, removed: &State) {
    let sync = host.pasvsync(&["sync"]);
    assert!(sync.status.success(), "{what}: {sync:?}");
    let remove = host.pasvsync(&["remove"]);
    assert!(remove.status.success(), "{what}: {remove:?}");
    let now = State::of(host).settled();
    let broken = now.broken(removed, removed, super::state::Steps::One);
    assert_eq!(broken, Vec::<String>::new(), "{what}");
}

/// The calls that a sync makes, and what is left when everything of ours is taken away.
fn told(scenario: Scenario) -> Option<(Vec<Met>, State)> {
    let host = prepared(scenario)?;
    let run = host.run(|| trace(PROGRAM, scenario.command, None));
    assert_eq!(run.code, Some(0), "{run:?}");
    let remove = host.pasvsync(scenario.remove);
    assert!(remove.status.success(), "{remove:?}");
    Some((run.calls, State::of(&host).settled()))
}

/// firewalld opens a port, and its answer is lost.
#[test]
fn an_answer_of_firewalld() {
    let Some((calls, removed)) = told(FIREWALLD_FIRST_SYNC) else {
        return;
    };
    let host = prepared(FIREWALLD_FIRST_SYNC).expect("a host");
    // What is ours is written down before and after.
    let written = |met: &&Met| met.point.call == "renameat";
    let calls = calls.iter().skip_while(|met| !written(met)).skip(1);
    let calls = calls.take_while(|met| !written(met));
    let points = calls.map(|met| &met.point);
    let points: Vec<&Point> = points.filter(|point| point.call == "recvmsg").collect();
    assert!(!points.is_empty());
    for point in points {
        let inject = (point, Fault::Error(Errno::ENOMEM));
        let run = host.run(|| trace(PROGRAM, &["sync"], Some(inject)));
        nothing_is_forgotten(&host, &format!("{point}: {run:?}"), &removed);
    }
}

/// iptables-restore makes the rules, and dies before it says so.
#[test]
fn an_answer_of_iptables() {
    let Some((calls, removed)) = told(CSF_SYNC) else {
        return;
    };
    let program = |met: &&Met| met.point.program == "xtables-nft-multi";
    let reads = calls.iter().filter(program).map(|met| &met.point);
    let reads: Vec<&Point> = reads.filter(|point| point.call == "read").collect();
    assert!(!reads.is_empty());
    for point in reads {
        let host = prepared(CSF_SYNC).expect("a host");
        let run = host.run(|| trace(PROGRAM, &["sync"], Some((point, Fault::Kill))));
        assert_eq!(run.code, Some(1), "{run:?}");
        nothing_is_forgotten(&host, &format!("{point}: {run:?}"), &removed);
    }
}

/// What is saved cannot be read for the moment: whether the open ports are still ours cannot be told, and they stay on
/// the list until it can.
#[test]
fn what_may_have_been_saved() {
    let Some(host) = prepared(FIREWALLD_SYNC) else {
        return;
    };
    let zones = |script: &str| {
        host.must(
            "sh",
            &["-ec", &format!("cd /etc/firewalld/zones; {script}")],
        )
    };
    let open = || host.must("firewall-cmd", &["--zone=public", "--list-ports"]);
    zones("mv public.xml kept; ln -s public.xml public.xml");
    let sync = host.pasvsync(&["sync"]);
    assert_eq!(sync.status.code(), Some(1), "{sync:?}");
    let words = "it cannot be told whether `port public 50000-50100`";
    assert!(
        (sync.stdout.clone() + &sync.stderr).contains(words),
        "{sync:?}"
    );
    assert!(open().contains("50000-50100"), "{sync:?}");
    zones("mv kept public.xml");
    let sync = host.pasvsync(&["sync"]);
    assert!(sync.status.success(), "{sync:?}");
    assert!(!open().contains("50000-50100"), "{sync:?}");
}
