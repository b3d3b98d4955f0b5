//! Read, judge, plan, apply, verify, undo: the one loop behind `sync`, `check`, `status` and `remove`.

use anyhow::Context as _;
use firewall::backend::{Backend, Desired, Layer, Plan, Proof, Refusal, Scope};
use firewall::model::ports::PortSet;
use firewall::model::reach::{Family, Reach, ReachEntry, ReachMap};
use firewall::model::ruleset::Ruleset;
use firewall::{Error, ErrorKind, boot, proof};

use crate::findings::Finding;
use crate::neighbours;

/// What was found, and done, in one layer of one backend.
#[derive(Clone, Debug)]
pub struct LayerOutcome {
    /// The layer.
    pub layer: Layer,
    /// Every wanted port is open and nothing of ours is left over.
    pub in_sync: bool,
    /// The verdicts on the wanted ports, one map a family; after the edits when they were made.
    pub reach: Vec<ReachMap>,
    /// The edits, as an admin would type them: made by `sync`, only proposed by `check`.
    pub edits: Vec<String>,
    /// Why ports stay closed that no edit opens.
    pub refusals: Vec<Refusal>,
    /// A rule that assigns the connection tracking helper for FTP.
    pub helper: Option<String>,
    /// That nobody can look up this host's IPv6 addresses now.
    pub neighbours: Option<Finding>,
}

impl LayerOutcome {
    /// A layer that nothing is said of but its verdicts.
    fn new(layer: Layer, reach: Vec<ReachMap>) -> Self {
        Self {
            layer,
            in_sync: false,
            reach,
            edits: Vec::new(),
            refusals: Vec::new(),
            helper: None,
            neighbours: None,
        }
    }

    fn all_open(&self) -> bool {
        self.reach.iter().all(ReachMap::all_open)
    }
}

/// What was found, and done, in one backend.
#[derive(Clone, Debug)]
pub struct BackendOutcome {
    /// The backend's name.
    pub backend: &'static str,
    /// Its layers.
    pub layers: Vec<LayerOutcome>,
    /// Whether anything was written.
    pub changed: bool,
    /// Whether any base chain filters new connections to this host at all.
    pub filters: bool,
    /// A rule that assigns the connection tracking helper for FTP.
    pub helper: Option<String>,
    /// That nobody can look up this host's IPv6 addresses now.
    pub neighbours: Option<Finding>,
}

/// How often a run starts over because the ruleset moved under it.
const ATTEMPTS: usize = 10;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Say what it would take; write nothing.
    Check,
    /// Make it so, and prove it.
    Sync,
    /// Take away everything that is ours.
    Remove,
}

/// Brings every layer of a backend to what is desired, or says what it would take.
///
/// # Errors
/// When a layer cannot be read or written, or when an edit was made and its proof failed: then the edit has been
/// undone, and the message says what holds.
pub fn reconcile<B: Backend>(
    backend: &mut B,
    desired: &Desired,
    mode: Mode,
) -> anyhow::Result<BackendOutcome> {
    let nothing = Desired {
        ports: PortSet::EMPTY,
        ..desired.clone()
    };
    let desired = if mode == Mode::Remove {
        &nothing
    } else {
        desired
    };
    let mut outcome = BackendOutcome {
        backend: "",
        layers: Vec::new(),
        changed: false,
        filters: false,
        helper: None,
        neighbours: None,
    };
    for layer in backend.layers() {
        let (found, filters) = match reconcile_layer(backend, layer, desired, mode) {
            Err(error) if layer == Layer::Permanent => unjudged(&error, desired).ok_or(error)?,
            result => result?,
        };
        outcome.changed |= mode != Mode::Check && !found.edits.is_empty();
        // Whether anything filters now, where that is known; the next boot is another matter.
        if layer == Layer::Runtime || outcome.layers.is_empty() {
            outcome.filters = filters;
        }
        outcome.helper = outcome.helper.or_else(|| found.helper.clone());
        outcome.neighbours = outcome.neighbours.or_else(|| found.neighbours.clone());
        outcome.layers.push(found);
    }
    look_again(backend, desired, mode, &mut outcome)?;
    // Whichever was edited first.
    outcome.layers.sort_by_key(|found| found.layer);
    // Known once its ruleset was read.
    outcome.backend = backend.name();
    Ok(outcome)
}

/// After a boot file was edited: a firewall that was reloaded between the two edits has loaded the file as it was.
fn look_again<B: Backend>(
    backend: &mut B,
    desired: &Desired,
    mode: Mode,
    outcome: &mut BackendOutcome,
) -> anyhow::Result<()> {
    let layers = &mut outcome.layers;
    let written = |found: &LayerOutcome| found.layer == Layer::Permanent && !found.edits.is_empty();
    if mode == Mode::Check || !layers.iter().any(written) {
        return Ok(());
    }
    let mut layers = layers.iter_mut();
    let Some(running) = layers.find(|found| found.layer == Layer::Runtime) else {
        return Ok(());
    };
    let (again, _) = reconcile_layer(backend, Layer::Runtime, desired, mode)?;
    let made = std::mem::take(&mut running.edits);
    outcome.changed |= !again.edits.is_empty();
    *running = LayerOutcome {
        edits: made
            .into_iter()
            .chain(again.edits.iter().cloned())
            .collect(),
        ..again
    };
    Ok(())
}

/// A boot configuration that its own loader rejects, or that cannot be told or written, is a finding of its layer: the
/// running firewall may still be mended.
fn unjudged(error: &anyhow::Error, desired: &Desired) -> Option<(LayerOutcome, bool)> {
    let (reach, refusal) = boot::unjudged(error.downcast_ref()?, desired);
    let mut outcome = LayerOutcome::new(Layer::Permanent, reach);
    outcome.refusals.push(refusal);
    Some((outcome, true))
}

/// Nothing is proved of the next boot where something else loads rules beside what was judged: `reason` says what. Says
/// whether there was anything to doubt.
pub fn doubt(outcome: &mut BackendOutcome, reason: &str) -> bool {
    let mut doubted = false;
    let layers = outcome.layers.iter_mut();
    for layer in layers.filter(|layer| layer.layer == Layer::Permanent) {
        let mut ports = PortSet::EMPTY;
        let entries = layer.reach.iter_mut().flat_map(|map| &mut map.entries);
        for entry in entries.filter(|entry| entry.reach == Reach::Open) {
            entry.reach = Reach::Unknown;
            reason.clone_into(&mut entry.because);
            ports = ports.union(&entry.ports);
        }
        if !ports.is_empty() {
            doubted = true;
            layer.in_sync = false;
            layer.refusals.push(boot::beside(reason, ports));
        }
    }
    doubted
}

/// Where the boot unit will open the ports, behind whatever loads rules that cannot be told beforehand, the next boot is
/// not judged. Says whether all that is wrong with it is that.
pub fn leave_to_unit(outcome: &mut BackendOutcome, mode: Mode) -> bool {
    let mut layers = outcome.layers.iter_mut();
    let Some(layer) = layers.find(|layer| layer.layer == Layer::Permanent) else {
        return false;
    };
    let mut refusals = layer.refusals.iter();
    if !refusals.all(|refusal| refusal.code == "boot-file-not-editable") {
        return false;
    }
    layer.refusals.clear();
    layer.reach.clear();
    // What is ours in a file is kept in step all the same.
    layer.in_sync = mode != Mode::Check || layer.edits.is_empty();
    true
}

fn reconcile_layer<B: Backend>(
    backend: &mut B,
    layer: Layer,
    desired: &Desired,
    mode: Mode,
) -> anyhow::Result<(LayerOutcome, bool)> {
    if mode != Mode::Remove
        && let Some(proof) = backend.remembered(layer, desired)
    {
        let layer_name = layer.as_str();
        tracing::debug!("nothing changed since the {layer_name} layer was proved");
        let mut outcome = LayerOutcome::new(layer, proof.reach);
        outcome.in_sync = true;
        return Ok((outcome, proof.filters));
    }
    let mut made: Vec<String> = Vec::new();
    let mut proved: Option<Judged> = None;
    for _ in 0..ATTEMPTS {
        let Judged { ruleset, reach } = match proved.take() {
            Some(proved) => proved,
            None => Judged::of(backend.ruleset(layer, first_scope(mode))?, desired),
        };
        let filters = filters(&ruleset);
        let mut outcome = LayerOutcome::new(layer, reach);
        outcome.helper = proof::helper(&ruleset, "ftp");
        if layer == Layer::Runtime && desired.families.contains(&Family::Ipv6) {
            outcome.neighbours = neighbours::about_rules(&ruleset);
        }
        if outcome.all_open() && backend.settled(layer, &ruleset, desired) {
            if mode != Mode::Check {
                let reach = outcome.reach.clone();
                backend.remember(layer, desired, &Proof { reach, filters });
            }
            outcome.in_sync = true;
            outcome.edits = made;
            return Ok((outcome, filters));
        }
        let first = ruleset.generation;
        let ruleset = backend.ruleset(layer, Scope::Everything)?;
        // What was judged may not be what the plan will be made for.
        if first.is_none() || ruleset.generation != first {
            outcome.reach = judge(&ruleset, desired);
        }
        let plan = backend.plan(layer, &ruleset, desired)?;
        let planned = plan.edits.iter().map(ToString::to_string);
        if mode == Mode::Check || plan.edits.is_empty() {
            outcome.in_sync =
                outcome.all_open() && plan.edits.is_empty() && plan.refusals.is_empty();
            outcome.edits = made.into_iter().chain(planned).collect();
            outcome.refusals = plan.refusals;
            return Ok((outcome, filters));
        }
        match edit(backend, layer, &ruleset, &plan, desired) {
            Ok(after) => {
                made.extend(planned);
                // What is there now has just been read and judged; `remove` looks further.
                proved = Some(after).filter(|_| first_scope(mode) == Scope::InputPath);
            }
            Err(error) if moved(&error) => {
                tracing::debug!("the ruleset moved under the edit, starting over: {error}");
            }
            Err(error) => {
                let refusal = not_written(&error, layer, desired).ok_or(error)?;
                outcome.edits = made;
                outcome.refusals = plan.refusals;
                outcome.refusals.push(refusal);
                return Ok((outcome, filters));
            }
        }
    }
    anyhow::bail!(
        "the {} ruleset kept changing while it was edited, {ATTEMPTS} times in a row",
        backend.name()
    )
}

/// That the file that boot loads could not be written, which leaves it as it was.
fn not_written(error: &anyhow::Error, layer: Layer, desired: &Desired) -> Option<Refusal> {
    let refusal = boot::not_written(error.downcast_ref()?, desired);
    refusal.filter(|_| layer == Layer::Permanent)
}

/// A ruleset and its verdicts.
struct Judged {
    ruleset: Ruleset,
    reach: Vec<ReachMap>,
}

impl Judged {
    fn of(ruleset: Ruleset, desired: &Desired) -> Self {
        let reach = judge(&ruleset, desired);
        Self { ruleset, reach }
    }
}

/// Makes the edits of a plan and proves them, or undoes them. Returns what is there then.
fn edit<B: Backend>(
    backend: &mut B,
    layer: Layer,
    ruleset: &Ruleset,
    plan: &Plan<B::Edit>,
    desired: &Desired,
) -> anyhow::Result<Judged> {
    let undo = backend.apply(layer, ruleset, &plan.edits)?;
    for edit in &plan.edits {
        tracing::info!("{edit}");
    }
    let after = Judged::of(backend.ruleset(layer, Scope::InputPath)?, desired);
    let refused = plan
        .refusals
        .iter()
        .fold(PortSet::EMPTY, |sum, refusal| sum.union(&refusal.ports));
    let unproved = after.reach.iter().find_map(|map| {
        let closed =
            |entry: &&ReachEntry| entry.reach != Reach::Open && !refused.covers(&entry.ports);
        Some((map.family, map.entries.iter().find(closed)?))
    });
    let Some((family, entry)) = unproved else {
        return Ok(after);
    };
    // Somebody else's edit came in between: what is there now is judged and planned anew.
    let ours = ruleset
        .generation
        .map(|generation| generation.wrapping_add(backend.batches(&plan.edits)));
    if after.ruleset.generation != ours {
        return Err(Error::new(ErrorKind::Changed, "another edit came in between").into());
    }
    backend.apply(layer, &after.ruleset, &undo).context(
        "the edit did not open the ports, and undoing it failed: the new rules are still there",
    )?;
    anyhow::bail!(
        "the edit was undone, since {} stayed {} over {family}: {}",
        entry.ports,
        entry.reach.as_str(),
        entry.because
    )
}

fn moved(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<Error>()
        .is_some_and(|error| error.kind() == ErrorKind::Changed)
}

/// `remove` also looks where no packet of the path comes by: a rule of ours may have been cut off.
fn first_scope(mode: Mode) -> Scope {
    match mode {
        Mode::Check | Mode::Sync => Scope::InputPath,
        Mode::Remove => Scope::Everything,
    }
}

fn filters(ruleset: &Ruleset) -> bool {
    Family::BOTH
        .iter()
        .any(|family| proof::filters_input(ruleset, *family))
}

fn judge(ruleset: &Ruleset, desired: &Desired) -> Vec<ReachMap> {
    let families = desired.families.iter();
    families
        .map(|family| proof::trace(ruleset, *family, &desired.ports))
        .collect()
}
