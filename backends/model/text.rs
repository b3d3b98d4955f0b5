//! Rules in nft's words.

use super::ruleset::{PayloadBase, TableFamily};

/// The name of a header field.
pub(crate) fn payload_name(
    base: PayloadBase,
    offset: u32,
    length: u32,
    family: TableFamily,
    protocol: Option<u8>,
) -> String {
    let _ = (family, protocol);
    format!("@{base:?},{offset},{length}")
}

impl std::fmt::Display for super::ruleset::Rule {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "rule")
    }
}
