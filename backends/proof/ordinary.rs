//! Numbers in the packets of ordinary connections, where one client's differ from another's: only their bounds are known.
//!
//! A rule that turns away what lies beyond the bounds turns nobody away; one that turns away some of what lies between
//! them turns away some clients.

use crate::model::reach::Family;
use crate::model::ruleset::Uncertainty;

use super::packet::Phase;

/// The lengths of the headers of IP, and of TCP without options and with as many as there is room for.
const IPV4: u16 = 20;
const IPV6: u16 = 40;
const TCP: u16 = 20;
const TCP_OPTIONS: u16 = 40;
/// The length of the option that announces the maximum segment size.
const SEGMENT_SIZE: u16 = 4;

/// A number of two bytes that a client chooses, or its system does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number {
    what: What,
    pub(super) least: u16,
    pub(super) most: u16,
}

/// The numbers differ in this, so that two of one packet are not taken for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Port,
    Length,
    PayloadLength,
    SegmentSize,
    Window,
}

impl Number {
    /// The client's port: an unprivileged one.
    pub(super) const PORT: Self = Self::new(What::Port, 1024, u16::MAX);

    /// The maximum segment size that a SYN announces: no host takes less than 536 bytes (RFC 9293, 3.7.1), and every
    /// system in use says how much it takes.
    pub(super) const SEGMENT_SIZE: Self = Self::new(What::SegmentSize, 536, u16::MAX);

    const fn new(what: What, least: u16, most: u16) -> Self {
        Self { what, least, most }
    }

    /// The length of the whole IP packet. A SYN is of headers alone, with the maximum segment size among the options; later
    /// packets may be put together before they are filtered (GRO), and the server's are more than its first answer.
    pub(super) fn length(family: Family, phase: Phase) -> Self {
        Self::beyond(What::Length, ip_header(family), phase)
    }

    /// The length of what is behind the IP header.
    pub(super) fn payload_length(phase: Phase) -> Self {
        Self::beyond(What::PayloadLength, 0, phase)
    }

    fn beyond(what: What, before: u16, phase: Phase) -> Self {
        match phase {
            Phase::Opening => {
                let least = before + TCP + SEGMENT_SIZE;
                Self::new(what, least, before + TCP + TCP_OPTIONS)
            }
            _ => Self::new(what, before + TCP, u16::MAX),
        }
    }

    /// The window: nobody opens a connection without room for data, but later there may be none for a while.
    pub(super) fn window(phase: Phase) -> Self {
        let least = u16::from(phase == Phase::Opening);
        Self::new(What::Window, least, u16::MAX)
    }

    /// What another client's number would depend on.
    pub(super) fn uncertainty(self) -> Uncertainty {
        match self.what {
            What::Port => Uncertainty::Source,
            _ => Uncertainty::Other,
        }
    }
}

/// The flags of TCP: a SYN's, those of the answer to it and of what else the server sends, those of the client's packets
/// behind the first.
///
/// The SYN of some systems, Apple's among them, asks for congestion notification. When it is `dropped`, another follows
/// that does not (RFC 3168, 6.1.1.1); when it is refused, that is the end.
pub(super) fn tcp_flags(phase: Phase, dropped: bool) -> &'static [u8] {
    const FINISH: u8 = 0x01;
    const SYNCHRONIZE: u8 = 0x02;
    const PUSH: u8 = 0x08;
    const ACKNOWLEDGE: u8 = 0x10;
    /// ECE and CWR.
    const CONGESTION: u8 = 0xc0;
    match phase {
        Phase::Opening if dropped => &[SYNCHRONIZE],
        Phase::Opening => &[SYNCHRONIZE, SYNCHRONIZE | CONGESTION],
        Phase::Reply => &[
            SYNCHRONIZE | ACKNOWLEDGE,
            ACKNOWLEDGE,
            PUSH | ACKNOWLEDGE,
            FINISH | ACKNOWLEDGE,
            FINISH | PUSH | ACKNOWLEDGE,
        ],
        _ => &[
            ACKNOWLEDGE,
            PUSH | ACKNOWLEDGE,
            FINISH | ACKNOWLEDGE,
            FINISH | PUSH | ACKNOWLEDGE,
        ],
    }
}

/// The length of an IP header without options.
fn ip_header(family: Family) -> u16 {
    match family {
        Family::Ipv4 => IPV4,
        Family::Ipv6 => IPV6,
    }
}
