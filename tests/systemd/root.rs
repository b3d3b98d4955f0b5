//! A machine's files: the host's programs, and little else. They outlive the machine's reboots and nothing more.
//!
//! They are mounts in a mount namespace that only a file descriptor and the machine's processes hold: whatever happens to
//! the test, no mount is left behind.

use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

use crate::support::command::{quiet, run};

/// What programs look up, below the host's /etc; nothing that says how the host is set up.
const FILES: [&str; 7] = [
    "group",
    "ld.so.cache",
    "nsswitch.conf",
    "passwd",
    "protocols",
    "services",
    "shadow",
];

/// What no test needs and each boot would wait for.
const MASKED: [&str; 2] = ["getty.target", "systemd-logind.service"];

/// A machine ends by itself, should the test be killed before it can.
const LIFETIME: &str = "[Timer]\nOnBootSec=10min\nUnit=poweroff.target\n";

/// The files of a machine.
#[derive(Debug)]
pub(crate) struct Root {
    mounts: OwnedFd,
    /// Empty outside the mount namespace.
    folder: tempfile::TempDir,
}

impl Root {
    /// Some /usr (or several that lie over each other, as overlayfs has it) with a layer over it that can be written, and
    /// an /etc in which nothing is enabled.
    pub(crate) fn with(usr: &Path) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let path = folder.path();
        let mounts = thread::scope(|scope| {
            let built = scope.spawn(|| {
                unshare(CloneFlags::CLONE_NEWNS).map_err(|error| error.to_string())?;
                mount(&["--make-rprivate", "/"])?;
                // systemd-nspawn keeps its notes there, and leaves some.
                mount(&["-t", "tmpfs", "tmpfs", "/run"])?;
                fill(path, usr)?;
                fs_err::File::open("/proc/thread-self/ns/mnt").map_err(|error| error.to_string())
            });
            built.join().expect("the thread that mounts")
        })?;
        Ok(Self {
            mounts: OwnedFd::from(mounts.into_file()),
            folder,
        })
    }

    /// Where the machine's files are, for those who see the mounts.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Runs `work` where the mounts are seen, with [`Root::path`]; child processes stay there.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce(&Path) -> T + Send) -> T {
        let path = self.path();
        let answer = thread::scope(|scope| {
            let inside = || {
                // Threads that share their working folder cannot enter.
                unshare(CloneFlags::CLONE_FS).expect("a working folder of its own");
                setns(&self.mounts, CloneFlags::CLONE_NEWNS).expect("enter the mount namespace");
                work(&path)
            };
            scope.spawn(inside).join()
        });
        answer.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn mount(arguments: &[&str]) -> Result<(), String> {
    let output = run(quiet("mount").args(arguments), "");
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("mount {arguments:?}: {}", output.stderr.trim()))
    }
}

/// Mounts and writes the files.
fn fill(folder: &Path, usr: &Path) -> Result<(), String> {
    let text = |path: &Path| path.to_str().expect("a plain path").to_owned();
    let [root, upper, work] = ["root", "upper", "work"].map(|name| folder.join(name));
    mount(&["-t", "tmpfs", "-o", "mode=0755", "tmpfs", &text(folder)])?;
    for path in [&root, &upper, &work] {
        fs_err::create_dir(path).expect("a folder");
    }
    for name in [
        "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr", "var",
    ] {
        fs_err::create_dir(root.join(name)).expect("a folder");
    }
    let layers = format!(
        "lowerdir={},upperdir={},workdir={}",
        text(usr),
        text(&upper),
        text(&work)
    );
    mount(&[
        "-t",
        "overlay",
        "-o",
        &layers,
        "overlay",
        &text(&root.join("usr")),
    ])?;
    for name in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
        if let Ok(target) = fs_err::read_link(Path::new("/").join(name)) {
            symlink(target, root.join(name)).expect("a link into /usr");
        } else if name == "bin" {
            return Err("/bin is not a part of /usr on this host".to_owned());
        }
    }
    settings(&root.join("etc"));
    Ok(())
}

/// Writes /etc.
fn settings(etc: &Path) {
    for name in FILES {
        let file = Path::new("/etc").join(name);
        if file.exists() {
            fs_err::copy(file, etc.join(name)).expect("copy a file");
        }
    }
    // Debian's iptables is a link that leads through here.
    run(quiet("cp").args(["-a", "/etc/alternatives"]).arg(etc), "");
    symlink("../usr/lib/os-release", etc.join("os-release")).expect("a link");
    // Without one, systemd would take this for the first boot and enable what the vendor thinks best.
    let identity = format!("{:032x}\n", std::process::id());
    fs_err::write(etc.join("machine-id"), identity).expect("the machine's id");
    let units = etc.join("systemd/system");
    fs_err::create_dir_all(units.join("timers.target.wants")).expect("a folder");
    for unit in MASKED {
        symlink("/dev/null", units.join(unit)).expect("mask a unit");
    }
    fs_err::write(units.join("lifetime.timer"), LIFETIME).expect("a unit");
    symlink(
        "../lifetime.timer",
        units.join("timers.target.wants/lifetime.timer"),
    )
    .expect("enable the unit");
}
