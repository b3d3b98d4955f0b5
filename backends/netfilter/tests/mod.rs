//! Round trips through the kernel, each in a network namespace of its own.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be"
)]

mod corpus;
mod extensions;
mod malformed;
mod recording;
mod structure;
mod values;

use std::io::Write;
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, unshare};

use super::{Scope, Socket, read};
use crate::model::ruleset::{Rule, Ruleset, Table};

/// Runs a test in a thread with an empty network namespace; skips it, with the reason, where that is not allowed.
pub(crate) fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(move || match unshare(CloneFlags::CLONE_NEWNET) {
        Ok(()) => test(),
        Err(error) if std::env::var_os("CI").is_some() => panic!("no network namespace: {error}"),
        Err(error) => skip(&format!("no network namespace ({error}); run as root")),
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Says why a test does nothing; in CI that is an error.
pub(crate) fn skip(reason: &str) {
    assert!(std::env::var_os("CI").is_none(), "{reason}");
    writeln!(std::io::stderr(), "skipped: {reason}").unwrap();
}

/// Says what this kernel cannot do, so that it was not tested.
pub(crate) fn unsupported(what: &str) {
    writeln!(std::io::stderr(), "not supported here: {what}").unwrap();
}

/// Runs a command with input; gives its output, or what it said when it failed.
pub(crate) fn run(command: &mut Command, input: &str) -> Result<String, String> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join();
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!(
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        ))
    }
}

/// Loads a ruleset in nft's language.
pub(crate) fn load(ruleset: &str) {
    run(Command::new("nft").args(["-f", "-"]), ruleset).unwrap();
}

/// Reads the namespace's ruleset.
pub(crate) fn ruleset(scope: Scope) -> Ruleset {
    read(&mut Socket::open().unwrap(), scope).unwrap()
}

/// Loads rules into chain `c` of table `t`, in a namespace of its own, and gives the table to the test.
pub(crate) fn with_table(ruleset_text: String, test: impl FnOnce(&Table) + Send + 'static) {
    in_namespace(move || {
        load(&ruleset_text);
        let ruleset = ruleset(Scope::Everything);
        recording::reads_alike(&ruleset);
        test(ruleset.tables.first().unwrap());
    });
}

/// Loads input rules into a table of that family and gives them to the test.
pub(crate) fn with_rules(family: &str, rules: &str, test: impl FnOnce(&[Rule]) + Send + 'static) {
    let table = format!(
        "table {family} t {{ chain x {{ }}\n chain c {{ type filter hook input priority 0;\n{rules}\n}}\n}}"
    );
    with_table(table, move |table| test(table.chain("c").unwrap().rules()));
}
