//! The FTP daemons' configurations.

#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so and fails"
)]

mod bad_input;
mod compliance;
mod corpus;
mod discovery;
mod fuzz;
mod proftpd;
mod pure_ftpd;
mod set_range;
mod support;
mod vsftpd;
