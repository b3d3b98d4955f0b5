//! Integration tests.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on says so and fails"
)]

mod ansible;
mod cli;
mod concurrency;
mod daemons;
mod faults;
mod firewalld;
mod fuzzing;
mod kernel;
mod support;
mod systemd;
