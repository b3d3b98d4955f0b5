//! The units of examples/systemd, under a real systemd that really reboots.

mod cgroup;
mod failures;
pub(crate) mod machine;
pub(crate) mod root;
mod sandbox;
mod story;
