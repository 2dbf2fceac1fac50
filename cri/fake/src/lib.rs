//! An in-memory CRI server for tests, over a real unix socket.
//!
//! - [`runtime::Runtime`] is the runtime itself: a plain state machine that is told the time. A
//!   simulation with a virtual clock uses it without any server.
//! - [`images`] are what it has and could pull; [`faults`] say which calls go wrong.
//! - [`server::FakeServer`] puts gRPC before it. It follows tokio's clock, so tests can pause time.
//!
//! It behaves like containerd 2.1 wherever callers can tell, down to the odd ones: a taken name is
//! reported with the code `Unknown`, an event subscription answers only with its first event, and
//! the streaming list calls are not there.

pub mod faults;
pub mod images;
pub mod runtime;
pub mod server;
mod wire;

pub use faults::{Fault, Faults};
pub use images::{Images, Pullable};
pub use runtime::{OnTerm, Program, Runtime, RuntimeError};
pub use server::FakeServer;
