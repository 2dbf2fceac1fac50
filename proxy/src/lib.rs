//! kube-proxy: makes Services reachable through the kernel's packet filter.
//!
//! [`wire`] decodes what the API says of Services and EndpointSlices into [`model`]; [`compile`]
//! turns one Service with its endpoints into rules that no backend is named in; [`diff`] keeps the
//! rules of all Services and says what a change costs; a [`backend`] renders (pure) and applies.
//! A changed Service costs one Service at every step, whatever their number. [`state`] (pure) collects
//! what is watched, [`dns`] gives it names, [`agent`] wires it all, [`command`] is the program.

pub mod agent;
pub mod backend;
pub mod command;
pub mod compile;
pub mod config;
pub mod conntrack;
pub mod diff;
pub mod dns;
pub mod metrics;
pub mod model;
pub mod node_rules;
pub mod pod_routes;
pub mod serve;
pub mod state;
pub mod sysctl;
pub mod watched;
pub mod wire;
