//! Finds out which kinds a server has. [`choose`] decides (pure) which version of each is used;
//! the rest asks.

use std::collections::BTreeSet;

use hyper::Method;
use keelson_client::{Client, Error, Resource};
use serde::Deserialize;

/// A kind that a server has, and what can be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// How paths name it.
    pub resource: Resource,
    /// The verbs.
    pub verbs: BTreeSet<String>,
}

impl Served {
    /// Whether all these verbs are understood.
    #[must_use]
    pub fn can(&self, verbs: &[&str]) -> bool {
        verbs.iter().all(|verb| self.verbs.contains(*verb))
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// One version of each kind.
    pub kinds: Vec<Served>,
    /// Groups and versions that could not be read, and why.
    pub failures: Vec<(String, String)>,
}

/// Why nothing was found.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// The server can't be asked.
    #[error(transparent)]
    Ask(#[from] Error),
    /// An answer is not what it should be.
    #[error("{url}: cannot read what kinds there are: {source}")]
    Decode {
        /// What was asked.
        url: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// `APIGroupList`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Groups {
    groups: Vec<Group>,
}

/// An API group and its versions.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Group {
    name: String,
    versions: Vec<Version>,
    preferred_version: Version,
}

/// A version of a group.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Version {
    version: String,
}

/// `APIResourceList`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Kinds {
    resources: Vec<Described>,
}

/// One of its kinds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Described {
    name: String,
    kind: String,
    namespaced: bool,
    verbs: BTreeSet<String>,
}

/// Asks for all kinds.
///
/// # Errors
/// The list of groups can't be read. What fails within one group is noted in the answer.
pub async fn discover(client: &Client) -> Result<Found, DiscoveryError> {
    let groups: Groups = read(client, "/apis").await?;
    let core = Version {
        version: "v1".to_owned(),
    };
    let core = Group {
        name: String::new(),
        versions: vec![core.clone()],
        preferred_version: core,
    };
    let mut found = Found::default();
    for group in std::iter::once(core).chain(groups.groups) {
        let mut versions = Vec::new();
        for version in ordered(&group) {
            let url = match group.name.as_str() {
                "" => format!("/api/{version}"),
                name => format!("/apis/{name}/{version}"),
            };
            match read::<Kinds>(client, &url).await {
                Ok(kinds) => versions.push((version, kinds)),
                Err(error) => found
                    .failures
                    .push((format!("{}/{version}", group.name), error.to_string())),
            }
        }
        found.kinds.extend(choose(&group.name, versions));
    }
    Ok(found)
}

async fn read<T: for<'de> Deserialize<'de>>(
    client: &Client,
    url: &str,
) -> Result<T, DiscoveryError> {
    let bytes = client.raw(Method::GET, url).await?;
    serde_json::from_slice(&bytes).map_err(|source| DiscoveryError::Decode {
        url: url.to_owned(),
        source,
    })
}

/// The versions of a group, the preferred one first.
fn ordered(group: &Group) -> Vec<String> {
    let preferred = &group.preferred_version.version;
    let mut versions: Vec<_> = group.versions.iter().map(|v| v.version.clone()).collect();
    versions.sort_by_key(|version| version != preferred);
    versions
}

/// Of each kind the first version that has it. Subresources are no kinds.
#[must_use]
pub fn choose(group: &str, versions: Vec<(String, Kinds)>) -> Vec<Served> {
    let mut chosen: Vec<Served> = Vec::new();
    for (version, kinds) in versions {
        for described in kinds.resources {
            let known = chosen
                .iter()
                .any(|known| known.resource.plural == described.name);
            if known || described.name.contains('/') {
                continue;
            }
            chosen.push(Served {
                resource: Resource {
                    group: group.to_owned().into(),
                    version: version.clone().into(),
                    plural: described.name.into(),
                    kind: described.kind.into(),
                    namespaced: described.namespaced,
                },
                verbs: described.verbs,
            });
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Group, Kinds, choose, ordered};

    #[test]
    fn the_preferred_version_of_each_kind_is_used() {
        let group: Group = serde_json::from_value(json!({
            "name": "g", "preferredVersion": {"version": "v1"},
            "versions": [{"version": "v2beta1"}, {"version": "v1"}],
        }))
        .unwrap();
        assert_eq!(ordered(&group), ["v1", "v2beta1"]);
        let kinds = |names: &[&str]| -> Kinds {
            let resources: Vec<_> = names
                .iter()
                .map(
                    |name| json!({"name": name, "kind": "K", "namespaced": true, "verbs": ["get"]}),
                )
                .collect();
            serde_json::from_value(json!({ "resources": resources })).unwrap()
        };
        let versions = vec![
            ("v1".to_owned(), kinds(&["a", "a/status"])),
            ("v2beta1".to_owned(), kinds(&["a", "b"])),
        ];
        let chosen = choose("g", versions);
        let seen: Vec<_> = chosen
            .iter()
            .map(|served| format!("{}/{}", served.resource.version, served.resource.plural))
            .collect();
        assert_eq!(seen, ["v1/a", "v2beta1/b"]);
        assert!(chosen[0].can(&["get"]) && !chosen[0].can(&["get", "list"]));
    }
}
