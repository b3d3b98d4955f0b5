//! Giving a daemon's configuration another passive range: the texts, and the proof that they say it.
//!
//! Each daemon proposes edits of its files' texts ([`Daemon::ways`]). What they would come to is read like any
//! configuration, and only a reading with exactly the new range, and everything else as before, lets them be written.

use std::collections::BTreeMap;
use std::path::PathBuf;

use firewall::model::ports::{PortRange, PortSet};

use super::edit::{Edit, not_editable};
use super::{
    ConfigError, ConfigErrorKind, DAEMONS, Daemon, Discovery, Host, Request, cpanel, discover,
    relocate,
};
use crate::passive::Reading;

/// An edit of a daemon's configuration that was proved to set the range.
#[derive(Clone, Debug)]
pub struct Change {
    /// The edits, one a file; none when the range is set already.
    pub edits: Vec<Edit>,
    /// What the configuration will say.
    pub reading: Reading,
    /// Whether cPanel's settings are edited, from which cPanel writes the daemon's configuration.
    pub panel: bool,
}

/// Findings that a new range may bring or take away; all others stay as they are.
const ABOUT_RANGES: &[&str] = &[
    "no-range",
    "daemon-refuses",
    "range-reversed",
    "range-below-1024",
    "range-above-65535",
    "range-malformed",
    "range-beyond-written",
    "quoted-value",
    "single-bound",
    "range-repaired",
    "range-too-small",
    "whole-range",
    "ephemeral-overlap",
    "daemon-overlap",
    "server-without-range",
    "duplicate-setting",
    "cpanel-generated-differs",
    "ignored-configuration",
];

/// Works out how the configuration of the daemon that `request` names gets the range, and proves it. Nothing is
/// written.
///
/// # Errors
/// When the configuration cannot be read; when the daemon would refuse the range, in its own words; when the range is
/// set where pasvsync cannot change it safely.
pub fn set_range(request: &Request, range: PortRange) -> Result<Change, ConfigError> {
    let daemon = DAEMONS
        .iter()
        .find(|daemon| request.only.as_deref() == Some(daemon.name()));
    let Some(daemon) = daemon else {
        let names = super::names().join(", ");
        return Err(not_editable("", "no daemon is named")
            .with_help(format!("say which one: --daemon NAME, one of {names}")));
    };
    let host = Host::new(request)?;
    let named: Vec<_> = request
        .overrides
        .iter()
        .filter(|(name, _)| name == daemon.name())
        .collect();
    let chosen = named.first().map(|(_, path)| path.as_path());
    let panel = named.is_empty() && cpanel::manages(&host, daemon.name())?;
    let before = read(request, *daemon, panel)?;
    let ways = if panel {
        cpanel::ways(&host, daemon.name(), range)
    } else {
        daemon.ways(&host, chosen, range)
    };
    let ways = host.disk.all_told().and(ways);
    let ways = ways.map_err(|error| error.relocated(&|path| host.disk.shown(path)))?;
    let mut first_error = None;
    for edits in ways {
        let edits: Vec<Edit> = edits
            .into_iter()
            .filter(|edit| edit.before.as_ref() != Some(&edit.after))
            .collect();
        let mut edited = request.clone();
        let texts = edits
            .iter()
            .map(|edit| (edit.path.clone(), edit.after.clone()));
        edited.instead.extend(texts);
        match prove(&edited, *daemon, panel, &before, range) {
            Ok(reading) => {
                return Ok(Change {
                    edits,
                    reading,
                    panel,
                });
            }
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    Err(first_error.unwrap_or_else(|| {
        let path = before.files.first().cloned().unwrap_or_default();
        not_editable(path, "pasvsync knows no safe way to set a range here")
    }))
}

/// The one configuration of the daemon.
fn read(request: &Request, daemon: &dyn Daemon, panel: bool) -> Result<Reading, ConfigError> {
    let mut readings = if panel {
        let host = Host::new(request)?;
        let mut settings = Discovery {
            readings: vec![cpanel::settings(&host, daemon.name())?],
            ..Discovery::default()
        };
        relocate(&mut settings, &|path| host.disk.shown(path));
        settings.readings
    } else {
        discover(request)?.readings
    };
    let name = daemon.name();
    match readings.len() {
        1 => Ok(readings.remove(0)),
        0 => Err(
            not_editable("", format!("no configuration of {name} was found"))
                .with_help(format!("name it: --daemon-config {name}=PATH")),
        ),
        _ => {
            let files = readings.iter().filter_map(|reading| reading.files.first());
            let files: Vec<String> = files.map(|file| file.display().to_string()).collect();
            let message = format!("{name} has several configurations: {}", files.join(", "));
            Err(
                not_editable(files.first().map_or("", String::as_str), message)
                    .with_help(format!("say which one: --daemon-config {name}=PATH")),
            )
        }
    }
}

/// Reads what the edits would come to: exactly the new range, everything else as before.
fn prove(
    request: &Request,
    daemon: &dyn Daemon,
    panel: bool,
    before: &Reading,
    range: PortRange,
) -> Result<Reading, ConfigError> {
    let after = read(request, daemon, panel)?;
    let name = daemon.name();
    let same_refusal = |one: &ConfigError, other: &ConfigError| {
        one.kind == other.kind && one.location.path == other.location.path && one.text == other.text
    };
    if let Some(error) = &after.refuses {
        let stays = before
            .refuses
            .as_ref()
            .is_some_and(|before| same_refusal(before, error));
        if !stays {
            return Err(error
                .clone()
                .after(&format!("{name} would refuse {range}: ")));
        }
        if error.kind == ConfigErrorKind::Refused {
            let words = format!("{name} refuses its configuration as it is, mend that first: ");
            return Err(error.clone().after(&words));
        }
    }
    let place = || after.files.first().cloned().unwrap_or_default();
    let wanted = PortSet::from(range);
    let effective = if after.passive_enabled && after.refuses.is_none() {
        &after.effective
    } else {
        &wanted
    };
    if after.written() != wanted || *effective != wanted {
        let used = after.written().union(effective);
        let message = format!("{name} would use {used}, not {range}");
        return Err(not_editable(place(), message).with_help(match name {
            super::vsftpd::NAME => {
                "vsftpd repairs ports below 1024 without a word: choose higher ones"
            }
            _ => "change the configuration by hand: another line decides",
        }));
    }
    let changed = difference(before, &after);
    if let Some(what) = changed {
        let message = format!("setting the range would also change {what}");
        return Err(not_editable(place(), message).with_help("change the configuration by hand"));
    }
    Ok(after)
}

/// What two readings differ in besides the range.
fn difference(before: &Reading, after: &Reading) -> Option<&'static str> {
    let addresses = |reading: &Reading| -> Vec<(String, PathBuf)> {
        let advertised = reading.advertised.iter();
        advertised
            .map(|advertised| (advertised.address.clone(), advertised.location.path.clone()))
            .collect()
    };
    let others = |reading: &Reading| {
        let mut counts = BTreeMap::new();
        for finding in &reading.findings {
            if !ABOUT_RANGES.contains(&finding.code) {
                *counts.entry(finding.code).or_insert(0_usize) += 1;
            }
        }
        counts
    };
    let lost = before.files.iter().any(|file| !after.files.contains(file));
    // A refused configuration may not have been read to its end.
    let whole = before.refuses.is_none();
    if before.control != after.control {
        Some("the control ports")
    } else if before.passive_enabled != after.passive_enabled {
        Some("whether passive connections are taken")
    } else if whole && addresses(before) != addresses(after) {
        Some("the address for passive clients")
    } else if lost {
        Some("which files are read")
    } else if whole && others(before) != others(after) {
        Some("how other lines are read")
    } else {
        None
    }
}
