//! CSF (ConfigServer Security & Firewall).

pub mod conf;
pub mod items;
