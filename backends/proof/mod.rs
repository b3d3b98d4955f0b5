//! What becomes of a port, and where an accept belongs: pure functions of a ruleset.
//!
//! The question is about a new TCP connection from an unknown remote address, arriving on any interface but loopback,
//! to a local address: its opening packet, the reply, and the client's next packet. Nothing else in the program decides
//! what is open.

mod arrivals;
mod bans;
mod bytes;
mod changes;
mod describe;
mod flow;
mod names;
mod neighbours;
mod order;
mod ordinary;
mod outcome;
mod packet;
pub mod place;
mod scope;
mod steps;
#[cfg(test)]
mod tests;
mod trace;
mod truth;
mod verdict;

pub(crate) use bans::Bans;
pub use describe::helper;
pub use neighbours::{Unanswered, unanswered};
pub use steps::{Effect, Step};
pub use verdict::{Judgement, Obstacle, filters_input, judge, trace, walk};
