//! What is shared by everything that writes to the host.

pub mod file;
pub mod lock;
