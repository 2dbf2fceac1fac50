//! From the runtime and the kernel to observed values.
