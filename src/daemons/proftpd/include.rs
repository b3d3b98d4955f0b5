//! ProFTPD's `Include`: files, folders and wildcards, and what an error inside them does (SRC `set_include`,
//! `parse_config_path2`; RUN).

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::contexts::ROOT;
use super::lines::Reader;
use super::parse::{DEEPEST_INCLUDE, Parser, Step, Stop};
use crate::daemons::disk::Kind;
use crate::daemons::{ConfigError, ConfigErrorKind, text};
use crate::terminal::clean;

/// What came of an `Include`.
enum Outcome {
    /// It was read.
    Read,
    /// It was not, which is a warning to the daemon.
    Missing(&'static str),
    /// It was not, which is fatal.
    Invalid,
    /// It had an error, which is reported already.
    Reported,
}

/// Whether a path has wildcards (SRC `pr_str_is_fnmatch`).
fn has_wildcard(path: &[u8]) -> bool {
    path.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

impl Parser<'_> {
    /// `Include PATH`: further words are ignored, a relative path is fatal.
    pub(super) fn include(&mut self, arguments: &[Vec<u8>]) -> Step {
        const PLACES: &[&str] = &[
            ROOT,
            "<VirtualHost>",
            "<Anonymous>",
            "<Global>",
            "<Directory>",
            "<Limit>",
        ];
        const HELP: &str = "name a file, a folder or a pattern: Include /etc/proftpd/conf.d/*.conf";
        let Some(word) = arguments.first() else {
            return self.refuse("Include: missing parameters", b"Include", HELP);
        };
        self.allow("Include", PLACES)?;
        let shown = clean(word);
        if word.first() != Some(&b'/') {
            let message = format!("Include: unable to use path for configuration file '{shown}'");
            return self.refuse(&message, word, "write an absolute path");
        }
        if self.frames.len() > DEEPEST_INCLUDE {
            return Err(Stop::Error(self.loop_error()));
        }
        match self.include_path(word, 0)? {
            Outcome::Read | Outcome::Reported => Ok(()),
            Outcome::Missing(reason) => {
                let message = format!("unable to include '{shown}': {reason}");
                let hint = "remove the line, or create what it names";
                self.find("include-missing", message, Some(hint.to_owned()));
                Ok(())
            }
            Outcome::Invalid => {
                let message = format!("Include: error including '{shown}': Invalid argument");
                self.refuse(&message, word, HELP)
            }
        }
    }

    /// `parse_config_path2`: a file, a folder, or a pattern.
    fn include_path(&mut self, path: &[u8], depth: usize) -> Result<Outcome, Stop> {
        if depth > DEEPEST_INCLUDE {
            return Ok(Outcome::Invalid);
        }
        if !has_wildcard(path) {
            let path = super::path_of(path);
            return match self.host.disk.kind(&path) {
                None => Ok(Outcome::Missing("No such file or directory")),
                Some(Kind::Folder) => self.include_folder(&path, None),
                // A link to a folder is read as a file, which fails with a warning.
                Some(_) => self.include_file(&path),
            };
        }
        let slash = path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        let (folder, pattern) = (&path[..slash], &path[slash + 1..]);
        if has_wildcard(folder) {
            if self.include_options.ignore_wildcards {
                return Ok(Outcome::Invalid);
            }
            return self.include_folders(path, depth);
        }
        let folder = super::path_of(folder);
        match self.host.disk.kind(&folder) {
            None => Ok(Outcome::Missing("No such file or directory")),
            Some(Kind::Symlink) if !self.include_options.allow_symlinks => {
                Ok(Outcome::Missing("Symbolic link"))
            }
            Some(_) => self.include_folder(&folder, Some(pattern)),
        }
    }

    fn loop_error(&self) -> ConfigError {
        self.fatal(
            ConfigErrorKind::IncludeLoop,
            "includes are nested too deep: a file includes itself",
        )
        .with_help("ProFTPD itself crashes on an include loop: remove the Include line")
    }

    fn include_file(&mut self, path: &Path) -> Result<Outcome, Stop> {
        let from = self.location();
        let source = match self.host.disk.read(path) {
            Ok(Some(source)) => source,
            Ok(None) => return Ok(Outcome::Missing("No such file or directory")),
            // To the daemon a link to nothing is a missing file, and a folder is a warning too.
            Err(error) if error.kind == ConfigErrorKind::Missing => {
                return Ok(Outcome::Missing("No such file or directory"));
            }
            Err(error) if error.kind == ConfigErrorKind::NotAFile => {
                return Ok(Outcome::Missing("Is a directory"));
            }
            Err(error) => return Err(Stop::Error(error.included_from(Some(from)))),
        };
        if self.frames.iter().any(|open| open == path) {
            return Err(Stop::Error(self.loop_error()));
        }
        match self.file(path, source.bytes, Some(from)) {
            Ok(()) => Ok(Outcome::Read),
            Err(Stop::Fatal(error)) => {
                self.failed(path, &error);
                Ok(Outcome::Reported)
            }
            Err(stop) => Err(stop),
        }
    }

    /// The failing file stays on top of the stack: its own remaining lines are read, those of the file that includes
    /// it never are (RUN).
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

    /// The files of a folder in strcmp order; one that fails does not stop the others (1.3.8).
    fn include_folder(&mut self, folder: &Path, pattern: Option<&[u8]>) -> Result<Outcome, Stop> {
        for name in self.names(folder, pattern)? {
            let path = folder.join(name);
            // Folders inside are not entered (RUN).
            if self.host.disk.kind(&path) != Some(Kind::Folder) {
                self.include_file(&path)?;
            }
        }
        Ok(Outcome::Read)
    }

    /// The names in a folder that a pattern takes.
    fn names(&self, folder: &Path, pattern: Option<&[u8]>) -> Result<Vec<OsString>, Stop> {
        let listed = self.host.disk.list(folder);
        let listed =
            listed.map_err(|error| Stop::Error(error.included_from(Some(self.location()))))?;
        let mut names = listed.unwrap_or_default();
        names.retain(|name| {
            let bytes = name.as_bytes();
            let temporary = self.include_options.ignore_temporary && is_temporary(bytes);
            !temporary && pattern.is_none_or(|pattern| text::matches_wildcard(pattern, bytes))
        });
        Ok(names)
    }

    /// `parse_wildcard_config_path`: the first component with a wildcard is replaced by each name that matches; the
    /// first path that cannot be included ends it (RUN).
    fn include_folders(&mut self, path: &[u8], depth: usize) -> Result<Outcome, Stop> {
        let mut parent = Vec::new();
        let mut components = path[1..].splitn(2, |&byte| byte == b'/');
        let (mut component, mut rest) = (components.next().unwrap_or_default(), components.next());
        while !has_wildcard(component) {
            parent.push(b'/');
            parent.extend_from_slice(component);
            let mut components = rest.unwrap_or_default().splitn(2, |&byte| byte == b'/');
            (component, rest) = (components.next().unwrap_or_default(), components.next());
        }
        let folder = if parent.is_empty() {
            PathBuf::from("/")
        } else {
            super::path_of(&parent)
        };
        match self.host.disk.kind(&folder) {
            None => return Ok(Outcome::Missing("No such file or directory")),
            Some(Kind::Symlink) if !self.include_options.allow_symlinks => {
                return Ok(Outcome::Missing("Symbolic link"));
            }
            Some(_) => {}
        }
        let mut paths: Vec<Vec<u8>> = Vec::new();
        for name in self.names(&folder, Some(component))? {
            paths.push(
                [
                    &parent,
                    b"/".as_slice(),
                    name.as_bytes(),
                    b"/",
                    rest.unwrap_or_default(),
                ]
                .concat(),
            );
        }
        if paths.is_empty() {
            return Ok(Outcome::Missing("No such file or directory"));
        }
        paths.sort_unstable();
        for path in paths {
            match self.include_path(&path, depth + 1)? {
                Outcome::Read => {}
                failure => return Ok(failure),
            }
        }
        Ok(Outcome::Read)
    }
}

/// SRC: `tmpfile_patterns`: editors' backups.
fn is_temporary(name: &[u8]) -> bool {
    [b"*~".as_slice(), b"*.sw?"]
        .iter()
        .any(|pattern| text::matches_wildcard(pattern, name))
}
