//! `pasvsync remove`: the host as it was before.

use firewall::boot::{BOOT_UNIT, BootLayer};
use firewall::model::ports::PortSet;

use crate::exit::ExitStatus;
use crate::printer::Printer;
use crate::reconcile::Mode;
use crate::report::{Report, text};
use crate::settings::Settings;

/// Why a boot file may keep its lines.
const LEAVES_LINES: &[&str] = &[
    "boot-file-rejected",
    "boot-file-not-editable",
    "boot-file-not-written",
    "boot-not-judged",
];

/// Runs the command. The daemons are not asked: a configuration that makes no sense must not keep rules in place.
///
/// # Errors
/// When the firewall cannot be read, or an edit fails.
pub fn run(settings: &Settings, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let mut report = Report::new(&[], Vec::new(), false);
    super::reconcile(settings, &PortSet::EMPTY, &mut report, Mode::Remove)?;
    if !report.in_sync {
        name_leftovers(&mut report, settings);
    }
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

/// Names the lines of boot files that are still pasvsync's, where the finding says why they could not be taken away.
fn name_leftovers(report: &mut Report, settings: &Settings) {
    // Files that cannot be read are what the finding is about.
    let Ok(left) = BootLayer::open(settings.root(), true).own_lines() else {
        return;
    };
    let mut findings = report.findings.iter_mut();
    let finding = findings.find(|finding| LEAVES_LINES.contains(&finding.code));
    if let Some(finding) = finding.filter(|_| !left.is_empty()) {
        let places = left.iter();
        let places: Vec<String> = places
            .map(|(path, line)| format!("{}:{line}", path.display()))
            .collect();
        let places = places.join(", ");
        // The boot unit would only open the ports again.
        let before = finding.hint.take().filter(|hint| hint != BOOT_UNIT);
        let before = before.map_or_else(String::new, |hint| format!("{hint}, then "));
        finding.hint = Some(format!(
            "{before}run `pasvsync remove` again, or delete by hand what is left: {places}"
        ));
        report.left = places;
    }
}
