//! The node agent.

pub mod admit;
pub mod agent;
pub mod allocator;
pub mod cgroup;
pub mod checkpoint;
pub mod collect;
pub mod command;
pub mod config;
pub mod execute;
pub mod journal;
pub mod logs;
pub mod metrics;
pub mod model;
pub mod node;
pub mod observe;
pub mod pod_files;
pub mod pod_source;
pub mod probe;
pub mod reconcile;
pub mod resolve;
pub mod serve;
pub mod spec;
pub mod stats;
pub mod status;
pub mod user_namespaces;
pub mod volume;
