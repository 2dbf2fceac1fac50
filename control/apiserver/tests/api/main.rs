//! The server over a real TLS socket, as clients see it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod admission;
mod auth;
mod certificates;
mod crud;
mod fuzz;
mod harness;
mod kubectl;
mod lists;
mod services;
mod start;
mod streams;
mod watch;
mod webhooks;

#[path = "../../../schema/tests/any_object/tree.rs"]
mod tree;
