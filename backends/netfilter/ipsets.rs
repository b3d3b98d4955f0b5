//! Stand-ins for ipsets in a scratch network namespace: rules that refer to a set load only where it is.

use netlink_sys::protocols::NETLINK_NETFILTER;

use super::attributes::{put, put_nest, put_text};
use super::netlink::{Channel, netfilter_header, request};
use crate::error::{Error, ErrorKind, Result};
use crate::model::reach::Family;

/// `NFNL_SUBSYS_IPSET << 8 | IPSET_CMD_CREATE`.
const CREATE: u16 = 6 << 8 | 2;
/// The kernel's protocol since Linux 2.6.39 (`IPSET_PROTOCOL_MIN`).
const PROTOCOL: u8 = 6;

/// Creates empty sets of addresses of a family, in the namespace of this thread. What is in the host's sets, and which types they
/// have, is not asked: rules that look into them are judged without.
///
/// # Errors
/// `Unsupported` when the kernel makes no sets, although the host's rules refer to some.
pub(crate) fn create(family: Family, names: &[String]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let family = match family {
        Family::Ipv4 => 2,  // AF_INET
        Family::Ipv6 => 10, // AF_INET6
    };
    let mut channel = Channel::open(NETLINK_NETFILTER)?;
    for name in names {
        let mut body = netfilter_header(family).to_vec();
        put(&mut body, 1, &[PROTOCOL]); // IPSET_ATTR_PROTOCOL
        put_text(&mut body, 2, name); // IPSET_ATTR_SETNAME
        put_text(&mut body, 3, "hash:ip"); // IPSET_ATTR_TYPENAME
        put(&mut body, 4, &[0]); // IPSET_ATTR_REVISION
        put(&mut body, 5, &[family]); // IPSET_ATTR_FAMILY
        put_nest(&mut body, 7, &[]); // IPSET_ATTR_DATA
        request(&mut channel, CREATE, 0, &body)?.map_err(|error| {
            let message = format!("cannot make a stand-in for the ipset `{name}`");
            Error::new(ErrorKind::Unsupported, message).with_source(error)
        })?;
    }
    Ok(())
}
