//! TCP ports as closed intervals.

use std::fmt;

/// A closed interval of ports, `first <= last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// The interval `first..=last`, or `None` when it is reversed.
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The interval that holds one port.
    pub fn single(port: u16) -> Self {
        Self {
            first: port,
            last: port,
        }
    }

    /// The lowest port.
    pub fn first(self) -> u16 {
        self.first
    }

    /// The highest port.
    pub fn last(self) -> u16 {
        self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(formatter, "{}", self.first)
        } else {
            write!(formatter, "{}-{}", self.first, self.last)
        }
    }
}

/// A set of ports, kept as sorted intervals that neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PortSet {
    ranges: Vec<PortRange>,
}

impl PortSet {
    /// No port.
    pub const EMPTY: Self = Self { ranges: Vec::new() };

    /// Every port, 0 to 65535.
    pub fn all() -> Self {
        Self {
            ranges: vec![PortRange {
                first: 0,
                last: u16::MAX,
            }],
        }
    }

    /// Whether no port is in the set.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many ports are in the set.
    pub fn len(&self) -> u32 {
        self.ranges
            .iter()
            .map(|range| u32::from(range.last - range.first) + 1)
            .sum()
    }

    /// The intervals, ascending; no two overlap or touch.
    pub fn ranges(&self) -> &[PortRange] {
        &self.ranges
    }

    /// Every port, ascending.
    pub fn ports(&self) -> impl Iterator<Item = u16> + '_ {
        self.ranges
            .iter()
            .flat_map(|range| range.first..=range.last)
    }

    /// Whether `port` is in the set.
    pub fn contains(&self, port: u16) -> bool {
        self.ranges
            .binary_search_by(|range| {
                if range.last < port {
                    std::cmp::Ordering::Less
                } else if range.first > port {
                    std::cmp::Ordering::Greater
                } else {
                    std::cmp::Ordering::Equal
                }
            })
            .is_ok()
    }

    /// Whether every port of `other` is in the set.
    pub fn covers(&self, other: &Self) -> bool {
        other.difference(self).is_empty()
    }

    /// The ports of either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        if self.is_empty() {
            return other.clone();
        }
        if other.is_empty() {
            return self.clone();
        }
        self.ranges.iter().chain(&other.ranges).copied().collect()
    }

    /// The ports of both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut ranges = Vec::new();
        let (mut left, mut right) = (
            self.ranges.iter().peekable(),
            other.ranges.iter().peekable(),
        );
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            if let Some(both) = PortRange::new(a.first.max(b.first), a.last.min(b.last)) {
                ranges.push(both);
            }
            if a.last < b.last {
                left.next();
            } else {
                right.next();
            }
        }
        Self { ranges }
    }

    /// The ports of this set that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        if other.is_empty() {
            return self.clone();
        }
        self.intersection(&other.complement())
    }

    /// Every port that is not in the set.
    #[must_use]
    pub fn complement(&self) -> Self {
        let mut ranges = Vec::with_capacity(self.ranges.len() + 1);
        let mut next = Some(0_u16);
        for range in &self.ranges {
            if let (Some(first), Some(before)) = (next, range.first.checked_sub(1)) {
                ranges.extend(PortRange::new(first, before));
            }
            next = range.last.checked_add(1);
        }
        ranges.extend(next.and_then(|first| PortRange::new(first, u16::MAX)));
        Self { ranges }
    }
}

impl FromIterator<PortRange> for PortSet {
    fn from_iter<I: IntoIterator<Item = PortRange>>(ranges: I) -> Self {
        let mut sorted: Vec<PortRange> = ranges.into_iter().collect();
        sorted.sort_unstable();
        let mut merged: Vec<PortRange> = Vec::with_capacity(sorted.len());
        for range in sorted {
            match merged.last_mut() {
                Some(last) if u32::from(range.first) <= u32::from(last.last) + 1 => {
                    last.last = last.last.max(range.last);
                }
                _ => merged.push(range),
            }
        }
        Self { ranges: merged }
    }
}

impl From<PortRange> for PortSet {
    fn from(range: PortRange) -> Self {
        Self {
            ranges: vec![range],
        }
    }
}

impl fmt::Display for PortSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return formatter.write_str("no port");
        }
        for (index, range) in self.ranges.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(formatter, "{separator}{range}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{PortRange, PortSet};
    use proptest::prelude::*;

    /// The naive set: one bit a port.
    fn bits(ranges: &[(u16, u16)]) -> Vec<bool> {
        let mut bits = vec![false; 65_536];
        for &(first, last) in ranges {
            for port in first..=last {
                bits[usize::from(port)] = true;
            }
        }
        bits
    }

    fn set(ranges: &[(u16, u16)]) -> PortSet {
        ranges
            .iter()
            .filter_map(|&(first, last)| PortRange::new(first, last))
            .collect()
    }

    /// The intervals say exactly what the bits say, in canonical form.
    fn assert_same(set: &PortSet, bits: &[bool]) {
        assert!(
            (0..=u16::MAX).all(|port| set.contains(port) == bits[usize::from(port)]),
            "{set}"
        );
        assert_eq!(set.len() as usize, bits.iter().filter(|bit| **bit).count());
        assert_eq!(set.is_empty(), bits.iter().all(|bit| !bit));
        for pair in set.ranges().windows(2) {
            assert!(u32::from(pair[0].last()) + 1 < u32::from(pair[1].first()));
        }
    }

    /// Edges of the port space are drawn often, since that is where intervals go wrong.
    fn port() -> impl Strategy<Value = u16> {
        prop_oneof![
            Just(0),
            Just(1),
            Just(65_534),
            Just(65_535),
            any::<u16>(),
            0_u16..40
        ]
    }

    fn ranges() -> impl Strategy<Value = Vec<(u16, u16)>> {
        prop::collection::vec((port(), port()), 0..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn algebra_agrees_with_a_bit_a_port(left in ranges(), right in ranges()) {
            let (a, b) = (bits(&left), bits(&right));
            let (set_a, set_b) = (set(&left), set(&right));
            let both = |op: fn(bool, bool) -> bool| -> Vec<bool> {
                a.iter().zip(&b).map(|(x, y)| op(*x, *y)).collect()
            };
            assert_same(&set_a, &a);
            assert_same(&set_a.union(&set_b), &both(|x, y| x || y));
            assert_same(&set_a.intersection(&set_b), &both(|x, y| x && y));
            assert_same(&set_a.difference(&set_b), &both(|x, y| x && !y));
            assert_same(&set_a.complement(), &a.iter().map(|x| !x).collect::<Vec<_>>());
            prop_assert_eq!(set_a.covers(&set_b), a.iter().zip(&b).all(|(x, y)| *x || !*y));
        }
    }
}
