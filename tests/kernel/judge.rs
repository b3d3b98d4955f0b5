//! The evaluator's word against real connections.

use std::collections::{BTreeMap, BTreeSet};

use firewall::backend::{Backend as _, Layer, Scope};
use firewall::model::ports::{PortRange, PortSet};
use firewall::model::reach::{Family, Reach, ReachEntry, ReachMap};

use crate::support::program::FAMILIES;
use crate::support::world::World;

/// How many verdicts, or outcomes, of each kind there were.
pub(crate) type Tally = BTreeMap<&'static str, usize>;

/// Adds the numbers of `other`.
pub(crate) fn add(tally: &mut Tally, other: &Tally) {
    for (kind, number) in other {
        *tally.entry(kind).or_default() += number;
    }
}

/// The number of one kind.
pub(crate) fn count(tally: &Tally, kind: &str) -> usize {
    tally.get(kind).copied().unwrap_or_default()
}

/// The numbers in words.
pub(crate) fn words(tally: &Tally) -> String {
    let words: Vec<String> = tally
        .iter()
        .map(|(kind, number)| format!("{number} {kind}"))
        .collect();
    words.join(", ")
}

/// What the evaluator says of every port, in both families.
pub(crate) fn verdicts(world: &World) -> Result<[ReachMap; 2], String> {
    let ruleset = world
        .server
        .run(|| firewall::kernel::Kernel::open()?.ruleset(Layer::Runtime, Scope::InputPath))
        .map_err(|error| format!("the ruleset is not read: {error}"))?;
    Ok(Family::BOTH.map(|family| firewall::proof::trace(&ruleset, family, &PortSet::all())))
}

/// Compares the verdicts with connections on `ports` and on every port where the verdict changes.
///
/// `Err` lists the disagreements. `Restricted` and `Unknown` claim nothing and are only counted.
pub(crate) fn compare(world: &World, ports: &BTreeSet<u16>) -> Result<Tally, String> {
    let maps = verdicts(world)?;
    let asked = [0, 1].map(|family| boundaries(&maps[family], ports));
    let asked = [asked[0].as_slice(), asked[1].as_slice()];
    let expected = |family: usize, port| maps[family].reach(port) == Some(Reach::Open);
    // Through every interface there is: an open port is open through each of them, a closed one through none.
    let (outside, inside) = std::thread::scope(|scope| {
        let inside = scope.spawn(|| world.reached_from_inside(asked, expected));
        (
            world.reached_both(asked, expected),
            inside.join().expect("the inner host"),
        )
    });
    let views: Vec<&[BTreeSet<u16>; 2]> = std::iter::once(&outside).chain(&inside).collect();
    let mut tally = Tally::new();
    let mut wrong: BTreeMap<String, PortSet> = BTreeMap::new();
    for family in 0..2 {
        for port in asked[family] {
            let entry = maps[family]
                .entry(*port)
                .ok_or_else(|| format!("no verdict on {} port {port}", FAMILIES[family]))?;
            *tally.entry(entry.reach.as_str()).or_default() += 1;
            for view in &views {
                let connected = view[family].contains(port);
                if let Some(message) = disagreement(entry, connected) {
                    let ports = wrong
                        .entry(format!("{}: {message}", FAMILIES[family]))
                        .or_default();
                    *ports = ports.union(&PortSet::from(PortRange::single(*port)));
                }
            }
        }
    }
    if wrong.is_empty() {
        return Ok(tally);
    }
    let lines = wrong
        .iter()
        .map(|(message, ports)| format!("{message}: ports {ports}\n"));
    Err(lines.collect())
}

/// What is wrong with a verdict, given what a connection did.
fn disagreement(entry: &ReachEntry, connected: bool) -> Option<String> {
    let agrees = match entry.reach {
        Reach::Open => connected,
        Reach::Closed => !connected,
        Reach::Restricted | Reach::Unknown => true,
    };
    let reality = if connected {
        "gets through"
    } else {
        "does not get through"
    };
    (!agrees).then(|| {
        format!(
            "{} because {}, but a connection {reality}",
            entry.reach.as_str(),
            entry.because
        )
    })
}

/// The ports worth a connection: those given and their neighbours, and both sides of every change of the verdict.
fn boundaries(map: &ReachMap, ports: &BTreeSet<u16>) -> Vec<u16> {
    /// More changes than this are sampled: a mask on the port makes tens of thousands.
    const MOST: usize = 60;
    let mut changes: BTreeSet<u16> = BTreeSet::new();
    for (range, _) in map.intervals() {
        for port in [range.first(), range.last()] {
            changes.extend([port.saturating_sub(1), port, port.saturating_add(1)]);
        }
    }
    let step = changes.len().div_ceil(MOST).max(1);
    let mut asked: BTreeSet<u16> = changes.into_iter().step_by(step).collect();
    for port in ports {
        asked.extend([port.saturating_sub(1), *port, port.saturating_add(1)]);
    }
    // Nothing listens on port 0.
    asked.remove(&0);
    asked.into_iter().collect()
}
