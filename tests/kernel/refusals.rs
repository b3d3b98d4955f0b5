//! Where `sync` must not edit, or cannot help: it says so, and nothing is half done.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::story::{FIRST, Story};
use crate::support::command::{Running, quiet, run};
use crate::support::program::{FAMILIES, PROGRAM};
use crate::support::ready;
use crate::support::world::World;

/// The port that the rulesets with nat take away.
const TAKEN: u16 = 50_050;

/// `sync` fails, names `word`, and the ruleset is untouched.
#[track_caller]
fn refuses(story: &Story<'_>, word: &str) {
    assert!(story.was_closed(), "the ruleset already lets the range in");
    story.world.pasvsync(&["check"]).expect(3);
    let sync = story.world.pasvsync(&["sync"]).expect(1);
    let said = format!("{}{}", sync.stdout, sync.stderr);
    assert!(said.contains(word), "{word} is not named:\n{said}");
    story.assert_untouched();
}

#[test]
fn replies_that_cannot_leave() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    let world = World::new();
    world.load(include_str!("rulesets/no-replies.nft"));
    refuses(&Story::begin(&world), "output");
}

/// A port that nat takes away is not opened by any accept: the run says so instead of claiming success, and whatever
/// it did for the other ports goes away again.
#[test]
fn ports_that_nat_takes_away() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    for (ruleset, word) in [
        (include_str!("rulesets/redirect.nft"), "redirect"),
        (include_str!("rulesets/dnat.nft"), "dnat"),
    ] {
        let world = World::new();
        world.load(ruleset);
        let story = Story::begin(&world);
        world.pasvsync(&["check"]).expect(3);
        let sync = world.pasvsync(&["sync"]).expect(1);
        assert!(sync.stdout.contains(word), "{word} is not named: {sync:?}");
        for family in FAMILIES {
            assert_ne!(sync.verdict(family, TAKEN), "open", "{sync:?}");
        }
        assert_eq!(story.connects(TAKEN), [false, false]);
        if sync.changed() {
            assert_eq!(story.connects(FIRST.0), [true, true]);
            assert_eq!(story.connects(FIRST.1), [true, true]);
            story.remove_restores();
        } else {
            story.assert_untouched();
        }
    }
}

/// What an admin closed by name is opened with `--force` only.
#[test]
fn an_explicit_deny() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    let world = World::new();
    world.load(include_str!("rulesets/explicit-deny.nft"));
    let story = Story::begin(&world);
    refuses(&story, "--force");
    story.sync_opens(&["--force"], FIRST);
    story.remove_restores();
}

/// An accept before the catch-all would let in whom the rules behind it ban. It stands before what only chooses how to
/// refuse, but not before what keeps anybody else out.
#[test]
fn bans_behind_the_block() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    for (ruleset, word) in [
        (include_str!("rulesets/bans-behind.nft"), "--force"),
        (
            include_str!("rulesets/limited-reject-bans-behind.nft"),
            "bans sources",
        ),
        (
            include_str!("rulesets/limited-reject-and-protections.nft"),
            "limit rate over 1000/second",
        ),
        (include_str!("rulesets/odd-packets.nft"), "looks intended"),
    ] {
        let world = World::new();
        world.load(ruleset);
        let story = Story::begin(&world);
        refuses(&story, word);
        refuses(&story, "--force");
        let sync = world.pasvsync(&["sync", "--force"]).expect(0);
        assert!(sync.changed(), "{sync:?}");
        story.assert_reached(FIRST);
        story.remove_restores();
    }
}

/// A table that firewalld makes anew at every reload is firewalld's to edit.
#[test]
fn a_managers_table() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    let world = World::new();
    world.load(include_str!("rulesets/firewalld.nft"));
    refuses(&Story::begin(&world), "firewalld");
}

/// The kernel lets only the owner edit; the message says that somebody owns the table.
#[test]
fn an_owned_table() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    let world = World::new();
    let owner = own_a_table(&world);
    refuses(&Story::begin(&world), "own");
    drop(owner);
}

/// A table with the flag `owner`, kept alive by an nft that waits for more input.
fn own_a_table(world: &World) -> Running {
    use std::io::Write;
    let mut owner = world.server.run(|| {
        let mut nft = quiet("nft");
        nft.arg("-i").stdin(Stdio::piped()).stdout(Stdio::null());
        Running(nft.spawn().expect("nft -i"))
    });
    let input = owner.0.stdin.as_mut().expect("nft's input");
    for line in [
        "add table inet private { flags owner; }",
        "add chain inet private input { type filter hook input priority 0; policy drop; }",
        "add rule inet private input tcp dport 21 accept",
        "add rule inet private input ct state established accept",
    ] {
        writeln!(input, "{line}").expect("talk to nft");
    }
    input.flush().expect("talk to nft");
    let start = Instant::now();
    while !world.exact().text.contains("established") {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "nft -i adds no table"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    owner
}

/// Nothing filters: nothing to do, and worth saying.
#[test]
fn nothing_filters_input() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    for ruleset in ["", include_str!("rulesets/no-input-chain.nft")] {
        let world = World::new();
        world.load(ruleset);
        let story = Story::begin(&world);
        for command in ["check", "sync"] {
            let run = world.pasvsync(&[command]).expect(0);
            let report = run.report();
            assert_eq!(report["in_sync"], true, "{run:?}");
            assert_eq!(report["changed"], false, "{run:?}");
            let findings = report["findings"].as_array().expect("`findings`");
            let said = findings.iter().any(|finding| {
                finding["message"]
                    .as_str()
                    .is_some_and(|text| text.contains("filter"))
            });
            assert!(said, "no finding says that nothing filters: {run:?}");
        }
        story.assert_untouched();
    }
}

/// Without the privilege the program says which one it lacks.
#[test]
fn without_privilege() {
    if !ready(&["nft", "ip", "setpriv"]) {
        return;
    }
    let world = World::new();
    world.load(include_str!("rulesets/policy-drop.nft"));
    let story = Story::begin(&world);
    for command in ["check", "sync", "remove"] {
        let arguments = world.arguments(&[command]);
        let output = world.server.run(|| {
            let mut setpriv = quiet("setpriv");
            setpriv.args(["--bounding-set=-net_admin", "--inh-caps=-all", PROGRAM]);
            run(setpriv.args(&arguments), "")
        });
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = format!("{}{}", output.stdout, output.stderr);
        assert!(
            said.contains("CAP_NET_ADMIN") || said.contains("root"),
            "the privilege is not named: {said}"
        );
    }
    story.assert_untouched();
}
