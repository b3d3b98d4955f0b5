//! The program with a real firewalld: `firewall-cmd` says what is configured, a connection what is open.

mod lab;
mod permanent;
mod story;
