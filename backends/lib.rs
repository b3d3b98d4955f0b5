//! Reads a Linux host's packet filter, judges what becomes of a new TCP connection, and edits it safely.
//!
//! The library knows ports and families; what listens on them is its user's business.

pub mod backend;
pub mod boot;
#[cfg(feature = "kernel")]
pub mod csf;
mod detect;
pub mod error;
#[cfg(feature = "firewalld")]
pub mod firewalld;
#[cfg(all(feature = "kernel", feature = "firewalld"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod host;
pub mod iptables;
#[cfg(feature = "kernel")]
pub mod kernel;
pub mod model;
pub mod netfilter;
#[cfg(feature = "kernel")]
pub mod nftables;
mod own;
pub mod proof;
mod tools;

pub use error::{Error, ErrorKind, Result};
