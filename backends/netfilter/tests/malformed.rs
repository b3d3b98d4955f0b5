//! Bytes that no kernel sends: the decoder neither panics nor guesses.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::model::ruleset::{Statement, TableFamily};
use crate::netfilter::attributes::{put, put_nest, put_text};
use crate::netfilter::body::SetHeader;
use crate::netfilter::decode::RuleDecoder;
use crate::netfilter::decode::objects::{chain, elements, normalise, set, table};

const EXPRESSIONS: [&str; 36] = [
    "payload",
    "cmp",
    "meta",
    "immediate",
    "counter",
    "match",
    "target",
    "lookup",
    "bitwise",
    "ct",
    "range",
    "byteorder",
    "fib",
    "rt",
    "socket",
    "exthdr",
    "osf",
    "numgen",
    "hash",
    "tunnel",
    "xfrm",
    "reject",
    "limit",
    "connlimit",
    "quota",
    "log",
    "queue",
    "nat",
    "masq",
    "redir",
    "tproxy",
    "objref",
    "dynset",
    "inner",
    "fwd",
    "new",
];
const EXTENSIONS: [&str; 24] = [
    "tcp",
    "udp",
    "multiport",
    "conntrack",
    "state",
    "comment",
    "mark",
    "connmark",
    "addrtype",
    "iprange",
    "mac",
    "pkttype",
    "rpfilter",
    "devgroup",
    "recent",
    "set",
    "REJECT",
    "DNAT",
    "REDIRECT",
    "MARK",
    "CONNMARK",
    "CT",
    "TPROXY",
    "NFQUEUE",
];

/// A rule's message with these expressions.
fn rule(expressions: &[(usize, Vec<u8>)]) -> Vec<u8> {
    let mut list = Vec::new();
    for (name, data) in expressions {
        let mut expression = Vec::new();
        put_text(&mut expression, 1, EXPRESSIONS[name % EXPRESSIONS.len()]);
        put_nest(&mut expression, 2, data);
        put_nest(&mut list, 1, &expression);
    }
    let mut message = Vec::new();
    put(&mut message, 3, &7_u64.to_be_bytes());
    put_nest(&mut message, 4, &list);
    message
}

/// Attributes with small kinds, of numbers, nests and noise.
fn attribute_bytes() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        (0_u32..24).prop_map(|number| number.to_be_bytes().to_vec()),
        any::<u32>().prop_map(|number| number.to_be_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..70).prop_map(|bytes| {
            let mut nest = Vec::new();
            put(&mut nest, 1, &bytes);
            nest
        }),
        prop::collection::vec(any::<u8>(), 0..12),
        Just(b"s\0".to_vec()),
    ];
    prop::collection::vec((1_u16..12, value), 0..8).prop_map(|attributes| {
        let mut bytes = Vec::new();
        for (kind, value) in attributes {
            put(&mut bytes, kind, &value);
        }
        bytes
    })
}

fn decode(message: &[u8]) -> Vec<crate::model::ruleset::Rule> {
    let header = SetHeader {
        key_length: 6,
        data_length: 4,
        ..SetHeader::default()
    };
    let sets = BTreeMap::from([(String::from("s"), header)]);
    let mut rules = Vec::new();
    for family in [
        TableFamily::Ip,
        TableFamily::Ip6,
        TableFamily::Inet,
        TableFamily::Netdev,
        TableFamily::Bridge,
    ] {
        RuleDecoder::new(family, &sets).decode(message, &mut rules);
    }
    for rule in &rules {
        let _ = rule.to_string();
    }
    rules
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn noise(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        decode(&bytes);
        let mut raw = Vec::new();
        elements(&bytes, &mut raw);
        normalise(raw, true);
        let _ = (set(&bytes), chain(TableFamily::Inet, &bytes), table(TableFamily::Ip, &bytes));
    }

    #[test]
    fn expressions_of_noise(expressions in prop::collection::vec((any::<usize>(), attribute_bytes()), 0..6)) {
        let rules = decode(&rule(&expressions));
        prop_assert!(rules.iter().all(|rule| rule.handle == 7));
    }

    #[test]
    fn extensions_of_noise(
        name in 0_usize..EXTENSIONS.len(),
        revision in 0_u32..5,
        info in prop::collection::vec(any::<u8>(), 0..260),
        target: bool,
    ) {
        let mut data = Vec::new();
        put_text(&mut data, 1, EXTENSIONS[name]);
        put(&mut data, 2, &revision.to_be_bytes());
        put(&mut data, 3, &info);
        decode(&rule(&[(if target { 6 } else { 5 }, data)]));
    }

    #[test]
    fn elements_of_noise(list in prop::collection::vec(attribute_bytes(), 0..8), interval: bool) {
        let mut nest = Vec::new();
        for element in list {
            put_nest(&mut nest, 1, &element);
        }
        let mut message = Vec::new();
        put_nest(&mut message, 3, &nest);
        let mut raw = Vec::new();
        elements(&message, &mut raw);
        normalise(raw, interval);
    }
}

#[test]
fn an_unknown_expression_is_kept_by_name() {
    let rules = decode(&rule(&[(35, Vec::new())]));
    let name = String::from("new");
    assert_eq!(
        rules[0].statements,
        vec![Statement::NotDecoded { name }].into()
    );
}
