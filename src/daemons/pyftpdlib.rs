//! pyftpdlib: no configuration file; the command line of the running process is all there is (SRC).

use std::path::{Path, PathBuf};

use firewall::model::ports::{PortRange, PortSet};

use super::edit::not_editable;
use super::{ConfigError, Daemon, Host, Process, Ways};
use crate::findings::{Finding, Location};
use crate::listeners::Owner;
use crate::passive::{Advertised, PassiveRange, Reading};

/// The name, as `--daemon` takes it.
pub(super) const NAME: &str = "pyftpdlib";

/// `python -m pyftpdlib`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pyftpdlib;

impl Daemon for Pyftpdlib {
    fn name(&self) -> &'static str {
        NAME
    }

    /// There is nothing to read but what runs.
    fn read(&self, _: &Host, _: Option<&Path>) -> Result<Vec<Reading>, ConfigError> {
        Ok(Vec::new())
    }

    fn started(&self, host: &Host, process: &Process) -> Result<Option<Reading>, ConfigError> {
        let arguments = process.arguments.iter().map(String::as_str);
        let mut words = arguments.skip_while(|word| *word != "-m").skip(1);
        if words.next() != Some(NAME) {
            return Ok(None);
        }
        let words: Vec<&str> = words.collect();
        let mut reading = from_arguments(host, process.file(), &words);
        if let Some(user) = process.user().filter(|user| *user != 0) {
            let message =
                format!("user {user} runs it, and decides with its --range what is opened");
            reading.findings.push(
                Finding::new("user-writable", message)
                    .with_hint("pass --range only where that user may open ports")
                    .at(Location::file(process.file())),
            );
        }
        Ok(Some(reading))
    }

    fn ways(&self, _: &Host, _: Option<&Path>, range: PortRange) -> Ways {
        let error = not_editable("/proc", "pyftpdlib has no configuration file");
        Err(error.with_help(format!("start it with --range={range}")))
    }

    fn range_by_hand(&self, _: &Reading) -> String {
        "start it with --range=49152-50175".to_owned()
    }

    fn address_by_hand(&self) -> &'static str {
        "--nat-address=ADDRESS"
    }

    fn is_editable(&self) -> bool {
        false
    }

    fn process_name(&self) -> &'static str {
        "python"
    }

    fn is_run_by(&self, process: &Owner) -> bool {
        process.program.starts_with("python") && process.arguments().contains(NAME)
    }
}

/// `-p PORT` (2121), `-r FROM-TO` (inclusive), `-n ADDRESS`.
fn from_arguments(host: &Host, file: PathBuf, words: &[&str]) -> Reading {
    let value = |short: &str, long: &str| {
        words.iter().enumerate().rev().find_map(|(index, word)| {
            if *word == short || *word == long {
                return words.get(index + 1).copied();
            }
            let rest = word
                .strip_prefix(long)
                .and_then(|rest| rest.strip_prefix('='));
            rest.or_else(|| {
                word.strip_prefix(short)
                    .filter(|rest| !rest.is_empty() && !word.starts_with("--"))
            })
        })
    };
    let mut reading = Reading::new(NAME);
    let location = Location::file(&file);
    reading.files.push(file);
    reading.control = vec![
        value("-p", "--port")
            .and_then(|port| port.parse().ok())
            .unwrap_or(2121),
    ];
    if let Some(address) = value("-n", "--nat-address") {
        reading.advertised.push(Advertised {
            address: address.to_owned(),
            directive: "--nat-address",
            location: location.clone(),
        });
    }
    let range = value("-r", "--range").and_then(|range| range.split_once('-'));
    let ports =
        range.and_then(|(first, last)| PortRange::new(first.parse().ok()?, last.parse().ok()?));
    match ports {
        Some(ports) => {
            reading.effective = ports.into();
            reading.passive.push(PassiveRange { ports, location });
            let message =
                format!("when all of {ports} are busy, pyftpdlib takes a port outside the range");
            if ports.last() - ports.first() < 99 {
                reading.findings.push(
                    Finding::new("range-too-small", message)
                        .with_hint("give it a hundred ports or more"),
                );
            }
        }
        None => reading.effective = PortSet::from(host.ephemeral),
    }
    reading
}
