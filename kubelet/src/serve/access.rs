//! Lets requests in, or turns them away: asks the apiserver who a token is of (TokenReview) and who
//! may do what (SubjectAccessReview), and keeps its answers for a while. What is asked for is
//! decided by [`super::auth`].
//!
//! Guarantees: what cannot be found out is refused; tokens are kept as digests only; at most
//! [`MOST_KEPT`] answers of each kind are kept.

use std::time::Duration;

use hyper::{Method, StatusCode};
use keelson_client::kept::Kept;
use keelson_client::review::{may, user_of};
use keelson_client::{Client, Error};
use parking_lot::Mutex;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::auth::{Attributes, Credentials, Proof, User, attributes};
use super::route::Route;
use crate::config::KubeletConfiguration;

/// Answers of each kind that are kept.
const MOST_KEPT: usize = 1024;

/// Settings that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedAccess {
    /// `authentication.webhook.enabled` without an apiserver.
    #[error(
        "authentication.webhook.enabled: true needs an apiserver: give --kubeconfig, or set it to false and give authentication.x509.clientCAFile"
    )]
    WebhookAuthentication,
    /// `authorization.mode: Webhook` without an apiserver.
    #[error(
        "authorization.mode: Webhook needs an apiserver: give --kubeconfig, or set it to AlwaysAllow"
    )]
    WebhookAuthorization,
    /// `authorization.mode` is unknown.
    #[error("authorization.mode: {0:?} is unknown: expected Webhook or AlwaysAllow")]
    UnknownMode(String),
}

/// Why a request is turned away.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Nobody knows who asks.
    #[error("Unauthorized")]
    Unauthorized,
    /// He may not.
    #[error(
        "Forbidden (user={user}, verb={verb}, resource=nodes, subresource(s)={subresources:?})"
    )]
    Forbidden {
        /// Who.
        user: String,
        /// What for.
        verb: &'static str,
        /// One of these would have sufficed.
        subresources: &'static [&'static str],
    },
    /// Nobody could be asked whether he may.
    #[error("Authorization error (user={user}, verb={verb}, resource=nodes): {source}")]
    Unknown {
        /// Who.
        user: String,
        /// What for.
        verb: &'static str,
        /// Why not.
        source: Error,
    },
}

impl Refused {
    /// The status to answer with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden { .. } => StatusCode::FORBIDDEN,
            Self::Unknown { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Who is let in on port 10250.
#[derive(Debug)]
pub struct Access {
    anonymous: bool,
    tokens: Option<Tokens>,
    permissions: Option<Permissions>,
}

/// Asks whom tokens are of.
#[derive(Debug)]
struct Tokens {
    client: Client,
    keep: Duration,
    known: Mutex<Kept<[u8; 32], Option<User>>>,
}

/// Asks who may do what.
#[derive(Debug)]
struct Permissions {
    client: Client,
    node: String,
    keep_allowed: Duration,
    keep_denied: Duration,
    known: Mutex<Kept<(User, &'static str, &'static str), bool>>,
}

impl Access {
    /// What the configuration asks for. Without a client there is nobody to ask.
    ///
    /// # Errors
    /// The configuration wants somebody to be asked who is not there.
    pub fn new(
        kubelet: &KubeletConfiguration,
        node: &str,
        client: Option<&Client>,
    ) -> Result<Self, UnsupportedAccess> {
        let (authentication, authorization) = (&kubelet.authentication, &kubelet.authorization);
        let tokens = match (authentication.webhook.enabled, client) {
            (false, _) => None,
            (true, None) => return Err(UnsupportedAccess::WebhookAuthentication),
            (true, Some(client)) => Some(Tokens {
                client: client.clone(),
                keep: authentication.webhook.cache_ttl.to_std(),
                known: Mutex::new(Kept::new(MOST_KEPT)),
            }),
        };
        let permissions = match (authorization.mode.as_str(), client) {
            ("AlwaysAllow", _) => None,
            ("Webhook", None) => return Err(UnsupportedAccess::WebhookAuthorization),
            ("Webhook", Some(client)) => Some(Permissions {
                client: client.clone(),
                node: node.to_owned(),
                keep_allowed: authorization.webhook.cache_authorized_ttl.to_std(),
                keep_denied: authorization.webhook.cache_unauthorized_ttl.to_std(),
                known: Mutex::new(Kept::new(MOST_KEPT)),
            }),
            (other, _) => return Err(UnsupportedAccess::UnknownMode(other.to_owned())),
        };
        Ok(Self {
            anonymous: authentication.anonymous.enabled,
            tokens,
            permissions,
        })
    }

    /// Lets in nobody but who shows a certificate.
    #[must_use]
    pub fn closed() -> Self {
        Self {
            anonymous: false,
            tokens: None,
            permissions: None,
        }
    }

    /// Lets a request in.
    ///
    /// # Errors
    /// It is to be turned away.
    pub async fn admit(
        &self,
        credentials: &Credentials,
        authorization: Option<&str>,
        route: Option<&Route>,
        method: &Method,
    ) -> Result<User, Refused> {
        let user = self.authenticate(Proof::of(credentials, authorization));
        let user = user.await.ok_or(Refused::Unauthorized)?;
        if let Some(permissions) = &self.permissions {
            let wish = attributes(route, method);
            if !permissions.allow(&user, wish).await? {
                return Err(Refused::Forbidden {
                    user: user.name,
                    verb: wish.verb,
                    subresources: wish.subresources,
                });
            }
        }
        Ok(user)
    }

    async fn authenticate(&self, proof: Proof<'_>) -> Option<User> {
        match (proof, &self.tokens) {
            (Proof::Known(user), _) => Some(user),
            (Proof::Token(token), Some(tokens)) => tokens.user(token).await,
            (Proof::Nothing, _) if self.anonymous => Some(User::anonymous()),
            _ => None,
        }
    }
}

impl Tokens {
    /// Whom the token is of. An apiserver that cannot be asked vouches for nobody.
    async fn user(&self, token: &str) -> Option<User> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let known = self.known.lock().find(&digest, Instant::now()).cloned();
        if let Some(known) = known {
            return known;
        }
        match user_of(&self.client, token).await {
            Ok(user) => {
                let until = Instant::now() + self.keep;
                self.known.lock().keep(digest, user.clone(), until);
                user
            }
            Err(error) => {
                tracing::warn!(%error, "cannot ask whom a token is of");
                None
            }
        }
    }
}

impl Permissions {
    async fn allow(&self, user: &User, wish: Attributes) -> Result<bool, Refused> {
        for subresource in wish.subresources {
            let allowed = self.allows_one(user, wish.verb, subresource).await;
            let failed = |source| Refused::Unknown {
                user: user.name.clone(),
                verb: wish.verb,
                source,
            };
            if allowed.map_err(failed)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn allows_one(
        &self,
        user: &User,
        verb: &'static str,
        subresource: &'static str,
    ) -> Result<bool, Error> {
        let key = (user.clone(), verb, subresource);
        let known = self.known.lock().find(&key, Instant::now()).copied();
        if let Some(allowed) = known {
            return Ok(allowed);
        }
        let attributes = json!({
            "verb": verb,
            "version": "v1",
            "resource": "nodes",
            "subresource": subresource,
            "name": self.node,
        });
        let allowed = may(&self.client, user, "resourceAttributes", attributes).await?;
        let keep = if allowed {
            self.keep_allowed
        } else {
            self.keep_denied
        };
        let until = Instant::now() + keep;
        self.known.lock().keep(key, allowed, until);
        Ok(allowed)
    }
}

#[cfg(test)]
mod tests;
