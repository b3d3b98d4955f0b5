//! IPv6's neighbour discovery (RFC 4861), without which no packet of a connection is ever sent: a neighbour asks for this
//! host's hardware address, and the host answers. The client, or the router before this host, has to get its answer.
//!
//! Either is a packet of `ICMPv6` that connection tracking leaves alone (`icmpv6_error` of `nf_conntrack_proto_icmpv6`), so
//! that no rule for established connections lets it in. Who asks is not known: a router by its link-local address, another
//! host by any. Only what stops all of them is said.

use crate::model::ports::{PortRange, PortSet};
use crate::model::reach::{Family, Reach};
use crate::model::ruleset::{PayloadBase, Ruleset};

use super::arrivals::{arrivals, is_link_local};
use super::bytes::Byte;
use super::describe;
use super::packet::{HARDWARE_ETHERNET, Packet, Phase, STATE_INVALID, STATE_UNTRACKED};
use super::steps::Recorder;
use super::verdict::Question;

/// The protocol number of `ICMPv6`, and the types of the two messages.
const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// `PACKET_HOST` and `PACKET_MULTICAST`.
const TO_THIS_HOST: u8 = 0;
const TO_A_GROUP: u8 = 2;

/// The addresses that neighbours ask for in vain, as far as the rules go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// Which message is stopped: the type of `ICMPv6`, 135 (a neighbour's question) or 136 (the answer).
    pub message: u8,
    /// The rule or policy that stops it.
    pub because: String,
    /// The place in the ruleset of the table that has it.
    pub table: usize,
    /// The chain's name.
    pub chain: String,
}

/// What surely keeps every neighbour, on every interface, from looking up this host's IPv6 addresses. `None` as well where
/// it has none beyond the link, or no link needs them looked up.
pub fn unanswered(ruleset: &Ruleset) -> Option<Unanswered> {
    let mut ways = arrivals(ruleset, Family::Ipv6);
    ways.retain(|(interface, _)| {
        interface.hardware_type == HARDWARE_ETHERNET && !interface.unresolved
    });
    for (_, addresses) in &mut ways {
        addresses.retain(|address| address.is_some_and(|address| !is_link_local(&address)));
    }
    ways.retain(|(_, addresses)| !addresses.is_empty());
    // Any port will do: there is none in these packets.
    let port = PortSet::from(PortRange::single(0));
    let question = Question {
        family: Family::Ipv6,
        ports: &port,
        phases: &[Phase::Solicitation, Phase::Advertisement],
        arrivals: ways,
        remotes: vec![None],
    };
    let judgement = question.judge(ruleset, &mut Recorder::default());
    let entry = judgement.map.entry(0)?;
    let mut blocks = judgement.blocks.iter();
    let block = blocks.find(|block| entry.because == describe::spot(ruleset, &block.spot))?;
    let table = ruleset.tables.get(block.spot.table)?;
    let chain = table.chains.get(block.spot.chain)?;
    let message = match block.phase {
        Phase::Advertisement => ADVERTISEMENT,
        _ => SOLICITATION,
    };
    (entry.reach == Reach::Closed).then(|| Unanswered {
        message,
        because: entry.because.clone(),
        table: block.spot.table,
        chain: chain.name.clone(),
    })
}

impl Packet<'_> {
    /// The protocol behind IP's header.
    pub(super) fn protocol(&self) -> u8 {
        if self.phase.discovers() { ICMPV6 } else { 6 }
    }

    /// Whom the frame of a packet that comes in is for.
    pub(super) fn packet_type(&self) -> u8 {
        if self.phase.discovers() {
            TO_A_GROUP
        } else {
            TO_THIS_HOST
        }
    }

    /// The state of a packet that connection tracking leaves alone, once it has seen it.
    pub(super) fn discovery_state(&self) -> Option<u32> {
        let state = |before| {
            if before {
                STATE_INVALID
            } else {
                STATE_UNTRACKED
            }
        };
        self.before_tracking().map(state)
    }

    /// A byte of a packet of neighbour discovery. Who asks, and what else is in it, is not known.
    pub(super) fn discovery(&self, base: PayloadBase, offset: usize) -> Byte {
        let asks = self.phase == Phase::Solicitation;
        match (base, offset) {
            (PayloadBase::Link, 12) => Byte::known(0x86),
            (PayloadBase::Link, 13) => Byte::known(0xdd),
            (PayloadBase::Network, 6) => Byte::known(ICMPV6),
            // The hop limit: a packet from beyond the link has less.
            (PayloadBase::Network, 7) => Byte::known(255),
            (PayloadBase::Network, 8..24) if !asks => self.address(true, offset - 8),
            (PayloadBase::Network, 24..40) if asks => self.group(offset - 24),
            (PayloadBase::Transport, 0) if asks => Byte::known(SOLICITATION),
            (PayloadBase::Transport, 0) => Byte::known(ADVERTISEMENT),
            (PayloadBase::Transport, 1) => Byte::known(0),
            _ => Byte::other(),
        }
    }

    /// A byte of the group that all who have the local address listen to: `ff02::1:ff` and its last three bytes.
    fn group(&self, index: usize) -> Byte {
        const PREFIX: [u8; 13] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff];
        match PREFIX.get(index) {
            Some(byte) => Byte::known(*byte),
            None => self.address(true, index),
        }
    }
}
