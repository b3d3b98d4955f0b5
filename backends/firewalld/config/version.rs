//! The installed version of firewalld, and what it decides.

use std::path::Path;

use super::disk::Disk;
use crate::error::Result;

/// The version of firewalld that is installed, where it can be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Version(Option<(u32, u32)>);

impl Version {
    /// The installed version, which firewalld's own Python package tells.
    pub(super) fn installed(disk: &Disk<'_>) -> Result<Self> {
        for python in disk.list(Path::new("/usr/lib"))? {
            if !python.starts_with("python3") {
                continue;
            }
            for packages in ["dist-packages", "site-packages"] {
                let path = Path::new("/usr/lib").join(&python).join(packages);
                let bytes = disk.read(&path.join("firewall/config/__init__.py"))?;
                let text =
                    String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned();
                let line = text
                    .lines()
                    .find_map(|line| line.strip_prefix("VERSION = "));
                let mut numbers = line
                    .unwrap_or_default()
                    .trim_matches(['\'', '"'])
                    .split('.')
                    .map(str::parse);
                if let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) {
                    return Ok(Self(Some((major, minor))));
                }
            }
        }
        Ok(Self(None))
    }

    /// firewalld 1 goes on without many a faulty element where firewalld 2 does not start.
    pub(crate) fn is_1(self) -> bool {
        matches!(self.0, Some((1, _)))
    }

    /// Whether it has the zones in a chain that a packet comes back to.
    pub(crate) fn is_2_5(self) -> bool {
        self.0.is_some_and(|version| version >= (2, 5))
    }

    /// Whether it may be firewalld 2.
    pub(crate) fn may_be_2(self) -> bool {
        self.0.is_none_or(|(major, _)| major >= 2)
    }

    /// How many letters the name of a zone and of a policy may have (`max_zone_name_len` and `max_policy_name_len` in
    /// firewalld's `functions.py`): at first as many as leave room for `POST_` and `_allow` in a chain's name.
    pub(super) fn longest_names(self) -> (usize, usize) {
        match self.0 {
            Some((2, 4)) => (128, 128),
            Some(version) if version >= (2, 5) => (96, 128),
            _ => (17, 18),
        }
    }
}
