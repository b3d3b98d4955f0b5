//! What the documents point to is there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Every Markdown file that belongs to the project.
fn documents() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs_err::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let (path, name) = (entry.path(), entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                if name != "target" && !name.to_string_lossy().starts_with('.') {
                    walk(&path, found);
                }
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(Path::new(ROOT), &mut found);
    found
}

/// The names under which a document's headings can be linked to.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| -> String {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words
            .chars()
            .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
        kept.map(|letter| if letter == ' ' { '-' } else { letter })
            .collect()
    };
    headings.map(anchor).collect()
}

/// The targets of `[text](target)`, outside of code.
fn links(text: &str) -> Vec<String> {
    let mut code = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        }
        if code {
            continue;
        }
        for part in line.split("](").skip(1) {
            if let Some((target, _)) = part.split_once(')') {
                found.push(target.to_owned());
            }
        }
    }
    found
}

#[test]
fn links_lead_somewhere() {
    let mut tried = 0;
    for document in documents() {
        let text = fs_err::read_to_string(&document).unwrap();
        for link in links(&text) {
            if link.starts_with("http") {
                continue;
            }
            tried += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() {
                document.clone()
            } else {
                document.parent().unwrap().join(path)
            };
            assert!(target.exists(), "{}: {link}", document.display());
            if !anchor.is_empty() {
                let there = anchors(&fs_err::read_to_string(target).unwrap());
                assert!(there.contains(anchor), "{}: {link}", document.display());
            }
        }
    }
    assert!(tried > 10, "only {tried} links were found");
}

/// A command that the documents give is one that the Makefile knows.
#[test]
fn every_make_command_exists() {
    let makefile = fs_err::read_to_string(Path::new(ROOT).join("Makefile")).unwrap();
    let rules = makefile
        .lines()
        .filter(|line| line.starts_with(char::is_alphabetic));
    let targets: BTreeSet<&str> = rules
        .filter_map(|line| line.split_once(':'))
        .flat_map(|(targets, _)| targets.split_whitespace())
        .collect();
    for document in documents() {
        let text = fs_err::read_to_string(&document).unwrap();
        for line in text.lines().filter(|line| line.starts_with("    make ")) {
            let target = line.split_whitespace().nth(1).unwrap();
            assert!(targets.contains(target), "{}: {line}", document.display());
        }
    }
}

/// Every command line of pasvsync's in the README is one that it takes.
#[test]
fn every_pasvsync_command_is_taken() {
    let readme = include_str!("../../README.md");
    let lines = readme.lines().filter_map(|line| {
        let line = line.strip_prefix("    ").or(line.strip_prefix("$ "))?;
        let line = line.strip_prefix("sudo ").unwrap_or(line);
        line.strip_prefix("pasvsync ")
    });
    let mut tried = 0;
    for line in lines {
        let words = line.split(['|', '>', ';']).next().unwrap_or_default();
        let output = Command::new(env!("CARGO_BIN_EXE_pasvsync"))
            .args(words.split_whitespace())
            .arg("--help")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "pasvsync {line}: {output:?}");
        tried += 1;
    }
    assert!(tried > 5, "only {tried} commands were found");
}
