//! firewalld: zones, services and policies over the kernel's packet filter.

pub mod config;
pub mod ruleset;
#[cfg(test)]
mod tests;
