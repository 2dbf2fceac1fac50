//! What others need to check our tokens: the OpenID configuration and the key set. Pure.

use serde_json::{Value, json};

use super::keys::PublicKey;

/// Where the configuration is served.
pub(crate) const CONFIGURATION_PATH: &str = "/.well-known/openid-configuration";
/// Where the keys are served.
pub(crate) const KEYS_PATH: &str = "/openid/v1/jwks";
/// The content type of the keys.
pub(crate) const KEYS_TYPE: &str = "application/jwk-set+json";

/// The OpenID configuration of an issuer.
pub(crate) fn configuration(issuer: &str, jwks_uri: &str, keys: &[PublicKey]) -> Value {
    let mut algorithms: Vec<_> = keys.iter().map(|key| key.algorithm).collect();
    algorithms.sort_unstable();
    algorithms.dedup();
    let algorithms: Vec<_> = algorithms.into_iter().map(|one| one.as_str()).collect();
    json!({"issuer": issuer, "jwks_uri": jwks_uri, "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": algorithms})
}

/// All keys that tokens may be signed with.
pub(crate) fn key_set(keys: &[PublicKey]) -> Value {
    let keys: Vec<Value> = keys.iter().map(PublicKey::to_jwk).collect();
    json!({"keys": keys})
}
