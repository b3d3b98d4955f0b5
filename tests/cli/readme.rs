//! The README says what is true.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Mutex;

use clap::CommandFactory;
use pasvsync::cli::Cli;
use pasvsync::findings::{CODES, Severity};

const README: &str = include_str!("../../README.md");

/// What the README shows of the commands.
const OUTPUTS: &[(&str, &str)] = &[
    (
        "A firewall that drops what it does not know, and a ProFTPD whose transfers hang",
        "check-drift",
    ),
    ("Open the range, and prove it", "sync"),
    (
        "From cron, after every change, as often as you like",
        "sync-again",
    ),
    ("Who wants a port, and what decides about it", "explain"),
    (
        "Give the daemon another range, in its own configuration, and open it",
        "set-range-and-sync",
    ),
    ("And take everything back", "remove"),
];

/// Where the text between two markers stands.
fn between(readme: &str, name: &str) -> Range<usize> {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let start = readme.find(&begin).expect("the marker that begins") + begin.len();
    let length = readme[start..].find(&end).expect("the marker that ends");
    start..start + length
}

/// Compares what stands between two markers with what should; with `UPDATE=1`, writes it anew.
fn compare(name: &str, expected: &str) {
    if std::env::var_os("UPDATE").is_some() {
        // Two tests write the file, and tests run side by side.
        static WRITING: Mutex<()> = Mutex::new(());
        let _writing = WRITING.lock().unwrap();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        let mut readme = fs_err::read_to_string(path).unwrap();
        let place = between(&readme, name);
        readme.replace_range(place, expected);
        fs_err::write(path, readme).unwrap();
        return;
    }
    let place = between(README, name);
    assert_eq!(&README[place], expected, "run `make update`");
}

/// The commands that the README shows, from the snapshots of what they print.
#[test]
fn the_outputs_are_real() {
    let mut text = String::new();
    for (sentence, name) in OUTPUTS {
        let path = format!(
            "{}/tests/cli/snapshots/{name}.txt",
            env!("CARGO_MANIFEST_DIR")
        );
        let snapshot = fs_err::read_to_string(path).unwrap();
        let (head, rest) = snapshot.split_once("--- stdout\n").unwrap();
        let (stdout, _) = rest.split_once("--- stderr\n").unwrap();
        let command = head.lines().rfind(|line| line.starts_with('$')).unwrap();
        let stdout = stdout.replace("[ROOT]", "");
        let _ = write!(
            text,
            "\n{sentence}:\n\n```console\n{command}\n{stdout}```\n"
        );
    }
    compare("outputs", text.trim_start_matches('\n'));
}

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
    compare("findings", &table);
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
    let program = Cli::command();
    for command in program
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
    {
        let name = command.get_name();
        assert!(README.contains(&format!("pasvsync {name}")), "{name}");
    }
}
