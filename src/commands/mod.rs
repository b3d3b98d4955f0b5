//! The subcommands, one file each.

pub mod check;
pub mod demo;
pub mod explain;
mod firewalls;
pub mod generate;
pub mod remove;
pub mod set_range;
pub mod status;
pub mod sync;

use anyhow::Context as _;
use firewall::backend::Desired;
use firewall::host::lock::Lock;
use firewall::model::ports::PortSet;
use firewall::model::reach::Family;
use firewall::netfilter::interfaces;

use crate::beside;
use crate::cli::Command;
use crate::daemons::{self, Discovery, Request};
use crate::exit::ExitStatus;
use crate::exposure;
use crate::helpers;
use crate::history;
use crate::journal;
use crate::passive;
use crate::printer::Printer;
use crate::reconcile::Mode;
use crate::report::Report;
use crate::settings::Settings;

/// Runs a command.
///
/// # Errors
/// When it could not do its work; what it found is no error.
pub fn run(
    command: &Command,
    settings: &Settings,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    match command {
        Command::Sync => sync::run(settings, printer),
        Command::Check(arguments) => check::run(arguments, settings, printer),
        Command::Status => status::run(settings, printer),
        Command::Explain(arguments) => explain::run(arguments, settings, printer),
        Command::Remove => remove::run(settings, printer),
        Command::SetRange(arguments) => set_range::run(arguments, settings, printer),
        Command::Demo(arguments) => demo::run(arguments.stage, printer),
        Command::Generate(arguments) => generate::run(arguments, settings),
    }
}

/// Says that a command could not do its work, in the form that was asked for.
pub fn failed(command: &Command, error: &anyhow::Error, printer: &Printer) -> ExitStatus {
    if let Command::Check(arguments) = command {
        return check::failed(arguments, error, printer);
    }
    printer.failure(error);
    ExitStatus::Failure
}

/// Reads the daemons' configuration.
fn discover(settings: &Settings) -> anyhow::Result<Discovery> {
    let mut request = request(settings);
    if request.root.is_none() {
        let interfaces = interfaces().context("cannot see the addresses of this host")?;
        request.addresses = interfaces
            .into_iter()
            .flat_map(|interface| interface.addresses)
            .collect();
    }
    let mut discovery = daemons::discover(&request)?;
    daemons::about_running(&request, &mut discovery.readings)?;
    daemons::about_unread(&request, &mut discovery)?;
    Ok(discovery)
}

/// What to read, and where.
fn request(settings: &Settings) -> Request {
    Request {
        root: settings.root.clone(),
        overrides: settings.daemon_config.clone(),
        only: settings.daemon.clone(),
        environment: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        addresses: Vec::new(),
        instead: Vec::new(),
    }
}

/// Brings the firewall to what is wanted, or says what it would take.
fn reconcile(
    settings: &Settings,
    control: &PortSet,
    report: &mut Report,
    mode: Mode,
) -> anyhow::Result<()> {
    let desired = Desired {
        ports: report.wanted(),
        families: Family::BOTH.to_vec(),
        force: settings.force,
    };
    // Held until the outcome is known: two runs at once would plan on the same ruleset.
    let _lock = match mode {
        Mode::Check => None,
        Mode::Sync | Mode::Remove => Some(Lock::acquire()?),
    };
    // Before anything is edited: an error leaves nothing half done.
    let beside = if settings.root.is_none() && mode != Mode::Remove {
        beside::about_interfaces().context("cannot see what filters at the interfaces")?
    } else {
        None
    };
    let outcome = firewalls::reconcile(settings, &desired, control, mode, &mut report.findings)?;
    let root = settings.root();
    match mode {
        Mode::Sync if outcome.changed => history::record(root),
        Mode::Remove => history::forget(root),
        Mode::Sync => history::tidy(root),
        Mode::Check => {}
    }
    let changed = outcome.changed;
    let helper = outcome.helper.clone();
    let neighbours = outcome.neighbours.clone();
    report.add(outcome);
    report.announced = changed && journal::announce(report);
    let finding = helpers::only_helper(report, helper.as_deref(), root);
    report.findings.extend(finding);
    report.findings.extend(beside);
    if mode != Mode::Remove {
        report.findings.extend(neighbours);
    }
    Ok(())
}

/// Reads the daemons, then the firewall, and does what `mode` says. The firewall is left alone, and not even looked at,
/// when a daemon refuses its own configuration, or has one that was not meant so or is not found: what it will want once
/// that is mended is anybody's guess.
fn survey(settings: &Settings, mode: Mode) -> anyhow::Result<Report> {
    let Discovery { readings, findings } = discover(settings)?;
    let mut report = Report::new(&readings, findings, settings.control);
    if settings.root.is_none() {
        let services = exposure::about_services(&readings, settings.refuse_exposed)
            .context("cannot see what listens on the passive ports")?;
        report.findings.extend(services);
    }
    if !report.withheld(settings.force) {
        reconcile(settings, &passive::control(&readings), &mut report, mode)?;
    }
    Ok(report)
}

/// Says that what was opened because of a flag alone is closed by the next run without it: that of cron, or a unit.
fn about_control(report: &Report, settings: &Settings, printer: Printer) {
    if settings.control_for_now && report.changed {
        printer.hint(&format!(
            "the next `pasvsync sync` without --control closes the control ports that pasvsync has opened; \
             `control = true` in {} keeps them open",
            settings.file().display()
        ));
    }
}
