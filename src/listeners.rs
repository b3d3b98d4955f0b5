//! Who listens on which TCP port of this network namespace.

mod diag;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// A socket that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The local address and port.
    pub address: SocketAddr,
    /// The socket's inode, by which its process is found.
    pub inode: u64,
}

/// A Unix socket that listens at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixListener {
    /// The socket's inode, by which its process is found.
    pub inode: u64,
    /// Where it was bound; something else may lie there by now.
    pub path: PathBuf,
    /// The lower 32 bits of the inode of the file that it was bound to.
    pub file: u32,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// Its id.
    pub id: u32,
    /// Its name, as the kernel has it.
    pub name: String,
    /// The file name of its program; the name where it cannot be seen.
    pub program: String,
}

/// The state of a listening socket in /proc/net/tcp (`TCP_LISTEN`).
const LISTENING: &str = "0A";

/// The sockets that listen, IPv4 and IPv6, loopback included.
///
/// # Errors
/// When neither netlink nor /proc gives them.
pub fn listeners() -> std::io::Result<Vec<Listener>> {
    // A kernel without `tcp_diag` still has the table.
    diag::listeners().or_else(|error| {
        tracing::debug!("no sockets over netlink ({error}), reading /proc instead");
        from_proc()
    })
}

/// The Unix sockets that listen.
///
/// # Errors
/// When the kernel does not say: it may lack `unix_diag`.
pub fn unix_listeners() -> std::io::Result<Vec<UnixListener>> {
    diag::unix_listeners()
}

/// The TCP sockets from /proc. A kernel without IPv6 has no such file, which is no error.
fn from_proc() -> std::io::Result<Vec<Listener>> {
    let mut found = Vec::new();
    for path in ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"] {
        let file = match fs_err::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound && path.ends_with('6') => continue,
            Err(error) => return Err(error),
        };
        for line in BufReader::new(file).lines().skip(1) {
            let line = line?;
            // The kernel lists the sockets that listen before all others (`tcp_seq_start`, net/ipv4/tcp_ipv4.c), and a
            // busy server has very many others.
            let Some(listener) = parse(&line) else {
                break;
            };
            found.push(listener);
        }
    }
    Ok(found)
}

/// A line of /proc/net/tcp (`Documentation/networking/proc_net_tcp.rst`); `None` when the socket does not listen.
fn parse(line: &str) -> Option<Listener> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (address, port) = fields.next()?.split_once(':')?;
    if fields.nth(1)? != LISTENING {
        return None;
    }
    Some(Listener {
        address: SocketAddr::new(parse_address(address)?, u16::from_str_radix(port, 16).ok()?),
        inode: fields.nth(5)?.parse().ok()?,
    })
}

/// What the kernel says of sockets, over netlink and in /proc: any bytes.
#[doc(hidden)]
pub fn fuzz(bytes: &[u8]) {
    diag::fuzz(bytes);
    for line in String::from_utf8_lossy(bytes).lines() {
        if let Some(listener) = parse(line) {
            listener.is_local();
        }
    }
}

/// Words of 32 bits in the byte order of the machine.
fn parse_address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = text.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    if text.len() == 8 {
        return Some(IpAddr::V4(Ipv4Addr::from(word(0)?)));
    }
    let mut octets = [0; 16];
    for index in 0..4 {
        octets[index * 4..index * 4 + 4].copy_from_slice(&word(index)?);
    }
    Some(IpAddr::V6(Ipv6Addr::from(octets)))
}

impl Listener {
    /// Whether only this host itself can reach it.
    pub fn is_local(&self) -> bool {
        match self.address.ip() {
            IpAddr::V4(address) => address.is_loopback(),
            IpAddr::V6(address) => {
                address.is_loopback()
                    || address
                        .to_ipv4_mapped()
                        .is_some_and(|address| address.is_loopback())
            }
        }
    }
}

/// The ids of all processes.
pub fn processes() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

impl Owner {
    /// The process of that id; `None` when it has ended.
    pub fn of(id: u32) -> Option<Self> {
        let name = std::fs::read_to_string(format!("/proc/{id}/comm")).ok()?;
        let name = name.trim_end_matches('\n').to_owned();
        let program = std::fs::read_link(format!("/proc/{id}/exe")).ok();
        let program = program.and_then(|path| {
            let shown = path.to_string_lossy().into_owned();
            // The program was replaced by an update.
            let path = shown.strip_suffix(" (deleted)").unwrap_or(&shown);
            Some(std::path::Path::new(path).file_name()?.to_str()?.to_owned())
        });
        Some(Self {
            id,
            program: program.unwrap_or_else(|| name.clone()),
            name,
        })
    }

    /// The inodes of its sockets; none when it has ended or is somebody else's.
    pub fn sockets(id: u32) -> BTreeSet<u64> {
        let entries = std::fs::read_dir(format!("/proc/{id}/fd"));
        let links = entries.into_iter().flatten().flatten();
        let inode = |link: std::fs::DirEntry| {
            let target = std::fs::read_link(link.path()).ok()?;
            let target = target.to_str()?.strip_prefix("socket:[")?;
            target.strip_suffix(']')?.parse().ok()
        };
        links.filter_map(inode).collect()
    }

    /// Its arguments, a blank between.
    pub fn arguments(&self) -> String {
        let bytes = std::fs::read(format!("/proc/{}/cmdline", self.id)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', " ")
    }
}

/// Whether this process may not see what others have open: without `CAP_SYS_PTRACE`, as in a sandbox, the kernel does
/// not show it (`proc_pid_fd(5)`).
pub fn is_blind() -> bool {
    let init = std::fs::read_link("/proc/1/cwd");
    init.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

/// The processes that hold sockets, by inode: every process is looked at, which takes its time.
pub fn owners(inodes: &BTreeSet<u64>) -> BTreeMap<u64, Owner> {
    let mut owners = BTreeMap::new();
    for id in processes() {
        let held: Vec<u64> = Owner::sockets(id).intersection(inodes).copied().collect();
        if held.is_empty() {
            continue;
        }
        if let Some(owner) = Owner::of(id) {
            for inode in held {
                // A worker may share the socket: the first process is the one that made it.
                owners.entry(inode).or_insert_with(|| owner.clone());
            }
        }
    }
    owners
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn lines_of_the_kernel_are_read() {
        let line = "   0: 0100007F:C355 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 17343 1 0 100 0 0 10 0";
        let listener = parse(line).unwrap();
        assert_eq!(listener.inode, 17_343);
        if cfg!(target_endian = "little") {
            assert_eq!(listener.address.to_string(), "127.0.0.1:50005");
            assert!(listener.is_local());
            let line = line.replace("0100007F", "B80D0120000000000000000001000000");
            assert_eq!(
                parse(&line).unwrap().address.to_string(),
                "[2001:db8::1]:50005"
            );
            let mapped = line.replace(
                "B80D0120000000000000000001000000",
                "0000000000000000FFFF00000100007F",
            );
            assert!(parse(&mapped).unwrap().is_local());
        }
        assert_eq!(parse(&line.replace(" 0A ", " 01 ")), None);
    }

    #[test]
    fn a_listener_is_found_with_its_process() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let found = listeners().unwrap();
        let listener = found.iter().find(|listener| listener.address == address);
        let inode = listener.unwrap().inode;
        let owners = owners(&BTreeSet::from([inode]));
        assert_eq!(owners[&inode].id, std::process::id());
    }
}
