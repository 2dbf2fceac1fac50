//! Tokens of service accounts: keys, what a token says, and whether one is still good.
//!
//! Nothing here reads files or caches: keys come as text, objects through a function that finds
//! them, and time as a value.

pub(crate) mod discovery;
pub(crate) mod keys;
pub(crate) mod request;
pub(crate) mod review;
pub(crate) mod verify;

use ring::rand::SystemRandom;
use serde_json::Value;

/// Finds an object of the core group: plural, namespace, name.
pub(crate) type Find<'a> = &'a dyn Fn(&str, &str, &str) -> Option<Value>;

/// Who issues tokens, and for whom.
#[derive(Clone, Debug, Default)]
pub(crate) struct Issuers {
    /// The first one issues; tokens of all are accepted.
    pub(crate) issuers: Vec<String>,
    /// Whom a token without wishes is for: this API.
    pub(crate) audiences: Vec<String>,
    /// Seconds that no token outlives; 0 for no bound.
    pub(crate) longest: i64,
    /// Whether tokens that kubelets mount stay good for a year, so that old programs which never
    /// read them again keep working.
    pub(crate) extend: bool,
}

/// A random identifier in the form of a UUID, version 4.
pub(crate) fn token_id(random: &SystemRandom) -> Result<String, ring::error::Unspecified> {
    use ring::rand::SecureRandom as _;
    let mut bytes = [0; 16];
    random.fill(&mut bytes)?;
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = hex::encode(bytes);
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    Ok(parts.join("-"))
}

#[cfg(test)]
mod tests;
