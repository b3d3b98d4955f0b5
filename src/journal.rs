//! A change as one entry of systemd's journal, with fields to search by.
//!
//! The protocol is <https://systemd.io/JOURNAL_NATIVE_PROTOCOL>: one datagram with a field in each line.

use std::fmt::Write as _;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;

use crate::report::{Report, text};

const SOCKET: &str = "/run/systemd/journal/socket";
/// What all entries about a change have in common: `journalctl MESSAGE_ID=...` finds them.
const MESSAGE_ID: &str = "e52cf9ac807b4b1fb1f9527b5fcc2440";
/// syslog's "notice": normal, and worth to be seen.
const PRIORITY: u8 = 5;

/// Tells the journal what was changed, when it is where the output goes; whether it now knows.
pub fn announce(report: &Report) -> bool {
    if !is_journal(io::stdout()) {
        return false;
    }
    let sent =
        UnixDatagram::unbound().and_then(|socket| socket.send_to(entry(report).as_bytes(), SOCKET));
    if let Err(error) = &sent {
        tracing::debug!("the journal takes no entry: {error}");
    }
    sent.is_ok()
}

/// Whether a stream leads to the journal: systemd leaves its device and inode in `JOURNAL_STREAM` (systemd.exec(5)). A
/// program that was started by a service, but has its output redirected, inherits the variable too.
fn is_journal(stream: impl AsFd) -> bool {
    let Ok(expected) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    rustix::fs::fstat(stream)
        .is_ok_and(|status| expected == format!("{}:{}", status.st_dev, status.st_ino))
}

fn entry(report: &Report) -> String {
    let mut entry = String::new();
    let mut field = |name: &str, value: &str| {
        // A line break would begin another field.
        let _ = writeln!(entry, "{name}={}", value.replace('\n', " "));
    };
    field("MESSAGE", &text::change(report));
    field("MESSAGE_ID", MESSAGE_ID);
    field("PRIORITY", &PRIORITY.to_string());
    field("SYSLOG_IDENTIFIER", "pasvsync");
    field("PASVSYNC_RANGE", &report.wanted().to_string());
    for backend in &report.backends {
        field("PASVSYNC_BACKEND", backend.backend);
    }
    for (_, _, layer) in report.layers() {
        for edit in &layer.edits {
            field("PASVSYNC_CHANGED", edit);
        }
    }
    entry
}
