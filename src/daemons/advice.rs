//! The findings that are the same for every daemon.

use std::path::PathBuf;

use firewall::model::ports::{PortRange, PortSet};

use super::{ConfigErrorKind, Daemon, Discovery, Host, Request};
use crate::findings::{Finding, Location};
use crate::passive::Reading;

/// What one reading gives rise to.
pub(super) fn about_one(host: &Host, daemon: &dyn Daemon, reading: &mut Reading) {
    let mut findings = Vec::new();
    // What no build of the daemon takes asks for no ports; the control port is kept, to name the server by.
    if reading
        .refuses
        .as_ref()
        .is_some_and(|error| error.kind == ConfigErrorKind::Refused)
    {
        reading.passive.clear();
    }
    if let Some(error) = &reading.refuses {
        let mut finding = Finding::new(
            "daemon-refuses",
            format!("{} refuses to start: {}", reading.daemon, error.message),
        )
        .at(error.location.clone());
        finding.hint.clone_from(&error.help);
        findings.push(finding);
    } else if !reading.passive_enabled {
        findings.push(about_disabled(daemon, reading));
    } else if reading.passive.is_empty() {
        findings.push(about_unset(daemon, reading));
    }
    let written = reading.written();
    if written.covers(&unprivileged()) {
        findings.push(
            Finding::new(
                "whole-range",
                format!(
                    "{} may use every port from 1024 on: opening them all leaves no firewall",
                    reading.daemon
                ),
            )
            .with_hint(set_range(daemon, reading))
            .at(reading.passive[0].location.clone()),
        );
    } else {
        findings.extend(about_ephemeral(host, reading, &written));
    }
    reading.findings.extend(findings);
}

fn unprivileged() -> PortSet {
    PortRange::new(1024, u16::MAX).into_iter().collect()
}

fn main_file(reading: &Reading) -> Option<Location> {
    reading.files.first().map(Location::file)
}

fn placed(finding: Finding, location: Option<Location>) -> Finding {
    match location {
        Some(location) => finding.at(location),
        None => finding,
    }
}

/// What sets a range.
fn set_range(daemon: &dyn Daemon, reading: &Reading) -> String {
    let by_hand = daemon.range_by_hand(reading);
    if !daemon.is_editable() {
        return by_hand;
    }
    let name = daemon.name();
    format!("run `pasvsync set-range 49152-50175 --daemon {name}`, or {by_hand}")
}

fn about_unset(daemon: &dyn Daemon, reading: &Reading) -> Finding {
    let message = format!(
        "{} has no passive range: it may use {}; nothing is opened",
        reading.daemon, reading.effective
    );
    placed(
        Finding::new("no-range", message).with_hint(set_range(daemon, reading)),
        daemon
            .range_file(reading)
            .map(Location::file)
            .or_else(|| main_file(reading)),
    )
}

fn about_disabled(daemon: &dyn Daemon, reading: &Reading) -> Finding {
    let [code, message, hint] = daemon.takes_none();
    placed(
        Finding::new(code, message).with_hint(hint),
        main_file(reading),
    )
}

/// The kernel may hand a passive port to an outgoing connection; reserving them prevents that
/// (Documentation/networking/ip-sysctl.rst, `ip_local_reserved_ports`).
fn about_ephemeral(host: &Host, reading: &Reading, written: &PortSet) -> Option<Finding> {
    let shared = written.intersection(&host.ephemeral.into());
    if shared.is_empty() {
        return None;
    }
    let reserved: Vec<String> = written.ranges().iter().map(ToString::to_string).collect();
    let message = format!(
        "{shared} are also ports for outgoing connections (net.ipv4.ip_local_port_range is {})",
        host.ephemeral
    );
    let hint = format!(
        "write net.ipv4.ip_local_reserved_ports={} into /etc/sysctl.d/, where other reserved ports must be repeated",
        reserved.join(",")
    );
    Some(
        Finding::new("ephemeral-overlap", message)
            .with_hint(hint)
            .at(reading.passive.first()?.location.clone()),
    )
}

/// Files that someone besides root can change decide what is opened.
pub(super) fn about_writers(loose: &[(PathBuf, u32, u32)], reading: &mut Reading) {
    for (path, owner, mode) in loose {
        let why = if mode & 0o002 != 0 {
            "everyone can write it".to_owned()
        } else if mode & 0o020 != 0 {
            "its group can write it".to_owned()
        } else {
            format!("user {owner} owns it")
        };
        let message = format!(
            "{why}: whoever changes this file decides which ports are opened (mode {mode:04o})"
        );
        let hint = format!(
            "chown root {path} && chmod go-w {path}",
            path = path.display()
        );
        reading.findings.push(
            Finding::new("user-writable", message)
                .with_hint(hint)
                .at(Location::file(path)),
        );
    }
}

/// What concerns several daemons, or none.
pub(super) fn about_all(request: &Request, discovery: &mut Discovery) {
    if discovery.readings.is_empty() {
        let what = request.only.as_deref().unwrap_or("any FTP daemon");
        discovery.findings.push(
            Finding::new("no-daemon", format!("no configuration of {what} was found"))
                .with_hint("name it: --daemon-config NAME=PATH"),
        );
    }
    let mut findings = Vec::new();
    for (index, one) in discovery.readings.iter().enumerate() {
        for other in &discovery.readings[index + 1..] {
            findings.extend(about_pair(one, other));
        }
    }
    discovery.findings.extend(findings);
}

fn about_pair(one: &Reading, other: &Reading) -> Option<Finding> {
    let name = |reading: &Reading| {
        let file = reading
            .files
            .first()
            .map(|file| format!(" ({})", file.display()));
        format!("{}{}", reading.daemon, file.unwrap_or_default())
    };
    let (what, shared) = [
        ("passive", one.wanted().intersection(&other.wanted())),
        (
            "control",
            one.wanted_control().intersection(&other.wanted_control()),
        ),
    ]
    .into_iter()
    .find(|(_, shared)| !shared.is_empty())?;
    let message = format!(
        "{} and {} both use the {what} ports {shared}",
        name(one),
        name(other)
    );
    let hint = if what == "control" {
        "only one can listen: say which one runs with --daemon, or remove the leftover's configuration"
    } else {
        "give each daemon a range of its own"
    };
    let location = other
        .passive
        .first()
        .map(|range| range.location.clone())
        .filter(|_| what == "passive");
    Some(placed(
        Finding::new("daemon-overlap", message).with_hint(hint),
        location.or_else(|| main_file(other)),
    ))
}
