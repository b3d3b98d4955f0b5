//! Which firewall a command works with: the one in charge of this host, or the one that `--backend` names.
//!
//! A new firewall is one arm here.

use std::path::Path;

use firewall::backend::{Backend, Desired, Layer, Scope};
use firewall::boot::{BOOT_UNIT, BootLayer, Note, WithBoot};
use firewall::csf::{Csf, Options};
use firewall::firewalld::{Choice, Files, Firewalld};
use firewall::kernel::Kernel;
use firewall::model::ports::{PortRange, PortSet};
use firewall::model::ruleset::Ruleset;

use crate::cli::BackendChoice;
use crate::failure::Failure;
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
    let boot = BootLayer::open(settings.root(), settings.fresh);
    let doubt = boot.boot().doubt().map(ToOwned::to_owned);
    let asked = mode != Mode::Remove && settings.root.is_none();
    let left = asked.then(|| boot.boot().left_to_unit()).flatten();
    let mut outcome = in_charge(settings, desired, control, mode, boot, findings)?;
    let told = |findings: &mut Vec<Finding>, reason: &str| {
        findings.retain(|finding| finding.message != reason);
    };
    if let Some(reason) = left.filter(|_| reconcile::leave_to_unit(&mut outcome, mode)) {
        told(findings, &reason);
        let message = format!("{reason}; the boot unit opens the ports behind that");
        findings.push(Finding::new("boot-unit", message));
    } else if let Some(doubt) = doubt.filter(|doubt| reconcile::doubt(&mut outcome, doubt)) {
        told(findings, &doubt);
    }
    Ok(outcome)
}

/// The same, with what is known of the next boot.
fn in_charge(
    settings: &Settings,
    desired: &Desired,
    control: &PortSet,
    mode: Mode,
    boot: BootLayer,
    findings: &mut Vec<Finding>,
) -> anyhow::Result<BackendOutcome> {
    let root = settings.root();
    let notes = boot.boot().notes().iter();
    // That csf or firewalld loads the rules at boot is no news where what it will load is judged.
    let notes: Vec<Finding> = notes.filter(|it| it.code != MANAGED).map(note).collect();
    if let Some(mut csf) = csf(settings, root, &boot, findings)? {
        findings.extend(notes);
        let outcome = reconcile::reconcile(&mut csf, desired, mode);
        findings.extend(csf.notes(desired).iter().map(note));
        return outcome;
    }
    if files_are_meant(settings, &boot) {
        findings.extend(notes);
        let mut files = Files::open(root, choice(settings, control), boot);
        return reconcile::reconcile(&mut files, desired, mode);
    }
    if let Some(firewalld) = firewalld(settings, control)? {
        findings.extend(notes);
        let mut firewalld = firewalld.with_boot(boot);
        let outcome = reconcile::reconcile(&mut firewalld, desired, mode)?;
        if mode != Mode::Remove {
            findings.extend(firewalld.notes().iter().map(note));
        }
        findings.extend(firewalld.leftovers(desired).iter().map(note));
        return Ok(outcome);
    }
    if let Some(finding) = stopped(settings, &boot, mode) {
        findings.extend(notes);
        findings.push(finding);
        let files = Files::open(root, choice(settings, control), boot);
        let running = kernel(settings)?;
        let boot = files;
        return reconcile::reconcile(&mut WithBoot { running, boot }, desired, mode);
    }
    findings.extend(boot.boot().notes().iter().map(note));
    // Another system's files are judged by themselves: what runs here is not its firewall.
    let managed = boot.boot().managed().is_some();
    if settings.root.is_some() && (boot.boot().loads() || managed) {
        // In a program's own files nothing is ours.
        let mut boot = if mode == Mode::Remove {
            boot
        } else {
            boot.alone()
        };
        return reconcile::reconcile(&mut boot, desired, mode);
    }
    let mut running = kernel(settings)?;
    // Where boot reads no file none can hold anything of ours.
    if mode == Mode::Remove && boot.boot().runs_only_scripts() {
        return reconcile::reconcile(&mut running, desired, mode);
    }
    reconcile::reconcile(&mut WithBoot { running, boot }, desired, mode)
}

/// CSF, where it is in charge, or named by `--backend`.
fn csf(
    settings: &Settings,
    root: &Path,
    boot: &BootLayer,
    findings: &mut Vec<Finding>,
) -> anyhow::Result<Option<Csf>> {
    let options = Options {
        outbound: settings.csf_tcp_out,
        restart: settings.restart_csf,
    };
    let named = settings.backend == BackendChoice::Csf;
    if !named && settings.backend != BackendChoice::Auto {
        return Ok(None);
    }
    let Some(csf) = Csf::find(root, options)? else {
        anyhow::ensure!(
            !named,
            "CSF is not installed: there is no /etc/csf/csf.conf"
        );
        return Ok(None);
    };
    if csf.is_disabled() {
        let message = "csf is installed and switched off (/etc/csf/csf.disable is there)";
        anyhow::ensure!(
            !named,
            "{message}; pasvsync never switches it on: `csf -e` does"
        );
        findings.push(Finding::new("csf-disabled", message));
        return Ok(None);
    }
    let at_boot = boot.boot().managed() == Some("csf");
    if settings.root.is_some() {
        return Ok((named || at_boot).then_some(csf));
    }
    let mut kernel = Kernel::open()?;
    let made = Csf::made(&kernel.ruleset(Layer::Runtime, Scope::InputPath)?);
    let in_charge = named || made || at_boot || csf.has_given_up();
    Ok(in_charge.then(|| csf.running(kernel)))
}

/// What filters now, as far as the packets of a new connection to this host can meet it, or after the next boot. Of another
/// system's files only the latter is known, as everywhere: the layer that it is comes with it.
pub(super) fn ruleset(
    settings: &Settings,
    control: &PortSet,
    layer: Layer,
) -> anyhow::Result<(Layer, Ruleset)> {
    let boot = BootLayer::open(settings.root(), settings.fresh);
    let doubt = boot.boot().doubt().map(ToOwned::to_owned);
    let (layer, ruleset) = ruleset_in_charge(settings, control, layer, boot)?;
    match doubt.filter(|_| layer == Layer::Permanent) {
        Some(doubt) => {
            let message = format!("nothing can be explained of the next boot: {doubt}");
            Err(Failure::new(message, BOOT_UNIT).into())
        }
        None => Ok((layer, ruleset)),
    }
}

/// The same, whatever else loads rules at boot.
fn ruleset_in_charge(
    settings: &Settings,
    control: &PortSet,
    layer: Layer,
    boot: BootLayer,
) -> anyhow::Result<(Layer, Ruleset)> {
    let root = settings.root();
    if let Some(mut csf) = csf(settings, root, &boot, &mut Vec::new())? {
        return ruleset_of(&mut csf, layer);
    }
    if files_are_meant(settings, &boot) {
        return ruleset_of(
            &mut Files::open(root, choice(settings, control), boot),
            layer,
        );
    }
    if let Some(firewalld) = firewalld(settings, control)? {
        return ruleset_of(&mut firewalld.with_boot(boot), layer);
    }
    if stopped(settings, &boot, Mode::Check).is_some() {
        let boot = Files::open(root, choice(settings, control), boot);
        let running = kernel(settings)?;
        return ruleset_of(&mut WithBoot { running, boot }, layer);
    }
    if settings.root.is_some() && (boot.boot().loads() || boot.boot().managed().is_some()) {
        return ruleset_of(&mut boot.alone(), layer);
    }
    let running = kernel(settings)?;
    ruleset_of(&mut WithBoot { running, boot }, layer)
}

/// The ruleset of a layer, or of the only one there is where it is about now.
fn ruleset_of<B: Backend>(backend: &mut B, layer: Layer) -> anyhow::Result<(Layer, Ruleset)> {
    let layers = backend.layers();
    let layer = match layers.as_slice() {
        [only] if layer == Layer::Runtime => *only,
        known if known.contains(&layer) => layer,
        _ => {
            let message = "the next boot is not judged here, so nothing can be explained of it";
            return Err(Failure::new(message, "`pasvsync status` says why").into());
        }
    };
    let scope = match layer {
        Layer::Runtime => Scope::InputPath,
        Layer::Permanent => Scope::Everything,
    };
    Ok((layer, backend.ruleset(layer, scope)?))
}

/// Whether a firewall is named by `--backend`, or none is and it is the one at hand.
fn is_meant(settings: &Settings, firewall: BackendChoice, at_hand: bool) -> bool {
    settings.backend == firewall || settings.backend == BackendChoice::Auto && at_hand
}

/// Whether it is about the files of another system whose boot firewalld is in charge of.
fn files_are_meant(settings: &Settings, boot: &BootLayer) -> bool {
    let managed = boot.boot().managed() == Some("firewalld");
    settings.root.is_some() && is_meant(settings, BackendChoice::Firewalld, managed)
}

/// Whether firewalld does not run here and the next boot starts it, or something of ours would be left in its files: then
/// they are worked with, beside what runs. Says so.
fn stopped(settings: &Settings, boot: &BootLayer, mode: Mode) -> Option<Finding> {
    if settings.root.is_some() || settings.backend != BackendChoice::Auto {
        return None;
    }
    let left = mode == Mode::Remove && Files::have_ours(settings.root());
    // Elsewhere, as in a container without an init, nothing tells that what is installed will ever run.
    let boot = boot.boot();
    let enabled = boot.managed() == Some("firewalld") && boot.systemd_runs();
    (enabled || left).then(|| {
        let message = "firewalld is not running: what it will open is judged from its files, and edited there";
        Finding::new("firewalld-stopped", message)
    })
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
    let found = if is_meant(settings, BackendChoice::Firewalld, settings.root.is_none()) {
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
        // Without a csf or a firewalld, this is not reached when it is asked for.
        BackendChoice::Auto | BackendChoice::Csf | BackendChoice::Firewalld => {}
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
