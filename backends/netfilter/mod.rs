//! The ruleset that packets meet, whoever wrote it: read over netlink, decoded into the model.

pub(crate) mod attributes;
mod beside;
mod body;
mod decode;
mod interfaces;
pub(crate) mod ipsets;
mod netlink;
mod read;
mod registers;
#[cfg(any(test, all(feature = "kernel", feature = "firewalld")))]
pub(crate) mod replay;
mod sample;
pub mod scratch;
#[cfg(test)]
pub(crate) mod tests;
mod xtables;

pub use beside::{Beside, beside};
pub use interfaces::interfaces;
pub use netlink::{Socket, dump};
pub use read::{Scope, read};
