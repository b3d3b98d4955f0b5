//! How old what a process has read is.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::time::{ClockId, clock_gettime};

use crate::daemons::{proftpd, pure_ftpd};
use crate::listeners::{self, Owner};
use crate::terminal::clean;

/// `USER_HZ`, in which /proc/PID/stat counts: 100 on every architecture that servers run on (proc(5)).
const TICKS_PER_SECOND: i64 = 100;
pub(super) const NANOSECONDS: i64 = 1_000_000_000;

/// When a daemon read its configuration, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Age {
    /// When it was started.
    pub(super) started: i64,
    /// When it last read it again, where that can be told.
    pub(super) reread: Option<i64>,
    /// Whether it would be told.
    pub(super) leaves_traces: bool,
}

impl Age {
    /// The age of a daemon's process; `None` when it has ended.
    pub(super) fn of(id: u32, daemon: &str) -> Option<Self> {
        let started = start(id)? + real_time_at_boot();
        // RUN: SIGHUP ends Pure-FTPd. vsftpd reads its file again and shows it nowhere.
        let reread = (daemon == proftpd::NAME)
            .then(|| control_socket(id))
            .flatten();
        Some(Self {
            started,
            reread,
            leaves_traces: reread.is_some() || daemon == pure_ftpd::NAME,
        })
    }

    /// When it last read its configuration for certain.
    pub(super) fn read(&self) -> i64 {
        self.reread.unwrap_or(self.started).max(self.started)
    }
}

/// RUN: ProFTPD makes its control socket (`mod_ctrls`) anew whenever it reads its configuration: when that was. `None`
/// without such a socket, or when its file is another's by now (`proftpd -t` makes one in its place).
fn control_socket(id: u32) -> Option<i64> {
    let held = Owner::sockets(id);
    let found = listeners::unix_listeners().ok()?;
    let mut ours = found.iter().filter(|found| held.contains(&found.inode));
    let bound = ours.next().filter(|_| ours.next().is_none())?;
    let path = bound.path.strip_prefix("/").ok()?;
    let inside = Path::new("/proc").join(id.to_string()).join("root");
    let file = std::fs::symlink_metadata(inside.join(path)).ok()?;
    (file.ino() as u32 == bound.file).then(|| file.mtime() * NANOSECONDS + file.mtime_nsec())
}

/// What the clock on the wall would have said when the machine booted, in nanoseconds since 1970.
pub(super) fn real_time_at_boot() -> i64 {
    let nanoseconds = |clock| {
        let time = clock_gettime(clock);
        time.tv_sec * NANOSECONDS + time.tv_nsec
    };
    nanoseconds(ClockId::Realtime) - nanoseconds(ClockId::Boottime)
}

/// When a process started, in nanoseconds since boot: field 22 of /proc/PID/stat, behind the name in parentheses.
fn start(id: u32) -> Option<i64> {
    let bytes = std::fs::read(format!("/proc/{id}/stat")).ok()?;
    let stat = clean(&bytes);
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
