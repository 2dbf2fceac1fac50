//! Secrets: those that hold tokens. Others are not watched.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keelson_client::Resource;
use keelson_client::index::Index;
use serde::Deserialize;

use super::{Labels, Meta, Scope, kind};

/// The type of Secrets that hold a token of a service account.
pub const ACCOUNT_TOKEN: &str = "kubernetes.io/service-account-token";

/// Those Secrets.
pub const ACCOUNT_TOKENS: Scope = Scope {
    namespace: "",
    fields: "type=kubernetes.io/service-account-token",
};

/// The Secrets that hold a token by which nodes join.
pub const BOOTSTRAP_TOKENS: Scope = Scope {
    namespace: "kube-system",
    fields: "type=bootstrap.kubernetes.io/token",
};

/// The annotations that say whose token it is.
pub const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
/// Which account of that name.
pub const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

/// The index of tokens by their account, as `namespace/name`.
pub const ACCOUNT: &str = "account";

/// A Secret.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Secret {
    /// `metadata`.
    pub metadata: Meta,
    /// `type`.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// `data`, in base64 as it travels.
    pub data: Labels,
}

kind!(
    Secret,
    Resource::fixed("", "v1", "secrets", "Secret", true),
    vec![Index::new(ACCOUNT, |secret: &Secret, words| {
        if let Some(account) = secret.metadata.annotations.get(ACCOUNT_NAME) {
            words.push(format!("{}/{account}", secret.metadata.namespace));
        }
    })]
);

impl Secret {
    /// A value as text; empty if there is none, or none that is text.
    #[must_use]
    pub fn text(&self, key: &str) -> String {
        let bytes = self.data.get(key).map(|value| STANDARD.decode(value));
        let bytes = bytes.and_then(Result::ok).unwrap_or_default();
        String::from_utf8(bytes).unwrap_or_default()
    }
}
