//! Everything on a host that a run may change: rules, files with their modes, owners and attributes, what is left over.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::support::host::{Host, OWN, built};

/// What programs remake whenever they run; the time and the inode numbers of this run are in it.
const PROOF: &str = "/var/lib/pasvsync/boot.proof";
/// What iptables-legacy leaves behind.
const XTABLES_LOCK: &str = "/run/xtables.lock";
/// What pasvsync names a file that is not in its place yet.
const TEMPORARY: &str = ".pasvsync";

/// How the names of lock files end.
pub(super) const LOCK: &str = ".lock";

/// Nothing that is edited here is larger; what is, is not kept.
const LARGE: usize = 8192;

/// By place: the rules of a packet filter, or a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct State(pub(super) BTreeMap<String, String>);

impl State {
    pub(super) fn of(host: &Host) -> Self {
        let mut places = BTreeMap::new();
        host.run(|| {
            for (family, program) in [("ip", "iptables"), ("ip6", "ip6tables")] {
                let names = format!("/proc/thread-self/net/{family}_tables_names");
                if std::fs::read_to_string(names).is_ok_and(|names| !names.is_empty()) {
                    let program = format!("{program}-legacy-save");
                    places.insert(program.clone(), rules(&program));
                }
            }
            places.insert("nft".to_owned(), listed());
            for folder in OWN {
                walk(Path::new(folder), &mut places);
            }
        });
        Self(places)
    }

    /// The places that are neither as before nor as after, and are not left over either.
    pub(super) fn broken(&self, before: &Self, after: &Self) -> Vec<String> {
        let mut places: Vec<&String> = self.0.keys().chain(before.0.keys()).collect();
        places.sort();
        places.dedup();
        let value = |state: &Self, place: &String| state.0.get(place).cloned();
        let places = places.into_iter().filter(|place| {
            let now = value(self, place);
            now != value(before, place)
                && now != value(after, place)
                && now != between(place, value(before, place), value(after, place))
                && !left_over(place)
        });
        places
            .map(|place| format!("{place}:\n{}", value(self, place).unwrap_or_default()))
            .collect()
    }

    /// What an unfinished run has left behind; a lock file is no harm.
    pub(super) fn left_over(&self) -> Vec<&String> {
        self.0.keys().filter(|place| left_over(place)).collect()
    }

    /// The same without what does not matter to anybody: the memory of a proof, a lock file that nobody has locked, and
    /// what was left in `/tmp`.
    pub(super) fn essence(&self) -> Self {
        let kept = self.0.iter().filter(|(place, _)| {
            !["/tmp/", "/var/lib/pasvsync", "/run/pasvsync"]
                .iter()
                .any(|folder| place.starts_with(folder))
        });
        Self(
            kept.map(|(place, value)| (place.clone(), value.clone()))
                .collect(),
        )
    }
}

/// The older packet filter knows no batches: between the two edits that move a range, both ranges are open.
fn between(place: &str, before: Option<String>, after: Option<String>) -> Option<String> {
    let (before, after) = (before?, after?);
    let missing = before
        .lines()
        .filter(|line| !after.lines().any(|other| other == *line));
    let both = after.clone() + &missing.flat_map(|line| [line, "\n"]).collect::<String>();
    place
        .ends_with("-legacy-save")
        .then(|| own_lines_last(&both))
}

fn left_over(place: &str) -> bool {
    place.ends_with(TEMPORARY) || place.ends_with(LOCK) || place.starts_with("/tmp/")
}

/// The native rules, without handles and counters.
fn listed() -> String {
    use crate::support::command::run;
    use crate::support::host::plain;
    let mut list = plain("nft");
    let listed = run(list.args(["-s", "list", "ruleset"]), "");
    own_lines_last(&listed.expect_success("list the rules"))
}

/// The rules of the older packet filter, without counters and times.
fn rules(program: &str) -> String {
    use crate::support::command::run;
    use crate::support::host::plain;
    let saved = run(&mut plain(program), "").expect_success(program);
    let lines = saved.lines().filter(|line| !line.starts_with('#'));
    let plain = lines.map(|line| match line.split_once(" [") {
        Some((chain, _)) if line.starts_with(':') => chain,
        _ => line,
    });
    let text: String = plain.flat_map(|line| [line, "\n"]).collect();
    own_lines_last(&text)
}

/// The text with the lines of ours at its end. Where one place could not be proved, another may have been: that the
/// ports are open there is the program's to say.
fn own_lines_last(text: &str) -> String {
    let (mut own, others): (Vec<&str>, Vec<&str>) = text
        .split_inclusive('\n')
        .partition(|line| line.contains("pasvsync"));
    own.sort_unstable();
    others.concat() + &own.concat()
}

fn walk(folder: &Path, places: &mut BTreeMap<String, String>) {
    for entry in fs_err::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let metadata = fs_err::symlink_metadata(&path).expect("its metadata");
        let place = path.display().to_string();
        if place == XTABLES_LOCK || built().starts_with(&path) {
            continue;
        }
        let mut value = format!(
            "{:o} {}:{}",
            metadata.mode(),
            metadata.uid(),
            metadata.gid()
        );
        if metadata.is_dir() {
            places.insert(place + "/", value);
            walk(&path, places);
        } else if metadata.is_symlink() {
            places.insert(place, value);
        } else {
            let mut attribute = [0; 256];
            if let Ok(length) = rustix::fs::getxattr(&path, super::ATTRIBUTE, &mut attribute) {
                let _ = write!(value, " {:?}", &attribute[..length]);
            }
            if metadata.is_file() && place != PROOF {
                let bytes = fs_err::read(&path).expect("its content");
                let text = own_lines_last(&String::from_utf8_lossy(&bytes));
                let _ = match bytes.len() {
                    0..LARGE => write!(value, "\n{text}"),
                    size => write!(value, " {size} bytes"),
                };
            }
            places.insert(place, value);
        }
    }
}
