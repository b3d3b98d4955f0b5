//! `pasvsync check`: what `sync` would do, without doing it.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use tempfile::NamedTempFile;

use crate::cli::{Check, OutputForm};
use crate::exit::{ExitStatus, Health};
use crate::failure::Failure;
use crate::history;
use crate::printer::Printer;
use crate::reconcile::Mode;
use crate::report::{Report, nagios, prometheus, text};
use crate::settings::Settings;

/// Runs the command.
///
/// # Errors
/// When the daemons or the firewall cannot be read, or the result cannot be written.
pub fn run(
    arguments: &Check,
    settings: &Settings,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let start = Instant::now();
    let report = super::survey(settings, Mode::Check)?;
    if printer.form() == OutputForm::Nagios {
        let (health, line) = nagios::line(&report);
        printer.text(&line)?;
        return Ok(ExitStatus::Plugin(health));
    }
    printer.findings(&report, false);
    match printer.form() {
        OutputForm::Json => printer.object(&report)?,
        OutputForm::Prometheus => {
            let last_change = history::last_change(settings.root());
            let metrics = prometheus::metrics(&report, start.elapsed(), last_change);
            deliver(arguments, &metrics, *printer)?;
        }
        OutputForm::Text | OutputForm::Nagios => {
            let text = text::check(&report, settings.diff, printer.quiet(), printer.style());
            printer.text(&text)?;
        }
    }
    Ok(status(&report, settings.force))
}

fn status(report: &Report, force: bool) -> ExitStatus {
    if report.withheld(force) {
        ExitStatus::Failure
    } else if report.in_sync {
        ExitStatus::Success
    } else {
        ExitStatus::Drift
    }
}

/// Says that the check could not be finished, and lets whoever watches know that what it said before is over.
pub fn failed(arguments: &Check, error: &anyhow::Error, printer: &Printer) -> ExitStatus {
    if printer.form() == OutputForm::Nagios {
        let line = nagios::failure(&Failure::from(error).to_string());
        // The exit status says so too; there is nowhere left to say that saying so failed.
        let _ = printer.text(&line);
        return ExitStatus::Plugin(Health::Unknown);
    }
    printer.failure(error);
    if printer.form() == OutputForm::Prometheus
        && let Err(again) = deliver(arguments, &prometheus::failure(), *printer)
        // What could not be written before cannot be now, and that is said already.
        && again.to_string() != error.to_string()
    {
        printer.failure(&again);
    }
    ExitStatus::Failure
}

/// Writes metrics to where they are wanted.
fn deliver(arguments: &Check, metrics: &str, printer: Printer) -> anyhow::Result<()> {
    let Some(path) = &arguments.to else {
        return printer.text(metrics);
    };
    replace(path, metrics).with_context(|| format!("cannot write {}", path.display()))
}

/// Puts a text in a file's place at once: who reads it meanwhile reads the old one or the new one.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    // A folder that is missing is no matter of the temporary file's name.
    std::fs::metadata(folder)?;
    // The name does not end in .prom: node_exporter does not take it for metrics.
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    // node_exporter is not root.
    file.as_file()
        .set_permissions(Permissions::from_mode(0o644))?;
    file.persist(path)?;
    Ok(())
}
