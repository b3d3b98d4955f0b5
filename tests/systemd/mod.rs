//! The units of examples/systemd, under a real systemd that really reboots.

mod cgroup;
mod failures;
mod machine;
mod package;
mod root;
mod sandbox;
mod story;
