//! The Node authorizer: a kubelet reads what its pods need, and nothing else. Pure.
//!
//! The graph holds who needs what and is kept up to date object by object. Whatever else a kubelet
//! does comes from the rules of the role `system:node`.

use crate::auth::User;
use crate::auth::authorize::{Attributes, Decision, What};
use crate::auth::rbac::Rule;

pub(crate) mod graph;

pub(crate) use graph::{Graph, Kind};

const LEASES: &str = "kube-node-lease";

/// A field that a list or watch is narrowed down to: its path and its value.
pub(crate) type Selected<'a> = Option<(&'a str, &'a str)>;

/// What a field selector narrows nodes' lists down to: one node, by its own name or as the place
/// of other objects.
pub(crate) fn selected(selector: &str) -> Selected<'_> {
    selector.split(',').find_map(|term| {
        let (field, value) = term.split_once('=')?;
        let value = value.strip_prefix('=').unwrap_or(value);
        ["spec.nodeName", "metadata.name"]
            .contains(&field)
            .then_some((field, value))
    })
}

/// Decides for nodes, by what they need and by the rules all nodes have.
pub(crate) struct NodeAuthorizer {
    pub(crate) graph: Graph,
    rules: Vec<Rule>,
}

struct Ask<'a> {
    node: &'a str,
    verb: &'a str,
    subresource: &'a str,
    namespace: &'a str,
    name: &'a str,
    selected: Selected<'a>,
}

impl Ask<'_> {
    fn is_one_of(&self, verbs: &[&str]) -> bool {
        verbs.contains(&self.verb)
    }

    /// Whether only what has the node in this field is wanted.
    fn is_narrowed_to(&self, field: &str) -> bool {
        self.selected == Some((field, self.node))
    }
}

type Answer = Result<(), String>;

fn no(why: impl Into<String>) -> Answer {
    Err(why.into())
}

fn only_if(allowed: bool, why: &str) -> Answer {
    if allowed { Ok(()) } else { no(why) }
}

impl NodeAuthorizer {
    /// An empty graph, and the rules of the role `system:node`.
    pub(crate) fn new(rules: Vec<Rule>) -> Self {
        Self {
            graph: Graph::default(),
            rules,
        }
    }

    /// Decides. Who is no node gets no opinion.
    pub(crate) fn authorize(&self, wanted: &Attributes<'_>, selected: Selected<'_>) -> Decision {
        let Some(node) = node_of(wanted.user) else {
            return Decision::NoOpinion(String::new());
        };
        if node.is_empty() {
            return Decision::NoOpinion(format!("unknown node for user {:?}", wanted.user.name));
        }
        let answer = match wanted.what {
            What::Resource {
                group,
                resource,
                subresource,
                namespace,
                name,
            } => {
                let ask = Ask {
                    node,
                    verb: wanted.verb,
                    subresource,
                    namespace,
                    name,
                    selected,
                };
                self.about(group, resource, &ask)
            }
            What::Path(_) => None,
        };
        match answer {
            Some(Ok(())) => Decision::Allow(String::new()),
            Some(Err(why)) => Decision::NoOpinion(why),
            None if self.rules.iter().any(|rule| rule.allows(wanted)) => {
                Decision::Allow(String::new())
            }
            None => Decision::NoOpinion(String::new()),
        }
    }

    /// The answer for the kinds that nodes may have parts of only.
    fn about(&self, group: &str, resource: &str, ask: &Ask<'_>) -> Option<Answer> {
        Some(match (group, resource) {
            ("", "secrets") => self.read(Kind::Secret, ask),
            ("", "configmaps") => self.read(Kind::ConfigMap, ask),
            ("", "persistentvolumeclaims") if ask.subresource == "status" => {
                self.status(Kind::Claim, ask)
            }
            ("", "persistentvolumeclaims") => self.get(Kind::Claim, ask),
            ("", "persistentvolumes") => self.get(Kind::Volume, ask),
            ("resource.k8s.io", "resourceclaims") => self.get(Kind::ResourceClaim, ask),
            ("storage.k8s.io", "volumeattachments") => self.get(Kind::Attachment, ask),
            ("", "serviceaccounts") if ask.subresource == "token" => self.token(ask),
            ("", "serviceaccounts") => self.read(Kind::ServiceAccount, ask),
            ("coordination.k8s.io", "leases") => lease(ask),
            ("storage.k8s.io", "csinodes") => own(ask, "CSINode"),
            ("resource.k8s.io", "resourceslices") => self.slice(ask),
            ("", "nodes") => own_node(ask),
            ("", "pods") => self.pod(ask),
            _ => return None,
        })
    }

    fn needs(&self, kind: Kind, ask: &Ask<'_>) -> Answer {
        if ask.name.is_empty() {
            return no("No Object name found");
        }
        if self.graph.needs(ask.node, kind, ask.namespace, ask.name) {
            return Ok(());
        }
        no(format!(
            "no relationship found between node '{}' and this object",
            ask.node
        ))
    }

    fn get(&self, kind: Kind, ask: &Ask<'_>) -> Answer {
        only_if(
            ask.verb == "get",
            "can only get individual resources of this type",
        )?;
        only_if(ask.subresource.is_empty(), "cannot get subresource")?;
        self.needs(kind, ask)
    }

    fn read(&self, kind: Kind, ask: &Ask<'_>) -> Answer {
        only_if(
            ask.is_one_of(&["get", "list", "watch"]),
            "can only read resources of this type",
        )?;
        only_if(ask.subresource.is_empty(), "cannot read subresource")?;
        only_if(
            !ask.namespace.is_empty(),
            "can only read namespaced object of this type",
        )?;
        self.needs(kind, ask)
    }

    fn status(&self, kind: Kind, ask: &Ask<'_>) -> Answer {
        only_if(
            ask.is_one_of(&["get", "update", "patch"]),
            "can only get/update/patch this type",
        )?;
        self.needs(kind, ask)
    }

    fn token(&self, ask: &Ask<'_>) -> Answer {
        only_if(
            ask.verb == "create",
            "can only create tokens for individual service accounts",
        )?;
        self.needs(Kind::ServiceAccount, ask)
    }

    fn slice(&self, ask: &Ask<'_>) -> Answer {
        only_if(
            ask.subresource.is_empty(),
            "cannot authorize ResourceSlice subresources",
        )?;
        match ask.verb {
            // Admission sees to it that it is the node's own.
            "create" => Ok(()),
            "get" | "update" | "patch" | "delete" => self.needs(Kind::ResourceSlice, ask),
            "list" | "watch" | "deletecollection" => only_if(
                ask.is_narrowed_to("spec.nodeName"),
                "can only list/watch/deletecollection resourceslices with spec.nodeName field selector",
            ),
            _ => no(
                "can only use list/watch/deletecollection/get/create/update/patch/delete on ResourceSlices",
            ),
        }
    }

    fn pod(&self, ask: &Ask<'_>) -> Answer {
        match (ask.subresource, ask.verb) {
            ("", "get") => self.needs(Kind::Pod, ask),
            ("", "list" | "watch") if ask.name.is_empty() => only_if(
                ask.is_narrowed_to("spec.nodeName"),
                "can only list/watch pods with spec.nodeName field selector",
            ),
            ("", "list" | "watch") => self.needs(Kind::Pod, ask),
            // Admission lets mirror pods through, and those bound to the node.
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => {
                Ok(())
            }
            _ => no(format!(
                "nodes cannot {} pods/{}",
                ask.verb, ask.subresource
            )),
        }
    }
}

fn node_of(user: &User) -> Option<&str> {
    let name = user.name.strip_prefix(crate::auth::NODE_PREFIX)?;
    user.is_in(crate::auth::NODES).then_some(name)
}

fn lease(ask: &Ask<'_>) -> Answer {
    only_if(
        ask.is_one_of(&["get", "create", "update", "patch", "delete"]),
        "can only get, create, update, patch, or delete a node lease",
    )?;
    only_if(
        ask.namespace == LEASES,
        "can only access leases in the \"kube-node-lease\" system namespace",
    )?;
    own_name(ask, "node lease")
}

fn own(ask: &Ask<'_>, what: &str) -> Answer {
    only_if(
        ask.subresource.is_empty(),
        "cannot authorize CSINode subresources",
    )?;
    only_if(
        ask.is_one_of(&["get", "create", "update", "patch", "delete"]),
        "can only get, create, update, patch, or delete a CSINode",
    )?;
    own_name(ask, what)
}

/// The name of the node itself; creations, whose names are not known yet, are for admission.
fn own_name(ask: &Ask<'_>, what: &str) -> Answer {
    if ask.verb == "create" || ask.name == ask.node {
        return Ok(());
    }
    no(format!(
        "can only access {what} with the same name as the requesting node"
    ))
}

fn own_node(ask: &Ask<'_>) -> Answer {
    let node = ask.node;
    match (ask.subresource, ask.verb) {
        ("", "create") => Ok(()),
        ("", "get" | "list" | "watch") if ask.name == node => Ok(()),
        ("", "get" | "list" | "watch") if ask.is_narrowed_to("metadata.name") => Ok(()),
        ("", "get" | "list" | "watch") => no(format!(
            "node '{node}' cannot read '{}', only its own Node object",
            ask.name
        )),
        // Admission keeps these to the node itself.
        ("" | "status", "update" | "patch") => Ok(()),
        _ => no(format!(
            "nodes cannot {} nodes/{}",
            ask.verb, ask.subresource
        )),
    }
}

#[cfg(test)]
mod tests;
