//! The backends: each renders rules into what its part of the kernel understands (pure), and
//! applies that.

pub mod nftables;
