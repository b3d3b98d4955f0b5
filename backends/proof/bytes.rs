//! Bytes of a packet that rules look at: known, or unknown with an origin.

use crate::model::ruleset::{Operation, Uncertainty};

use super::ordinary::Number;

/// Where an unknown bit comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The high byte of the port in question.
    PortHigh,
    /// The low byte of the port in question.
    PortLow,
    /// The high byte of a number that clients choose.
    High(Number),
    /// The low byte of a number that clients choose.
    Low(Number),
    /// The client's address.
    Remote,
    /// The flags of one of several packets, which are these.
    OneOf(&'static [u8]),
    /// Anything else.
    Unknown(Uncertainty),
}

/// A byte: the bits of `known` have the bits of `value`; the others are the origin's, toggled by `flip`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Byte {
    pub(super) known: u8,
    pub(super) value: u8,
    pub(super) flip: u8,
    pub(super) origin: Origin,
}

impl Byte {
    pub(super) fn known(value: u8) -> Self {
        Self::partly(0xff, value, Origin::Unknown(Uncertainty::Other))
    }

    pub(super) fn from(origin: Origin) -> Self {
        Self::partly(0, 0, origin)
    }

    /// One of these, at least one.
    pub(super) fn one_of(values: &'static [u8]) -> Self {
        let (all, any) = values
            .iter()
            .fold((0xff, 0), |(all, any), value| (all & value, any | value));
        Self::partly(all | !any, all, Origin::OneOf(values))
    }

    /// Both bytes of a number.
    pub(super) fn pair(number: Number) -> [Self; 2] {
        [
            Self::from(Origin::High(number)),
            Self::from(Origin::Low(number)),
        ]
    }

    pub(super) fn other() -> Self {
        Self::from(Origin::Unknown(Uncertainty::Other))
    }

    pub(super) fn partly(known: u8, value: u8, origin: Origin) -> Self {
        Self {
            known,
            value: value & known,
            flip: 0,
            origin,
        }
    }

    /// `(byte & mask) ^ xor`.
    fn bitwise(self, mask: u8, xor: u8) -> Self {
        let known = self.known | !mask;
        Self {
            known,
            value: ((self.value & mask) ^ xor) & known,
            flip: (self.flip ^ xor) & !known,
            origin: self.origin,
        }
    }
}

pub(super) fn push(bytes: &mut Vec<Byte>, data: &[u8]) {
    bytes.extend(data.iter().map(|byte| Byte::known(*byte)));
}

pub(super) fn push_name(bytes: &mut Vec<Byte>, name: &str) {
    let mut padded = [0_u8; 16];
    for (slot, byte) in padded.iter_mut().zip(name.bytes()) {
        *slot = byte;
    }
    push(bytes, &padded);
}

pub(super) fn operate(bytes: &mut [Byte], operation: &Operation) {
    match operation {
        Operation::Bitwise { mask, xor } => {
            for (index, byte) in bytes.iter_mut().enumerate() {
                let mask = mask.get(index).copied().unwrap_or(0);
                let xor = xor.get(index).copied().unwrap_or(0);
                *byte = byte.bitwise(mask, xor);
            }
        }
        Operation::Swap { size } => {
            if cfg!(target_endian = "little") {
                for word in bytes.chunks_mut((*size as usize).max(1)) {
                    word.reverse();
                }
            }
        }
        Operation::Computed => bytes.fill(Byte::other()),
    }
}
