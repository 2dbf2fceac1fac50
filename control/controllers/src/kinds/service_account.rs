//! Service accounts.

use keelson_client::Resource;
use keelson_client::index::Index;
use serde::Deserialize;

use super::{Meta, kind};

/// The index of accounts by the Secrets that they name, as `namespace/name`.
pub const SECRET: &str = "secret";

/// A service account.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServiceAccount {
    /// `metadata`.
    pub metadata: Meta,
    /// `secrets`: those that were made for it in old times.
    pub secrets: Vec<NamedSecret>,
}

/// One of `secrets`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NamedSecret {
    /// Its name, in the account's namespace.
    pub name: Box<str>,
}

kind!(
    ServiceAccount,
    Resource::fixed("", "v1", "serviceaccounts", "ServiceAccount", true),
    vec![Index::new(SECRET, |account: &ServiceAccount, words| {
        let namespace = &account.metadata.namespace;
        let names = account.secrets.iter().map(|secret| &secret.name);
        words.extend(names.map(|name| format!("{namespace}/{name}")));
    })]
);
