//! Where connections come in: by which interface, for which address, through which hooks.

use std::net::IpAddr;

use crate::model::reach::Family;
use crate::model::ruleset::{Hook, Interface, Ruleset, TableFamily};

use super::packet::Phase;

/// A host without any interface but loopback is judged as if it had this one.
static NO_INTERFACE: Interface = Interface {
    name: String::new(),
    index: u32::MAX,
    hardware_type: 1,
    group: 0,
    up: true,
    loopback: false,
    bridge: false,
    stacked: false,
    unresolved: false,
    master: None,
    addresses: Vec::new(),
};

/// The interfaces on which a connection from elsewhere can arrive, each with the local addresses it can be meant for.
pub(super) fn arrivals(
    ruleset: &Ruleset,
    family: Family,
) -> Vec<(&Interface, Vec<Option<IpAddr>>)> {
    let real: Vec<&Interface> = ruleset
        .interfaces
        .iter()
        .filter(|interface| interface.up && !interface.loopback)
        .collect();
    let with = |accepts: fn(&IpAddr) -> bool| -> Vec<(&Interface, Vec<Option<IpAddr>>)> {
        let addressed = real.iter().map(|interface| {
            let addresses = interface.addresses.iter();
            let meant = addresses.filter(|address| is_of(address, family) && accepts(address));
            let addresses = meant.map(|address| Some(*address)).collect();
            (
                bridge_of(ruleset, interface).unwrap_or(interface),
                addresses,
            )
        });
        addressed
            .filter(|(_, addresses): &(_, Vec<_>)| !addresses.is_empty())
            .collect()
    };
    let global = with(|address| !is_link_local(address));
    if !global.is_empty() {
        return global;
    }
    let link_local = with(is_link_local);
    if !link_local.is_empty() {
        return link_local;
    }
    if real.is_empty() {
        return vec![(&NO_INTERFACE, vec![None])];
    }
    real.iter()
        .map(|interface| (*interface, vec![None]))
        .collect()
}

/// The bridge that an interface is a port of: packets for the port's own addresses come in by the bridge.
fn bridge_of<'a>(ruleset: &'a Ruleset, port: &Interface) -> Option<&'a Interface> {
    let master = port.master.as_ref()?;
    let mut others = ruleset.interfaces.iter();
    others.find(|other| other.bridge && other.name == *master)
}

/// Whether an interface with addresses belongs to a VRF: prerouting sees its packets twice, as those of the VRF the
/// second time, and so does input (`vrf_ip_rcv`). The parts of a bond have no addresses.
pub(super) fn is_in_vrf(ruleset: &Ruleset, interface: &Interface) -> bool {
    interface.master.is_some() && bridge_of(ruleset, interface).is_none()
}

/// Whether packets of an interface pass a bridge of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bridged {
    No,
    /// They may: it is stacked on something.
    Perhaps,
    Yes,
}

impl Bridged {
    pub(super) fn of(ruleset: &Ruleset, interface: &Interface) -> Self {
        if interface.bridge {
            Self::Yes
        } else if interface.stacked && ruleset.interfaces.iter().any(|other| other.bridge) {
            Self::Perhaps
        } else {
            Self::No
        }
    }
}

/// The hooks that a packet passes, in order, and whether that is in a bridge.
pub(super) fn hooks(phase: Phase, bridged: Bridged) -> impl Iterator<Item = (bool, Hook)> {
    let in_bridge: &[Hook] = match (phase.inbound(), bridged) {
        (_, Bridged::No) => &[],
        (true, Bridged::Yes) => &[Hook::Prerouting, Hook::Input],
        (false, Bridged::Yes) => &[Hook::Output, Hook::Postrouting],
        // Below a VLAN it is for the bridge, through a veth pair the bridge forwards it.
        (true, Bridged::Perhaps) => &[
            Hook::Prerouting,
            Hook::Forward,
            Hook::Postrouting,
            Hook::Input,
        ],
        (false, Bridged::Perhaps) => &[
            Hook::Output,
            Hook::Prerouting,
            Hook::Forward,
            Hook::Postrouting,
        ],
    };
    let (before, behind): (&[Hook], &[Hook]) = if phase.inbound() {
        (&[Hook::Ingress], &[Hook::Prerouting, Hook::Input])
    } else {
        (&[Hook::Output, Hook::Postrouting], &[Hook::Egress])
    };
    let plain = |hooks: &'static [Hook]| hooks.iter().map(|hook| (false, *hook));
    plain(before)
        .chain(in_bridge.iter().map(|hook| (true, *hook)))
        .chain(plain(behind))
}

/// The port that packets of a bridge come in and go out by; `None` when it has several, or is none.
pub(super) fn only_port<'a>(ruleset: &'a Ruleset, bridge: &Interface) -> Option<&'a Interface> {
    let interfaces = ruleset.interfaces.iter();
    let mut ports = interfaces.filter(|port| port.master.as_ref() == Some(&bridge.name));
    ports.next().filter(|_| ports.next().is_none())
}

pub(super) fn is_of(address: &IpAddr, family: Family) -> bool {
    address.is_ipv4() == (family == Family::Ipv4)
}

pub(super) fn is_link_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// Whether a table of that family sees packets of the IP version.
pub(super) fn sees(table: TableFamily, family: Family) -> bool {
    match table {
        TableFamily::Inet | TableFamily::Netdev | TableFamily::Bridge => true,
        TableFamily::Ip => family == Family::Ipv4,
        TableFamily::Ip6 => family == Family::Ipv6,
    }
}
