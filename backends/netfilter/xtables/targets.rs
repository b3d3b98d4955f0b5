//! Targets (`-j`).

use super::matches::named_ipset;
use super::{Extension, Info};
use crate::model::ruleset::{Mark, Nat, NatKind, PayloadBase, Statement, TableFamily, Verdict};
use crate::netfilter::attributes::{Attributes, text};
use crate::netfilter::body::{Body, ENOUGH_HOPS, nat_text};
use crate::netfilter::interfaces::ip_address;

// nf_nat.h
const RANGE_ADDRESSES: u32 = 1 << 0; // NF_NAT_RANGE_MAP_IPS
const RANGE_PORTS: u32 = 1 << 1; // NF_NAT_RANGE_PROTO_SPECIFIED
const RANGE_RANDOM: u32 = 1 << 2 | 1 << 4; // NF_NAT_RANGE_PROTO_RANDOM_ALL

/// Decodes a target expression.
pub(in crate::netfilter) fn decode(body: &mut Body<'_>, data: &Attributes<'_>) -> Option<()> {
    let Extension {
        name,
        revision,
        info,
    } = Extension::new(data)?;
    if known(body, &name, revision, info).is_none() {
        body.not_decoded(format!("-j {name}"));
    }
    Some(())
}

/// Decodes a target by name.
fn known(body: &mut Body<'_>, name: &str, revision: u32, info: Info<'_>) -> Option<()> {
    match name {
        "REJECT" => {
            let reason = reject_with(body.family, info.number(0)?)?;
            body.verdict(Verdict::Reject(String::from(reason)));
        }
        "DNAT" => translate(body, NatKind::Dnat, "dnat to", info)?,
        "SNAT" => translate(body, NatKind::Source, "snat to", info)?,
        "MASQUERADE" => translate(body, NatKind::Source, "masquerade", info)?,
        "REDIRECT" => translate(body, NatKind::Redirect, "redirect to", info)?,
        // In prerouting and output the destination's network part changes, elsewhere the source's: the hook decides.
        "NETMAP" => network_map(body),
        "MARK" if revision == 2 => {
            // struct xt_mark_tginfo2: mark, mask
            let (value, mask) = (info.number(0)?, info.number(4)?);
            set_mark(body, Mark::Packet, value, mask);
        }
        "CONNMARK" => connection_mark(body, info, revision)?,
        "HMARK" => body.statements.push(Statement::SetMark {
            mark: Mark::Packet,
            value: None,
        }),
        "NOTRACK" => body.statements.push(Statement::Notrack),
        // struct xt_ct_target_info: flags; XT_CT_NOTRACK
        "CT" if info.short(0)? & 1 != 0 => body.statements.push(Statement::Notrack),
        // A zone, or one from the mark (XT_CT_ZONE_MARK): later packets may belong to no connection.
        "CT" if info.short(2)? != 0 || info.short(0)? & 8 != 0 => return None,
        "TPROXY" => {
            // struct xt_tproxy_target_info, _v1: mark mask, mark value, address, port
            let port = info.network_short(if revision == 0 { 12 } else { 24 })?;
            set_mark(body, Mark::Packet, info.number(4)?, info.number(0)?);
            let text = format!("TPROXY --on-port {port}");
            body.statements.push(Statement::Tproxy { text });
        }
        "NFQUEUE" => {
            // struct xt_NFQ_info: queue number
            let queue = info.short(0)?;
            body.verdict(Verdict::Queue(format!("to {queue}")));
        }
        "SYNPROXY" => body.verdict(Verdict::Stolen(String::from("SYNPROXY"))),
        // The helper's name is behind flags, zone and two masks of events.
        "CT" if info.byte(12)? != 0 => {
            let helper = text(info.bytes(12, 16)?);
            body.neutral(format!("-j CT --helper {helper}"));
        }
        "TTL" | "HL" => hop_limit(body, name, info)?,
        "SET" if revision >= 1 => ipsets(body, info, revision)?,
        "TCPMSS" | "TCPOPTSTRIP" => {
            let text = format!("-j {name}");
            body.statements.push(Statement::SetSegmentSize { text });
        }
        "AUDIT" | "CHECKSUM" | "CLASSIFY" | "CONNSECMARK" | "CT" | "DSCP" | "ECN" | "IDLETIMER"
        | "LED" | "LOG" | "NFLOG" | "RATEEST" | "SECMARK" | "TEE" | "TOS" | "TRACE" | "ULOG" => {
            body.neutral(format!("-j {name}"));
        }
        _ => return None,
    }
    Some(())
}

/// `struct ipt_TTL_info`, `struct ip6t_HL_info`: the mode (set, add, subtract) and a number. 64 is the usual limit.
fn hop_limit(body: &mut Body<'_>, name: &str, info: Info<'_>) -> Option<()> {
    let (mode, number) = (info.byte(0)?, info.byte(1)?);
    let enough = match mode {
        0 => number >= ENOUGH_HOPS,
        1 => true,
        _ => number <= 64 - ENOUGH_HOPS,
    };
    let text = format!("-j {name}");
    if enough {
        body.neutral(text);
    } else {
        body.statements.push(Statement::Rewrite {
            base: PayloadBase::Network,
            offset: if name == "TTL" { 8 } else { 7 },
            length: 1,
            text,
        });
    }
    Some(())
}

/// `struct xt_set_info_target_v1`, which the younger ones begin with: a set to add to, and one to delete from. The third of
/// `v3` only sets marks and the like.
fn ipsets(body: &mut Body<'_>, info: Info<'_>, revision: u32) -> Option<()> {
    for (option, offset) in [("--add-set", 0), ("--del-set", 4)] {
        let named = Info(info.0.get(offset..)?);
        // IPSET_INVALID_ID
        if named.short(0)? != u16::MAX {
            body.update_made(named_ipset(&format!("-j SET {option}"), named, 1)?);
        }
    }
    if revision >= 3 {
        // --map-set: struct xt_set_info at 8
        let named = Info(info.0.get(8..)?);
        if named.short(0)? != u16::MAX {
            let mark = Mark::Packet;
            body.statements
                .push(Statement::SetMark { mark, value: None });
        }
    }
    Some(())
}

/// `enum ipt_reject_with`, `enum ip6t_reject_with`, in nft's words.
fn reject_with(family: TableFamily, number: u32) -> Option<&'static str> {
    Some(match (family, number) {
        (TableFamily::Ip, 0) => "icmp net-unreachable",
        (TableFamily::Ip, 1) => "icmp host-unreachable",
        (TableFamily::Ip, 2) => "icmp prot-unreachable",
        (TableFamily::Ip, 3) => "icmp port-unreachable",
        (TableFamily::Ip, 4) => "icmp echo-reply",
        (TableFamily::Ip, 5) => "icmp net-prohibited",
        (TableFamily::Ip, 6) => "icmp host-prohibited",
        (TableFamily::Ip, 7) | (TableFamily::Ip6, 6) => "tcp reset",
        (TableFamily::Ip, 8) => "icmp admin-prohibited",
        (TableFamily::Ip6, 0) => "icmpv6 no-route",
        (TableFamily::Ip6, 1) => "icmpv6 admin-prohibited",
        (TableFamily::Ip6, 2) => "icmpv6 not-neighbour",
        (TableFamily::Ip6, 3) => "icmpv6 addr-unreachable",
        (TableFamily::Ip6, 4) => "icmpv6 port-unreachable",
        (TableFamily::Ip6, 5) => "icmpv6 echo-reply",
        (TableFamily::Ip6, 7) => "icmpv6 policy-fail",
        (TableFamily::Ip6, 8) => "icmpv6 reject-route",
        _ => return None,
    })
}

/// `struct nf_nat_ipv4_multi_range_compat`, or `struct nf_nat_range` and `_range2`, told apart by their size.
fn translate(body: &mut Body<'_>, kind: NatKind, action: &str, info: Info<'_>) -> Option<()> {
    let compatible = info.0.len() < 40;
    let (at, length) = if compatible { (4, 4) } else { (0, 16) };
    let flags = info.number(at)?;
    let first = info.bytes(at + 4, length)?;
    let last = info.bytes(at + 4 + length, length)?;
    let ports = at + 4 + 2 * length;
    // In the longer structs an IPv4 address takes the first four of sixteen bytes.
    let address = match body.family {
        TableFamily::Ip => first.get(..4).and_then(ip_address),
        _ => ip_address(first),
    };
    let sets_address = flags & RANGE_ADDRESSES != 0;
    let sets_port = flags & RANGE_PORTS != 0;
    let random = flags & RANGE_RANDOM != 0;
    let chosen = info.network_short(ports).zip(info.network_short(ports + 2));
    let mut nat = Nat {
        kind,
        family: None,
        address: address.filter(|_| sets_address && first == last),
        sets_address: sets_address || matches!(action, "masquerade" | "redirect to"),
        ports: chosen.filter(|(first, last)| sets_port && (first == last || !random)),
        sets_port,
        text: String::new(),
    };
    nat.text = match action {
        "masquerade" => String::from(action),
        "redirect to" if !sets_port => String::from("redirect"),
        _ => nat_text(action, &nat),
    };
    body.statements.push(Statement::Nat(nat));
    Some(())
}

/// A network is mapped to another of the same size.
fn network_map(body: &mut Body<'_>) {
    body.statements.push(Statement::Nat(Nat {
        kind: NatKind::Dnat,
        family: None,
        address: None,
        sets_address: true,
        ports: None,
        sets_port: false,
        text: String::from("NETMAP"),
    }));
}

/// `struct xt_connmark_tginfo1` and `2`.
fn connection_mark(body: &mut Body<'_>, info: Info<'_>, revision: u32) -> Option<()> {
    let mode = info.byte(if revision == 1 { 12 } else { 14 })?;
    match mode {
        0 => set_mark(body, Mark::Connection, info.number(0)?, info.number(4)?), // XT_CONNMARK_SET
        1 => body.statements.push(Statement::SetMark {
            mark: Mark::Connection, // XT_CONNMARK_SAVE
            value: None,
        }),
        2 => body.statements.push(Statement::SetMark {
            mark: Mark::Packet, // XT_CONNMARK_RESTORE
            value: None,
        }),
        _ => return None,
    }
    Some(())
}

/// The bits of the mask are cleared, those of the value toggled; only a full mask leaves a known mark.
fn set_mark(body: &mut Body<'_>, mark: Mark, value: u32, cleared: u32) {
    let value = (cleared == u32::MAX).then_some(value);
    body.statements.push(Statement::SetMark { mark, value });
}
