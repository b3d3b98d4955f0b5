//! The README says what is true.

use std::fmt::Write as _;
use std::ops::Range;

use clap::CommandFactory;
use pasvsync::cli::Cli;
use pasvsync::findings::{CODES, Severity};

const README: &str = include_str!("../../README.md");

/// Where the text between two markers stands.
fn between(name: &str) -> Range<usize> {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let start = README.find(&begin).expect("the marker that begins") + begin.len();
    let length = README[start..]
        .find(&end)
        .expect("the marker that ends");
    start..start + length
}

/// Run with `UPDATE=1` to write the table anew.
#[test]
fn the_table_of_findings_is_the_programs_own() {
    let mut table = "| code | severity | what it means |\n|---|---|---|\n".to_owned();
    for (code, severity, meaning) in CODES {
        let severity = match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        };
        // GitHub takes <Global> for markup.
        let meaning = meaning.replace('<', "&lt;");
        let _ = writeln!(table, "| `{code}` | {severity} | {meaning} |");
    }
    let place = between("findings");
    if std::env::var_os("UPDATE").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        let mut readme = README.to_owned();
        readme.replace_range(place, &table);
        fs_err::write(path, readme).unwrap();
        return;
    }
    assert_eq!(&README[place], table, "UPDATE=1 cargo test readme");
}

#[test]
fn codes_are_unique_and_kebab_case() {
    let mut codes: Vec<&str> = CODES.iter().map(|(code, ..)| *code).collect();
    let kebab = |code: &&str| {
        code.chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    assert!(codes.iter().all(kebab));
    codes.sort_unstable();
    let before = codes.len();
    codes.dedup();
    assert_eq!(codes.len(), before);
}

#[test]
fn every_command_is_in_the_readme() {
    for command in Cli::command().get_subcommands() {
        let name = command.get_name();
        assert!(README.contains(&format!("pasvsync {name}")), "{name}");
    }
}
