//! Keeps what goes into the `Authorization` header: fixed, read from a file that changes, or
//! printed by a plugin. Must not know about connections.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::exec::{self, ExecCredential};
use super::{Identity, KubeconfigError};

/// How long a token file is believed before it is read again.
const TOKEN_FILE_LIFE: Duration = Duration::from_secs(60);

/// Who we are, at this moment.
#[derive(Debug)]
pub struct Credential {
    identity: Identity,
    kept: Mutex<Option<Kept>>,
}

#[derive(Debug, Clone)]
struct Kept {
    header: Option<String>,
    until: Option<Instant>,
    certificate: Option<(Vec<u8>, Vec<u8>)>,
}

impl Credential {
    /// Nothing is read or run before the first request.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            kept: Mutex::new(None),
        }
    }

    /// The value of the `Authorization` header, if there is to be one.
    ///
    /// # Errors
    /// The token's file is not readable, or the plugin fails.
    pub async fn authorization(&self) -> Result<Option<String>, KubeconfigError> {
        match &self.identity {
            Identity::None => Ok(None),
            Identity::Token(token) => Ok(Some(format!("Bearer {token}"))),
            Identity::Basic { username, password } => {
                let packed = STANDARD.encode(format!("{username}:{password}"));
                Ok(Some(format!("Basic {packed}")))
            }
            Identity::TokenFile(_) | Identity::Exec(_) => Ok(self.fresh().await?.header),
        }
    }

    /// Certificate and key, PEM, that a plugin gave us.
    ///
    /// # Errors
    /// The plugin fails.
    pub async fn certificate(&self) -> Result<Option<(Vec<u8>, Vec<u8>)>, KubeconfigError> {
        match &self.identity {
            Identity::Exec(_) => Ok(self.fresh().await?.certificate),
            _ => Ok(None),
        }
    }

    /// The server did not accept us: what was kept is thrown away. True if another attempt can
    /// bring something else.
    pub fn refused(&self) -> bool {
        let changes = matches!(self.identity, Identity::TokenFile(_) | Identity::Exec(_));
        changes && self.kept.lock().take().is_some()
    }

    async fn fresh(&self) -> Result<Kept, KubeconfigError> {
        let now = Instant::now();
        let kept = self.kept.lock().clone();
        if let Some(kept) = kept
            && kept.until.is_none_or(|until| now < until)
        {
            return Ok(kept);
        }
        let fresh = match &self.identity {
            Identity::TokenFile(path) => token_file(path, now)?,
            Identity::Exec(config) => of_plugin(exec::run(config).await?, now),
            _ => Kept {
                header: None,
                until: None,
                certificate: None,
            },
        };
        *self.kept.lock() = Some(fresh.clone());
        Ok(fresh)
    }
}

fn token_file(path: &Path, now: Instant) -> Result<Kept, KubeconfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| KubeconfigError::Read {
        what: "token",
        path: path.to_owned(),
        source,
    })?;
    Ok(Kept {
        header: Some(format!("Bearer {}", text.trim())),
        until: Some(now + TOKEN_FILE_LIFE),
        certificate: None,
    })
}

fn of_plugin(credential: ExecCredential, now: Instant) -> Kept {
    Kept {
        header: credential.token.map(|token| format!("Bearer {token}")),
        until: credential.life.map(|life| now + life),
        certificate: credential.certificate,
    }
}

#[cfg(test)]
mod tests {
    use super::{Credential, TOKEN_FILE_LIFE};
    use crate::kubeconfig::Identity;

    #[tokio::test(start_paused = true)]
    async fn a_token_file_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "one\n").unwrap();
        let credential = Credential::new(Identity::TokenFile(path.clone()));
        let read = async || credential.authorization().await.unwrap().unwrap();
        assert_eq!(read().await, "Bearer one");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(read().await, "Bearer one");
        tokio::time::advance(TOKEN_FILE_LIFE).await;
        assert_eq!(read().await, "Bearer two");
        std::fs::write(&path, "three").unwrap();
        assert!(credential.refused());
        assert_eq!(read().await, "Bearer three");
    }

    #[tokio::test]
    async fn passwords_are_basic() {
        let credential = Credential::new(Identity::Basic {
            username: "a".into(),
            password: "b".into(),
        });
        let header = credential.authorization().await.unwrap();
        assert_eq!(header.as_deref(), Some("Basic YTpi"));
        assert!(!credential.refused());
    }
}
