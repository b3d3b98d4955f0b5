//! The third-party rulesets of the corpus, where it is there: every one is read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{in_namespace, ruleset, run, skip};
use crate::model::ruleset::{Chain, Field, Policy, Ruleset, Statement, Uncertainty};
use crate::netfilter::Scope;

/// Where the corpus is: beside the workspace, or where the environment says.
fn corpus() -> Option<PathBuf> {
    let folder = std::env::var_os("PASVSYNC_CORPUS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/rulesets"),
        |corpus| PathBuf::from(corpus).join("rulesets"),
    );
    folder.is_dir().then_some(folder)
}

/// The files of one kind.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.is_file() && path.to_string_lossy().ends_with(extension));
    files.sort();
    files
}

/// A ruleset of the corpus, as it was read in full, for the input path, and by nft.
struct Loaded {
    everything: Ruleset,
    path: Ruleset,
    listing: String,
}

/// Loads a file as `ruleset-corpus.py` does and reads it back.
fn read_back(loader: &'static str, file: PathBuf) -> Option<Loaded> {
    let (send, receive) = std::sync::mpsc::channel();
    in_namespace(move || {
        for name in ["eth0", "eth1", "br-dummy"] {
            let peer = format!("p{name}");
            let arguments = ["link", "add", name, "type", "veth", "peer", "name", &peer];
            run(Command::new("ip").args(arguments), "").unwrap();
        }
        let folder = file.parent().and_then(Path::parent).unwrap();
        let mut command = Command::new(loader);
        command.current_dir(folder);
        if loader == "nft" {
            command.arg("-f");
        }
        if let Err(error) = run(command.arg(&file), "") {
            return skip(&format!("{}: {error}", file.display()));
        }
        let loaded = Loaded {
            everything: ruleset(Scope::Everything),
            path: ruleset(Scope::InputPath),
            listing: run(Command::new("nft").args(["-a", "list", "ruleset"]), "").unwrap(),
        };
        send.send(loaded).unwrap();
    });
    receive.try_recv().ok()
}

/// The handles of the rules and the number of drop policies in nft's listing, without arp tables.
fn listed(listing: &str) -> (Vec<u64>, usize) {
    let (mut handles, mut drops, mut skipped) = (Vec::new(), 0, false);
    for line in listing.lines() {
        if let Some(table) = line.strip_prefix("table ") {
            skipped = table.starts_with("arp ");
        }
        if skipped {
            continue;
        }
        drops += usize::from(line.contains("policy drop;"));
        if let Some((text, handle)) = line.rsplit_once(" # handle ") {
            // A line that opens a block is a chain, a set or an object.
            if !text.ends_with('{') {
                handles.extend(handle.parse::<u64>().ok());
            }
        }
    }
    handles.sort_unstable();
    (handles, drops)
}

/// The same of what was read. An "or" of iptables is two rules with one handle.
fn decoded(ruleset: &Ruleset) -> (Vec<u64>, usize) {
    let mut handles = Vec::new();
    let mut drops = 0;
    for chain in ruleset.tables.iter().flat_map(|table| &table.chains) {
        let mut rules: Vec<u64> = chain.rules().iter().map(|rule| rule.handle).collect();
        rules.dedup();
        handles.extend(rules);
        let policy = chain.base.as_ref().map(|base| base.policy);
        drops += usize::from(policy == Some(Policy::Drop));
    }
    handles.sort_unstable();
    (handles, drops)
}

/// The names of what was not decoded.
fn not_decoded(ruleset: &Ruleset) -> Vec<String> {
    let chains = ruleset.tables.iter().flat_map(|table| &table.chains);
    let statements = chains
        .flat_map(Chain::rules)
        .flat_map(|rule| &rule.statements);
    let mut names = Vec::new();
    for statement in statements {
        match statement {
            Statement::NotDecoded { name } => names.push(name.clone()),
            Statement::Condition {
                uncertainty: Uncertainty::NotDecoded,
                text,
            } => names.push(text.clone()),
            Statement::Match { value, .. }
            | Statement::Lookup { value, .. }
            | Statement::VerdictMap { value, .. } => {
                for part in value.parts.iter() {
                    if let Field::Unknown {
                        uncertainty: Uncertainty::NotDecoded,
                        text,
                    } = &part.field
                    {
                        names.push(format!("field {text}"));
                    }
                }
            }
            _ => {}
        }
    }
    names
}

#[test]
fn every_ruleset_of_the_corpus_is_read() {
    let Some(folder) = corpus() else {
        return skip("no corpus of rulesets");
    };
    let (mut count, mut names, mut report) = (0, BTreeMap::<String, usize>::new(), String::new());
    for (kind, extension, loader) in [
        ("nft", "", "nft"),
        ("ipt", "", "iptables-nft-restore"),
        ("ipt6", "", "ip6tables-nft-restore"),
        ("real", ".sh", "sh"),
    ] {
        for file in files(&folder.join(kind), extension) {
            let Some(Loaded {
                everything,
                path,
                listing,
            }) = read_back(loader, file.clone())
            else {
                continue;
            };
            count += 1;
            // nft shows the rules of nameless chains without handles.
            if !listing.contains("jump {") && !listing.contains("goto {") {
                let name = file.display();
                assert_eq!(decoded(&everything), listed(&listing), "{name}");
            }
            let unknown = not_decoded(&everything);
            if !unknown.is_empty() {
                writeln!(report, "{}: {unknown:?}", file.display()).unwrap();
            }
            for name in unknown {
                *names.entry(name).or_default() += 1;
            }
            for (one, other) in everything.tables.iter().zip(&path.tables) {
                for (one, other) in one.chains.iter().zip(&other.chains) {
                    assert!(
                        other.rules.is_none() || one.rules == other.rules,
                        "{}",
                        file.display()
                    );
                }
            }
        }
    }
    std::io::Write::write_all(&mut std::io::stderr(), report.as_bytes()).unwrap();
    let summary = format!("{count} rulesets read; not decoded: {names:#?}\n");
    std::io::Write::write_all(&mut std::io::stderr(), summary.as_bytes()).unwrap();
    assert!(count > 0);
}
