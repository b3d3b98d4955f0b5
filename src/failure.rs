//! An error as users see it: what went wrong, where, and what to do about it.

use std::fmt::{self, Write as _};

use serde::Serialize;

use crate::config_error::{ConfigError, ConfigErrorDetails};
use crate::findings::Location;

/// An error as users see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// What went wrong: lower case, no final period.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Where.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// The lines that it is about, for people.
    #[serde(skip)]
    pub excerpt: Option<String>,
}

impl Failure {
    /// An error with a hint, of no particular place.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: Some(hint.into()),
            location: None,
            excerpt: None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<&anyhow::Error> for Failure {
    /// The whole chain of causes as the message, with the hint and the place that one of them knows.
    fn from(error: &anyhow::Error) -> Self {
        let mut failure = Self {
            message: format!("{error:#}"),
            hint: None,
            location: None,
            excerpt: None,
        };
        for cause in error.chain() {
            if let Some(known) = cause.downcast_ref::<Self>() {
                failure.hint.clone_from(&known.hint);
                failure.location.clone_from(&known.location);
            } else if let Some(error) = cause.downcast_ref::<firewall::Error>() {
                failure.hint = error.hint().map(ToOwned::to_owned);
            } else if let Some(error) = cause.downcast_ref::<ConfigError>() {
                failure.message.clone_from(&error.message);
                failure.hint.clone_from(&error.help);
                let known = !error.location.path.as_os_str().is_empty();
                failure.location = known.then(|| error.location.clone());
                failure.excerpt = excerpt(error);
            }
        }
        failure
    }
}

/// The offending line with its number, the offending part underlined, and where the file is included from.
pub fn excerpt(error: &ConfigErrorDetails) -> Option<String> {
    let mut text = String::new();
    if let (Some(line), Some(number)) = (&error.text, error.location.line) {
        let gutter = " ".repeat(number.to_string().len());
        let before = error.location.column.unwrap_or(1).saturating_sub(1);
        let indent = " ".repeat(usize::try_from(before).unwrap_or_default());
        let marks = "^".repeat(usize::try_from(error.width).unwrap_or_default());
        let _ = writeln!(text, "{number} | {line}");
        let _ = writeln!(text, "{gutter} | {indent}{marks}");
    }
    if let Some(from) = &error.included_from {
        let _ = writeln!(text, "included from {from}");
    }
    (!text.is_empty()).then_some(text)
}
