//! `pasvsync status`: daemons, ranges, firewalls, verdicts, for people.

use crate::exit::ExitStatus;
use crate::printer::Printer;
use crate::reconcile::Mode;
use crate::report::status;
use crate::settings::Settings;

/// Runs the command. It succeeds whatever it finds.
///
/// # Errors
/// When the daemons or the firewall cannot be read.
pub fn run(settings: &Settings, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let report = super::survey(settings, Mode::Check)?;
    printer.findings(&report, true);
    if printer.json() {
        printer.object(&report)?;
    } else {
        printer.text(&status::status(&report, printer.style(), printer.glyphs()))?;
    }
    Ok(ExitStatus::Success)
}
