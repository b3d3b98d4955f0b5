//! What the daemons' readers may ask about the host: its files, its environment, its processes.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use firewall::model::ports::PortRange;

use super::Request;
use super::disk::Disk;
use crate::config_error::ConfigError;
use crate::terminal::clean;

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

    /// The processes that run in this network; none of an image. What cannot be read has ended: it is left out.
    pub fn processes(&self) -> &[Process] {
        self.processes.get_or_init(|| {
            if !self.is_live() {
                return Vec::new();
            }
            let names = self.disk.list(Path::new("/proc")).unwrap_or_else(|error| {
                self.disk.untold(error);
                None
            });
            let ids = names.unwrap_or_default();
            let ids = ids.iter().filter_map(|name| name.to_str()?.parse().ok());
            ids.filter_map(Process::of).collect()
        })
    }
}

impl Process {
    /// The process of that id; `None` when it has ended, has no arguments, or is in another network: a container's.
    pub fn of(id: u32) -> Option<Self> {
        let folder = PathBuf::from(format!("/proc/{id}"));
        let network = |folder: &Path| std::fs::read_link(folder.join("ns/net")).ok();
        let bytes = std::fs::read(folder.join("cmdline")).ok()?;
        let end = bytes.iter().rposition(|&byte| byte != 0)?;
        if network(&folder)? != network(Path::new("/proc/thread-self"))? {
            return None;
        }
        let arguments = bytes[..=end].split(|&byte| byte == 0).map(clean);
        Some(Self {
            id,
            arguments: arguments.collect(),
        })
    }

    /// The name of its program and what stands behind. A daemon that has written a title over its command line
    /// (`vsftpd: LISTENER`, `pure-ftpd (SERVER)`) has no such name any more (RUN).
    pub fn command(&self) -> Option<(&str, &[String])> {
        let (program, arguments) = self.arguments.split_first()?;
        Some((Path::new(program).file_name()?.to_str()?, arguments))
    }

    /// The file that shows its command line.
    pub fn file(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/cmdline", self.id))
    }

    /// A path as the process takes it: relative ones from its working folder.
    pub fn path(&self, written: &str) -> PathBuf {
        let folder = std::fs::read_link(format!("/proc/{}/cwd", self.id));
        folder.unwrap_or_default().join(written)
    }

    /// The user that it runs for, whatever it can make /proc look like; `None` when it has ended.
    pub fn user(&self) -> Option<u32> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    }
}

/// Linux's default is 32768 to 60999 (Documentation/networking/ip-sysctl.rst); an image has no /proc, and then the
/// host's own is as good a guess as the default.
fn ephemeral(disk: &Disk) -> Result<PortRange, ConfigError> {
    let default = PortRange::new(32_768, 60_999).unwrap_or(PortRange::single(32_768));
    let Some(source) = disk.read(Path::new("/proc/sys/net/ipv4/ip_local_port_range"))? else {
        return Ok(default);
    };
    let written = clean(&source.bytes);
    let mut numbers = written.split_whitespace().map(str::parse::<u16>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(first)), Some(Ok(last))) => Ok(PortRange::new(first, last).unwrap_or(default)),
        _ => Ok(default),
    }
}
