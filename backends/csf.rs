//! CSF (`ConfigServer` Security & Firewall): csf.conf for the next restart, and the live rule that csf would make of it.
//!
//! `csf -r` opens the firewall while it works, and takes other programs' chains away. So nothing of csf's is started:
//! the file is edited, and the one rule is put in where csf would put it, in csf's own form.

pub mod conf;
mod file;
#[cfg(feature = "firewalld")]
pub(crate) mod fuzzing;
pub mod items;
mod live;
mod notes;
mod ours;
mod permanent;
mod plan;
mod restart;
mod rules;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use self::conf::{Conf, Problem};
use self::ours::Ours;
use self::permanent::Lists;
pub use self::plan::ItemEdit;
use self::plan::Known;
pub use self::rules::RuleEdit;
use crate::backend::{Backend, Desired, Layer, Plan, Proof, Refusal, Scope};
use crate::boot::Note;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::Kernel;
use crate::model::reach::Family;
use crate::model::ruleset::{Chain, Policy, Ruleset};
use crate::netfilter;

/// What an admin can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The outbound lists get the ports too.
    pub outbound: bool,
    /// csf may be restarted where the running rules are not as csf makes them.
    pub restart: bool,
}

/// CSF on this host, or in an image.
#[derive(Debug)]
pub struct Csf {
    root: PathBuf,
    options: Options,
    /// What filters now; `None` in an image.
    kernel: Option<Kernel>,
    /// csf.conf and what is ours in it, as last read.
    state: Option<State>,
    /// What filtered when the next boot was last judged.
    live: Ruleset,
    /// Why csf.conf cannot be edited: then the running rules stay as they are, too.
    obstacle: Option<Refusal>,
    /// csf.conf before this run edited it, and what was ours in it.
    before: Option<(Vec<u8>, Ours)>,
    /// What is listed as ours and not there, as last read.
    absent: Vec<(&'static str, String)>,
    restarted: bool,
    flushed: Vec<String>,
}

#[derive(Clone, Debug)]
struct State {
    path: PathBuf,
    conf: Conf,
    lists: Lists,
    ours: Ours,
}

impl State {
    /// What is listed as ours and not there: an unfinished run listed it, or somebody else took it away. A rule whose
    /// item is in csf.conf comes back with csf's next restart. `now` is `None` where the running rules are not seen: of
    /// those nothing is absent.
    fn absent(&self, now: Option<&Ruleset>) -> Vec<(&'static str, String)> {
        let mut absent = Vec::new();
        let both = Family::BOTH
            .into_iter()
            .flat_map(|family| live::Direction::BOTH.map(|direction| (family, direction)));
        for (family, direction) in both {
            let setting = direction.setting(family);
            let listed = self.lists.get(family, direction);
            let in_conf = |item: &str| listed.iter().any(|other| other.text == item);
            let form = live::Form::of(&self.conf, family, direction);
            let chain = now
                .and_then(|now| live::table(now, family))
                .and_then(|table| table.chain(direction.chain()));
            let rules = chain.map_or(&[][..], Chain::rules).iter();
            let made: Vec<String> = rules
                .filter_map(|rule| form.ports_of(rule).map(items::item))
                .collect();
            let mut note = |place, gone: &dyn Fn(&str) -> bool| {
                let items = self.ours.items(place).into_iter();
                let gone = items.filter(|item| gone(item));
                absent.extend(gone.map(|item| (place, item.to_owned())));
            };
            note(setting, &|item| !in_conf(item));
            note(rules::place(family, direction), &|item| {
                now.is_some() && !in_conf(item) && !made.iter().any(|other| other == item)
            });
        }
        absent
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Of csf.conf.
    Item(ItemEdit),
    /// Of csf's running rules.
    Rule(Box<RuleEdit>),
    /// csf makes its rules anew: what is typed.
    Restart(&'static str),
    /// csf.conf becomes what it was.
    Restore {
        /// What it is now.
        from: Vec<u8>,
        /// What it was.
        to: Vec<u8>,
    },
}

impl fmt::Display for Edit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item(edit) => edit.fmt(formatter),
            Self::Rule(edit) => edit.fmt(formatter),
            Self::Restart(command) => formatter.write_str(command),
            Self::Restore { .. } => write!(formatter, "{}: as it was", file::CONF),
        }
    }
}

impl Csf {
    /// CSF under `root`; `None` when it is not installed there.
    ///
    /// # Errors
    /// `Permission` when its folder may not be entered.
    pub fn find(root: &Path, options: Options) -> Result<Option<Self>> {
        match file::path(root, file::CONF).symlink_metadata() {
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(error) => {
                let message = format!("cannot see whether there is a `{}`", file::CONF);
                return Err(Error::new(ErrorKind::Permission, message).with_source(error));
            }
        }
        Ok(Some(Self {
            root: root.to_owned(),
            options,
            kernel: None,
            state: None,
            live: Ruleset::default(),
            obstacle: None,
            before: None,
            absent: Vec::new(),
            restarted: false,
            flushed: Vec::new(),
        }))
    }

    /// Whether csf was switched off (`csf -x`): then it does nothing until `csf -e`.
    pub fn is_disabled(&self) -> bool {
        file::path(&self.root, notes::DISABLED).exists()
    }

    /// Whether csf has given up over an error, and filters nothing.
    pub fn has_given_up(&self) -> bool {
        file::path(&self.root, restart::ERROR_FILE).exists()
    }

    /// Whether this is what csf makes of a host's packet filter.
    pub fn made(ruleset: &Ruleset) -> bool {
        Family::BOTH
            .iter()
            .any(|family| live::table(ruleset, *family).is_some())
    }

    /// Also looks after what filters now.
    #[must_use]
    pub fn running(mut self, kernel: Kernel) -> Self {
        self.kernel = Some(kernel);
        self
    }

    /// What the admin should know, after the layers have been looked at.
    pub fn notes(&mut self, desired: &Desired) -> Vec<Note> {
        let mut found = Vec::new();
        if let Some(State { conf, lists, .. }) = &self.state {
            found.extend(notes::of_rules(&self.live, conf, desired));
            found.extend(notes::of_conf(
                &self.root,
                conf,
                lists,
                desired,
                self.options.outbound,
            ));
        }
        if !self.flushed.is_empty() {
            let message = format!("the restart of csf took away {}", self.flushed.join(", "));
            let hint = "restart the programs that made them, such as fail2ban or docker";
            found.push(notes::note("csf-flushed", message, Some(hint)));
        }
        found
    }

    /// Reads csf.conf and what is ours in it.
    fn load(&mut self) -> Result<&State> {
        self.state = None;
        let state = self.read();
        if let Err(error) = &state {
            self.obstacle = Some(hindered(error));
        }
        Ok(self.state.insert(state?))
    }

    fn read(&self) -> Result<State> {
        let snapshot = file::read(&self.root)?;
        let path = snapshot.path().to_owned();
        let wrong = |problem: Problem| {
            let line = problem
                .line
                .map(|line| format!(":{line}"))
                .unwrap_or_default();
            let message = format!("{}{line}: {problem}", path.display());
            Error::new(ErrorKind::Refused, message).with_hint(
                "mend it: pasvsync writes nothing beside it, and csf must not be restarted before",
            )
        };
        let conf = Conf::parse(snapshot.bytes()).map_err(wrong)?;
        let lists = Lists::of(&conf).map_err(wrong)?;
        let ours = Ours::read(&self.root)?;
        Ok(State {
            path,
            conf,
            lists,
            ours,
        })
    }

    fn state(&self) -> Result<&State> {
        let missing = || Error::new(ErrorKind::Changed, "csf.conf was not read");
        self.state.as_ref().ok_or_else(missing)
    }

    fn known<'a>(&'a self, state: &'a State) -> Known<'a> {
        Known {
            root: &self.root,
            conf: &state.conf,
            lists: &state.lists,
            ours: &state.ours,
            outbound: self.options.outbound,
        }
    }

    /// What filters now; in an image nothing but the interfaces is known.
    fn now(&mut self, scope: Scope) -> Result<Ruleset> {
        match &mut self.kernel {
            Some(kernel) => kernel.ruleset(Layer::Runtime, scope),
            None => Ok(Ruleset {
                interfaces: netfilter::interfaces()?,
                ..Ruleset::default()
            }),
        }
    }

    fn edit_file(&mut self, edits: &[Edit]) -> Result<Vec<Edit>> {
        let state = self.state()?.clone();
        let from = state.conf.bytes().to_vec();
        let mut ours = state.ours.clone();
        let mut conf = state.conf.clone();
        let mut gone = Vec::new();
        for edit in edits {
            match edit {
                Edit::Item(edit) => {
                    let value = conf.value(edit.setting).unwrap_or_default();
                    let value = if edit.inserts {
                        ours.add(edit.setting, &edit.item);
                        items::added(value, &edit.item)
                    } else {
                        gone.push((edit.setting, edit.item.clone()));
                        items::removed(value, &edit.item).ok_or_else(changed)?
                    };
                    let bytes = conf.with(edit.setting, &value).ok_or_else(changed)?;
                    conf = Conf::parse(&bytes).map_err(|_| changed())?;
                }
                Edit::Restore { from, to } if *from == conf.bytes() => {
                    conf = Conf::parse(to).map_err(|_| changed())?;
                    let before = self.before.as_ref().filter(|(bytes, _)| bytes == to);
                    ours = before.map_or(ours, |(_, ours)| ours.clone());
                }
                Edit::Restore { .. } => return Err(changed()),
                Edit::Rule(_) | Edit::Restart(_) => {}
            }
        }
        let settings = Family::BOTH
            .map(|family| live::Direction::BOTH.map(|direction| direction.setting(family)));
        if !conf.differs_only_in(&state.conf, settings.as_flattened()) || Lists::of(&conf).is_err()
        {
            return Err(changed());
        }
        let to = conf.bytes().to_vec();
        // Before the file: what is listed and not there does no harm.
        ours.write()?;
        if let Err(error) = file::write(&self.root, &from, &to) {
            // The last step of a write can fail when the file is in its place already.
            let file = file::read(&self.root);
            if file.is_ok_and(|file| file.bytes() == from) {
                state.ours.write()?;
            }
            return Err(error);
        }
        for (setting, item) in gone {
            ours.remove(setting, &item);
        }
        ours.write()?;
        self.before
            .get_or_insert_with(|| (from.clone(), state.ours.clone()));
        self.load()?;
        Ok(vec![Edit::Restore { from: to, to: from }])
    }

    fn edit_rules(&mut self, ruleset: &Ruleset, edits: &[RuleEdit]) -> Result<Vec<Edit>> {
        file::wait_for_csf(&self.root)?;
        let mut ours = self.state()?.ours.clone();
        for edit in edits.iter().filter(|edit| edit.inserts) {
            ours.add(edit.place(), &items::item(edit.ports));
        }
        ours.write()?;
        let now = self.now(Scope::Everything)?;
        if now.generation != ruleset.generation || now.tables != ruleset.tables {
            return Err(changed());
        }
        let back = match rules::apply(edits) {
            Ok(back) => back,
            Err(error) => {
                // iptables may have made them, and failed then.
                let after = self.now(Scope::Everything);
                if after.is_ok_and(|after| after.tables == now.tables) {
                    self.state()?.ours.write()?;
                }
                return Err(error);
            }
        };
        let after = self.now(Scope::Everything)?;
        if let Err(error) = rules::verify(&now, &after, edits) {
            // By their text: where the chain moved, iptables finds them all the same.
            rules::apply(&back)?;
            self.state()?.ours.write()?;
            return Err(error);
        }
        for edit in edits.iter().filter(|edit| !edit.inserts) {
            ours.remove(edit.place(), &items::item(edit.ports));
        }
        ours.write()?;
        self.load()?;
        Ok(back
            .into_iter()
            .map(|edit| Edit::Rule(Box::new(edit)))
            .collect())
    }

    /// Has csf make its rules anew; when it fails, with csf.conf as it was before this run.
    fn restart(&mut self, ruleset: &Ruleset) -> Result<()> {
        self.restarted = true;
        let conf = self.state()?.conf.clone();
        let outcome = restart::restart(&self.root, &conf).and_then(|()| {
            let after = self.now(Scope::Everything)?;
            self.flushed = restart::flushed(ruleset, &after);
            let input = live::table(&after, Family::Ipv4).and_then(|table| table.chain("INPUT"));
            let base = input.and_then(|chain| chain.base.as_ref());
            if base.is_some_and(|base| base.policy == Policy::Drop) {
                return Ok(());
            }
            let message = "csf was restarted, and does not filter";
            Err(Error::new(ErrorKind::Refused, message))
        });
        let (Err(error), Some((before, ours))) = (&outcome, self.before.take()) else {
            return outcome;
        };
        file::write(&self.root, conf.bytes(), &before)?;
        ours.write()?;
        let conf = Conf::parse(&before).map_err(|_| changed())?;
        let again = match restart::restart(&self.root, &conf) {
            Ok(()) => "and csf runs with that".to_owned(),
            Err(second) => format!(
                "and csf does not start with that either ({second}): nothing may filter now"
            ),
        };
        let message = format!("{error}; csf.conf is as it was before, {again}");
        Err(Error::new(ErrorKind::NotProved, message))
    }
}

impl Backend for Csf {
    type Edit = Edit;

    fn name(&self) -> &'static str {
        "csf"
    }

    /// The file first: a rule that csf.conf does not know of would be gone with the next restart.
    fn layers(&self) -> Vec<Layer> {
        let running = self.kernel.as_ref().map(|_| Layer::Runtime);
        [Layer::Permanent].into_iter().chain(running).collect()
    }

    fn ruleset(&mut self, layer: Layer, scope: Scope) -> Result<Ruleset> {
        let now = self.now(scope)?;
        let state = self.load();
        if layer == Layer::Runtime {
            self.absent = state.map_or_else(|_| Vec::new(), |state| state.absent(Some(&now)));
            return Ok(now);
        }
        let state = state?.clone();
        self.absent = state.absent(self.kernel.is_some().then_some(&now));
        let ruleset = permanent::ruleset(&now, &self.root, &state.conf, &state.lists);
        self.live = now;
        Ok(ruleset)
    }

    fn settled(&self, layer: Layer, ruleset: &Ruleset, desired: &Desired) -> bool {
        let plan = self.plan(layer, ruleset, desired);
        plan.is_ok_and(|plan| plan.edits.is_empty() && plan.refusals.is_empty())
    }

    fn plan(&self, layer: Layer, ruleset: &Ruleset, desired: &Desired) -> Result<Plan<Edit>> {
        let running = if layer == Layer::Runtime {
            ruleset
        } else {
            &self.live
        };
        let hindrance = plan::conflict(running, desired).or_else(|| self.obstacle.clone());
        if let Some(mut refusal) = hindrance {
            refusal.ports = desired.ports.clone();
            return Ok(Plan {
                edits: Vec::new(),
                refusals: vec![refusal],
            });
        }
        let state = self.state()?;
        let known = self.known(state);
        if layer == Layer::Permanent {
            let plan = plan::items(known, &self.live, desired, &state.path);
            return Ok(Plan {
                edits: plan.edits.into_iter().map(Edit::Item).collect(),
                refusals: plan.refusals,
            });
        }
        let plan = plan::live_rules(known, ruleset, desired);
        let needs = !plan.edits.is_empty() || !plan.refusals.is_empty();
        if self.options.restart && !self.restarted && needs {
            return Ok(Plan {
                edits: vec![Edit::Restart(restart::command(&state.conf))],
                refusals: Vec::new(),
            });
        }
        let edits = plan
            .edits
            .into_iter()
            .map(|edit| Edit::Rule(Box::new(edit)));
        Ok(Plan {
            edits: edits.collect(),
            refusals: plan.refusals,
        })
    }

    fn remember(&self, _layer: Layer, _desired: &Desired, _proof: &Proof) {
        let Some(state) = self.state.as_ref().filter(|_| !self.absent.is_empty()) else {
            return;
        };
        let mut ours = state.ours.clone();
        for (place, item) in &self.absent {
            ours.remove(place, item);
        }
        if let Err(error) = ours.write() {
            tracing::debug!("the list of what is ours stays as it is: {error}");
        }
    }

    fn batches(&self, edits: &[Edit]) -> u32 {
        rules::batches(&of_rules(edits))
    }

    fn apply(&mut self, layer: Layer, ruleset: &Ruleset, edits: &[Edit]) -> Result<Vec<Edit>> {
        if layer == Layer::Permanent {
            let outcome = self.edit_file(edits);
            match &outcome {
                Err(error) if error.kind() != ErrorKind::Changed => {
                    self.obstacle = Some(hindered(error));
                }
                _ => {}
            }
            return outcome;
        }
        if edits.iter().any(|edit| matches!(edit, Edit::Restart(_))) {
            self.restart(ruleset)?;
            return Ok(Vec::new());
        }
        self.edit_rules(ruleset, &of_rules(edits))
    }
}

fn of_rules(edits: &[Edit]) -> Vec<RuleEdit> {
    let rules = edits.iter().filter_map(|edit| match edit {
        Edit::Rule(edit) => Some((**edit).clone()),
        _ => None,
    });
    rules.collect()
}

fn changed() -> Error {
    Error::new(
        ErrorKind::Changed,
        "csf.conf or the running rules changed since they were read",
    )
}

/// Why nothing is done at all: what csf.conf does not say would not outlast csf's next restart.
fn hindered(error: &Error) -> Refusal {
    Refusal {
        code: "csf-conf-not-editable",
        message: format!("csf.conf cannot be edited, so the running rules are left alone: {error}"),
        hint: error.hint().map(str::to_owned),
        ports: crate::model::ports::PortSet::EMPTY,
    }
}
