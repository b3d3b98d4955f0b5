//! ProFTPD's `Include`: files, folders and wildcards, and what an error inside them does ([SRC] `set_include`,
//! `parse_config_path2`; [RUN]).

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::lines::Reader;
use super::parse::{DEEPEST_INCLUDE, Parser, Step, Stop};
use crate::daemons::disk::Kind;
use crate::daemons::{ConfigError, ConfigErrorKind, text};

/// Whether a path has wildcards ([SRC] `pr_str_is_fnmatch`).
fn has_wildcard(path: &[u8]) -> bool {
    path.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

impl Parser<'_> {
    /// `Include PATH`: further words are ignored, a relative path is fatal.
    pub(super) fn include(&mut self, arguments: &[Vec<u8>]) -> Step {
        let Some(word) = arguments.first() else {
            return self.refuse(
                "Include: missing parameters",
                b"Include",
                "name a file: Include /etc/proftpd/x.conf",
            );
        };
        if word.first() != Some(&b'/') {
            let message = format!(
                "Include: unable to use path for configuration file '{}'",
                text::clean(word)
            );
            return self.refuse(&message, word, "write an absolute path");
        }
        if self.frames.len() > DEEPEST_INCLUDE {
            return Err(Stop::Error(self.loop_error()));
        }
        let path = super::path_of(word);
        if has_wildcard(word) {
            return self.include_wildcard(&path);
        }
        match self.host.disk.kind(&path) {
            None => {
                self.missing(&path);
                Ok(())
            }
            // A link to a folder is read as a file, which fails with a warning.
            Some(Kind::Folder) => self.include_folder(&path, None),
            Some(_) => self.include_file(&path),
        }
    }

    fn loop_error(&self) -> ConfigError {
        self.fatal(
            ConfigErrorKind::IncludeLoop,
            "includes are nested too deep: a file includes itself",
        )
        .with_help("ProFTPD itself crashes on an include loop: remove the Include line")
    }

    fn missing(&mut self, path: &Path) {
        let message = format!(
            "unable to include '{}': No such file or directory",
            path.display()
        );
        self.find(
            "include-missing",
            message,
            Some("remove the line, or create the file".to_owned()),
        );
    }

    fn include_file(&mut self, path: &Path) -> Step {
        let from = self.location();
        let source = match self.host.disk.read(path) {
            Ok(Some(source)) => source,
            Ok(None) => {
                self.missing(path);
                return Ok(());
            }
            // A link to nothing is a missing file to the daemon, a folder is a warning.
            Err(error)
                if matches!(
                    error.kind,
                    ConfigErrorKind::Missing | ConfigErrorKind::NotAFile
                ) =>
            {
                let message = format!("unable to include '{}': {}", path.display(), error.message);
                self.find(
                    "include-missing",
                    message,
                    Some("remove the line, or restore the file".to_owned()),
                );
                return Ok(());
            }
            Err(error) => return Err(Stop::Error(error.included_from(Some(from)))),
        };
        if self.frames.iter().any(|open| open == path) {
            return Err(Stop::Error(self.loop_error()));
        }
        match self.file(path, source.bytes, Some(from)) {
            Err(Stop::Fatal(error)) => {
                self.failed(path, &error);
                Ok(())
            }
            result => result,
        }
    }

    /// The failing file stays on top of the stack: its own remaining lines are read, those of the file that includes
    /// it never are [RUN].
    fn failed(&mut self, path: &Path, error: &ConfigError) {
        let lost: usize = self.stack.iter().rev().skip(1).map(Reader::remaining).sum();
        let parent = self
            .stack
            .iter()
            .rev()
            .nth(1)
            .map(|reader| reader.path.display().to_string());
        let parent = parent.unwrap_or_default();
        let code = crate::findings::Finding::new(
            "include-failed",
            format!(
                "{}: ProFTPD starts all the same, but ignores the remaining {lost} lines of {parent} behind the Include of {}",
                error.message,
                path.display()
            ),
        );
        let hint = error
            .help
            .clone()
            .unwrap_or_else(|| "mend the included file".to_owned());
        self.parsed
            .findings
            .push(code.with_hint(hint).at(error.location.clone()));
    }

    fn include_folder(&mut self, folder: &Path, pattern: Option<&[u8]>) -> Step {
        let from = self.location();
        let names = match self.host.disk.list(folder) {
            Ok(Some(names)) => names,
            Ok(None) => {
                self.missing(folder);
                return Ok(());
            }
            Err(error) => return Err(Stop::Error(error.included_from(Some(from)))),
        };
        for name in names {
            let bytes = name.as_bytes();
            let temporary = self.include_options.ignore_temporary && is_temporary(bytes);
            if temporary || pattern.is_some_and(|pattern| !text::matches_wildcard(pattern, bytes)) {
                continue;
            }
            let path = folder.join(&name);
            // Folders inside are not entered [RUN].
            if self.host.disk.kind(&path) != Some(Kind::Folder) {
                self.include_file(&path)?;
            }
        }
        Ok(())
    }

    fn include_wildcard(&mut self, path: &Path) -> Step {
        let (Some(folder), Some(pattern)) = (path.parent(), path.file_name()) else {
            return Ok(());
        };
        let folders = if has_wildcard(folder.as_os_str().as_bytes()) {
            if self.include_options.ignore_wildcards {
                let message = format!(
                    "Include: error including '{}': Invalid argument",
                    path.display()
                );
                return self.refuse(
                    &message,
                    path.as_os_str().as_bytes(),
                    "IncludeOptions IgnoreWildcards forbids this path",
                );
            }
            self.matching_folders(folder)?
        } else {
            vec![folder.to_path_buf()]
        };
        for folder in folders {
            match self.host.disk.kind(&folder) {
                None => self.missing(&folder),
                Some(Kind::Symlink) if !self.include_options.allow_symlinks => {
                    let message = format!(
                        "cannot read configuration path '{}': Symbolic link",
                        path.display()
                    );
                    let hint = "name the folder that the symlink points to, or set IncludeOptions AllowSymlinks";
                    self.find("include-missing", message, Some(hint.to_owned()));
                }
                Some(_) if has_wildcard(pattern.as_bytes()) => {
                    self.include_folder(&folder, Some(pattern.as_bytes()))?;
                }
                Some(_) => self.include_file(&folder.join(pattern))?,
            }
        }
        Ok(())
    }

    /// The folders that a path with wildcards in its folder components names, in strcmp order.
    fn matching_folders(&self, folder: &Path) -> Result<Vec<PathBuf>, Stop> {
        let mut found = vec![PathBuf::from("/")];
        for component in folder.components().skip(1) {
            let part = component.as_os_str().as_bytes();
            let mut next = Vec::new();
            for base in found {
                if has_wildcard(part) {
                    let names = self
                        .host
                        .disk
                        .list(&base)
                        .map_err(Stop::Error)?
                        .unwrap_or_default();
                    let matching = names
                        .iter()
                        .filter(|name| text::matches_wildcard(part, name.as_bytes()));
                    next.extend(matching.map(|name| base.join(name)));
                } else {
                    next.push(base.join(component));
                }
            }
            next.retain(|path| {
                self.host
                    .disk
                    .kind(path)
                    .is_some_and(|kind| matches!(kind, Kind::Folder | Kind::Symlink))
            });
            next.truncate(crate::daemons::disk::MOST_FILES);
            found = next;
        }
        Ok(found)
    }
}

/// [SRC] `tmpfile_patterns`: editors' backups.
fn is_temporary(name: &[u8]) -> bool {
    [b"*~".as_slice(), b"*.sw?"]
        .iter()
        .any(|pattern| text::matches_wildcard(pattern, name))
}
