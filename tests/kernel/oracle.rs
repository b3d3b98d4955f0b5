//! Random rulesets: the evaluator must agree with real connections.
//!
//! `PASVSYNC_ORACLE` is the number of cases, `PASVSYNC_ORACLE_SEED` the first seed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use firewall::model::reach::Reach;

use super::generator::{Case, generate};
use super::judge::{Count, compare};
use crate::support::ready;
use crate::support::world::World;

/// Worlds that work side by side: most of a case is waiting for silence.
const WORKERS: usize = 4;
/// Shrinking stops after this many tries: a failure should be seen, not waited for.
const MOST_TRIES: usize = 150;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| {
        value
            .parse()
            .unwrap_or_else(|error| panic!("{name}={value}: {error}"))
    })
}

/// A case that the evaluator got wrong.
struct Failure {
    seed: u64,
    ruleset: String,
    disagreement: String,
}

#[derive(Default)]
struct Outcome {
    agreed: usize,
    refused: usize,
    count: Count,
    failures: Vec<Failure>,
}

#[test]
fn random_rulesets_agree_with_connections() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    let cases = setting("PASVSYNC_ORACLE", 300);
    let first = setting("PASVSYNC_ORACLE_SEED", 1);
    let next = AtomicU64::new(first);
    let outcomes = std::thread::scope(|scope| {
        (0..WORKERS)
            .map(|_| scope.spawn(|| work(&next, first + cases)))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|worker| worker.join().expect("a worker"))
            .collect::<Vec<_>>()
    });
    let mut total = Outcome::default();
    for outcome in outcomes {
        total.agreed += outcome.agreed;
        total.refused += outcome.refused;
        total.count.add(&outcome.count);
        total.failures.extend(outcome.failures);
    }
    eprintln!(
        "oracle: {} rulesets agree, {} do not, nft refused {}; verdicts compared: {}",
        total.agreed,
        total.failures.len(),
        total.refused,
        total.count
    );
    for failure in &total.failures {
        eprintln!(
            "seed {}:\n{}{}",
            failure.seed, failure.ruleset, failure.disagreement
        );
    }
    assert!(
        total.failures.is_empty(),
        "{} rulesets judged wrongly",
        total.failures.len()
    );
    // A generator that makes only closed or only undecidable rulesets would prove nothing.
    let compared = total.count.of(Reach::Open) + total.count.of(Reach::Closed);
    assert!(
        total.agreed as u64 > cases / 2,
        "nft refuses too many rulesets"
    );
    assert!(
        total.count.of(Reach::Open) * 20 > compared,
        "too few open ports: {}",
        total.count
    );
    let silent = total.count.of(Reach::Restricted) + total.count.of(Reach::Unknown);
    assert!(silent < compared, "too few verdicts: {}", total.count);
}

/// Takes one seed after the other until `end`.
fn work(next: &AtomicU64, end: u64) -> Outcome {
    let world = World::new();
    let mut outcome = Outcome::default();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return outcome;
        }
        let case = loadable(&world, generate(seed));
        match judge(&world, &case) {
            None => outcome.refused += 1,
            Some(Ok(count)) => {
                outcome.agreed += 1;
                outcome.count.add(&count);
            }
            Some(Err(disagreement)) => {
                let (small, disagreement) = shrink(&world, case, disagreement);
                outcome.failures.push(Failure {
                    seed,
                    ruleset: small.to_string(),
                    disagreement,
                });
            }
        }
    }
}

/// Leaves out the rules that nft refuses: some of the tests and verdicts that meet by chance do not go together.
fn loadable(world: &World, mut case: Case) -> Case {
    for _ in 0..4 {
        let Err(message) = load(world, &case) else {
            break;
        };
        // Such as `/dev/stdin:12:3-9: Error: ...`; line 1 is the flush.
        let lines = message
            .lines()
            .filter_map(|line| {
                line.strip_prefix("/dev/stdin:")?
                    .split(':')
                    .next()?
                    .parse()
                    .ok()
            })
            .map(|line: usize| line - 1)
            .collect();
        case = case.without_lines(&lines);
    }
    case
}

fn load(world: &World, case: &Case) -> Result<(), String> {
    world.try_load(&format!("flush ruleset\n{case}"))
}

/// Loads the case in place of the one before and compares; `None` when nft refuses it.
fn judge(world: &World, case: &Case) -> Option<Result<Count, String>> {
    load(world, case).ok()?;
    let mut ports: BTreeSet<u16> = [21, 50_000, 50_050, 50_100].into();
    ports.extend(&case.ports);
    Some(compare(world, &ports))
}

/// Leaves out tables, chains, sets and rules as long as the case still fails.
fn shrink(world: &World, mut case: Case, mut disagreement: String) -> (Case, String) {
    let mut tries = 0;
    loop {
        let mut smaller = None;
        for candidate in reductions(&case) {
            tries += 1;
            if tries > MOST_TRIES {
                return (case, disagreement);
            }
            if let Some(Err(message)) = judge(world, &candidate) {
                smaller = Some((candidate, message));
                break;
            }
        }
        match smaller {
            Some(found) => (case, disagreement) = found,
            None => return (case, disagreement),
        }
    }
}

/// Every case with one thing less, the largest things first.
fn reductions(case: &Case) -> Vec<Case> {
    let mut smaller = Vec::new();
    let mut without = |change: &dyn Fn(&mut Case)| {
        let mut copy = case.clone();
        change(&mut copy);
        smaller.push(copy);
    };
    for table in 0..case.tables.len() {
        without(&|copy| drop(copy.tables.remove(table)));
    }
    for (table, content) in case.tables.iter().enumerate() {
        for chain in 0..content.chains.len() {
            without(&|copy| drop(copy.tables[table].chains.remove(chain)));
        }
    }
    for (table, content) in case.tables.iter().enumerate() {
        for (chain, rules) in content.chains.iter().enumerate() {
            for rule in 0..rules.rules.len() {
                without(&|copy| drop(copy.tables[table].chains[chain].rules.remove(rule)));
            }
        }
        for set in 0..content.sets.len() {
            without(&|copy| drop(copy.tables[table].sets.remove(set)));
        }
    }
    smaller
}

/// Not a test but a tool: judges the ruleset in the file `PASVSYNC_RULESET` and prints every verdict.
#[test]
#[ignore = "a tool: PASVSYNC_RULESET=FILE cargo test -- --ignored --nocapture judge_a_file"]
fn judge_a_file() {
    let path = std::env::var("PASVSYNC_RULESET").expect("PASVSYNC_RULESET names a file");
    let world = World::new();
    world.load(&fs_err::read_to_string(path).expect("the ruleset"));
    for map in super::judge::verdicts(&world).expect("the ruleset is read") {
        for (ports, entry) in map.intervals() {
            let (family, reach) = (map.family, entry.reach.as_str());
            eprintln!("{family} {ports}: {reach} because {}", entry.because);
        }
    }
    let compared = compare(&world, &[21, 50_000, 50_050, 50_100].into());
    eprintln!("{}", compared.expect("verdicts and connections agree"));
}
