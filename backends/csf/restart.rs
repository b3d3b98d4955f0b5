//! `csf -r`: the last resort. It sets every policy to ACCEPT and flushes all rules before it makes them anew, which takes
//! about a second, and takes other programs' chains with it. So it is run only when asked for.

use std::io::{Read as _, Seek as _};
use std::path::Path;
use std::process::{Command, Stdio};

use super::conf::Conf;
use super::file::{self, wait_for_csf};
use super::items::Items;
use crate::error::{Error, ErrorKind, Result};
use crate::model::ruleset::Ruleset;

/// Where csf installs itself.
const PROGRAM: &str = "/usr/sbin/csf";
/// csf writes its reason here when it has given up, and then refuses nearly every command.
pub(super) const ERROR_FILE: &str = "/etc/csf/csf.error";
/// Every list that csf makes rules from: a bad item in any of them opens the firewall.
const LISTS: [&str; 8] = [
    "TCP_IN", "TCP_OUT", "UDP_IN", "UDP_OUT", "TCP6_IN", "TCP6_OUT", "UDP6_IN", "UDP6_OUT",
];

/// What is run, as it would be typed. Where lfd restarts csf, `csf -r` only leaves it a note.
pub(super) fn command(conf: &Conf) -> &'static str {
    if conf.is_on("LFDSTART") {
        "csf -sf"
    } else {
        "csf -r"
    }
}

/// Has csf make its rules anew.
///
/// # Errors
/// `Refused` when csf says so, in its words, or before it is run when its configuration would make it give up; `Busy`
/// when it is being restarted already.
pub(super) fn restart(root: &Path, conf: &Conf) -> Result<()> {
    for list in LISTS {
        if conf.value(list).is_some()
            && let Err(problem) = Items::of(conf, list)
        {
            return Err(Error::new(ErrorKind::Refused, problem.message));
        }
    }
    wait_for_csf(root)?;
    let command = command(conf);
    tracing::info!("{command}");
    let argument = command.trim_start_matches("csf ");
    // A file, not a pipe: what it starts may keep its standard output open for good.
    let mut printed = tempfile::tempfile()?;
    let status = Command::new(PROGRAM)
        .arg(argument)
        .stdin(Stdio::null())
        .stdout(printed.try_clone()?)
        .stderr(Stdio::null())
        .status()
        .map_err(|source| {
            Error::new(ErrorKind::Unsupported, format!("cannot start `{PROGRAM}`"))
                .with_source(source)
        })?;
    let reason = std::fs::read_to_string(file::path(root, ERROR_FILE)).ok();
    if status.success() && reason.is_none() {
        return Ok(());
    }
    let mut said = Vec::new();
    printed.rewind()?;
    printed.read_to_end(&mut said)?;
    let said = String::from_utf8_lossy(&said);
    let last = said.lines().rev().find(|line| line.contains("rror"));
    let words = reason.as_deref().or(last).unwrap_or_default().trim();
    let message = format!("`{command}` failed ({status}): {words}");
    Err(Error::new(ErrorKind::Refused, message))
}

/// The chains that were there before and are not any more.
pub(super) fn flushed(before: &Ruleset, after: &Ruleset) -> Vec<String> {
    let mut gone = Vec::new();
    for table in &before.tables {
        let now = after.table(table.filter, table.family, &table.name);
        for chain in &table.chains {
            if now.is_none_or(|now| now.chain(&chain.name).is_none()) {
                gone.push(format!(
                    "{} {} {}",
                    table.family.as_str(),
                    table.name,
                    chain.name
                ));
            }
        }
    }
    gone
}
