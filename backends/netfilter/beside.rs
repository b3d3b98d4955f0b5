//! What may stop packets before netfilter sees them: programs at an interface (XDP), and the filters of traffic control.
//!
//! What they do is not looked at. Programs that are attached by eBPF links alone (tcx) are not listed here.

use netlink_sys::protocols;

use super::attributes::{attributes, put, text};
use super::netlink::{Channel, dump_route};
use crate::error::{ErrorKind, Result};

// linux/rtnetlink.h
const GET_LINK: u16 = 18; // RTM_GETLINK
const GET_DISCIPLINE: u16 = 38; // RTM_GETQDISC
const GET_FILTER: u16 = 46; // RTM_GETTFILTER
/// Without the counters (`RTEXT_FILTER_SKIP_STATS`).
const SKIP_STATISTICS: u32 = 1 << 3;

// linux/if_link.h
const LINK_NAME: u16 = 3; // IFLA_IFNAME
const LINK_FILTER: u16 = 29; // IFLA_EXT_MASK
const LINK_PROGRAM: u16 = 43; // IFLA_XDP
const PROGRAM_ATTACHED: u16 = 2; // IFLA_XDP_ATTACHED
const FLAG_UP: u32 = 0x1; // IFF_UP
const FLAG_LOOPBACK: u32 = 0x8; // IFF_LOOPBACK

/// `TCA_KIND`.
const KIND: u16 = 1;
/// `struct ifinfomsg`; `struct tcmsg`.
const LINK_HEADER: usize = 16;
const CONTROL_HEADER: usize = 20;
/// Where `clsact` and `ingress` have their filters (`TC_H_CLSACT` with `TC_H_MIN_INGRESS`, `TC_H_MIN_EGRESS`).
const INGRESS: u32 = 0xffff_fff2;
const EGRESS: u32 = 0xffff_fff3;

/// How often it is looked again where interfaces have come or gone meanwhile.
const ATTEMPTS: usize = 10;

/// Something that may stop packets at an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// The interface's name.
    pub interface: String,
    /// What it is, such as `an XDP program`.
    pub what: String,
}

/// What may stop packets at the interfaces that are up, loopback aside, before netfilter sees them or behind it.
///
/// # Errors
/// When the routing socket cannot be opened or read; `Changed` when interfaces keep coming and going.
pub fn beside() -> Result<Vec<Beside>> {
    for _ in 1..ATTEMPTS {
        match look() {
            Err(error) if error.kind() == ErrorKind::Changed => {}
            result => return result,
        }
    }
    look()
}

fn look() -> Result<Vec<Beside>> {
    let mut channel = Channel::open(protocols::NETLINK_ROUTE)?;
    let mut found = Vec::new();
    let mut links: Vec<(u32, String)> = Vec::new();
    let mut request = vec![0; LINK_HEADER];
    put(&mut request, LINK_FILTER, &SKIP_STATISTICS.to_ne_bytes());
    dump_route(&mut channel, GET_LINK, &request, |body| {
        if let Some((index, interface, program)) = link(body) {
            if program {
                found.push(Beside {
                    interface: interface.clone(),
                    what: "an XDP program".to_owned(),
                });
            }
            links.push((index, interface));
        }
    })?;
    let mut filtered = Vec::new();
    let listed = dump_route(&mut channel, GET_DISCIPLINE, &[0; CONTROL_HEADER], |body| {
        if let Some((index, kind)) = control(body) {
            match kind.as_str() {
                "clsact" => filtered.extend([(index, INGRESS), (index, EGRESS)]),
                "ingress" => filtered.push((index, INGRESS)),
                _ => {}
            }
        }
    });
    if let Err(error) = listed {
        tracing::debug!("no traffic control: {error}");
    }
    for (index, side) in filtered {
        let Some((_, interface)) = links.iter().find(|(link, _)| *link == index) else {
            continue;
        };
        let mut kinds: Vec<String> = Vec::new();
        // Family and padding, interface, handle, parent, information.
        let numbers = [0, index, 0, side, 0].map(u32::to_ne_bytes);
        dump_route(&mut channel, GET_FILTER, numbers.as_flattened(), |body| {
            if let Some((_, kind)) = control(body).filter(|(_, kind)| !kinds.contains(kind)) {
                kinds.push(kind);
            }
        })?;
        if !kinds.is_empty() {
            let kinds = kinds.join(", ");
            let way = if side == INGRESS { "in" } else { "out" };
            found.push(Beside {
                interface: interface.clone(),
                what: format!("tc filters on the way {way} ({kinds})"),
            });
        }
    }
    Ok(found)
}

/// Decodes a link message: number, name, and whether a program is attached; only of links that are up.
fn link(body: &[u8]) -> Option<(u32, String, bool)> {
    let (header, rest) = body.split_first_chunk::<LINK_HEADER>()?;
    let [_, _, _, _, i0, i1, i2, i3, f0, f1, f2, f3, ..] = *header;
    let flags = u32::from_ne_bytes([f0, f1, f2, f3]);
    if flags & FLAG_UP == 0 || flags & FLAG_LOOPBACK != 0 {
        return None;
    }
    let (mut name, mut program) = (None, false);
    for (kind, value) in attributes(rest) {
        match kind {
            LINK_NAME => name = Some(text(value)),
            LINK_PROGRAM => {
                program = attributes(value)
                    .any(|(kind, value)| kind == PROGRAM_ATTACHED && value.first() != Some(&0));
            }
            _ => {}
        }
    }
    Some((u32::from_ne_bytes([i0, i1, i2, i3]), name?, program))
}

/// Decodes a message of traffic control: the interface's number and the kind.
fn control(body: &[u8]) -> Option<(u32, String)> {
    let (header, rest) = body.split_first_chunk::<CONTROL_HEADER>()?;
    let [_, _, _, _, i0, i1, i2, i3, ..] = *header;
    let mut values = attributes(rest);
    let (_, kind) = values.find(|(kind, _)| *kind == KIND)?;
    Some((u32::from_ne_bytes([i0, i1, i2, i3]), text(kind)))
}
