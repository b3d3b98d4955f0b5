//! What runs against what is configured: was the daemon started before its configuration last changed?

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::time::{ClockId, clock_gettime};

use super::{
    ConfigError, Host, Request, filezilla_server, proftpd, pure_ftpd, pyftpdlib, sftpgo, text,
    vsftpd,
};
use crate::findings::{Finding, Location};
use crate::listeners::{self, Listener, Owner};
use crate::passive::Reading;

/// `USER_HZ`, in which /proc/PID/stat counts: 100 on every architecture that servers run on (proc(5)).
const TICKS_PER_SECOND: i64 = 100;
const NANOSECONDS: i64 = 1_000_000_000;
/// A process's start is known to a tick; a file that was written just before it must not look newer.
const TOLERANCE: i64 = NANOSECONDS / 10;

/// The daemon that a process is, if any.
pub fn is_daemon(process: &Owner) -> Option<&'static str> {
    let is = |name: &str| process.program == name || process.name == name;
    // The kernel cuts names to 15 bytes.
    if is("proftpd") {
        Some(proftpd::NAME)
    } else if is("vsftpd") {
        Some(vsftpd::NAME)
    } else if is("sftpgo") {
        Some(sftpgo::NAME)
    } else if is("filezilla-server") || is("filezilla-serve") {
        Some(filezilla_server::NAME)
    } else if process.program.starts_with("pure-ftpd") || process.name.starts_with("pure-ftpd") {
        Some(pure_ftpd::NAME)
    } else if process.program.starts_with("python") && process.arguments().contains("pyftpdlib") {
        Some(pyftpdlib::NAME)
    } else {
        None
    }
}

/// Adds a finding to each reading whose daemon was started before a file of the reading last changed. Images have no
/// processes.
///
/// # Errors
/// When a unit that says how to restart the daemon cannot be read.
pub fn about_running(request: &Request, readings: &mut [Reading]) -> Result<(), ConfigError> {
    if request.root.is_some() {
        return Ok(());
    }
    // Nothing that runs is older than the last boot: most configurations are, and then no process is looked at.
    let booted = real_time_at_boot();
    let mut changes: Vec<_> = readings
        .iter()
        .map(|reading| last_change(reading).filter(|(_, at)| *at > booted))
        .collect();
    if changes.iter().all(Option::is_none) {
        return Ok(());
    }
    let sockets = listeners::listeners().unwrap_or_default();
    let running: Vec<(&'static str, Owner)> = listeners::processes()
        .into_iter()
        .filter_map(|id| named(id).map(|owner| (is_daemon(&owner), owner)))
        .filter_map(|(daemon, owner)| Some((daemon?, owner)))
        .collect();
    let host = Host::new(request)?;
    for index in 0..readings.len() {
        let Some((path, changed)) = changes[index].take() else {
            continue;
        };
        let alone = readings
            .iter()
            .filter(|reading| reading.daemon == readings[index].daemon)
            .count()
            == 1;
        let reading = &mut readings[index];
        let started = running
            .iter()
            .filter(|(daemon, _)| *daemon == reading.daemon)
            .filter(|(_, owner)| listens(owner, &sockets, reading, alone))
            .filter_map(|(_, owner)| Some((start(owner.id)? + booted, owner)))
            .filter(|(started, _)| changed > started + TOLERANCE)
            .min_by_key(|(started, _)| *started);
        if let Some((_, owner)) = started {
            let hint = super::restart(&host, reading)?;
            let finding = finding(reading.daemon, owner, &path);
            reading.findings.push(match hint.command() {
                Some(command) => finding.with_hint(format!("restart it: {command}")),
                None => finding.with_hint("restart it the way it was started"),
            });
        }
    }
    Ok(())
}

fn finding(daemon: &str, owner: &Owner, path: &Path) -> Finding {
    let message = format!(
        "{daemon} (pid {}) was started before this file last changed: it runs with what was there before, unless it \
         was told to read it again",
        owner.id
    );
    Finding::new("restart-needed", message).at(Location::file(path))
}

/// The process, when its name may be a daemon's: most are sorted out by one small file.
fn named(id: u32) -> Option<Owner> {
    let name = std::fs::read(format!("/proc/{id}/comm")).ok()?;
    let possible = [
        b"pure-ftpd".as_slice(),
        b"proftpd",
        b"vsftpd",
        b"sftpgo",
        b"filezilla-serv",
        b"python",
    ];
    let likely = possible.iter().any(|known| name.starts_with(known));
    likely.then(|| Owner::of(id)).flatten()
}

/// Whether the process takes control connections of this reading: a session has a data connection's socket at most.
fn listens(owner: &Owner, sockets: &[Listener], reading: &Reading, alone: bool) -> bool {
    let held = Owner::sockets(owner.id);
    let mut ports = sockets
        .iter()
        .filter(|socket| held.contains(&socket.inode))
        .map(|socket| socket.address.port());
    ports.any(|port| {
        // A changed control port is a change too, so the running one may not be among those read.
        reading.control.contains(&port) || alone && !reading.effective.contains(port)
    })
}

/// The file that changed last, and when, in nanoseconds since 1970. The inode's time also shows a file that was moved
/// into place with an older content time.
fn last_change(reading: &Reading) -> Option<(std::path::PathBuf, i64)> {
    let changes = reading.files.iter().filter_map(|path| {
        let metadata = std::fs::metadata(path).ok()?;
        let at = metadata.ctime() * NANOSECONDS + metadata.ctime_nsec();
        // What /proc shows of a process changes all the time.
        (!path.starts_with("/proc")).then(|| (path.clone(), at))
    });
    changes.max_by_key(|(_, at)| *at)
}

/// What the clock on the wall would have said when the machine booted, in nanoseconds since 1970.
fn real_time_at_boot() -> i64 {
    let nanoseconds = |clock| {
        let time = clock_gettime(clock);
        time.tv_sec * NANOSECONDS + time.tv_nsec
    };
    nanoseconds(ClockId::Realtime) - nanoseconds(ClockId::Boottime)
}

/// When a process started, in nanoseconds since boot: field 22 of /proc/PID/stat, behind the name in parentheses.
fn start(id: u32) -> Option<i64> {
    let bytes = std::fs::read(format!("/proc/{id}/stat")).ok()?;
    let stat = text::clean(&bytes);
    let fields = &stat[stat.rfind(')')? + 1..];
    let ticks: i64 = fields.split_ascii_whitespace().nth(19)?.parse().ok()?;
    Some(ticks * (NANOSECONDS / TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    use super::{NANOSECONDS, real_time_at_boot, start};

    #[test]
    fn a_process_starts_when_it_does() {
        let before = std::time::SystemTime::now();
        let mut child = std::process::Command::new("sleep")
            .arg("9")
            .spawn()
            .unwrap();
        let started = start(child.id()).unwrap() + real_time_at_boot();
        child.kill().unwrap();
        child.wait().unwrap();
        let before = before.duration_since(std::time::UNIX_EPOCH).unwrap();
        let difference = started - i64::try_from(before.as_nanos()).unwrap();
        // A tick early at most; late as long as a busy machine takes.
        assert!(
            (-NANOSECONDS / 50..10 * NANOSECONDS).contains(&difference),
            "{difference}"
        );
    }
}
