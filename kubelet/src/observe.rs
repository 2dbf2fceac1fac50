//! From the runtime and the kernel to observed values.

mod absorb;
pub mod clock;
pub mod listing;
pub mod termination;

pub use absorb::absorb;
