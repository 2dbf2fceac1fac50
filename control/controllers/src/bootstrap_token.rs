//! Tokens by which nodes join, as they lie in Secrets of `kube-system`: what one says, and until
//! when. Pure.

use jiff::{SignedDuration, Timestamp};

use crate::kinds::Secret;

pub mod clean;
pub mod sign;

/// How the names of their Secrets begin; the token's ID follows.
const PREFIX: &str = "bootstrap-token-";

/// How much of its life is left; zero if it has ended, `None` if it does not end. What can't be
/// read is over.
fn left(secret: &Secret, now: Timestamp) -> Option<SignedDuration> {
    let until = secret.text("expiration");
    if until.is_empty() {
        return None;
    }
    let until: Result<Timestamp, _> = until.parse();
    let left = until.map(|until| until.duration_since(now));
    Some(left.unwrap_or_default().max(SignedDuration::ZERO))
}

/// ID and secret half of a token that vouches for the cluster.
fn signing(secret: &Secret, now: Timestamp) -> Option<(String, String)> {
    let (id, key) = (secret.text("token-id"), secret.text("token-secret"));
    let named = secret.metadata.name.strip_prefix(PREFIX);
    let good = named == Some(id.as_str())
        && !id.is_empty()
        && !key.is_empty()
        && secret.text("usage-bootstrap-signing") == "true"
        && left(secret, now).is_none_or(|left| !left.is_zero());
    good.then_some((id, key))
}
