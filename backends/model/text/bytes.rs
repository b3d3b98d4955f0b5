//! What a field's bytes are, before any words.

use crate::model::ruleset::{ConnectionKey, Field, Operation, Part, PayloadBase};

/// Whether the bytes of a field are a number in the host's order.
pub(super) fn is_host_order(field: &Field) -> bool {
    matches!(
        field,
        Field::PacketLength
            | Field::Mark(_)
            | Field::InputInterface
            | Field::InputInterfaceType
            | Field::InputInterfaceGroup
            | Field::OutputInterface
            | Field::OutputInterfaceType
            | Field::OutputInterfaceGroup
            | Field::ConnectionState
            | Field::ConnectionStatus
            | Field::Fib { .. }
    )
}

/// A number of up to sixteen bytes.
pub(super) fn number(bytes: &[u8], host_order: bool) -> u128 {
    let add = |sum: u128, byte: &u8| sum << 8 | u128::from(*byte);
    let bytes = bytes.get(..16).unwrap_or(bytes);
    if host_order && cfg!(target_endian = "little") {
        bytes.iter().rev().fold(0, add)
    } else {
        bytes.iter().fold(0, add)
    }
}

/// A number of up to sixteen bytes, in hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8], host_order: bool) -> String {
    format!("{:#x}", number(bytes, host_order))
}

/// The mask of a field that is only masked.
pub(super) fn only_mask(part: &Part) -> Option<&[u8]> {
    match part.operations.as_slice() {
        [Operation::Bitwise { mask, xor }] if xor.iter().all(|byte| *byte == 0) => Some(mask),
        _ => None,
    }
}

/// The length of the prefix that a mask leaves of an address.
pub(super) fn prefix_length(part: &Part) -> Option<u32> {
    let is_address = match part.field {
        Field::Payload {
            base: PayloadBase::Network,
            offset,
        } => {
            matches!((offset, part.length), (12 | 16, 1..=4) | (8 | 24, 2..=16))
        }
        Field::Connection {
            key: ConnectionKey::SourceAddress | ConnectionKey::DestinationAddress,
            ..
        } => true,
        _ => false,
    };
    let mask = only_mask(part).filter(|_| is_address)?;
    let bits: u32 = mask.iter().map(|byte| byte.leading_ones()).sum();
    let ones: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
    let first_bits = mask.iter().take_while(|byte| **byte == 0xff).count();
    let contiguous = bits == ones && mask.iter().skip(first_bits + 1).all(|byte| *byte == 0);
    contiguous.then_some(ones)
}
