//! Expressions that decide or change something: verdict-like ones, limits, writes, address translation.

use super::loads::{
    CT_KEY, CT_SOURCE, META_KEY, META_SOURCE, PAYLOAD_BASE, PAYLOAD_LENGTH, PAYLOAD_OFFSET,
    PAYLOAD_SOURCE, payload_base,
};
use crate::model::reach::Family;
use crate::model::ruleset::{
    Field, Mark, Nat, NatKind, Operation, Operator, PayloadBase, Statement, TableFamily, Test,
    Uncertainty, Verdict,
};
use crate::netfilter::attributes::{Attributes, attributes};
use crate::netfilter::body::{Body, ENOUGH_HOPS, LARGEST_PACKET, at_rate, nat_text};
use crate::netfilter::interfaces::ip_address;

/// The destination address is a prefix that keeps the host's bits (`NF_NAT_RANGE_NETMAP`).
const NAT_NETMAP: u32 = 1 << 6;
/// A port of the new range is chosen by chance, even where the old one lies within (`NF_NAT_RANGE_PROTO_RANDOM_ALL`).
const NAT_RANDOM: u32 = 1 << 2 | 1 << 4;
/// Ports of IPv4 and IPv6 protocols in `meta nfproto`.
const FAMILY_IPV4: u8 = 2; // NFPROTO_IPV4
const FAMILY_IPV6: u8 = 10; // NFPROTO_IPV6

impl Body<'_> {
    /// Decodes an expression that neither loads nor tests.
    pub(super) fn effect(&mut self, name: &[u8], data: &Attributes<'_>) -> Option<()> {
        match name {
            b"reject" => self.reject(data)?,
            b"limit" => {
                let text = limit(data)?;
                self.condition(limit_uncertainty(data), text);
            }
            b"connlimit" => {
                // NFTA_CONNLIMIT_COUNT = 1, _FLAGS = 2; NFT_CONNLIMIT_F_INV = 1
                let count = data.number(1)?;
                let text = format!("ct count {}{count}", over(data, 2));
                match rate_or_excess(data, 2) {
                    // The first connection is one too many already.
                    Uncertainty::Excess if count == 0 => self.neutral(text),
                    Uncertainty::Rate if count == 0 => self.condition(Uncertainty::Other, text),
                    uncertainty => self.condition(uncertainty, text),
                }
            }
            b"quota" => {
                // NFTA_QUOTA_BYTES = 1, _FLAGS = 2; NFT_QUOTA_F_INV = 1
                let text = format!("quota {}{} bytes", over(data, 2), data.long(1)?);
                self.condition(Uncertainty::Other, text);
            }
            b"log" => {
                let text = data.text(2).map_or_else(
                    || String::from("log"),
                    |prefix| format!("log prefix \"{prefix}\""), // NFTA_LOG_PREFIX
                );
                self.neutral(text);
            }
            b"queue" => self.queue(data),
            b"notrack" => self.statements.push(Statement::Notrack),
            b"nat" => self.nat(data)?,
            b"masq" => self.masquerade(data),
            b"redir" => self.redirect(data),
            b"tproxy" => self.tproxy(data),
            b"dup" => self.neutral("dup"),
            b"flow_offload" => self.neutral("flow add"),
            b"fwd" => self.verdict(Verdict::Stolen(String::from("fwd"))),
            b"synproxy" => self.verdict(Verdict::Stolen(String::from("synproxy"))),
            b"inner" => {
                // The header inside a tunnel; what it loads comes from there, and not from this packet.
                self.registers.forget();
                self.condition(Uncertainty::Other, "inner header");
            }
            b"objref" => self.object(data)?,
            b"dynset" => self.dynamic_set(data)?,
            _ => return None,
        }
        Some(())
    }

    /// The family that an earlier test of the rule, or the table, leaves: `meta nfproto`.
    fn network_family(&self) -> Option<u8> {
        match self.family {
            TableFamily::Ip => Some(FAMILY_IPV4),
            TableFamily::Ip6 => Some(FAMILY_IPV6),
            TableFamily::Inet | TableFamily::Netdev | TableFamily::Bridge => {
                self.statements.iter().find_map(|statement| {
                    let Statement::Match { value, test } = statement else {
                        return None;
                    };
                    let Test::Compare {
                        operator: Operator::Equal,
                        data,
                    } = test
                    else {
                        return None;
                    };
                    match (
                        value.parts.first().map(|part| &part.field)?,
                        data.as_slice(),
                    ) {
                        (Field::NetworkFamily, [family]) => Some(*family),
                        (Field::EtherType, [0x08, 0x00]) => Some(FAMILY_IPV4),
                        (Field::EtherType, [0x86, 0xdd]) => Some(FAMILY_IPV6),
                        _ => None,
                    }
                })
            }
        }
    }

    /// `reject`.
    fn reject(&mut self, data: &Attributes<'_>) -> Option<()> {
        // NFTA_REJECT_TYPE = 1, NFTA_REJECT_ICMP_CODE = 2; enum nft_reject_types
        let code = data.get(2).and_then(|bytes| bytes.first().copied());
        let text = match data.number(1)? {
            0 if self.network_family() == Some(FAMILY_IPV6) => {
                format!("icmpv6 {}", icmpv6_code(code?))
            }
            0 => format!("icmp {}", icmp_code(code?)),
            1 => String::from("tcp reset"),
            2 => format!("icmpx {}", icmpx_code(code?)),
            _ => return None,
        };
        self.verdict(Verdict::Reject(text));
        Some(())
    }

    /// `queue`.
    fn queue(&mut self, data: &Attributes<'_>) {
        // NFTA_QUEUE_NUM = 1 and NFTA_QUEUE_FLAGS = 3 are 16 bits; NFT_QUEUE_FLAG_BYPASS = 1
        let short = |kind| {
            data.get(kind)
                .and_then(|bytes| bytes.first_chunk())
                .map(|bytes| u16::from_be_bytes(*bytes))
        };
        let bypass = if short(3).unwrap_or_default() & 1 != 0 {
            "flags bypass "
        } else {
            ""
        };
        let queue = short(1).map_or_else(|| String::from("computed"), |number| number.to_string());
        self.verdict(Verdict::Queue(format!("{bypass}to {queue}")));
    }

    /// `payload` with a source register: header bytes are written.
    pub(super) fn payload_set(&mut self, data: &Attributes<'_>) -> Option<()> {
        let base = payload_base(data.number(PAYLOAD_BASE)?)?;
        let (offset, length) = (data.number(PAYLOAD_OFFSET)?, data.number(PAYLOAD_LENGTH)?);
        let source = data.number(PAYLOAD_SOURCE)?;
        let written = self.registers.written(source, base, offset);
        let constant = self.registers.constant(source, length);
        let family = self.network_family();
        let harmless = (0..length).all(|byte| {
            let operations = written.as_ref().map(|part| part.operations.as_slice());
            let of = |bytes: &Vec<u8>| bytes.get(byte as usize).copied();
            let (kept, bits) = match operations {
                Some([Operation::Bitwise { mask, xor }]) => (of(mask).unwrap_or(0), of(xor)),
                _ => (0, constant.as_ref().and_then(of)),
            };
            let at = offset.saturating_add(byte);
            if is_hop_limit(base, at, family) && kept == 0 {
                return bits.is_some_and(|limit| limit >= ENOUGH_HOPS);
            }
            (!kept | bits.unwrap_or(0xff)) & !harmless_bits(base, at, family) == 0
        });
        let text = crate::model::text::payload_name(base, offset, length, family, None);
        let text = format!("{text} set");
        if harmless {
            self.neutral(text);
        } else {
            self.statements.push(Statement::Rewrite {
                base,
                offset,
                length,
                text,
            });
        }
        Some(())
    }

    /// `meta` with a source register.
    pub(super) fn meta_set(&mut self, data: &Attributes<'_>) -> Option<()> {
        match data.number(META_KEY)? {
            3 => self.set_mark(Mark::Packet, data.number(META_SOURCE)?), // NFT_META_MARK
            2 => self.neutral("meta priority set"),                      // NFT_META_PRIORITY
            12 => self.neutral("meta nftrace set"),                      // NFT_META_NFTRACE
            14 => self.neutral("meta secmark set"),                      // NFT_META_SECMARK
            19 => self.statements.push(Statement::NotDecoded {
                // A later `meta pkttype` would see it; only bridges and netdev tables do so.
                name: String::from("meta pkttype set"),
            }),
            _ => return None,
        }
        Some(())
    }

    /// `ct` with a source register.
    pub(super) fn connection_set(&mut self, data: &Attributes<'_>) -> Option<()> {
        match data.number(CT_KEY)? {
            3 => self.set_mark(Mark::Connection, data.number(CT_SOURCE)?), // NFT_CT_MARK
            4 => self.neutral("ct secmark set"),                           // NFT_CT_SECMARK
            13 => self.neutral("ct label set"),                            // NFT_CT_LABELS
            // In another zone the later packets may belong to no connection (NFT_CT_ZONE).
            17 => self.not_decoded(String::from("ct zone set")),
            18 => self.neutral("ct event set"), // NFT_CT_EVENTMASK
            _ => return None,
        }
        Some(())
    }

    /// A mark becomes what a register holds.
    fn set_mark(&mut self, mark: Mark, register: u32) {
        let bytes = self.registers.constant(register, 4);
        let value =
            bytes.and_then(|bytes| bytes.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes)));
        // Where there is nothing to load, as with `ct` before connection tracking, the rule ends here.
        if let Some(loaded) = self.registers.load(register, 4).filter(|_| value.is_none()) {
            let anything = Test::Compare {
                operator: Operator::Equal,
                data: Vec::new(),
            };
            self.test(loaded, anything);
        }
        self.statements.push(Statement::SetMark { mark, value });
    }

    /// `dnat`, `snat`.
    fn nat(&mut self, data: &Attributes<'_>) -> Option<()> {
        // NFTA_NAT_TYPE = 1, _FAMILY = 2, _REG_ADDR_MIN = 3, _REG_ADDR_MAX = 4, _REG_PROTO_MIN = 5, _REG_PROTO_MAX = 6,
        // _FLAGS = 7; enum nft_nat_types
        let kind = match data.number(1)? {
            0 => NatKind::Source,
            1 => NatKind::Dnat,
            _ => return None,
        };
        let length = if data.number(2) == Some(FAMILY_IPV4.into()) {
            4
        } else {
            16
        };
        let netmap = data.number(7).unwrap_or_default() & NAT_NETMAP != 0;
        let first = self.registers_constant(data, 3, length);
        let last = if data.get(4).is_some() {
            self.registers_constant(data, 4, length)
        } else {
            first.clone()
        };
        let address = first.filter(|first| last.as_ref() == Some(first) && !netmap);
        let mut nat = self.translation(data, kind, (5, 6), 7);
        nat.address = address.as_deref().and_then(ip_address);
        // NFTA_NAT_FAMILY; packets of the other family pass by (`nft_nat_inet_eval`).
        nat.family = match data.number(2).and_then(|family| u8::try_from(family).ok()) {
            Some(FAMILY_IPV4) => Some(Family::Ipv4),
            Some(FAMILY_IPV6) => Some(Family::Ipv6),
            _ => None,
        };
        nat.sets_address = data.get(3).is_some();
        nat.text = nat_text(
            if kind == NatKind::Dnat {
                "dnat to"
            } else {
                "snat to"
            },
            &nat,
        );
        self.statements.push(Statement::Nat(nat));
        Some(())
    }

    /// `masquerade`.
    fn masquerade(&mut self, data: &Attributes<'_>) {
        // NFTA_MASQ_FLAGS = 1, _REG_PROTO_MIN = 2, _REG_PROTO_MAX = 3
        let mut nat = self.translation(data, NatKind::Source, (2, 3), 1);
        nat.sets_address = true;
        nat.text = String::from("masquerade");
        self.statements.push(Statement::Nat(nat));
    }

    /// `redirect`.
    fn redirect(&mut self, data: &Attributes<'_>) {
        // NFTA_REDIR_REG_PROTO_MIN = 1, _REG_PROTO_MAX = 2, _FLAGS = 3
        let mut nat = self.translation(data, NatKind::Redirect, (1, 2), 3);
        nat.sets_address = true;
        nat.text = if nat.sets_port {
            nat_text("redirect to", &nat)
        } else {
            String::from("redirect")
        };
        self.statements.push(Statement::Nat(nat));
    }

    /// The ports of a translation from the registers that two attributes name.
    fn translation(
        &self,
        data: &Attributes<'_>,
        kind: NatKind,
        (first, last): (u16, u16),
        flags: u16,
    ) -> Nat {
        let random = data.number(flags).unwrap_or_default() & NAT_RANDOM != 0;
        let port = |attribute| {
            let bytes = self.registers_constant(data, attribute, 2)?;
            bytes.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
        };
        let last = if data.get(last).is_some() {
            last
        } else {
            first
        };
        Nat {
            kind,
            family: None,
            address: None,
            sets_address: false,
            ports: port(first)
                .zip(port(last))
                .filter(|(first, last)| first == last || !random),
            sets_port: data.get(first).is_some(),
            text: String::new(),
        }
    }

    /// The constant in the register that an attribute names.
    fn registers_constant(
        &self,
        data: &Attributes<'_>,
        attribute: u16,
        length: u32,
    ) -> Option<Vec<u8>> {
        self.registers.constant(data.number(attribute)?, length)
    }

    /// `tproxy`.
    fn tproxy(&mut self, data: &Attributes<'_>) {
        // NFTA_TPROXY_FAMILY = 1, _REG_ADDR = 2, _REG_PORT = 3
        let port = self.registers_constant(data, 3, 2);
        let port =
            port.and_then(|bytes| bytes.first_chunk().map(|bytes| u16::from_be_bytes(*bytes)));
        let text = port.map_or_else(
            || String::from("tproxy"),
            |port| format!("tproxy to :{port}"),
        );
        self.statements.push(Statement::Tproxy { text });
    }

    /// `objref`: a named object, or a map to one.
    fn object(&mut self, data: &Attributes<'_>) -> Option<()> {
        // NFTA_OBJREF_IMM_TYPE = 1, _IMM_NAME = 2, _SET_SREG = 3, _SET_NAME = 4
        let (kind, name) = if let Some(map) = data.text(4) {
            let header = *self.sets.get(&map)?;
            let value = self.registers.load(data.number(3)?, header.key_length)?;
            let name = format!("map @{map}");
            self.statements.push(Statement::Lookup {
                value,
                set: map,
                negated: false,
            });
            (header.object, name)
        } else {
            (data.number(1)?, format!("name \"{}\"", data.text(2)?))
        };
        // NFT_OBJECT_* of nf_tables.h
        match kind {
            1 => self.neutral(format!("counter {name}")),
            2 => self.condition(Uncertainty::Other, format!("quota {name}")),
            3 => self.neutral(format!("ct helper set {name}")),
            // Whether the object says "over" is not read.
            4 => self.condition(Uncertainty::Other, format!("limit {name}")),
            5 => self.condition(Uncertainty::Other, format!("ct count {name}")),
            6 => self.neutral(format!("tunnel {name}")),
            7 => self.neutral(format!("ct timeout set {name}")),
            8 => self.neutral(format!("meta secmark set {name}")),
            9 => self.neutral(format!("ct expectation set {name}")),
            10 => self.verdict(Verdict::Stolen(format!("synproxy {name}"))),
            _ => return None,
        }
        Some(())
    }

    /// `dynset`: an element is added or removed; a limit on the element may end the rule.
    fn dynamic_set(&mut self, data: &Attributes<'_>) -> Option<()> {
        // NFTA_DYNSET_SET_NAME = 1, _OP = 3, _EXPR = 7, _FLAGS = 9, _EXPRESSIONS = 10; NFT_DYNSET_F_INV = 1
        let name = data.text(1)?;
        let action = match data.number(3)? {
            0 => "add",
            1 => "update",
            2 => "delete",
            _ => return None,
        };
        let list = data
            .get(10)
            .into_iter()
            .flat_map(attributes)
            .map(|(_, expression)| expression);
        let uncertainty = data
            .get(7)
            .into_iter()
            .chain(list)
            .filter_map(expression_uncertainty)
            .max();
        let of_set = self.sets.get(&name).and_then(|header| header.uncertainty);
        let inverted = (data.number(9).unwrap_or_default() & 1 != 0).then_some(Uncertainty::Other);
        let text = format!("{action} @{name}");
        self.statements.push(Statement::UpdateSet {
            set: name,
            uncertainty: uncertainty.max(of_set).max(inverted),
            text,
        });
        Some(())
    }
}

/// Whether a byte says how many hops a packet may take.
fn is_hop_limit(base: PayloadBase, byte: u32, family: Option<u8>) -> bool {
    let place = (base, family, byte);
    let (ipv4, ipv6) = (Some(FAMILY_IPV4), Some(FAMILY_IPV6));
    place == (PayloadBase::Network, ipv4, 8) || place == (PayloadBase::Network, ipv6, 7)
}

/// The bits of a byte that neither a filter nor a socket looks at: type of service, flow label, identification, whether
/// a router may make fragments.
fn harmless_bits(base: PayloadBase, byte: u32, family: Option<u8>) -> u8 {
    match (base, family, byte) {
        (PayloadBase::Network, Some(FAMILY_IPV4), 1 | 4 | 5)
        | (PayloadBase::Network, Some(FAMILY_IPV6), 1..=3)
        | (PayloadBase::Network, None, 1) => 0xff,
        (PayloadBase::Network, Some(FAMILY_IPV4), 6) => 0x40,
        // The upper half is the version.
        (PayloadBase::Network, Some(FAMILY_IPV6), 0) => 0x0f,
        _ => 0,
    }
}

/// Whether a limit matches up to its rate, or, inverted, beyond it.
fn rate_or_excess(data: &Attributes<'_>, flags: u16) -> Uncertainty {
    if data.number(flags).unwrap_or_default() & 1 == 0 {
        Uncertainty::Rate
    } else {
        Uncertainty::Excess
    }
}

/// A limit that lets less than a packet a second by stops ordinary clients, too: it is more than a rate.
fn limit_uncertainty(data: &Attributes<'_>) -> Uncertainty {
    // NFTA_LIMIT_RATE = 1, _UNIT = 2, _TYPE = 4, _FLAGS = 5; NFT_LIMIT_PKT_BYTES = 1
    let (rate, seconds) = (
        data.long(1).unwrap_or_default(),
        data.long(2).unwrap_or_default(),
    );
    let per_packet = if data.number(4) == Some(1) {
        LARGEST_PACKET
    } else {
        1
    };
    let slow = rate < seconds.saturating_mul(per_packet);
    at_rate(slow, rate_or_excess(data, 5))
}

/// Whether an expression attached to an element can keep it from matching, and why.
pub(super) fn expression_uncertainty(expression: &[u8]) -> Option<Uncertainty> {
    let expression = Attributes::new(expression);
    let name = expression.get(1)?; // NFTA_EXPR_NAME
    let data = Attributes::new(expression.get(2).unwrap_or_default()); // NFTA_EXPR_DATA
    match name.strip_suffix(&[0]).unwrap_or(name) {
        b"counter" | b"last" => None,
        b"limit" => Some(limit_uncertainty(&data)),
        b"connlimit" => Some(rate_or_excess(&data, 2)), // NFTA_CONNLIMIT_FLAGS
        b"quota" => Some(Uncertainty::Other),
        _ => Some(Uncertainty::NotDecoded),
    }
}

/// `over ` where the flag is set.
fn over(data: &Attributes<'_>, flags: u16) -> &'static str {
    if data.number(flags).unwrap_or_default() & 1 != 0 {
        "over "
    } else {
        ""
    }
}

/// `limit` in nft's words.
fn limit(data: &Attributes<'_>) -> Option<String> {
    // NFTA_LIMIT_RATE = 1, _UNIT = 2, _BURST = 3, _TYPE = 4, _FLAGS = 5; NFT_LIMIT_F_INV = 1, NFT_LIMIT_PKT_BYTES = 1
    let rate = data.long(1)?;
    let unit = match data.long(2)? {
        1 => "second",
        60 => "minute",
        3600 => "hour",
        86_400 => "day",
        604_800 => "week",
        _ => "unit",
    };
    let bytes = data.number(4) == Some(1);
    let over = over(data, 5);
    let burst = data.number(3).unwrap_or_default();
    Some(match (bytes, burst) {
        (true, 0) => format!("limit rate {over}{rate} bytes/{unit}"),
        (true, burst) => format!("limit rate {over}{rate} bytes/{unit} burst {burst} bytes"),
        (false, burst) => format!("limit rate {over}{rate}/{unit} burst {burst} packets"),
    })
}

/// `ICMP_*_UNREACH` codes in nft's words.
fn icmp_code(code: u8) -> String {
    let name = match code {
        0 => "net-unreachable",
        1 => "host-unreachable",
        2 => "prot-unreachable",
        3 => "port-unreachable",
        9 => "net-prohibited",
        10 => "host-prohibited",
        13 => "admin-prohibited",
        code => return code.to_string(),
    };
    String::from(name)
}

/// `ICMPV6_*` codes in nft's words.
fn icmpv6_code(code: u8) -> String {
    let name = match code {
        0 => "no-route",
        1 => "admin-prohibited",
        3 => "addr-unreachable",
        4 => "port-unreachable",
        5 => "policy-fail",
        6 => "reject-route",
        code => return code.to_string(),
    };
    String::from(name)
}

/// `NFT_REJECT_ICMPX_*` codes in nft's words.
fn icmpx_code(code: u8) -> String {
    let name = match code {
        0 => "no-route",
        1 => "port-unreachable",
        2 => "host-unreachable",
        3 => "admin-prohibited",
        code => return code.to_string(),
    };
    String::from(name)
}
