//! Results to standard output, everything else to standard error.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal, Write as _};

use anyhow::Context as _;
use serde::Serialize;
use tracing::level_filters::LevelFilter;

use crate::cli::{ColorChoice, Global, OutputForm};
use crate::failure::Failure;
use crate::findings::{Location, Severity};
use crate::report::{ErrorReport, Report};
use crate::terminal::{Glyphs, Style, Tone, clean};

/// Where results and messages go, and how many of them.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    form: OutputForm,
    quiet: bool,
    verbose: bool,
    style: Style,
    error_style: Style,
    glyphs: Glyphs,
}

impl Printer {
    /// The printer that the flags ask for.
    pub fn new(flags: &Global) -> Self {
        Self {
            form: flags.output,
            quiet: flags.quiet,
            verbose: flags.verbose > 0,
            style: style(flags.color, &io::stdout()),
            error_style: style(flags.color, &io::stderr()),
            glyphs: Glyphs::choose(),
        }
    }

    /// The style of standard output.
    pub fn style(&self) -> Style {
        self.style
    }

    /// The characters that bars are drawn with.
    pub fn glyphs(&self) -> Glyphs {
        self.glyphs
    }

    /// The form of the result.
    pub fn form(&self) -> OutputForm {
        self.form
    }

    /// Whether the result is wanted as JSON.
    pub fn json(&self) -> bool {
        self.form == OutputForm::Json
    }

    /// Whether nothing should be said when all is well.
    pub fn quiet(&self) -> bool {
        self.quiet
    }

    /// Whether more should be said.
    pub fn verbose(&self) -> bool {
        self.verbose
    }

    /// Prints a result as one JSON object.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn object(&self, value: &impl Serialize) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(value)?;
        text.push('\n');
        self.text(&text)
    }

    /// Prints a result.
    ///
    /// # Errors
    /// When standard output cannot be written. A reader that has gone away is no error: it has read what it wanted.
    pub fn text(&self, text: &str) -> anyhow::Result<()> {
        let mut stdout = io::stdout().lock();
        match stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
        {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            outcome => outcome.context("cannot write to standard output"),
        }
    }

    /// Prints a report's findings to standard error: errors always, warnings unless quiet, the rest when `all` or verbose.
    pub fn findings(&self, report: &Report, all: bool) {
        let mut text = String::new();
        for (finding, hint) in report.told() {
            let shown = match finding.severity {
                Severity::Error => true,
                Severity::Warning => !self.quiet,
                Severity::Info => self.verbose || (all && !self.quiet),
            };
            if shown {
                let (word, tone) = match finding.severity {
                    Severity::Error => ("error", Tone::Bad),
                    Severity::Warning => ("warning", Tone::Warning),
                    Severity::Info => ("info", Tone::Strong),
                };
                self.message(
                    &mut text,
                    (word, tone),
                    finding.location.as_ref(),
                    &finding.message,
                    report.excerpt(finding).as_deref(),
                    hint,
                );
            }
        }
        complain(&text);
    }

    /// Prints an error that ended the run: to standard error, and as a JSON object when the result is wanted so.
    pub fn failure(&self, error: &anyhow::Error) {
        let failure = Failure::from(error);
        let mut text = String::new();
        self.message(
            &mut text,
            ("error", Tone::Bad),
            failure.location.as_ref(),
            &failure.message,
            failure.excerpt.as_deref(),
            failure.hint.as_deref(),
        );
        complain(&text);
        if self.json() {
            // The exit status already says that the run failed; there is nowhere left to say that saying so failed.
            let _ = self.object(&ErrorReport::from(failure));
        }
    }

    fn message(
        self,
        text: &mut String,
        (word, tone): (&str, Tone),
        location: Option<&Location>,
        message: &str,
        excerpt: Option<&str>,
        hint: Option<&str>,
    ) {
        let style = self.error_style;
        let place = location
            .map(|location| format!("{location}: "))
            .unwrap_or_default();
        let word = format!("{word}:");
        let _ = writeln!(
            text,
            "{} {place}{}",
            style.paint(tone, &word),
            clean(message)
        );
        for line in excerpt.unwrap_or_default().lines() {
            let _ = writeln!(text, "  {}", clean(line));
        }
        if let Some(hint) = hint {
            self.advice(text, hint);
        }
    }

    /// Says on standard error what to do about a result, unless quiet.
    pub fn hint(self, hint: &str) {
        if !self.quiet {
            let mut text = String::new();
            self.advice(&mut text, hint);
            complain(&text);
        }
    }

    fn advice(self, text: &mut String, hint: &str) {
        let word = self.error_style.paint(Tone::Strong, "hint:");
        let _ = writeln!(text, "{word} {}", clean(hint));
    }
}

/// Whether a stream is coloured: as chosen, else as the environment and the stream are.
fn style(choice: ColorChoice, stream: &impl IsTerminal) -> Style {
    let colored = match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
            let forced = variable("CLICOLOR_FORCE").is_some_and(|value| value != "0");
            let dumb = variable("TERM").is_some_and(|value| value == "dumb");
            variable("NO_COLOR").is_none() && (forced || stream.is_terminal() && !dumb)
        }
    };
    if colored {
        Style::Colored
    } else {
        Style::Plain
    }
}

/// Writes to standard error, as far as there is one.
fn complain(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Sends the log to standard error: warnings, with `-v` decisions, with `-vv` every step.
pub fn log_to_stderr(verbose: u8, style: Style) {
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .without_time()
        .with_target(false)
        .with_ansi(style == Style::Colored)
        .init();
}
