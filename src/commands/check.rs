//! `pasvsync check`: what `sync` would do, without doing it.

use crate::exit::ExitStatus;
use crate::printer::Printer;
use crate::reconcile::Mode;
use crate::report::text;
use crate::settings::Settings;

/// Runs the command.
///
/// # Errors
/// When the daemons or the firewall cannot be read.
pub fn run(settings: &Settings, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let report = super::survey(settings, Mode::Check)?;
    printer.findings(&report, false);
    if printer.json() {
        printer.object(&report)?;
    } else {
        let text = text::check(&report, settings.diff, printer.quiet(), printer.style());
        printer.text(&text)?;
    }
    Ok(if report.refused() || report.exposes() {
        ExitStatus::Failure
    } else if report.in_sync {
        ExitStatus::Success
    } else {
        ExitStatus::Drift
    })
}
