//! Hosts with iptables, of either kind or of both at once: closed, opened, and as they were.

use std::time::{Duration, Instant};

use super::story::{FIRST, Story, inside};
use crate::support::command::{Running, quiet, run};
use crate::support::program::{FAMILIES, PROGRAM};
use crate::support::ready;
use crate::support::world::{CLIENT, World};

/// What loads rules of both kinds of iptables, for both families.
pub(super) const TOOLS: [&str; 6] = [
    "nft",
    "ip",
    "iptables-nft-restore",
    "ip6tables-nft-restore",
    "iptables-legacy-restore",
    "ip6tables-legacy-restore",
];

/// One test a ruleset and kind: the files beside this one, and the chain where the block stands.
macro_rules! opens {
    ($($name:ident: $file:literal, blocked in $chain:literal;)*) => {
        mod nft {
            use super::*;
            $(#[test]
            fn $name() {
                tell(World::load_iptables, rulesets!($file), $chain, ["iptables", "ip6tables"]);
            })*
        }
        mod legacy {
            use super::*;
            $(#[test]
            fn $name() {
                let programs = ["iptables-legacy", "ip6tables-legacy"];
                tell(World::load_legacy, rulesets!($file), $chain, programs);
            })*
        }
    };
}

/// The files of both families.
macro_rules! rulesets {
    ($file:literal) => {
        [
            include_str!(concat!("rulesets/", $file, ".v4")),
            include_str!(concat!("rulesets/", $file, ".v6")),
        ]
    };
}

opens! {
    red_hats_default: "rhel", blocked in "INPUT";
    policy_drop_and_fail2ban: "fail2ban", blocked in "INPUT";
    cpanel: "cpanel", blocked in "INPUT";
    docker: "docker", blocked in "INPUT";
    a_chain_shared_with_forwarding: "rh-firewall", blocked in "RH-Firewall-1-INPUT";
    a_limited_reject_before_the_policy: "limited-reject", blocked in "INPUT";
    a_reject_limited_by_source: "limited-reject-by-source", blocked in "INPUT";
    hardened_as_guides_have_it: "hardened", blocked in "INPUT";
    a_chain_of_limited_rejects: "limited-reject-in-chain", blocked in "INPUT";
}

/// Loads the rules; the whole story; and every edit is printed as an admin would type it.
fn tell(load: fn(&World, &str, &str), [v4, v6]: [&str; 2], chain: &str, programs: [&str; 2]) {
    if !ready(&TOOLS) {
        return;
    }
    let world = World::new();
    load(&world, v4, v6);
    let story = Story::begin(&world);
    let check = world.pasvsync(&["check"]).expect(3);
    let report = check.report();
    assert_eq!(report["backends"][0]["backend"], "iptables", "{report:#}");
    let edits = edits(&check);
    for program in programs {
        let typed = format!("{program} -");
        let found = edits.iter().find(|edit| edit.starts_with(&typed));
        assert!(found.is_some(), "no edit with {program}: {edits:?}");
    }
    story.tell(chain);
}

/// The edits of the running firewall.
fn edits(run: &crate::support::program::Run) -> Vec<String> {
    let report = run.report();
    let edits = report["backends"][0]["layers"]["runtime"]["edits"].clone();
    let edits = edits.as_array().cloned().unwrap_or_default();
    let texts = edits.iter().filter_map(|edit| edit.as_str());
    texts.map(str::to_owned).collect()
}

/// What `check` proposes for these tables is what makes it so when it is typed; iptables finds the rule and its tables
/// still are its own.
#[test]
fn proposed_edits_can_be_typed() {
    if !ready(&TOOLS) {
        return;
    }
    for load in [World::load_iptables, World::load_legacy] {
        let world = World::new();
        let [v4, v6] = rulesets!("rh-firewall");
        load(&world, v4, v6);
        world.want(FIRST.0, FIRST.1);
        for edit in edits(&world.pasvsync(&["check"]).expect(3)) {
            let typed = edit
                .replace("iptables -", "iptables-nft -")
                .replace("ip6tables -", "ip6tables-nft -");
            world
                .command("sh", &["-c", &typed], "")
                .expect_success(&edit);
        }
        world.pasvsync(&["check"]).expect(0);
        let typed = (world.exact().text, saved(&world));
        world.pasvsync(&["remove"]).expect(0);
        world.pasvsync(&["sync"]).expect(0);
        // The same but for the counter, which iptables puts into every rule.
        assert_eq!(saved(&world), typed.1);
    }
}

/// What iptables-nft-save and iptables-legacy-save print, without counters.
fn saved(world: &World) -> String {
    let mut text = world.legacy();
    for program in ["iptables-nft-save", "ip6tables-nft-save"] {
        let saved = world.command(program, &[], "").expect_success(program);
        assert!(!saved.contains("incompatible"), "{saved}");
        let lines = saved.lines().filter(|line| !line.starts_with('#'));
        for line in lines {
            text += line.split(" [").next().unwrap_or_default();
            text.push('\n');
        }
    }
    text
}

/// Packets meet both: what is open in one and closed in the other is closed, and the edit goes where it is closed.
#[test]
fn both_kinds_at_once() {
    if !ready(&TOOLS) {
        return;
    }
    let (open, closed) = (rulesets!("open"), rulesets!("rhel"));
    for (legacy, nft, program) in [
        (open, closed, "iptables -I INPUT"),
        (closed, open, "iptables-legacy -I INPUT"),
    ] {
        let world = World::new();
        world.load_legacy(legacy[0], legacy[1]);
        world.load_iptables(nft[0], nft[1]);
        let story = Story::begin(&world);
        let proposed = edits(&world.pasvsync(&["check"]).expect(3));
        assert_eq!(proposed.len(), 2, "{proposed:?}");
        assert!(
            proposed.iter().any(|edit| edit.starts_with(program)),
            "{proposed:?}"
        );
        story.tell("INPUT");
    }
}

/// Closed by both, and by a native table: each gets its rule.
#[test]
fn closed_three_times() {
    if !ready(&TOOLS) {
        return;
    }
    let world = World::new();
    let (legacy, nft) = (rulesets!("rhel"), rulesets!("fail2ban"));
    world.load_legacy(legacy[0], legacy[1]);
    world.load_iptables(nft[0], nft[1]);
    world.load(include_str!("rulesets/policy-drop.nft"));
    let story = Story::begin(&world);
    let check = world.pasvsync(&["check"]).expect(3);
    assert_eq!(check.report()["backends"][0]["backend"], "nftables");
    assert_eq!(edits(&check).len(), 5, "{:?}", edits(&check));
    story.tell("");
}

#[test]
fn only_ipv6_is_closed() {
    if !ready(&TOOLS) {
        return;
    }
    for load in [World::load_iptables, World::load_legacy] {
        let world = World::new();
        load(
            &world,
            include_str!("rulesets/open.v4"),
            include_str!("rulesets/rhel.v6"),
        );
        let story = Story::begin(&world);
        assert_eq!(story.connects(FIRST.0), [true, false]);
        let proposed = edits(&world.pasvsync(&["check"]).expect(3));
        assert_eq!(proposed.len(), 1, "{proposed:?}");
        assert!(proposed[0].starts_with("ip6tables"), "{proposed:?}");
        story.sync_opens(&[], FIRST);
        story.remove_restores();
    }
}

/// fail2ban's native table beside iptables: the banned client stays out.
#[test]
fn fail2ban_of_nftables_beside_iptables() {
    if !ready(&TOOLS) {
        return;
    }
    let [v4, v6] = rulesets!("rhel");
    for load in [World::load_iptables, World::load_legacy] {
        let world = World::new();
        load(&world, v4, v6);
        world.load(
            "table inet f2b-table {
                set addr-set-pure-ftpd { type ipv4_addr; elements = { 203.0.113.66 }; }
                set addr6-set-pure-ftpd { type ipv6_addr; elements = { 2001:db8::66 }; }
                chain f2b-chain {
                    type filter hook input priority -1; policy accept;
                    ip saddr @addr-set-pure-ftpd reject
                    ip6 saddr @addr6-set-pure-ftpd reject
                }
            }",
        );
        Story::begin(&world).tell("INPUT");
    }
}

/// ufw's tables are ufw's: the refusal says what to type, with the real range, and nothing is touched.
#[test]
fn ufw_is_left_alone() {
    if !ready(&TOOLS) {
        return;
    }
    let [v4, v6] = rulesets!("ufw");
    for load in [World::load_iptables, World::load_legacy] {
        let world = World::new();
        load(&world, v4, v6);
        let story = Story::begin(&world);
        assert!(story.was_closed());
        world.pasvsync(&["check"]).expect(3);
        let sync = world.pasvsync(&["sync"]).expect(1);
        assert!(
            sync.stdout
                .contains("ufw allow 50000:50100/tcp comment pasvsync"),
            "{sync:?}"
        );
        story.assert_untouched();
    }
}

/// ipsets that rules refer to: bans, which the accept stands behind.
#[test]
fn bans_in_an_ipset() {
    if !ready(&TOOLS) || !ready(&["ipset"]) {
        return;
    }
    for load in [World::load_iptables, World::load_legacy] {
        let world = World::new();
        for command in [
            "create crowdsec-blacklists hash:net",
            "add crowdsec-blacklists 203.0.113.66",
            "create crowdsec6-blacklists hash:net family inet6",
            "add crowdsec6-blacklists 2001:db8::66",
        ] {
            let words: Vec<&str> = command.split(' ').collect();
            world.command("ipset", &words, "").expect_success(command);
        }
        let ban = "-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT";
        let with = |ruleset: &str, set: &str| {
            ruleset.replace(
                ban,
                &format!("-A INPUT -m set --match-set {set} src -j DROP\n{ban}"),
            )
        };
        load(
            &world,
            &with(include_str!("rulesets/rhel.v4"), "crowdsec-blacklists"),
            &with(include_str!("rulesets/rhel.v6"), "crowdsec6-blacklists"),
        );
        let story = Story::begin(&world);
        story.sync_opens(&[], FIRST);
        for from in crate::support::world::BANNED {
            let reached = world.reached(from, &inside(FIRST), |_| false);
            assert!(reached.is_empty(), "{from} is let in at {reached:?}");
        }
        story.remove_restores();
    }
}

/// Naming a firewall that is not in charge is an error that says which one is.
#[test]
fn the_firewall_in_charge() {
    if !ready(&TOOLS) {
        return;
    }
    let [v4, v6] = rulesets!("rhel");
    let world = World::new();
    world.load_legacy(v4, v6);
    let story = Story::begin(&world);
    let run = world.pasvsync(&["sync", "--backend", "nftables"]).expect(1);
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(said.contains("iptables is"), "{said}");
    story.assert_untouched();
    world
        .pasvsync(&["check", "--backend", "iptables"])
        .expect(3);
    let native = World::new();
    native.load(include_str!("rulesets/policy-drop.nft"));
    native.want(FIRST.0, FIRST.1);
    let run = native
        .pasvsync(&["check", "--backend", "iptables"])
        .expect(1);
    assert!(
        format!("{}{}", run.stdout, run.stderr).contains("nftables is"),
        "{run:?}"
    );
}

/// The lock that another program holds: the wait has an end, and says why.
#[test]
fn the_lock_is_held() {
    if !ready(&TOOLS) || !ready(&["flock"]) {
        return;
    }
    let [v4, v6] = rulesets!("rhel");
    let world = World::new();
    world.load_legacy(v4, v6);
    let story = Story::begin(&world);
    // A lock of this test's own: others load rules meanwhile.
    let lock = world.folder.path().join("xtables.lock");
    let mut flock = quiet("flock");
    let holder = Running(
        flock
            .arg(&lock)
            .args(["sleep", "60"])
            .spawn()
            .expect("flock"),
    );
    let start = Instant::now();
    while !lock.exists() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "flock takes no lock"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(200));
    let arguments = world.arguments(&["sync"]);
    let output = world.server.run(|| {
        let mut program = quiet(PROGRAM);
        run(program.args(&arguments).env("XTABLES_LOCKFILE", &lock), "")
    });
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = format!("{}{}", output.stdout, output.stderr);
    assert!(said.contains("lock"), "{said}");
    drop(holder);
    story.assert_untouched();
    story.sync_opens(&[], FIRST);
}

/// A chain that goes away between reading and writing: the run starts over on what is there, or says what it met.
#[test]
fn rules_that_change_meanwhile() {
    if !ready(&TOOLS) {
        return;
    }
    for (load, programs) in [
        (
            World::load_iptables as fn(&World, &str, &str),
            ["iptables-nft", "ip6tables-nft"],
        ),
        (World::load_legacy, ["iptables-legacy", "ip6tables-legacy"]),
    ] {
        let world = World::new();
        let [v4, v6] = rulesets!("rhel");
        load(&world, v4, v6);
        let story = Story::begin(&world);
        let done = std::sync::atomic::AtomicBool::new(false);
        let runs = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    for program in programs {
                        for rule in ["-I", "-D"] {
                            let words =
                                [rule, "INPUT", "-s", "192.0.2.9", "-j", "DROP", "-w", "20"];
                            world.command(program, &words, "");
                        }
                    }
                }
            });
            let runs: Vec<_> = ["sync", "remove", "sync", "remove"]
                .iter()
                .map(|verb| world.pasvsync(&[*verb]))
                .collect();
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            runs
        });
        for run in &runs {
            let gave_up = format!("{}{}", run.stdout, run.stderr).contains("chang");
            assert!(
                run.code == Some(0) || run.code == Some(1) && gave_up,
                "{run:?}"
            );
        }
        let remove = world.pasvsync(&["remove"]).expect(0);
        drop(remove);
        story.assert_restored_text();
    }
}

/// Without ip6tables the rules that ip6tables made cannot be judged; without any, nobody misses it.
#[test]
fn a_program_is_missing() {
    if !ready(&TOOLS) {
        return;
    }
    let world = World::new();
    let [v4, v6] = rulesets!("rhel");
    world.load_legacy(v4, v6);
    let story = Story::begin(&world);
    // A folder without it over the one where it is, in a mount namespace of this run's own.
    let arguments = world.arguments(&["sync"]).join(" ");
    let script = format!(
        "cp -d /usr/sbin/xtables* /usr/sbin/iptables* {0} && mount --bind {0} /usr/sbin && exec {PROGRAM} {arguments}",
        world.folder.path().display()
    );
    let run = world.command("unshare", &["--mount", "sh", "-c", &script], "");
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(said.contains("ip6tables-legacy"), "{said}");
    story.assert_untouched();
}

/// IPv6 switched off on every interface, and no rules of ip6tables at all.
#[test]
fn without_ipv6() {
    if !ready(&TOOLS) {
        return;
    }
    let world = World::new();
    world.load_legacy(include_str!("rulesets/rhel.v4"), "");
    world.server.run(|| {
        fs_err::write(
            "/proc/thread-self/net/../../../sys/net/ipv6/conf/all/disable_ipv6",
            "1",
        )
        .or_else(|_| fs_err::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1"))
        .expect("switch IPv6 off");
    });
    world.want(FIRST.0, FIRST.1);
    let sync = world.pasvsync(&["sync"]).expect(0);
    assert!(sync.changed());
    assert!(world.connects(CLIENT[0], FIRST.0));
    for family in FAMILIES {
        assert_eq!(sync.verdict(family, FIRST.0), "open");
    }
    world.pasvsync(&["remove"]).expect(0);
}

/// A host of native nftables starts no process, whichever of iptables' programs is installed.
#[test]
fn native_hosts_start_nothing() {
    if !ready(&TOOLS) || !ready(&["strace"]) {
        return;
    }
    let world = World::new();
    let [v4, v6] = rulesets!("rhel");
    world.load_iptables(v4, v6);
    world.want(FIRST.0, FIRST.1);
    for (verb, code) in [("check", 3), ("sync", 0), ("check", 0), ("remove", 0)] {
        world.pasvsync_alone(&[verb]).expect(code);
    }
}
