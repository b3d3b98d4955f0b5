//! Results to standard output, everything else to standard error.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal, Write as _};

use anyhow::Context as _;
use serde::Serialize;
use tracing::level_filters::LevelFilter;

use crate::cli::{ColorChoice, Global, OutputForm};
use crate::failure::Failure;
use crate::findings::{Location, Severity};
use crate::report::{ErrorReport, Report};

/// Whether to colour, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Words only.
    Plain,
    /// ANSI colours; they only repeat what the words say.
    Colored,
}

/// The characters that bars are drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glyphs {
    /// Those of any terminal.
    Ascii,
    /// Shades, where the locale has them.
    Unicode,
}

impl Glyphs {
    /// What the locale says: the first of these variables that is set counts (locale(7)).
    fn choose() -> Self {
        let values = ["LC_ALL", "LC_CTYPE", "LANG"].map(|name| std::env::var(name).ok());
        let set = values.into_iter().flatten().find(|value| !value.is_empty());
        let locale = set.unwrap_or_default().to_ascii_lowercase();
        if locale.contains("utf-8") || locale.contains("utf8") {
            Self::Unicode
        } else {
            Self::Ascii
        }
    }

    /// The character for a verdict.
    pub fn of(self, verdict: &str) -> char {
        match (self, verdict) {
            (Self::Ascii, "open") => '#',
            (Self::Ascii, "restricted") => '~',
            (Self::Ascii, "closed") => '.',
            (Self::Unicode, "open") => '█',
            (Self::Unicode, "restricted") => '▒',
            (Self::Unicode, "closed") => '·',
            _ => '?',
        }
    }
}

/// What a word means, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// All is well.
    Good,
    /// Something may bite.
    Warning,
    /// Something is wrong.
    Bad,
    /// A heading.
    Strong,
}

impl Style {
    fn choose(choice: ColorChoice, stream: &impl IsTerminal) -> Self {
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
        if colored { Self::Colored } else { Self::Plain }
    }

    /// The text, coloured when colours are on.
    pub fn paint(self, tone: Tone, text: &str) -> Cow<'_, str> {
        if self == Self::Plain {
            return Cow::Borrowed(text);
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Warning => "33",
            Tone::Bad => "31",
            Tone::Strong => "1",
        };
        Cow::Owned(format!("\x1b[{code}m{text}\x1b[0m"))
    }
}

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
            style: Style::choose(flags.color, &io::stdout()),
            error_style: Style::choose(flags.color, &io::stderr()),
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
        for finding in &report.findings {
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
                    finding.hint.as_deref(),
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
            .map(|location| format!("{}: ", place(location)))
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

/// `path:line:column`, as far as known.
pub fn place(location: &Location) -> String {
    clean(&location.to_string()).into_owned()
}

/// The text without what could play tricks on a terminal: control characters, and those that reverse the direction.
pub fn clean(text: &str) -> Cow<'_, str> {
    let tricky = |character: char| {
        character.is_control()
            || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(tricky) {
        return Cow::Borrowed(text);
    }
    // A line break separates words; anything else just goes.
    let kept = |character: char| match character {
        '\n' | '\t' => Some(' '),
        other => (!tricky(other)).then_some(other),
    };
    Cow::Owned(text.chars().filter_map(kept).collect())
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

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn what_a_terminal_would_obey_is_left_out() {
        assert_eq!(clean("a\x1b[31mb\u{9b}c\nd\u{202e}e"), "a[31mbc de");
        assert_eq!(clean("pläin"), "pläin");
    }
}
