//! `pasvsync explain PORT`: who wants it, and what decides about it.

use firewall::backend::Layer;
use firewall::model::ports::PortRange;
use firewall::model::reach::{Family, Reach};
use firewall::proof;

use crate::cli::Explain;
use crate::exit::ExitStatus;
use crate::findings::Location;
use crate::passive::{self, Reading};
use crate::printer::Printer;
use crate::report::{
    Explanation, FamilyExplanation, Report, SCHEMA, StepReport, WantedBy, layers, text,
};
use crate::settings::Settings;

/// Runs the command. It succeeds whatever it finds.
///
/// # Errors
/// When the daemons or the firewall cannot be read.
pub fn run(
    arguments: &Explain,
    settings: &Settings,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let port = arguments.port;
    let discovery = super::discover(settings)?;
    let layer = if arguments.boot {
        Layer::Permanent
    } else {
        Layer::Runtime
    };
    let control = passive::control(&discovery.readings);
    let (layer, ruleset) = super::firewalls::ruleset(settings, &control, layer)?;
    let families = Family::BOTH.map(|family| {
        let (entry, steps) = proof::walk(&ruleset, family, port);
        let steps = steps.into_iter().map(|step| StepReport {
            packet: step.packet,
            place: layers::words(layer, &step.place),
            depth: step.depth,
            effect: step.effect.to_string(),
            sure: step.sure,
        });
        let (reach, because) = entry.map_or_else(
            || (Reach::Unknown, "the walk came to no verdict".to_owned()),
            |entry| (entry.reach, entry.because),
        );
        let ports = PortRange::single(port).into();
        let exceptions = proof::judge(&ruleset, family, &ports).exceptions(&ruleset);
        FamilyExplanation {
            family: family.as_str(),
            verdict: reach.as_str(),
            because: layers::words(layer, &because),
            exceptions: exceptions
                .iter()
                .map(|it| layers::words(layer, it))
                .collect(),
            steps: steps.collect(),
        }
    });
    let report = Report::new(&discovery.readings, discovery.findings, false);
    let explanation = Explanation {
        schema: SCHEMA,
        port,
        layer: layer.as_str(),
        wanted_by: discovery
            .readings
            .iter()
            .flat_map(|reading| wanted_by(reading, port))
            .collect(),
        families: families.into(),
        findings: report.findings.clone(),
    };
    printer.findings(&report, false);
    if printer.json() {
        printer.object(&explanation)?;
    } else {
        let text = text::explain(&explanation, printer.verbose(), printer.style());
        printer.text(&text)?;
    }
    Ok(ExitStatus::Success)
}

/// The lines of a daemon's configuration that want the port.
fn wanted_by(reading: &Reading, port: u16) -> Vec<WantedBy> {
    if reading.refuses.is_some() {
        return Vec::new();
    }
    let mut wanted = Vec::new();
    if reading.wanted().contains(port) {
        for range in &reading.passive {
            if (range.ports.first()..=range.ports.last()).contains(&port) {
                wanted.push(WantedBy {
                    daemon: reading.daemon,
                    role: "passive",
                    first: range.ports.first(),
                    last: range.ports.last(),
                    location: range.location.clone(),
                });
            }
        }
    }
    if reading.wanted_control().contains(port) {
        wanted.extend(reading.files.first().map(|path| WantedBy {
            daemon: reading.daemon,
            role: "control",
            first: port,
            last: port,
            location: Location::file(path),
        }));
    }
    wanted
}
