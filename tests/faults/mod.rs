//! Faults at every system call, and disks and files as nobody wants them: rules and files are old or new, never broken.
#![cfg(target_arch = "x86_64")]

mod calls;
mod disk;
mod everywhere;
mod judge;
mod links;
mod loaders;
mod lost;
mod meanwhile;
mod memory;
mod scenarios;
mod sites;
mod state;
mod tracer;

use crate::support::host::Host;
use scenarios::Scenario;

/// An extended attribute that the edited files have.
const ATTRIBUTE: &str = "trusted.pasvsync-test";

/// A host that is ready for a scenario; `None`, and it is said why, where there can be none.
fn prepared(scenario: Scenario) -> Option<Host> {
    let host = Host::on_its_own(scenario.tools())?;
    scenario.prepare(&host);
    Some(host)
}
