//! The program against real kernels: namespaces, rulesets and connections.

mod harness;
mod refusals;
mod rulesets;
mod story;
