//! Loads the boot configuration into a scratch namespace, with boot's own loaders.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::find::{Boot, Loader};
use super::shape::Shape;
use super::sources::{Language, Source, has_wildcards};
use crate::error::{Error, ErrorKind, Result};
use crate::host::file::copy_attributes;
use crate::model::reach::Family;
use crate::model::ruleset::{Interface, Ruleset};
use crate::netfilter::scratch::{View, find_program, in_scratch, run};

/// Text larger than this is not searched for interface names; every interface then gets a stand-in.
const SEARCHED: usize = 1 << 20;

/// Loads what boot would load if the files held `texts`, one for each of `sources`.
///
/// # Errors
/// `Refused`, with the loader's words, when a loader rejects a file; what [`in_scratch`] says.
pub(crate) fn load(
    boot: &Boot,
    sources: &[Source],
    texts: &[Vec<u8>],
    interfaces: &[Interface],
) -> Result<Ruleset> {
    let folder = tempfile::tempdir()?;
    let mut replaced = Vec::new();
    for (index, (source, text)) in sources.iter().zip(texts).enumerate() {
        if source.bytes != *text {
            let copy = folder.path().join(index.to_string());
            fs_err::write(&copy, text)?;
            // A confined loader may read only what is labelled as configuration. Without the label, it says so itself.
            if let (Ok(from), Ok(to)) = (File::open(boot.real(&source.path)), File::open(&copy)) {
                let _ = copy_attributes(&from, &to);
            }
            replaced.push((source.path.clone(), copy));
        }
    }
    let named = named(sources, texts, interfaces);
    let view = View {
        interfaces,
        named: &named,
        root: &boot.root,
        replaced: &replaced,
    };
    let load = || {
        in_scratch(view, || {
            boot.loaders
                .iter()
                .try_for_each(|loader| start(boot, loader))
        })
    };
    let ruleset = load()?;
    // A folder that nft (1.0.6) cannot list is an empty one to it: then it reports success without the files in there.
    if has_wildcards(sources, texts) && Shape::of(&load()?) != Shape::of(&ruleset) {
        return Err(Error::new(
            ErrorKind::Io,
            "the next boot cannot be judged: loaded twice, the same files came to different rules",
        ));
    }
    Ok(ruleset)
}

/// The interfaces whose names stand anywhere in files that nft reads. nft cannot put names together from pieces.
fn named(sources: &[Source], texts: &[Vec<u8>], interfaces: &[Interface]) -> Vec<String> {
    let mut all = Vec::new();
    for (source, text) in sources.iter().zip(texts) {
        if matches!(source.language, Language::Nft { .. }) {
            all.push(text.as_slice());
        }
    }
    let large = all.iter().map(|text| text.len()).sum::<usize>() > SEARCHED;
    let stands_in = |text: &&[u8], name: &str| {
        let mut windows = text.windows(name.len().max(1));
        windows.any(|window| window == name.as_bytes())
    };
    let wanted = |name: &String| large || all.iter().any(|text| stands_in(text, name));
    let names = interfaces.iter().map(|interface| interface.name.clone());
    names.filter(wanted).collect()
}

/// Runs one loader, in the namespace of this thread.
fn start(boot: &Boot, loader: &Loader) -> Result<()> {
    let outcome = match loader {
        Loader::Nft { file, .. } => run("nft", &["-f", &file.to_string_lossy()], None),
        Loader::Iptables { family, file, .. } => restore(*family, file),
        Loader::Ipset { file } => run("ipset", &["restore", "-exist"], Some(File::open(file)?)),
        Loader::Script { service, command } => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "{service} runs `{command}`, and what that loads cannot be told beforehand"
                ),
            )
            .with_hint(BOOT_UNIT));
        }
    };
    outcome.map_err(|error| match error.kind() {
        ErrorKind::Refused => rejected(boot, loader, &error),
        ErrorKind::Unsupported => error
            .with_hint("boot needs it too: without it, the next boot loads no rules; install it"),
        _ => error,
    })
}

/// The answer to everything that no edit of a file can do.
pub const BOOT_UNIT: &str = "enable the boot unit, which runs `pasvsync sync` after the firewall has been loaded: \
     systemctl enable pasvsync.service";

fn restore(family: Family, file: &Path) -> Result<()> {
    let (boots, translated) = match family {
        Family::Ipv4 => ("iptables-restore", "iptables-nft-restore"),
        Family::Ipv6 => ("ip6tables-restore", "ip6tables-nft-restore"),
    };
    if !is_legacy(boots)? {
        return run(boots, &[], Some(File::open(file)?));
    }
    // The older kernel interface cannot be read back over netlink. The same rules in nf_tables say the same; whether
    // boot's own loader takes the file, it says itself.
    run(boots, &["--test"], Some(File::open(file)?))?;
    run(translated, &[], Some(File::open(file)?))
}

/// Whether a program is the variant for the kernel's older packet filter: its name leads to `xtables-legacy-multi`.
fn is_legacy(program: &str) -> Result<bool> {
    let Some(path) = find_program(program) else {
        return Ok(false);
    };
    // Taken for the other variant, it would load its rules where nobody looks.
    let real = fs_err::canonicalize(path)?;
    let name = real.file_name().unwrap_or_default().to_string_lossy();
    Ok(name.contains("legacy"))
}

/// The programs that the loaders are.
pub(crate) fn programs(boot: &Boot) -> Vec<PathBuf> {
    let names = boot.loaders.iter().flat_map(|loader| match loader {
        Loader::Nft { .. } => &["nft"][..],
        Loader::Iptables {
            family: Family::Ipv4,
            ..
        } => &["iptables-restore", "iptables-nft-restore"],
        Loader::Iptables {
            family: Family::Ipv6,
            ..
        } => &["ip6tables-restore", "ip6tables-nft-restore"],
        Loader::Ipset { .. } => &["ipset"],
        Loader::Script { .. } => &[],
    });
    names.filter_map(|name| find_program(name)).collect()
}

/// Boot would not load the file; what that means depends on who loads it.
fn rejected(boot: &Boot, loader: &Loader, error: &Error) -> Error {
    let file = loader
        .file()
        .map(|file| boot.real(file))
        .unwrap_or_default();
    let (file, service) = (file.display(), loader.service());
    let message = format!("the next boot would not load `{file}`: {error}");
    let hint = match loader {
        Loader::Iptables {
            service: "netfilter-persistent.service",
            ..
        } => format!(
            "{service} then loads no rules at all from it and reports success: the host boots open; correct the file"
        ),
        _ => format!(
            "{service} then fails, and the host boots without these rules; correct the file"
        ),
    };
    Error::new(ErrorKind::Refused, message).with_hint(hint)
}
