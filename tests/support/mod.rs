//! A server and its clients in network namespaces, real connections, and the program under test.

pub(crate) mod command;
pub(crate) mod connections;
pub(crate) mod daemons;
pub(crate) mod generation;
pub(crate) mod host;
pub(crate) mod namespace;
pub(crate) mod package;
pub(crate) mod program;
pub(crate) mod world;

use std::io::Write;

use namespace::Namespace;

/// Whether a kernel test can run here; prints why not.
///
/// With `CI=true` a missing tool or privilege is a failure: a test that silently does not run proves nothing.
pub(crate) fn ready(tools: &[&str]) -> bool {
    let missing: Vec<&str> = tools
        .iter()
        .copied()
        .filter(|tool| !installed(tool))
        .collect();
    let reason = if !missing.is_empty() {
        format!("not installed: {}", missing.join(", "))
    } else if let Err(error) = Namespace::new() {
        format!("no network namespace can be made ({error}); run as root or under `unshare -r`")
    } else {
        return true;
    };
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    skip(&format!("{name}: {reason}"));
    false
}

/// Says that a test does not run, and why; with `CI=true` that is a failure.
pub(crate) fn skip(reason: &str) {
    assert!(
        std::env::var_os("CI").is_none_or(|value| value != "true"),
        "cannot be skipped in CI: {reason}"
    );
    say(&format!("SKIPPED {reason}"));
}

/// Says that a test does not run since this kernel was built without what it is about, in CI too: nothing that could be
/// installed would change that.
pub(crate) fn not_in_this_kernel(reason: &str) {
    say(&format!("SKIPPED {}", reason.trim_end()));
}

/// Prints past the test harness, which swallows what a passing test prints with the usual macros.
pub(crate) fn say(text: &str) {
    // One write, so that lines of parallel tests do not mix.
    let line = format!("{text}\n");
    std::io::stderr()
        .write_all(line.as_bytes())
        .expect("write to standard error");
}

/// Whether a program stands in one of the folders where these tests look.
fn installed(tool: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/sbin"])
        .any(|folder| std::path::Path::new(folder).join(tool).exists())
}
