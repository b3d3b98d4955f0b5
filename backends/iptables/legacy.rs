//! The older packet filter, `x_tables`: it has no netlink, so iptables-legacy reads and writes it.
//!
//! What it says is loaded into `nf_tables` of a scratch network namespace, by iptables' own translator, and read back
//! from there like everything else: one decoder for all. It knows no generations either. So what was planned on is
//! compared with what is there right before an edit, and what was expected right after it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use iptables::IPTables;
use iptables::error::IptablesError;

use super::{Action, Edit, specification};
use crate::error::{Error, ErrorKind, Result};
#[cfg(all(feature = "kernel", feature = "firewalld"))]
use crate::model::ports::PortRange;
use crate::model::reach::Family;
use crate::model::ruleset::{Filter, Rule, Statement, Table, TableFamily};
use crate::netfilter::ipsets;
use crate::netfilter::scratch::{View, find_program, in_scratch, input, output, run};

/// Seconds that an edit waits for the lock that all programs of iptables-legacy share.
const WAIT: u32 = 5;
/// As many rules are judged without knowing what they say, when the translator knows them not either.
const MOST_LEFT_OUT: usize = 8;
/// The comment of what stands for them meanwhile.
const LEFT_OUT: &str = "pasvsync:left-out:";
/// iptables' exit status when it did not get the lock, among other things (`RESOURCE_PROBLEM`).
const RESOURCE_PROBLEM: i32 = 4;

/// What iptables-legacy-save says of one family, without counters and comments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Saved {
    tables: Vec<SavedTable>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct SavedTable {
    name: String,
    chains: Vec<SavedChain>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct SavedChain {
    name: String,
    policy: String,
    /// The rules without `-A CHAIN`.
    rules: Vec<String>,
}

impl Saved {
    /// Reads the text; `None` for what iptables-legacy-save does not print, such as a table twice or without an end.
    fn parse(text: &str) -> Option<Self> {
        let mut tables: Vec<SavedTable> = Vec::new();
        // The chains of the last table by name.
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        let mut inside = false;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('*') {
                if inside || tables.iter().any(|table| table.name == name) {
                    return None;
                }
                inside = true;
                places.clear();
                tables.push(SavedTable {
                    name: name.to_owned(),
                    chains: Vec::new(),
                });
            } else if let Some(chain) = line.strip_prefix(':') {
                // Such as `INPUT DROP [12:3456]`.
                let (name, rest) = chain.split_once(' ')?;
                let chains = &mut tables.last_mut()?.chains;
                if places.insert(name, chains.len()).is_some() {
                    return None;
                }
                chains.push(SavedChain {
                    name: name.to_owned(),
                    policy: rest.split(' ').next()?.to_owned(),
                    rules: Vec::new(),
                });
            } else if let Some(rule) = line.strip_prefix("-A ") {
                let (name, rule) = rule.split_once(' ').unwrap_or((rule, ""));
                let chain = tables.last_mut()?.chains.get_mut(*places.get(name)?)?;
                chain.rules.push(rule.to_owned());
            } else if line == "COMMIT" {
                inside = false;
            } else if !(line.is_empty() || line.starts_with('#')) {
                return None;
            }
        }
        (!inside).then_some(Self { tables })
    }

    fn rules(&mut self, table: &str, chain: &str) -> Option<&mut Vec<String>> {
        let mut tables = self.tables.iter_mut();
        let mut chains = tables.find(|known| known.name == table)?.chains.iter_mut();
        Some(&mut chains.find(|known| known.name == chain)?.rules)
    }

    /// The names of the ipsets that the rules refer to.
    fn ipsets(&self) -> Vec<String> {
        let chains = self.tables.iter().flat_map(|table| &table.chains);
        let mut names = Vec::new();
        for rule in chains.flat_map(|chain| &chain.rules) {
            let mut words = rule.split(' ');
            while let Some(word) = words.next() {
                if matches!(
                    word,
                    "--match-set" | "--add-set" | "--del-set" | "--map-set"
                ) {
                    names.extend(words.next().map(str::to_owned));
                }
            }
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Makes an edit in the text, and returns what iptables has to be told.
    fn make(&mut self, edit: &Edit) -> Option<Order> {
        let rules = self.rules(&edit.table, &edit.chain)?;
        match &edit.action {
            Action::Insert {
                number,
                ports,
                local_only,
            } => {
                let rule = specification(*ports, *local_only);
                let index = number.map_or(rules.len(), |number| number.saturating_sub(1));
                if index > rules.len() {
                    return None;
                }
                rules.insert(index, rule.clone());
                Some(Order::Insert(index + 1, rule))
            }
            Action::Delete { number } => {
                let rule = rules.get(number.checked_sub(1)?)?.clone();
                rules.remove(number - 1);
                // By its text: a number might mean a rule of somebody else by the time that iptables has the lock. But
                // of equal rules iptables would delete the first; and the crate splits at blanks and knows no escapes.
                let plain = !rule.contains(['"', '\'', '\\']) && !rules.contains(&rule);
                let words = if plain {
                    rule.clone()
                } else {
                    number.to_string()
                };
                Some(Order::Delete { words, rule })
            }
        }
    }
}

/// What iptables is told.
#[derive(Debug)]
enum Order {
    /// At a number, a rule.
    Insert(usize, String),
    /// A rule, by its text or its number.
    Delete { words: String, rule: String },
}

/// One family of the older packet filter.
#[derive(Debug)]
pub(crate) struct Legacy {
    family: Family,
    /// What was read last, and what it means.
    known: Option<(Saved, Vec<Table>)>,
}

impl Legacy {
    pub(crate) fn new(family: Family) -> Self {
        Self {
            family,
            known: None,
        }
    }

    pub(crate) fn family(&self) -> Family {
        self.family
    }

    /// Its tables; none, and no process is started, when the kernel has none.
    pub(crate) fn tables(&mut self) -> Result<&[Table]> {
        let known = self.known.take();
        if self.is_present()? {
            let (text, saved) = self.save()?;
            let mut tables = match known {
                Some((before, tables)) if before == saved => tables,
                _ => translated(self.family, &text, &saved)?,
            };
            // The rules were translated where stand-ins for the ipsets are.
            ipsets::read(&mut tables)?;
            self.known = Some((saved, tables));
        }
        Ok(self.known.as_ref().map_or(&[], |(_, tables)| tables))
    }

    /// Whether the kernel has tables of this family. Asking iptables-legacy would make them.
    pub(crate) fn is_present(&self) -> Result<bool> {
        Ok(!self.names()?.is_empty())
    }

    /// The names of the kernel's tables.
    fn names(&self) -> Result<Vec<String>> {
        // `/proc/net` would be the namespace of the main thread.
        let path = match self.family {
            Family::Ipv4 => "/proc/thread-self/net/ip_tables_names",
            Family::Ipv6 => "/proc/thread-self/net/ip6_tables_names",
        };
        match std::fs::read_to_string(path) {
            Ok(names) => Ok(names.lines().map(str::to_owned).collect()),
            // The kernel lacks the older packet filter, or the whole family.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => {
                let kind = match error.kind() {
                    io::ErrorKind::PermissionDenied => ErrorKind::Permission,
                    _ => ErrorKind::Io,
                };
                Err(Error::new(kind, format!("cannot read `{path}`")).with_source(error))
            }
        }
    }

    /// What iptables-legacy-save says.
    fn save(&self) -> Result<(Vec<u8>, Saved)> {
        let program = match self.family {
            Family::Ipv4 => find_legacy("iptables-legacy-save", "iptables-save"),
            Family::Ipv6 => find_legacy("ip6tables-legacy-save", "ip6tables-save"),
        };
        let program = program.ok_or_else(|| self.missing("-save"))?;
        let program = program.display().to_string();
        let names = self.names()?;
        let text = output(&program)?;
        let unknown = || {
            let message = format!("`{program}` printed something unknown");
            Error::new(ErrorKind::Protocol, message)
        };
        let saved = Saved::parse(&String::from_utf8_lossy(&text)).ok_or_else(unknown)?;
        // It prints nothing, and reports success, when it cannot read those names or not write (1.8.9).
        let printed = |name: &&String| saved.tables.iter().any(|table| table.name == **name);
        if let Some(name) = names.iter().find(|name| !printed(name)) {
            let message = format!(
                "`{program}` reports success, and printed nothing of the kernel's table `{name}`"
            );
            return Err(Error::new(ErrorKind::Io, message));
        }
        Ok((text, saved))
    }

    /// The error when a program is not there.
    fn missing(&self, suffix: &str) -> Error {
        let program = match self.family {
            Family::Ipv4 => "iptables-legacy",
            Family::Ipv6 => "ip6tables-legacy",
        };
        let family = self.family;
        Error::new(
            ErrorKind::Unsupported,
            format!("the kernel holds rules of {program} for {family}, and `{program}{suffix}` is not installed"),
        )
        .with_hint("install the iptables package that made these rules: without it they cannot be read or edited")
    }

    /// Makes the edits of this family, all or none, provided that its tables still are `tables`.
    pub(crate) fn apply(&mut self, tables: &[&Table], edits: &[&Edit]) -> Result<()> {
        let (_, now) = self.save()?;
        let planned = self
            .known
            .as_ref()
            .filter(|(saved, known)| *saved == now && known.iter().eq(tables.iter().copied()));
        if planned.is_none() {
            return Err(changed());
        }
        let mut expected = now.clone();
        let mut orders = Vec::new();
        for edit in edits {
            orders.push((*edit, expected.make(edit).ok_or_else(changed)?));
        }
        let mut outcome = Ok(());
        let mut made = Vec::new();
        for (edit, order) in &orders {
            outcome = self.order(edit, order);
            if outcome.is_err() {
                break;
            }
            made.push((*edit, order));
        }
        let (_, after) = self.save()?;
        if outcome.is_ok() && after == expected {
            return Ok(());
        }
        self.take_back(&made)?;
        // Where another program came in between, the whole is tried again on what is there now.
        let alone = after == first_of(&now, &orders, made.len());
        match outcome {
            Err(error) if alone || error.kind() != ErrorKind::Refused => Err(error),
            Err(error) => {
                tracing::debug!("{error}");
                Err(changed())
            }
            Ok(()) => Err(changed()),
        }
    }

    /// Undoes edits when one of them failed, or somebody else's came in between.
    fn take_back(&self, made: &[(&Edit, &Order)]) -> Result<()> {
        for (edit, order) in made.iter().rev() {
            let back = match (order, &edit.action) {
                (Order::Insert(_, rule), _) => Order::Delete {
                    words: rule.clone(),
                    rule: rule.clone(),
                },
                (Order::Delete { rule, .. }, Action::Delete { number }) => {
                    Order::Insert(*number, rule.clone())
                }
                (Order::Delete { .. }, Action::Insert { .. }) => continue,
            };
            self.order(edit, &back).map_err(|error| {
                // The chain is no longer what it was: what is there now is read and planned anew.
                if error.kind() == ErrorKind::Refused {
                    tracing::debug!("`{edit}` was not taken back: {error}");
                    return changed();
                }
                Error::new(
                    error.kind(),
                    format!("`{edit}` was made and could not be taken back: {error}"),
                )
            })?;
        }
        Ok(())
    }

    /// Has iptables-legacy make one change.
    fn order(&self, edit: &Edit, order: &Order) -> Result<()> {
        let tool = IPTables {
            cmd: tool(self.family).ok_or_else(|| self.missing(""))?,
            has_check: true,
            // The crate would append `--wait` without a number, which waits for ever when a program hangs with the
            // lock; the wait in the rule's place has an end.
            has_wait: false,
            is_numeric: false,
        };
        let (table, chain) = (edit.table.as_str(), edit.chain.as_str());
        let outcome = match order {
            Order::Insert(number, rule) => {
                let number = i32::try_from(*number).unwrap_or(i32::MAX);
                tool.insert(table, chain, &format!("{rule} -w {WAIT}"), number)
            }
            Order::Delete { words, .. } => tool.delete(table, chain, &format!("{words} -w {WAIT}")),
        };
        outcome.map_err(|error| failure(edit, error.as_ref()))
    }
}

/// What the first orders alone make of the tables, when nobody else comes in between.
fn first_of(before: &Saved, orders: &[(&Edit, Order)], made: usize) -> Saved {
    let mut expected = before.clone();
    for (edit, _) in orders.iter().take(made) {
        expected.make(edit);
    }
    expected
}

/// iptables' failure, in its own words.
fn failure(edit: &Edit, error: &(dyn std::error::Error + 'static)) -> Error {
    let Some(error) = error.downcast_ref::<IptablesError>() else {
        let message = format!("cannot start `{}`: {error}", edit.program());
        return Error::new(ErrorKind::Unsupported, message);
    };
    let words: Vec<&str> = error.msg.lines().map(str::trim).collect();
    let words = words.join("; ");
    let words = words.trim_end_matches("; ");
    if error.code == RESOURCE_PROBLEM && words.contains("holding the xtables lock") {
        return Error::new(
            ErrorKind::Busy,
            format!(
                "another program has held the lock of iptables for more than {WAIT} s: {words}"
            ),
        )
        .with_hint("see who holds it with `fuser -v /run/xtables.lock`, and run again");
    }
    let message = format!("`{edit}` failed: {words}");
    Error::new(ErrorKind::Refused, message)
}

fn changed() -> Error {
    Error::new(
        ErrorKind::Changed,
        "the rules of iptables-legacy changed since they were read",
    )
}

/// The program that edits; the crate wants its name for the whole run of the program.
fn tool(family: Family) -> Option<&'static str> {
    static TOOLS: [OnceLock<Option<String>>; 2] = [OnceLock::new(), OnceLock::new()];
    let (found, names) = match family {
        Family::Ipv4 => (&TOOLS[0], ("iptables-legacy", "iptables")),
        Family::Ipv6 => (&TOOLS[1], ("ip6tables-legacy", "ip6tables")),
    };
    let path = found.get_or_init(|| {
        let path = find_legacy(names.0, names.1)?;
        path.into_os_string().into_string().ok()
    });
    path.as_deref()
}

/// A program of iptables-legacy. Where there is no other iptables it has the plain name.
fn find_legacy(name: &str, plain: &str) -> Option<PathBuf> {
    let is_legacy = |path: &PathBuf| {
        let name = |real: PathBuf| {
            real.file_name()
                .map(|name| name.to_string_lossy().into_owned())
        };
        let name = path.canonicalize().ok().and_then(name);
        name.is_some_and(|name| !name.contains("nft"))
    };
    find_program(name).or_else(|| find_program(plain).filter(is_legacy))
}

/// The tables that the text means, with the rules' numbers in place of handles.
fn translated(family: Family, text: &[u8], saved: &Saved) -> Result<Vec<Table>> {
    let mut text = String::from_utf8_lossy(text).into_owned();
    let mut left_out = Vec::new();
    let tables = loop {
        match load(family, text.as_bytes(), saved) {
            Ok(tables) => break tables,
            Err(error) if error.kind() == ErrorKind::Refused && left_out.len() < MOST_LEFT_OUT => {
                let rule = leave_out(&mut text, &error.to_string(), left_out.len());
                left_out.push(rule.ok_or(error)?);
            }
            Err(error) => return Err(error),
        }
    };
    let wanted = match family {
        Family::Ipv4 => TableFamily::Ip,
        Family::Ipv6 => TableFamily::Ip6,
    };
    let mut tables: Vec<Table> = tables
        .into_iter()
        .filter(|table| table.family == wanted)
        .collect();
    for table in &mut tables {
        table.filter = Filter::Legacy;
        for chain in &mut table.chains {
            chain.handle = 0;
            let rules = chain.rules.as_deref_mut().unwrap_or_default();
            number(rules);
            for rule in rules {
                not_decoded(rule, &left_out);
            }
        }
    }
    Ok(tables)
}

/// Loads the text into a scratch namespace and reads that.
fn load(family: Family, text: &[u8], saved: &Saved) -> Result<Vec<Table>> {
    let view = View {
        interfaces: &[],
        named: &[],
        root: Path::new("/"),
        replaced: &[],
    };
    let program = match family {
        Family::Ipv4 => "iptables-nft-restore",
        Family::Ipv6 => "ip6tables-nft-restore",
    };
    let sets = saved.ipsets();
    let scratch = in_scratch(view, || {
        ipsets::create(family, &sets)?;
        run(program, &[], Some(input(text)?))
    })
    .map_err(|error| {
        let message =
            format!("the rules of iptables-legacy for {family} cannot be judged: {error}");
        let hint = match error.kind() {
            ErrorKind::Unsupported => {
                format!("install `{program}`, which comes with iptables since 1.8")
            }
            _ => "the kernel's rules are as they were".to_owned(),
        };
        Error::new(error.kind(), message).with_hint(error.hint().map_or(hint, str::to_owned))
    })?;
    Ok(scratch.tables)
}

/// Puts a rule with nothing but a marker in the place of the one that the translator complains about; the rule.
fn leave_out(text: &mut String, complaint: &str, number: usize) -> Option<String> {
    // Such as `Error occurred at line: 6` or `line 6: RULE_APPEND failed`.
    let digits = complaint.split("line").skip(1).find_map(|rest| {
        let rest = rest.trim_start_matches([':', ' ']);
        let end = rest
            .find(|letter: char| !letter.is_ascii_digit())
            .unwrap_or(rest.len());
        rest.get(..end)?.parse::<usize>().ok()
    })?;
    let mut lines: Vec<&str> = text.lines().collect();
    let line = lines.get_mut(digits.checked_sub(1)?)?;
    let chain = line.strip_prefix("-A ")?.split(' ').next()?;
    let rule = (*line).to_owned();
    let instead = format!("-A {chain} -m comment --comment {LEFT_OUT}{number}");
    *line = &instead;
    *text = lines.join("\n") + "\n";
    Some(rule)
}

/// A rule that was left out might do anything.
fn not_decoded(rule: &mut Rule, left_out: &[String]) {
    let Some(number) = rule
        .comment
        .as_deref()
        .and_then(|text| text.strip_prefix(LEFT_OUT))
    else {
        return;
    };
    if let Some(text) = number
        .parse()
        .ok()
        .and_then(|number: usize| left_out.get(number))
    {
        rule.comment = None;
        let name = text.clone();
        rule.statements = vec![Statement::NotDecoded { name }].into();
    }
}

/// Gives rules their numbers in place of their handles. A rule whose match is an "or" has become two with one handle.
fn number(rules: &mut [Rule]) {
    let (mut last, mut number) = (None, 0);
    for rule in rules {
        if last != Some(rule.handle) {
            number += 1;
        }
        last = Some(rule.handle);
        rule.handle = number;
    }
}

/// Any text of iptables-save: a rule that is put in is taken out again, and any rule can be left out.
#[cfg(all(feature = "kernel", feature = "firewalld"))]
pub(crate) fn fuzz(text: &str) {
    let Some(saved) = Saved::parse(text) else {
        return;
    };
    saved.ipsets();
    for table in &saved.tables {
        for chain in table.chains.iter().take(4) {
            let edit = |action| Edit {
                family: Family::Ipv4,
                filter: Filter::Legacy,
                table: table.name.clone(),
                chain: chain.name.clone(),
                action,
            };
            let mut edited = saved.clone();
            let insert = edit(Action::Insert {
                number: Some(1),
                ports: PortRange::single(50_000),
                local_only: false,
            });
            assert!(edited.make(&insert).is_some());
            assert!(edited.make(&edit(Action::Delete { number: 1 })).is_some());
            assert_eq!(edited, saved);
        }
    }
    for number in 1..=text.lines().count().min(8) {
        let mut shorter = text.to_owned();
        if leave_out(&mut shorter, &format!("line {number} failed"), 0).is_some() {
            assert!(Saved::parse(&shorter).is_some(), "{shorter}");
        }
    }
}

#[cfg(test)]
mod tests;
