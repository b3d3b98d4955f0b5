//! Which firewall a command works with: the one in charge of this host, or the one that `--backend` names.
//!
//! A new firewall is one arm here.

use firewall::backend::{Backend as _, Desired, Layer, Scope};
use firewall::boot::{BootLayer, Note, WithBoot};
use firewall::csf::{Csf, Options};
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
    if let Some(mut csf) = csf(settings, root, &boot, findings)? {
        // That csf loads the rules at boot is no news: what it will load is judged.
        let notes = boot.boot().notes().iter();
        findings.extend(
            notes
                .filter(|note| note.code != "boot-managed")
                .map(self::note),
        );
        let outcome = reconcile::reconcile(&mut csf, desired, mode);
        findings.extend(csf.notes(desired).iter().map(self::note));
        return outcome;
    }
    findings.extend(boot.boot().notes().iter().map(note));
    // Another system's files are judged by themselves: what runs here is not its firewall.
    if settings.root.is_some() && boot.boot().loads() {
        return reconcile::reconcile(&mut boot, desired, mode);
    }
    let running = kernel(settings)?;
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

/// What filters now, as far as the packets of a new connection to this host can meet it.
pub(super) fn ruleset(settings: &Settings) -> anyhow::Result<Ruleset> {
    Ok(kernel(settings)?.ruleset(Layer::Runtime, Scope::InputPath)?)
}

/// The running packet filter, edited directly.
fn kernel(settings: &Settings) -> anyhow::Result<Kernel> {
    let mut kernel = Kernel::open()?;
    match settings.backend {
        BackendChoice::Auto | BackendChoice::Csf => {}
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
