//! The resources that the API serves, one row per kind.
//!
//! A row is all that discovery, routing, storage, printing and the write path need to know of a
//! kind. Custom resources become rows of the same type. Who may use a resource, and where its
//! bytes are, is for the apiserver.

mod apps;
mod auth;
mod cluster;
mod core;
mod policy;
mod row;
mod storage;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::OnceLock;

pub use row::{Durability, Resource, Scope, Subresource, Verb, Verbs, row_api_version};

/// Text that is a constant for built-in kinds and owned for custom ones.
pub type Name = Cow<'static, str>;

/// A group of the API, with its versions in order of preference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The name; empty for the core group.
    pub name: Name,
    /// Its versions, the preferred one first.
    pub versions: Vec<Name>,
}

/// The groups in the order in which discovery shows them: what is looked up by short name first
/// wins, so that the core group and `apps` come before the rest.
const GROUP_ORDER: &[(&str, &[&str])] = &[
    ("", &["v1"]),
    ("apiregistration.k8s.io", &["v1"]),
    ("apps", &["v1"]),
    ("events.k8s.io", &["v1"]),
    ("authentication.k8s.io", &["v1"]),
    ("authorization.k8s.io", &["v1"]),
    ("autoscaling", &["v2", "v1"]),
    ("batch", &["v1"]),
    ("certificates.k8s.io", &["v1"]),
    ("networking.k8s.io", &["v1"]),
    ("policy", &["v1"]),
    ("rbac.authorization.k8s.io", &["v1"]),
    ("storage.k8s.io", &["v1"]),
    ("admissionregistration.k8s.io", &["v1"]),
    ("apiextensions.k8s.io", &["v1"]),
    ("scheduling.k8s.io", &["v1"]),
    ("coordination.k8s.io", &["v1"]),
    ("node.k8s.io", &["v1"]),
    ("discovery.k8s.io", &["v1"]),
    ("resource.k8s.io", &["v1"]),
    ("flowcontrol.apiserver.k8s.io", &["v1"]),
];

/// The built-in groups, in the order of discovery.
#[must_use]
pub fn groups() -> Vec<Group> {
    let group = |(name, versions): &(&'static str, &'static [&'static str])| Group {
        name: Cow::Borrowed(*name),
        versions: versions.iter().map(|v| Cow::Borrowed(*v)).collect(),
    };
    GROUP_ORDER.iter().map(group).collect()
}

struct Table {
    rows: Vec<Resource>,
    by_path: HashMap<(&'static str, &'static str, &'static str), usize>,
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut rows = core::rows();
        rows.extend(apps::rows());
        rows.extend(auth::rows());
        rows.extend(cluster::rows());
        rows.extend(policy::rows());
        rows.extend(storage::rows());
        let key = |(at, row): (usize, &Resource)| Some((constant(row)?, at));
        let by_path = rows.iter().enumerate().filter_map(key).collect();
        Table { rows, by_path }
    })
}

fn constant(row: &Resource) -> Option<(&'static str, &'static str, &'static str)> {
    match (&row.group, &row.version, &row.plural) {
        (Cow::Borrowed(group), Cow::Borrowed(version), Cow::Borrowed(plural)) => {
            Some((group, version, plural))
        }
        _ => None,
    }
}

/// Every built-in resource.
#[must_use]
pub fn builtin() -> &'static [Resource] {
    &table().rows
}

/// The built-in resource that a request's path names: `("apps", "v1", "deployments")`.
#[must_use]
pub fn find(group: &str, version: &str, plural: &str) -> Option<&'static Resource> {
    let table = table();
    table
        .by_path
        .get(&(group, version, plural))
        .map(|at| &table.rows[*at])
}

/// The built-in resource of a kind: `("apps", "v1", "Deployment")`.
#[must_use]
pub fn by_kind(group: &str, version: &str, kind: &str) -> Option<&'static Resource> {
    builtin()
        .iter()
        .find(|r| r.group == group && r.version == version && r.kind == kind)
}

/// Splits an `apiVersion` into group and version; the core group is empty.
#[must_use]
pub fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

#[cfg(test)]
mod tests;
