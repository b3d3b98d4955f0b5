//! Everything on a host that a run may change: rules, files with their modes, owners and attributes, what is left over.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::support::host::{Host, OWN, built};

/// What a run remakes; its time and inode numbers are in there.
const REMADE: [&str; 2] = [
    "/var/lib/pasvsync/boot.proof",
    "/var/lib/pasvsync/last-change",
];
/// What iptables-legacy leaves behind.
const XTABLES_LOCK: &str = "/run/xtables.lock";
/// Where csf keeps earlier versions of csf.conf, named after the time, and what pasvsync keeps there.
const BACKUPS: &str = "/var/lib/csf/backup/";
const BACKUP: &str = "_pasvsync";
const CSF_CONF: &str = "/etc/csf/csf.conf";
/// How the names of lists of what is ours end.
const OWNED: &str = ".owned";
/// What firewalld keeps of its own files; where its bus is, and what it is asked there.
const FIREWALLD: &str = "/etc/firewalld/";
const KEPT: &str = ".old";
const BUS: &str = "/run/dbus/system_bus_socket";
const QUESTIONS: [[&str; 3]; 5] = [
    ["", "zone.getPorts", "string:public"],
    ["", "zone.getPorts", "string:internal"],
    ["", "zone.getServices", "string:public"],
    ["", "zone.getServices", "string:internal"],
    ["/config", "config.getServiceNames", ""],
];
/// What pasvsync names a file that is not in its place yet.
const TEMPORARY: &str = ".pasvsync";

/// How the names of lock files end.
pub(super) const LOCK: &str = ".lock";

/// Nothing that is edited here is larger; what is, is not kept.
const LARGE: usize = 8192;

/// In which steps a firewall's running rules become other ones.
#[derive(Clone, Copy, Debug)]
pub(super) enum Steps {
    /// At once.
    One,
    /// Each table at once.
    Tables,
    /// Rule by rule: what is added first, then what is taken away.
    AddedThenRemoved,
    /// Rule by rule.
    Lines,
}

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
            if Path::new(BUS).exists() {
                places.extend(QUESTIONS.map(|question| (question.join(" "), answer(question))));
            }
            for folder in OWN {
                walk(Path::new(folder), &mut places);
            }
        });
        Self(places)
    }

    /// The places that are neither as before nor as after, nor on the way from there in these steps, and are not left
    /// over either.
    pub(super) fn broken(&self, before: &Self, after: &Self, steps: Steps) -> Vec<String> {
        let mut places: Vec<&String> = self.0.keys().chain(before.0.keys()).collect();
        places.sort();
        places.dedup();
        let places = places.into_iter().filter(|place| {
            let [now, old, new] = [self, before, after].map(|state| state.0.get(*place));
            let between = |now, old, new| between(place, steps, now, old, new);
            let passing = now.zip(old).zip(new);
            now != old
                && now != new
                && !passing.is_some_and(|((now, old), new)| between(now, old, new))
                && !left_over(place)
                && !self.is_backup_of(place, [before, after])
        });
        places
            .map(|place| format!("{place}:\n{}", self.0.get(place).map_or("", String::as_str)))
            .collect()
    }

    /// Whether a place is one more earlier version of csf.conf, as it was before or is after.
    fn is_backup_of(&self, place: &str, states: [&Self; 2]) -> bool {
        let text = |state: &Self, place: &str| {
            let value = state.0.get(place)?.split_once('\n')?;
            Some(value.1.to_owned())
        };
        let kept = text(self, place);
        place.starts_with(BACKUPS)
            && kept.is_some()
            && states.iter().any(|state| text(state, CSF_CONF) == kept)
    }

    /// What an unfinished run has left behind; a lock file is no harm.
    pub(super) fn left_over(&self) -> Vec<&String> {
        self.0.keys().filter(|place| left_over(place)).collect()
    }

    /// The same without what does not matter to anybody: the memory of a proof, a lock file that nobody has locked, and
    /// what was left in `/tmp`.
    pub(super) fn essence(&self) -> Self {
        let folders = ["/tmp/", "/var/lib/pasvsync", "/run/pasvsync"];
        self.without(&folders)
    }

    /// What the next run and the one after it lead to; how many earlier versions of csf.conf there are depends on the way.
    pub(super) fn settled(&self) -> Self {
        self.essence().without(&[BACKUPS])
    }

    fn without(&self, folders: &[&str]) -> Self {
        let kept = self.0.iter().filter(|(place, _)| {
            !folders.iter().any(|folder| place.starts_with(folder)) && !harmless(place)
        });
        Self(
            kept.map(|(place, value)| (place.clone(), value.clone()))
                .collect(),
        )
    }
}

/// Whether rules are on their way from old to new.
fn between(place: &str, steps: Steps, now: &str, old: &str, new: &str) -> bool {
    let count = |text: &str, line: &str| text.lines().filter(|other| *other == line).count();
    let rules = place.ends_with("-legacy-save") || place == "nft" || place.contains("zone.get");
    let is_between = match steps {
        Steps::One => false,
        Steps::Tables => tables(now)
            .iter()
            .all(|table| tables(old).contains(table) || tables(new).contains(table)),
        Steps::AddedThenRemoved => {
            let missing = old.lines().filter(|line| count(new, line) == 0);
            let missing: String = missing.flat_map(|line| [line, "\n"]).collect();
            now == own_lines_last(&(new.to_owned() + &missing))
        }
        Steps::Lines => {
            let mut lines = old.lines().chain(new.lines()).chain(now.lines());
            lines.all(|line| {
                let [now, old, new] = [now, old, new].map(|text| count(text, line));
                (old.min(new)..=old.max(new)).contains(&now)
            })
        }
    };
    rules && is_between
}

/// The tables of a listing.
fn tables(listing: &str) -> Vec<&str> {
    listing.split("\ntable ").map(str::trim_end).collect()
}

/// Whether it is an unfinished copy among csf's backups, which csf does not list and the next edit takes away.
pub(super) fn harmless(place: &str) -> bool {
    place.starts_with(BACKUPS) && place.ends_with(TEMPORARY)
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

/// What firewalld says, word by word and in order.
fn answer([object, method, argument]: [&str; 3]) -> String {
    use crate::support::command::run;
    use crate::support::host::plain;
    const NAME: &str = "org.fedoraproject.FirewallD1";
    let mut ask = plain("dbus-send");
    ask.args(["--system", "--print-reply=literal"]);
    ask.arg(format!("--dest={NAME}"));
    ask.arg(format!("/org/fedoraproject/FirewallD1{object}"));
    ask.arg(format!("{NAME}.{method}"));
    ask.args((!argument.is_empty()).then_some(argument));
    let answer = run(&mut ask, "").expect_success(method);
    let words = answer.split_whitespace();
    let mut words: Vec<&str> = words
        .filter(|word| !["[", "]", "array", "tcp"].contains(word))
        .collect();
    words.sort_unstable();
    words.join("\n")
}

/// The text with the lines of ours at its end. Where one place could not be proved, another may have been: that the
/// ports are open there is the program's to say. Those without a mark stay in their chain, in order.
fn own_lines_last(text: &str) -> String {
    let (mut own, others): (Vec<&str>, Vec<&str>) = text
        .split_inclusive('\n')
        .partition(|line| line.contains("pasvsync"));
    own.sort_unstable();
    let mut others = others;
    let both = |one: &&str, other: &&str| one.contains(" dport 5") && other.contains(" dport 5");
    for run in others.chunk_by_mut(both) {
        run.sort_unstable();
    }
    others.concat() + &own.concat()
}

fn walk(folder: &Path, places: &mut BTreeMap<String, String>) {
    let entries = fs_err::read_dir(folder).expect("a folder");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    let mut backups = 0;
    for path in paths {
        let metadata = fs_err::symlink_metadata(&path).expect("its metadata");
        let mut place = path.display().to_string();
        let kept = place.starts_with(FIREWALLD) && place.ends_with(KEPT);
        if place == XTABLES_LOCK || kept || built().starts_with(&path) {
            continue;
        }
        if place.starts_with(BACKUPS) && place.ends_with(BACKUP) && !left_over(&place) {
            backups += 1;
            place = format!("{BACKUPS}{backups}{BACKUP}");
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
            if metadata.is_file() && !REMADE.contains(&place.as_str()) {
                let bytes = fs_err::read(&path).expect("its content");
                let mut text = own_lines_last(&String::from_utf8_lossy(&bytes));
                if place.ends_with(OWNED) {
                    text = without_times(&text);
                }
                let _ = match bytes.len() {
                    0..LARGE => write!(value, "\n{text}"),
                    size => write!(value, " {size} bytes"),
                };
            }
            places.insert(place, value);
        }
    }
}

/// A list of what is ours without since when it is.
fn without_times(text: &str) -> String {
    let time = |word: &&str| word.len() == 10 && word.parse::<u64>().is_ok();
    let lines = text.lines().map(|line| {
        let words: Vec<&str> = line.split(' ').filter(|word| !time(word)).collect();
        words.join(" ") + "\n"
    });
    lines.collect()
}
