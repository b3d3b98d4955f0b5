//! The command line as its users meet it: exit status, standard output, standard error, and the JSON objects.

mod demo;
mod generate;
mod json;
mod layers;
mod links;
mod monitoring;
mod readme;
mod set_range;
mod snapshots;
mod support;
