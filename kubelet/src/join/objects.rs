//! Fetches what pods refer to: ConfigMaps, Secrets, tokens of their service accounts. Each by its
//! name and only when a pod needs it, so that a node may be limited to what its pods use.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, ServiceAccount};
use keelson_client::{Client, Error, Resource};
use parking_lot::Mutex;
use serde_json::json;

use crate::model::PodUid;
use crate::model::objects::{Data, Needs, Objects, TokenKey};

/// A token is replaced when this share of its life is over.
const RENEW_AT: f64 = 0.8;

/// Fetches objects for pods. Clones share the tokens they have got.
#[derive(Clone, Debug)]
pub struct ObjectSource {
    client: Client,
    tokens: Arc<Mutex<BTreeMap<(PodUid, TokenKey), Token>>>,
}

#[derive(Clone, Debug)]
struct Token {
    text: String,
    renew_at: Timestamp,
}

impl ObjectSource {
    /// Asks this apiserver.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            tokens: Arc::default(),
        }
    }

    /// All that the pod refers to and that is there.
    ///
    /// # Errors
    /// The apiserver refuses or cannot be asked.
    pub async fn gather(&self, uid: &PodUid, pod: &Pod) -> Result<Objects, Error> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
        let needs = Needs::of(pod);
        let mut objects = Objects {
            attached: true,
            ..Objects::default()
        };
        for name in needs.config_maps {
            let path = Resource::of::<ConfigMap>().named(namespace, &name);
            if let Some(found) = there(self.client.get::<ConfigMap>(&path).await)? {
                objects.config_maps.insert(name, data_of_map(found));
            }
        }
        for name in needs.secrets {
            let path = Resource::of::<Secret>().named(namespace, &name);
            if let Some(found) = there(self.client.get::<Secret>(&path).await)? {
                objects.secrets.insert(name, data_of_secret(found));
            }
        }
        for key in needs.tokens {
            let token = self.token(uid, pod, namespace, &key).await?;
            objects.tokens.insert(key, token);
        }
        Ok(objects)
    }

    /// Forgets the tokens of a pod that is gone.
    pub fn forget(&self, is_here: impl Fn(&PodUid) -> bool) {
        self.tokens.lock().retain(|(uid, _), _| is_here(uid));
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
        if let Some(token) = known.filter(|token| now < token.renew_at) {
            return Ok(token.text);
        }
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
        let token = Token {
            renew_at: renewal(now, status.expiration_timestamp.map_or(now, |time| time.0)),
            text: status.token.unwrap_or_default(),
        };
        self.tokens.lock().insert(kept, token.clone());
        Ok(token.text)
    }
}

fn there<T>(outcome: Result<T, Error>) -> Result<Option<T>, Error> {
    match outcome {
        Err(error) if error.is_not_found() => Ok(None),
        outcome => outcome.map(Some),
    }
}

fn data_of_map(map: ConfigMap) -> Data {
    let text = map.data.unwrap_or_default().into_iter();
    let text = text.map(|(key, value)| (key, value.into_bytes()));
    let binary = map.binary_data.unwrap_or_default().into_iter();
    text.chain(binary.map(|(key, value)| (key, value.0)))
        .collect()
}

fn data_of_secret(secret: Secret) -> Data {
    let data = secret.data.unwrap_or_default().into_iter();
    data.map(|(key, value)| (key, value.0)).collect()
}

/// When a token that begins now and ends then is to be replaced.
fn renewal(now: Timestamp, end: Timestamp) -> Timestamp {
    let life = Duration::try_from(end.duration_since(now)).unwrap_or(Duration::ZERO);
    now.checked_add(life.mul_f64(RENEW_AT)).unwrap_or(end)
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
