//! Edits of a daemon's configuration: a file's text and what is to stand in its place.

mod draft;
pub(super) mod lines;

use std::path::PathBuf;

pub(super) use draft::Draft;

use super::{ConfigError, ConfigErrorKind};

/// A file's text, and what is to stand in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The file, as the daemon knows it.
    pub path: PathBuf,
    /// What is in it; `None` when there is no such file yet.
    pub before: Option<Vec<u8>>,
    /// What is to be in it.
    pub after: Vec<u8>,
}

/// The ways to set a range, each with its edits, one a file: first the one that an administrator would take.
pub type Ways = Result<Vec<Vec<Edit>>, ConfigError>;

/// The range stands where pasvsync cannot change it.
pub(super) fn not_editable(path: impl Into<PathBuf>, message: impl AsRef<str>) -> ConfigError {
    ConfigError::new(ConfigErrorKind::NotEditable, &path.into(), message)
}
