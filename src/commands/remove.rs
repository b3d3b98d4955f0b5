//! `pasvsync remove`: the host as it was before.

use firewall::model::ports::PortSet;

use crate::exit::ExitStatus;
use crate::printer::Printer;
use crate::reconcile::Mode;
use crate::report::{Report, text};
use crate::settings::Settings;

/// Runs the command. The daemons are not asked: a configuration that makes no sense must not keep rules in place.
///
/// # Errors
/// When the firewall cannot be read, or an edit fails.
pub fn run(settings: &Settings, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let mut report = Report::new(&[], Vec::new(), false);
    super::reconcile(settings, &PortSet::EMPTY, &mut report, Mode::Remove)?;
    printer.findings(&report, false);
    if printer.json() {
        printer.object(&report)?;
    } else {
        let text = text::remove(&report, settings.diff, printer.quiet(), printer.style());
        printer.text(&text)?;
    }
    Ok(if report.in_sync {
        ExitStatus::Success
    } else {
        ExitStatus::Failure
    })
}
