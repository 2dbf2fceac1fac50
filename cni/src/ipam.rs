//! Address management: what host-local hands out, remembers and takes back.
//!
//! [`range`] and [`allocator`] decide (pure); [`store`] is where leases live, on disk in
//! [`disk_store`], in memory in `fake_store` for tests. [`delegate`] runs other IPAM plugins.
//!
//! Guarantees: an address has one owner at any time, also across SIGKILL between any two steps; a
//! lease of an earlier boot is free again; a failed allocation gives back what it took.

pub mod allocator;
pub mod delegate;
pub mod disk_store;
#[cfg(test)]
pub mod fake_store;
pub mod range;
pub mod resolv_conf;
pub mod store;
