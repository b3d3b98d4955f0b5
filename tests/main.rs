//! Integration tests.

mod daemons;
