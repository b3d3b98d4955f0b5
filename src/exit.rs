//! The exit statuses, all in one place.

use std::process::ExitCode;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// In sync, or changed and proved.
    Success,
    /// An error, or a wanted port that is still not open; nothing half done.
    Failure,
    /// The command line makes no sense. clap exits with the same number.
    Usage,
    /// `check` found that `sync` would change something, or that a wanted port is not open.
    Drift,
    /// What a monitoring plugin says, in that world's own numbers.
    Plugin(Health),
}

/// The states that Nagios' plugin guidelines define.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// OK: in sync, and nothing to warn of.
    Fine,
    /// WARNING: every wanted port is open, but something needs attention.
    Warning,
    /// CRITICAL: transfers fail, or fail after the next boot.
    Critical,
    /// UNKNOWN: it could not be told.
    Unknown,
}

impl Health {
    fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }

    /// The word in front of a plugin's line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fine => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

impl ExitStatus {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Drift => 3,
            Self::Plugin(health) => health.code(),
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}
