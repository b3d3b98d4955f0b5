//! An error as users see it: what went wrong, where, and what to do about it.

use std::fmt;

use serde::Serialize;

use crate::findings::Location;
use crate::settings::SettingsError;
use crate::stub::daemons::ConfigError;

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
}

impl Failure {
    /// An error with a hint, of no particular place.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: Some(hint.into()),
            location: None,
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
        };
        for cause in error.chain() {
            if let Some(known) = cause.downcast_ref::<Self>() {
                failure.hint.clone_from(&known.hint);
                failure.location.clone_from(&known.location);
            } else if let Some(error) = cause.downcast_ref::<firewall::Error>() {
                failure.hint = error.hint().map(ToOwned::to_owned);
            } else if let Some(error) = cause.downcast_ref::<ConfigError>() {
                failure.hint.clone_from(&error.hint);
                failure.location = Some(error.location.clone());
            } else if let Some(error) = cause.downcast_ref::<SettingsError>() {
                failure.hint.clone_from(&error.hint);
                failure.location = Some(error.location.clone());
            }
        }
        failure
    }
}
