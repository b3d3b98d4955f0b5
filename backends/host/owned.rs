//! What is ours where a firewall's own format has no room for a mark: a file of a few lines remembers it.
//!
//! An entry says that pasvsync put just this item there. Only what has an entry may be taken away again, so a file that
//! is lost or damaged makes nothing go away: what it named stays, as if an admin had written it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use super::file::{read_private, resolve, write_private};
use crate::error::{Error, ErrorKind, Result};

/// The folder of our own folder.
const PARENT: &str = "/var/lib";
/// Our own folder, which only root can enter.
const FOLDER: &str = "pasvsync";
const HEADER: &str = "pasvsync owned 1";

/// One thing that is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is: a key of a configuration file, a zone.
    pub place: String,
    /// The exact text of it, such as `30000:50000`.
    pub item: String,
    /// When it was put there, in seconds since 1970.
    pub since: u64,
}

/// What is ours in one firewall.
#[derive(Clone, Debug)]
pub struct Owned {
    root: PathBuf,
    /// The file's name; each firewall has its own.
    name: &'static str,
    entries: Vec<Entry>,
    damaged: bool,
}

impl Owned {
    /// Reads what is remembered under the root. What is damaged counts as nothing, see [`Owned::is_damaged`].
    ///
    /// # Errors
    /// `NotOurs` when others can enter the folder; `Io` and `Permission` as the system says.
    pub fn read(root: &Path, name: &'static str) -> Result<Self> {
        let mut owned = Self {
            root: root.to_owned(),
            name,
            entries: Vec::new(),
            damaged: false,
        };
        let Some(folder) = owned.folder()? else {
            return Ok(owned);
        };
        if let Some(bytes) = read_private(&folder, name)? {
            match parse(&bytes) {
                Some(entries) => owned.entries = entries,
                None => owned.damaged = true,
            }
        }
        Ok(owned)
    }

    /// Everything that is ours.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether this item is ours.
    pub fn contains(&self, place: &str, item: &str) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|entry| entry.place == place && entry.item == item)
    }

    /// Whether a file is there that makes no sense. The next [`Owned::write`] sets it aside.
    pub fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// Where the file is, or would be.
    pub fn path(&self) -> PathBuf {
        let parent = self.root.join(PARENT.trim_start_matches('/'));
        parent.join(FOLDER).join(self.name)
    }

    /// From now on the item is ours.
    pub fn add(&mut self, place: &str, item: &str) {
        if self.contains(place, item) {
            return;
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        self.entries.push(Entry {
            place: place.to_owned(),
            item: item.to_owned(),
            since: now.map_or(0, |since| since.as_secs()),
        });
    }

    /// The item is ours no longer.
    pub fn remove(&mut self, place: &str, item: &str) {
        let other = |entry: &Entry| entry.place != place || entry.item != item;
        self.entries.retain(other);
    }

    /// Writes what is ours to the disk, before it is put in its place: an entry without its item does no harm. With
    /// nothing left, the file goes away, and the folder when it is empty then.
    ///
    /// # Errors
    /// As for [`Owned::read`]; the file is then as before.
    pub fn write(&mut self) -> Result<()> {
        let folder = match self.folder()? {
            Some(folder) => folder,
            None if self.entries.is_empty() => return Ok(()),
            None => {
                fs_err::create_dir_all(self.root.join(PARENT.trim_start_matches('/')))?;
                resolve(&self.root, Path::new(PARENT))?.join(FOLDER)
            }
        };
        let path = folder.join(self.name);
        if self.damaged {
            let aside = folder.join(format!("{}.damaged", self.name));
            fs_err::rename(&path, &aside)?;
            tracing::warn!(
                "`{}` made no sense, it is kept as `{}`",
                path.display(),
                aside.display()
            );
            self.damaged = false;
        }
        if !self.entries.is_empty() {
            return write_private(&folder, self.name, format(&self.entries)?.as_bytes());
        }
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            // Stays unless it is empty now.
            _ => drop(std::fs::remove_dir(&folder)),
        }
        Ok(())
    }

    /// Our own folder, every symbolic link on the way to it followed; `None` where its parent is not there.
    fn folder(&self) -> Result<Option<PathBuf>> {
        let parent = self.root.join(PARENT.trim_start_matches('/'));
        if std::fs::symlink_metadata(parent).is_err() {
            return Ok(None);
        }
        Ok(Some(resolve(&self.root, Path::new(PARENT))?.join(FOLDER)))
    }
}

/// One line an entry: seconds, place and item with a tab between; at last the sum of all that.
fn format(entries: &[Entry]) -> Result<String> {
    let mut text = format!("{HEADER}\n");
    for Entry { place, item, since } in entries {
        if place.contains(char::is_control) || item.contains(char::is_control) {
            let message = format!("{place:?} or {item:?} has control characters");
            return Err(Error::new(ErrorKind::Protocol, message));
        }
        // Writing to a string does not fail.
        let _ = writeln!(text, "{since}\t{place}\t{item}");
    }
    let sum = sum(&text);
    let _ = writeln!(text, "sum {sum}");
    Ok(text)
}

fn parse(bytes: &[u8]) -> Option<Vec<Entry>> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    let (content, last) = text.rsplit_once('\n')?;
    if last.strip_prefix("sum ")? != sum(&format!("{content}\n")) {
        return None;
    }
    let mut lines = content.lines();
    if lines.next()? != HEADER {
        return None;
    }
    let entries = lines.map(|line| {
        let mut fields = line.splitn(3, '\t');
        Some(Entry {
            since: fields.next()?.parse().ok()?,
            place: fields.next()?.to_owned(),
            item: fields.next()?.to_owned(),
        })
    });
    entries.collect()
}

fn sum(text: &str) -> String {
    let mut sum = String::with_capacity(64);
    for byte in Sha256::digest(text) {
        let _ = write!(sum, "{byte:02x}");
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const NAME: &str = "test.owned";

    fn written(root: &Path) -> Owned {
        let mut owned = Owned::read(root, NAME).unwrap();
        owned.add("TCP_IN", "30000:50000");
        owned.add("zone public", "30000-50000/tcp");
        owned.add("TCP_IN", "30000:50000");
        owned.write().unwrap();
        owned
    }

    #[test]
    fn what_is_ours_comes_back_and_goes_without_a_trace() {
        let root = tempfile::tempdir().unwrap();
        let path = written(root.path()).path();
        let mode = |path: &Path| fs_err::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        let mut owned = Owned::read(root.path(), NAME).unwrap();
        assert_eq!(owned.entries().len(), 2);
        assert!(owned.contains("zone public", "30000-50000/tcp"));
        assert!(!owned.contains("TCP6_IN", "30000:50000"));
        assert!(owned.entries()[0].since > 1_700_000_000);
        owned.remove("TCP_IN", "30000:50000");
        owned.remove("zone public", "30000-50000/tcp");
        owned.write().unwrap();
        assert!(!path.parent().unwrap().exists());
    }

    #[test]
    fn a_damaged_file_owns_nothing_and_is_kept_aside() {
        let root = tempfile::tempdir().unwrap();
        let path = written(root.path()).path();
        let whole = fs_err::read(&path).unwrap();
        for index in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[index] ^= 1;
            assert_eq!(parse(&damaged), None, "byte {index}");
            assert_eq!(parse(&whole[..index]), None, "cut at {index}");
        }
        fs_err::write(&path, &whole[..whole.len() / 2]).unwrap();
        let mut owned = Owned::read(root.path(), NAME).unwrap();
        assert!(owned.is_damaged() && owned.entries().is_empty());
        owned.add("TCP_IN", "1");
        owned.write().unwrap();
        let aside = path.with_file_name(format!("{NAME}.damaged"));
        assert_eq!(fs_err::read(aside).unwrap(), whole[..whole.len() / 2]);
        assert!(!Owned::read(root.path(), NAME).unwrap().is_damaged());
    }

    #[test]
    fn a_link_out_of_the_root_stays_inside() {
        let root = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(root.path().join("var")).unwrap();
        fs_err::create_dir_all(root.path().join("srv/lib")).unwrap();
        fs_err::os::unix::fs::symlink("/srv/lib", root.path().join("var/lib")).unwrap();
        written(root.path());
        assert!(root.path().join("srv/lib/pasvsync").join(NAME).exists());
    }

    #[test]
    fn a_folder_that_others_can_enter_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let path = written(root.path()).path();
        let open = PermissionsExt::from_mode(0o755);
        fs_err::set_permissions(path.parent().unwrap(), open).unwrap();
        let error = Owned::read(root.path(), NAME).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotOurs);
    }
}
