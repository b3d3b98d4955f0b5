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
    /// Where it is, when not in `nf_tables`.
    pub outside: Option<Outside>,
}

/// A list beside `nf_tables` that matches of iptables look into, and targets write into, from whichever table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outside {
    /// An ipset.
    Ipset(Ipset),
    /// A list of the match `recent`, by name.
    Recent(String),
}

/// How a rule refers to an ipset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ipset {
    /// The kernel's number of the set, as long as its name is not known.
    pub number: Option<u16>,
    /// The name; empty as long as it is not known.
    pub name: String,
    /// For each dimension of the elements whether the packet's source is looked up (`src`) or its destination (`dst`).
    pub sources: Vec<bool>,
    /// Only the exceptions of the set match (`--return-nomatch`).
    pub exceptions: bool,
    /// The names of the ipsets in it, when it is a set of sets.
    pub members: Vec<String>,
}

impl Ipset {
    /// What stands for the name in the name that a rule gives a set, as long as its number alone is known.
    pub(crate) fn numbered(number: u16) -> String {
        format!("#{number}")
    }

    /// Its name, and those of the ipsets in it.
    fn names(&self) -> impl Iterator<Item = &String> {
        self.members.iter().chain([&self.name])
    }
}

impl Outside {
    /// Whether what is put into `other`, or taken from it, may make a difference here.
    ///
    /// The kernel writes into the members of a set of sets, and looks into them (`list_set_kadd`, `list_set_ktest`).
    pub fn sees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ipset(one), Self::Ipset(other)) => one
                .names()
                .any(|name| other.names().any(|other| name == other)),
            (Self::Recent(one), Self::Recent(other)) => one == other,
            _ => false,
        }
    }
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
