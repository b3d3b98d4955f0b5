//! The program with a real firewalld: `firewall-cmd` says what is configured, a connection what is open.

mod boot;
mod errors;
mod image;
mod killed;
pub(crate) mod lab;
mod memory;
mod numbers;
mod obstacles;
mod permanent;
mod story;
mod zones;
