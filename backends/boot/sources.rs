//! The files that boot's loaders read, and the files that those include.

use std::io::ErrorKind::{NotADirectory, NotFound};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::find::{Boot, Loader};
use crate::error::{Error, ErrorKind, Result};
use crate::host::file::{LARGEST, read_dir};
use crate::model::reach::Family;
use crate::model::ruleset::Interface;

/// A SHA-256.
pub(crate) type Digest = [u8; 32];

/// nft follows includes no deeper (`MAX_INCLUDE_DEPTH`).
const DEEPEST: usize = 16;
/// More files than this are a mistake, such as an `include "/*"`.
const MOST_FILES: usize = 4096;

/// Where nft looks for an include without a folder (`DEFAULT_INCLUDE_PATH`).
const INCLUDE_FOLDER: &str = "/etc";

/// A file that goes into the next boot's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// As the booted system sees it.
    pub(crate) path: PathBuf,
    pub(crate) language: Language,
    pub(crate) bytes: Vec<u8>,
}

/// What a file is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    /// nft's, read by the loader itself, or through an `include`.
    Nft { included: bool },
    /// iptables-save's.
    Iptables(Family),
    /// Something that rules only refer to.
    Other,
}

/// Reads all files of all loaders.
///
/// # Errors
/// When one of them cannot be read.
pub(crate) fn read(boot: &Boot) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for loader in &boot.loaders {
        let Some(file) = loader.file() else { continue };
        let language = match loader {
            Loader::Nft { .. } => Language::Nft { included: false },
            Loader::Iptables { family, .. } => Language::Iptables(*family),
            Loader::Ipset { .. } | Loader::Script { .. } => Language::Other,
        };
        gather(boot, file, language, 0, &mut sources)?;
    }
    Ok(sources)
}

fn gather(
    boot: &Boot,
    path: &Path,
    language: Language,
    depth: usize,
    sources: &mut Vec<Source>,
) -> Result<()> {
    if sources.iter().any(|known| known.path == path) {
        return Ok(());
    }
    let real = boot.real(path);
    let metadata = fs_err::metadata(&real)?;
    if !metadata.is_file() && !metadata.is_dir() {
        let message = format!(
            "the next boot reads `{}`, which is no plain file",
            real.display()
        );
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    if sources.len() >= MOST_FILES || metadata.len() > LARGEST {
        let message = format!(
            "the boot configuration is too large at `{}`",
            real.display()
        );
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let bytes = fs_err::read(&real)?;
    let includes = match language {
        Language::Nft { .. } if depth < DEEPEST => super::nft_text::includes(&bytes),
        _ => Vec::new(),
    };
    sources.push(Source {
        path: path.to_owned(),
        language,
        bytes,
    });
    for include in includes {
        for file in included_files(boot, path, &include)? {
            gather(
                boot,
                &file,
                Language::Nft { included: true },
                depth + 1,
                sources,
            )?;
        }
    }
    Ok(())
}

/// The files that an include may mean. nft's versions differ on where a relative path counts from; a file too many does
/// no harm, since nft itself decides what is loaded.
fn included_files(boot: &Boot, from: &Path, pattern: &str) -> Result<Vec<PathBuf>> {
    let pattern = Path::new(pattern);
    let mut files = Vec::new();
    let folders = [
        Path::new("/"),
        Path::new(INCLUDE_FOLDER),
        from.parent().unwrap_or(Path::new("/")),
    ];
    for folder in folders {
        for file in expand(boot, &folder.join(pattern))? {
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    Ok(files)
}

/// Whether a file names others by a pattern.
pub(crate) fn has_wildcards(sources: &[Source], texts: &[Vec<u8>]) -> bool {
    let mut files = sources.iter().zip(texts);
    files.any(|(source, text)| {
        matches!(source.language, Language::Nft { .. })
            && super::nft_text::includes(text)
                .iter()
                .any(|include| is_pattern(include))
    })
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// The plain files that a path with wildcards stands for, by name.
fn expand(boot: &Boot, pattern: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::from("/")];
    for component in pattern.components() {
        match component {
            Component::ParentDir => {
                for path in &mut found {
                    path.pop();
                }
                // All entries of a folder have led back to it: `/*/../*/../*` would multiply them.
                found.dedup();
            }
            Component::Normal(name) => {
                let name = name.to_string_lossy();
                let mut next = Vec::new();
                for path in &found {
                    next.extend(step(boot, path, &name)?);
                }
                found = next;
            }
            _ => {}
        }
    }
    found.retain(|path| boot.real(path).is_file());
    Ok(found)
}

/// The entries of a folder that match one component of a pattern.
fn step(boot: &Boot, folder: &Path, name: &str) -> Result<Vec<PathBuf>> {
    if !is_pattern(name) {
        return Ok(vec![folder.join(name)]);
    }
    let real = boot.real(folder);
    let entries = read_dir(&real).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let entries = match entries {
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Vec::new(),
        entries => entries.map_err(|source| {
            let message = format!("cannot list the folder `{}`", real.display());
            Error::new(ErrorKind::Io, message).with_source(source)
        })?,
    };
    let names = entries.into_iter().map(|entry| entry.file_name());
    let mut names: Vec<_> = names
        .filter(|entry| {
            let entry = entry.to_string_lossy();
            (!entry.starts_with('.') || name.starts_with('.'))
                && matches(name.as_bytes(), entry.as_bytes())
        })
        .collect();
    names.sort();
    Ok(names.iter().map(|name| folder.join(name)).collect())
}

/// glob(7). A bracket expression matches any one byte: a file too many does no harm.
pub(super) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut pattern, mut name) = (pattern, name);
    // Behind the last star, and what it has not taken yet. An earlier star never has to take more.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some(rest) = pattern.strip_prefix(b"*") {
            retry = Some((rest, name));
            pattern = rest;
            continue;
        }
        let Some((byte, behind)) = name.split_first() else {
            return pattern.is_empty();
        };
        if let Some(rest) = match_one(pattern, *byte) {
            (pattern, name) = (rest, behind);
        } else if let Some((rest, [_, left @ ..])) = retry {
            retry = Some((rest, left));
            (pattern, name) = (rest, left);
        } else {
            return false;
        }
    }
}

/// What is left of a pattern whose start matches a byte.
fn match_one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let (first, rest) = pattern.split_first()?;
    if *first == b'[' {
        let end = rest.iter().skip(1).position(|byte| *byte == b']');
        return Some(end.and_then(|end| rest.get(end + 2..)).unwrap_or_default());
    }
    (*first == b'?' || *first == byte).then_some(rest)
}

/// Gathers what a digest is made of; every piece counts with its length, so that none runs into the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fingerprint(Sha256);

impl Fingerprint {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    pub(crate) fn add_path(&mut self, path: &Path) {
        self.add(path.as_os_str().as_encoded_bytes());
    }

    pub(crate) fn finish(self) -> Digest {
        self.0.finalize().into()
    }
}

/// The digest of some bytes.
pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Sha256::digest(bytes).into()
}

/// The digest of all that a load depends on within one run: the loaders, the files, the interfaces.
pub(crate) fn of_load<'a>(
    boot: &Boot,
    files: impl Iterator<Item = (&'a Path, &'a [u8])>,
    interfaces: &[Interface],
) -> Digest {
    let mut fingerprint = Fingerprint::default();
    fingerprint.add_path(&boot.root);
    fingerprint.add(format!("{:?}", boot.loaders).as_bytes());
    fingerprint.add(format!("{interfaces:?}").as_bytes());
    for (path, bytes) in files {
        fingerprint.add_path(path);
        fingerprint.add(bytes);
    }
    fingerprint.finish()
}

#[cfg(test)]
mod tests {
    use super::{Boot, PathBuf, expand, matches};

    #[test]
    fn wildcards_are_those_of_glob() {
        for (pattern, name, expected) in [
            ("*.nft", "10-ftp.nft", true),
            ("*.nft", "10-ftp.nft.old", false),
            ("*a*b", "xaxxb", true),
            ("*a*b", "xbxxa", false),
            ("1?-*", "10-", true),
            ("1?-*", "1-x", false),
            ("[01]x*", "1x", true),
            ("[]]x", "]x", true),
            ("[a", "a", true),
            ("", "", true),
            ("**", "", true),
        ] {
            let matched = matches(pattern.as_bytes(), name.as_bytes());
            assert_eq!(matched, expected, "{pattern} {name}");
        }
        // With many stars, trying every way to share the name out among them would not end.
        let pattern = "*a".repeat(60) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(255).as_bytes()));
    }

    #[test]
    fn a_pattern_that_goes_up_again_does_not_multiply() {
        let root = tempfile::tempdir().unwrap();
        for name in 0..10 {
            fs_err::write(root.path().join(format!("{name}.nft")), "").unwrap();
        }
        let boot = Boot::find(root.path());
        let pattern = format!("/{}1.nft", "*/../".repeat(40));
        let found = expand(&boot, pattern.as_ref()).unwrap();
        assert_eq!(found, [PathBuf::from("/1.nft")]);
    }
}
