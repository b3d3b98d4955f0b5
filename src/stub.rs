//! Stand-ins for what the sibling branches bring.
#![allow(missing_docs, clippy::missing_errors_doc)]
pub mod daemons {
    use crate::findings::{Finding, Location};
    use crate::passive::{PassiveRange, Reading};
    use firewall::model::ports::PortRange;
    use std::path::PathBuf;
    pub const NAMES: &[&str] = &["pure-ftpd", "proftpd", "vsftpd"];
    #[derive(Debug, Default)]
    pub struct Request {
        pub root: Option<PathBuf>,
        pub overrides: Vec<(String, PathBuf)>,
        pub only: Option<String>,
    }
    #[derive(Debug)]
    pub struct Discovery {
        pub readings: Vec<Reading>,
        pub findings: Vec<Finding>,
    }
    #[derive(Debug)]
    pub struct ConfigError {
        pub location: Location,
        pub message: String,
        pub hint: Option<String>,
    }
    impl std::fmt::Display for ConfigError {
        fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str(&self.message)
        }
    }
    impl std::error::Error for ConfigError {}
    pub fn discover(request: &Request) -> Result<Discovery, ConfigError> {
        let path = request
            .root
            .clone()
            .unwrap_or("/".into())
            .join("etc/proftpd/proftpd.conf");
        let Ok(text) = std::fs::read_to_string(&path) else {
            return Ok(Discovery {
                readings: vec![],
                findings: vec![Finding::new(
                    "no-daemon",
                    "no FTP daemon's configuration was found",
                )],
            });
        };
        let mut passive = vec![];
        for (index, line) in text.lines().enumerate() {
            let words: Vec<_> = line.split_whitespace().collect();
            if let ["PassivePorts", first, last] = words[..] {
                let ports = first.parse().ok().zip(last.parse().ok());
                passive.extend(ports.and_then(|(a, b)| PortRange::new(a, b)).map(|ports| {
                    PassiveRange {
                        ports,
                        location: Location {
                            path: path.clone(),
                            line: Some(index as u32 + 1),
                            column: None,
                        },
                    }
                }));
            }
        }
        Ok(Discovery {
            readings: vec![Reading {
                daemon: "proftpd",
                files: vec![path],
                effective: passive.iter().map(|range| range.ports).collect(),
                passive,
                control: vec![21],
                refuses: None,
                passive_enabled: true,
                findings: vec![],
            }],
            findings: vec![],
        })
    }
}
pub mod nftables {
    #[derive(Debug)]
    pub struct Nftables;
    impl Nftables {
        pub fn open() -> firewall::Result<Self> {
            Ok(Self)
        }
        pub fn ruleset(
            &mut self,
            _: firewall::backend::Layer,
        ) -> firewall::Result<firewall::model::ruleset::Ruleset> {
            Ok(firewall::model::ruleset::Ruleset::default())
        }
    }
}
pub mod reconcile {
    use crate::reconcile::{BackendOutcome, LayerOutcome};
    use firewall::backend::{Desired, Layer};
    use firewall::model::reach::{Reach, ReachEntry, ReachMap};
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Mode {
        Check,
        Sync,
        Remove,
    }
    pub fn reconcile(
        _backend: &mut super::nftables::Nftables,
        desired: &Desired,
        mode: Mode,
    ) -> anyhow::Result<BackendOutcome> {
        Ok(BackendOutcome {
            backend: "nftables",
            layers: vec![LayerOutcome {
                layer: Layer::Runtime,
                in_sync: mode != Mode::Check,
                reach: desired
                    .families
                    .iter()
                    .map(|&family| ReachMap {
                        family,
                        entries: vec![ReachEntry {
                            ports: desired.ports.clone(),
                            reach: if mode == Mode::Sync {
                                Reach::Open
                            } else {
                                Reach::Closed
                            },
                            because: "policy drop of chain input in table inet filter".into(),
                        }],
                        exceptions: vec![],
                    })
                    .collect(),
                edits: vec!["nft add rule inet filter input tcp dport 50000-50009 accept comment \"pasvsync\"".into()],
                refusals: vec![],
            }],
            changed: mode != Mode::Check,
            filters: true,
        })
    }
}
