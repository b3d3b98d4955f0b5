//! Matches (`-m`).

use super::ports::{interval, made_set, multiport, tcp, udp};
use super::rates::{limit, rate_or_excess, recent};
use super::sizes::{length, segment_size};
use super::words::words;
use super::{Extension, Info};
use crate::model::ruleset::{
    ConnectionKey, ElementKey, Elements, FibResult, Field, Ipset, Mark, Operator, Outside,
    PayloadBase, ROUTE_TYPES, Set, Statement, TableFamily, Test, Uncertainty, Value,
};
use crate::netfilter::attributes::{Attributes, text};
use crate::netfilter::body::{Body, masked};

// enum of xt_conntrack.h: XT_CONNTRACK_*
const STATE: u16 = 1 << 0;
const PROTOCOL: u16 = 1 << 1;
const STATUS: u16 = 1 << 6;
const EXPIRES: u16 = 1 << 7;
const DIRECTION: u16 = 1 << 12;
/// The addresses: flag, offset of the address (its mask follows), end, direction.
const ADDRESSES: [(u16, usize, ConnectionKey, u8); 4] = [
    (1 << 2, 0, ConnectionKey::SourceAddress, 0), // XT_CONNTRACK_ORIGSRC
    (1 << 3, 32, ConnectionKey::DestinationAddress, 0), // XT_CONNTRACK_ORIGDST
    (1 << 4, 64, ConnectionKey::SourceAddress, 1), // XT_CONNTRACK_REPLSRC
    (1 << 5, 96, ConnectionKey::DestinationAddress, 1), // XT_CONNTRACK_REPLDST
];
/// The ports: flag, offset of the port, offset of the last port of a range, end, direction.
const PORTS: [(u16, usize, usize, ConnectionKey, u8); 4] = [
    (1 << 8, 138, 154, ConnectionKey::SourcePort, 0), // XT_CONNTRACK_ORIGSRC_PORT
    (1 << 9, 140, 156, ConnectionKey::DestinationPort, 0), // XT_CONNTRACK_ORIGDST_PORT
    (1 << 10, 142, 158, ConnectionKey::SourcePort, 1), // XT_CONNTRACK_REPLSRC_PORT
    (1 << 11, 144, 160, ConnectionKey::DestinationPort, 1), // XT_CONNTRACK_REPLDST_PORT
];
const STATE_SOURCE_NAT: u16 = 1 << 6; // XT_CONNTRACK_STATE_SNAT
const STATE_DESTINATION_NAT: u16 = 1 << 7; // XT_CONNTRACK_STATE_DNAT
const STATE_UNTRACKED: u16 = 1 << 8; // XT_CONNTRACK_STATE_UNTRACKED
/// `untracked` in nft's `ct state`, and in the older `state` match (`NF_CT_STATE_UNTRACKED_BIT`).
const UNTRACKED: u32 = 1 << 6;
const STATUS_SOURCE_NAT: u32 = 1 << 4; // IPS_SRC_NAT
const STATUS_DESTINATION_NAT: u32 = 1 << 5; // IPS_DST_NAT

/// Decodes a match expression.
pub(in crate::netfilter) fn decode(body: &mut Body<'_>, data: &Attributes<'_>) -> Option<()> {
    let Extension {
        name,
        revision,
        info,
    } = Extension::new(data)?;
    let before = body.statements.len();
    if known(body, &name, revision, info).is_none() {
        // Half a match would be a guess.
        body.statements.truncate(before);
        body.not_decoded(format!("-m {name}"));
    }
    Some(())
}

/// Decodes a match by name.
fn known(body: &mut Body<'_>, name: &str, revision: u32, info: Info<'_>) -> Option<()> {
    match name {
        "tcp" => tcp(body, info),
        "udp" | "udplite" => udp(body, info),
        "multiport" => multiport(body, info, revision),
        "conntrack" if revision >= 1 => conntrack(body, info, revision),
        "state" => {
            let mask = info.number(0)?;
            body.statements.push(state_test(mask, false));
            Some(())
        }
        "comment" => {
            body.comment = Some(text(info.0));
            Some(())
        }
        "mark" => mark(body, Mark::Packet, info),
        "connmark" => mark(body, Mark::Connection, info),
        "addrtype" => address_type(body, info, revision),
        "iprange" if revision == 1 => address_range(body, info),
        "mac" => {
            let field = Field::Payload {
                base: PayloadBase::Link,
                offset: 6,
            };
            let data = info.bytes(0, 6)?.to_vec();
            let operator = equal(info.number(8)? != 0);
            body.test(Value::field(field, 6), Test::Compare { operator, data });
            Some(())
        }
        "pkttype" => {
            let data = vec![u8::try_from(info.number(0)?).ok()?];
            let operator = equal(info.number(4)? != 0);
            body.test(
                Value::field(Field::PacketType, 1),
                Test::Compare { operator, data },
            );
            Some(())
        }
        "rpfilter" => reverse_path(body, info),
        "devgroup" => device_group(body, info),
        "recent" => recent(body, info),
        "set" if revision >= 1 => ipset(body, info, revision),
        "icmp6" => icmp6(body, info),
        "length" => length(body, info),
        "tcpmss" => segment_size(body, info),
        "limit" => limit(body, info),
        "hashlimit" | "connlimit" => rate_or_excess(body, name, revision, info),
        "dst" | "frag" | "hbh" | "rt" | "srh" if body.family == TableFamily::Ip6 => {
            without_extension(body, name);
            Some(())
        }
        "ipv6header" => ipv6_headers(body, info),
        // Of other protocols than TCP, or different for each packet.
        "ah" | "bpf" | "cgroup" | "cluster" | "connbytes" | "connlabel" | "cpu" | "dccp"
        | "dscp" | "dst" | "ecn" | "esp" | "eui64" | "frag" | "hbh" | "helper" | "hl" | "icmp"
        | "ipcomp" | "ipvs" | "l2tp" | "mh" | "nfacct" | "osf" | "owner" | "physdev" | "policy"
        | "quota" | "rateest" | "realm" | "rt" | "sctp" | "socket" | "srh" | "statistic"
        | "string" | "time" | "tos" | "ttl" | "u32" => {
            body.condition(Uncertainty::Other, words(name, info));
            Some(())
        }
        _ => None,
    }
}

/// Of a packet without the header these matches are false, inverted or not (`rt_mt6`, `frag_mt6`, `hbh_mt6`, `srh_mt6`).
fn without_extension(body: &mut Body<'_>, name: &str) {
    let field = Field::Extension {
        ipv6: true,
        present: true,
        text: format!("-m {name}"),
    };
    let (operator, data) = (Operator::Equal, vec![1]);
    body.test(Value::field(field, 1), Test::Compare { operator, data });
}

/// `struct ip6t_ipv6header_info`: which headers there are; an ordinary packet has none but TCP's (`MASK_PROTO`).
fn ipv6_headers(body: &mut Body<'_>, info: Info<'_>) -> Option<()> {
    const ORDINARY: u8 = 1;
    let (wanted, inverted, soft) = (info.byte(0)?, info.byte(1)?, info.byte(2)? != 0);
    match (soft && inverted == 0, wanted & !ORDINARY) {
        (true, 0) => body.neutral("-m ipv6header"),
        (true, _) => without_extension(body, "ipv6header"),
        _ => body.condition(Uncertainty::Other, "-m ipv6header"),
    }
    Some(())
}

/// Equal, or, inverted, not equal.
pub(super) fn equal(inverted: bool) -> Operator {
    if inverted {
        Operator::NotEqual
    } else {
        Operator::Equal
    }
}

/// Whether a bit mask in the host's byte order has one of the bits.
fn any_bit(field: Field, bits: u32, negated: bool) -> Statement {
    Statement::Match {
        value: masked(field, 4, bits.to_ne_bytes().to_vec()),
        test: Test::Compare {
            operator: equal(!negated),
            data: vec![0; 4],
        },
    }
}

/// Whether the connection is in one of the states.
fn state_test(states: u32, negated: bool) -> Statement {
    any_bit(Field::ConnectionState, states, negated)
}

/// `struct xt_conntrack_mtinfo1` to `3`.
fn conntrack(body: &mut Body<'_>, info: Info<'_>, revision: u32) -> Option<()> {
    let (flags, inverted) = (info.short(146)?, info.short(148)?);
    let has = |flag: u16| flags & flag != 0;
    let not = |flag: u16| inverted & flag != 0;
    let (states, status_bits) = if revision == 1 {
        (u16::from(info.byte(150)?), u16::from(info.byte(151)?))
    } else {
        (info.short(150)?, info.short(152)?)
    };
    if has(STATE) {
        conntrack_state(body, states, not(STATE))?;
    }
    if has(DIRECTION) {
        let test = Test::Compare {
            operator: equal(not(DIRECTION)),
            data: vec![0],
        };
        body.test(Value::field(Field::ConnectionDirection, 1), test);
    }
    if has(PROTOCOL) {
        let data = vec![u8::try_from(info.short(136)?).ok()?];
        let operator = equal(not(PROTOCOL));
        let field = connection(ConnectionKey::TransportProtocol, 0);
        body.test(Value::field(field, 1), Test::Compare { operator, data });
    }
    if has(STATUS) {
        let statement = any_bit(Field::ConnectionStatus, status_bits.into(), not(STATUS));
        body.statements.push(statement);
    }
    if has(EXPIRES) {
        body.condition(Uncertainty::Other, "-m conntrack --ctexpire");
    }
    let length = address_length(body.family)?;
    for (flag, offset, key, direction) in ADDRESSES.into_iter().filter(|(flag, ..)| has(*flag)) {
        let data = info.bytes(offset, length)?.to_vec();
        let mask = info.bytes(offset + 16, length)?.to_vec();
        let value = masked(
            connection(key, direction),
            u32::try_from(length).ok()?,
            mask,
        );
        let operator = equal(not(flag));
        body.test(value, Test::Compare { operator, data });
    }
    for (flag, offset, high, key, direction) in PORTS.into_iter().filter(|(flag, ..)| has(*flag)) {
        // Revision 3 has ranges in the host's byte order, the others one port in network byte order.
        let (first, last) = if revision >= 3 {
            (info.short(offset)?, info.short(high)?)
        } else {
            (info.network_short(offset)?, info.network_short(offset)?)
        };
        let value = Value::field(connection(key, direction), 2);
        body.test(value, interval(first, last, not(flag)));
    }
    Some(())
}

/// The states of `--ctstate`; two of them, `SNAT` and `DNAT`, are bits of the status in truth.
fn conntrack_state(body: &mut Body<'_>, states: u16, negated: bool) -> Option<()> {
    let mut plain = u32::from(states & 0x1f);
    if states & STATE_UNTRACKED != 0 {
        plain |= UNTRACKED;
    }
    let mut translated = 0;
    for (state, bit) in [
        (STATE_SOURCE_NAT, STATUS_SOURCE_NAT),
        (STATE_DESTINATION_NAT, STATUS_DESTINATION_NAT),
    ] {
        if states & state != 0 {
            translated |= bit;
        }
    }
    let (one, other) = (
        state_test(plain, negated),
        any_bit(Field::ConnectionStatus, translated, negated),
    );
    match (plain, translated) {
        (_, 0) => body.statements.push(one),
        (0, _) => body.statements.push(other),
        _ if negated => body.statements.extend([one, other]),
        _ => body.either(one, other)?,
    }
    Some(())
}

/// An end of the connection.
fn connection(key: ConnectionKey, direction: u8) -> Field {
    let direction = Some(direction);
    Field::Connection { key, direction }
}

/// The length of an address of the table's family.
fn address_length(family: TableFamily) -> Option<usize> {
    match family {
        TableFamily::Ip => Some(4),
        TableFamily::Ip6 => Some(16),
        TableFamily::Inet | TableFamily::Netdev | TableFamily::Bridge => None,
    }
}

/// The packet's own address.
pub(in crate::netfilter) fn address(family: TableFamily, destination: bool) -> Option<Value> {
    let (offset, length) = match (family, destination) {
        (TableFamily::Ip, false) => (12, 4),
        (TableFamily::Ip, true) => (16, 4),
        (TableFamily::Ip6, false) => (8, 16),
        (TableFamily::Ip6, true) => (24, 16),
        (TableFamily::Inet | TableFamily::Netdev | TableFamily::Bridge, _) => return None,
    };
    let base = PayloadBase::Network;
    Some(Value::field(Field::Payload { base, offset }, length))
}

/// `struct xt_mark_mtinfo1`, `struct xt_connmark_mtinfo1`.
fn mark(body: &mut Body<'_>, which: Mark, info: Info<'_>) -> Option<()> {
    let data = info.bytes(0, 4)?.to_vec();
    let mask = info.bytes(4, 4)?.to_vec();
    let operator = equal(info.byte(8)? != 0);
    let value = masked(Field::Mark(which), 4, mask);
    body.test(value, Test::Compare { operator, data });
    Some(())
}

/// `struct xt_addrtype_info` (revision 0), `struct xt_addrtype_info_v1`.
fn address_type(body: &mut Body<'_>, info: Info<'_>, revision: u32) -> Option<()> {
    let (source, destination) = (info.short(0)?, info.short(2)?);
    let (not_source, not_destination, input) = if revision == 0 {
        (info.number(4)? != 0, info.number(8)? != 0, false)
    } else {
        let flags = info.number(4)?;
        // XT_ADDRTYPE_LIMIT_IFACE_OUT: a route through the interface that the packet leaves by.
        if flags & 8 != 0 {
            body.condition(Uncertainty::Other, "-m addrtype --limit-iface-out");
            return Some(());
        }
        (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0)
    };
    if source != 0 {
        address_types(body, false, source, not_source, input)?;
    }
    if destination != 0 {
        address_types(body, true, destination, not_destination, input)?;
    }
    Some(())
}

/// One address's types: bit n is the kernel's route type n (`RTN_*`).
fn address_types(
    body: &mut Body<'_>,
    destination: bool,
    types: u16,
    negated: bool,
    input: bool,
) -> Option<()> {
    if body.family == TableFamily::Ip6 {
        // For IPv6 unicast and multicast are looked up in the address itself (`match_type6`).
        let (unicast, multicast, route) = (types & 0x2 != 0, types & 0x20 != 0, types & !0x22);
        match (unicast, multicast, route) {
            (false, false, _) => {}
            (true, false, 0) | (false, true, 0) => {
                let value = address(body.family, destination)?;
                let operator = equal(unicast != negated);
                let data = vec![0xff];
                body.test(value, Test::Compare { operator, data });
                return Some(());
            }
            _ => return None,
        }
    }
    let field = Field::Fib {
        destination,
        input_interface: input,
        result: FibResult::AddressType,
        present: false,
    };
    let value = Value::field(field, 4);
    let mut keys: Vec<Vec<u8>> = Vec::new();
    let mut names = Vec::new();
    for (kind, name) in ROUTE_TYPES.iter().enumerate() {
        if types & (1 << kind) != 0 {
            keys.push(u32::try_from(kind).ok()?.to_ne_bytes().to_vec());
            names.push(*name);
        }
    }
    let statement = match keys.as_slice() {
        [] => return None,
        [data] => Statement::Match {
            value,
            test: Test::Compare {
                operator: equal(negated),
                data: data.clone(),
            },
        },
        _ => {
            let name = format!("{{ {} }}", names.join(", "));
            let set = made_set(name, 4, keys.into_iter().map(ElementKey::Single).collect());
            body.lookup_made(value, set, negated)
        }
    };
    body.statements.push(statement);
    Some(())
}

/// `struct xt_iprange_mtinfo`: `IPRANGE_SRC`, `IPRANGE_DST`, and the same inverted 4 bits higher.
fn address_range(body: &mut Body<'_>, info: Info<'_>) -> Option<()> {
    let flags = info.byte(64)?;
    let length = address_length(body.family)?;
    for (flag, offset, destination) in [(1, 0, false), (2, 32, true)] {
        if flags & flag != 0 {
            let test = Test::Range {
                negated: flags & (flag << 4) != 0,
                first: info.bytes(offset, length)?.to_vec(),
                last: info.bytes(offset + 16, length)?.to_vec(),
            };
            let value = address(body.family, destination)?;
            body.test(value, test);
        }
    }
    Some(())
}

/// `struct xt_rpfilter_info`: whether the route back leads through the interface that the packet came by.
fn reverse_path(body: &mut Body<'_>, info: Info<'_>) -> Option<()> {
    let flags = info.byte(0)?;
    let field = Field::Fib {
        destination: false,
        input_interface: flags & 1 == 0, // XT_RPFILTER_LOOSE
        result: FibResult::InterfaceIndex,
        present: true,
    };
    let data = vec![u8::from(flags & 8 == 0)]; // XT_RPFILTER_INVERT
    let operator = Operator::Equal;
    body.test(Value::field(field, 1), Test::Compare { operator, data });
    Some(())
}

/// `struct ip6t_icmp`: the type, and the first and the last code.
fn icmp6(body: &mut Body<'_>, info: Info<'_>) -> Option<()> {
    // IP6T_ICMP_INV
    if info.byte(3)? & 1 != 0 || info.bytes(1, 2)? != [0, 255] {
        body.condition(Uncertainty::Other, "-m icmp6".to_owned());
        return Some(());
    }
    let field = Field::Payload {
        base: PayloadBase::Transport,
        offset: 0,
    };
    let test = Test::Compare {
        operator: Operator::Equal,
        data: vec![info.byte(0)?],
    };
    body.test(Value::field(field, 1), test);
    Some(())
}

/// `struct xt_devgroup_info`.
fn device_group(body: &mut Body<'_>, info: Info<'_>) -> Option<()> {
    let flags = info.number(0)?;
    let sides = [
        (1, 2, 4, Field::InputInterfaceGroup), // XT_DEVGROUP_MATCH_SRC, _INVERT_SRC
        (4, 8, 12, Field::OutputInterfaceGroup), // XT_DEVGROUP_MATCH_DST, _INVERT_DST
    ];
    for (flag, inverted, offset, field) in sides {
        if flags & flag != 0 {
            let data = info.bytes(offset, 4)?.to_vec();
            let value = masked(field, 4, info.bytes(offset + 4, 4)?.to_vec());
            let operator = equal(flags & inverted != 0);
            body.test(value, Test::Compare { operator, data });
        }
    }
    Some(())
}

/// `struct xt_set_info_match_v1`, which the younger ones begin with; what is in the set is read later.
fn ipset(body: &mut Body<'_>, info: Info<'_>, revision: u32) -> Option<()> {
    let inverted = info.byte(3)? & 1 != 0; // IPSET_INV_MATCH
    let set = named_ipset("-m set --match-set", info, revision)?;
    // struct xt_set_info_match_v3 and 4: the comparisons of packets and bytes.
    let counters = match revision {
        3 => [info.byte(8)?, info.byte(24)?],
        4 => [info.byte(16)?, info.byte(32)?],
        _ => [0, 0],
    };
    if counters != [0, 0] && inverted {
        let text = "! -m set --match-set, by packets or bytes";
        body.condition(Uncertainty::Other, text);
        return Some(());
    }
    let value = address(body.family, false)?;
    let statement = body.lookup_made(value, set, inverted);
    body.statements.push(statement);
    if counters != [0, 0] {
        body.condition(Uncertainty::Other, "by packets or bytes");
    }
    Some(())
}

/// `struct xt_set_info`: the number of an ipset, and what is looked up in it.
pub(super) fn named_ipset(option: &str, info: Info<'_>, revision: u32) -> Option<Set> {
    let (number, dimensions, flags) = (info.short(0)?, info.byte(2)?, info.byte(3)?);
    // IPSET_DIM_ONE_SRC is bit 1 and so on.
    let sources: Vec<bool> = (1..=dimensions.min(6))
        .map(|dimension| flags & 1 << dimension != 0)
        .collect();
    // IPSET_RETURN_NOMATCH, which has become IPSET_FLAG_RETURN_NOMATCH behind the counters
    let exceptions = match revision {
        1 | 2 => flags & 1 << 7 != 0,
        _ => info.number(40)? & 1 << 7 != 0,
    };
    let ends: Vec<&str> = sources
        .iter()
        .map(|source| if *source { "src" } else { "dst" })
        .collect();
    let rest = if exceptions { " --return-nomatch" } else { "" };
    let numbered = Ipset::numbered(number);
    let name = format!("{option} {numbered} {}{rest}", ends.join(","));
    let ipset = Ipset {
        number: Some(number),
        name: String::new(),
        sources,
        exceptions,
        members: Vec::new(),
    };
    let ipset = Outside::Ipset(ipset);
    Some(outside(name, ipset, Elements::NotRead))
}

/// A set that stands for a list beside `nf_tables`.
pub(super) fn outside(name: String, outside: Outside, elements: Elements) -> Set {
    Set {
        name,
        anonymous: true,
        verdict_map: false,
        key_fields: Vec::new(),
        elements,
        outside: Some(outside),
    }
}
