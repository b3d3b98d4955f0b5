//! A host of its own: a network namespace, and folders of its own where programs write. Its programs are this host's.
//!
//! Nothing is mounted for anybody else: only file descriptors, and the processes inside, hold the namespaces.

use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, OnceLock};
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};

use super::command::{Output, Running, quiet, run};
use super::program::PROGRAM;
use super::{ready, skip};

/// What programs look up, below `/etc`; nothing that says how this host is set up.
const LOOKED_UP: [&str; 6] = [
    "group",
    "ld.so.cache",
    "nsswitch.conf",
    "passwd",
    "protocols",
    "services",
];
/// The folders that are the host's own, and empty at first.
pub(crate) const OWN: [&str; 4] = ["/etc", "/run", "/tmp", "/var/lib"];
/// A firewall that drops what it does not know, as nftables' boot file.
pub(crate) const NFTABLES: &str = include_str!("../systemd/nftables.conf");
/// The like for iptables-restore, of either family.
pub(crate) const IPTABLES: &str = "*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
";
/// Where `systemctl enable` puts its links.
const ENABLED: &str = "/etc/systemd/system/multi-user.target.wants";

/// What is built here, the program among it: it stays in its place, whichever folder that is in.
pub(crate) fn built() -> &'static Path {
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    temporary.parent().unwrap_or(temporary)
}

/// The host, for as long as the value lives.
#[derive(Debug)]
pub(crate) struct Host {
    network: OwnedFd,
    mounts: OwnedFd,
    /// They end with the host.
    daemons: Mutex<Vec<Running>>,
}

impl Host {
    /// A new host, without rules, whose own folders have room for `size` each (as mount(8) has it); `Err` where that
    /// cannot be.
    pub(crate) fn new(size: &str) -> Result<Self, String> {
        let looked_up = looked_up();
        let options = std::ffi::CString::new(format!("mode=755,size={size}"));
        let options = options.map_err(|error| error.to_string())?;
        let build = || -> std::io::Result<Self> {
            unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)?;
            mount_change(
                "/",
                MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
            )?;
            let covered = OWN.iter().any(|folder| built().starts_with(folder));
            if covered {
                mount("tmpfs", "/mnt", "tmpfs", MountFlags::empty(), None)?;
                std::fs::create_dir("/mnt/built")?;
                mount_bind(built(), "/mnt/built")?;
            }
            for folder in OWN {
                mount("tmpfs", folder, "tmpfs", MountFlags::empty(), &*options)?;
            }
            if covered {
                std::fs::create_dir_all(built())?;
                mount_bind("/mnt/built", built())?;
            }
            std::fs::create_dir_all(ENABLED)?;
            std::fs::create_dir("/etc/alternatives")?;
            for (path, content) in looked_up {
                match content {
                    Content::File(bytes) => std::fs::write(path, bytes)?,
                    Content::Link(target) => symlink(target, path)?,
                }
            }
            let open = |name: &str| -> std::io::Result<OwnedFd> {
                let path = format!("/proc/thread-self/ns/{name}");
                Ok(OwnedFd::from(fs_err::File::open(path)?.into_file()))
            };
            Ok(Self {
                network: open("net")?,
                mounts: open("mnt")?,
                daemons: Mutex::default(),
            })
        };
        thread::scope(|scope| scope.spawn(build).join().expect("the thread that mounts"))
            .map_err(|error| format!("a host of its own cannot be made: {error}"))
    }

    /// A new host with room for 16 MB in each folder; `None`, and it is said why, where there can be none or a tool is
    /// missing.
    pub(crate) fn on_its_own(tools: &[&str]) -> Option<Self> {
        if !ready(&[&["nft", "ip"], tools].concat()) {
            return None;
        }
        // In a user namespace, files of one's own do not make a host of one's own.
        let map = fs_err::read_to_string("/proc/self/uid_map").expect("the map of users");
        let host = if map.split_whitespace().eq(["0", "0", "4294967295"]) {
            Self::new("16m")
        } else {
            Err("needs a root that is root outside as well".to_owned())
        };
        let test = thread::current().name().unwrap_or("?").to_owned();
        host.map_err(|reason| skip(&format!("{test}: {reason}")))
            .ok()
    }

    /// Runs `work` on the host; child processes that it starts stay there.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let answer = thread::scope(|scope| {
            let inside = || {
                // Threads that share their working folder cannot enter.
                unshare(CloneFlags::CLONE_FS).expect("a working folder of its own");
                setns(&self.mounts, CloneFlags::CLONE_NEWNS).expect("enter the mount namespace");
                setns(&self.network, CloneFlags::CLONE_NEWNET).expect("enter the network");
                work()
            };
            scope.spawn(inside).join()
        });
        answer.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Runs a command on the host.
    #[track_caller]
    pub(crate) fn command(&self, program: &str, arguments: &[&str]) -> Output {
        self.run(|| run(plain(program).args(arguments), ""))
    }

    /// Runs a command that must succeed; its standard output.
    #[track_caller]
    pub(crate) fn must(&self, program: &str, arguments: &[&str]) -> String {
        let what = format!("{program} {arguments:?}");
        self.command(program, arguments).expect_success(&what)
    }

    /// Starts a program that runs for as long as the host is there, and says nothing.
    #[track_caller]
    pub(crate) fn start(&self, program: &str, arguments: &[&str]) {
        let child = self.run(|| {
            let mut command = plain(program);
            let command = command.args(arguments);
            let command = command.stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().expect(program)
        });
        let mut daemons = self.daemons.lock().expect("the daemons");
        daemons.push(Running(child));
    }

    /// Runs pasvsync on the host.
    #[track_caller]
    pub(crate) fn pasvsync(&self, arguments: &[&str]) -> Output {
        self.command(PROGRAM, arguments)
    }

    /// Writes a file of root's with that mode, and the folders above it.
    pub(crate) fn write(&self, path: &str, text: &str, mode: u32) {
        self.run(|| {
            let folder = Path::new(path).parent().expect("a folder");
            fs_err::create_dir_all(folder).expect("make the folder");
            fs_err::write(path, text).expect("write the file");
            fs_err::set_permissions(path, PermissionsExt::from_mode(mode)).expect("set its mode");
        });
    }

    /// Reads a file.
    #[track_caller]
    pub(crate) fn read(&self, path: &str) -> String {
        self.run(|| fs_err::read_to_string(path))
            .expect("read the file")
    }

    /// Has boot of the system below `root` start a service.
    pub(crate) fn enable(&self, root: &str, service: &str) {
        self.run(|| {
            let unit = format!("{service}.service");
            let folder = format!("{root}{ENABLED}");
            fs_err::create_dir_all(&folder).expect("make the folder");
            let target = format!("/lib/systemd/system/{unit}");
            symlink(target, Path::new(&folder).join(unit)).expect("enable the service");
        });
    }
}

/// A command with nothing of this host's in its environment that would make a difference.
pub(crate) fn plain(program: &str) -> std::process::Command {
    let mut command = quiet(program);
    command.env_remove("TMPDIR").env_remove("XTABLES_LOCKFILE");
    command.env("NO_COLOR", "1").current_dir("/");
    command
}

/// What programs look up, read before the host's own folders cover it.
fn looked_up() -> &'static [(PathBuf, Content)] {
    static FOUND: OnceLock<Vec<(PathBuf, Content)>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let files = LOOKED_UP.map(|name| Path::new("/etc").join(name));
        let mut found: Vec<_> = files
            .into_iter()
            .filter_map(|path| Some((path.clone(), Content::File(fs_err::read(path).ok()?))))
            .collect();
        // Debian's iptables is a link that leads through here.
        for entry in fs_err::read_dir("/etc/alternatives")
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if let (true, Ok(target)) = (name.contains("tables"), fs_err::read_link(&path)) {
                found.push((path, Content::Link(target)));
            }
        }
        found
    })
}

#[derive(Debug)]
enum Content {
    File(Vec<u8>),
    Link(PathBuf),
}
