//! What is shared by everything that writes to the host.

pub mod create;
pub mod file;
pub mod lock;
pub mod owned;
