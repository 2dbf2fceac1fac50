//! The documents that tell clients what is served: the classic lists, and the aggregated one.
//!
//! Custom resources and APIs of other servers join as more rows and groups.

use serde_json::{Value, json};

use crate::resource_table::{Group, Resource, Subresource, Verbs, row_api_version};

/// The media type of an aggregated document.
pub const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// `GET /api`: the versions of the core group.
#[must_use]
pub fn core_versions(server_address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [
            {"clientCIDR": "0.0.0.0/0", "serverAddress": server_address},
        ],
    })
}

/// `GET /apis`: all groups but the core one.
#[must_use]
pub fn group_list(groups: &[Group]) -> Value {
    let named = groups.iter().filter(|g| !g.name.is_empty());
    json!({
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": named.map(group_entry).collect::<Vec<_>>(),
    })
}

/// `GET /apis/GROUP`.
#[must_use]
pub fn group(group: &Group) -> Value {
    let mut entry = group_entry(group);
    entry["kind"] = json!("APIGroup");
    entry["apiVersion"] = json!("v1");
    entry
}

fn group_entry(group: &Group) -> Value {
    let version = |version: &crate::resource_table::Name| json!({"groupVersion": row_api_version(&group.name, version), "version": version});
    let versions: Vec<_> = group.versions.iter().map(version).collect();
    json!({
        "name": group.name,
        "preferredVersion": versions.first(),
        "versions": versions,
    })
}

/// `GET /api/v1` and `GET /apis/GROUP/VERSION`: the resources of one version.
#[must_use]
pub fn resource_list<'a>(
    group: &str,
    version: &str,
    rows: impl IntoIterator<Item = &'a Resource>,
) -> Value {
    let mut rows: Vec<_> = rows
        .into_iter()
        .filter(|r| r.group == group && r.version == version)
        .collect();
    rows.sort_by(|a, b| a.plural.cmp(&b.plural));
    let resources: Vec<_> = rows.into_iter().flat_map(classic).collect();
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": row_api_version(group, version),
        "resources": resources,
    })
}

fn classic(row: &Resource) -> Vec<Value> {
    let mut entry = json!({
        "name": row.plural,
        "singularName": row.singular,
        "namespaced": row.is_namespaced(),
        "kind": row.kind,
        "verbs": verbs(row.verbs),
    });
    if !row.short_names.is_empty() {
        entry["shortNames"] = json!(row.short_names);
    }
    if !row.categories.is_empty() {
        entry["categories"] = json!(row.categories);
    }
    if row.verbs.has(crate::resource_table::Verb::Watch) {
        entry["storageVersionHash"] = json!(storage_hash(row));
    }
    let mut entries = vec![entry];
    entries.extend(
        sorted_parts(row)
            .into_iter()
            .map(|part| classic_part(row, part)),
    );
    entries
}

fn sorted_parts(row: &Resource) -> Vec<&Subresource> {
    let mut parts: Vec<_> = row.subresources.iter().collect();
    parts.sort_by(|a, b| a.name.cmp(&b.name));
    parts
}

fn classic_part(row: &Resource, part: &Subresource) -> Value {
    let mut entry = json!({
        "name": format!("{}/{}", row.plural, part.name),
        "singularName": "",
        "namespaced": row.is_namespaced(),
        "kind": part.kind,
        "verbs": verbs(part.verbs),
    });
    if part.group != row.group || part.version != row.version {
        entry["group"] = json!(part.group);
        entry["version"] = json!(part.version);
    }
    entry
}

fn verbs(verbs: Verbs) -> Vec<&'static str> {
    verbs
        .iter()
        .map(crate::resource_table::Verb::as_str)
        .collect()
}

/// A name of the stored form that changes when the form does; opaque to clients.
fn storage_hash(row: &Resource) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (group, version) = row.storage_version();
    let text = format!("{group}/{version}/{}", row.kind);
    // FNV-1a: eight bytes that differ where the text does.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    });
    let letter = |at: u32| {
        let bits = if at == 10 {
            (hash << 2) & 63
        } else {
            (hash >> (58 - 6 * at)) & 63
        };
        char::from(ALPHABET[usize::try_from(bits).unwrap_or(0)])
    };
    (0..11).map(letter).chain(['=']).collect()
}

/// The aggregated document of `/api` or of `/apis`: one for the core group, one for the rest.
#[must_use]
pub fn aggregated<'a>(groups: &[Group], rows: impl IntoIterator<Item = &'a Resource>) -> Value {
    let rows: Vec<_> = rows.into_iter().collect();
    let items: Vec<_> = groups
        .iter()
        .map(|group| aggregated_group(group, &rows))
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    })
}

fn aggregated_group(group: &Group, rows: &[&Resource]) -> Value {
    let version = |version: &crate::resource_table::Name| {
        let mut rows: Vec<_> = rows
            .iter()
            .filter(|r| r.group == group.name && r.version == *version)
            .collect();
        rows.sort_by(|a, b| a.plural.cmp(&b.plural));
        let resources: Vec<_> = rows
            .into_iter()
            .map(|row| aggregated_resource(row))
            .collect();
        json!({"version": version, "resources": resources, "freshness": "Current"})
    };
    let versions: Vec<_> = group.versions.iter().map(version).collect();
    let metadata = if group.name.is_empty() {
        json!({})
    } else {
        json!({"name": group.name})
    };
    json!({"metadata": metadata, "versions": versions})
}

fn aggregated_resource(row: &Resource) -> Value {
    let mut entry = json!({
        "resource": row.plural,
        "responseKind": {"group": row.group, "version": row.version, "kind": row.kind},
        "scope": if row.is_namespaced() { "Namespaced" } else { "Cluster" },
        "singularResource": row.singular,
        "verbs": verbs(row.verbs),
    });
    if !row.short_names.is_empty() {
        entry["shortNames"] = json!(row.short_names);
    }
    if !row.categories.is_empty() {
        entry["categories"] = json!(row.categories);
    }
    let parts: Vec<_> = sorted_parts(row)
        .into_iter()
        .map(|part| {
            json!({
                "subresource": part.name,
                "responseKind": {"group": part.group, "version": part.version, "kind": part.kind},
                "verbs": verbs(part.verbs),
            })
        })
        .collect();
    if !parts.is_empty() {
        entry["subresources"] = json!(parts);
    }
    entry
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{aggregated, group, group_list, resource_list};
    use crate::resource_table::{builtin, groups};

    #[test]
    fn a_version_lists_its_resources_and_their_parts() {
        let list = resource_list("apps", "v1", builtin());
        assert_eq!(list["groupVersion"], "apps/v1");
        let resources = list["resources"].as_array().unwrap();
        let names: Vec<_> = resources
            .iter()
            .map(|r| r["name"].as_str().unwrap())
            .collect();
        assert_eq!(
            names[..3],
            ["controllerrevisions", "daemonsets", "daemonsets/status"]
        );
        let deployment = resources
            .iter()
            .find(|r| r["name"] == "deployments")
            .unwrap();
        assert_eq!(deployment["shortNames"], json!(["deploy"]));
        assert_eq!(deployment["categories"], json!(["all"]));
        assert_eq!(
            deployment["verbs"],
            json!([
                "create",
                "delete",
                "deletecollection",
                "get",
                "list",
                "patch",
                "update",
                "watch"
            ])
        );
        assert_eq!(deployment["storageVersionHash"].as_str().unwrap().len(), 12);
        let scale = resources
            .iter()
            .find(|r| r["name"] == "deployments/scale")
            .unwrap();
        assert_eq!(
            (&scale["group"], &scale["kind"]),
            (&json!("autoscaling"), &json!("Scale"))
        );
    }

    #[test]
    fn groups_name_their_preferred_version() {
        let groups = groups();
        let autoscaling = groups.iter().find(|g| g.name == "autoscaling").unwrap();
        let document = group(autoscaling);
        assert_eq!(
            document["preferredVersion"]["groupVersion"],
            "autoscaling/v2"
        );
        assert_eq!(document["versions"].as_array().unwrap().len(), 2);
        let list = group_list(&groups);
        assert_eq!(list["groups"][0]["name"], "apiregistration.k8s.io");
        assert_eq!(list["groups"].as_array().unwrap().len(), groups.len() - 1);
    }

    #[test]
    fn the_aggregated_document_has_it_all() {
        let groups = groups();
        let core = aggregated(&groups[..1], builtin());
        assert_eq!(core["items"][0]["metadata"], json!({}));
        let resources = core["items"][0]["versions"][0]["resources"]
            .as_array()
            .unwrap();
        let pods = resources.iter().find(|r| r["resource"] == "pods").unwrap();
        assert_eq!(pods["scope"], "Namespaced");
        assert_eq!(
            pods["responseKind"],
            json!({"group": "", "version": "v1", "kind": "Pod"})
        );
        let parts = pods["subresources"].as_array().unwrap();
        assert!(
            parts
                .iter()
                .any(|p| p["subresource"] == "eviction" && p["responseKind"]["group"] == "policy")
        );
        let rest = aggregated(&groups[1..], builtin());
        assert_eq!(rest["items"].as_array().unwrap().len(), groups.len() - 1);
    }
}
