//! For which ports a packet surely passes a test, and for which it may.

mod remote;

use crate::model::ports::{PortRange, PortSet};
use crate::model::reach::Family;
use crate::model::ruleset::{
    Element, ElementKey, Elements, Operator, Set, Test, Uncertainty, Verdict,
};

pub(super) use self::remote::is_of_remote;
use self::remote::{among, among_addresses, remote, remote_between};
use super::bytes::{Byte, Origin};
use super::ordinary::Number;
use super::scope::Ports;

/// The whole of what [`Truth::share`] counts.
pub(super) const ALL_ADDRESSES: u64 = 1 << 32;

/// What a test is asked about.
#[derive(Clone, Copy, Debug)]
pub(super) struct About<'a> {
    pub(super) family: Family,
    /// Only the outcome for these ports matters.
    pub(super) ports: &'a PortSet,
}

/// The outcome of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Truth {
    /// The packet passes for these ports.
    pub(super) must: Ports,
    /// It passes or not for these, or surely passes (a superset of `must`).
    pub(super) may: Ports,
    /// Why `may` is more than `must`.
    pub(super) why: Uncertainty,
    /// Some remote addresses, or some connections beyond a rate, would pass where this one does not.
    pub(super) except: Ports,
    /// Some would not pass where this one does.
    pub(super) lapse: Ports,
    /// How many of `2^32` remote addresses are such exceptions, at most.
    pub(super) share: u64,
    /// The outcome depends on the remote address: others fare differently.
    pub(super) source: bool,
    /// The test looked at the destination port.
    pub(super) port: bool,
}

impl Truth {
    pub(super) fn always() -> Self {
        Self {
            must: Ports::All,
            may: Ports::All,
            why: Uncertainty::Source,
            except: Ports::None,
            lapse: Ports::None,
            share: 0,
            source: false,
            port: false,
        }
    }

    pub(super) fn never() -> Self {
        Self {
            must: Ports::None,
            may: Ports::None,
            ..Self::always()
        }
    }

    /// This connection does not pass, others would.
    pub(super) fn exception() -> Self {
        Self {
            except: Ports::All,
            source: true,
            ..Self::never()
        }
    }

    /// Many remote addresses pass, and many do not.
    fn some_sources() -> Self {
        Self {
            source: true,
            ..Self::maybe(Uncertainty::Source)
        }
    }

    /// The outcome where nobody knows which client it is about: an exception may be the one that is asked for.
    pub(super) fn of_anybody(&self) -> Self {
        let may = self.may.or(&self.except);
        let why = if may == self.must {
            self.why
        } else {
            self.why.max(Uncertainty::Other)
        };
        Self {
            must: self.must.and(&self.lapse.not()),
            may,
            why,
            ..self.clone()
        }
    }

    pub(super) fn maybe(why: Uncertainty) -> Self {
        Self {
            must: Ports::None,
            may: Ports::All,
            why,
            ..Self::always()
        }
    }

    pub(super) fn exactly(ports: PortSet) -> Self {
        let ports = Ports::from_set(ports);
        Self {
            must: ports.clone(),
            may: ports,
            port: true,
            ..Self::always()
        }
    }

    pub(super) fn condition(uncertainty: Uncertainty) -> Self {
        match uncertainty {
            Uncertainty::Source => Self::exception(),
            Uncertainty::Excess => Self {
                source: false,
                ..Self::exception()
            },
            other => Self::maybe(other),
        }
    }

    /// Why either is uncertain. A rate beside another doubt is no longer only a rate: what it lets by may be all there is.
    fn reason(&self, other: &Self) -> Uncertainty {
        let doubt = |truth: &Self| (truth.may != truth.must).then_some(truth.why);
        match (doubt(self), doubt(other)) {
            (Some(one), Some(another)) if one != another => {
                one.max(another).max(Uncertainty::Other)
            }
            (Some(one), _) | (None, Some(one)) => one,
            (None, None) => Uncertainty::Source,
        }
    }

    pub(super) fn and(&self, other: &Self) -> Self {
        let may = self.may.and(&other.may);
        // Excepted: at least one of the two is an exception, and the other could hold.
        let except = self
            .except
            .and(&other.may.or(&other.except))
            .or(&other.except.and(&self.may.or(&self.except)));
        let lapse = self.lapse.and(&other.may).or(&other.lapse.and(&self.may));
        Self {
            must: self.must.and(&other.must),
            may,
            why: self.reason(other),
            except,
            lapse,
            share: self.share.max(other.share),
            source: self.source || other.source,
            port: self.port || other.port,
        }
    }

    pub(super) fn or(&self, other: &Self) -> Self {
        Self {
            must: self.must.or(&other.must),
            may: self.may.or(&other.may),
            why: self.reason(other),
            except: self.except.or(&other.except),
            lapse: self
                .lapse
                .and(&other.must.not())
                .or(&other.lapse.and(&self.must.not())),
            share: self.share.saturating_add(other.share),
            source: self.source || other.source,
            port: self.port || other.port,
        }
    }

    /// Many narrow exceptions can add up to the greater part of the Internet.
    fn added_up(mut self) -> Self {
        if self.share > ALL_ADDRESSES / 2 {
            self.may = self.may.or(&self.except);
            self.why = Uncertainty::Source;
        }
        self
    }

    pub(super) fn not(&self) -> Self {
        Self {
            must: self.may.not(),
            may: self.must.not(),
            why: self.why,
            // Where an exception passed and this connection did not, it is now the other way round.
            except: self.lapse.clone(),
            lapse: self.except.clone(),
            share: 0,
            source: self.source,
            port: self.port,
        }
    }
}

/// Decides a test on bytes.
pub(super) fn test(bytes: &[Byte], test: &Test, about: About<'_>) -> Truth {
    match test {
        Test::Compare { operator, data } => {
            let low = vec![0x00; data.len()];
            let high = vec![0xff; data.len()];
            match operator {
                Operator::Equal => equal(bytes, data, about),
                Operator::NotEqual => equal(bytes, data, about).not(),
                Operator::LessOrEqual => between(bytes, &low, data, about),
                Operator::GreaterOrEqual => between(bytes, data, &high, about),
                Operator::Less => between(bytes, data, &high, about).not(),
                Operator::Greater => between(bytes, &low, data, about).not(),
            }
        }
        Test::Range {
            negated: false,
            first,
            last,
        } => between(bytes, first, last, about),
        Test::Range { first, last, .. } => between(bytes, first, last, about).not(),
    }
}

/// What is asked of the unknown bits for a value to equal the data.
#[derive(Default)]
struct Wanted {
    /// Bits of the remote address.
    remote_bits: u32,
    /// Mask and value for the port, and for numbers that clients choose.
    port: (u16, u16),
    numbers: Vec<(Number, u16, u16)>,
    /// Bits of the sender's hardware address.
    hardware_bits: u32,
    unknown: Option<Uncertainty>,
}

fn equal(bytes: &[Byte], data: &[u8], about: About<'_>) -> Truth {
    let mut wanted = Wanted::default();
    for (index, expected) in data.iter().enumerate() {
        let Some(byte) = bytes.get(index) else {
            return Truth::maybe(Uncertainty::NotDecoded);
        };
        if (byte.value ^ expected) & byte.known != 0 {
            return Truth::never();
        }
        let mask = !byte.known;
        let bits = (expected ^ byte.flip) & mask;
        if mask == 0 {
            continue;
        }
        let (mask16, bits16) = (u16::from(mask), u16::from(bits));
        match byte.origin {
            Origin::Remote => {
                // 224.0.0.0/3 holds no unicast address; for IPv6 the first bits are known.
                if wanted.remote_bits == 0
                    && mask & 0xe0 == 0xe0
                    && bits & 0xe0 == 0xe0
                    && bytes.len() == 4
                {
                    return Truth::never();
                }
                wanted.remote_bits += mask.count_ones();
            }
            Origin::PortHigh => {
                wanted.port.0 |= mask16 << 8;
                wanted.port.1 |= bits16 << 8;
            }
            Origin::PortLow => {
                wanted.port.0 |= mask16;
                wanted.port.1 |= bits16;
            }
            Origin::High(number) => wanted.number(number, mask16 << 8, bits16 << 8),
            Origin::Low(number) => wanted.number(number, mask16, bits16),
            Origin::OneOf(values) => {
                let mut alike = values.iter().map(|value| value & mask == bits);
                if !alike.clone().any(|alike| alike) {
                    return Truth::never();
                }
                if !alike.all(|alike| alike) {
                    wanted.unknown = wanted.unknown.max(Some(Uncertainty::Other));
                }
            }
            Origin::Unknown(Uncertainty::Source) => wanted.hardware_bits += mask.count_ones(),
            Origin::Unknown(why) => wanted.unknown = wanted.unknown.max(Some(why)),
        }
    }
    wanted.truth(about)
}

impl Wanted {
    fn number(&mut self, number: Number, mask: u16, bits: u16) {
        let mut known = self.numbers.iter_mut();
        match known.find(|(known, ..)| *known == number) {
            Some((_, all_masks, all_bits)) => {
                *all_masks |= mask;
                *all_bits |= bits;
            }
            None => self.numbers.push((number, mask, bits)),
        }
    }

    fn truth(&self, about: About<'_>) -> Truth {
        let mut truth = match masked(self.port, about.ports) {
            None => Truth::always(),
            Some(ports) => Truth::exactly(ports),
        };
        for (number, mask, bits) in &self.numbers {
            truth = truth.and(&match mask {
                // What is in sets of thousands is whole numbers.
                0xffff => among(*number, *bits..=*bits, |_| true),
                _ => among(*number, 0..=u16::MAX, |value| value & mask == *bits),
            });
        }
        truth = truth.and(&remote(self.remote_bits, about));
        truth = truth.and(&match self.hardware_bits {
            0 => Truth::always(),
            1..8 => Truth::some_sources(),
            _ => Truth::exception(),
        });
        match self.unknown {
            None => truth,
            Some(why) => truth.and(&Truth::condition(why)),
        }
    }
}

/// The ports whose masked bits are these, among those asked for: half of all ports would be an interval each. `None`: no
/// bit is looked at.
fn masked((mask, bits): (u16, u16), among: &PortSet) -> Option<PortSet> {
    match mask {
        0 => None,
        0xffff => Some(PortSet::from(PortRange::single(bits))),
        _ => Some(
            among
                .ports()
                .filter(|port| port & mask == bits)
                .map(PortRange::single)
                .collect(),
        ),
    }
}

/// `first <= bytes <= last`, compared as `memcmp` does.
fn between(bytes: &[Byte], first: &[u8], last: &[u8], about: About<'_>) -> Truth {
    let length = first.len().min(last.len());
    let Some(mut bytes) = bytes.get(..length) else {
        return Truth::maybe(Uncertainty::NotDecoded);
    };
    let (mut first, mut last) = (first, last);
    // A leading byte that both bounds share is a test for equality.
    let mut prefix = Truth::always();
    while let ([byte, bytes_rest @ ..], [low, first_rest @ ..], [high, last_rest @ ..]) =
        (bytes, first, last)
    {
        if low != high
            || matches!(
                byte.origin,
                Origin::PortHigh | Origin::High(_) | Origin::Remote
            ) && byte.known != 0xff
        {
            break;
        }
        prefix = prefix.and(&equal(&[*byte], &[*low], about));
        (bytes, first, last) = (bytes_rest, first_rest, last_rest);
    }
    prefix.and(&between_rest(bytes, first, last, about))
}

fn between_rest(bytes: &[Byte], first: &[u8], last: &[u8], about: About<'_>) -> Truth {
    if bytes.is_empty() {
        return Truth::always();
    }
    if first.iter().all(|byte| *byte == 0) && last.iter().all(|byte| *byte == 0xff) {
        return Truth::always();
    }
    // Whatever the unknown bits are, the value lies between these two.
    let (least, most) = extremes(bytes);
    if least.as_slice() >= first && most.as_slice() <= last {
        return Truth::always();
    }
    if most.as_slice() < first || least.as_slice() > last {
        return Truth::never();
    }
    if let ([high, low], [first_high, first_low], [last_high, last_low]) = (bytes, first, last) {
        let bounds = u16::from_be_bytes([*first_high, *first_low])
            ..=u16::from_be_bytes([*last_high, *last_low]);
        match (high.origin, low.origin) {
            (Origin::PortHigh, Origin::PortLow) => {
                return Truth::exactly(port_values(*high, *low, &bounds));
            }
            (Origin::High(number), Origin::Low(other)) if number == other => {
                return if is_whole(*high) && is_whole(*low) {
                    among(number, bounds, |_| true)
                } else {
                    among(number, 0..=u16::MAX, |value| {
                        bounds.contains(&changed(*high, *low, value))
                    })
                };
            }
            _ => {}
        }
    }
    if bytes
        .iter()
        .all(|byte| byte.origin == Origin::Remote && byte.flip == 0)
    {
        // Where a mask took bits away, an interval of the rest says little about the address.
        let whole =
            |byte: &Byte| byte.known == 0 || about.family == Family::Ipv6 && byte.known == 0xe0;
        return if bytes.iter().all(whole) {
            remote_between(bytes, first, last, about)
        } else {
            Truth::some_sources()
        };
    }
    let why = bytes.iter().filter_map(|byte| match byte.origin {
        Origin::Unknown(why) if byte.known != 0xff => Some(why),
        _ => None,
    });
    match why.max() {
        Some(Uncertainty::Source) => Truth::some_sources(),
        Some(Uncertainty::NotDecoded) => Truth::condition(Uncertainty::NotDecoded),
        _ => Truth::maybe(Uncertainty::Other),
    }
}

/// The ports whose two bytes, as changed by masks, lie within the bounds.
fn port_values(high: Byte, low: Byte, bounds: &std::ops::RangeInclusive<u16>) -> PortSet {
    if is_whole(high) && is_whole(low) {
        return PortRange::new(*bounds.start(), *bounds.end())
            .into_iter()
            .collect();
    }
    (0..=u16::MAX)
        .filter(|port| bounds.contains(&changed(high, low, *port)))
        .map(PortRange::single)
        .collect()
}

/// Whether nothing was done to the byte.
fn is_whole(byte: Byte) -> bool {
    byte.known == 0 && byte.flip == 0
}

/// What two bytes, as changed by masks, are for a number.
fn changed(high: Byte, low: Byte, number: u16) -> u16 {
    let apply =
        |byte: Byte, bits: u8| (byte.value & byte.known) | ((bits ^ byte.flip) & !byte.known);
    let [number_high, number_low] = number.to_be_bytes();
    u16::from_be_bytes([apply(high, number_high), apply(low, number_low)])
}

/// The least and the most that the bytes can be.
fn extremes(mut bytes: &[Byte]) -> (Vec<u8>, Vec<u8>) {
    let (mut least, mut most) = (Vec::new(), Vec::new());
    while let [byte, rest @ ..] = bytes {
        bytes = rest;
        if let (Origin::High(number), [low, behind @ ..]) = (byte.origin, rest)
            && low.origin == Origin::Low(number)
            && is_whole(*byte)
            && is_whole(*low)
        {
            least.extend(number.least.to_be_bytes());
            most.extend(number.most.to_be_bytes());
            bytes = behind;
        } else {
            least.push(byte.value);
            most.push(byte.value | !byte.known);
        }
    }
    (least, most)
}

/// Whether the bytes are in the set.
pub(super) fn lookup(bytes: &[Byte], set: &Set, about: About<'_>) -> Truth {
    match &set.elements {
        Elements::NotRead => Truth::maybe(Uncertainty::NotDecoded),
        Elements::Addresses { share } => among_addresses(bytes, *share),
        Elements::Read(elements) => {
            let mut truth = Truth::never();
            let mut rest = None;
            for element in elements {
                if element.key == ElementKey::CatchAll {
                    rest = Some(element);
                    continue;
                }
                truth = truth.or(&element_truth(bytes, element, set, about));
                if truth.must == Ports::All {
                    break;
                }
            }
            if let Some(element) = rest {
                if element.uncertainty.is_none() {
                    return Truth::always();
                }
                return truth.or(&element_truth(bytes, element, set, about).and(&truth.not()));
            }
            truth.added_up()
        }
    }
}

/// What a verdict map decides: for which ports each verdict.
pub(super) fn verdicts<'a>(
    bytes: &[Byte],
    map: &'a Set,
    about: About<'_>,
) -> Vec<(Truth, Option<&'a Verdict>)> {
    let Elements::Read(elements) = &map.elements else {
        return vec![(Truth::maybe(Uncertainty::NotDecoded), None)];
    };
    let mut decided = Vec::new();
    let mut any = Truth::never();
    let mut default = None;
    for element in elements {
        if element.key == ElementKey::CatchAll {
            default = Some(element);
            continue;
        }
        let truth = element_truth(bytes, element, map, about);
        if truth.may != Ports::None || truth.except != Ports::None {
            any = any.or(&truth);
            decided.push((truth, element.verdict.as_ref()));
        }
    }
    if let Some(element) = default {
        let mut truth = any.not();
        if let Some(uncertainty) = element.uncertainty {
            truth = truth.and(&Truth::condition(uncertainty));
        }
        decided.push((truth, element.verdict.as_ref()));
    }
    decided
}

fn element_truth(bytes: &[Byte], element: &Element, set: &Set, about: About<'_>) -> Truth {
    let truth = match &element.key {
        ElementKey::CatchAll => Truth::always(),
        ElementKey::Single(data) => equal(bytes, data, about),
        ElementKey::Range(first, last) => {
            let mut truth = Truth::always();
            let mut start = 0;
            for length in &set.key_fields {
                let end = start + *length as usize;
                let (Some(bytes), Some(first), Some(last)) = (
                    bytes.get(start..end),
                    first.get(start..end),
                    last.get(start..end),
                ) else {
                    return Truth::maybe(Uncertainty::NotDecoded);
                };
                truth = truth.and(&if first == last {
                    equal(bytes, first, about)
                } else {
                    between(bytes, first, last, about)
                });
                if truth.may == Ports::None && truth.except == Ports::None {
                    break;
                }
                start = end.next_multiple_of(4);
            }
            truth
        }
    };
    match element.uncertainty {
        Some(uncertainty) => truth.and(&Truth::condition(uncertainty)),
        None => truth,
    }
}
