//! kube-controller-manager: controllers make what is there equal to what is wanted, over the API
//! alone.
//!
//! # A controller
//! is a line in [`registry`] and a module of its name. Its `build` function says, through
//! [`wiring::Wiring`], which kinds it watches and which keys a change is about, keeps the
//! [`keelson_client::Store`]s that this gives it, and returns a [`controller::Reconcile`]:
//!
//! ```text
//! fn reconcile(&self, input: &Input { now, key, failure }) -> Plan { writes, requeue, events }
//! ```
//!
//! This is pure: it reads its stores and answers with values. Modules of controllers name no tokio,
//! no clock and no client (`tests/architecture/pure_modules.rs`). The rest comes for free:
//!
//! - [`caches`]: each kind is watched once for the whole program, as the slim type of [`kinds`]
//!   with the fields that some controller reads (add yours), found by key, by managing owner
//!   ([`kinds::CONTROLLER`]) and by the indexes of the kind.
//! - [`execute`]: carries plans out: names for generated objects, creations and deletions in groups
//!   of 1, 2, 4 ... at once, preconditions on uid and version, conflicts tried again, events about
//!   what was created and deleted ([`write::Write::told_to`]), updates instead of patches where
//!   the account may only update.
//! - [`ledger`]: a key is not decided on before the caches show what was last written for it, so no
//!   decision rests on a view without its own effects and nothing is created twice.
//! - a [`keelson_client::Queue`] and its metrics, a back-off per key, a restart of this controller
//!   alone should it panic, and a service account of its own towards the server ([`accounts`]).
//!
//! What cannot be said as a plan (asking the server, discovery, signing) is a [`controller::Act`]:
//! the same queue and caches with an async function. Its decisions should be pure functions too.
//!
//! # Tests
//! `Store::new(Pod::all_indexes())` gives a store and the writer that fills it; a table of
//! objects, a call of `reconcile` and the plan compared are a test.

pub mod accounts;
pub mod bootstrap_token;
pub mod caches;
pub mod certificate;
pub mod claim;
pub mod claim_protection;
pub mod cluster_role_aggregation;
pub mod command;
pub mod controller;
pub mod cron_job;
pub mod daemon_set;
pub mod deployment;
pub mod discovery;
pub mod disruption;
pub mod endpoint_slice;
pub mod endpoint_slice_mirroring;
pub mod endpoints;
pub mod execute;
pub mod garbage_collector;
#[cfg(test)]
mod given;
pub mod job;
pub mod kinds;
pub mod ledger;
pub mod legacy_token_cleaner;
pub mod material;
pub mod namespace;
pub mod node_ipam;
pub mod node_lifecycle;
pub mod options;
pub mod pod_gc;
pub mod pod_template;
pub mod registry;
pub mod replica_set;
pub mod resource_quota;
pub mod revisions;
pub mod root_ca_publisher;
pub mod run;
pub mod serve;
pub mod service_account;
pub mod service_account_token;
pub mod service_cidr;
pub mod stateful_set;
pub mod taint_eviction;
#[cfg(test)]
mod tests;
pub mod time_zones;
pub mod ttl;
pub mod ttl_after_finished;
pub mod volume_binder;
pub mod volume_protection;
pub mod wiring;
pub mod write;
