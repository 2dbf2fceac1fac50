//! What pods refer to in the API: content of ConfigMaps and Secrets, tokens, services. Values
//! only; [`crate::join`] fetches them.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Volume};

/// Keys and values of a ConfigMap or Secret.
pub type Data = BTreeMap<String, Vec<u8>>;

/// How long a service account's token is good for where the pod does not say.
const TOKEN_SECONDS: i64 = 3600;

/// A token that a pod asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenKey {
    /// Whom it is meant for; empty for the apiserver.
    pub audience: String,
    /// How long it is to be good for.
    pub seconds: i64,
}

/// What a pod refers to, by name in its namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// ConfigMaps.
    pub config_maps: BTreeSet<String>,
    /// Secrets.
    pub secrets: BTreeSet<String>,
    /// Tokens of its service account.
    pub tokens: BTreeSet<TokenKey>,
}

/// What was found of it. Without an apiserver nothing can be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    /// Whether there is an apiserver that could be asked.
    pub attached: bool,
    /// ConfigMaps that are there.
    pub config_maps: BTreeMap<String, Data>,
    /// Secrets that are there.
    pub secrets: BTreeMap<String, Data>,
    /// Tokens.
    pub tokens: BTreeMap<TokenKey, String>,
    /// Variables by which containers find services, in order.
    pub service_variables: Vec<(String, String)>,
}

impl TokenKey {
    /// The token that a projected volume asks for.
    #[must_use]
    pub fn of(audience: Option<&str>, seconds: Option<i64>) -> Self {
        Self {
            audience: audience.unwrap_or_default().to_owned(),
            seconds: seconds.unwrap_or(TOKEN_SECONDS),
        }
    }
}

impl Needs {
    /// What the pod refers to.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let mut needs = Self::of_volumes(pod);
        for container in pod.spec.iter().flat_map(containers) {
            needs.add_container(container);
        }
        needs
    }

    /// What the pod's volumes refer to.
    #[must_use]
    pub fn of_volumes(pod: &Pod) -> Self {
        let mut needs = Self::default();
        let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter());
        for volume in volumes.flatten() {
            needs.add_volume(volume);
        }
        needs
    }

    /// Whether it refers to nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn add_volume(&mut self, volume: &Volume) {
        let map = volume.config_map.as_ref().map(|map| map.name.clone());
        self.config_maps.extend(map);
        let secret = volume.secret.as_ref();
        self.secrets
            .extend(secret.and_then(|secret| secret.secret_name.clone()));
        let projected = volume.projected.iter();
        for source in projected.flat_map(|volume| volume.sources.iter().flatten()) {
            let map = source.config_map.as_ref().map(|map| map.name.clone());
            self.config_maps.extend(map);
            let secret = source.secret.as_ref().map(|secret| secret.name.clone());
            self.secrets.extend(secret);
            let token = source.service_account_token.as_ref();
            let key = |token: &k8s_openapi::api::core::v1::ServiceAccountTokenProjection| {
                TokenKey::of(token.audience.as_deref(), token.expiration_seconds)
            };
            self.tokens.extend(token.map(key));
        }
    }

    fn add_container(&mut self, container: &Container) {
        for source in container.env_from.iter().flatten() {
            let map = source.config_map_ref.as_ref().map(|map| map.name.clone());
            self.config_maps.extend(map);
            let secret = source.secret_ref.as_ref();
            self.secrets
                .extend(secret.map(|secret| secret.name.clone()));
        }
        let variables = container.env.iter().flatten();
        for from in variables.filter_map(|variable| variable.value_from.as_ref()) {
            let map = from.config_map_key_ref.as_ref();
            self.config_maps.extend(map.map(|key| key.name.clone()));
            let secret = from.secret_key_ref.as_ref();
            self.secrets.extend(secret.map(|key| key.name.clone()));
        }
    }
}

/// All containers but ephemeral ones, which may not refer to volumes of their own.
fn containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.init_containers
        .iter()
        .flatten()
        .chain(&spec.containers)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Needs, TokenKey};

    #[test]
    fn finds_every_reference() {
        let pod = serde_json::from_value(json!({"spec": {
            "volumes": [
                {"name": "a", "configMap": {"name": "m1"}},
                {"name": "b", "secret": {"secretName": "s1"}},
                {"name": "c", "projected": {"sources": [
                    {"serviceAccountToken": {"path": "t", "expirationSeconds": 3607}},
                    {"configMap": {"name": "m2"}}, {"secret": {"name": "s2"}}]}},
            ],
            "initContainers": [{"name": "i", "envFrom": [{"configMapRef": {"name": "m3"}},
                {"secretRef": {"name": "s3"}}]}],
            "containers": [{"name": "c", "env": [
                {"name": "X", "valueFrom": {"configMapKeyRef": {"name": "m4", "key": "k"}}},
                {"name": "Y", "valueFrom": {"secretKeyRef": {"name": "s4", "key": "k"}}},
            ]}],
        }}))
        .unwrap();
        let needs = Needs::of(&pod);
        assert_eq!(Vec::from_iter(&needs.config_maps), ["m1", "m2", "m3", "m4"]);
        assert_eq!(Vec::from_iter(&needs.secrets), ["s1", "s2", "s3", "s4"]);
        assert_eq!(
            Vec::from_iter(needs.tokens),
            [TokenKey::of(None, Some(3607))]
        );
        assert!(Needs::of(&Default::default()).is_empty());
    }
}
