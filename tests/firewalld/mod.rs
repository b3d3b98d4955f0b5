//! firewalld, the real one.

mod permanent;
