//! The FTP daemons' configurations.

#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so and fails"
)]

mod bad_input;
mod by_hand;
mod compliance;
mod corpus;
mod discovery;
mod live;
mod odd;
mod proftpd;
mod pure_ftpd;
mod running;
mod set_range;
mod set_range_random;
mod support;
mod vsftpd;
