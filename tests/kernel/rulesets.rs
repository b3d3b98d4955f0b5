//! Rulesets as hosts have them: each is closed, `sync` opens it, and `remove` leaves it as it was.

use super::story::{FIRST, SECOND, Story, inside};
use crate::support::program::PROGRAM;
use crate::support::ready;
use crate::support::world::{CLIENT, World};

/// One test a ruleset: the file beside this one, and the chain where the block stands.
macro_rules! opens {
    ($($(#[$attribute:meta])* $name:ident: $file:literal, blocked in $chain:literal;)*) => {$(
        #[test]
        $(#[$attribute])*
        fn $name() {
            if !ready(&["nft", "ip"]) {
                return;
            }
            let world = World::new();
            world.load(include_str!(concat!("rulesets/", $file)));
            Story::begin(&world).tell($chain);
        }
    )*};
}

opens! {
    policy_drop: "policy-drop.nft", blocked in "input";
    trailing_reject: "trailing-reject.nft", blocked in "input";
    sub_chain: "sub-chain.nft", blocked in "services";
    separate_families: "separate-families.nft", blocked in "INPUT";
    only_ipv6_closed: "only-ipv6-closed.nft", blocked in "input";
    two_base_chains: "two-base-chains.nft", blocked in "guard";
    ban_set: "ban-set.nft", blocked in "input";
    fail2ban_chain: "fail2ban-chain.nft", blocked in "input";
    fail2ban_table: "fail2ban-table.nft", blocked in "input";
    interval_set: "interval-set.nft", blocked in "input";
    port_verdict_map: "port-verdict-map.nft", blocked in "input";
    interface_verdict_map: "interface-verdict-map.nft", blocked in "wan_tcp";
    concatenation: "concatenation.nft", blocked in "input";
    state_verdict_map: "state-verdict-map.nft", blocked in "input";
    log_then_drop: "log-then-drop.nft", blocked in "logdrop";
    chain_shared_with_ban: "chain-shared-with-ban.nft", blocked in "drp";
    goto: "goto.nft", blocked in "input";
    rate_limit_before: "rate-limit-before.nft", blocked in "input";
    arch_linux: "arch-linux.nft", blocked in "input";
    hardened: "hardened.nft", blocked in "input";
}

/// A chain that forward shares, and a block where input and forward are still one: opening the host must not open
/// what is behind it.
#[test]
fn forwarding_stays_closed() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    for (ruleset, chain) in [
        (include_str!("rulesets/shared-with-forward.nft"), "common"),
        (include_str!("rulesets/prerouting-drop.nft"), "early"),
    ] {
        let world = World::with_inside();
        world.load(ruleset);
        let ports = inside(FIRST);
        let story = Story::begin(&world);
        story.sync_opens(&[], FIRST);
        for from in CLIENT {
            let closed = world.forwarded(from, &ports, |_| false);
            assert!(closed.is_empty(), "{from}, {chain}: {closed:?}");
            let open = world.forwarded(from, &[21], |_| true);
            assert!(!open.is_empty(), "{from}, {chain}");
        }
        story.remove_restores();
        Story::begin(&world).tell(chain);
    }
}

#[test]
fn a_wider_accept_is_enough() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    let world = World::new();
    world.load(include_str!("rulesets/wider-accept.nft"));
    let story = Story::begin(&world);
    assert_eq!(story.connects(FIRST.0), [true, true]);
    world.pasvsync(&["check"]).expect(0);
    let sync = world.pasvsync(&["sync"]).expect(0);
    assert!(!sync.changed(), "{sync:?}");
    let remove = world.pasvsync(&["remove"]).expect(0);
    assert!(!remove.changed(), "{remove:?}");
    story.assert_untouched();
}

/// Neither a child process nor a netlink write where nothing is to be done; no child process either where something is.
#[test]
fn nothing_is_executed() {
    if !ready(&["nft", "ip", "strace"]) {
        return;
    }
    let world = World::new();
    world.load(include_str!("rulesets/ban-set.nft"));
    let story = Story::begin(&world);
    world.pasvsync_alone(&["check"]).expect(3);
    story.assert_untouched();
    world.pasvsync_alone(&["sync"]).expect(0);
    story.assert_reached(FIRST);
    let opened = world.exact();
    for command in ["check", "sync"] {
        world.pasvsync_alone(&[command]).expect(0);
        assert_eq!(world.exact(), opened, "{command}");
    }
    world.pasvsync_alone(&["remove"]).expect(0);
    story.assert_restored();
}

/// Two runs at the same moment: one waits, and the second finds nothing left to do.
#[test]
fn two_runs_at_once_add_one_rule() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    let world = World::new();
    world.load(include_str!("rulesets/policy-drop.nft"));
    let story = Story::begin(&world);
    let runs = std::thread::scope(|scope| {
        [(); 2]
            .map(|()| scope.spawn(|| world.pasvsync(&["sync"])))
            .map(|thread| thread.join().expect("a run"))
    });
    let changed = runs.map(|run| run.expect(0).changed());
    assert!(changed[0] != changed[1], "{changed:?}");
    let text = world.exact().text;
    assert_eq!(text.matches("pasvsync").count(), 1, "{text}");
    story.assert_reached(FIRST);
    story.remove_restores();
}

/// The human output names the ports, the family and the chain, too.
#[test]
fn check_tells_people_what_is_closed() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    let world = World::new();
    world.load(include_str!("rulesets/only-ipv6-closed.nft"));
    world.want(SECOND.0, SECOND.1);
    let mut arguments = world.arguments(&["check"]);
    arguments.retain(|argument| argument != "--output" && argument != "json");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = world.command(PROGRAM, &arguments, "");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    for word in ["51000-51010", "IPv6", "input", "pure-ftpd"] {
        assert!(
            output.stdout.contains(word),
            "{word} is missing:\n{}",
            output.stdout
        );
    }
}

/// The walk through the rules goes to standard error, and only when it is asked for.
#[test]
fn the_walk_is_logged() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    let world = World::new();
    world.load(include_str!("rulesets/trailing-reject.nft"));
    world.want(FIRST.0, FIRST.1);
    for (level, logged) in [("-v", false), ("-vv", true)] {
        let run = world.pasvsync(&["check", level]).expect(3);
        let walk = run.stderr.contains("new connection: reject");
        assert_eq!(walk, logged, "{level}:\n{}", run.stderr);
    }
}

/// `explain` names the line that wants the port and the chain that decides.
#[test]
fn explain_names_line_and_chain() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    let world = World::new();
    world.load(include_str!("rulesets/interface-verdict-map.nft"));
    world.want(FIRST.0, FIRST.1);
    let explained = world.pasvsync(&["explain", "50000"]).expect(0);
    for word in ["pure-ftpd.conf", "wan_tcp"] {
        assert!(
            explained.stdout.contains(word),
            "{word} is missing:\n{}",
            explained.stdout
        );
    }
}
