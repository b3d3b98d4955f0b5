//! The host's interfaces and their addresses, over a routing socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_sys::protocols;

use super::attributes::{Attributes, attributes, put};
use super::netlink::{Channel, dump_route};
use crate::error::Result;
use crate::model::ruleset::Interface;

// linux/rtnetlink.h
const GET_LINK: u16 = 18; // RTM_GETLINK
const GET_ADDRESS: u16 = 22; // RTM_GETADDR
/// The counters of every link are a kilobyte each, and not wanted (`RTEXT_FILTER_SKIP_STATS`).
const SKIP_STATISTICS: u32 = 1 << 3;

// linux/if_link.h, if_addr.h
pub(super) const LINK_NAME: u16 = 3; // IFLA_IFNAME
const LINK_LOWER: u16 = 5; // IFLA_LINK
const LINK_MASTER: u16 = 10; // IFLA_MASTER
const LINK_INFORMATION: u16 = 18; // IFLA_LINKINFO
const LINK_KIND: u16 = 1; // IFLA_INFO_KIND
const LINK_GROUP: u16 = 27; // IFLA_GROUP
const LINK_FILTER: u16 = 29; // IFLA_EXT_MASK
const LINK_LOWER_NAMESPACE: u16 = 37; // IFLA_LINK_NETNSID
const ADDRESS_REMOTE: u16 = 1; // IFA_ADDRESS
const ADDRESS_LOCAL: u16 = 2; // IFA_LOCAL

/// `struct ifinfomsg`.
const LINK_HEADER: usize = 16;
/// `struct ifaddrmsg`.
const ADDRESS_HEADER: usize = 8;
const FLAG_UP: u32 = 0x1; // IFF_UP
const FLAG_LOOPBACK: u32 = 0x8; // IFF_LOOPBACK
const FLAG_UNRESOLVED: u32 = 0x80; // IFF_NOARP

/// Reads the host's interfaces and their addresses, loopback included.
///
/// # Errors
///
/// When the routing socket cannot be opened or read.
pub fn interfaces() -> Result<Vec<Interface>> {
    let mut channel = Channel::open(protocols::NETLINK_ROUTE)?;
    let mut links = Links::default();
    dump_links(&mut channel, |body| links.add(body))?;
    let request = [0; ADDRESS_HEADER];
    dump_route(&mut channel, GET_ADDRESS, &request, |body| {
        links.add_address(body);
    })?;
    Ok(links.finish())
}

/// Dumps the links; `each` gets the body of every message.
pub(super) fn dump_links(channel: &mut Channel, each: impl FnMut(&[u8])) -> Result<()> {
    let mut request = vec![0; LINK_HEADER];
    put(&mut request, LINK_FILTER, &SKIP_STATISTICS.to_ne_bytes());
    dump_route(channel, GET_LINK, &request, each)
}

/// The interfaces that are being read.
#[derive(Debug, Default)]
pub(super) struct Links {
    interfaces: Vec<Interface>,
    /// Those that are a part of another, by their place, and that other's number.
    masters: Vec<(usize, u32)>,
}

impl Links {
    /// Adds what a link message tells of.
    pub(super) fn add(&mut self, body: &[u8]) {
        if let Some((interface, master)) = link(body) {
            let place = self.interfaces.len();
            self.masters.extend(master.map(|master| (place, master)));
            self.interfaces.push(interface);
        }
    }

    /// Adds the address of an address message to its interface.
    pub(super) fn add_address(&mut self, body: &[u8]) {
        if let Some((index, address)) = address(body)
            && let Some(interface) = self.interfaces.iter_mut().find(|link| link.index == index)
        {
            interface.addresses.push(address);
        }
    }

    /// The interfaces, each with the name of the one that it is a part of.
    pub(super) fn finish(mut self) -> Vec<Interface> {
        for (part, master) in self.masters {
            let master = self.interfaces.iter().find(|link| link.index == master);
            let name = master.map(|link| link.name.clone());
            if let Some(part) = self.interfaces.get_mut(part) {
                part.master = name;
            }
        }
        self.interfaces
    }
}

/// Decodes the header of a link message: the interface, without a name, and the attributes.
pub(super) fn link_header(body: &[u8]) -> Option<(Interface, &[u8])> {
    let (header, rest) = body.split_first_chunk::<LINK_HEADER>()?;
    let [_, _, t0, t1, i0, i1, i2, i3, f0, f1, f2, f3, ..] = *header;
    let flags = u32::from_ne_bytes([f0, f1, f2, f3]);
    let interface = Interface {
        index: u32::from_ne_bytes([i0, i1, i2, i3]),
        hardware_type: u16::from_ne_bytes([t0, t1]),
        up: flags & FLAG_UP != 0,
        loopback: flags & FLAG_LOOPBACK != 0,
        unresolved: flags & FLAG_UNRESOLVED != 0,
        ..Interface::default()
    };
    Some((interface, rest))
}

/// Decodes a link message: the interface, and the number of the one that it is a part of.
fn link(body: &[u8]) -> Option<(Interface, Option<u32>)> {
    let (mut interface, rest) = link_header(body)?;
    let number = |value: &[u8]| value.first_chunk().map(|value| u32::from_ne_bytes(*value));
    let (mut master, mut elsewhere) = (None, false);
    for (kind, value) in attributes(rest) {
        match kind {
            LINK_NAME => interface.name = super::attributes::text(value),
            LINK_GROUP => interface.group = number(value).unwrap_or_default(),
            LINK_MASTER => master = number(value),
            LINK_LOWER => interface.stacked = number(value) != Some(interface.index),
            LINK_LOWER_NAMESPACE => elsewhere = true,
            LINK_INFORMATION => {
                let kind = Attributes::new(value).text(LINK_KIND);
                interface.bridge = kind.as_deref() == Some("bridge");
            }
            _ => {}
        }
    }
    interface.stacked &= !elsewhere;
    Some((interface, master))
}

/// Decodes an address message. On a point-to-point link `IFA_ADDRESS` is the peer's, `IFA_LOCAL` our own.
fn address(body: &[u8]) -> Option<(u32, IpAddr)> {
    let (header, rest) = body.split_first_chunk::<ADDRESS_HEADER>()?;
    let [_, _, _, _, i0, i1, i2, i3] = *header;
    let values = Attributes::new(rest);
    let value = values
        .get(ADDRESS_LOCAL)
        .or_else(|| values.get(ADDRESS_REMOTE))?;
    Some((u32::from_ne_bytes([i0, i1, i2, i3]), ip_address(value)?))
}

/// An address of four or sixteen bytes.
pub(super) fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(bytes).into());
    }
    let bytes = <[u8; 16]>::try_from(bytes).ok()?;
    Some(Ipv6Addr::from(bytes).into())
}
