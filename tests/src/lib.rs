//! The test harness, end-to-end suites, architecture tests and benchmarks.

pub mod apiserver;
pub mod cluster;
pub mod eventually;
pub mod kubelet;
pub mod leftovers;
pub mod namespace;
pub mod netns;
pub mod node;
pub mod requires;
pub mod scenario;
pub mod services;
pub mod vm;
