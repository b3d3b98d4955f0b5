//! Which firewall a command works with: the one in charge of this host, or the one that `--backend` names.
//!
//! A new firewall is one arm here.

use firewall::backend::{Backend as _, Desired, Layer, Scope};
use firewall::boot::{BootLayer, Note, WithBoot};
use firewall::kernel::Kernel;
use firewall::model::ruleset::Ruleset;

use crate::cli::BackendChoice;
use crate::findings::Finding;
use crate::reconcile::{self, BackendOutcome, Mode};
use crate::settings::Settings;

/// Brings the firewall in charge to what is wanted, or says what it would take; what is to be said of it goes into
/// `findings`.
pub(super) fn reconcile(
    settings: &Settings,
    desired: &Desired,
    mode: Mode,
    findings: &mut Vec<Finding>,
) -> anyhow::Result<BackendOutcome> {
    let root = settings.root();
    let mut boot = BootLayer::open(root, settings.fresh);
    findings.extend(boot.boot().notes().iter().map(note));
    // Another system's files are judged by themselves: what runs here is not its firewall.
    if settings.root.is_some() && boot.boot().loads() {
        return reconcile::reconcile(&mut boot, desired, mode);
    }
    let running = kernel(settings)?;
    reconcile::reconcile(&mut WithBoot { running, boot }, desired, mode)
}

/// What filters now, as far as the packets of a new connection to this host can meet it.
pub(super) fn ruleset(settings: &Settings) -> anyhow::Result<Ruleset> {
    Ok(kernel(settings)?.ruleset(Layer::Runtime, Scope::InputPath)?)
}

/// The running packet filter, edited directly.
fn kernel(settings: &Settings) -> anyhow::Result<Kernel> {
    let mut kernel = Kernel::open()?;
    match settings.backend {
        BackendChoice::Auto => {}
        BackendChoice::Iptables => kernel.require("iptables")?,
        BackendChoice::Nftables => kernel.require("nftables")?,
    }
    Ok(kernel)
}

/// What the firewall library has to say.
fn note(note: &Note) -> Finding {
    let finding = Finding::new(note.code, note.message.clone());
    match &note.hint {
        Some(hint) => finding.with_hint(hint.clone()),
        None => finding,
    }
}
