//! Turning a host into a node: preflight, containerd set-up, up and down.

pub mod api;
pub mod certs;
pub mod cli;
pub mod cluster;
pub mod configuration;
pub mod daemon;
pub mod demo;
pub mod down;
pub mod files;
pub mod image;
pub mod join;
pub mod kubelet_socket;
pub mod layout;
pub mod notify;
pub mod plan;
pub mod pod_table;
pub mod preflight;
pub mod status;
pub mod token;
pub mod units;
pub mod up;
pub mod web;
pub mod why;

pub use cli::main;
