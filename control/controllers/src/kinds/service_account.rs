//! Service accounts.

use keelson_client::Resource;
use serde::Deserialize;

use super::{Meta, kind};

/// A service account.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServiceAccount {
    /// `metadata`.
    pub metadata: Meta,
}

kind!(
    ServiceAccount,
    Resource::fixed("", "v1", "serviceaccounts", "ServiceAccount", true)
);
