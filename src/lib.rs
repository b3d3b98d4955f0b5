//! Keeps a host's firewall in step with its FTP daemons' passive ports.

pub mod daemons;
pub mod findings;
pub mod passive;
pub mod reconcile;
