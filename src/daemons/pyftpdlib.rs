//! pyftpdlib: no configuration file; the command line of the running process is all there is (SRC).

use std::path::{Path, PathBuf};

use firewall::model::ports::{PortRange, PortSet};

use super::edit::not_editable;
use super::{ConfigError, Daemon, Edit, Host};
use crate::findings::{Finding, Location};
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

    fn is_costly(&self) -> bool {
        true
    }

    fn read(&self, host: &Host, _: Option<&Path>) -> Result<Vec<Reading>, ConfigError> {
        let readings = host.processes().iter().filter_map(|process| {
            let mut words = process
                .arguments
                .iter()
                .skip_while(|word| *word != "-m")
                .skip(1);
            (words.next()? == NAME).then(|| {
                let file = PathBuf::from(format!("/proc/{}/cmdline", process.id));
                let words: Vec<&str> = words.map(String::as_str).collect();
                from_arguments(host, file, &words)
            })
        });
        Ok(readings.collect())
    }

    fn ways(
        &self,
        _: &Host,
        _: Option<&Path>,
        range: PortRange,
    ) -> Result<Vec<Vec<Edit>>, ConfigError> {
        let error = not_editable("/proc", "pyftpdlib has no configuration file");
        Err(error.with_help(format!("start it with --range={range}")))
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
