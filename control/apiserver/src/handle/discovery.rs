//! What this server has: the documents that clients read before anything else.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{self, HeaderMap};
use keelson_schema::discovery;
use keelson_schema::resource_table::{self, Group};

use crate::api::Api;
use crate::failure::{Failure, Outcome};
use crate::kinds::Kind;
use crate::respond::{Reply, header_text};

/// Answers `/api`, `/apis` and what is below them.
pub(crate) fn answer(api: &Api, path: &str, headers: &HeaderMap) -> Outcome<Reply> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let kinds = api.registry.kinds.all();
    let groups = groups(api);
    let found = match *parts.as_slice() {
        ["api"] if wants_all(headers) => return Ok(aggregated(&groups, &kinds, true)),
        ["apis"] if wants_all(headers) => return Ok(aggregated(&groups, &kinds, false)),
        ["api"] => Some(discovery::core_versions(&api.address)),
        ["apis"] => Some(discovery::group_list(&groups)),
        ["api", "v1"] => Some(list("", "v1", &kinds)),
        ["apis", name] => {
            let found = groups
                .iter()
                .find(|group| group.name == name && !name.is_empty());
            found.map(discovery::group)
        }
        ["apis", name, version] => {
            let has =
                |group: &Group| group.name == name && group.versions.iter().any(|v| v == version);
            groups.iter().any(has).then(|| list(name, version, &kinds))
        }
        _ => None,
    };
    let found = found.ok_or_else(Failure::unknown_path)?;
    Ok(Reply::value(StatusCode::OK, &found))
}

fn wants_all(headers: &HeaderMap) -> bool {
    let accept = header_text(headers, header::ACCEPT);
    accept.split(',').any(|clause| {
        clause.contains("as=APIGroupDiscoveryList")
            && clause.contains("v=v2")
            && !clause.contains("v2beta1")
    })
}

/// The groups, those of custom resources after the built-in ones.
pub(crate) fn groups(api: &Api) -> Vec<Group> {
    let mut groups = resource_table::groups();
    for kind in api.registry.kinds.custom() {
        let version = kind.version.clone();
        match groups.iter_mut().find(|group| group.name == kind.group) {
            Some(group) if group.versions.contains(&version) => {}
            Some(group) => group.versions.push(version),
            None => groups.push(Group {
                name: kind.group.clone(),
                versions: vec![version],
            }),
        }
    }
    groups
}

fn list(group: &str, version: &str, kinds: &[Arc<Kind>]) -> serde_json::Value {
    discovery::resource_list(group, version, kinds.iter().map(|kind| &***kind))
}

fn aggregated(groups: &[Group], kinds: &[Arc<Kind>], core: bool) -> Reply {
    let groups: Vec<Group> = groups
        .iter()
        .filter(|group| group.name.is_empty() == core)
        .cloned()
        .collect();
    let document = discovery::aggregated(&groups, kinds.iter().map(|kind| &***kind));
    Reply::value(StatusCode::OK, &document).typed(discovery::AGGREGATED)
}
