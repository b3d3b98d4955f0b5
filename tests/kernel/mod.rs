//! The program against real kernels: namespaces, rulesets and connections.

mod beside;
mod case;
mod corpus;
pub(crate) mod generator;
mod harness;
mod hostile;
mod hostile_bridges;
mod hostile_hosts;
mod hostile_ipsets;
mod hostile_iptables;
mod hostile_order;
mod hostile_sets;
mod iptables;
mod judge;
pub(crate) mod like_csf;
mod like_csf_hosts;
mod mixture;
mod oracle;
mod placement;
mod real_csf;
mod real_daemons;
mod refusals;
mod rulesets;
mod search;
mod story;
mod vocabulary;
mod xtables;
