//! What may stop packets before netfilter sees them: programs at an interface (XDP), and the filters of traffic control.
//!
//! What they do is not looked at. Programs that are attached by eBPF links alone (tcx) are not listed here.

use netlink_sys::protocols;

use super::attributes::{attributes, text};
use super::interfaces::{LINK_NAME, dump_links, link_header};
use super::netlink::{Channel, dump_route, is_not_supported};
use crate::error::{ErrorKind, Result};

// linux/rtnetlink.h
const GET_DISCIPLINE: u16 = 38; // RTM_GETQDISC
const GET_FILTER: u16 = 46; // RTM_GETTFILTER

// linux/if_link.h
const LINK_PROGRAM: u16 = 43; // IFLA_XDP
const PROGRAM_ATTACHED: u16 = 2; // IFLA_XDP_ATTACHED

/// `TCA_KIND`.
const KIND: u16 = 1;
/// `struct tcmsg`.
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
    dump_links(&mut channel, |body| {
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
    match listed {
        // A kernel without traffic control does not know the message.
        Err(error) if is_not_supported(&error) => return Ok(found),
        listed => listed?,
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
    let (interface, rest) = link_header(body)?;
    if !interface.up || interface.loopback {
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
    Some((interface.index, name?, program))
}

/// Decodes a message of traffic control: the interface's number and the kind.
fn control(body: &[u8]) -> Option<(u32, String)> {
    let (header, rest) = body.split_first_chunk::<CONTROL_HEADER>()?;
    let [_, _, _, _, i0, i1, i2, i3, ..] = *header;
    let mut values = attributes(rest);
    let (_, kind) = values.find(|(kind, _)| *kind == KIND)?;
    Some((u32::from_ne_bytes([i0, i1, i2, i3]), text(kind)))
}
