//! Which firewall a command works with: the one in charge of this host, or the one that `--backend` names.
//!
//! A new firewall is one arm here.

use std::path::Path;

use firewall::backend::{Backend as _, Desired, Layer, Scope};
use firewall::boot::{BootLayer, Note, WithBoot};
use firewall::firewalld::{Choice, Files, Firewalld};
use firewall::kernel::Kernel;
use firewall::model::ports::{PortRange, PortSet};
use firewall::model::ruleset::Ruleset;

use crate::cli::BackendChoice;
use crate::findings::Finding;
use crate::reconcile::{self, BackendOutcome, Mode};
use crate::settings::Settings;

/// The note that another program loads the rules at boot; it says nothing where just that is judged.
const MANAGED: &str = "boot-managed";

/// Brings the firewall in charge to what is wanted, or says what it would take; what is to be said of it goes into
/// `findings`.
pub(super) fn reconcile(
    settings: &Settings,
    desired: &Desired,
    control: &PortSet,
    mode: Mode,
    findings: &mut Vec<Finding>,
) -> anyhow::Result<BackendOutcome> {
    let root = settings.root.as_deref().unwrap_or(Path::new("/"));
    let mut boot = BootLayer::open(root, settings.fresh);
    let notes = boot.boot().notes().iter();
    let notes = notes.filter(|it| it.code != MANAGED).map(note);
    if let Some(mut files) = files(settings, &boot, control) {
        findings.extend(notes);
        return reconcile::reconcile(&mut files, desired, mode);
    }
    if let Some(mut firewalld) = firewalld(settings, control)? {
        findings.extend(notes);
        let outcome = reconcile::reconcile(&mut firewalld, desired, mode)?;
        if mode != Mode::Remove {
            findings.extend(firewalld.notes().iter().map(note));
        }
        return Ok(outcome);
    }
    findings.extend(boot.boot().notes().iter().map(note));
    // Another system's files are judged by themselves: what runs here is not its firewall.
    if settings.root.is_some() && boot.boot().loads() {
        return reconcile::reconcile(&mut boot, desired, mode);
    }
    let running = kernel(settings)?;
    reconcile::reconcile(&mut WithBoot { running, boot }, desired, mode)
}

/// What filters now, as far as the packets of a new connection to this host can meet it.
pub(super) fn ruleset(settings: &Settings, control: &PortSet) -> anyhow::Result<Ruleset> {
    if let Some(mut firewalld) = firewalld(settings, control)? {
        return Ok(firewalld.ruleset(Layer::Runtime, Scope::InputPath)?);
    }
    Ok(kernel(settings)?.ruleset(Layer::Runtime, Scope::InputPath)?)
}

/// The files of another system whose boot firewalld is in charge of.
fn files(settings: &Settings, boot: &BootLayer, control: &PortSet) -> Option<Files> {
    let root = settings.root.as_ref()?;
    let meant = match settings.backend {
        BackendChoice::Auto => boot.boot().managed() == Some("firewalld"),
        BackendChoice::Firewalld => true,
        BackendChoice::Iptables | BackendChoice::Nftables => false,
    };
    meant.then(|| Files::open(root, choice(settings, control)))
}

/// Which zones are meant.
fn choice(settings: &Settings, control: &PortSet) -> Choice {
    Choice {
        zones: settings.zones.clone(),
        matters: control.clone(),
        // Beside its port it has the helper, which lets data connections in where nothing is encrypted.
        services: vec![("ftp".to_owned(), PortRange::single(21).into())],
    }
}

/// The firewalld that is running here, if it is the one to work with.
fn firewalld(settings: &Settings, control: &PortSet) -> anyhow::Result<Option<Firewalld>> {
    let wanted = match settings.backend {
        BackendChoice::Auto => settings.root.is_none(),
        BackendChoice::Firewalld => true,
        BackendChoice::Iptables | BackendChoice::Nftables => false,
    };
    let found = if wanted {
        Firewalld::find(choice(settings, control))?
    } else {
        None
    };
    // Zones are nobody else's.
    let needed = settings.backend == BackendChoice::Firewalld || !settings.zones.is_empty();
    if found.is_none() && needed {
        return Err(Firewalld::missing().into());
    }
    Ok(found)
}

/// The running packet filter, edited directly.
fn kernel(settings: &Settings) -> anyhow::Result<Kernel> {
    let mut kernel = Kernel::open()?;
    match settings.backend {
        // Without a firewalld that runs, this is not reached when it is asked for.
        BackendChoice::Auto | BackendChoice::Firewalld => {}
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
