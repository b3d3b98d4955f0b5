//! Sets and maps, and what is in them.

use super::{Uncertainty, Verdict};

/// A set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// The name; anonymous sets have one too (`__set0`).
    pub name: String,
    /// It belongs to one rule and cannot change.
    pub anonymous: bool,
    /// It is a map to verdicts.
    pub verdict_map: bool,
    /// The lengths of the key's fields in bytes, unpadded; one entry unless it is a concatenation of intervals.
    pub key_fields: Vec<u32>,
    /// What is in it.
    pub elements: Elements,
}

/// The elements of a set, as far as they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Elements {
    /// All of them.
    Read(Vec<Element>),
    /// Addresses, too many to read: of `2^32` remote ones so many are among them, about.
    Addresses {
        /// How many.
        share: u64,
    },
    /// Not read: no rule of the path asks, or the kernel does not tell.
    NotRead,
}

/// An element of a set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// Which values it stands for.
    pub key: ElementKey,
    /// What a verdict map decides for them.
    pub verdict: Option<Verdict>,
    /// The element carries a condition of its own (a limit, a quota), or expires.
    pub uncertainty: Option<Uncertainty>,
}

/// The values that an element stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ElementKey {
    /// One value.
    Single(Vec<u8>),
    /// From the first to the last, both included; in a concatenation each field for itself.
    Range(Vec<u8>, Vec<u8>),
    /// Everything that no other element stands for (`*`).
    CatchAll,
}
