//! The kernel's generation id of `nf_tables`: it moves with every committed batch, even one that changes nothing.

use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN`.
const GET_GENERATION: u16 = 0x0a10;
/// `NFTA_GEN_ID`.
const GENERATION_ID: u16 = 1;

/// The generation id in the calling thread's namespace.
pub(crate) fn generation() -> u32 {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(NETFILTER),
    )
    .expect("a netlink socket");
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 0)).expect("bind the netlink socket");
    // nlmsghdr (length, type, NLM_F_REQUEST, sequence, port), then nfgenmsg (family, version, resource).
    let mut request = Vec::with_capacity(20);
    request.extend(20_u32.to_ne_bytes());
    request.extend(GET_GENERATION.to_ne_bytes());
    request.extend(1_u16.to_ne_bytes());
    request.extend([0; 12]);
    rustix::net::send(&socket, &request, SendFlags::empty()).expect("ask for the generation");
    let mut answer = [0_u8; 4096];
    let (length, _) = rustix::net::recv(&socket, &mut answer[..], RecvFlags::empty())
        .expect("the answer to GETGEN");
    // The first attribute behind both headers is the id: length, type, big-endian number.
    let attribute = &answer[20..length];
    assert_eq!(
        attribute[2..4],
        GENERATION_ID.to_ne_bytes(),
        "{:?}",
        &answer[..length]
    );
    u32::from_be_bytes(attribute[4..8].try_into().expect("four bytes"))
}
