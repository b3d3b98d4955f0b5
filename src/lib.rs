//! Keeps a host's firewall in step with its FTP daemons' passive ports.
//!
//! A run goes through these, and they are best read in this order:
//!
//! 1. [`commands`]: one file a subcommand; [`settings`] says what was meant.
//! 2. [`daemons`]: from a daemon's own files to a [`passive::Reading`], [`passive`] to the union of all that is wanted.
//! 3. [`reconcile`]: read, judge, plan, apply, verify, undo, for whichever [`firewall::backend::Backend`] is in charge.
//! 4. [`firewall::netfilter`] reads the kernel's rules into a [`firewall::model::ruleset::Ruleset`], and
//!    [`firewall::proof`], the only judge, says what becomes of each port. This is the heart; `docs/proof.md` draws it.
//! 5. [`firewall::kernel`] with `nftables`, `iptables` and `boot`, [`firewall::firewalld`], [`firewall::csf`]: how each is
//!    edited, now and for the next boot.
//! 6. [`findings`], to which [`beside`], [`exposure`], [`helpers`] and [`neighbours`] add what no verdict tells; [`report`]
//!    and [`printer`]: what is said about it all.

pub mod beside;
pub mod cli;
pub mod commands;
pub mod config_error;
pub mod daemons;
pub mod exit;
pub mod exposure;
pub mod failure;
pub mod findings;
#[doc(hidden)]
pub mod fuzzing;
pub mod helpers;
pub mod history;
pub mod journal;
pub mod listeners;
pub mod neighbours;
pub mod passive;
pub mod printer;
pub mod process;
pub mod reconcile;
pub mod report;
pub mod settings;
pub mod terminal;
pub mod usage;
