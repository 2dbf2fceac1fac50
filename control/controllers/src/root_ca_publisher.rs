//! Sees to it that every namespace has the ConfigMap by which pods know the API server. The key is
//! the namespace.

use keelson_client::cache::{Change, Key};
use keelson_client::runner::Outcome;
use keelson_client::{Client, Store};
use serde_json::{Value, json};

use crate::controller::{Act, ActError, Acting, Registration, Work};
use crate::kinds::config_map::{ROOT_CA, ROOT_CA_NAME as NAME};
use crate::kinds::{ConfigMap, Kind as _, Labels, Namespace};
use crate::material;
use crate::wiring::Wiring;

/// The key in the ConfigMap.
const FIELD: &str = "ca.crt";
/// The annotation that says what the ConfigMap is for, and what it says.
const DESCRIPTION: &str = "kubernetes.io/description";
const PURPOSE: &str = "The CA by which pods verify the API server at its internal address. \
    What it vouches for beyond that depends on the distribution.";

/// The registry's line.
pub const REGISTRATION: Registration = Registration {
    name: "root-ca-certificate-publisher-controller",
    alias: "root-ca-cert-publisher",
    account: "root-ca-cert-publisher",
    by_default: true,
    at_once: 1,
    build: |wiring: &mut Wiring<'_>| {
        let ca = material::root_ca(wiring.options)?;
        let maps = wiring.watch_part(ROOT_CA, |change: &Change<ConfigMap>, keys| {
            keys.push(Key::new("", &change.latest().metadata.namespace));
        });
        Some(Work::act(Publisher {
            client: wiring.client.clone(),
            namespaces: wiring.own::<Namespace>(),
            maps,
            ca,
        }))
    },
};

/// Makes and repairs the ConfigMaps. Its account may not read them, so that they are replaced as a
/// whole.
struct Publisher {
    client: Client,
    namespaces: Store<Namespace>,
    maps: Store<ConfigMap>,
    ca: String,
}

impl Act for Publisher {
    fn act<'a>(&'a self, key: &'a Key) -> Acting<'a> {
        Box::pin(self.work(&key.name))
    }
}

impl Publisher {
    async fn work(&self, namespace: &str) -> Result<Outcome, ActError> {
        let known = self.namespaces.get("", namespace);
        if !known.is_some_and(|namespace| namespace.is_active()) {
            return Ok(Outcome::Settled);
        }
        let map = self.maps.get(namespace, NAME);
        let Some(wanted) = wanted(namespace, map.as_deref(), &self.ca) else {
            return Ok(Outcome::Settled);
        };
        let written = match map {
            None => {
                let maps = ConfigMap::RESOURCE.within(namespace);
                self.client.create::<_, Value>(&maps, &wanted).await
            }
            Some(_) => {
                let map = ConfigMap::RESOURCE.named(namespace, NAME);
                self.client.update::<_, Value>(&map, &wanted).await
            }
        };
        match written {
            // Somebody else was faster: their change wakes the key.
            Err(error) if error.is_already_exists() || error.is_not_found() => Ok(Outcome::Settled),
            Err(error) if error.is_conflict() => Ok(Outcome::Later),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(Outcome::Settled),
        }
    }
}

/// What the map should be, unless it is that already.
fn wanted(namespace: &str, map: Option<&ConfigMap>, ca: &str) -> Option<Value> {
    let data = Labels::from([(FIELD.to_owned(), ca.to_owned())]);
    let right =
        |map: &ConfigMap| map.data == data && map.metadata.annotations.contains_key(DESCRIPTION);
    if map.is_some_and(right) {
        return None;
    }
    let meta = map.map(|map| &map.metadata);
    let mut annotations = meta
        .map(|meta| meta.annotations.clone())
        .unwrap_or_default();
    annotations.insert(DESCRIPTION.to_owned(), PURPOSE.to_owned());
    Some(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": NAME, "namespace": namespace, "annotations": annotations,
            "labels": meta.map(|meta| &meta.labels),
            "resourceVersion": meta.map(|meta| &meta.resource_version),
        },
        "data": data,
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::wanted;
    use crate::given;
    use crate::kinds::ConfigMap;

    #[test]
    fn the_map_is_made_and_repaired() {
        let data = |map: Option<Value>| {
            let map: Option<ConfigMap> = map.map(given::read);
            let wanted = wanted("a", map.as_ref(), "PEM")?;
            Some((
                wanted["data"].clone(),
                wanted["metadata"]["resourceVersion"].clone(),
            ))
        };
        let map = |data: Value| {
            Some(
                json!({"metadata": {"name": "kube-root-ca.crt", "namespace": "a",
                "resourceVersion": "7", "annotations": {"kubernetes.io/description": "x"}},
                "data": data}),
            )
        };
        let right = json!({"ca.crt": "PEM"});
        assert_eq!(data(None), Some((right.clone(), Value::Null)));
        assert_eq!(data(map(right.clone())), None);
        let spoilt = map(json!({"ca.crt": "OLD", "more": "x"}));
        assert_eq!(data(spoilt), Some((right, json!("7"))));
    }
}
