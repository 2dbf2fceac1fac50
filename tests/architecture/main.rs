//! The architecture tests: what may depend on what, which modules stay pure, how long things get.
//! They read the sources and `cargo metadata`; they know nothing about what the code does.

mod budgets;
mod conformance;
mod dependencies;
mod docs;
mod pure_modules;
mod source;
