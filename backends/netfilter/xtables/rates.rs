//! Matches that depend on how much there has been: `limit`, `hashlimit`, `connlimit`, `recent`.

use super::Info;
use super::matches::{address, outside};
use crate::model::ruleset::{Elements, Outside, Uncertainty};
use crate::netfilter::attributes::text;
use crate::netfilter::body::{Body, LARGEST_PACKET, at_rate};

/// `struct xt_rateinfo`: what a packet costs, of so many a second (`XT_LIMIT_SCALE`).
pub(super) fn limit(body: &mut Body<'_>, info: Info<'_>) -> Option<()> {
    let slow = info.number(0)? > 10_000;
    body.condition(at_rate(slow, Uncertainty::Rate), "-m limit");
    Some(())
}

/// `hashlimit` matches up to a rate and `connlimit` beyond a number, unless inverted.
pub(super) fn rate_or_excess(
    body: &mut Body<'_>,
    name: &str,
    revision: u32,
    info: Info<'_>,
) -> Option<()> {
    let inverted = match (name, revision) {
        ("connlimit", _) => info.number(20)? & 1 == 0, // XT_CONNLIMIT_INVERT
        ("hashlimit", 1) => info.number(16)? & 0x10 != 0, // XT_HASHLIMIT_INVERT in struct hashlimit_cfg1
        _ => info.number(272)? & 0x10 != 0,
    };
    let (uncertainty, words) = if inverted {
        (Uncertainty::Excess, "above")
    } else {
        (Uncertainty::Rate, "upto")
    };
    let count = match name {
        "connlimit" => format!(" {}", info.number(16)?),
        _ => " (rate not decoded)".to_owned(),
    };
    let text = format!("-m {name} --{name}-{words}{count}");
    match (name, uncertainty) {
        // The first connection is one too many already.
        ("connlimit", Uncertainty::Excess) if info.number(16)? == 0 => body.neutral(text),
        ("connlimit", _) if info.number(16)? == 0 => body.condition(Uncertainty::Other, text),
        ("hashlimit", _) => body.condition(at_rate(slow(info, revision)?, uncertainty), text),
        _ => body.condition(uncertainty, text),
    }
    Some(())
}

/// Whether a `hashlimit` lets less than a packet a second by.
fn slow(info: Info<'_>, revision: u32) -> Option<bool> {
    // XT_HASHLIMIT_SCALE, _SCALE_v2: a packet costs that much a second, times the seconds for one. Of bytes so many
    // (XT_HASHLIMIT_BYTE_SHIFT) cost 2^32 a second in all revisions (`user2credits_byte`).
    const BYTES_OF_A_COST: u64 = 16;
    let (mode, cost, second) = if revision == 1 {
        (info.number(16)?, info.number(20)?.into(), 10_000)
    } else {
        let cost = u64::from_ne_bytes(info.array(256)?);
        (info.number(272)?, cost, 1_000_000)
    };
    let bytes = mode & 0x20 != 0; // XT_HASHLIMIT_BYTES
    let most = if bytes {
        u64::from(u32::MAX) / LARGEST_PACKET.div_ceil(BYTES_OF_A_COST)
    } else {
        second
    };
    Some(cost > most)
}

/// More packets than this are more than one connection needs: no wonder that one finds itself in the list.
const FEW_HITS: u32 = 3;

/// `struct xt_recent_mtinfo`, and with a mask behind it `struct xt_recent_mtinfo_v1`.
pub(super) fn recent(body: &mut Body<'_>, info: Info<'_>) -> Option<()> {
    let (hits, action, inverted) = (info.number(4)?, info.byte(8)?, info.byte(9)? != 0);
    let name = text(info.bytes(10, 200)?);
    let destination = info.byte(210)? != 0; // XT_RECENT_DEST
    if action & 2 != 0 {
        // XT_RECENT_SET adds the address, and matches whatever it was.
        if inverted {
            return None;
        }
        let text = format!("-m recent --set --name {name}");
        let list = outside(text, Outside::Recent(name), Elements::NotRead);
        body.update_made(list);
        return Some(());
    }
    let option = match action & 0xd {
        1 => "--rcheck", // XT_RECENT_CHECK
        4 => "--update", // XT_RECENT_UPDATE
        8 => "--remove", // XT_RECENT_REMOVE
        _ => return None,
    };
    if hits > FEW_HITS {
        let uncertainty = if inverted {
            Uncertainty::Rate
        } else {
            Uncertainty::Excess
        };
        let text = format!("-m recent {option} --name {name} --hitcount {hits}");
        body.condition(uncertainty, text);
    } else if destination {
        body.condition(
            Uncertainty::Other,
            format!("-m recent {option} --name {name} --rdest"),
        );
    } else {
        let count = if hits == 0 {
            String::new()
        } else {
            format!(" --hitcount {hits}")
        };
        let text = format!("-m recent {option} --name {name}{count}");
        // It is not read, and taken for a list of few.
        let few = Elements::Addresses { share: 0 };
        let list = outside(text, Outside::Recent(name), few);
        let statement = body.lookup_made(address(body.family, false)?, list, inverted);
        body.statements.push(statement);
    }
    Some(())
}
