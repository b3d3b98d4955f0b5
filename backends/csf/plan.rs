//! What to change in csf.conf, and which rules of csf's own form to put beside it.

use std::fmt;
use std::path::Path;

use super::conf::Conf;
use super::items::{self, item};
use super::live::{self, Direction, Form};
use super::ours::Ours;
use super::permanent::{self, Lists};
use super::rules::{self, RuleEdit, make, number_of};
use crate::backend::{Desired, Plan, Refusal};
use crate::detect;
use crate::model::ports::{PortRange, PortSet};
use crate::model::reach::{Family, Reach};
use crate::model::ruleset::{Chain, Ruleset};
use crate::proof;

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) root: &'a Path,
    pub(super) conf: &'a Conf,
    pub(super) lists: &'a Lists,
    pub(super) ours: &'a Ours,
    /// The outbound lists get the ports too.
    pub(super) outbound: bool,
}

/// An item of csf.conf that is put in or taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemEdit {
    pub(super) path: String,
    pub(super) setting: &'static str,
    pub(super) line: usize,
    pub(super) item: String,
    /// Put in, not taken out.
    pub(super) inserts: bool,
}

/// As in a diff.
impl fmt::Display for ItemEdit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            line,
            setting,
            item,
            ..
        } = self;
        let sign = if self.inserts { '+' } else { '-' };
        write!(formatter, "{path}:{line}: {setting} {sign} {item}")
    }
}

impl Known<'_> {
    /// The ranges that one list, or the rules made from it, should have.
    fn wanted(&self, desired: &Desired, family: Family, direction: Direction) -> Vec<PortRange> {
        let asked =
            desired.families.contains(&family) && (direction == Direction::In || self.outbound);
        if asked {
            desired.ports.ranges().to_vec()
        } else {
            Vec::new()
        }
    }

    /// What is ours in a place and no longer wanted.
    fn stale(&self, place: &str, wanted: &[PortRange]) -> Vec<&str> {
        let kept = |known: &str| wanted.iter().any(|range| item(*range) == known);
        self.ours
            .items(place)
            .into_iter()
            .filter(|known| !kept(known))
            .collect()
    }
}

/// The edits of csf.conf. `live` is what filters now.
pub(super) fn items(
    known: Known<'_>,
    live: &Ruleset,
    desired: &Desired,
    path: &Path,
) -> Plan<ItemEdit> {
    let mut conf = known.conf.clone();
    let mut edits: Vec<ItemEdit> = Vec::new();
    let mut edit = |conf: &mut Conf, setting: &'static str, item: &str, inserts: bool| {
        let value = conf.value(setting).unwrap_or_default();
        let value = if inserts {
            Some(items::added(value, item))
        } else {
            items::removed(value, item)
        };
        let edited = value.and_then(|value| Conf::parse(&conf.with(setting, &value)?).ok());
        let Some(edited) = edited else { return };
        *conf = edited;
        edits.push(ItemEdit {
            path: path.display().to_string(),
            setting,
            line: conf.line(setting).unwrap_or_default(),
            item: item.to_owned(),
            inserts,
        });
    };
    let both = Family::BOTH
        .into_iter()
        .flat_map(|family| Direction::BOTH.map(|direction| (family, direction)));
    for (family, direction) in both.clone() {
        let setting = direction.setting(family);
        for stale in known.stale(setting, &known.wanted(desired, family, direction)) {
            edit(&mut conf, setting, stale, false);
        }
    }
    let judged = |conf: &Conf| {
        let lists = Lists::of(conf).unwrap_or_else(|_| known.lists.clone());
        let ruleset = permanent::ruleset(live, known.root, conf, &lists);
        (ruleset, lists)
    };
    let (_, lists) = judged(&conf);
    for (family, direction) in both {
        let setting = direction.setting(family);
        let listed = lists.get(family, direction).ports();
        // Whatever else lets them in now (an accept typed by hand, say) may be gone after a boot. Where IPv6 is switched
        // off, the list has the ports for the day that it is switched on.
        for range in known.wanted(desired, family, direction) {
            let ports = PortSet::from(range);
            if !listed.covers(&ports) {
                edit(&mut conf, setting, &item(range), true);
            }
        }
    }
    let (ruleset, _) = judged(&conf);
    let refusals = closed(&ruleset, desired).into_iter();
    Plan {
        edits,
        refusals: refusals.map(|(_, refusal)| refusal).collect(),
    }
}

/// The edits of the live rules.
pub(super) fn live_rules(known: Known<'_>, ruleset: &Ruleset, desired: &Desired) -> Plan<RuleEdit> {
    let mut planner = Planner {
        known,
        working: ruleset.clone(),
        edits: Vec::new(),
    };
    let mut refusals = Vec::new();
    for family in Family::BOTH {
        if live::table(ruleset, family).is_none() {
            continue;
        }
        for direction in Direction::BOTH {
            planner.take_out(family, direction, desired);
        }
        for direction in Direction::BOTH {
            refusals.extend(planner.put_in(family, direction, desired));
        }
    }
    let unknown = |family| live::table(ruleset, family).is_none();
    for (refused, mut refusal) in closed(&planner.working, desired) {
        let known_already = refusals.iter().any(|other| other.ports == refusal.ports);
        if known_already {
            continue;
        }
        if Family::BOTH.into_iter().all(unknown) {
            refusal = not_csf(refused, refusal.ports);
        }
        refusals.push(refusal);
    }
    Plan {
        edits: planner.edits,
        refusals,
    }
}

struct Planner<'a> {
    known: Known<'a>,
    working: Ruleset,
    edits: Vec<RuleEdit>,
}

impl Planner<'_> {
    /// Takes out the rules that are ours and no longer wanted.
    fn take_out(&mut self, family: Family, direction: Direction, desired: &Desired) {
        let wanted = self.known.wanted(desired, family, direction);
        let place = rules::place(family, direction);
        let form = Form::of(self.known.conf, family, direction);
        let listed = self.known.lists.get(family, direction);
        let mine = self.known.ours.items(direction.setting(family));
        let known = self.known;
        for stale in known.stale(place, &wanted) {
            let Some(chain) = self.chain(family, direction) else {
                return;
            };
            let same = |rule| {
                form.ports_of(rule)
                    .is_some_and(|ports| item(ports) == stale)
            };
            let rules = chain.rules();
            let found = rules.iter().rposition(same);
            let count = rules.iter().filter(|rule| same(rule)).count();
            // Those of an admin's own items of the same text stay.
            let others = listed.iter().filter(|item| item.text == stale).count();
            let others = others.saturating_sub(usize::from(mine.contains(&stale)));
            if let Some(index) = found.filter(|_| count > others) {
                let ports = rules.get(index).and_then(|rule| form.ports_of(rule));
                let number = number_of(rules, index);
                self.edit(family, direction, &form, ports, number, false, count > 1);
            }
        }
    }

    /// Puts in the rules that are missing, where csf would. Gives the ports for which there is no such place.
    fn put_in(
        &mut self,
        family: Family,
        direction: Direction,
        desired: &Desired,
    ) -> Option<Refusal> {
        let form = Form::of(self.known.conf, family, direction);
        for range in self.known.wanted(desired, family, direction) {
            let ports = PortSet::from(range);
            let open = proof::trace(&self.working, family, &ports).with(Reach::Open);
            let rules = self.chain(family, direction).map(Chain::rules);
            let rules = rules.unwrap_or_default().iter();
            let there: PortSet = rules.filter_map(|rule| form.ports_of(rule)).collect();
            let inbound = direction == Direction::In;
            if there.covers(&ports) && (!inbound || open.covers(&ports)) {
                continue;
            }
            let chain = self.chain(family, direction)?;
            let mine = self.known.ours.items(direction.setting(family));
            let items = self.known.lists.get(family, direction);
            let listed = items.iter().any(|item| !mine.contains(&item.text.as_str()));
            // csf.conf may say something else by now than when csf made these rules.
            let alike = !form.block(chain).is_empty() || !listed;
            let Some(index) = form.place(chain).filter(|_| alike) else {
                if inbound && open.covers(&ports) {
                    continue;
                }
                return Some(not_csf(family, ports));
            };
            let number = number_of(chain.rules(), index);
            let before = self.working.clone();
            self.edit(family, direction, &form, Some(range), number, true, false);
            let reach = proof::trace(&self.working, family, &ports);
            let helps = !inbound || !reach.with(Reach::Open).is_empty();
            if !helps {
                self.working = before;
                self.edits.pop();
            }
        }
        None
    }

    fn chain(&self, family: Family, direction: Direction) -> Option<&Chain> {
        live::table(&self.working, family)?.chain(direction.chain())
    }

    #[expect(clippy::too_many_arguments, reason = "each is a field of the edit")]
    fn edit(
        &mut self,
        family: Family,
        direction: Direction,
        form: &Form,
        ports: Option<PortRange>,
        number: usize,
        inserts: bool,
        by_number: bool,
    ) {
        let filter = live::table(&self.working, family).map(|table| table.filter);
        let (Some(ports), Some(filter)) = (ports, filter) else {
            return;
        };
        let edit = RuleEdit {
            family,
            filter,
            direction,
            form: form.clone(),
            ports,
            number,
            inserts,
            by_number,
        };
        make(&mut self.working, &edit);
        self.edits.push(edit);
    }
}

/// What keeps ports closed although everything of csf's was done.
fn closed(ruleset: &Ruleset, desired: &Desired) -> Vec<(Family, Refusal)> {
    let mut refusals: Vec<(Family, Refusal)> = Vec::new();
    for family in &desired.families {
        for entry in proof::trace(ruleset, *family, &desired.ports).entries {
            if entry.reach == Reach::Open || entry.ports.is_empty() {
                continue;
            }
            let refusal = Refusal {
                code: "no-accept-opens",
                message: format!(
                    "{} stays {} over {family} whatever stands in csf.conf: {}",
                    entry.ports,
                    entry.reach.as_str(),
                    entry.because
                ),
                hint: Some("see what makes that rule: csf's other settings, csfpre.sh or csfpost.sh, or another program".to_owned()),
                ports: entry.ports,
            };
            refusals.push((*family, refusal));
        }
    }
    refusals
}

/// The chains are not as csf makes them.
fn not_csf(family: Family, ports: PortSet) -> Refusal {
    Refusal {
        code: "csf-chains-unknown",
        message: format!("the running rules of {family} are not as csf makes them from this csf.conf: no place for {ports} is known to be right"),
        hint: Some("restart csf yourself, or run again with --restart-csf: `csf -r` leaves every port open for about a second, and takes other programs' chains away".to_owned()),
        ports,
    }
}

/// Two firewalls that each flush the other's rules.
pub(super) fn conflict(ruleset: &Ruleset, desired: &Desired) -> Option<Refusal> {
    let firewalld = ruleset
        .tables
        .iter()
        .any(|table| detect::is_managed_by(table, "firewalld"));
    firewalld.then(|| Refusal {
        code: "csf-and-firewalld",
        message: "csf and firewalld both filter: csf refuses to start while firewalld runs, and flushes every rule then".to_owned(),
        hint: Some("decide for one: systemctl disable --now firewalld, or csf -x".to_owned()),
        ports: desired.ports.clone(),
    })
}
