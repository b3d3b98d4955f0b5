//! The sockets that listen, asked of the kernel over netlink (`sock_diag(7)`): /proc/net/tcp walks the table of all
//! connections, used or not, which takes milliseconds on a machine with much memory.

use std::ffi::OsStr;
use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use firewall::netfilter::dump;
use rustix::net::AddressFamily;

use super::{Listener, UnixListener};

/// `NETLINK_SOCK_DIAG`
const SOCKET_DIAGNOSIS: isize = 4;
/// `SOCK_DIAG_BY_FAMILY`
const BY_FAMILY: u16 = 20;
/// `IPPROTO_TCP`
const TCP: u8 = 6;
/// `1 << TCP_LISTEN`
const LISTENING: u32 = 1 << 10;
/// The sizes of `nlmsghdr`, `inet_diag_req_v2` and `inet_diag_msg`.
const HEADER: usize = 16;
const REQUEST: usize = 56;
const MESSAGE: usize = 72;
/// The size of `unix_diag_msg`, and its attributes `UNIX_DIAG_NAME` and `UNIX_DIAG_VFS`, asked for by
/// `UDIAG_SHOW_NAME | UDIAG_SHOW_VFS`.
const UNIX_MESSAGE: usize = 16;
const UNIX_NAME: u16 = 0;
const UNIX_FILE: u16 = 1;
const SHOW: u32 = 3;

/// The sockets of both families that listen.
pub(super) fn listeners() -> Result<Vec<Listener>> {
    let mut found = Vec::new();
    for family in [AddressFamily::INET, AddressFamily::INET6] {
        let request = [[family.as_raw() as u8, TCP, 0, 0], LISTENING.to_ne_bytes()];
        let request = [request.as_flattened(), &[0; REQUEST - 8]].concat();
        ask(&request, &mut |body| {
            found.push(parse(body)?);
            Ok(())
        })?;
    }
    Ok(found)
}

/// The Unix sockets that listen at a path.
pub(super) fn unix_listeners() -> Result<Vec<UnixListener>> {
    let family = [AddressFamily::UNIX.as_raw() as u8, 0, 0, 0];
    let request = [family, LISTENING.to_ne_bytes(), [0; 4], SHOW.to_ne_bytes()];
    let mut found = Vec::new();
    ask(&[request.as_flattened(), &[0; 8]].concat(), &mut |body| {
        found.extend(parse_unix(body)?);
        Ok(())
    })?;
    Ok(found)
}

fn ask(request: &[u8], each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut outcome = Ok(());
    dump(SOCKET_DIAGNOSIS, BY_FAMILY, request, |body| {
        if outcome.is_ok() {
            outcome = each(body);
        }
    })?;
    outcome
}

/// A message of any bytes.
pub(super) fn fuzz(message: &[u8]) {
    let Some(body) = message.get(HEADER..) else {
        return;
    };
    // What is cut short is an error, which nothing follows from.
    let _ = parse(body);
    let _ = parse_unix(body);
}

/// `unix_diag_msg`, then attributes: the name, and the file that stands for it (`linux/unix_diag.h`). `None` when it
/// has no file.
fn parse_unix(body: &[u8]) -> Result<Option<UnixListener>> {
    let inode = u64::from(u32::from_ne_bytes(bytes(body, 4)?));
    let (mut path, mut file) = (None, None);
    let mut rest = body.get(UNIX_MESSAGE..).ok_or_else(malformed)?;
    while rest.len() >= 4 {
        let size = usize::from(u16::from_ne_bytes(bytes(rest, 0)?));
        let value = rest.get(4..size).ok_or_else(malformed)?;
        match u16::from_ne_bytes(bytes(rest, 2)?) {
            UNIX_NAME => {
                // Abstract names start with the NUL that others may end in.
                let name = value.split(|&byte| byte == 0).next();
                path = name.filter(|name| !name.is_empty());
            }
            UNIX_FILE => file = Some(u32::from_ne_bytes(bytes(value, 0)?)),
            _ => {}
        }
        rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(path.zip(file).map(|(path, file)| UnixListener {
        inode,
        path: PathBuf::from(OsStr::from_bytes(path)),
        file,
    }))
}

/// `inet_diag_msg`: family, state, timer, retransmits, then the ports and addresses in network order.
fn parse(body: &[u8]) -> Result<Listener> {
    let body = body.get(..MESSAGE).ok_or_else(malformed)?;
    let address = if body[0] == AddressFamily::INET.as_raw() as u8 {
        IpAddr::V4(Ipv4Addr::from(bytes::<4>(body, 8)?))
    } else {
        IpAddr::V6(Ipv6Addr::from(bytes::<16>(body, 8)?))
    };
    let port = u16::from_be_bytes(bytes(body, 4)?);
    Ok(Listener {
        address: SocketAddr::new(address, port),
        inode: u64::from(u32::from_ne_bytes(bytes(body, MESSAGE - 4)?)),
    })
}

fn bytes<const LENGTH: usize>(text: &[u8], at: usize) -> Result<[u8; LENGTH]> {
    let found = text.get(at..at + LENGTH).ok_or_else(malformed)?;
    found.try_into().map_err(|_| malformed())
}

fn malformed() -> Error {
    Error::new(ErrorKind::InvalidData, "the kernel's answer is cut short")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    #[test]
    fn a_unix_socket_is_found_with_its_file() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _first = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let file = |path: &std::path::Path| std::fs::metadata(path).unwrap().ino() as u32;
        let first = file(&path);
        // Another takes the path: each has a file of its own.
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        let _second = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let found = super::unix_listeners().unwrap();
        let mut ours: Vec<u32> = found
            .iter()
            .filter(|listener| listener.path == path)
            .map(|listener| listener.file)
            .collect();
        ours.sort_unstable();
        let mut expected = [first, file(&path)];
        expected.sort_unstable();
        assert_eq!(ours, expected);
    }

    #[test]
    fn both_ways_of_asking_agree() {
        let sockets =
            ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0"].map(|address| TcpListener::bind(address).ok());
        let ours = super::listeners().unwrap();
        let kernels = super::super::from_proc().unwrap();
        for socket in sockets.iter().flatten() {
            let address = socket.local_addr().unwrap();
            let find = |list: &[super::Listener]| {
                list.iter().find(|known| known.address == address).copied()
            };
            assert!(find(&ours).is_some(), "{address}");
            assert_eq!(find(&ours), find(&kernels));
        }
    }
}
