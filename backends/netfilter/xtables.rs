//! The matches and targets of iptables, as iptables-nft puts them into `nf_tables` rules.

pub(super) mod matches;
pub(super) mod targets;
