//! The registers of a rule: which field's bytes each of them holds.

use std::sync::Arc;

use crate::model::ruleset::{Field, Operation, Part, PayloadBase, Uncertainty, Value};

/// The registers are 64 bytes, sixteen words of four (`NFT_REG32_NUM`).
const WORDS: usize = 16;
/// Bytes of a word (`NFT_REG32_SIZE`).
const WORD: u32 = 4;

/// What a word of the registers holds.
#[derive(Clone, Debug, Default)]
enum Word {
    /// Nothing known.
    #[default]
    Empty,
    /// A field starts here.
    Start(Part),
    /// A field that started before goes on.
    Rest,
}

/// The registers, word by word.
#[derive(Debug, Default)]
pub(super) struct Registers {
    words: [Word; WORDS],
}

/// The first word of a register: `NFT_REG_1..4` (1 to 4) are sixteen bytes each, `NFT_REG32_00..15` (8 to 23) four.
fn first_word(register: u32) -> Option<usize> {
    match register {
        1..=4 => Some((register as usize - 1) * 4),
        8..=23 => Some(register as usize - 8),
        _ => None,
    }
}

/// How many words that many bytes take.
fn words(length: u32) -> usize {
    length.div_ceil(WORD).max(1) as usize
}

impl Registers {
    /// Puts a field into a register and those behind it.
    pub(super) fn store(&mut self, register: u32, part: Part) -> Option<()> {
        let first = first_word(register)?;
        let count = words(part.length);
        if first + count > WORDS {
            return None;
        }
        // What is left of a longer field that is overwritten from its start belongs to nothing.
        for word in self.words.iter_mut().skip(first + count) {
            if !matches!(word, Word::Rest) {
                break;
            }
            *word = Word::Empty;
        }
        for word in self.words.iter_mut().skip(first).take(count) {
            *word = Word::Rest;
        }
        *self.words.get_mut(first)? = Word::Start(part);
        Some(())
    }

    /// The fields that so many bytes from a register on belong to.
    pub(super) fn load(&self, register: u32, length: u32) -> Option<Value> {
        let mut at = first_word(register)?;
        let end = at + words(length);
        if end > WORDS {
            return None;
        }
        let mut parts = Vec::with_capacity(1);
        while at < end {
            let part = self.part(at);
            at += words(part.length);
            parts.push(part);
        }
        Some(Value {
            parts: Arc::new(parts),
        })
    }

    /// The field that starts at a word, or what is left of it there.
    fn part(&self, at: usize) -> Part {
        match self.words.get(at) {
            Some(Word::Start(part)) if self.is_whole(at, part) => part.clone(),
            Some(Word::Rest) => self.rest(at).unwrap_or_else(|| unknown(WORD)),
            _ => unknown(WORD),
        }
    }

    /// Whether no other field was written over the end of this one.
    fn is_whole(&self, at: usize, part: &Part) -> bool {
        self.words
            .iter()
            .skip(at + 1)
            .take(words(part.length) - 1)
            .all(|word| matches!(word, Word::Rest))
    }

    /// The last bytes of an unchanged header field or constant, from a word in its middle on.
    fn rest(&self, at: usize) -> Option<Part> {
        let start = (0..at)
            .rev()
            .find(|&word| !matches!(self.words.get(word), Some(Word::Rest)))?;
        let Some(Word::Start(part)) = self.words.get(start) else {
            return None;
        };
        let skipped = u32::try_from(at - start).ok()? * WORD;
        if !part.operations.is_empty() || skipped >= part.length || !self.is_whole(start, part) {
            return None;
        }
        let field = match &part.field {
            Field::Payload { base, offset } => Field::Payload {
                base: *base,
                offset: offset.checked_add(skipped)?,
            },
            Field::Constant(bytes) => Field::Constant(bytes.get(skipped as usize..)?.to_vec()),
            _ => return None,
        };
        Some(Part {
            field,
            length: part.length - skipped,
            operations: Vec::new(),
        })
    }

    /// Forgets everything, after an expression whose effect on the registers is not known.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The bytes of a register that holds nothing but a constant.
    pub(super) fn constant(&self, register: u32, length: u32) -> Option<Vec<u8>> {
        let value = self.load(register, length)?;
        let mut bytes = Vec::with_capacity(length as usize);
        for part in value.parts.iter() {
            let Field::Constant(constant) = &part.field else {
                return None;
            };
            if !part.operations.is_empty() {
                return None;
            }
            bytes.extend_from_slice(constant);
            bytes.resize(bytes.len().next_multiple_of(WORD as usize), 0);
        }
        bytes.truncate(length as usize);
        Some(bytes)
    }

    /// A header field in a register that is about to be written back, and what was done to it.
    pub(super) fn written(&self, register: u32, base: PayloadBase, offset: u32) -> Option<Part> {
        let Some(Word::Start(part)) = self.words.get(first_word(register)?) else {
            return None;
        };
        (part.field == Field::Payload { base, offset }).then(|| part.clone())
    }
}

/// A field that the decoder lost track of.
fn unknown(length: u32) -> Part {
    Part {
        field: Field::Unknown {
            uncertainty: Uncertainty::NotDecoded,
            text: String::from("register"),
        },
        length,
        operations: Vec::new(),
    }
}

/// Adds an operation over the first `length` bytes to every field of a value; `slice` gives the operation for the bytes
/// from the first number to the second.
pub(super) fn operate(
    value: &mut Value,
    length: u32,
    slice: impl Fn(usize, usize) -> Option<Operation>,
) {
    let mut offset = 0_usize;
    for part in Arc::make_mut(&mut value.parts) {
        let end = offset + part.length as usize;
        // An operation that ends in the middle of a field leaves a mixture.
        let operation = if end <= length as usize {
            slice(offset, end)
        } else {
            None
        };
        part.operations
            .push(operation.unwrap_or(Operation::Computed));
        offset += words(part.length) * WORD as usize;
    }
}
