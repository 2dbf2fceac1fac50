//! Bearer tokens that are looked up: of service accounts and for bootstrapping. Reads keys from
//! files and objects from caches; whether a token is good is decided in `service_account` and
//! `bootstrap_token`.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::Value;

use crate::auth::User;
use crate::auth::bootstrap_token;
use crate::auth::service_account::keys::{KeyError, PublicKey, SigningKey};
use crate::auth::service_account::{Issuers, discovery, verify};
use crate::failure::{Failure, Outcome};
use crate::lookup::settle;
use crate::registry::Registry;

/// Why a key file is not used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("failed to read the key file {path:?}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: std::io::Error,
    },
    /// There is no usable key in it.
    #[error("{path:?}: {why}")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// What tokens are issued and checked with.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    pub(crate) signing: Option<SigningKey>,
    /// The keys that tokens are checked with.
    pub(crate) keys: Vec<PublicKey>,
    pub(crate) issuers: Issuers,
    /// Where others find the keys.
    pub(crate) jwks_uri: String,
    /// Whether bootstrap tokens are looked at.
    pub(crate) bootstrap: bool,
}

/// Whose token it is, and for which of the audiences.
pub(crate) struct Owner {
    pub(crate) user: User,
    pub(crate) audiences: Vec<String>,
}

impl Tokens {
    /// Reads the keys: the one that signs, and those that check. Without the latter, the former
    /// checks.
    pub(crate) fn read(
        signing: Option<&Path>,
        checking: &[PathBuf],
        issuers: Issuers,
    ) -> Result<Self, KeyFileError> {
        let signing = match signing {
            Some(path) => Some(of_file(path, SigningKey::from_pem)?),
            None => None,
        };
        let mut keys = Vec::new();
        for path in checking {
            keys.extend(of_file(path, PublicKey::from_pem)?);
        }
        if checking.is_empty() {
            keys.extend(signing.iter().map(|key| key.public.clone()));
        }
        Ok(Self {
            signing,
            keys,
            issuers,
            ..Self::default()
        })
    }

    /// Whose token this is; nobody's where no one here knows it.
    pub(crate) async fn owner(
        &self,
        registry: &Registry,
        token: &str,
        audiences: &[String],
    ) -> Outcome<Owner> {
        let now = Timestamp::now();
        if self.bootstrap && bootstrap_token::split(token).is_some() {
            let verified = settle(registry, None, |lookup| {
                let find = |name: &str| lookup.core("secrets", "kube-system", name);
                bootstrap_token::verify(token, now, &find).map_err(|error| unauthorized(&error))
            });
            let user = verified.await?;
            return Ok(Owner {
                user,
                audiences: Vec::new(),
            });
        }
        let verified = settle(registry, None, |lookup| {
            let find =
                |plural: &str, namespace: &str, name: &str| lookup.core(plural, namespace, name);
            verify::verify(token, &self.keys, &self.issuers, audiences, now, &find)
                .map_err(|error| unauthorized(&error))
        });
        let verified = verified.await?;
        Ok(Owner {
            user: verified.user,
            audiences: verified.audiences,
        })
    }

    /// The documents that others check our tokens with: the configuration, and the keys.
    pub(crate) fn document(&self, path: &str) -> Option<(Value, &'static str)> {
        let issuer = self.issuers.issuers.first()?;
        match path {
            discovery::CONFIGURATION_PATH => {
                let found = discovery::configuration(issuer, &self.jwks_uri, &self.keys);
                Some((found, "application/json"))
            }
            discovery::KEYS_PATH => Some((discovery::key_set(&self.keys), discovery::KEYS_TYPE)),
            _ => None,
        }
    }
}

/// What is wrong with a token is for the log: callers learn only that it is no good.
fn unauthorized(error: &dyn std::fmt::Display) -> Failure {
    tracing::debug!(%error, "a token is refused");
    Failure::unauthorized()
}

fn of_file<T>(path: &Path, read: fn(&[u8]) -> Result<T, KeyError>) -> Result<T, KeyFileError> {
    let text = std::fs::read(path).map_err(|source| KeyFileError::Read {
        path: path.to_owned(),
        source,
    })?;
    read(&text).map_err(|error| KeyFileError::Key {
        path: path.to_owned(),
        why: error.to_string(),
    })
}
