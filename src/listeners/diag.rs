//! The sockets that listen, asked of the kernel over netlink (`sock_diag(7)`): /proc/net/tcp walks the table of all
//! connections, used or not, which takes milliseconds on a machine with much memory.

use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

use super::Listener;

/// `SOCK_DIAG_BY_FAMILY`
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP`
const DUMP: u16 = 0x301;
/// `NLMSG_ERROR` and `NLMSG_DONE`
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `IPPROTO_TCP`
const TCP: u8 = 6;
/// `1 << TCP_LISTEN`
const LISTENING: u32 = 1 << 10;
/// The sizes of `nlmsghdr`, `inet_diag_req_v2` and `inet_diag_msg`.
const HEADER: usize = 16;
const REQUEST: usize = 56;
const MESSAGE: usize = 72;

/// The sockets of both families that listen.
pub(super) fn listeners() -> Result<Vec<Listener>> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    set_socket_timeout(&socket, Timeout::Recv, Some(Duration::from_secs(5)))?;
    let mut found = Vec::new();
    for family in [AddressFamily::INET, AddressFamily::INET6] {
        ask(&socket, family.as_raw() as u8, &mut found)?;
    }
    Ok(found)
}

fn ask(socket: &OwnedFd, family: u8, found: &mut Vec<Listener>) -> Result<()> {
    let length = HEADER + REQUEST;
    let mut request = Vec::with_capacity(length);
    request.extend((length as u32).to_ne_bytes());
    request.extend(BY_FAMILY.to_ne_bytes());
    request.extend(DUMP.to_ne_bytes());
    request.resize(HEADER, 0);
    request.extend([family, TCP, 0, 0]);
    request.extend(LISTENING.to_ne_bytes());
    request.resize(length, 0);
    send(socket, &request, SendFlags::empty())?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let (length, _) = recv(socket, buffer.as_mut_slice(), RecvFlags::empty())?;
        let mut messages = &buffer[..length];
        while let Some(header) = messages.get(..HEADER) {
            let size = u32::from_ne_bytes(bytes(header, 0)?) as usize;
            let kind = u16::from_ne_bytes(bytes(header, 4)?);
            let body = messages.get(HEADER..size).ok_or_else(malformed)?;
            match kind {
                DONE => return Ok(()),
                ERROR => {
                    let errno = i32::from_ne_bytes(bytes(body, 0)?);
                    return Err(Error::from_raw_os_error(errno.wrapping_neg()));
                }
                _ => found.push(parse(body)?),
            }
            messages = messages.get(size.next_multiple_of(4)..).unwrap_or_default();
        }
    }
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
