//! When pasvsync last changed the firewall: for whoever watches many hosts.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use firewall::host::file::{read_private, remove_leftover, remove_private, write_private};

/// The folder, under the root.
const FOLDER: &str = "var/lib/pasvsync";
/// Seconds since 1970, in a line of its own.
const NAME: &str = "last-change";

/// Remembers that something was changed just now. A folder that is not there is not made: runs in other network
/// namespaces than the host's own, of tests and containers, leave nothing behind.
pub fn record(root: &Path) {
    let folder = root.join(FOLDER);
    let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH) else {
        return;
    };
    if folder.exists()
        && let Err(error) = write_private(&folder, NAME, format!("{}\n", now.as_secs()).as_bytes())
    {
        tracing::warn!("the time of this change is not remembered: {error}");
    }
}

/// When something was last changed, in seconds since 1970; `None` when that is not known.
pub fn last_change(root: &Path) -> Option<u64> {
    let bytes = read_private(&root.join(FOLDER), NAME).ok()??;
    parse(&bytes)
}

/// The seconds in the file's text.
pub(crate) fn parse(bytes: &[u8]) -> Option<u64> {
    std::str::from_utf8(bytes).ok()?.trim().parse().ok()
}

/// Forgets it, and removes the folder when nothing else is in it.
pub fn forget(root: &Path) {
    if let Err(error) = remove_private(&root.join(FOLDER), NAME) {
        tracing::warn!("the time of the last change stays remembered: {error}");
    }
}

/// Removes what a run that was killed may have left.
pub fn tidy(root: &Path) {
    remove_leftover(&root.join(FOLDER).join(NAME));
}
