//! A network namespace that lives as long as its value.

use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace, held by its file descriptor.
#[derive(Debug)]
pub(crate) struct Namespace {
    descriptor: OwnedFd,
}

impl Namespace {
    /// A new, empty namespace; `Err` when this user may not make one.
    pub(crate) fn new() -> std::io::Result<Self> {
        // A thread of its own: the caller's thread stays where it is.
        thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            let descriptor = fs_err::File::open("/proc/thread-self/ns/net")?;
            Ok(Self {
                descriptor: OwnedFd::from(descriptor.into_file()),
            })
        })
        .join()
        .expect("the thread that makes a namespace")
    }

    /// The same namespace, held once more.
    pub(crate) fn again(&self) -> Self {
        let descriptor = self.descriptor.try_clone().expect("a descriptor");
        Self { descriptor }
    }

    /// Runs `work` inside the namespace; sockets and child processes it makes stay there.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let answer = thread::scope(|scope| {
            scope
                .spawn(|| {
                    setns(&self.descriptor, CloneFlags::CLONE_NEWNET).expect("enter the namespace");
                    work()
                })
                .join()
        });
        answer.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// A path that opens the namespace, for `ip link ... netns PATH`.
    pub(crate) fn path(&self) -> String {
        format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            self.descriptor.as_raw_fd()
        )
    }
}
