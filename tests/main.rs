//! Integration tests.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on says so and fails"
)]

mod cli;
mod daemons;
mod firewalld;
mod kernel;
mod support;
mod systemd;
