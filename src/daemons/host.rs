//! What the daemons' readers may ask about the host: its files, its environment, its processes.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use firewall::model::ports::PortRange;

use super::disk::Disk;
use super::error::ConfigError;
use super::{Request, text};

/// The host, or an image of one.
#[derive(Debug)]
pub struct Host {
    /// Its files.
    pub disk: Disk,
    /// The ports that the kernel hands out (`net.ipv4.ip_local_port_range`).
    pub ephemeral: PortRange,
    /// Environment variables that the daemons are known to have, besides those of their units.
    pub environment: Vec<(String, String)>,
    processes: OnceCell<Vec<Process>>,
}

/// A running process, from /proc.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its id.
    pub id: u32,
    /// Its arguments, the program first.
    pub arguments: Vec<String>,
}

impl Host {
    /// The host that a request is about.
    ///
    /// # Errors
    /// When the root cannot be opened, or the kernel's port range cannot be read.
    pub fn new(request: &Request) -> Result<Self, ConfigError> {
        let disk = Disk::new(request.root.as_deref())?.with(request.instead.iter().cloned());
        let ephemeral = ephemeral(&disk)?;
        Ok(Self {
            disk,
            ephemeral,
            environment: request.environment.clone(),
            processes: OnceCell::new(),
        })
    }

    /// Whether this is the running host itself, not an image.
    pub fn is_live(&self) -> bool {
        self.disk.root().is_none()
    }

    /// A variable of the daemons' environment.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let mut matching = self
            .environment
            .iter()
            .rev()
            .filter(|(known, _)| known == name);
        matching.next().map(|(_, value)| value.as_str())
    }

    /// The running processes; none of an image. What cannot be read has ended or is someone else's: it is left out.
    pub fn processes(&self) -> &[Process] {
        self.processes.get_or_init(|| {
            if self.is_live() {
                self.read_processes()
            } else {
                Vec::new()
            }
        })
    }

    fn read_processes(&self) -> Vec<Process> {
        let proc = Path::new("/proc");
        let names = self.disk.list(proc).unwrap_or_else(|error| {
            self.disk.untold(error);
            None
        });
        let names = names.unwrap_or_default();
        let ids = names
            .iter()
            .filter_map(|name| name.to_str()?.parse::<u32>().ok());
        ids.filter_map(|id| {
            let bytes = std::fs::read(proc.join(id.to_string()).join("cmdline")).ok()?;
            let arguments: Vec<String> = bytes.split(|&byte| byte == 0).map(text::clean).collect();
            (!arguments.first()?.is_empty()).then_some(Process { id, arguments })
        })
        .collect()
    }

    /// The working folder of a process.
    pub fn working_folder(process: &Process) -> Option<PathBuf> {
        std::fs::read_link(format!("/proc/{}/cwd", process.id)).ok()
    }
}

/// Linux's default is 32768 to 60999 (Documentation/networking/ip-sysctl.rst); an image has no /proc, and then the
/// host's own is as good a guess as the default.
fn ephemeral(disk: &Disk) -> Result<PortRange, ConfigError> {
    let default = PortRange::new(32_768, 60_999).unwrap_or(PortRange::single(32_768));
    let Some(source) = disk.read(Path::new("/proc/sys/net/ipv4/ip_local_port_range"))? else {
        return Ok(default);
    };
    let written = text::clean(&source.bytes);
    let mut numbers = written.split_whitespace().map(str::parse::<u16>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(first)), Some(Ok(last))) => Ok(PortRange::new(first, last).unwrap_or(default)),
        _ => Ok(default),
    }
}
