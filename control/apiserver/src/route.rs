//! What a request asks for: method, path and query become a verb on a resource, or a plain path.
//! Pure. Knows upstream's URL grammar and no kind: whether a resource exists is found out later.

use std::fmt;

mod percent;
pub(crate) mod query;

pub(crate) use percent::{decode as percent_decode, encode as percent_encode};
pub(crate) use query::Query;

/// What is done to a resource, in the words of RBAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

impl Verb {
    /// The verb as rules and metrics write it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    /// Whether nothing is changed by it.
    pub(crate) fn is_read(self) -> bool {
        matches!(self, Self::Get | Self::List | Self::Watch)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// A request about a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResourceRequest {
    pub(crate) verb: Verb,
    /// Empty for the core group.
    pub(crate) group: String,
    pub(crate) version: String,
    /// Empty for requests across namespaces and of cluster-scoped resources.
    pub(crate) namespace: String,
    /// The plural, in lower case.
    pub(crate) resource: String,
    pub(crate) subresource: String,
    /// Empty for collections.
    pub(crate) name: String,
    /// What follows the subresource: the path that is proxied.
    pub(crate) rest: Option<String>,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RequestInfo {
    Resource(ResourceRequest),
    /// Anything else: the verb is the method in lower case.
    Path {
        verb: String,
        path: String,
    },
}

impl RequestInfo {
    /// The verb as an authorizer sees it.
    pub(crate) fn verb(&self) -> &str {
        match self {
            Self::Resource(request) => request.verb.as_str(),
            Self::Path { verb, .. } => verb,
        }
    }
}

/// Understands a request. `path` is still percent-encoded.
pub(crate) fn resolve(method: &str, path: &str, query: &Query) -> RequestInfo {
    resource_request(method, path, query).map_or_else(
        || RequestInfo::Path {
            verb: method.to_ascii_lowercase(),
            path: percent::decode(path),
        },
        RequestInfo::Resource,
    )
}

fn resource_request(method: &str, path: &str, query: &Query) -> Option<ResourceRequest> {
    let trimmed = path.trim_matches('/');
    let mut parts: Vec<&str> = trimmed.split('/').collect();
    let (group, version) = match *parts.first()? {
        "api" if parts.len() >= 3 => (String::new(), parts[1].to_owned()),
        "apis" if parts.len() >= 4 => (percent::decode(parts[1]), parts[2].to_owned()),
        _ => return None,
    };
    parts.drain(..if group.is_empty() { 2 } else { 3 });
    let forced_watch = parts.first() == Some(&"watch") && parts.len() > 1;
    if forced_watch {
        parts.remove(0);
    }
    let place = place(&parts);
    let named = place.name.is_some_and(|name| !name.is_empty());
    let verb = verb(method, named, forced_watch || query.flag("watch"))?;
    let from_field = || match verb {
        Verb::List | Verb::Watch | Verb::DeleteCollection => query.field_name(),
        _ => None,
    };
    let name = place.name.map(percent::decode).or_else(from_field);
    Some(ResourceRequest {
        verb,
        group,
        version,
        namespace: place.namespace.map(percent::decode).unwrap_or_default(),
        resource: percent::decode(place.resource),
        subresource: place.subresource.map(percent::decode).unwrap_or_default(),
        name: name.unwrap_or_default(),
        rest: rest(path, &place),
    })
}

/// The parts of a path after group and version.
struct Place<'a> {
    namespace: Option<&'a str>,
    resource: &'a str,
    name: Option<&'a str>,
    subresource: Option<&'a str>,
    rest: Vec<&'a str>,
}

/// Subresources that namespaces themselves have; any other word after a namespace's name is a
/// resource in it.
const OF_NAMESPACES: [&str; 2] = ["status", "finalize"];

fn place<'a>(parts: &[&'a str]) -> Place<'a> {
    let inside = parts.first() == Some(&"namespaces")
        && parts.len() > 2
        && !OF_NAMESPACES.contains(&parts[2]);
    let own = parts.first() == Some(&"namespaces") && !inside;
    let namespace = (inside || own).then(|| parts.get(1).copied()).flatten();
    let tail = if inside { &parts[2..] } else { parts };
    Place {
        namespace,
        resource: tail.first().copied().unwrap_or_default(),
        name: tail.get(1).copied(),
        subresource: tail.get(2).copied(),
        rest: tail.iter().skip(3).copied().collect(),
    }
}

/// The proxied path, with its own slash at the end if it has one.
fn rest(path: &str, place: &Place<'_>) -> Option<String> {
    if place.subresource != Some("proxy") {
        return (!place.rest.is_empty()).then(|| place.rest.join("/"));
    }
    let slash = if path.ends_with('/') { "/" } else { "" };
    let inner = place.rest.join("/");
    Some(if inner.is_empty() {
        slash.to_owned()
    } else {
        format!("/{inner}{slash}")
    })
}

fn verb(method: &str, named: bool, watch: bool) -> Option<Verb> {
    Some(match method {
        "POST" => Verb::Create,
        "PUT" => Verb::Update,
        "PATCH" => Verb::Patch,
        "GET" | "HEAD" if watch && !named => Verb::Watch,
        "GET" | "HEAD" if named => Verb::Get,
        "GET" | "HEAD" => Verb::List,
        "DELETE" if named => Verb::Delete,
        "DELETE" => Verb::DeleteCollection,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
