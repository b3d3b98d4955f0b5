//! Images of a host in a folder of their own.

use std::fs;
use std::path::{Path, PathBuf};

use firewall::model::ports::{PortRange, PortSet};
use pasvsync::daemons::{ConfigError, Discovery, Request, discover};
use pasvsync::passive::Reading;

/// A folder that stands for a host's root.
pub(super) struct Image {
    folder: tempfile::TempDir,
}

impl Image {
    pub(super) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// The image with one file more.
    pub(super) fn with(self, path: &str, contents: impl AsRef<[u8]>) -> Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
        self
    }

    /// The image with a symlink more.
    pub(super) fn with_link(self, path: &str, target: &str) -> Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
        self
    }

    /// The image with a folder more.
    pub(super) fn with_folder(self, path: &str) -> Self {
        fs::create_dir_all(self.path(path)).unwrap();
        self
    }

    /// Where a path of the image really is.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path.trim_start_matches('/'))
    }

    pub(super) fn request(&self) -> Request {
        Request {
            root: Some(self.folder.path().to_path_buf()),
            ..Request::default()
        }
    }

    pub(super) fn discover(&self) -> Discovery {
        discover(&self.request()).unwrap()
    }

    pub(super) fn error(&self) -> ConfigError {
        discover(&self.request()).unwrap_err()
    }

    /// The only reading.
    pub(super) fn reading(&self) -> Reading {
        let mut readings = self.discover().readings;
        assert_eq!(readings.len(), 1, "{readings:#?}");
        readings.remove(0)
    }
}

/// The reading of one file.
pub(super) fn read(path: &str, contents: impl AsRef<[u8]>) -> Reading {
    Image::new().with(path, contents).reading()
}

/// The codes of a reading's findings.
pub(super) fn codes(reading: &Reading) -> Vec<&'static str> {
    reading
        .findings
        .iter()
        .map(|finding| finding.code)
        .collect()
}

/// A set of ports, for comparison.
pub(super) fn ports(ranges: &[(u16, u16)]) -> PortSet {
    ranges
        .iter()
        .map(|&(first, last)| PortRange::new(first, last).unwrap())
        .collect()
}

/// Copies a tree.
pub(super) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
