//! What runs against what is configured: was the daemon started before its configuration last changed, and was it
//! started with other arguments?

mod age;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use self::age::{Age, NANOSECONDS, real_time_at_boot};
use super::{DAEMONS, Daemon, Discovery, Host, Process, Request, kernels, named};
use crate::findings::{Finding, Location};
use crate::listeners::{self, Listener, Owner};
use crate::passive::Reading;

/// A process's start is known to a tick; a file that was written just before it must not look newer.
const TOLERANCE: i64 = NANOSECONDS / 10;

/// The daemon that a process is, if any.
pub fn is_daemon(process: &Owner) -> Option<&'static str> {
    let mut daemons = DAEMONS.iter();
    let daemon = daemons.find(|daemon| daemon.is_run_by(process))?;
    Some(daemon.name())
}

/// Adds findings to each reading whose daemon was started before a file of the reading last changed, or with other
/// arguments than the reading is of. Images have no processes.
///
/// # Errors
/// When it cannot be seen what listens, or what the daemon was started with cannot be read.
pub fn about_running(request: &Request, readings: &mut [Reading]) -> anyhow::Result<()> {
    if request.root.is_some() {
        return Ok(());
    }
    // Nothing that runs is older than the last boot: most configurations are, and then no process is looked at, but
    // for the daemons that do not write over their command line.
    let booted = real_time_at_boot();
    let changes: Vec<_> = readings
        .iter()
        .map(|reading| last_change(reading).filter(|(_, at)| *at > booted))
        .collect();
    let tells = |reading: &Reading| named(reading.daemon).is_some_and(Daemon::shows_arguments);
    if changes.iter().all(Option::is_none) && !readings.iter().any(tells) {
        return Ok(());
    }
    let sockets = listeners::listeners().context("cannot see which daemons listen")?;
    let mut everything = None;
    let host = Host::new(request)?;
    for (index, change) in changes.into_iter().enumerate() {
        if change.is_none() && !tells(&readings[index]) {
            continue;
        }
        let same = |reading: &&Reading| reading.daemon == readings[index].daemon;
        let alone = readings.iter().filter(same).count() == 1;
        let reading = &mut readings[index];
        let running = running(reading, &sockets, alone, &mut everything);
        let mut findings = Vec::new();
        if let Some((path, changed)) = change {
            findings.extend(outdated(&running, reading.daemon, &path, changed));
        }
        for owner in &running {
            findings.extend(otherwise(&host, reading, owner)?);
        }
        for finding in findings {
            let hint = match super::restart(&host, reading)?.command() {
                Some(command) => format!("restart it: {command}"),
                None => "restart it the way it was started".to_owned(),
            };
            reading.findings.push(finding.with_hint(hint));
        }
    }
    Ok(())
}

/// Adds an error when nothing was read of a daemon that was asked for, or that runs: what it needs may be open by now,
/// and must not be closed.
///
/// # Errors
/// When it cannot be seen what listens.
pub fn about_unread(request: &Request, discovery: &mut Discovery) -> anyhow::Result<()> {
    if !discovery.readings.is_empty() {
        return Ok(());
    }
    let (name, message) = if let Some(name) = &request.only {
        let what = format!("no configuration of {name} was found");
        (name.as_str(), what)
    } else if request.root.is_some() {
        return Ok(());
    } else {
        let sockets = listeners::listeners().context("cannot see which daemons listen")?;
        let processes = listeners::processes().into_iter().filter_map(likely);
        let mut daemons = processes.filter_map(|owner| Some((is_daemon(&owner)?, owner)));
        // Anybody can give a process such a name, but only root a port such as 21.
        let Some((name, owner)) =
            daemons.find(|(_, owner)| takes(owner, &sockets, |port| port < 1024))
        else {
            return Ok(());
        };
        let id = owner.id;
        let what = format!("{name} (pid {id}) runs, and its configuration was not found");
        (name, what)
    };
    let findings = &mut discovery.findings;
    findings.retain(|finding| finding.code != "no-daemon");
    let message = format!("{message}, so nothing is opened or closed");
    let hint =
        format!("name it: --daemon-config {name}=PATH; `pasvsync remove` closes what was opened");
    findings.push(Finding::new("daemon-not-read", message).with_hint(hint));
    Ok(())
}

/// The processes that take the connections of a reading's daemon.
fn running(
    reading: &Reading,
    sockets: &[Listener],
    alone: bool,
    everything: &mut Option<Vec<u32>>,
) -> Vec<Owner> {
    // A pid file names the process that takes connections, on whatever port it was started with.
    let mut running = listening(&recorded(reading.daemon), sockets, reading, alone);
    running.extend(listening(
        &supervised(reading.daemon),
        sockets,
        reading,
        false,
    ));
    // Only where something listens, and neither systemd nor the daemon says which process: look at them all.
    if running.is_empty() && taken(sockets, reading) {
        let all = everything.get_or_insert_with(listeners::processes);
        running = listening(all, sockets, reading, false);
    }
    running.sort_unstable();
    running.dedup();
    running
}

/// The oldest of the processes that have what was in a file before it last changed.
fn outdated(running: &[Owner], daemon: &str, path: &Path, changed: i64) -> Option<Finding> {
    let aged = running
        .iter()
        .filter_map(|owner| Some((Age::of(owner.id, daemon)?, owner)));
    let older = aged.filter(|(age, _)| changed > age.read() + TOLERANCE);
    let (age, owner) = older.min_by_key(|(age, _)| age.started)?;
    let what = format!("{daemon} (pid {})", owner.id);
    let message = match age.reread {
        Some(_) => format!(
            "{what} last read its configuration before this file changed: it runs with what was there before"
        ),
        None if age.leaves_traces => format!(
            "{what} was started before this file last changed: it runs with what was there before"
        ),
        None => format!(
            "{what} was started before this file last changed: it runs with what was there before, unless it has got a \
             SIGHUP since, which leaves no trace"
        ),
    };
    Some(Finding::new("restart-needed", message).at(Location::file(path)))
}

/// What is different, when a process was started with other arguments than the configuration says.
fn otherwise(host: &Host, reading: &Reading, owner: &Owner) -> anyhow::Result<Option<Finding>> {
    let (Some(process), Some(daemon)) = (Process::of(owner.id), super::named(reading.daemon))
    else {
        return Ok(None);
    };
    let Some(now) = daemon.started(host, &process)? else {
        return Ok(None);
    };
    let mut differences = Vec::new();
    if now.effective != reading.effective {
        differences.push(format!(
            "passive ports {}, not {}",
            now.effective, reading.effective
        ));
    }
    if now.control != reading.control {
        let list = |ports: &[u16]| {
            ports
                .iter()
                .map(u16::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        };
        let (now, configured) = (list(&now.control), list(&reading.control));
        differences.push(format!("control port {now}, not {configured}"));
    }
    if differences.is_empty() {
        return Ok(None);
    }
    let message = format!(
        "{} (pid {}) was not started as it is configured, but as `{}`: {}",
        reading.daemon,
        owner.id,
        process.arguments.join(" "),
        differences.join("; ")
    );
    let finding = Finding::new("running-differs", message);
    Ok(Some(match reading.files.first() {
        Some(file) => finding.at(Location::file(file)),
        None => finding,
    }))
}

/// The processes that systemd has started for the daemon: hints, what each of them is and does is looked at.
fn supervised(daemon: &str) -> Vec<u32> {
    const GROUPS: &[&str] = &["/sys/fs/cgroup", "/sys/fs/cgroup/systemd"];
    let services = super::restart::services(daemon).iter();
    let paths = services.flat_map(|service| {
        GROUPS
            .iter()
            .map(move |group| format!("{group}/system.slice/{service}.service/cgroup.procs"))
    });
    paths.flat_map(|path| ids(&path)).collect()
}

/// The processes that the daemon's own pid file names: hints too.
fn recorded(daemon: &str) -> Vec<u32> {
    let files = named(daemon).map_or(&[][..], |daemon| daemon.pid_files());
    files.iter().flat_map(|file| ids(file)).collect()
}

/// The numbers in a file; none when there is no such file.
fn ids(path: &str) -> Vec<u32> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_ascii_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect()
}

/// Whether anything listens on a control port of the reading.
fn taken(sockets: &[Listener], reading: &Reading) -> bool {
    let mut ports = sockets.iter().map(|socket| socket.address.port());
    ports.any(|port| reading.control.contains(&port))
}

/// Those of the processes that are the reading's daemon and take its connections; with `anywhere`, on any port.
fn listening(ids: &[u32], sockets: &[Listener], reading: &Reading, anywhere: bool) -> Vec<Owner> {
    let owners = ids.iter().filter_map(|id| likely(*id));
    owners
        .filter(|owner| is_daemon(owner) == Some(reading.daemon))
        .filter(|owner| listens(owner, sockets, reading, anywhere))
        .collect()
}

/// The process, when its name may be a daemon's: most are sorted out by one small file.
fn likely(id: u32) -> Option<Owner> {
    let name = std::fs::read(format!("/proc/{id}/comm")).ok()?;
    let mut daemons = DAEMONS.iter();
    let likely = daemons.any(|daemon| name.starts_with(kernels(daemon.process_name()).as_bytes()));
    likely.then(|| Owner::of(id)).flatten()
}

/// Whether the process takes control connections: a session has a data connection's socket at most.
fn listens(owner: &Owner, sockets: &[Listener], reading: &Reading, anywhere: bool) -> bool {
    takes(owner, sockets, |port| {
        anywhere || reading.control.contains(&port)
    })
}

/// Whether the process listens on such a port.
fn takes(owner: &Owner, sockets: &[Listener], such: impl Fn(u16) -> bool) -> bool {
    let held = Owner::sockets(owner.id);
    let mut own = sockets.iter().filter(|socket| held.contains(&socket.inode));
    own.any(|socket| such(socket.address.port()))
}

/// The file that changed last, and when, in nanoseconds since 1970. The inode's time also shows a file that was moved
/// into place with an older content time.
fn last_change(reading: &Reading) -> Option<(PathBuf, i64)> {
    let kept = reading.files.iter();
    let kept = kept.filter(|path| !reading.read_by_sessions.contains(path));
    let changes = kept.filter_map(|path| {
        let metadata = std::fs::metadata(path).ok()?;
        let at = metadata.ctime() * NANOSECONDS + metadata.ctime_nsec();
        // What /proc shows of a process changes all the time.
        (!path.starts_with("/proc")).then(|| (path.clone(), at))
    });
    changes.max_by_key(|(_, at)| *at)
}
