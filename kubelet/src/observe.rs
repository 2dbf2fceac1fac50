//! From the runtime and the kernel to observed values.

mod absorb;

pub use absorb::absorb;
