//! The ports that a test or a path is about.

use crate::model::ports::PortSet;

/// A port set that is most often nothing or everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ports {
    None,
    All,
    Some(PortSet),
}

impl Ports {
    pub(super) fn from_set(set: PortSet) -> Self {
        if set.is_empty() {
            Self::None
        } else if set.len() == 65_536 {
            Self::All
        } else {
            Self::Some(set)
        }
    }

    pub(super) fn and(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::None, _) | (_, Self::None) => Self::None,
            (Self::All, set) | (set, Self::All) => set.clone(),
            (Self::Some(left), Self::Some(right)) => Self::from_set(left.intersection(right)),
        }
    }

    pub(super) fn or(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::None, set) | (set, Self::None) => set.clone(),
            (Self::Some(left), Self::Some(right)) => Self::from_set(left.union(right)),
        }
    }

    pub(super) fn not(&self) -> Self {
        match self {
            Self::None => Self::All,
            Self::All => Self::None,
            Self::Some(set) => Self::from_set(set.complement()),
        }
    }

    /// The ports of `set` that are meant.
    pub(super) fn within(&self, set: &PortSet) -> PortSet {
        match self {
            Self::None => PortSet::EMPTY,
            Self::All => set.clone(),
            Self::Some(ports) => ports.intersection(set),
        }
    }

    /// The ports of `set` that are not meant.
    pub(super) fn without(&self, set: &PortSet) -> PortSet {
        match self {
            Self::None => set.clone(),
            Self::All => PortSet::EMPTY,
            Self::Some(ports) => set.difference(ports),
        }
    }
}
