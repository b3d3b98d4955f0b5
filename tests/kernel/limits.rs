//! Rates in iptables' words, which either let in or turn away: `sync` must not take one for the other.

use super::story::{FIRST, Story};
use super::xtables::TOOLS;
use crate::support::program::FAMILIES;
use crate::support::ready;
use crate::support::world::{BANNED, World};

/// A host that drops what no rule accepts, with these rules at the end of `INPUT`, in both families. `BANNED` is the
/// banned client.
fn rulesets(rules: &str) -> [String; 2] {
    [(BANNED[0], "icmp"), (BANNED[1], "ipv6-icmp")].map(|(banned, icmp)| {
        format!(
            "*filter\n:INPUT DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:SOME - [0:0]\n\
             -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -p {icmp} -j ACCEPT\n\
             -A INPUT -p tcp -m multiport --dports 21,22 -j ACCEPT\n{}\nCOMMIT\n",
            rules.replace("BANNED", banned)
        )
    })
}

/// A world of each kind of iptables with the rules.
fn worlds(rules: &str) -> [World; 2] {
    let [v4, v6] = rulesets(rules);
    let loads: [fn(&World, &str, &str); 2] = [World::load_iptables, World::load_legacy];
    loads.map(|load| {
        let world = World::new();
        load(&world, &v4, &v6);
        world
    })
}

/// An accept before these rules would let in whom another keeps out, or would undo what an admin meant.
#[test]
fn limits_that_an_accept_must_not_pass() {
    if !ready(&TOOLS) {
        return;
    }
    for (rules, word) in [
        (
            "-A INPUT -m limit --limit 5/min -j REJECT\n-A INPUT -s BANNED -j DROP",
            "bans sources",
        ),
        (
            "-A INPUT -m limit --limit 5/min -j DROP\n-A INPUT -s BANNED -j DROP",
            "bans sources",
        ),
        (
            "-A INPUT -j SOME\n-A SOME -m limit --limit 5/min -j REJECT\n-A SOME -s BANNED -j DROP",
            "no accept rule can open",
        ),
        (
            "-A INPUT -j SOME\n-A SOME -s BANNED -j DROP\n-A SOME -m limit --limit 5/min -j REJECT",
            "no accept rule can open",
        ),
        (
            "-A INPUT -p tcp --dport 50000:50100 -m limit --limit 5/min -j REJECT",
            "looks intended",
        ),
        (
            "-A INPUT -p tcp --dport 50000:50100 -j SOME\n-A SOME -m limit --limit 5/min -j REJECT",
            "looks intended",
        ),
        (
            "-A INPUT -p tcp -m hashlimit --hashlimit-above 5/min --hashlimit-mode srcip --hashlimit-name h -j DROP",
            "looks intended",
        ),
        (
            "-A INPUT -m length --length 0:70 -j SOME\n-A SOME -m limit --limit 5/min -j REJECT",
            "looks intended",
        ),
    ] {
        for world in worlds(rules) {
            let story = Story::begin(&world);
            assert!(story.was_closed(), "{rules}");
            let sync = world.pasvsync(&["sync"]).expect(1);
            let said = format!("{}{}", sync.stdout, sync.stderr);
            assert!(said.contains(word), "{rules}: {word} is not named:\n{said}");
            story.assert_untouched();
        }
    }
}

/// What lets in up to a rate opens no port.
#[test]
fn a_limited_accept_is_no_open_port() {
    if !ready(&TOOLS) {
        return;
    }
    for limit in [
        "-m limit --limit 5/min",
        "-m limit --limit 100/sec --limit-burst 100",
        "-m hashlimit --hashlimit-upto 5/min --hashlimit-mode srcip --hashlimit-name h",
    ] {
        let accept = format!("-A INPUT -p tcp --dport 50000:50100 {limit} -j ACCEPT");
        let through = format!("-A INPUT {limit} -j SOME\n-A SOME -p tcp -j ACCEPT");
        not_open(&accept);
        not_open(&through);
    }
    for limit in [
        "-m limit --limit 5/min",
        "-m hashlimit --hashlimit-upto 59/min --hashlimit-mode srcip --hashlimit-name h",
    ] {
        not_open(&format!(
            "-A INPUT -j SOME\n-A INPUT -p tcp -j ACCEPT\n-A SOME {limit} -j RETURN\n-A SOME -j DROP"
        ));
    }
}

/// `check` says of no family that the range is open.
#[track_caller]
fn not_open(rules: &str) {
    for world in worlds(rules) {
        world.want(FIRST.0, FIRST.1);
        let check = world.pasvsync(&["check"]).expect(3);
        for family in FAMILIES {
            let verdict = check.verdict(family, FIRST.0);
            assert_ne!(verdict, "open", "{rules}: {check:?}");
        }
    }
}
