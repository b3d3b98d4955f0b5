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
