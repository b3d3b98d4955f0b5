//! Matches of a packet's length and of what its TCP options say: `length`, `tcpmss`, `--tcp-option`.

use std::sync::Arc;

use super::Info;
use super::matches::equal;
use super::ports::interval;
use crate::model::ruleset::{
    Field, Operation, Operator, Part, Statement, Test, Uncertainty, Value,
};
use crate::netfilter::body::Body;

/// The number of the option that announces the maximum segment size.
const SEGMENT_SIZE: u8 = 2;

/// `struct xt_length_info`: the whole packet's length, in the host's byte order.
pub(super) fn length(body: &mut Body<'_>, info: Info<'_>) -> Option<()> {
    let bytes = |number: u16| u32::from(number).to_be_bytes().to_vec();
    let (first, last) = (bytes(info.short(0)?), bytes(info.short(2)?));
    let negated = info.byte(4)? != 0;
    // Only in network byte order does an interval of numbers compare like one of bytes.
    let part = Part {
        field: Field::PacketLength,
        length: 4,
        operations: vec![Operation::Swap { size: 4 }],
    };
    let value = Value {
        parts: Arc::new(vec![part]),
    };
    let test = if first == last {
        let operator = equal(negated);
        Test::Compare {
            operator,
            data: first,
        }
    } else {
        Test::Range {
            negated,
            first,
            last,
        }
    };
    body.test(value, test);
    Some(())
}

/// `struct xt_tcpmss_match_info`: inverted, it is true of a packet without the option as well (`tcpmss_mt`).
pub(super) fn segment_size(body: &mut Body<'_>, info: Info<'_>) -> Option<()> {
    let (first, last, negated) = (info.short(0)?, info.short(2)?, info.byte(4)? != 0);
    let within = Statement::Match {
        value: Value::field(Field::SegmentSize { present: false }, 2),
        test: interval(first, last, negated),
    };
    if !negated {
        body.statements.push(within);
    } else if body.either(announced(false), within).is_none() {
        let text = format!("-m tcpmss ! --mss {first}:{last}");
        body.condition(Uncertainty::Other, text);
    }
    Some(())
}

/// `--tcp-option`: whether the options of TCP have one of that number.
pub(super) fn tcp_option(body: &mut Body<'_>, option: u8, negated: bool) {
    if option == SEGMENT_SIZE {
        body.statements.push(announced(!negated));
    } else {
        let not = if negated { "! " } else { "" };
        body.condition(Uncertainty::Other, format!("{not}--tcp-option {option}"));
    }
}

/// Whether the packet announces a maximum segment size.
fn announced(there: bool) -> Statement {
    Statement::Match {
        value: Value::field(Field::SegmentSize { present: true }, 1),
        test: Test::Compare {
            operator: Operator::Equal,
            data: vec![u8::from(there)],
        },
    }
}
