//! The FTP daemons' configurations.

mod corpus;
mod support;
