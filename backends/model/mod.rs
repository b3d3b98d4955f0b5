//! Values only: port sets, the ruleset that packets meet, and what becomes of a port.

pub mod ports;
pub mod reach;
pub mod ruleset;
pub mod text;
