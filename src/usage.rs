//! A command line that makes no sense: said to people as clap says it, and to scripts like every other error.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;

use clap::error::{ContextKind, ContextValue};

use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::report::ErrorReport;

/// What `sync` is often asked to do, and another command does.
const DRY_RUN: &str = "--dry-run";

/// Prints what clap has to say: an error, or the help or version that was asked for.
pub fn say(mut error: clap::Error) -> ExitStatus {
    let argument = error.get(ContextKind::InvalidArg);
    if argument == Some(&ContextValue::String(DRY_RUN.to_owned())) {
        let tip = "`pasvsync check` is `pasvsync sync` without writing".to_owned();
        let tips = ContextValue::StyledStrs(vec![tip.into()]);
        error.insert(ContextKind::Suggested, tips);
    }
    // There is nowhere left to say that saying so failed.
    let _ = error.print();
    if !error.use_stderr() {
        return ExitStatus::Success;
    }
    if json_is_wanted() {
        let report = ErrorReport::from(in_words(&error.render().to_string()));
        if let Ok(text) = serde_json::to_string_pretty(&report) {
            let _ = writeln!(std::io::stdout(), "{text}");
        }
    }
    ExitStatus::Usage
}

/// Whether the result is wanted as JSON, on a command line that could not be read.
fn json_is_wanted() -> bool {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let mut arguments = arguments.as_slice();
    while let [first, rest @ ..] = arguments {
        if first == "--" {
            return false;
        }
        let value = rest.first().map(OsString::as_os_str);
        if first == "--output=json" || first == "--output" && value == Some(OsStr::new("json")) {
            return true;
        }
        arguments = rest;
    }
    false
}

/// clap's message is its first paragraph; among the others may be a tip.
fn in_words(rendered: &str) -> Failure {
    let mut paragraphs = rendered.trim().split("\n\n");
    let message: Vec<&str> = paragraphs
        .next()
        .unwrap_or_default()
        .lines()
        .map(str::trim)
        .collect();
    let message = message.join(" ");
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    let mut hint = "see --help";
    for paragraph in paragraphs {
        if let Some(tip) = paragraph.trim().strip_prefix("tip: ") {
            hint = tip;
        }
    }
    Failure::new(message, hint)
}
