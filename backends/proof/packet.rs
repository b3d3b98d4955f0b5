//! The packets of a new connection as far as they are known: header bytes, conntrack's view, interfaces, marks.
//!
//! A byte is known, or unknown with an origin: the port in question, the remote end, or something else. Everything a
//! rule can look at is such bytes, so a test is decided exactly as the kernel decides it where the bytes are known.

use std::cell::Cell;
use std::net::IpAddr;

use crate::model::reach::Family;
use crate::model::ruleset::{
    ConnectionKey, FibResult, Field, Hook, Interface, Mark, PayloadBase, TableFamily, Uncertainty,
    Value,
};

use super::bytes::{Byte, Origin, operate, push, push_name};
use super::ordinary::{self, Number};

/// Bits of `ct state` (`NF_CT_STATE_BIT`).
pub(super) const STATE_INVALID: u32 = 1;
const STATE_ESTABLISHED: u32 = 2;
const STATE_NEW: u32 = 8;
pub(super) const STATE_UNTRACKED: u32 = 64;

/// Connection tracking sees packets at this priority; before it, `ct` knows nothing (`NF_IP_PRI_CONNTRACK`).
const PRIORITY_CONNTRACK: i32 = -200;

/// `ARPHRD_ETHER`.
pub(super) const HARDWARE_ETHERNET: u16 = 1;

/// `RTN_UNICAST` and `RTN_LOCAL`, the address types that `fib` returns.
const ROUTE_UNICAST: u32 = 1;
const ROUTE_LOCAL: u32 = 2;

/// The packets that decide whether a connection works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The client's SYN.
    Opening,
    /// The server's answer.
    Reply,
    /// The client's next packet, an ACK.
    Following,
    /// Before all of them, a neighbour asks for the hardware address of an IPv6 address.
    Solicitation,
    /// This host's answer to it.
    Advertisement,
}

impl Phase {
    pub(super) const CONNECTION: [Self; 3] = [Self::Opening, Self::Reply, Self::Following];

    pub(super) fn inbound(self) -> bool {
        !matches!(self, Self::Reply | Self::Advertisement)
    }

    /// Whether it is no packet of the connection, but one of IPv6's neighbour discovery.
    pub(super) fn discovers(self) -> bool {
        matches!(self, Self::Solicitation | Self::Advertisement)
    }

    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Opening => "new connection",
            Self::Reply => "reply",
            Self::Following => "next packet",
            Self::Solicitation => "neighbour solicitation",
            Self::Advertisement => "neighbour advertisement",
        }
    }
}

/// What may differ from port to port once rules have acted on the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Situation {
    /// The packet's mark; `None` when it is not known.
    pub(super) packet_mark: Option<u32>,
    /// The connection's mark.
    pub(super) connection_mark: Option<u32>,
    /// A rule may have changed the maximum segment size, or taken it away.
    pub(super) segment_size_changed: bool,
    /// Some sources have other marks than these.
    pub(super) marked_by_source: bool,
    /// How connection tracking sees this packet.
    pub(super) tracking: Tracking,
    /// How it saw the opening packet.
    pub(super) opening: Tracking,
}

/// Whether connection tracking follows a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tracking {
    Tracked,
    Untracked,
    Unclear,
}

impl Situation {
    /// Before any rule has acted.
    pub(super) const START: Self = Self {
        packet_mark: Some(0),
        connection_mark: Some(0),
        segment_size_changed: false,
        marked_by_source: false,
        tracking: Tracking::Tracked,
        opening: Tracking::Tracked,
    };

    /// What is left of it for the next packet of the connection.
    pub(super) fn next_packet(self, phase: Phase) -> Self {
        let opening = if phase == Phase::Opening {
            self.tracking
        } else {
            self.opening
        };
        Self {
            packet_mark: Some(0),
            connection_mark: self.connection_mark,
            segment_size_changed: false,
            marked_by_source: self.marked_by_source,
            tracking: Tracking::Tracked,
            opening,
        }
    }
}

/// A packet of the connection at one hook.
#[derive(Debug)]
pub(super) struct Packet<'a> {
    pub(super) family: Family,
    pub(super) phase: Phase,
    pub(super) hook: Hook,
    pub(super) priority: i32,
    /// The family of the table that sees it.
    pub(super) table: TableFamily,
    /// Where it comes in or goes out; `None` where rules may see another: one of several ports of a bridge, or a VRF.
    pub(super) interface: Option<&'a Interface>,
    pub(super) local: Option<IpAddr>,
    /// The client's address, where the question is about a certain one.
    pub(super) remote: Option<IpAddr>,
    /// Whether any rule looked at the interface, or at the local address, so that others might fare differently.
    pub(super) consulted_interface: Cell<bool>,
    pub(super) consulted_address: Cell<bool>,
    /// Whether the rule that looks at it drops it without a word.
    pub(super) dropped: Cell<bool>,
}

impl Packet<'_> {
    /// The bytes of a value, or `None` where the kernel finds nothing to load and the rule ends (`NFT_BREAK`).
    pub(super) fn load(&self, value: &Value, situation: &Situation) -> Option<Vec<Byte>> {
        let mut bytes = Vec::with_capacity(16);
        let several = value.parts.len() > 1;
        for part in value.parts.iter() {
            let start = bytes.len();
            self.field(&part.field, part.length as usize, situation, &mut bytes)?;
            for operation in &part.operations {
                if let Some(loaded) = bytes.get_mut(start..) {
                    operate(loaded, operation);
                }
            }
            if several {
                while bytes.len() % 4 != 0 {
                    bytes.push(Byte::known(0));
                }
            }
        }
        Some(bytes)
    }

    fn field(
        &self,
        field: &Field,
        length: usize,
        situation: &Situation,
        bytes: &mut Vec<Byte>,
    ) -> Option<()> {
        let end = bytes.len() + length;
        match field {
            Field::Payload { base, offset } => {
                bytes
                    .extend((0..length).map(|index| self.payload(*base, *offset as usize + index)));
            }
            Field::ConnectionState
            | Field::ConnectionStatus
            | Field::ConnectionDirection
            | Field::Connection { .. }
            | Field::Mark(Mark::Connection)
                if self.before_tracking().is_none() =>
            {
                bytes.extend((0..length).map(|_| Byte::other()));
            }
            Field::NetworkFamily => bytes.push(Byte::known(match (self.table, self.family) {
                (TableFamily::Netdev, _) => 5,
                (TableFamily::Bridge, _) => 7,
                (_, Family::Ipv4) => 2,
                (_, Family::Ipv6) => 10,
            })),
            Field::TransportProtocol => bytes.push(Byte::known(self.protocol())),
            Field::EtherType => {
                let ether_type: u16 = match self.family {
                    Family::Ipv4 => 0x0800,
                    Family::Ipv6 => 0x86dd,
                };
                push(bytes, &ether_type.to_be_bytes());
            }
            Field::PacketLength => bytes.extend(self.length()),
            Field::SegmentSize { present } => {
                self.segment_size(*present, length, situation, bytes)?;
            }
            Field::Mark(mark) => self.mark(*mark, situation, bytes)?,
            Field::PacketType if self.phase.inbound() => {
                bytes.push(Byte::known(self.packet_type()));
            }
            Field::PacketType => bytes.push(Byte::other()),
            Field::InputInterface
            | Field::InputInterfaceName
            | Field::InputInterfaceType
            | Field::InputInterfaceGroup => {
                self.interface(field, self.phase.inbound(), length, bytes)?;
            }
            Field::OutputInterface
            | Field::OutputInterfaceName
            | Field::OutputInterfaceType
            | Field::OutputInterfaceGroup => {
                self.interface(field, !self.phase.inbound(), length, bytes)?;
            }
            Field::ConnectionState => self.state(situation, bytes),
            Field::ConnectionStatus => self.status(situation, bytes)?,
            Field::ConnectionDirection => {
                self.tracked(situation)?;
                bytes.push(Byte::known(u8::from(self.phase == Phase::Reply)));
            }
            Field::Connection { key, direction } => {
                self.tracked(situation)?;
                self.connection(*key, *direction, length, bytes);
            }
            Field::Fib {
                destination,
                result,
                present,
                ..
            } => self.fib(*destination, *result, *present, bytes),
            Field::Extension { ipv6, present, .. } => {
                match (self.family, ipv6) {
                    (Family::Ipv4, false) | (Family::Ipv6, true) if *present => {
                        bytes.push(Byte::known(0));
                    }
                    // Older kernels looked for IPv6's headers in IPv4's packets.
                    (Family::Ipv4, true) => bytes.extend((0..length).map(|_| Byte::other())),
                    _ => return None,
                }
            }
            Field::Constant(data) => push(bytes, data),
            Field::Unknown { uncertainty, .. } => {
                bytes.extend((0..length).map(|_| Byte::from(Origin::Unknown(*uncertainty))));
            }
        }
        // A load that is shorter or longer than what the field holds is filled up with zeros, as registers are.
        bytes.resize(end, Byte::known(0));
        Some(())
    }

    fn payload(&self, base: PayloadBase, offset: usize) -> Byte {
        match base {
            _ if self.phase.discovers() => self.discovery(base, offset),
            PayloadBase::Link => self.link_header(offset),
            PayloadBase::Network => match self.family {
                Family::Ipv4 => self.ipv4_header(offset),
                Family::Ipv6 => self.ipv6_header(offset),
            },
            PayloadBase::Transport => self.tcp_header(offset),
            PayloadBase::Inner => Byte::other(),
        }
    }

    fn link_header(&self, offset: usize) -> Byte {
        let ether_type = match self.family {
            Family::Ipv4 => [0x08, 0x00],
            Family::Ipv6 => [0x86, 0xdd],
        };
        self.consulted_interface.set(true);
        match offset {
            // Tunnels and dial-up links have no such header, or another.
            _ if self
                .interface
                .is_some_and(|it| it.hardware_type != HARDWARE_ETHERNET) =>
            {
                Byte::other()
            }
            6..12 if self.phase.inbound() => Byte::from(Origin::Unknown(Uncertainty::Source)),
            12 => Byte::known(ether_type[0]),
            13 => Byte::known(ether_type[1]),
            _ => Byte::other(),
        }
    }

    fn ipv4_header(&self, offset: usize) -> Byte {
        match offset {
            0 => Byte::known(0x45),
            2 => Byte::from(Origin::High(Number::length(self.family, self.phase))),
            3 => Byte::from(Origin::Low(Number::length(self.family, self.phase))),
            // No fragment: only "don't fragment" is free.
            6 => Byte::partly(0xbf, 0, Origin::Unknown(Uncertainty::Other)),
            7 => Byte::known(0),
            9 => Byte::known(6),
            12..16 => self.address(self.phase == Phase::Reply, offset - 12),
            16..20 => self.address(self.phase != Phase::Reply, offset - 16),
            _ => Byte::other(),
        }
    }

    fn ipv6_header(&self, offset: usize) -> Byte {
        match offset {
            0 => Byte::partly(0xf0, 0x60, Origin::Unknown(Uncertainty::Other)),
            4 => Byte::from(Origin::High(Number::payload_length(self.phase))),
            5 => Byte::from(Origin::Low(Number::payload_length(self.phase))),
            6 => Byte::known(6),
            8..24 => self.address(self.phase == Phase::Reply, offset - 8),
            24..40 => self.address(self.phase != Phase::Reply, offset - 24),
            _ => Byte::other(),
        }
    }

    fn tcp_header(&self, offset: usize) -> Byte {
        let inbound = self.phase.inbound();
        match offset {
            0 if inbound => Byte::from(Origin::High(Number::PORT)),
            1 if inbound => Byte::from(Origin::Low(Number::PORT)),
            2 if inbound => Byte::from(Origin::PortHigh),
            3 if inbound => Byte::from(Origin::PortLow),
            0 => Byte::from(Origin::PortHigh),
            1 => Byte::from(Origin::PortLow),
            2 => Byte::from(Origin::High(Number::PORT)),
            3 => Byte::from(Origin::Low(Number::PORT)),
            13 => Byte::one_of(ordinary::tcp_flags(self.phase, self.dropped.get())),
            14 => Byte::from(Origin::High(Number::window(self.phase))),
            15 => Byte::from(Origin::Low(Number::window(self.phase))),
            _ => Byte::other(),
        }
    }

    /// `meta length`. At a device it has a link header or not, and the smallest frames are filled up.
    fn length(&self) -> [Byte; 4] {
        let at_device = matches!(self.hook, Hook::Ingress | Hook::Egress);
        if at_device || self.table == TableFamily::Bridge || self.phase.discovers() {
            return [Byte::other(); 4];
        }
        let [high, low] = Byte::pair(Number::length(self.family, self.phase));
        let mut bytes = [Byte::known(0), Byte::known(0), high, low];
        if cfg!(target_endian = "little") {
            bytes.reverse();
        }
        bytes
    }

    /// The client's first packet announces how long segments may be, its later ones do not; of the server's the first does.
    fn segment_size(
        &self,
        present: bool,
        length: usize,
        situation: &Situation,
        bytes: &mut Vec<Byte>,
    ) -> Option<()> {
        let unclear = self.phase == Phase::Reply || situation.segment_size_changed;
        let there = self.phase == Phase::Opening;
        match (there, present) {
            _ if unclear => bytes.extend((0..length).map(|_| Byte::other())),
            (_, true) => bytes.push(Byte::known(u8::from(there))),
            (true, false) => bytes.extend(Byte::pair(Number::SEGMENT_SIZE)),
            (false, false) => return None,
        }
        Some(())
    }

    /// A byte of the local or the remote address.
    pub(super) fn address(&self, local: bool, index: usize) -> Byte {
        if !local && self.remote.is_none() {
            return match (self.family, index) {
                // An unknown remote address is a global one: 2000::/3.
                (Family::Ipv6, 0) => Byte::partly(0xe0, 0x20, Origin::Remote),
                _ => Byte::from(Origin::Remote),
            };
        }
        let address = if local {
            self.consulted_address.set(true);
            self.local
        } else {
            self.remote
        };
        let octet = match address {
            Some(IpAddr::V4(address)) => address.octets().get(index).copied(),
            Some(IpAddr::V6(address)) => address.octets().get(index).copied(),
            None => None,
        };
        octet.map_or_else(Byte::other, Byte::known)
    }

    fn mark(&self, mark: Mark, situation: &Situation, bytes: &mut Vec<Byte>) -> Option<()> {
        let value = match mark {
            // Whether IP's own rules come first depends on `bridge-nf-call-iptables`.
            Mark::Packet if self.table == TableFamily::Bridge => None,
            Mark::Packet => situation.packet_mark,
            Mark::Connection => {
                self.tracked(situation)?;
                situation.connection_mark
            }
        };
        match value {
            _ if situation.marked_by_source => {
                bytes.extend([Byte::from(Origin::Unknown(Uncertainty::Source)); 4]);
            }
            Some(value) => push(bytes, &value.to_ne_bytes()),
            None => bytes.extend([Byte::other(); 4]),
        }
        Some(())
    }

    /// Without an interface the kernel gives index 0 and an empty name, and ends the rule at the other two.
    fn interface(
        &self,
        field: &Field,
        there: bool,
        length: usize,
        bytes: &mut Vec<Byte>,
    ) -> Option<()> {
        self.consulted_interface
            .set(there || self.interface.is_none() || self.consulted_interface.get());
        let Some(interface) = self.interface else {
            bytes.extend((0..length).map(|_| Byte::other()));
            return Some(());
        };
        let interface = there.then_some(interface);
        match (field, interface) {
            (Field::InputInterface | Field::OutputInterface, interface) => {
                push(
                    bytes,
                    &interface.map_or(0, |found| found.index).to_ne_bytes(),
                );
            }
            (Field::InputInterfaceName | Field::OutputInterfaceName, interface) => {
                push_name(bytes, interface.map_or("", |found| found.name.as_str()));
            }
            (Field::InputInterfaceType | Field::OutputInterfaceType, Some(found)) => {
                push(bytes, &found.hardware_type.to_ne_bytes());
            }
            (_, Some(found)) => push(bytes, &found.group.to_ne_bytes()),
            (_, None) => return None,
        }
        Some(())
    }

    /// Whether connection tracking has yet to see the packet; at its own priority nobody knows who comes first.
    pub(super) fn before_tracking(&self) -> Option<bool> {
        match self.hook {
            // Bridges may have connection tracking of their own, or IP's (`nf_conntrack_bridge`, `br_netfilter`).
            _ if self.table == TableFamily::Bridge => None,
            Hook::Ingress => Some(true),
            Hook::Prerouting | Hook::Output if self.priority == PRIORITY_CONNTRACK => None,
            Hook::Prerouting | Hook::Output => Some(self.priority < PRIORITY_CONNTRACK),
            _ => Some(false),
        }
    }

    /// Most `ct` keys end the rule when the packet has no entry (`nft_ct_get_eval`).
    fn tracked(&self, situation: &Situation) -> Option<()> {
        let tracked = situation.tracking != Tracking::Untracked && !self.phase.discovers();
        (self.before_tracking() == Some(false) && tracked).then_some(())
    }

    fn state(&self, situation: &Situation, bytes: &mut Vec<Byte>) {
        let state = if self.phase.discovers() {
            self.discovery_state()
        } else if situation.tracking == Tracking::Unclear {
            None
        } else if situation.tracking == Tracking::Untracked {
            Some(STATE_UNTRACKED)
        } else if self.before_tracking() == Some(true) {
            Some(STATE_INVALID)
        } else {
            match (self.phase, situation.opening) {
                (Phase::Opening, _) => Some(STATE_NEW),
                (_, Tracking::Tracked) => Some(STATE_ESTABLISHED),
                // The answer to a packet that was not tracked belongs to no connection.
                (Phase::Reply, Tracking::Untracked) => Some(STATE_INVALID),
                _ => None,
            }
        };
        match state {
            Some(state) => push(bytes, &state.to_ne_bytes()),
            None => bytes.extend([Byte::other(); 4]),
        }
    }

    /// Expected, source-translated and destination-translated are known to be unset; before the reply also "seen reply",
    /// "assured" and "confirmed".
    fn status(&self, situation: &Situation, bytes: &mut Vec<Byte>) -> Option<()> {
        self.tracked(situation)?;
        let known: u32 = if self.phase == Phase::Opening {
            0x3f
        } else {
            0x31
        };
        bytes.extend(
            known
                .to_ne_bytes()
                .map(|mask| Byte::partly(mask, 0, Origin::Unknown(Uncertainty::Other))),
        );
        Some(())
    }

    fn connection(
        &self,
        key: ConnectionKey,
        direction: Option<u8>,
        length: usize,
        bytes: &mut Vec<Byte>,
    ) {
        let reply = direction.map_or(self.phase == Phase::Reply, |direction| direction == 1);
        let width = match self.family {
            Family::Ipv4 => 4,
            Family::Ipv6 => 16,
        };
        let ports = |local: bool| {
            if local {
                [Byte::from(Origin::PortHigh), Byte::from(Origin::PortLow)]
            } else {
                Byte::pair(Number::PORT)
            }
        };
        match key {
            ConnectionKey::SourceAddress => {
                bytes.extend((0..width.min(length)).map(|index| self.address(reply, index)));
            }
            ConnectionKey::DestinationAddress => {
                bytes.extend((0..width.min(length)).map(|index| self.address(!reply, index)));
            }
            ConnectionKey::SourcePort => bytes.extend(ports(reply)),
            ConnectionKey::DestinationPort => bytes.extend(ports(!reply)),
            ConnectionKey::TransportProtocol => bytes.push(Byte::known(6)),
            ConnectionKey::NetworkFamily => bytes.push(Byte::known(match self.family {
                Family::Ipv4 => 2,
                Family::Ipv6 => 10,
            })),
        }
    }

    /// Local addresses are local; a remote one is routed back through the interface it came from.
    fn fib(&self, destination: bool, result: FibResult, present: bool, bytes: &mut Vec<Byte>) {
        let local = destination == self.phase.inbound();
        match result {
            _ if self.phase.discovers() => {}
            _ if present => bytes.push(Byte::known(1)),
            FibResult::AddressType => {
                let kind = if local { ROUTE_LOCAL } else { ROUTE_UNICAST };
                push(bytes, &kind.to_ne_bytes());
            }
            FibResult::InterfaceIndex | FibResult::InterfaceName => {
                match self.interface.filter(|_| !local) {
                    Some(interface) => {
                        self.consulted_interface.set(true);
                        if result == FibResult::InterfaceIndex {
                            push(bytes, &interface.index.to_ne_bytes());
                        } else {
                            push_name(bytes, &interface.name);
                        }
                    }
                    None if result == FibResult::InterfaceIndex => {
                        bytes.extend([Byte::other(); 4]);
                    }
                    None => bytes.extend([Byte::other(); 16]),
                }
            }
        }
    }
}
