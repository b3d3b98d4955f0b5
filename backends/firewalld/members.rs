//! What of this host belongs to which zone.

use std::net::IpAddr;

use crate::model::ruleset::Interface;

/// A zone, and what is bound to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// Its name.
    pub name: String,
    /// Whether it takes what is bound to no zone.
    pub default: bool,
    /// The interfaces bound to it; a `+` at the end stands for anything.
    pub interfaces: Vec<String>,
    /// The sources bound to it: addresses, networks, hardware addresses, `ipset:NAME`.
    pub sources: Vec<String>,
}

/// The packets that a zone sees.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    pub(super) interfaces: Vec<Interface>,
    pub(super) sources: Vec<IpAddr>,
    /// Bound sources that no question can be asked about: hardware addresses and ipsets.
    pub(super) unasked: Vec<String>,
}

impl Zone {
    fn binds(&self, interface: &Interface) -> bool {
        self.interfaces
            .iter()
            .any(|bound| match bound.strip_suffix('+') {
                Some(prefix) => interface.name.starts_with(prefix),
                None => *bound == interface.name,
            })
    }
}

impl Members {
    /// Whether there is any.
    pub(super) fn any(&self) -> bool {
        !self.interfaces.is_empty() || !self.sources.is_empty() || !self.unasked.is_empty()
    }
}

/// What belongs to each zone.
pub(super) fn members(interfaces: &[Interface], zones: Vec<Zone>) -> Vec<(Zone, Members)> {
    let mut all: Vec<(Zone, Members)> = zones
        .into_iter()
        .map(|zone| {
            let mut members = Members::default();
            for source in &zone.sources {
                match representative(source) {
                    Some(address) => members.sources.push(address),
                    None => members.unasked.push(source.clone()),
                }
            }
            (zone, members)
        })
        .collect();
    for interface in interfaces.iter().filter(|interface| !interface.loopback) {
        let bound = all.iter().position(|(zone, _)| zone.binds(interface));
        let zone = bound.or_else(|| all.iter().position(|(zone, _)| zone.default));
        if let Some((_, members)) = zone.and_then(|zone| all.get_mut(zone)) {
            members.interfaces.push(interface.clone());
        }
    }
    all
}

/// An address of the network, somewhere in its middle: a ban of a single address is not likely to be about that one.
fn representative(source: &str) -> Option<IpAddr> {
    let (address, length) = match source.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (source, None),
    };
    match (address.parse().ok()?, length) {
        (address, None) => Some(address),
        (IpAddr::V4(address), Some(length)) => {
            // Netmasks are written either way.
            let bits = match length.parse::<std::net::Ipv4Addr>() {
                Ok(mask) => u32::from(mask).leading_ones(),
                Err(_) => length.parse::<u32>().ok().filter(|bits| *bits <= 32)?,
            };
            let host = u32::MAX.checked_shr(bits).unwrap_or(0);
            let network = u32::from(address) & !host;
            Some(IpAddr::V4((network | (host & 0xaaaa_aaaa)).into()))
        }
        (IpAddr::V6(address), Some(length)) => {
            let bits = length.parse::<u32>().ok().filter(|bits| *bits <= 128)?;
            let host = u128::MAX.checked_shr(bits).unwrap_or(0);
            let network = u128::from(address) & !host;
            let middle = u128::MAX / 3 * 2;
            Some(IpAddr::V6((network | (host & middle)).into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::representative;

    #[test]
    fn an_address_in_the_middle_stands_for_a_network() {
        for (source, address) in [
            ("10.77.0.3", Some("10.77.0.3")),
            ("10.77.0.0/24", Some("10.77.0.170")),
            ("10.77.0.0/255.255.255.0", Some("10.77.0.170")),
            ("0.0.0.0/0", Some("170.170.170.170")),
            ("10.1.2.3/32", Some("10.1.2.3")),
            ("2001:db8::/64", Some("2001:db8::aaaa:aaaa:aaaa:aaaa")),
            ("2001:db8::5", Some("2001:db8::5")),
            ("ipset:office", None),
            ("00:11:22:33:44:55", None),
            ("10.77.0.0/33", None),
        ] {
            let expected = address.map(|address| address.parse().unwrap());
            assert_eq!(representative(source), expected, "{source}");
        }
    }
}
