//! `pasvsync sync`: open what is wanted, close what is no longer wanted, prove it.

use crate::exit::ExitStatus;
use crate::printer::Printer;
use crate::reconcile::Mode;
use crate::report::text;
use crate::settings::Settings;

/// Runs the command.
///
/// # Errors
/// When the daemons or the firewall cannot be read, or an edit fails.
pub fn run(settings: &Settings, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let report = super::survey(settings, Mode::Sync)?;
    printer.findings(&report, false);
    if printer.json() {
        printer.object(&report)?;
    } else {
        let text = text::sync(&report, settings.diff, printer.quiet(), printer.style());
        printer.text(&text)?;
        super::about_control(&report, settings, *printer);
    }
    Ok(if report.in_sync {
        ExitStatus::Success
    } else {
        ExitStatus::Failure
    })
}
