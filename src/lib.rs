//! Keeps a host's firewall in step with its FTP daemons' passive ports.

pub mod beside;
pub mod cli;
pub mod commands;
pub mod daemons;
pub mod exit;
pub mod exposure;
pub mod failure;
pub mod findings;
pub mod helpers;
pub mod history;
pub mod journal;
pub mod listeners;
pub mod passive;
pub mod printer;
pub mod process;
pub mod reconcile;
pub mod report;
pub mod settings;
