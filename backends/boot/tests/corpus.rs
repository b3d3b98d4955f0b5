//! Other people's rulesets as boot files, where the corpus is there: edited by whole lines, and restored byte for byte.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::*;

/// What became of a file.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    NotLoaded,
    InSync,
    Edited,
    /// The firewall itself leaves no place.
    Refused(&'static str),
    /// There is a place, but not in the text.
    NotEditable,
}

/// Where the corpus is: beside the workspace, or where the environment says.
fn corpus() -> Option<PathBuf> {
    let folder = std::env::var_os("PASVSYNC_CORPUS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/rulesets"),
        |corpus| PathBuf::from(corpus).join("rulesets"),
    );
    folder.is_dir().then_some(folder)
}

fn story(service: &str, name: &str, text: &str) -> Outcome {
    let system = System::new();
    system.enable(service).file(name, text);
    let mut layer = system.layer();
    let ruleset = match layer.ruleset() {
        Ok(ruleset) => ruleset,
        Err(error) if error.kind() == ErrorKind::Refused => return Outcome::NotLoaded,
        Err(error) => panic!("{error}: {error:?}"),
    };
    let wanted = desired("50000-50100");
    let plan = layer.plan(&ruleset, &wanted).unwrap();
    if plan.edits.is_empty() {
        return match plan.refusals.first() {
            None => Outcome::InSync,
            Some(refusal) if refusal.code == "boot-file-not-editable" => Outcome::NotEditable,
            Some(refusal) => Outcome::Refused(refusal.code),
        };
    }
    let undo = layer.apply(&ruleset, &plan.edits).unwrap();
    let after = layer.ruleset().unwrap();
    let refused = plan
        .refusals
        .iter()
        .fold(ports(""), |sum, refusal| sum.union(&refusal.ports));
    for family in Family::BOTH {
        let map = proof::trace(&after, family, &wanted.ports.difference(&refused));
        assert!(map.all_open(), "{map:?}");
    }
    assert!(layer.plan(&after, &wanted).unwrap().edits.is_empty());
    for line in system
        .text(name)
        .lines()
        .filter(|line| !text.contains(line))
    {
        assert!(line.contains("pasvsync"), "{line}");
    }
    layer.apply(&after, &undo).unwrap();
    assert_eq!(system.text(name), text);
    let ruleset = layer.ruleset().unwrap();
    let plan = layer.plan(&ruleset, &wanted).unwrap();
    layer.apply(&ruleset, &plan.edits).unwrap();
    let ruleset = layer.ruleset().unwrap();
    let plan = layer.plan(&ruleset, &desired("")).unwrap();
    layer.apply(&ruleset, &plan.edits).unwrap();
    assert_eq!(system.text(name), text);
    Outcome::Edited
}

#[test]
#[ignore = "takes a minute"]
fn the_corpus_as_boot_files() {
    let Some(folder) = corpus() else { return };
    let outcomes = Arc::new(Mutex::new(BTreeMap::<Outcome, Vec<String>>::new()));
    let start = Instant::now();
    for (kind, service, name) in [
        ("nft", "nftables", "etc/nftables.conf"),
        ("ipt", "iptables", "etc/sysconfig/iptables"),
        ("ipt6", "ip6tables", "etc/sysconfig/ip6tables"),
    ] {
        let entries = fs_err::read_dir(folder.join(kind)).unwrap();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files.into_iter().filter(|file| file.is_file()) {
            let outcomes = Arc::clone(&outcomes);
            in_namespace(move || {
                ip("link add eth0 type bridge");
                ip("link add eth1 type bridge");
                ip("link add br-dummy type bridge");
                ip("address add 192.0.2.1/24 dev eth0");
                ip("address add 2001:db8::1/64 dev eth0 nodad");
                ip("link set eth0 up");
                let text = fs_err::read(&file).unwrap();
                eprintln!("{}", file.display());
                let outcome = story(service, name, &String::from_utf8(text).unwrap());
                let mut outcomes = outcomes.lock().unwrap();
                let label = file.file_name().unwrap().to_string_lossy().into_owned();
                outcomes.entry(outcome).or_default().push(label);
            });
        }
    }
    let outcomes = outcomes.lock().unwrap();
    for (outcome, files) in &*outcomes {
        println!("{outcome:?}: {}", files.len());
    }
    for file in outcomes.get(&Outcome::NotEditable).into_iter().flatten() {
        println!("not editable: {file}");
    }
    println!("{:?}", start.elapsed());
    assert!(outcomes.contains_key(&Outcome::Edited));
}
