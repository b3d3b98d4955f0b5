//! Which system calls are alike: made by the same code, after the same has been done.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::FileExt;

use nix::libc::{self, user_regs_struct};
use nix::unistd::Pid;

use super::calls::Call;

/// What changes something that outlives the process, or that others see.
const ACTS: [&str; 24] = [
    "clone",
    "clone3",
    "execve",
    "fchmod",
    "fchown",
    "fork",
    "fsetxattr",
    "fsync",
    "ftruncate",
    "linkat",
    "mkdir",
    "mount",
    "pwrite64",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "sendmsg",
    "unlink",
    "unlinkat",
    "unshare",
    "vfork",
    "write",
    "flock",
];

/// `NFNL_MSG_BATCH_BEGIN`: what goes to the kernel otherwise asks it something.
const BATCH: u16 = 0x10;
/// As far up the stack are return addresses looked for, and so many of them tell a place in the code.
const STACK: usize = 1 << 12;
const NEAREST: usize = 4;

/// Whether a call may change something that outlives the process, or that others see.
pub(super) fn acts(pid: Pid, call: &Call, registers: &user_regs_struct, own: bool) -> bool {
    match call.name {
        "openat" => registers.rdx & libc::O_CREAT as u64 != 0,
        "open" => registers.rsi & libc::O_CREAT as u64 != 0,
        "sendto" => matches!(
            memory(pid, registers.rsi, 6)[..],
            [.., low, high] if u16::from_le_bytes([low, high]) == BATCH
        ),
        // iptables-legacy replaces a table so.
        "setsockopt" => !own,
        // Threads wake each other.
        "write" => !file(pid, registers.rdi).starts_with("anon_inode:"),
        name => ACTS.contains(&name),
    }
}

/// What tells a place in a program's code, and what it works on: the nearest return addresses on the stack, and the
/// folder of the path or the kind of the file.
pub(super) fn site(pid: Pid, call: &Call, registers: &user_regs_struct) -> u64 {
    let code = code(pid);
    let mut hasher = DefaultHasher::new();
    let subject = subject(pid, call, registers);
    let name = subject.trim_end_matches(|letter: char| letter != '/' && letter != ':');
    name.hash(&mut hasher);
    let stack = memory(pid, registers.rsp, STACK);
    let words = stack.chunks_exact(8);
    let addresses = words.filter_map(|word| {
        let word = word.try_into().map_or(0, u64::from_le_bytes);
        let (first, _, name) = code.iter().find(|it| (it.0..it.1).contains(&word))?;
        Some((name, word - first))
    });
    for address in addresses.take(NEAREST) {
        address.hash(&mut hasher);
    }
    hasher.finish()
}

/// The path or the file that a call is about.
pub(super) fn subject(pid: Pid, call: &Call, registers: &user_regs_struct) -> String {
    let arguments = [registers.rdi, registers.rsi, registers.rdx, registers.r10];
    let Some(address) = call.path.and_then(|index| arguments.get(index)) else {
        return file(pid, registers.rdi);
    };
    let bytes = memory(pid, *address, 256);
    let path = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(path).into_owned()
}

/// What is mapped as code: from, to, and the file.
fn code(pid: Pid) -> Vec<(u64, u64, String)> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let lines = maps.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (first, last) = words.next()?.split_once('-')?;
        let executable = words.next()?.contains('x');
        let name = words.next_back()?.to_owned();
        let number = |text| u64::from_str_radix(text, 16).ok();
        executable.then_some((number(first)?, number(last)?, name))
    });
    lines.collect()
}

/// What a file descriptor is.
pub(super) fn file(pid: Pid, descriptor: u64) -> String {
    let link = std::fs::read_link(format!("/proc/{pid}/fd/{descriptor}"));
    link.unwrap_or_default().display().to_string()
}

/// The memory of a process, as far as it can be read.
pub(super) fn memory(pid: Pid, address: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let file = std::fs::File::open(format!("/proc/{pid}/mem"));
    let read = file.and_then(|file| file.read_at(&mut bytes, address));
    bytes.truncate(read.unwrap_or_default());
    bytes
}
