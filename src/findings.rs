//! What pasvsync found out that its user should know: a stable code, a severity, a message and a hint.

use std::path::PathBuf;

use serde::Serialize;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Something is likely to bite.
    Warning,
    /// Passive transfers fail, or pasvsync can do nothing until this is mended.
    Error,
}

/// A place in a file; lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Location {
    /// The file.
    pub path: PathBuf,
    /// The line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
}

/// Something that the user should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The stable code, kebab-case; see [`CODES`].
    pub code: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What was found: lower case, no final period.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Where.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
}

/// Every code, its severity and its meaning: the table that users see in the README.
pub const CODES: &[(&str, Severity, &str)] = &[
    (
        "no-daemon",
        Severity::Warning,
        "no FTP daemon's configuration was found",
    ),
    (
        "no-range",
        Severity::Warning,
        "the daemon's configuration sets no passive range",
    ),
    (
        "daemon-refuses",
        Severity::Error,
        "the daemon itself would not start with this configuration",
    ),
    (
        "nothing-filters",
        Severity::Info,
        "no base chain filters connections to this host: every port is open, nothing needs to be",
    ),
    (
        "managed-table",
        Severity::Error,
        "the ports are closed in a table that another program looks after: it must open them",
    ),
    (
        "explicit-deny",
        Severity::Error,
        "a rule closes the ports by name: opened with --force only",
    ),
    (
        "ban-behind-block",
        Severity::Error,
        "bans stand behind the rule that closes the ports, an accept would let them in: opened with --force only",
    ),
    (
        "ingress-block",
        Severity::Error,
        "the ports are closed at a device's ingress, before connection tracking: not opened there",
    ),
    (
        "no-accept-opens",
        Severity::Error,
        "what keeps the ports from being reached is no rule that an accept could come before",
    ),
];

impl Finding {
    /// A finding with a code of [`CODES`], which also gives its severity.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        let severity = CODES
            .iter()
            .find(|(known, ..)| *known == code)
            .map_or(Severity::Error, |(_, severity, _)| *severity);
        Self {
            code,
            severity,
            message: message.into(),
            hint: None,
            location: None,
        }
    }

    /// The same finding with what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same finding with its place.
    #[must_use]
    pub fn at(mut self, location: Location) -> Self {
        self.location = Some(location);
        self
    }
}
