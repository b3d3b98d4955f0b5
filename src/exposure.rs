//! What else listens on the ports that are to be opened: opening them exposes it.

use std::collections::{BTreeMap, BTreeSet};

use firewall::model::ports::PortSet;

use crate::daemons;
use crate::findings::{Finding, Severity};
use crate::listeners::{self, Listener, Owner};
use crate::passive::Reading;

/// The services besides the FTP daemons that listen on passive ports of the readings, and not on loopback only. With
/// `refuse`, they are errors.
///
/// # Errors
/// When /proc cannot be read.
pub fn about_services(readings: &[Reading], refuse: bool) -> std::io::Result<Vec<Finding>> {
    let wanted = readings.iter().fold(PortSet::EMPTY, |ports, reading| {
        ports.union(&reading.wanted())
    });
    let exposed = exposed(&wanted)?;
    if exposed.is_empty() {
        return Ok(Vec::new());
    }
    // Only now every process is looked at: nearly always nothing listens there.
    let inodes: BTreeSet<u64> = exposed.iter().map(|listener| listener.inode).collect();
    let owners = listeners::owners(&inodes);
    let mut gone = BTreeSet::new();
    if owners.len() < inodes.len() {
        // A data connection's socket may have been closed meanwhile.
        let still: BTreeSet<u64> = self::exposed(&wanted)?
            .iter()
            .map(|listener| listener.inode)
            .collect();
        gone = inodes.difference(&still).copied().collect();
    }
    let mut services: BTreeMap<(u16, Option<&Owner>), Vec<&Listener>> = BTreeMap::new();
    for listener in &exposed {
        let owner = owners.get(&listener.inode);
        let ftp = owner.is_some_and(|owner| daemons::is_daemon(owner).is_some());
        if !ftp && (owner.is_some() || !gone.contains(&listener.inode)) {
            let port = listener.address.port();
            services.entry((port, owner)).or_default().push(listener);
        }
    }
    Ok(services
        .into_iter()
        .map(|((port, owner), sockets)| finding(readings, refuse, port, owner, &sockets))
        .collect())
}

fn exposed(wanted: &PortSet) -> std::io::Result<Vec<Listener>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = listeners::listeners()?;
    found.retain(|listener| wanted.contains(listener.address.port()) && !listener.is_local());
    Ok(found)
}

fn finding(
    readings: &[Reading],
    refuse: bool,
    port: u16,
    owner: Option<&Owner>,
    sockets: &[&Listener],
) -> Finding {
    let who = match owner {
        Some(owner) => format!("{} (pid {})", owner.name, owner.id),
        None => "a process that is not to be seen from here".to_owned(),
    };
    let addresses: Vec<String> = sockets
        .iter()
        .map(|listener| listener.address.to_string())
        .collect();
    let range = readings
        .iter()
        .flat_map(|reading| reading.passive.iter().map(move |range| (reading, range)))
        .find(|(_, range)| (range.ports.first()..=range.ports.last()).contains(&port));
    let place = range.map(|(reading, range)| format!(" {} of {}", range.ports, reading.daemon));
    let message = format!(
        "{who} listens on {}, inside the passive range{}: {}",
        addresses.join(" and "),
        place.unwrap_or_default(),
        if refuse {
            "nothing is opened"
        } else {
            "an open range lets anybody connect to it"
        }
    );
    let name = owner.map_or("it", |owner| owner.name.as_str());
    let hint = if owner.is_none() && listeners::is_blind() {
        // Then it may even be an FTP daemon's own data connection.
        "pasvsync may not look into other processes: add CAP_SYS_PTRACE to its unit's CapabilityBoundingSet".to_owned()
    } else {
        format!(
            "let {name} listen on 127.0.0.1 or on another port, or give the daemon a range without {port}"
        )
    };
    let finding = Finding::new("exposed-service", message).with_hint(hint);
    let mut finding = match range {
        Some((_, range)) => finding.at(range.location.clone()),
        None => finding,
    };
    if refuse {
        finding.severity = Severity::Error;
    }
    finding
}
