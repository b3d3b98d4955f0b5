//! Random rulesets: what `sync` opens is open, and nothing else is; bans hold, and `remove` restores.

use std::collections::BTreeSet;

use super::case::{Case, bans};
use super::generator::generate_host;
use super::iptables;
use super::judge::{Tally, count};
use super::mixture;
use super::search::Search;
use super::story::{FIRST, inside};
use super::xtables::TOOLS;
use crate::support::ready;
use crate::support::world::{BANNED, CLIENT, World};

/// Ports beside the range, and others that must not come along.
const OUTSIDE: [u16; 7] = [49_999, 50_101, 21, 22, 80, 40_000, 60_000];

#[test]
fn random_rulesets_are_opened_and_restored() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    let tally = Search {
        name: "placement",
        cases: 120,
        world: World::with_inside,
        generate: generate_host,
        judge,
    }
    .run();
    let opened = count(&tally, "opened");
    assert!(
        opened * 10 > tally.values().sum(),
        "too few are opened: {tally:?}"
    );
}

/// In iptables' tables an edit must also look right to iptables-save: `iptables-save > rules.v4` is next.
#[test]
fn random_iptables_rulesets_are_opened_and_restored() {
    if !ready(&["nft", "ip", "iptables-nft-restore", "ip6tables-nft-restore"]) {
        return;
    }
    let tally = Search {
        name: "placement in iptables' tables",
        cases: 60,
        world: World::with_inside,
        generate: iptables::generate,
        judge: |world, dump: &iptables::Dump| {
            let before = world.saved();
            world.want(FIRST.0, FIRST.1);
            world.pasvsync(&["sync"]);
            let after = world.saved();
            world.pasvsync(&["remove"]);
            let marked = after.lines().filter(|line| line.contains("pasvsync"));
            let foreign = after.lines().filter(|line| !line.contains("pasvsync"));
            expect(foreign.eq(before.lines()), || {
                format!("iptables-save shows more than the marked rules:\n{after}")
            })?;
            for line in marked {
                expect(
                    line.contains("-p tcp") && line.contains("--dport 50"),
                    || format!("iptables-save shows another rule: {line}"),
                )?;
            }
            story(world, &dump.to_string(), [false, false])
        },
    }
    .run();
    let opened = count(&tally, "opened");
    assert!(
        opened * 10 > tally.values().sum(),
        "too few are opened: {tally:?}"
    );
}

/// iptables-legacy alone and beside the others: the edits go where the blocks are, behind the bans.
#[test]
fn random_mixtures_are_opened_and_restored() {
    if !ready(&TOOLS) {
        return;
    }
    let tally = Search {
        name: "placement with iptables-legacy",
        cases: 60,
        world: World::with_inside,
        generate: mixture::generate_host,
        judge: |world, mixture: &mixture::Mixture| {
            // A ban that something lets by does not count.
            let banned = survey(world, |_| false).banned;
            let range: BTreeSet<u16> = inside(FIRST).into();
            let bans = mixture.bans();
            let shut = [0, 1].map(|family| bans[family] && banned[family].is_disjoint(&range));
            story(world, &mixture.to_string(), shut)
        },
    }
    .run();
    let opened = count(&tally, "opened");
    assert!(
        opened * 10 > tally.values().sum(),
        "too few are opened: {tally:?}"
    );
}

/// Which ports everybody reaches: the client, the host behind the server, through the server, and the banned client.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Survey {
    outside: [BTreeSet<u16>; 2],
    inside: [BTreeSet<u16>; 2],
    forwarded: [BTreeSet<u16>; 2],
    banned: [BTreeSet<u16>; 2],
}

impl Survey {
    fn parts(&self) -> [&[BTreeSet<u16>; 2]; 4] {
        [&self.outside, &self.inside, &self.forwarded, &self.banned]
    }

    /// Whether anybody reaches the port.
    fn any(&self, port: u16) -> bool {
        self.parts()
            .into_iter()
            .flatten()
            .any(|ports| ports.contains(&port))
    }

    /// What was reached in either survey.
    fn or(&self, other: &Self) -> Self {
        let both = |one: &[BTreeSet<u16>; 2], two: &[BTreeSet<u16>; 2]| {
            [0, 1].map(|family| &one[family] | &two[family])
        };
        Self {
            outside: both(&self.outside, &other.outside),
            inside: both(&self.inside, &other.inside),
            forwarded: both(&self.forwarded, &other.forwarded),
            banned: both(&self.banned, &other.banned),
        }
    }
}

/// Everybody at once: most of the time is waiting for silence. `expected` ports get a patient second try.
fn survey(world: &World, expected: impl Fn(u16) -> bool + Sync) -> Survey {
    let ports: Vec<u16> = inside(FIRST).into_iter().chain(OUTSIDE).collect();
    let (ports, expected) = (ports.as_slice(), &expected);
    let expects = |_: usize, port| expected(port);
    std::thread::scope(|scope| {
        let from_inside = scope.spawn(|| world.reached_from_inside([ports, ports], expects));
        let forwarded =
            CLIENT.map(|from| scope.spawn(move || world.forwarded(from, ports, expected)));
        let banned = BANNED.map(|from| scope.spawn(move || world.reached(from, ports, expected)));
        Survey {
            outside: world.reached_both([ports, ports], expects),
            inside: from_inside.join().expect("a probe").expect("an inner host"),
            forwarded: forwarded.map(|thread| thread.join().expect("a probe")),
            banned: banned.map(|thread| thread.join().expect("a probe")),
        }
    })
}

fn expect(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

fn judge(world: &World, case: &Case) -> Result<Tally, String> {
    story(world, &case.to_string(), bans(case))
}

/// `sync`, `sync` again and `remove` on a loaded ruleset; `banned` says in which families the banned client is shut out.
fn story(world: &World, ruleset: &str, banned: [bool; 2]) -> Result<Tally, String> {
    world.want(FIRST.0, FIRST.1);
    // Where chance decides, two surveys of the same ruleset differ.
    let steady = !["numgen", "statistic", "-m cpu"]
        .iter()
        .any(|chance| ruleset.contains(chance));
    let before = world.exact();
    let range: BTreeSet<u16> = inside(FIRST).into();
    let reached = survey(world, |_| false);
    let sync = world.pasvsync(&["sync"]);
    let changed = sync.changed();
    let after = world.exact();
    expect(changed == (after != before), || {
        format!(
            "`changed` is {changed}, the ruleset says otherwise:\n{}",
            after.text
        )
    })?;
    let foreign = after.text.lines().filter(|line| !line.contains("pasvsync"));
    expect(foreign.eq(before.text.lines()), || {
        format!("sync changes foreign lines:\n{}", after.text)
    })?;
    let kind = match (sync.code, changed) {
        (Some(0), false) => "in sync",
        (Some(0), true) => "opened",
        (Some(1), true) => "partly opened",
        (Some(1), false) => "refused",
        _ => return Err(format!("{sync:?}")),
    };
    let all_open = sync.code == Some(0);
    let opened = survey(world, |port| {
        (all_open && range.contains(&port)) || reached.any(port)
    });
    let again = world.pasvsync(&["sync"]);
    expect(
        again.code == sync.code && !again.changed() && world.exact() == after,
        || format!("the second sync is not quiet: {again:?}\n{}", after.text),
    )?;
    let remove = world.pasvsync(&["remove"]);
    let text = world.exact().text;
    expect(remove.code == Some(0) && text == before.text, || {
        format!("remove does not restore: {remove:?}\n{text}")
    })?;
    let verdict = compare(&reached, &opened, all_open, steady, banned);
    if verdict.is_err() {
        // What did not answer in time before is asked again, patiently: the ruleset is the same as then.
        let reached = reached.or(&survey(world, |port| opened.any(port)));
        compare(&reached, &opened, all_open, steady, banned)
            .map_err(|message| format!("{message}\n{}", after.text))?;
    }
    Ok([(kind, 1)].into())
}

/// What `sync` may change: the range is open afterwards when it says so, and everything else is as it was.
fn compare(
    before: &Survey,
    after: &Survey,
    all_open: bool,
    steady: bool,
    banned: [bool; 2],
) -> Result<(), String> {
    let range: BTreeSet<u16> = inside(FIRST).into();
    for (family, banned) in banned.into_iter().enumerate() {
        let views = [
            (
                "the client",
                &before.outside[family],
                &after.outside[family],
            ),
            (
                "the inner host",
                &before.inside[family],
                &after.inside[family],
            ),
        ];
        for (who, before, after) in views {
            expect(!all_open || range.is_subset(after), || {
                format!(
                    "{who} reaches only {after:?} in family {family}, sync says it opened the range"
                )
            })?;
            let strip =
                |ports: &BTreeSet<u16>| ports.difference(&range).copied().collect::<Vec<_>>();
            expect(!steady || strip(before) == strip(after), || {
                format!("{who} reached {before:?} before and {after:?} after in family {family}")
            })?;
        }
        let (was, is) = (&before.forwarded[family], &after.forwarded[family]);
        expect(!steady || was == is, || {
            format!("forwarding was {was:?} and is {is:?} in family {family}")
        })?;
        let let_in: Vec<u16> = after.banned[family].intersection(&range).copied().collect();
        expect(!banned || let_in.is_empty(), || {
            format!("the banned client reaches {let_in:?} in family {family}")
        })?;
    }
    Ok(())
}
