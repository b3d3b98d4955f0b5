//! The shared corpus: configurations from the field and adversarial ones, each with what the real daemon did.

use std::path::{Path, PathBuf};

use firewall::model::ports::PortSet;
use pasvsync::daemons::{Request, discover};
use serde_json::Value;

use super::support::{copy_tree, ports};

/// Linux's default for `net.ipv4.ip_local_port_range`, which the corpus names by its symbol.
const EPHEMERAL: (u16, u16) = (32_768, 60_999);

pub(super) fn corpus() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = here.join("../shared/corpus/daemons");
    if folder.join("index.json").exists() {
        return Some(folder);
    }
    assert!(
        std::env::var("CI").is_err(),
        "{} is missing",
        folder.display()
    );
    eprintln!("skipped: {} is missing", folder.display());
    None
}

/// The ports of a list in the truth; a range given by symbol is the kernel's default.
fn truth_ports(list: &Value) -> PortSet {
    let port = |value: &Value, symbol: u16| {
        value
            .as_u64()
            .map_or(symbol, |port| u16::try_from(port).unwrap())
    };
    let ranges: Vec<(u16, u16)> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|range| {
            (
                port(&range["first"], EPHEMERAL.0),
                port(&range["last"], EPHEMERAL.1),
            )
        })
        .collect();
    ports(&ranges)
}

/// A case's files in an image of their own, and what to read there.
pub(super) fn install(folder: &Path, case: &Value) -> (tempfile::TempDir, Request) {
    let image = tempfile::tempdir().unwrap();
    if let Some(root) = case["root"].as_str() {
        copy_tree(&folder.join(root), image.path());
    } else {
        let target = image
            .path()
            .join(case["install_as"].as_str().unwrap().trim_start_matches('/'));
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(folder.join(case["file"].as_str().unwrap()), &target).unwrap();
    }
    let kernel = image.path().join("proc/sys/net/ipv4/ip_local_port_range");
    std::fs::create_dir_all(kernel.parent().unwrap()).unwrap();
    std::fs::write(kernel, format!("{}\t{}\n", EPHEMERAL.0, EPHEMERAL.1)).unwrap();

    let request = Request {
        root: Some(image.path().to_path_buf()),
        ..Request::default()
    };
    (image, request)
}

/// What differs from the truth.
fn differences(folder: &Path, case: &Value) -> Vec<String> {
    let (image, request) = install(folder, case);
    let truth = &case["truth"];
    let discovery = match discover(&request) {
        Ok(discovery) => discovery,
        Err(error) => return vec![error.to_string()],
    };
    let [reading] = discovery.readings.as_slice() else {
        return vec![format!("{} readings", discovery.readings.len())];
    };
    let mut found = Vec::new();
    let mut compare = |what: &str, ours: String, theirs: String| {
        if ours != theirs {
            found.push(format!("{what}: {ours}, not {theirs}"));
        }
    };
    compare(
        "daemon",
        reading.daemon.to_owned(),
        truth["daemon"].as_str().unwrap().to_owned(),
    );
    compare(
        "passive",
        reading.written().to_string(),
        truth_ports(&truth["passive"]).to_string(),
    );
    compare(
        "effective",
        reading.effective.to_string(),
        truth_ports(&truth["effective"]).to_string(),
    );
    compare(
        "control",
        serde_json::to_string(&reading.control).unwrap(),
        truth["control"].to_string(),
    );
    compare(
        "starts",
        reading.refuses.is_none().to_string(),
        truth["starts"].to_string(),
    );
    // The daemon's own words, where it was heard to refuse.
    if let (Some(error), Some(message)) =
        (&reading.refuses, truth["daemon_check"]["message"].as_str())
    {
        let ours = error.message.replace(image.path().to_str().unwrap(), "");
        let wording = ours
            .trim_end_matches('.')
            .replace("\u{feff}", "")
            .replace('\t', " ");
        let heard = message.replace('\t', " ").replace("\u{ef}\u{bb}\u{bf}", "");
        if !heard.contains(wording.trim()) && !wording.contains(' ') {
            found.push(format!("wording: {wording:?}, not {heard:?}"));
        }
    }
    found
}

#[test]
fn every_case_of_the_corpus_is_read_as_the_daemon_reads_it() {
    let Some(folder) = corpus() else {
        return;
    };
    let index: Value =
        serde_json::from_slice(&std::fs::read(folder.join("index.json")).unwrap()).unwrap();
    let cases = index.as_array().unwrap();
    let mut agreeing = 0;
    for case in cases {
        let found = differences(&folder, case);
        agreeing += usize::from(found.is_empty());
        for difference in found {
            println!("{} ({}): {difference}", case["name"], case["daemon"]);
        }
    }
    println!("{agreeing} of {}", cases.len());
    assert_eq!(agreeing, cases.len());
}
