//! Fetches what pods refer to: ConfigMaps, Secrets, tokens of their service accounts. Each by its
//! name and only when a pod needs it, so that a node may be limited to what its pods use.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use keelson_client::{Client, Error, Object as _, Resource, Store};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;

use super::follow::{Followed, Held, Kind, ObjectKey};
use super::kept_objects::KeptObjects;
use super::services::Service;
use crate::model::PodUid;
use crate::model::objects::{Data, Needs, Objects, TokenKey};
use crate::spec::env::services;

/// A token is replaced when this share of its life is over.
const RENEW_AT: f64 = 0.8;
/// And when it is this old, however long it is good for.
const OLDEST: Duration = Duration::from_secs(24 * 3600);
/// How soon a token that could not be replaced is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// How long an answer may take: there is something else to go on with.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// How long a container waits for services to be known.
const SERVICES_WAIT: Duration = Duration::from_secs(10);

/// Why something cannot be given to a pod.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    /// The apiserver refuses or cannot be asked.
    #[error(transparent)]
    Api(#[from] Error),
    /// Its containers are to know all services, and nobody knows them.
    #[error("services have not yet been read at least once, cannot construct envs")]
    NoServices,
}

impl GatherError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Api(error) => error.is_transient(),
            Self::NoServices => true,
        }
    }
}

/// Fetches objects for pods. Clones share what they have got.
#[derive(Clone, Debug)]
pub struct ObjectSource {
    client: Client,
    /// What is followed while pods show it.
    pub followed: Followed,
    services: Store<Service>,
    kept: Arc<KeptObjects>,
    tokens: Arc<Mutex<BTreeMap<(PodUid, TokenKey), Token>>>,
}

#[derive(Clone, Debug)]
struct Token {
    text: String,
    renew_at: Timestamp,
    ends: Timestamp,
    /// Its pod was told that it is due.
    told: bool,
}

impl ObjectSource {
    /// Asks this apiserver; services are those of the store. What pods were given is kept in that
    /// folder for the time that nobody answers.
    #[must_use]
    pub fn new(client: Client, services: Store<Service>, kept: KeptObjects) -> Self {
        Self {
            client: client.with_limit(ANSWER_LIMIT),
            kept: Arc::new(kept),
            followed: Followed::default(),
            services,
            tokens: Arc::default(),
        }
    }

    /// All that the pod refers to and that is there.
    ///
    /// # Errors
    /// The apiserver refuses or cannot be asked.
    pub async fn gather(&self, uid: &PodUid, pod: &Pod) -> Result<Objects, GatherError> {
        match self.fetch(uid, pod).await {
            Ok(objects) => {
                self.kept.keep(uid, &objects);
                Ok(objects)
            }
            // The pod goes on with what it had.
            Err(error) if error.is_transient() => self.kept.find(uid).ok_or(error),
            Err(error) => Err(error),
        }
    }

    /// The same for a container: with the variables by which it finds services.
    ///
    /// # Errors
    /// The apiserver refuses or cannot be asked, or services are not known.
    pub async fn gather_for_container(
        &self,
        uid: &PodUid,
        pod: &Pod,
    ) -> Result<Objects, GatherError> {
        let mut objects = self.gather(uid, pod).await?;
        match self.service_variables(pod).await {
            Ok(variables) => objects.service_variables = variables,
            Err(error) => {
                let known = self.kept.variables(uid).ok_or(error)?;
                objects.service_variables = known;
                return Ok(objects);
            }
        }
        self.kept.keep(uid, &objects);
        Ok(objects)
    }

    async fn fetch(&self, uid: &PodUid, pod: &Pod) -> Result<Objects, GatherError> {
        let namespace = namespace(pod);
        let needs = Needs::of(pod);
        let mut objects = Objects {
            attached: true,
            ..Objects::default()
        };
        for name in needs.config_maps {
            if let Some(found) = self.object(Kind::ConfigMap, namespace, &name).await? {
                objects.config_maps.insert(name, found);
            }
        }
        for name in needs.secrets {
            if let Some(found) = self.object(Kind::Secret, namespace, &name).await? {
                objects.secrets.insert(name, found);
            }
        }
        for key in needs.tokens {
            let token = self.token(uid, pod, namespace, &key).await?;
            objects.tokens.insert(key, token);
        }
        Ok(objects)
    }

    async fn service_variables(&self, pod: &Pod) -> Result<Vec<(String, String)>, GatherError> {
        let synced = tokio::time::timeout(SERVICES_WAIT, self.services.synced());
        synced.await.map_err(|_| GatherError::NoServices)?;
        let links = pod.spec.as_ref().and_then(|spec| spec.enable_service_links);
        let all = self.services.all();
        Ok(services::variables(
            all.iter().map(|service| service.addressed()),
            namespace(pod),
            links != Some(false),
        ))
    }

    /// The content of the pod's `imagePullSecrets` that are there, and the names of those that are
    /// not.
    pub async fn pull_secrets(&self, pod: &Pod) -> (Vec<Data>, Vec<String>) {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        let names = pod.spec.iter();
        let names = names.flat_map(|spec| spec.image_pull_secrets.iter().flatten());
        for name in names.map(|reference| &reference.name) {
            match self.object(Kind::Secret, namespace(pod), name).await {
                Ok(Some(secret)) => found.push(secret),
                Ok(None) | Err(_) => missing.push(name.clone()),
            }
        }
        (found, missing)
    }

    /// The content of an object: as last heard of where it is followed, else asked for.
    async fn object(&self, kind: Kind, namespace: &str, name: &str) -> Result<Option<Data>, Error> {
        let key = ObjectKey {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        if let Some(held) = self.followed.find(&key) {
            return Ok(Some(held.content(kind)));
        }
        let path = kind.resource().named(namespace, name);
        match self.client.get::<Held>(&path).await {
            Err(error) if error.is_not_found() => Ok(None),
            outcome => {
                let held = outcome?;
                self.followed.given(&key, held.resource_version());
                Ok(Some(held.content(kind)))
            }
        }
    }

    /// Forgets what pods that are gone were given.
    pub fn forget(&self, is_here: impl Fn(&PodUid) -> bool) {
        self.kept.forget(&is_here);
        self.tokens.lock().retain(|(uid, _), _| is_here(uid));
    }

    /// When the next token is to be replaced.
    #[must_use]
    pub fn next_renewal(&self) -> Option<Instant> {
        let (now, at) = (Timestamp::now(), Instant::now());
        let tokens = self.tokens.lock();
        let waiting = tokens.values().filter(|token| !token.told);
        let next = waiting.map(|token| token.renew_at).min()?;
        let wait = Duration::try_from(next.duration_since(now)).unwrap_or(Duration::ZERO);
        Some(at + wait)
    }

    /// The pods whose tokens are to be replaced now. Each is told once, until it has a new one or
    /// could not get it.
    pub fn take_due(&self) -> Vec<PodUid> {
        let now = Timestamp::now();
        let mut tokens = self.tokens.lock();
        let due = tokens
            .iter_mut()
            .filter(|(_, token)| !token.told && token.renew_at <= now);
        due.map(|((uid, _), token)| {
            token.told = true;
            uid.clone()
        })
        .collect()
    }

    async fn token(
        &self,
        uid: &PodUid,
        pod: &Pod,
        namespace: &str,
        key: &TokenKey,
    ) -> Result<String, Error> {
        let kept = (uid.clone(), key.clone());
        let now = Timestamp::now();
        let known = self.tokens.lock().get(&kept).cloned();
        match known {
            Some(token) if now < token.renew_at => Ok(token.text),
            Some(old) => match self.new_token(uid, pod, namespace, key).await {
                Ok(text) => Ok(text),
                // It is still good: what is due is tried again soon.
                Err(error) if now < old.ends => {
                    tracing::warn!(pod = %uid, %error, "a token is not replaced yet");
                    let later = now.checked_add(TRY_AGAIN).unwrap_or(old.ends);
                    let (text, renew_at) = (old.text.clone(), later);
                    let told = false;
                    let old = Token {
                        renew_at,
                        told,
                        ..old
                    };
                    self.tokens.lock().insert(kept, old);
                    Ok(text)
                }
                Err(error) => Err(error),
            },
            None => self.new_token(uid, pod, namespace, key).await,
        }
    }

    async fn new_token(
        &self,
        uid: &PodUid,
        pod: &Pod,
        namespace: &str,
        key: &TokenKey,
    ) -> Result<String, Error> {
        let now = Timestamp::now();
        let account = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.service_account_name.as_deref());
        let account = account.filter(|name| !name.is_empty()).unwrap_or("default");
        let path = Resource::of::<ServiceAccount>().named(namespace, account);
        let audiences: Vec<_> = Some(&key.audience)
            .filter(|a| !a.is_empty())
            .into_iter()
            .collect();
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": audiences,
                "expirationSeconds": key.seconds,
                "boundObjectRef": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "name": pod.metadata.name,
                    "uid": uid.as_str(),
                },
            },
        });
        let answer: TokenRequest = self
            .client
            .create(&path.subresource("token"), &request)
            .await?;
        let status = answer.status.unwrap_or_default();
        let ends = status.expiration_timestamp.map_or(now, |time| time.0);
        let token = Token {
            renew_at: renewal(now, ends),
            ends,
            text: status.token.unwrap_or_default(),
            told: false,
        };
        let text = token.text.clone();
        let kept = (uid.clone(), key.clone());
        self.tokens.lock().insert(kept, token);
        Ok(text)
    }
}

fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or("default")
}

/// When a token that begins now and ends then is to be replaced.
fn renewal(now: Timestamp, end: Timestamp) -> Timestamp {
    let life = Duration::try_from(end.duration_since(now)).unwrap_or(Duration::ZERO);
    now.checked_add(life.mul_f64(RENEW_AT).min(OLDEST))
        .unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::renewal;

    #[test]
    fn a_token_is_replaced_before_it_ends() {
        let at = |minute| format!("2026-01-01T00:{minute:02}:00Z").parse().unwrap();
        assert_eq!(renewal(at(0), at(50)), at(40));
        assert_eq!(renewal(at(10), at(0)), at(10));
    }
}
