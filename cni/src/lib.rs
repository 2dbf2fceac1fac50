//! The CNI plugins bridge, host-local, loopback and portmap.
//!
//! [`run`] is a whole plugin: it reads the environment and stdin, writes the result or the error
//! object to stdout, and says how the process ends. Everything is synchronous and in process:
//! netlink and /proc/sys, no other program (but a foreign IPAM plugin, see [`ipam::delegate`]).
//!
//! The way of a call: [`wire`] decodes and checks, [`observe`] looks, [`plan`] decides (pure),
//! [`apply`] acts and undoes. [`plugin`] strings these together for each plugin and command.

pub mod apply;
pub mod command;
pub mod ipam;
pub mod observe;
pub mod owner;
pub mod plan;
pub mod plugin;
pub mod wire;

pub use command::{PLUGINS, run};
