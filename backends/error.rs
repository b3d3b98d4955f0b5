//! The typed errors of the firewall library.

use std::fmt;

/// What went wrong, for code to branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The process may not read or write the firewall (`CAP_NET_ADMIN` is missing).
    Permission,
    /// The kernel or host lacks what is needed (no `nf_tables`, no such program).
    Unsupported,
    /// The ruleset moved between reading and writing, more often than the retries allow.
    Changed,
    /// The kernel's answer could not be understood.
    Protocol,
    /// The kernel or a tool refused a request.
    Refused,
    /// The place to edit belongs to another manager, or an edit there would not be safe.
    NotOurs,
    /// The edit was applied and its proof failed; it has been undone, or not, as the message says.
    NotProved,
    /// Another run holds the lock, or another program does not answer in time.
    Busy,
    /// The firewall that is meant is not running here.
    NotRunning,
    /// It is running, and says of itself that it is not working.
    Failed,
    /// It has stopped while it was worked with.
    Stopped,
    /// A file or socket could not be read or written.
    Io,
}

/// An error of the firewall library: a kind, a message that names the thing, and often a hint.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    source: Option<std::io::Error>,
}

/// Short for a result of this library.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error without a hint or a source.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            source: None,
        }
    }

    /// The same error with what the user can do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with the system's own error behind it.
    #[must_use]
    pub fn with_source(mut self, source: std::io::Error) -> Self {
        self.source = Some(source);
        self
    }

    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl From<Error> for std::io::Error {
    /// The system's own error behind it, where there is one.
    fn from(error: Error) -> Self {
        error.source.unwrap_or_else(|| Self::other(error.message))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_ref()
            .map(|source| source as &(dyn std::error::Error + 'static))
    }
}

impl From<std::io::Error> for Error {
    fn from(source: std::io::Error) -> Self {
        let kind = match source.kind() {
            std::io::ErrorKind::PermissionDenied => ErrorKind::Permission,
            _ => ErrorKind::Io,
        };
        Self::new(kind, source.to_string())
    }
}
