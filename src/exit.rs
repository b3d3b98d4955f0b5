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
}

impl ExitStatus {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Drift => 3,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}
