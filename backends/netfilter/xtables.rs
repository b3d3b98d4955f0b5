//! The matches and targets of iptables, as iptables-nft puts them into `nf_tables` rules.
//!
//! Their parameters are C structs in the host's byte order; the offsets are those of the kernel's headers,
//! linux/netfilter/xt_*.h, on a 64-bit host.

pub(super) mod matches;
pub(super) mod ports;
mod rates;
mod sizes;
pub(super) mod targets;
mod words;

use super::attributes::Attributes;

/// A match or target: `NFTA_MATCH_*` and `NFTA_TARGET_*` are numbered alike.
struct Extension<'a> {
    name: String,
    revision: u32,
    info: Info<'a>,
}

impl<'a> Extension<'a> {
    fn new(data: &Attributes<'a>) -> Option<Self> {
        Some(Self {
            name: data.text(1)?,
            revision: data.number(2)?,
            info: Info(data.get(3)?),
        })
    }
}

/// The bytes of a struct.
#[derive(Clone, Copy)]
struct Info<'a>(&'a [u8]);

impl<'a> Info<'a> {
    /// Bytes from an offset on.
    fn bytes(self, offset: usize, length: usize) -> Option<&'a [u8]> {
        self.0.get(offset..offset.checked_add(length)?)
    }

    fn array<const LENGTH: usize>(self, offset: usize) -> Option<[u8; LENGTH]> {
        self.0.get(offset..)?.first_chunk().copied()
    }

    fn byte(self, offset: usize) -> Option<u8> {
        self.0.get(offset).copied()
    }

    /// A number in the host's byte order.
    fn short(self, offset: usize) -> Option<u16> {
        self.array(offset).map(u16::from_ne_bytes)
    }

    /// A number in the host's byte order.
    fn number(self, offset: usize) -> Option<u32> {
        self.array(offset).map(u32::from_ne_bytes)
    }

    /// A number in network byte order.
    fn network_short(self, offset: usize) -> Option<u16> {
        self.array(offset).map(u16::from_be_bytes)
    }
}
