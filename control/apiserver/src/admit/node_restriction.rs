//! `NodeRestriction`: a kubelet writes its own node, its own pods and what belongs to them. Pure.

use serde_json::Value;

use super::{Operation, Request, View, fields};
use crate::der::COMMON_NAME;
use crate::failure::{Failure, Outcome};

mod labels;
mod pods;
mod tokens;

const LEASES: &str = "kube-node-lease";

/// A node's request, as the parts of this plugin see it.
#[derive(Clone, Copy)]
struct Ask<'a> {
    node: &'a str,
    request: &'a Request<'a>,
    object: &'a Value,
    view: &'a dyn View,
}

impl Ask<'_> {
    fn no(&self, why: &str) -> Failure {
        self.request.forbid(self.object, why)
    }

    /// Refuses unless the condition holds.
    fn need(&self, condition: bool, why: impl FnOnce() -> String) -> Outcome<()> {
        if condition {
            Ok(())
        } else {
            Err(self.no(&why()))
        }
    }

    fn operation(&self) -> Operation {
        self.request.operation
    }

    fn unexpected(&self) -> Failure {
        self.no(&format!(
            "unexpected operation {:?}",
            self.operation().as_str()
        ))
    }
}

/// Decides. Who is no node passes.
pub(crate) fn decide(request: &Request<'_>, object: &Value, view: &dyn View) -> Outcome<()> {
    let Some(node) = request.user.node() else {
        return Ok(());
    };
    let ask = Ask {
        node,
        request,
        object,
        view,
    };
    match (request.group, request.resource, request.subresource) {
        ("", "pods", _) => pods::decide(&ask),
        ("", "nodes", _) => decide_node(&ask),
        ("", "persistentvolumeclaims", _) => claim(&ask),
        ("", "serviceaccounts", "token") => tokens::decide(&ask),
        ("coordination.k8s.io", "leases", _) => lease(&ask),
        ("storage.k8s.io", "csinodes", _) => csi_node(&ask),
        ("resource.k8s.io", "resourceslices", _) => slice(&ask),
        ("certificates.k8s.io", "certificatesigningrequests", "") => certificate(&ask),
        _ => Ok(()),
    }
}

fn decide_node(ask: &Ask<'_>) -> Outcome<()> {
    let (node, request) = (ask.node, ask.request);
    let named = [request.name, fields::name(ask.object)]
        .into_iter()
        .find(|name| !name.is_empty());
    let target = named.unwrap_or_default();
    ask.need(target == node, || {
        format!("node {node:?} is not allowed to modify node {target:?}")
    })?;
    let list = |labels: &[String]| labels.join(", ");
    match ask.operation() {
        Operation::Create => {
            let wrong = labels::forbidden(&Value::Null, ask.object);
            ask.need(wrong.is_empty(), || {
                format!(
                    "node {node:?} is not allowed to set the following labels: {}",
                    list(&wrong)
                )
            })
        }
        Operation::Update => {
            let same = |path| fields::list(ask.object, path) == fields::list(request.old, path);
            ask.need(same("/spec/taints"), || {
                format!("node {node:?} is not allowed to modify taints")
            })?;
            let wrong = labels::forbidden(request.old, ask.object);
            ask.need(wrong.is_empty(), || {
                format!("is not allowed to modify labels: {}", list(&wrong))
            })?;
            ask.need(same("/metadata/ownerReferences"), || {
                format!("node {node:?} is not allowed to modify ownerReferences")
            })
        }
        _ => Ok(()),
    }
}

/// Nodes change the status of claims alone.
fn claim(ask: &Ask<'_>) -> Outcome<()> {
    let (node, request) = (ask.node, ask.request);
    ask.need(request.subresource == "status", || {
        format!(
            "unexpected PVC subresource {:?}, only 'status' is allowed",
            request.subresource
        )
    })?;
    if ask.operation() != Operation::Update {
        return Err(ask.unexpected());
    }
    let rest = |claim: &Value| {
        let mut claim = claim.clone();
        fields::remove(&mut claim, &[], "status");
        for field in ["resourceVersion", "managedFields", "generation"] {
            fields::remove(&mut claim, &["metadata"], field);
        }
        claim
    };
    ask.need(rest(ask.object) == rest(request.old), || {
        format!("node {node:?} is not allowed to update fields other than status.quantity and status.conditions")
    })
}

fn lease(ask: &Ask<'_>) -> Outcome<()> {
    let request = ask.request;
    ask.need(request.namespace == LEASES, || {
        format!("can only access leases in the {LEASES:?} system namespace")
    })?;
    own_name(
        ask,
        "can only access node lease with the same name as the requesting node",
    )
}

fn csi_node(ask: &Ask<'_>) -> Outcome<()> {
    own_name(
        ask,
        "can only access CSINode with the same name as the requesting node",
    )
}

fn own_name(ask: &Ask<'_>, why: &str) -> Outcome<()> {
    let name = match ask.operation() {
        Operation::Create => fields::name(ask.object),
        _ => ask.request.name,
    };
    ask.need(name == ask.node, || why.to_owned())
}

fn slice(ask: &Ask<'_>) -> Outcome<()> {
    let (object, verb) = match ask.operation() {
        Operation::Delete => (ask.request.old, "delete"),
        Operation::Create => (ask.object, "create"),
        // Which node a slice is of cannot be changed.
        _ => return Ok(()),
    };
    ask.need(fields::text(object, "/spec/nodeName") == ask.node, || {
        format!("can only {verb} ResourceSlice with the same NodeName as the requesting node")
    })
}

/// A node asks for certificates of its own name.
fn certificate(ask: &Ask<'_>) -> Outcome<()> {
    let signer = fields::text(ask.object, "/spec/signerName");
    let of_nodes = [
        "kubernetes.io/kubelet-serving",
        "kubernetes.io/kube-apiserver-client-kubelet",
    ];
    if ask.operation() != Operation::Create || !of_nodes.contains(&signer) {
        return Ok(());
    }
    let names = super::certificates::subject_attribute(
        fields::text(ask.object, "/spec/request"),
        COMMON_NAME,
    );
    let Some(names) = names else {
        return Err(ask.no("unable to parse csr: PEM block type must be CERTIFICATE REQUEST"));
    };
    let user = &ask.request.user.name;
    ask.need(names == [user.as_str()], || {
        format!("can only create a node CSR with CN={user}")
    })
}

#[cfg(test)]
mod tests;
