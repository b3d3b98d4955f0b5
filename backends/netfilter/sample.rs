//! How much of the Internet a large set of addresses holds, by asking the kernel for some of them.
//!
//! Reading a hundred thousand elements costs more than all the rest. A set that names single addresses never holds a
//! share of the Internet worth mentioning; one of intervals may.

use super::attributes::{put, put_nest, put_text};
use super::decode::objects::family_number;
use super::netlink::Socket;
use crate::error::Result;
use crate::model::ruleset::TableFamily;

const GET_ELEMENT: u16 = 13; // NFT_MSG_GETSETELEM

// enum nft_set_elem_list_attributes, nft_set_elem_attributes, nft_data_attributes
const LIST_TABLE: u16 = 1; // NFTA_SET_ELEM_LIST_TABLE
const LIST_SET: u16 = 2; // NFTA_SET_ELEM_LIST_SET
const LIST_ELEMENTS: u16 = 3; // NFTA_SET_ELEM_LIST_ELEMENTS
const LIST_ELEMENT: u16 = 1; // NFTA_LIST_ELEM
const ELEMENT_KEY: u16 = 1; // NFTA_SET_ELEM_KEY
const ELEMENT_FLAGS: u16 = 3; // NFTA_SET_ELEM_FLAGS
const DATA_VALUE: u16 = 1; // NFTA_DATA_VALUE
const CATCH_ALL: u32 = 2; // NFT_SET_ELEM_CATCHALL

/// How many addresses are asked for: enough to tell a half from a third, and done in a millisecond.
pub(super) const SAMPLES: u32 = 256;
/// 2^64 divided by the golden ratio: its multiples spread evenly, however many are taken.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
/// The first 16 bits of the parts of `2000::/3` that the registries give out.
const IPV6_PARTS: [u128; 6] = [0x2000, 0x2400, 0x2600, 0x2800, 0x2a00, 0x2c00];

/// How many of `2^32` remote addresses are in a set with keys of that length, about. `None`: the keys are no addresses.
pub(super) fn share(
    socket: &mut Socket,
    (family, table, set): (TableFamily, &str, &str),
    key_length: u32,
    interval: bool,
) -> Result<Option<u64>> {
    let whole = u64::from(u32::MAX) + 1;
    let request = |element: &[u8]| {
        let mut list = Vec::new();
        put_nest(&mut list, LIST_ELEMENT, element);
        let mut request = Vec::new();
        put_text(&mut request, LIST_TABLE, table);
        put_text(&mut request, LIST_SET, set);
        put_nest(&mut request, LIST_ELEMENTS, &list);
        request
    };
    let mut ask = |elements: Vec<Vec<u8>>| {
        let requests: Vec<Vec<u8>> = elements.iter().map(|element| request(element)).collect();
        socket.found(GET_ELEMENT, family_number(family), &requests)
    };
    let Some(addresses) = addresses(key_length) else {
        return Ok(None);
    };
    let mut everything = Vec::new();
    put(&mut everything, ELEMENT_FLAGS, &CATCH_ALL.to_be_bytes());
    if ask(vec![everything])? > 0 {
        return Ok(Some(whole));
    }
    if !interval {
        return Ok(Some(0));
    }
    let elements = addresses.into_iter().map(|address| {
        let (mut key, mut element) = (Vec::new(), Vec::new());
        put(&mut key, DATA_VALUE, &address);
        put_nest(&mut element, ELEMENT_KEY, &key);
        element
    });
    let found = ask(elements.collect())?;
    Ok(Some(u64::from(found) * whole / u64::from(SAMPLES)))
}

/// Addresses all over the Internet, as keys of that length.
pub(super) fn addresses(length: u32) -> Option<Vec<Vec<u8>>> {
    let spread = (1..=SAMPLES).map(|index| u64::from(index).wrapping_mul(SPREAD));
    match length {
        4 => Some(
            // Below 224.0.0.0: the rest is no unicast address.
            spread
                .map(|at| ((at >> 32) * 224) >> 8)
                .map(|address| (address as u32).to_be_bytes().to_vec())
                .collect(),
        ),
        16 => Some(
            spread
                .zip(IPV6_PARTS.into_iter().cycle())
                .map(|(at, part)| (part << 112 | u128::from(at) << 52).to_be_bytes().to_vec())
                .collect(),
        ),
        _ => None,
    }
}
