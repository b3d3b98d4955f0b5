//! The system calls that matter, and how each of them can fail.

use nix::errno::Errno::{EINTR, EIO, ENOMEM, ENOSPC};
use nix::libc;

use super::tracer::Fault::{self, Error, Half, Kill};

/// A system call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) name: &'static str,
    pub(super) number: libc::c_long,
    /// Which argument is a path; without one the first is a file.
    pub(super) path: Option<usize>,
    pub(super) faults: &'static [Fault],
}

impl Call {
    /// Whether it can fail for the medium's sake, and not for want of memory alone.
    pub(super) fn can_be_unread(&self) -> bool {
        let unread = |fault: &Fault| matches!(fault, Error(EIO));
        self.faults.iter().any(unread)
    }
}

const fn call(
    name: &'static str,
    number: libc::c_long,
    path: Option<usize>,
    faults: &'static [Fault],
) -> Call {
    Call {
        name,
        number,
        path,
        faults,
    }
}

/// What may be interrupted by a signal, or do the half, and is then to be asked for again (signal(7)).
pub(super) const RETRIED: [&str; 8] = [
    "flock",
    "fsync",
    "openat",
    "read",
    "recvfrom",
    "sendto",
    "write",
    "getdents64",
];

const READ: &[Fault] = &[Error(EIO), Error(ENOMEM), Kill];
const MEMORY: &[Fault] = &[Error(ENOMEM), Kill];
const DISK: &[Fault] = &[Error(EIO), Error(ENOSPC), Kill];

/// All of them.
pub(super) const CALLS: &[Call] = &[
    call("bind", libc::SYS_bind, None, MEMORY),
    call("chdir", libc::SYS_chdir, Some(0), READ),
    call("clone", libc::SYS_clone, None, MEMORY),
    call("clone3", libc::SYS_clone3, None, MEMORY),
    call("execve", libc::SYS_execve, Some(0), READ),
    call("fchmod", libc::SYS_fchmod, None, DISK),
    call("fchown", libc::SYS_fchown, None, DISK),
    call("fcntl", libc::SYS_fcntl, None, MEMORY),
    call("fgetxattr", libc::SYS_fgetxattr, None, READ),
    call("flistxattr", libc::SYS_flistxattr, None, READ),
    call(
        "flock",
        libc::SYS_flock,
        None,
        &[Error(EINTR), Error(ENOMEM), Kill],
    ),
    call("fork", libc::SYS_fork, None, MEMORY),
    call("fsetxattr", libc::SYS_fsetxattr, None, DISK),
    call("fstat", libc::SYS_fstat, None, READ),
    call(
        "fsync",
        libc::SYS_fsync,
        None,
        &[Error(EIO), Error(ENOSPC), Error(EINTR), Kill],
    ),
    call("ftruncate", libc::SYS_ftruncate, None, DISK),
    call("getdents64", libc::SYS_getdents64, None, READ),
    call("getsockopt", libc::SYS_getsockopt, None, MEMORY),
    call("linkat", libc::SYS_linkat, Some(1), DISK),
    call("lseek", libc::SYS_lseek, None, READ),
    call("memfd_create", libc::SYS_memfd_create, None, MEMORY),
    call("mkdir", libc::SYS_mkdir, Some(0), DISK),
    call("mmap", libc::SYS_mmap, None, MEMORY),
    call("mount", libc::SYS_mount, Some(1), READ),
    call("newfstatat", libc::SYS_newfstatat, Some(1), READ),
    call("open", libc::SYS_open, Some(0), READ),
    call(
        "openat",
        libc::SYS_openat,
        Some(1),
        &[Error(EIO), Error(ENOSPC), Error(ENOMEM), Error(EINTR), Kill],
    ),
    call("pipe2", libc::SYS_pipe2, None, MEMORY),
    call("pread64", libc::SYS_pread64, None, READ),
    call("pwrite64", libc::SYS_pwrite64, None, DISK),
    call(
        "read",
        libc::SYS_read,
        None,
        &[Error(EIO), Error(EINTR), Half, Kill],
    ),
    call("readlink", libc::SYS_readlink, Some(0), READ),
    call(
        "recvfrom",
        libc::SYS_recvfrom,
        None,
        &[Error(ENOMEM), Error(EINTR), Kill],
    ),
    call("recvmsg", libc::SYS_recvmsg, None, MEMORY),
    call("rename", libc::SYS_rename, Some(0), DISK),
    call("renameat", libc::SYS_renameat, Some(1), DISK),
    call("renameat2", libc::SYS_renameat2, Some(1), DISK),
    call("rmdir", libc::SYS_rmdir, Some(0), DISK),
    call("sendmsg", libc::SYS_sendmsg, None, MEMORY),
    call(
        "sendto",
        libc::SYS_sendto,
        None,
        &[Error(ENOMEM), Error(EINTR), Kill],
    ),
    call("setsockopt", libc::SYS_setsockopt, None, MEMORY),
    call("socket", libc::SYS_socket, None, MEMORY),
    call("socketpair", libc::SYS_socketpair, None, MEMORY),
    call("statx", libc::SYS_statx, Some(1), READ),
    call("unlink", libc::SYS_unlink, Some(0), DISK),
    call("unlinkat", libc::SYS_unlinkat, Some(1), DISK),
    call("unshare", libc::SYS_unshare, None, MEMORY),
    call("vfork", libc::SYS_vfork, None, MEMORY),
    call("wait4", libc::SYS_wait4, None, &[Kill]),
    call(
        "write",
        libc::SYS_write,
        None,
        &[Error(EIO), Error(ENOSPC), Error(EINTR), Half, Kill],
    ),
];
