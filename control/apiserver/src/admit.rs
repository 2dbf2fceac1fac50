//! Admission: the last word on a write, in upstream's order of plugins. Pure.
//!
//! A plugin decides over the request, the object as a JSON tree and a view of other objects. It
//! neither stores nor calls anybody: webhooks are matched and read here and called elsewhere, and
//! quotas come back as updates for the caller to write.

use std::collections::BTreeMap;
use std::fmt;

pub(crate) use keelson_api::fields;
use serde_json::Value;

use crate::auth::User;
use crate::auth::authorize::What;
use crate::failure::{Failure, Outcome};
use settings::Settings;

pub(crate) mod certificates;
pub(crate) mod default_class;
pub(crate) mod limit_ranger;
pub(crate) mod namespace_lifecycle;
pub(crate) mod node_restriction;
pub(crate) mod owner_references;
pub(crate) mod pod_security;
pub(crate) mod priority;
pub(crate) mod resource_quota;
pub(crate) mod runtime_class;
pub(crate) mod service_account;
pub(crate) mod settings;
pub(crate) mod storage;
pub(crate) mod taints;
pub(crate) mod topology_labels;
pub(crate) mod webhook;

/// What is done to an object, in the words of admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
    /// A stream or a proxied request: exec, attach, portforward, proxy.
    Connect,
}

impl Operation {
    /// As rules of webhooks and metrics write it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// A write that asks to be let in. The new object travels beside it, since plugins change it; it
/// is null for deletions, and the options for streams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) operation: Operation,
    /// Of the resource.
    pub(crate) group: &'a str,
    pub(crate) version: &'a str,
    /// Group, version and kind of the body, which differ for some subresources.
    pub(crate) body: (&'a str, &'a str, &'a str),
    pub(crate) resource: &'a str,
    pub(crate) subresource: &'a str,
    /// Empty for what lives in the cluster.
    pub(crate) namespace: &'a str,
    /// Empty while a name is yet to be generated.
    pub(crate) name: &'a str,
    pub(crate) user: &'a User,
    pub(crate) dry_run: bool,
    /// The object as it is: null for creations and streams.
    pub(crate) old: &'a Value,
    /// `CreateOptions`, `UpdateOptions`, ... of the request, or null.
    pub(crate) options: &'a Value,
    /// What the server was told about its plugins.
    pub(crate) settings: &'a Settings,
}

impl Request<'_> {
    /// Whether it is about this resource, and no subresource of it.
    pub(crate) fn is_for(&self, group: &str, resource: &str) -> bool {
        self.group == group && self.resource == resource && self.subresource.is_empty()
    }

    /// Whether it is about this subresource of this resource.
    pub(crate) fn is_for_part(&self, group: &str, resource: &str, subresource: &str) -> bool {
        self.group == group && self.resource == resource && self.subresource == subresource
    }

    /// A refusal in upstream's form.
    pub(crate) fn forbid(&self, object: &Value, why: &str) -> Failure {
        Failure::forbidden(self.group, self.resource, self.name_in(object), why)
    }

    /// The name to put into a refusal.
    fn name_in<'a>(&'a self, object: &'a Value) -> &'a str {
        let generated = fields::text(object, "/metadata/generateName");
        let candidates = [self.name, fields::name(object), generated, "Unknown"];
        candidates
            .into_iter()
            .find(|name| !name.is_empty())
            .unwrap_or_default()
    }
}

/// The other objects, as caches know them.
pub(crate) trait View: Sync {
    /// One object. The namespace is empty for what lives in the cluster.
    fn find(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Value>;

    /// Whether a namespace is on its way out; nothing if there is no such namespace.
    fn namespace_ends(&self, name: &str) -> Option<bool> {
        let namespace = self.find("", "namespaces", "", name)?;
        Some(namespace_lifecycle::ends(&namespace))
    }

    /// All objects in a namespace; an empty one stands for all namespaces.
    fn list(&self, group: &str, resource: &str, namespace: &str) -> Vec<Value>;

    /// Whether somebody may do something.
    fn allows(&self, user: &User, verb: &str, what: What<'_>) -> bool;

    /// Group, plural and whether it is in namespaces, for an `apiVersion` and a kind.
    fn plural(&self, api_version: &str, kind: &str) -> Option<(String, String, bool)>;
}

/// What is said beside yes or no.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    /// For the caller: `Warning` headers.
    pub(crate) warnings: Vec<String>,
    /// For the audit log.
    pub(crate) audit: BTreeMap<String, String>,
}

type Mutate = fn(&Request<'_>, &mut Value, &dyn View) -> Outcome<()>;
type Validate = fn(&Request<'_>, &Value, &dyn View, &mut Notes) -> Outcome<()>;

/// One plugin.
pub(crate) struct Plugin {
    /// As `--enable-admission-plugins` and metrics name it.
    pub(crate) name: &'static str,
    /// Whether it is on unless it is named.
    pub(crate) default: bool,
    operations: &'static [Operation],
    mutate: Option<Mutate>,
    validate: Option<Validate>,
}

/// Which half of the chain runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Plugins that change the object, before mutating webhooks.
    Mutate,
    /// Plugins that only say yes or no, after them.
    Validate,
}

impl Phase {
    /// As metrics name it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Mutate => "admit",
            Self::Validate => "validate",
        }
    }
}

const CREATE: &[Operation] = &[Operation::Create];
const UPDATE: &[Operation] = &[Operation::Update];
const CREATE_UPDATE: &[Operation] = &[Operation::Create, Operation::Update];
const WRITES: &[Operation] = &[Operation::Create, Operation::Update, Operation::Delete];

const fn plugin(
    name: &'static str,
    default: bool,
    operations: &'static [Operation],
    mutate: Option<Mutate>,
    validate: Option<Validate>,
) -> Plugin {
    Plugin {
        name,
        default,
        operations,
        mutate,
        validate,
    }
}

/// All plugins in the order in which they are asked. `MutatingAdmissionWebhook`,
/// `ValidatingAdmissionWebhook` and `ResourceQuota`, which call and write, follow these.
pub(crate) const PLUGINS: &[Plugin] = &[
    plugin(
        "NamespaceLifecycle",
        true,
        WRITES,
        Some(|r, o, v| namespace_lifecycle::decide(r, o, v)),
        None,
    ),
    plugin(
        "LimitRanger",
        true,
        CREATE_UPDATE,
        Some(limit_ranger::mutate),
        Some(limit_ranger::validate),
    ),
    plugin(
        "ServiceAccount",
        true,
        CREATE_UPDATE,
        Some(service_account::mutate),
        Some(service_account::validate),
    ),
    plugin(
        "NodeRestriction",
        true,
        WRITES,
        Some(|r, o, v| node_restriction::decide(r, o, v)),
        None,
    ),
    plugin(
        "TaintNodesByCondition",
        true,
        CREATE,
        Some(taints::on_new_node),
        None,
    ),
    plugin(
        "PodSecurity",
        true,
        CREATE_UPDATE,
        None,
        Some(pod_security::validate),
    ),
    plugin(
        "Priority",
        true,
        CREATE_UPDATE,
        Some(priority::mutate),
        Some(priority::validate),
    ),
    plugin(
        "DefaultTolerationSeconds",
        true,
        CREATE_UPDATE,
        Some(taints::default_tolerations),
        None,
    ),
    plugin(
        "DefaultStorageClass",
        true,
        CREATE,
        Some(default_class::storage_class),
        None,
    ),
    plugin(
        "StorageObjectInUseProtection",
        true,
        CREATE,
        Some(storage::protect),
        None,
    ),
    plugin(
        "OwnerReferencesPermissionEnforcement",
        false,
        CREATE_UPDATE,
        None,
        Some(owner_references::validate),
    ),
    plugin(
        "PersistentVolumeClaimResize",
        true,
        UPDATE,
        None,
        Some(storage::resize),
    ),
    plugin(
        "RuntimeClass",
        true,
        CREATE,
        Some(runtime_class::mutate),
        Some(runtime_class::validate),
    ),
    plugin(
        "CertificateApproval",
        true,
        UPDATE,
        None,
        Some(certificates::approval),
    ),
    plugin(
        "CertificateSigning",
        true,
        UPDATE,
        None,
        Some(certificates::signing),
    ),
    plugin(
        "ClusterTrustBundleAttest",
        true,
        CREATE_UPDATE,
        None,
        Some(certificates::attest),
    ),
    plugin(
        "CertificateSubjectRestriction",
        true,
        CREATE,
        None,
        Some(certificates::subject),
    ),
    plugin(
        "DefaultIngressClass",
        true,
        CREATE,
        Some(default_class::ingress_class),
        None,
    ),
    plugin(
        "PodTopologyLabels",
        true,
        CREATE,
        Some(topology_labels::mutate),
        None,
    ),
];

impl Plugin {
    /// Whether it has anything to say in this phase of such an operation.
    pub(crate) fn handles(&self, phase: Phase, operation: Operation) -> bool {
        let there = match phase {
            Phase::Mutate => self.mutate.is_some(),
            Phase::Validate => self.validate.is_some(),
        };
        there && self.operations.contains(&operation)
    }

    /// Lets it change the object.
    pub(crate) fn change(
        &self,
        request: &Request<'_>,
        object: &mut Value,
        view: &dyn View,
    ) -> Outcome<()> {
        self.mutate
            .map_or(Ok(()), |mutate| mutate(request, object, view))
    }

    /// Asks what it says of the object.
    pub(crate) fn judge(
        &self,
        request: &Request<'_>,
        object: &Value,
        view: &dyn View,
        notes: &mut Notes,
    ) -> Outcome<()> {
        let validate = self.validate;
        validate.map_or(Ok(()), |validate| validate(request, object, view, notes))
    }
}

/// Which plugins are on.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    on: Vec<usize>,
    /// Names of the three that act as well.
    pub(crate) mutating_webhooks: bool,
    pub(crate) validating_webhooks: bool,
    pub(crate) quota: bool,
    pub(crate) settings: Settings,
}

/// The plugins that act, and stand behind the others.
const ACTING: [&str; 3] = [
    "MutatingAdmissionWebhook",
    "ValidatingAdmissionWebhook",
    "ResourceQuota",
];

/// A plugin that is asked for and does not exist.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("enable-admission-plugins: plugin {0:?} is not supported")]
pub struct UnknownPlugin(String);

impl Chain {
    /// The defaults, with some more and some less.
    pub(crate) fn new(enable: &[String], disable: &[String]) -> Result<Self, UnknownPlugin> {
        let known = |name: &str| ACTING.contains(&name) || PLUGINS.iter().any(|p| p.name == name);
        if let Some(name) = enable.iter().chain(disable).find(|name| !known(name)) {
            return Err(UnknownPlugin(name.clone()));
        }
        let has = |list: &[String], name: &str| list.iter().any(|one| one == name);
        let is_on =
            |name: &str, default: bool| has(enable, name) || (default && !has(disable, name));
        let on = PLUGINS
            .iter()
            .enumerate()
            .filter(|(_, p)| is_on(p.name, p.default));
        Ok(Self {
            on: on.map(|(at, _)| at).collect(),
            mutating_webhooks: is_on(ACTING[0], true),
            validating_webhooks: is_on(ACTING[1], true),
            quota: is_on(ACTING[2], true),
            settings: Settings::default(),
        })
    }

    /// Those that have something to say, in order.
    pub(crate) fn plugins(
        &self,
        phase: Phase,
        operation: Operation,
    ) -> impl Iterator<Item = &'static Plugin> {
        let all = self.on.iter().filter_map(|at| PLUGINS.get(*at));
        all.filter(move |plugin| plugin.handles(phase, operation))
    }
}

#[cfg(test)]
pub(crate) mod tests;
