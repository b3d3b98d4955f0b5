//! Random rulesets: the evaluator must agree with real connections.

use std::collections::BTreeSet;

use super::case::Case;
use super::generator::{generate, generate_bridged};
use super::hostile_bridges::bridged;
use super::iptables;
use super::judge::{Tally, compare, count, verdicts};
use super::mixture;
use super::search::Search;
use super::xtables::TOOLS;
use crate::support::ready;
use crate::support::world::World;

#[test]
fn random_rulesets_agree_with_connections() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    convincing(
        &Search {
            name: "oracle",
            cases: 700,
            world: World::new,
            generate,
            judge,
        }
        .run(),
    );
}

/// A second interface: what differs between them is restricted.
#[test]
fn random_rulesets_with_two_interfaces() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    convincing(
        &Search {
            name: "oracle with two interfaces",
            cases: 200,
            world: World::with_inside,
            generate: |seed| generate(seed + 1_000_000),
            judge,
        }
        .run(),
    );
}

/// The address is on a bridge, whose own rules come first.
#[test]
fn random_rulesets_with_a_bridge() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    convincing(
        &Search {
            name: "oracle with a bridge",
            cases: 300,
            world: bridged,
            generate: |seed| generate_bridged(seed + 2_000_000),
            judge,
        }
        .run(),
    );
}

/// The same in iptables' words: its matches and targets are decoded by another part of the program.
#[test]
fn random_iptables_rulesets() {
    if !ready(&["nft", "ip", "iptables-nft-restore", "ip6tables-nft-restore"]) {
        return;
    }
    convincing(
        &Search {
            name: "oracle in iptables' words",
            cases: 500,
            world: World::new,
            generate: iptables::generate,
            judge: |world, dump: &iptables::Dump| {
                let mut ports: BTreeSet<u16> = [21, 50_000, 50_050, 50_100].into();
                ports.extend(dump.ports());
                compare(world, &ports)
            },
        }
        .run(),
    );
}

/// iptables-legacy, alone and beside the others: packets meet them all.
#[test]
fn random_mixtures() {
    if !ready(&TOOLS) {
        return;
    }
    convincing(
        &Search {
            name: "oracle with iptables-legacy",
            cases: 500,
            world: World::new,
            generate: mixture::generate,
            judge: |world, mixture: &mixture::Mixture| {
                let mut ports: BTreeSet<u16> = [21, 50_000, 50_050, 50_100].into();
                ports.extend(mixture.ports());
                compare(world, &ports)
            },
        }
        .run(),
    );
}

/// A generator that makes only closed or only undecidable rulesets would prove nothing.
fn convincing(tally: &Tally) {
    let open = count(tally, "open");
    let compared = open + count(tally, "closed");
    assert!(open * 20 > compared, "too few open ports: {tally:?}");
    let silent = count(tally, "restricted") + count(tally, "unknown");
    assert!(silent < compared, "too few verdicts: {tally:?}");
}

fn judge(world: &World, case: &Case) -> Result<Tally, String> {
    let mut ports: BTreeSet<u16> = [21, 50_000, 50_050, 50_100].into();
    ports.extend(&case.ports);
    compare(world, &ports)
}

/// Not a test but a tool: judges the ruleset in the file `PASVSYNC_RULESET` and prints every verdict.
#[test]
#[ignore = "a tool: PASVSYNC_RULESET=FILE cargo test -- --ignored --nocapture judge_a_file"]
fn judge_a_file() {
    let path = std::env::var("PASVSYNC_RULESET").expect("PASVSYNC_RULESET names a file");
    let world = World::new();
    world.load(&fs_err::read_to_string(path).expect("the ruleset"));
    for map in verdicts(&world).expect("the ruleset is read") {
        for (ports, entry) in map.intervals() {
            let (family, reach) = (map.family, entry.reach.as_str());
            eprintln!("{family} {ports}: {reach} because {}", entry.because);
        }
    }
    let compared = compare(&world, &[21, 50_000, 50_050, 50_100].into());
    eprintln!("{:?}", compared.expect("verdicts and connections agree"));
}
