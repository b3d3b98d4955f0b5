//! What is true of a remote end that nobody knows: an address of the Internet, and ordinary packets.

use std::ops::RangeInclusive;

use super::{ALL_ADDRESSES, About, Truth};
use crate::model::reach::Family;
use crate::model::ruleset::Uncertainty;
use crate::proof::bytes::{Byte, Origin};
use crate::proof::ordinary::Number;

/// A source test that singles out less than one address in so many powers of two is a ban or an exception: an unknown
/// remote address does not match it. Of `2000::/3` only small parts are in use: a registry has a /12 or two.
fn narrow_bits(about: About<'_>) -> u32 {
    match about.family {
        Family::Ipv4 => 8,
        Family::Ipv6 => 16,
    }
}

/// The part of `2000::/3` that is in use, in powers of two.
const USED_BITS: u32 = 6;

/// A test that singles out one remote address in `2^bits`.
pub(super) fn remote(bits: u32, about: About<'_>) -> Truth {
    if bits == 0 {
        Truth::always()
    } else if bits < narrow_bits(about) {
        Truth::some_sources()
    } else {
        let unused = match about.family {
            Family::Ipv4 => 0,
            Family::Ipv6 => USED_BITS,
        };
        Truth {
            share: ALL_ADDRESSES.checked_shr(bits - unused).unwrap_or(0),
            ..Truth::exception()
        }
    }
}

/// Whether a number that a client chooses is one of `values` that passes.
pub(super) fn among(
    number: Number,
    values: RangeInclusive<u16>,
    passes: impl Fn(u16) -> bool,
) -> Truth {
    let (first, last) = (
        number.least.max(*values.start()),
        number.most.min(*values.end()),
    );
    let mut inside = first..=last;
    if !inside.clone().any(&passes) {
        Truth::never()
    } else if (first, last) == (number.least, number.most) && inside.all(passes) {
        Truth::always()
    } else {
        Truth::maybe(number.uncertainty())
    }
}

/// An interval of remote addresses: narrow ones are exceptions.
pub(super) fn remote_between(bytes: &[Byte], first: &[u8], last: &[u8], about: About<'_>) -> Truth {
    let number = |data: &[u8]| {
        data.iter()
            .fold(0_u128, |sum, byte| sum << 8 | u128::from(*byte))
    };
    let (mut low, mut high) = (number(first), number(last));
    // The unicast addresses that a remote client can have: below 224.0.0.0, or 2000::/3; for a part of an address, all.
    let (from, to) = match (about.family, bytes.len()) {
        (Family::Ipv4, 4) => (0, 0xdfff_ffff),
        (Family::Ipv6, 16) => (0x2_u128 << 124, (0x4_u128 << 124) - 1),
        (_, length) => (
            0,
            u128::MAX
                .checked_shr(128 - 8 * length.min(16) as u32)
                .unwrap_or(0),
        ),
    };
    low = low.max(from);
    high = high.min(to);
    if low > high {
        return Truth::never();
    }
    if low == from && high == to {
        return Truth::always();
    }
    // As wide as a prefix may be that is tested bit by bit: the interval of an IPv4 set's element is of the whole 2^32.
    let all = match (about.family, bytes.len()) {
        (Family::Ipv4, 4) => u128::from(u32::MAX),
        _ => to - from,
    };
    let narrow = high - low <= all >> narrow_bits(about);
    if narrow {
        let unused = if about.family == Family::Ipv6 {
            USED_BITS
        } else {
            0
        };
        let unit = ((to - from) >> (32 + unused)).max(1);
        Truth {
            share: u64::try_from((high - low + 1) / unit).unwrap_or(ALL_ADDRESSES),
            ..Truth::exception()
        }
    } else {
        Truth::some_sources()
    }
}

/// Whether the bytes tell something of a remote address that nobody knows.
pub(in crate::proof) fn is_of_remote(bytes: &[Byte]) -> bool {
    let mut bytes = bytes.iter();
    bytes.any(|byte| byte.origin == Origin::Remote && byte.known != 0xff)
}

/// An unknown remote address is not among many, unless they are the greater part of all.
pub(super) fn among_addresses(bytes: &[Byte], share: u64) -> Truth {
    if is_of_remote(bytes) {
        let truth = Truth {
            share,
            ..Truth::exception()
        };
        truth.added_up()
    } else {
        Truth::maybe(Uncertainty::NotDecoded)
    }
}
