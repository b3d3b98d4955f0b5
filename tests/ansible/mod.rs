//! The collection in examples/ansible: the real ansible-playbook, over real ssh, to hosts in namespaces of their own.

mod cases;
mod controller;
mod fleet;
mod fleets;
mod hosts;
mod quality;
mod readme;
mod role;
mod units;
