//! The HTTP servers of the kubelet: who may ask what, and who answers.
//!
//! Everything that a server may know of the node comes through [`view::NodeView`]; nothing here
//! decides about pods. [`route`], [`query`], [`auth`], [`kept`] and [`health`] decide only.

pub mod access;
pub mod auth;
pub mod body;
pub mod configz;
pub mod container_logs;
pub mod handle;
pub mod health;
mod measure;
pub mod metrics;
pub mod node_logs;
pub mod pods;
pub mod query;
pub mod route;
pub mod server;
pub mod streaming;

pub mod tls;
pub mod unix;
pub mod view;
