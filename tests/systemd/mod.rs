//! The units of examples/systemd, under a real systemd that really reboots.

mod cgroup;
mod failures;
mod firewalls;
pub(crate) mod machine;
mod package;
pub(crate) mod root;
mod sandbox;
mod story;
