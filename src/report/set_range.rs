//! What `set-range` wrote into a daemon's configuration.

use std::path::{Path, PathBuf};

use firewall::model::ports::PortRange;
use serde::Serialize;

use super::file_diff;
use crate::daemons::{Change, Restart};

/// What `set-range` wrote, or would write.
#[derive(Clone, Debug, Serialize)]
pub struct SetRangeReport {
    /// The daemon.
    pub daemon: String,
    /// The lowest port.
    pub first: u16,
    /// The highest port.
    pub last: u16,
    /// The files that are edited; none when the range was set already.
    pub files: Vec<FileReport>,
    /// Whether the files were written.
    pub written: bool,
    /// Whether nothing was to be written.
    #[serde(skip)]
    pub dry_run: bool,
    /// Whether the daemon was restarted.
    pub restarted: bool,
    /// What restarts it; absent where that is not known, or needs nothing.
    #[serde(
        rename = "restart",
        serialize_with = "command",
        skip_serializing_if = "is_none"
    )]
    pub restart: Restart,
}

/// An edit of one file.
#[derive(Clone, Debug, Serialize)]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// Whether it was not there before.
    pub created: bool,
    /// The edit, in the form of `diff -u`.
    pub diff: String,
    /// The new lines with their numbers, for people.
    #[serde(skip)]
    pub lines: Vec<(u32, String)>,
}

impl SetRangeReport {
    /// What a change comes to, before anything is written; `shown` gives the path that users know a file by.
    pub fn new(
        daemon: &str,
        range: PortRange,
        change: &Change,
        shown: impl Fn(&Path) -> PathBuf,
    ) -> Self {
        let files = change.edits.iter().map(|edit| {
            let path = shown(&edit.path);
            let before = edit.before.as_deref().unwrap_or_default();
            FileReport {
                diff: file_diff::unified(&path, edit.before.as_deref(), &edit.after),
                lines: file_diff::new_lines(before, &edit.after),
                created: edit.before.is_none(),
                path,
            }
        });
        Self {
            daemon: daemon.to_owned(),
            first: range.first(),
            last: range.last(),
            files: files.collect(),
            written: false,
            dry_run: false,
            restarted: false,
            restart: Restart::ByHand,
        }
    }
}

fn is_none(restart: &Restart) -> bool {
    restart.command().is_none()
}

fn command<S: serde::Serializer>(restart: &Restart, serializer: S) -> Result<S::Ok, S::Error> {
    restart.command().serialize(serializer)
}
