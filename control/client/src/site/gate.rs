//! Who may read which path of a site. Certificates are judged here, tokens and permissions by the
//! apiserver, whose answers are kept for a while.
//!
//! Guarantees: what cannot be found out is refused; tokens are kept as digests only; a bounded
//! number of answers is kept.

use std::fmt;
use std::time::Duration;

use hyper::{Method, StatusCode};
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::Authority;
use crate::client::Client;
use crate::error::Error;
use crate::kept::Kept;
use crate::review::{User, bearer, may, user_of};

/// Answers of each kind that are kept.
const MOST_KEPT: usize = 128;
/// How long answers are good.
const KEEP: Duration = Duration::from_secs(10);
/// Whoever is in this group may read everything.
const MASTERS: &str = "system:masters";

/// Why a request is turned away.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// What is shown proves nothing.
    #[error("Unauthorized")]
    Unauthorized,
    /// The user may not.
    #[error("forbidden: user {user:?} cannot {verb} path {path:?}")]
    Forbidden {
        /// Who.
        user: String,
        /// What for.
        verb: String,
        /// Where.
        path: String,
    },
    /// Nobody could be asked.
    #[error("cannot find out who asks, or whether they may: {0}")]
    Unknown(#[from] Error),
}

impl Refused {
    /// The status to answer with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden { .. } => StatusCode::FORBIDDEN,
            Self::Unknown(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// A user, a verb and a path.
type Wish = (User, String, String);

/// Lets requests in.
pub struct Gate {
    authority: Authority,
    authentication: Client,
    authorization: Client,
    open: Vec<String>,
    tokens: Mutex<Kept<[u8; 32], Option<User>>>,
    wishes: Mutex<Kept<Wish, bool>>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

impl Gate {
    /// A gate that asks these servers whom tokens are of and who may do what. Paths in `open`, with
    /// a `*` at the end those that begin so, may be read by anybody.
    #[must_use]
    pub fn new(
        authority: Authority,
        authentication: Client,
        authorization: Client,
        open: Vec<String>,
    ) -> Self {
        Self {
            authority,
            authentication,
            authorization,
            open,
            tokens: Mutex::new(Kept::new(MOST_KEPT)),
            wishes: Mutex::new(Kept::new(MOST_KEPT)),
        }
    }

    /// Lets a request in.
    ///
    /// # Errors
    /// It is to be turned away.
    pub async fn admit(
        &self,
        shown: &[CertificateDer<'_>],
        proof: Option<&str>,
        method: &Method,
        path: &str,
    ) -> Result<(), Refused> {
        if self.open.iter().any(|open| is_below(open, path)) {
            return Ok(());
        }
        let user = self.user(shown, proof).await?;
        if user.groups.iter().any(|group| group == MASTERS) {
            return Ok(());
        }
        let verb = method.as_str().to_lowercase();
        if self.may(&user, &verb, path).await? {
            return Ok(());
        }
        Err(Refused::Forbidden {
            user: user.name,
            verb,
            path: path.to_owned(),
        })
    }

    async fn user(
        &self,
        shown: &[CertificateDer<'_>],
        proof: Option<&str>,
    ) -> Result<User, Refused> {
        if let Some(user) = self.authority.user_of(shown) {
            return Ok(user);
        }
        let Some(token) = bearer(proof) else {
            return match shown.is_empty() && proof.is_none() {
                true => Ok(User::anonymous()),
                false => Err(Refused::Unauthorized),
            };
        };
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let known = self.tokens.lock().find(&digest, Instant::now()).cloned();
        let user = match known {
            Some(user) => user,
            None => {
                let user = user_of(&self.authentication, token).await?;
                let until = Instant::now() + KEEP;
                self.tokens.lock().keep(digest, user.clone(), until);
                user
            }
        };
        user.ok_or(Refused::Unauthorized)
    }

    async fn may(&self, user: &User, verb: &str, path: &str) -> Result<bool, Refused> {
        let wish = (user.clone(), verb.to_owned(), path.to_owned());
        let known = self.wishes.lock().find(&wish, Instant::now()).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let attributes = json!({"path": path, "verb": verb});
        let client = &self.authorization;
        let allowed = may(client, user, "nonResourceAttributes", attributes).await?;
        let until = Instant::now() + KEEP;
        self.wishes.lock().keep(wish, allowed, until);
        Ok(allowed)
    }
}

fn is_below(open: &str, path: &str) -> bool {
    match open.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => open == path,
    }
}

#[cfg(test)]
mod tests {
    use super::is_below;

    #[test]
    fn open_paths() {
        let check = |open: &str, path: &str, expected: bool| {
            assert_eq!(is_below(open, path), expected, "{open} {path}");
        };
        check("/healthz", "/healthz", true);
        check("/healthz", "/healthz/etcd", false);
        check("/healthz/*", "/healthz/etcd", true);
        check("/healthz", "/metrics", false);
        check("*", "/metrics", true);
    }
}
