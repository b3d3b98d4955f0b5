//! The program against real kernels: namespaces, rulesets and connections.

mod harness;
