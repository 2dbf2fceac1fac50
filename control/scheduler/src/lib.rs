//! kube-scheduler: which node a pod runs on.
//!
//! [`wire`] decodes what the API says into [`model`]; [`cluster`] keeps it with its sums, change by
//! change; [`queue`] says whose turn it is; [`schedule`] decides with the [`plugins`] of a
//! [`profile`] through the [`framework`]'s traits, [`preempt`] who has to go; [`hints`] knows which
//! change helps whom; [`state`] ties them together. All of that is pure. [`watch`], [`bind`]
//! and [`agent`] are its surroundings, [`command`] is the program.

pub mod agent;
pub mod bind;
pub mod cluster;
pub mod command;
pub mod config;
pub mod framework;
pub mod hints;
pub mod intern;
pub mod metrics;
pub mod model;
pub mod options;
pub mod plugins;
pub mod preempt;
pub mod profile;
pub mod queue;
pub mod registry;
pub mod schedule;
pub mod state;
pub mod watch;
pub mod wire;

pub use options::Options;
