//! The error of a configuration that cannot be read, or that its daemon refuses: with the place, the line and a help.

use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::findings::Location;
use crate::terminal::clean;

/// What is wrong with a configuration: what code branches on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConfigErrorKind {
    /// The daemon refuses this configuration wherever it runs.
    Refused,
    /// This version or build of the daemon refuses it; another one may start: a directive of a module that is not
    /// loaded, a directive that was removed, a file made for inetd.
    RefusedHere,
    /// The file is there and cannot be opened or read.
    Unreadable,
    /// The file is not there although something names it: a dangling symlink, `--daemon-config`, `-c FILE`.
    Missing,
    /// A folder, a pipe, a socket or a device stands where a file should.
    NotAFile,
    /// The file is larger than any configuration.
    TooLarge,
    /// A file includes itself.
    IncludeLoop,
    /// More includes than any configuration has.
    TooManyIncludes,
    /// The file's own format (JSON, TOML, YAML, XML) is broken.
    Malformed,
    /// The passive range is not set where pasvsync can change it safely.
    NotEditable,
}

/// The details of a [`ConfigError`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigErrorDetails {
    /// What kind of error it is.
    pub kind: ConfigErrorKind,
    /// Where.
    #[serde(flatten)]
    pub location: Location,
    /// The offending line, without control characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// How many characters from the column on are at fault.
    pub width: u32,
    /// What is wrong, in the daemon's own words where it has some.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The line that includes the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub included_from: Option<Location>,
}

/// A configuration that cannot be read, or that its daemon refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ConfigError(Box<ConfigErrorDetails>);

impl ConfigError {
    /// An error about the whole of a file.
    pub fn new(kind: ConfigErrorKind, path: &Path, message: impl AsRef<str>) -> Self {
        Self(Box::new(ConfigErrorDetails {
            kind,
            location: Location {
                path: path.to_path_buf(),
                line: None,
                column: None,
            },
            text: None,
            width: 1,
            message: clean(message.as_ref().as_bytes()),
            help: None,
            included_from: None,
        }))
    }

    /// The same error at a line.
    #[must_use]
    pub fn at_line(mut self, line: u32, text: &[u8]) -> Self {
        self.0.location.line = Some(line);
        let shown = clean(text);
        let indent = shown.chars().take_while(|c| c.is_whitespace()).count();
        self.0.location.column = Some(column_of(indent));
        self.0.width = column_of(shown.trim().chars().count())
            .saturating_sub(1)
            .max(1);
        self.0.text = Some(shown.trim_end().to_owned());
        self
    }

    /// The same error with the column where `part` stands in its line, when it does.
    #[must_use]
    pub fn underlining(mut self, part: &[u8]) -> Self {
        let part = clean(part);
        let found = self
            .0
            .text
            .as_deref()
            .and_then(|line| line.find(&part).map(|at| (line, at)));
        if let Some((line, at)) = found.filter(|_| !part.is_empty()) {
            let column = column_of(line[..at].chars().count());
            self.0.location.column = Some(column);
            self.0.width = column_of(part.trim_end().chars().count())
                .saturating_sub(1)
                .max(1);
        }
        self
    }

    /// The same error with its column, counted from 1.
    #[must_use]
    pub fn at_column(mut self, column: u32) -> Self {
        self.0.location.column = Some(column);
        let length = self
            .0
            .text
            .as_deref()
            .map_or(0, |line| line.chars().count());
        self.0.width = column_of(length).saturating_sub(column).max(1);
        self
    }

    /// The same error about that many characters from its column on.
    #[must_use]
    pub fn of_width(mut self, characters: usize) -> Self {
        self.0.width = u32::try_from(characters).unwrap_or(u32::MAX).max(1);
        self
    }

    /// The same error with the paths that `shown` gives.
    #[must_use]
    pub(super) fn relocated(mut self, shown: &dyn Fn(&Path) -> PathBuf) -> Self {
        self.0.location.path = shown(&self.0.location.path);
        if let Some(from) = &mut self.0.included_from {
            from.path = shown(&from.path);
        }
        self
    }

    /// The same error in the words of another.
    #[must_use]
    pub(super) fn in_the_words_of(mut self, other: &Self) -> Self {
        self.0.message.clone_from(&other.0.message);
        self
    }

    /// The same error with words in front of the daemon's own.
    #[must_use]
    pub(super) fn after(mut self, words: &str) -> Self {
        self.0.message.insert_str(0, &clean(words.as_bytes()));
        self
    }

    /// The same error with what to do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(clean(help.into().as_bytes()));
        self
    }

    /// The same error with the line that includes the file.
    #[must_use]
    pub fn included_from(mut self, from: Option<Location>) -> Self {
        self.0.included_from = from;
        self
    }
}

/// The column that follows `characters` characters.
fn column_of(characters: usize) -> u32 {
    u32::try_from(characters + 1).unwrap_or(u32::MAX)
}

impl Deref for ConfigError {
    type Target = ConfigErrorDetails;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl std::error::Error for ConfigError {}

/// As rustc prints its errors: `path:line:column: message`, the line, the underline, the help.
impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.location, self.message)?;
        if let (Some(text), Some(line)) = (&self.text, self.location.line) {
            let gutter = " ".repeat(line.to_string().len());
            let indent = " ".repeat(
                self.location
                    .column
                    .map_or(0, |column| column.saturating_sub(1)) as usize,
            );
            let marks = "^".repeat(self.width as usize);
            write!(
                formatter,
                "\n{gutter} |\n{line} | {text}\n{gutter} | {indent}{marks}"
            )?;
        }
        if let Some(from) = &self.included_from {
            write!(formatter, "\n  included from {from}")?;
        }
        if let Some(help) = &self.help {
            write!(formatter, "\nhelp: {help}")?;
        }
        Ok(())
    }
}
