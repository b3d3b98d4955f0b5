//! What a run found and did: the objects that `--output json` prints, described by `schema/report.schema.json`.
//!
//! The other forms are made from the same objects, each in a file of its own.

mod diff;
mod file_diff;
pub mod layers;
pub mod nagios;
pub mod prometheus;
mod set_range;
pub mod status;
pub mod text;

use std::collections::BTreeMap;

use firewall::model::ports::{PortRange, PortSet};
use serde::Serialize;

pub use self::set_range::{FileReport, SetRangeReport};

use crate::config_error::ConfigError;
use crate::failure::{self, Failure};
use crate::findings::{Finding, Location, Severity};
use crate::passive::{self, Reading};
use crate::reconcile::BackendOutcome;

/// The version of the objects below.
pub const SCHEMA: u32 = 1;

/// What `sync`, `check`, `status` and `remove` found and did.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The version of this object's form.
    pub schema: u32,
    /// Whether anything was written.
    pub changed: bool,
    /// Whether everything is as it should be, after the edits if any were made.
    pub in_sync: bool,
    /// The daemons whose configuration was read.
    pub daemons: Vec<DaemonReport>,
    /// The firewalls that were looked at.
    pub backends: Vec<BackendReport>,
    /// What the user should know.
    pub findings: Vec<Finding>,
    /// Whether systemd's journal was told of the change.
    #[serde(skip)]
    pub announced: bool,
    /// The lines of boot files that `remove` could not take out, for people.
    #[serde(skip)]
    pub left: String,
    /// What `set-range` wrote into a daemon's configuration before all that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_range: Option<SetRangeReport>,
}

/// What one daemon's configuration says.
#[derive(Clone, Debug, Serialize)]
pub struct DaemonReport {
    /// The daemon's name.
    pub daemon: &'static str,
    /// The lines that set the passive range; the files that were read when none does.
    pub sources: Vec<Location>,
    /// The passive ranges.
    pub passive: Vec<Ports>,
    /// The ports of the control connection.
    pub control: Vec<u16>,
    /// Why the daemon itself would not start with this configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refuses: Option<String>,
    /// The same with the place, for people.
    #[serde(skip)]
    pub refusal: Option<ConfigError>,
    /// The ports that the firewall must let in for this daemon.
    #[serde(skip)]
    pub wanted: PortSet,
}

/// A closed interval of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Ports {
    /// The lowest port.
    pub first: u16,
    /// The highest port.
    pub last: u16,
}

/// What one firewall lets in.
#[derive(Clone, Debug, Serialize)]
pub struct BackendReport {
    /// The firewall's name.
    pub backend: &'static str,
    /// What it does now, and what it will do after the next boot.
    pub layers: BTreeMap<&'static str, LayerReport>,
}

/// What one layer of a firewall lets in.
#[derive(Clone, Debug, Serialize)]
pub struct LayerReport {
    /// Every wanted port is open and nothing of ours is left over.
    pub in_sync: bool,
    /// The verdicts, one interval after the other.
    pub reach: Vec<ReachReport>,
    /// The edits, as an admin would type them.
    pub edits: Vec<String>,
    /// The edits as removed and added rules, under the chain they stand in.
    pub diff: String,
    /// Some ports stay closed whatever is done here; the findings say why.
    #[serde(skip)]
    pub refused: bool,
}

/// The verdict on some wanted ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReachReport {
    /// `ipv4` or `ipv6`.
    pub family: &'static str,
    /// The lowest port.
    pub first: u16,
    /// The highest port.
    pub last: u16,
    /// `open`, `restricted`, `unknown` or `closed`.
    pub verdict: &'static str,
    /// Which rule or policy of which chain decided.
    pub because: String,
}

/// What `explain` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The version of this object's form.
    pub schema: u32,
    /// The port in question.
    pub port: u16,
    /// Whether it is about now (`runtime`) or the next boot (`permanent`).
    pub layer: &'static str,
    /// Whose configuration wants it.
    pub wanted_by: Vec<WantedBy>,
    /// What becomes of a new connection to it, per family.
    pub families: Vec<FamilyExplanation>,
    /// What the user should know.
    pub findings: Vec<Finding>,
}

/// A configuration line that wants a port.
#[derive(Clone, Debug, Serialize)]
pub struct WantedBy {
    /// The daemon.
    pub daemon: &'static str,
    /// What for: `passive` or `control`.
    pub role: &'static str,
    /// The lowest port of the range that holds it.
    pub first: u16,
    /// The highest.
    pub last: u16,
    /// The line that sets it.
    #[serde(flatten)]
    pub location: Location,
}

/// What becomes of a new connection in one family.
#[derive(Clone, Debug, Serialize)]
pub struct FamilyExplanation {
    /// `ipv4` or `ipv6`.
    pub family: &'static str,
    /// `open`, `restricted`, `unknown` or `closed`.
    pub verdict: &'static str,
    /// Which rule or policy of which chain decided.
    pub because: String,
    /// The rules that treat some clients otherwise, such as bans.
    pub exceptions: Vec<String>,
    /// What each packet of the connection meets, in order.
    pub steps: Vec<StepReport>,
}

/// One thing that a packet meets.
#[derive(Clone, Debug, Serialize)]
pub struct StepReport {
    /// Which packet of the connection.
    pub packet: &'static str,
    /// The rule or policy, with its chain and hook.
    pub place: String,
    /// How many jumps deep.
    pub depth: usize,
    /// What it does to the packet.
    pub effect: String,
    /// Whether it surely does so.
    pub sure: bool,
}

/// What is printed when a run ends in an error.
#[derive(Clone, Debug, Serialize)]
pub struct ErrorReport {
    /// The version of this object's form.
    pub schema: u32,
    /// The error.
    pub error: Failure,
}

impl Report {
    /// A report of the daemons; nothing is known of the firewall yet.
    pub fn new(readings: &[Reading], findings: Vec<Finding>, control: bool) -> Self {
        let mut report = Self {
            schema: SCHEMA,
            changed: false,
            in_sync: false,
            daemons: readings
                .iter()
                .map(|reading| DaemonReport::new(reading, control))
                .collect(),
            backends: Vec::new(),
            findings,
            announced: false,
            left: String::new(),
            set_range: None,
        };
        for reading in readings {
            report.findings.extend(reading.findings.iter().cloned());
        }
        report
    }

    /// The same report with what one firewall was found to let in, and what was done to it.
    pub fn add(&mut self, outcome: BackendOutcome) {
        self.changed |= outcome.changed;
        let first = self.backends.is_empty();
        self.in_sync = (first || self.in_sync) && outcome.layers.iter().all(|layer| layer.in_sync);
        if !outcome.filters {
            self.findings.push(
                Finding::new(
                    "nothing-filters",
                    "no base chain filters connections to this host: every port is open to everybody",
                )
                .with_hint("nothing to do for passive ports; if a firewall should be running, start it and run again"),
            );
        }
        self.findings.extend(layers::refusals(&outcome.layers));
        let layers = outcome.layers.into_iter();
        let layers = layers.map(|layer| (layer.layer.as_str(), LayerReport::from(layer)));
        self.backends.push(BackendReport {
            backend: outcome.backend,
            layers: layers.collect(),
        });
    }

    /// The layers of all firewalls, each with its firewall's name and its own.
    pub fn layers(&self) -> impl Iterator<Item = (&'static str, &'static str, &LayerReport)> {
        self.backends.iter().flat_map(|backend| {
            // What is now comes before what will be: the names happen to sort the other way round.
            let layers = backend.layers.iter().rev();
            layers.map(|(name, layer)| (backend.backend, *name, layer))
        })
    }

    /// Whether any finding has this code.
    pub fn finds(&self, code: &str) -> bool {
        self.findings.iter().any(|finding| finding.code == code)
    }

    /// The findings that people are shown, each with its hint. A range that a daemon refuses is told once, in the daemon's
    /// own words; that a daemon is to be restarted after `set-range`, by what `set-range` prints.
    pub fn told(&self) -> impl Iterator<Item = (&Finding, Option<&str>)> {
        let refuses = |finding: &Finding| finding.code == "daemon-refuses";
        let of_range = |finding: &Finding| {
            finding.code.starts_with("range-") || finding.code == "quoted-value"
        };
        let same_line = |one: &Finding, other: &Finding| {
            let places = one.location.as_ref().zip(other.location.as_ref());
            places.is_some_and(|(one, other)| {
                one.line.is_some() && (&one.path, one.line) == (&other.path, other.line)
            })
        };
        self.findings.iter().filter_map(move |finding| {
            let beside = |such: &dyn Fn(&Finding) -> bool| {
                let mut others = self.findings.iter();
                others.find(|other| such(other) && same_line(other, finding))
            };
            let told =
                of_range(finding) && beside(&refuses).is_some() || self.restart_told(finding);
            let mistake = refuses(finding).then(|| beside(&of_range)).flatten();
            let hint = mistake.and_then(|mistake| mistake.hint.as_deref());
            (!told).then_some((finding, hint.or(finding.hint.as_deref())))
        })
    }

    /// Whether the finding says of a file that `set-range` has just written what is printed of it anyway.
    fn restart_told(&self, finding: &Finding) -> bool {
        let done = self
            .set_range
            .as_ref()
            .filter(|done| done.written && !done.restarted);
        let path = finding.location.as_ref().map(|location| &location.path);
        let written =
            |done: &SetRangeReport| done.files.iter().any(|file| Some(&file.path) == path);
        finding.code == "restart-needed" && done.is_some_and(written)
    }

    /// The lines of a file that a finding is about, when they help.
    pub fn excerpt(&self, finding: &Finding) -> Option<String> {
        let refusals = self
            .daemons
            .iter()
            .filter_map(|daemon| daemon.refusal.as_ref());
        refusals
            .filter(|error| Some(&error.location) == finding.location.as_ref())
            .find_map(|error| failure::excerpt(error))
    }

    /// Whether a daemon would not start with its configuration.
    pub fn refused(&self) -> bool {
        self.daemons.iter().any(|daemon| daemon.refuses.is_some())
    }

    /// Whether the firewall is to be left as it is: a daemon refuses its configuration, or an error says that what it
    /// wants is not known or not meant, or that something else would be exposed. `force` opens what is hardly meant.
    pub fn withheld(&self, force: bool) -> bool {
        let mut errors = self
            .findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error);
        self.refused()
            || errors.any(|finding| match finding.code {
                "exposed-service" | "daemon-not-read" => true,
                "range-beyond-written" => !force,
                _ => false,
            })
    }

    /// Every wanted port.
    pub fn wanted(&self) -> PortSet {
        self.daemons
            .iter()
            .flat_map(|daemon| daemon.wanted.ranges().iter().copied())
            .collect()
    }
}

impl DaemonReport {
    fn new(reading: &Reading, control: bool) -> Self {
        let mut sources: Vec<Location> = reading
            .passive
            .iter()
            .map(|range| range.location.clone())
            .collect();
        if sources.is_empty() {
            sources.extend(reading.files.iter().map(Location::file));
        }
        sources.dedup();
        Self {
            daemon: reading.daemon,
            sources,
            passive: reading
                .passive
                .iter()
                .map(|range| Ports::from(range.ports))
                .collect(),
            control: reading.control.clone(),
            refuses: reading.refuses.as_ref().map(|error| error.message.clone()),
            refusal: reading.refuses.clone(),
            wanted: passive::wanted(std::slice::from_ref(reading), control),
        }
    }
}

impl From<PortRange> for Ports {
    fn from(range: PortRange) -> Self {
        Self {
            first: range.first(),
            last: range.last(),
        }
    }
}

impl From<Failure> for ErrorReport {
    fn from(error: Failure) -> Self {
        Self {
            schema: SCHEMA,
            error,
        }
    }
}
