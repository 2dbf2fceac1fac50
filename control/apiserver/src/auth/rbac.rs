//! Role-based access control: roles and bindings as values, and what they allow. Pure.
//!
//! The policy is kept up to date object by object; bindings are indexed by their subjects, so that
//! a request looks at those of its user and groups only.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::Deserialize;

use crate::auth::authorize::{Attributes, Decision, What};
use crate::auth::{SERVICE_ACCOUNT_PREFIX, User};

pub(crate) mod cover;

/// One rule of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Rule {
    pub(crate) verbs: Vec<String>,
    pub(crate) api_groups: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    pub(crate) non_resource_urls: Vec<String>,
}

/// `Role` and `ClusterRole`, as far as they grant something.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Role {
    /// May be `null` in an aggregated role.
    pub(crate) rules: Option<Vec<Rule>>,
}

/// Whom a binding is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Subject {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) namespace: String,
}

/// Which role a binding grants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct RoleRef {
    pub(crate) kind: String,
    pub(crate) name: String,
}

/// `RoleBinding` and `ClusterRoleBinding`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Binding {
    pub(crate) subjects: Option<Vec<Subject>>,
    pub(crate) role_ref: RoleRef,
}

/// All roles and bindings. Namespaces are empty strings for those of the cluster.
#[derive(Default)]
pub(crate) struct Policy {
    roles: HashMap<(String, String), Arc<[Rule]>>,
    bindings: HashMap<String, Bindings>,
}

/// The bindings of one namespace, or of the cluster.
#[derive(Default)]
struct Bindings {
    by_name: BTreeMap<String, Binding>,
    by_subject: HashMap<String, HashSet<String>>,
}

/// Rules that apply to a user, and where they come from.
pub(crate) struct Grant<'a> {
    pub(crate) rules: &'a Arc<[Rule]>,
    binding: &'a str,
    namespace: &'a str,
    role: &'a RoleRef,
    subject: String,
}

impl Policy {
    /// Puts a role in, or takes it out.
    pub(crate) fn set_role(&mut self, namespace: &str, name: &str, role: Option<Role>) {
        let key = (namespace.to_owned(), name.to_owned());
        match role {
            Some(role) => self
                .roles
                .insert(key, role.rules.unwrap_or_default().into()),
            None => self.roles.remove(&key),
        };
    }

    /// Forgets the roles of the cluster, or those of all namespaces.
    pub(crate) fn forget_roles(&mut self, of_cluster: bool) {
        self.roles
            .retain(|(namespace, _), _| namespace.is_empty() != of_cluster);
    }

    /// Forgets the bindings of the cluster, or those of all namespaces.
    pub(crate) fn forget_bindings(&mut self, of_cluster: bool) {
        self.bindings
            .retain(|namespace, _| namespace.is_empty() != of_cluster);
    }

    /// Puts a binding in, or takes it out.
    pub(crate) fn set_binding(&mut self, namespace: &str, name: &str, binding: Option<Binding>) {
        let all = self.bindings.entry(namespace.to_owned()).or_default();
        if let Some(old) = all.by_name.remove(name) {
            for subject in old.subjects.iter().flatten() {
                let key = subject_key(subject, namespace);
                if let Some(names) = all.by_subject.get_mut(&key) {
                    names.remove(name);
                }
            }
            all.by_subject.retain(|_, names| !names.is_empty());
        }
        if let Some(binding) = binding {
            for subject in binding.subjects.iter().flatten() {
                let names = all.by_subject.entry(subject_key(subject, namespace));
                names.or_default().insert(name.to_owned());
            }
            all.by_name.insert(name.to_owned(), binding);
        }
        if all.by_name.is_empty() {
            self.bindings.remove(namespace);
        }
    }

    /// Everything granted to a user in the cluster and, unless empty, in the namespace.
    pub(crate) fn grants<'a>(&'a self, user: &User, namespace: &'a str) -> Vec<Grant<'a>> {
        let mut subjects = vec![format!("u:{}", user.name)];
        subjects.extend(user.groups.iter().map(|group| format!("g:{group}")));
        let mut found = Vec::new();
        let places = [Some(""), Some(namespace).filter(|n| !n.is_empty())];
        for place in places.into_iter().flatten() {
            if let Some(bindings) = self.bindings.get(place) {
                for subject in &subjects {
                    self.collect(place, bindings, subject, &mut found);
                }
            }
        }
        found
    }

    fn collect<'a>(
        &'a self,
        namespace: &'a str,
        bindings: &'a Bindings,
        subject: &str,
        found: &mut Vec<Grant<'a>>,
    ) {
        for name in bindings.by_subject.get(subject).into_iter().flatten() {
            let Some((name, binding)) = bindings.by_name.get_key_value(name) else {
                continue;
            };
            if let Some(rules) = self.rules_of(&binding.role_ref, namespace) {
                found.push(Grant {
                    rules,
                    binding: name,
                    namespace,
                    role: &binding.role_ref,
                    subject: subject.to_owned(),
                });
            }
        }
    }

    /// The rules of a role, if there is one.
    pub(crate) fn rules_of(&self, role: &RoleRef, namespace: &str) -> Option<&Arc<[Rule]>> {
        let place = if role.kind == "Role" { namespace } else { "" };
        self.roles.get(&(place.to_owned(), role.name.clone()))
    }

    /// Decides.
    pub(crate) fn authorize(&self, wanted: &Attributes<'_>) -> Decision {
        let namespace = match wanted.what {
            What::Resource { namespace, .. } => namespace,
            What::Path(_) => "",
        };
        let grants = self.grants(wanted.user, namespace);
        let allowing = grants
            .iter()
            .find(|grant| grant.rules.iter().any(|rule| rule.allows(wanted)));
        allowing.map_or(Decision::NoOpinion(String::new()), |grant| {
            Decision::Allow(grant.reason())
        })
    }
}

impl Grant<'_> {
    fn reason(&self) -> String {
        let (kind, binding) = if self.namespace.is_empty() {
            ("ClusterRoleBinding", self.binding.to_owned())
        } else {
            (
                "RoleBinding",
                format!("{}/{}", self.binding, self.namespace),
            )
        };
        let subject = self.subject.get(2..).unwrap_or_default();
        let who = if self.subject.starts_with("g:") {
            "Group"
        } else if subject.starts_with(SERVICE_ACCOUNT_PREFIX) {
            "ServiceAccount"
        } else {
            "User"
        };
        let RoleRef { kind: role, name } = self.role;
        format!("RBAC: allowed by {kind} {binding:?} of {role} {name:?} to {who} {subject:?}")
    }
}

fn subject_key(subject: &Subject, binding_namespace: &str) -> String {
    match subject.kind.as_str() {
        "Group" => format!("g:{}", subject.name),
        "ServiceAccount" => {
            let namespace = if subject.namespace.is_empty() {
                binding_namespace
            } else {
                &subject.namespace
            };
            format!("u:{SERVICE_ACCOUNT_PREFIX}{namespace}:{}", subject.name)
        }
        _ => format!("u:{}", subject.name),
    }
}

impl Rule {
    /// Whether this rule alone allows it.
    pub(crate) fn allows(&self, wanted: &Attributes<'_>) -> bool {
        if !has(&self.verbs, wanted.verb) {
            return false;
        }
        match wanted.what {
            What::Path(path) => self
                .non_resource_urls
                .iter()
                .any(|url| url_matches(url, path)),
            What::Resource {
                group,
                resource,
                subresource,
                name,
                ..
            } => {
                has(&self.api_groups, group)
                    && self
                        .resources
                        .iter()
                        .any(|own| resource_matches(own, resource, subresource))
                    && (self.resource_names.is_empty()
                        || self.resource_names.iter().any(|own| own == name))
            }
        }
    }
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|own| own == "*" || own == wanted)
}

/// `*`, `pods`, `pods/log` or `*/scale`.
fn resource_matches(own: &str, resource: &str, subresource: &str) -> bool {
    if own == "*" {
        return true;
    }
    match own.split_once('/') {
        None => subresource.is_empty() && own == resource,
        Some(("*", sub)) => sub == subresource && !subresource.is_empty(),
        Some((main, sub)) => main == resource && sub == subresource,
    }
}

fn url_matches(own: &str, path: &str) -> bool {
    match own.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => own == path,
    }
}

#[cfg(test)]
mod tests;
