//! Values as they are written in firewalld's files: ports, addresses, protocols.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Checked;
use crate::model::ports::PortRange;
use crate::model::reach::Family;

/// Names of ports in `/etc/services`, the first of each.
#[derive(Clone, Debug, Default)]
pub(crate) struct PortNames(Vec<(String, u16)>);

impl PortNames {
    /// Reads the text of `/etc/services`.
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default());
        let names = lines.filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let name = words.next()?;
            let port: u16 = words.next()?.split('/').next()?.parse().ok()?;
            let all = std::iter::once(name).chain(words);
            Some(all.map(|name| (name.to_owned(), port)).collect::<Vec<_>>())
        });
        Self(names.flatten().collect())
    }

    fn get(&self, name: &str) -> Option<u16> {
        let mut names = self.0.iter();
        names
            .find(|(known, _)| known == name)
            .map(|(_, port)| *port)
    }

    /// `21`, `1024-2000`, `2000-1024` (firewalld turns it round), or a name.
    pub(crate) fn range(&self, text: &str) -> Checked<PortRange> {
        let number = |text: &str| -> Option<u32> {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse().unwrap_or(u32::MAX))
        };
        let port = |number: u32| {
            u16::try_from(number).map_err(|_| format!("port number in `{text}` is too big"))
        };
        let trimmed = text.trim();
        let (first, last) = match trimmed
            .split_once('-')
            .map(|(one, two)| (one.trim(), two.trim()))
        {
            Some((first, last))
                if let (Some(first), Some(last)) = (number(first), number(last)) =>
            {
                (port(first)?, port(last)?)
            }
            _ => match number(trimmed) {
                Some(single) => (port(single)?, port(single)?),
                None => match self.get(trimmed) {
                    Some(single) => (single, single),
                    None => return Err(format!("`{text}` is an invalid port range")),
                },
            },
        };
        let range = PortRange::new(first.min(last), first.max(last));
        range.ok_or_else(|| format!("`{text}` is an invalid port range"))
    }
}

/// A range put among others the way firewalld does it: what overlaps becomes one, what touches stays apart.
pub(crate) fn coalesce(ranges: &mut Vec<PortRange>, new: PortRange) {
    let within = |range: &PortRange| range.first() <= new.first() && new.last() <= range.last();
    if ranges.iter().any(within) {
        return;
    }
    let mut all = new;
    let mut sorted = ranges.clone();
    sorted.sort_unstable();
    for range in sorted {
        if range.first() <= all.last() && all.first() <= range.last() {
            let (first, last) = (range.first().min(all.first()), range.last().max(all.last()));
            all = PortRange::new(first, last).unwrap_or(all);
            ranges.retain(|other| *other != range);
        }
    }
    ranges.push(all);
}

/// The transport protocols that ports are of.
pub(crate) fn is_transport(protocol: &str) -> bool {
    matches!(protocol, "tcp" | "udp" | "sctp" | "dccp")
}

/// What a `<protocol value="...">` is for a TCP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// TCP.
    Tcp,
    /// `ip`, number 0: iptables takes it for every protocol, nftables for none that there is.
    Zero,
    /// Another.
    Other,
}

/// Protocols in `/etc/protocols` and by number; `None` for what is not known here.
pub(crate) fn protocol(text: &str) -> Option<Protocol> {
    const OTHERS: &str = "icmp igmp ggp ipencap st egp igp pup udp hmp xns-idp rdp iso-tp4 dccp xtp ddp idpr-cmtp ipv6 \
        ipv6-route ipv6-frag idrp rsvp gre esp ah skip ipv6-icmp ipv6-nonxt ipv6-opts rspf vmtp eigrp \
        ospf ax.25 ipip etherip encap pim ipcomp vrrp l2tp isis sctp fc mobility-header udplite mpls-in- \
        ip manet hip shim6 wesp rohc ethernet";
    if let Ok(number) = text.parse::<u8>()
        && text.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Some(match number {
            6 => Protocol::Tcp,
            0 => Protocol::Zero,
            _ => Protocol::Other,
        });
    }
    match text {
        "tcp" | "TCP" => Some(Protocol::Tcp),
        "ip" | "IP" | "hopopt" | "HOPOPT" => Some(Protocol::Zero),
        _ => {
            let is_upper = text == text.to_ascii_uppercase();
            let known = |name: &str| name == text || is_upper && name.eq_ignore_ascii_case(text);
            let mut others = OTHERS.split_ascii_whitespace();
            others.any(known).then_some(Protocol::Other)
        }
    }
}

/// An address with its prefix length, host bits cleared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The family.
    pub family: Family,
    /// The address, network byte order.
    pub address: Vec<u8>,
    /// How many leading bits count.
    pub prefix: u8,
}

impl Network {
    /// An address, or `ADDRESS/PREFIX`; IPv4 also with a mask in dots, IPv6 also in brackets.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, mask) = match text.split_once('/') {
            Some((address, mask)) => (address, Some(mask)),
            None => (text, None),
        };
        let number = |mask: &str| -> Option<u8> {
            let digits = !mask.is_empty() && mask.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| mask.parse().ok()).flatten()
        };
        if let Ok(parsed) = address.parse::<Ipv4Addr>() {
            let prefix = match mask {
                None => 32,
                Some(mask) if mask.contains('.') => dotted(mask.parse().ok()?)?,
                Some(mask) => number(mask).filter(|prefix| *prefix <= 32)?,
            };
            return Some(Self::new(Family::Ipv4, &parsed.octets(), prefix));
        }
        let bare = address
            .trim_start_matches(['[', ']'])
            .trim_end_matches(['[', ']']);
        let parsed: Ipv6Addr = bare.parse().ok()?;
        let prefix = match mask {
            None => 128,
            Some(mask) => number(mask).filter(|prefix| *prefix <= 128)?,
        };
        Some(Self::new(Family::Ipv6, &parsed.octets(), prefix))
    }

    fn new(family: Family, octets: &[u8], prefix: u8) -> Self {
        let mut network = Self {
            family,
            address: octets.to_vec(),
            prefix,
        };
        let mask = network.mask();
        for (byte, mask) in network.address.iter_mut().zip(mask) {
            *byte &= mask;
        }
        network
    }

    /// The mask, as long as the address.
    pub fn mask(&self) -> Vec<u8> {
        let bits = usize::from(self.prefix);
        let bytes = 0..self.address.len();
        bytes
            .map(|index| match bits.saturating_sub(index * 8) {
                0 => 0,
                left if left >= 8 => 0xff,
                left => 0xff_u8 << (8 - left),
            })
            .collect()
    }
}

/// The prefix length of a mask such as 255.255.0.0. Python reads 0.0.255.255 as a mask the other way round; that is
/// not understood here.
fn dotted(mask: Ipv4Addr) -> Option<u8> {
    let bits = u32::from(mask);
    let prefix = bits.leading_ones();
    (bits.checked_shl(prefix).unwrap_or(0) == 0 && prefix > 0).then_some(prefix as u8)
}

/// A hardware address.
pub(crate) fn mac(text: &str) -> Option<[u8; 6]> {
    let mut octets = [0; 6];
    let mut words = text.split(':');
    for octet in &mut octets {
        let word = words.next()?;
        let digits = word.len() == 2 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        *octet = u8::from_str_radix(word, 16).ok().filter(|_| digits)?;
    }
    words.next().is_none().then_some(octets)
}

/// Words with single blanks between them, and not many of them.
pub(crate) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(120).collect()
}
