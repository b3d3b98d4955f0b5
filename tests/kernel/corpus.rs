//! Rulesets of other people: read without an error, judged as connections judge them, edited only by marked lines.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::judge::{Tally, add, compare, words};
use super::story::{FIRST, inside};
use crate::support::command::run;
use crate::support::program::Run;
use crate::support::world::{CLIENT, World};
use crate::support::{ready, say, skip};

/// Rulesets that are worked on side by side: most of the time is waiting for silence.
const WORKERS: usize = 4;

/// The ports that are asked about in every ruleset, besides those where its verdict changes.
const PORTS: [u16; 9] = [20, 21, 22, 80, 443, 50_000, 50_050, 50_100, 60_000];

/// How a file of the corpus is loaded, run in the corpus's folder.
fn loader(kind: &str) -> &'static [&'static str] {
    match kind {
        "nft" => &["nft", "-f"],
        "ipt" => &["iptables-nft-restore"],
        "ipt6" => &["ip6tables-nft-restore"],
        "ipt, legacy" => &["iptables-legacy-restore", "-w", "20"],
        "ipt6, legacy" => &["ip6tables-legacy-restore", "-w", "20"],
        _ => &["sh"],
    }
}

/// The corpus's folder beside the repository.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/rulesets")
}

/// Every ruleset file, with the name of the folder that says what it is.
fn files() -> Vec<(&'static str, PathBuf)> {
    let mut files = Vec::new();
    for kind in ["nft", "ipt", "ipt6", "real"] {
        let Ok(entries) = fs_err::read_dir(folder().join(kind)) else {
            continue;
        };
        let mut paths: Vec<PathBuf> = entries
            .map(|entry| entry.expect("an entry of the corpus").path())
            .filter(|path| kind != "real" || path.extension().is_some_and(|it| it == "sh"))
            .collect();
        paths.sort();
        let legacy = match kind {
            "ipt" => Some("ipt, legacy"),
            "ipt6" => Some("ipt6, legacy"),
            _ => None,
        };
        files.extend(
            legacy
                .iter()
                .flat_map(|kind| paths.iter().map(|path| (*kind, path.clone()))),
        );
        files.extend(paths.into_iter().map(|path| (kind, path)));
    }
    let only = std::env::var("PASVSYNC_CORPUS").unwrap_or_default();
    files.retain(|(_, path)| path.to_string_lossy().contains(&only));
    files
}

/// What became of the rulesets.
#[derive(Default)]
struct Outcome {
    passed: usize,
    not_loaded: Vec<String>,
    /// How often `sync` had nothing to do, opened everything, opened some ports and refused others, or refused all.
    in_sync: usize,
    opened: usize,
    partly: usize,
    refused: usize,
    /// The verdicts before `sync`, and after it.
    before: Tally,
    after: Tally,
    failures: Vec<String>,
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.not_loaded.extend(other.not_loaded);
        self.in_sync += other.in_sync;
        self.opened += other.opened;
        self.partly += other.partly;
        self.refused += other.refused;
        add(&mut self.before, &other.before);
        add(&mut self.after, &other.after);
        self.failures.extend(other.failures);
    }
}

#[test]
fn third_party_rulesets() {
    if !ready(&[
        "nft",
        "ip",
        "iptables-nft-restore",
        "ip6tables-nft-restore",
        "sh",
    ]) {
        return;
    }
    let files = files();
    if files.is_empty() {
        skip(&format!("no rulesets in {}", folder().display()));
        return;
    }
    let next = AtomicUsize::new(0);
    let mut total = Outcome::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| scope.spawn(|| work(&files, &next)))
            .collect();
        for worker in workers {
            total.add(worker.join().expect("a worker"));
        }
    });
    say(&format!(
        "corpus: {} rulesets, {} pass, {} fail, {} do not load here\n\
         corpus: sync: {} in sync, {} opened, {} partly, {} refused\n\
         corpus: before sync: {}\n\
         corpus: after sync: {}",
        files.len(),
        total.passed,
        total.failures.len(),
        total.not_loaded.len(),
        total.in_sync,
        total.opened,
        total.partly,
        total.refused,
        words(&total.before),
        words(&total.after)
    ));
    for failure in total.not_loaded.iter().chain(&total.failures) {
        eprintln!("{failure}");
    }
    assert!(
        total.failures.is_empty(),
        "{} rulesets fail",
        total.failures.len()
    );
    assert!(
        total.not_loaded.len() * 20 <= files.len(),
        "too many rulesets do not load here"
    );
}

fn work(files: &[(&'static str, PathBuf)], next: &AtomicUsize) -> Outcome {
    let mut outcome = Outcome::default();
    while let Some((kind, path)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
        let name = format!(
            "{kind}/{}",
            path.file_name().unwrap_or_default().to_string_lossy()
        );
        let world = World::new();
        if let Err(message) = load(&world, kind, path) {
            let first = message.lines().next().unwrap_or_default();
            outcome
                .not_loaded
                .push(format!("not loaded: {name}: {first}"));
            continue;
        }
        match judge(&world, &mut outcome) {
            Ok(()) => outcome.passed += 1,
            Err(message) => outcome.failures.push(format!("{name}: {message}")),
        }
    }
    outcome
}

/// The networks of the tests' clients, and others that stand for them in lists of what the Internet does not have: the
/// clients stand for anybody on the Internet.
const NOT_OF_THE_INTERNET: [(&str, &str); 2] = [
    ("203.0.113.0/24", "203.0.112.0/24"),
    ("2001:db8::/32", "2001:db9::/32"),
];

/// The file, or one beside it where the tests' clients are nobody's.
fn without_clients(world: &World, path: &Path) -> PathBuf {
    let Ok(mut text) = fs_err::read_to_string(path) else {
        return path.to_owned();
    };
    if !NOT_OF_THE_INTERNET
        .iter()
        .any(|(client, _)| text.contains(client))
    {
        return path.to_owned();
    }
    for (client, instead) in NOT_OF_THE_INTERNET {
        text = text.replace(client, instead);
    }
    let changed = world.folder.path().join("ruleset");
    fs_err::write(&changed, text).expect("the ruleset");
    changed
}

/// Loads a file; a ruleset that names interfaces which are not here gets them.
fn load(world: &World, kind: &str, path: &Path) -> Result<(), String> {
    let path = &without_clients(world, path);
    let attempt = || {
        let (program, arguments) = loader(kind).split_first().expect("a loader");
        let output = world.server.run(|| {
            let mut command = crate::support::command::quiet(program);
            command.args(arguments).arg(path).current_dir(folder());
            run(&mut command, "")
        });
        if output.status.success() {
            Ok(())
        } else {
            Err(format!("{}{}", output.stdout, output.stderr))
        }
    };
    attempt().or_else(|_| {
        for name in ["eth1", "br-dummy"] {
            let peer = format!("p{name}");
            world
                .command(
                    "ip",
                    &["link", "add", name, "type", "veth", "peer", "name", &peer],
                    "",
                )
                .expect_success("ip link add");
            world
                .command("ip", &["link", "set", name, "up"], "")
                .expect_success("ip link set");
        }
        attempt()
    })
}

/// Everything that must hold for one loaded ruleset; the first thing that does not is the error.
fn judge(world: &World, outcome: &mut Outcome) -> Result<(), String> {
    world.want(FIRST.0, FIRST.1);
    let before = world.exact();
    let saved = world.saved();
    let check = world.pasvsync(&["check"]);
    expect_code(&check, &[0, 1, 3])?;
    expect(world.exact() == before, "check writes")?;
    let ports: BTreeSet<u16> = PORTS.into();
    add(&mut outcome.before, &compare(world, &ports)?);

    let sync = world.pasvsync(&["sync"]);
    expect_code(&sync, &[0, 1])?;
    let changed = sync.changed();
    let opened = world.exact();
    expect(
        changed == (opened != before),
        "`changed` is not what happened",
    )?;
    expect(
        foreign(&opened.text) == before.text,
        "sync changes lines without the mark",
    )?;
    expect(
        foreign(&world.saved()) == saved,
        "iptables-save shows other changes than the mark's",
    )?;
    match (sync.code, changed) {
        (Some(0), false) => outcome.in_sync += 1,
        (Some(0), true) => outcome.opened += 1,
        (_, true) => outcome.partly += 1,
        (_, false) => outcome.refused += 1,
    }
    if changed {
        let tally = compare(world, &ports).map_err(|wrong| format!("after sync:\n{wrong}"))?;
        add(&mut outcome.after, &tally);
        opens(world, &sync)?;
    }
    let again = world.pasvsync(&["sync"]);
    expect(
        again.code == sync.code && !again.changed(),
        "the second sync differs",
    )?;
    expect(world.exact() == opened, "the second sync writes")?;
    let remove = world.pasvsync(&["remove"]);
    expect_code(&remove, &[0])?;
    expect(
        remove.changed() == changed,
        "remove's `changed` is not what happened",
    )?;
    expect(world.exact().text == before.text, "remove does not restore")
}

/// What `sync` reports as open after it edited is open, and all of it is when it claims success.
fn opens(world: &World, sync: &Run) -> Result<(), String> {
    for (from, family) in CLIENT.iter().zip(crate::support::program::FAMILIES) {
        let reached = world.reached(from, &inside(FIRST), |_| true);
        for port in inside(FIRST) {
            let verdict = sync.verdict(family, port);
            if verdict == "open" && !reached.contains(&port) {
                return Err(format!("sync says {family} port {port} is open; it is not"));
            }
            if verdict != "open" && sync.code == Some(0) {
                return Err(format!(
                    "sync succeeds, but {family} port {port} is {verdict}"
                ));
            }
        }
    }
    Ok(())
}

fn expect(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// The exit status is one of `codes`, and status 1 comes with a finding that says why.
fn expect_code(run: &Run, codes: &[i32]) -> Result<(), String> {
    let explained = || {
        serde_json::from_str::<serde_json::Value>(&run.stdout).is_ok_and(|report| {
            report["findings"]
                .as_array()
                .is_some_and(|all| !all.is_empty())
        })
    };
    match run.code {
        Some(1) if codes.contains(&1) && explained() => Ok(()),
        Some(code) if code != 1 && codes.contains(&code) => Ok(()),
        code => Err(format!(
            "exit status {code:?}: {}{}",
            run.stdout, run.stderr
        )),
    }
}

/// The text without the lines that hold the mark.
fn foreign(text: &str) -> String {
    text.lines()
        .filter(|line| !line.contains("pasvsync"))
        .flat_map(|line| [line, "\n"])
        .collect()
}
