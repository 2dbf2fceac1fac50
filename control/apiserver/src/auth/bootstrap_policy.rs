//! The roles, bindings and other objects that a cluster has from its first moment on. Pure.
//!
//! Tables of facts become objects here; what is to be written to make a cluster have them is
//! `reconcile`'s to decide, and the server's to do.

use serde_json::{Map, Value, json};

mod cluster_roles;
mod controller_roles;
pub(crate) mod flow_control;
mod namespaced;
pub(crate) mod objects;
pub(crate) mod reconcile;

/// The API group of roles and bindings.
pub(crate) const GROUP: &str = "rbac.authorization.k8s.io";
/// Says whether a role or binding is brought up to date at every start.
pub(crate) const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

const READ: &str = "get list watch";
const WRITE: &str = "create delete deletecollection patch update";
const READ_WRITE: &str = "create delete deletecollection get list patch update watch";

/// One rule: words separated by spaces. `core` stands for the group without a name.
#[derive(Clone, Copy, Debug)]
struct Rule {
    verbs: &'static str,
    groups: &'static str,
    resources: &'static str,
    names: &'static str,
    urls: &'static str,
}

const fn rule(verbs: &'static str, groups: &'static str, resources: &'static str) -> Rule {
    Rule {
        verbs,
        groups,
        resources,
        names: "",
        urls: "",
    }
}

const fn named(
    verbs: &'static str,
    groups: &'static str,
    resources: &'static str,
    names: &'static str,
) -> Rule {
    Rule {
        names,
        ..rule(verbs, groups, resources)
    }
}

const fn urls(verbs: &'static str, urls: &'static str) -> Rule {
    Rule {
        urls,
        ..rule(verbs, "", "")
    }
}

const EVENTS: Rule = rule("create patch update", "core events.k8s.io", "events");

/// One role: its name, the roles it is part of, the role it gathers, and its rules.
#[derive(Clone, Copy, Debug)]
struct Role {
    name: &'static str,
    /// `admin`, `edit` or `view`: this role's rules go into that one.
    part_of: &'static str,
    /// `admin`, `edit` or `view`: the rules are gathered from the parts of it.
    gathers: &'static str,
    rules: &'static [Rule],
}

const fn role(name: &'static str, rules: &'static [Rule]) -> Role {
    Role {
        name,
        part_of: "",
        gathers: "",
        rules,
    }
}

/// One binding: its name, its role, and subjects as `Group NAME`, `User NAME` or
/// `ServiceAccount NAMESPACE/NAME`.
#[derive(Clone, Copy, Debug)]
struct Binding {
    name: &'static str,
    role: &'static str,
    subjects: &'static [&'static str],
}

const fn binding(name: &'static str, subjects: &'static [&'static str]) -> Binding {
    Binding {
        name,
        role: name,
        subjects,
    }
}

/// What a role of a controller, and its service account behind this prefix, is called.
const CONTROLLER: &str = "system:controller:";

/// All cluster roles. Those that gather begin with what the others here give them; what people
/// label later is a controller's to gather.
pub(crate) fn cluster_roles() -> Vec<Value> {
    let all = || cluster_roles::ROLES.iter().chain(controller_roles::ROLES);
    let filled = all().map(|role| {
        let mut object = cluster_role(role);
        if !role.gathers.is_empty() {
            object["rules"] = rules(&gathered(role.gathers));
        }
        object
    });
    filled.collect()
}

/// The rules of all parts of a role, and of the parts of those that gather themselves.
fn gathered(name: &str) -> Vec<Rule> {
    let parts = cluster_roles::ROLES
        .iter()
        .filter(|role| role.part_of == name);
    let rules = parts.flat_map(|part| match part.gathers {
        "" => part.rules.to_vec(),
        inner => gathered(inner),
    });
    rules.collect()
}

/// What every node may do, as far as the Node authorizer says nothing else.
pub(crate) fn node_rules() -> Vec<crate::auth::rbac::Rule> {
    use serde::Deserialize as _;
    let rules = cluster_roles::NODE.iter().map(rule_object);
    rules
        .filter_map(|rule| crate::auth::rbac::Rule::deserialize(rule).ok())
        .collect()
}

/// All cluster role bindings.
pub(crate) fn cluster_role_bindings() -> Vec<Value> {
    let own = cluster_roles::BINDINGS.iter().map(|binding| {
        let subjects = binding.subjects.iter().map(|text| subject(text)).collect();
        binding_object(
            "ClusterRoleBinding",
            "",
            binding.name,
            ("ClusterRole", binding.role),
            subjects,
        )
    });
    let controllers = controller_roles::ROLES.iter().map(|role| {
        let account = role.name.strip_prefix(CONTROLLER).unwrap_or(role.name);
        let subjects = vec![subject(&format!("ServiceAccount kube-system/{account}"))];
        binding_object(
            "ClusterRoleBinding",
            "",
            role.name,
            ("ClusterRole", role.name),
            subjects,
        )
    });
    own.chain(controllers).collect()
}

/// All roles in namespaces.
pub(crate) fn roles() -> Vec<Value> {
    let all = namespaced::ROLES.iter();
    all.map(|(namespace, role)| {
        let mut object = object("Role", namespace, role.name, "");
        object["rules"] = rules(role.rules);
        object
    })
    .collect()
}

/// All role bindings.
pub(crate) fn role_bindings() -> Vec<Value> {
    let all = namespaced::BINDINGS.iter();
    all.map(|(namespace, binding)| {
        let subjects = binding.subjects.iter().map(|text| subject(text)).collect();
        binding_object(
            "RoleBinding",
            namespace,
            binding.name,
            ("Role", binding.role),
            subjects,
        )
    })
    .collect()
}

fn cluster_role(role: &Role) -> Value {
    let mut object = object("ClusterRole", "", role.name, role.part_of);
    if role.gathers.is_empty() {
        object["rules"] = rules(role.rules);
        return object;
    }
    let label = format!("{GROUP}/aggregate-to-{}", role.gathers);
    let labels = Map::from_iter([(label, Value::from("true"))]);
    object["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": labels}]});
    object
}

fn object(kind: &str, namespace: &str, name: &str, part_of: &str) -> Value {
    let mut labels = Map::from_iter([(
        "kubernetes.io/bootstrapping".to_owned(),
        Value::from("rbac-defaults"),
    )]);
    if !part_of.is_empty() {
        labels.insert(
            format!("{GROUP}/aggregate-to-{part_of}"),
            Value::from("true"),
        );
    }
    let mut metadata =
        json!({"name": name, "labels": labels, "annotations": {AUTO_UPDATE: "true"}});
    if !namespace.is_empty() {
        metadata["namespace"] = namespace.into();
    }
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": metadata})
}

fn binding_object(
    kind: &str,
    namespace: &str,
    name: &str,
    role: (&str, &str),
    subjects: Vec<Value>,
) -> Value {
    let mut object = object(kind, namespace, name, "");
    object["roleRef"] = json!({"apiGroup": GROUP, "kind": role.0, "name": role.1});
    if !subjects.is_empty() {
        object["subjects"] = subjects.into();
    }
    object
}

fn subject(text: &str) -> Value {
    let (kind, name) = text.split_once(' ').unwrap_or(("User", text));
    match name.split_once('/') {
        Some((namespace, name)) if kind == "ServiceAccount" => {
            json!({"kind": kind, "name": name, "namespace": namespace})
        }
        _ => json!({"apiGroup": GROUP, "kind": kind, "name": name}),
    }
}

fn rules(rules: &[Rule]) -> Value {
    rules.iter().map(rule_object).collect()
}

fn rule_object(rule: &Rule) -> Value {
    let mut object = Map::new();
    let mut put = |field: &str, words: &str| {
        let mut words: Vec<&str> = words.split_whitespace().collect();
        words.sort_unstable();
        if !words.is_empty() {
            let words = words
                .into_iter()
                .map(|word| if word == "core" { "" } else { word });
            object.insert(field.to_owned(), words.collect());
        }
    };
    put("verbs", rule.verbs);
    put("apiGroups", rule.groups);
    put("resources", rule.resources);
    put("resourceNames", rule.names);
    put("nonResourceURLs", rule.urls);
    Value::Object(object)
}

#[cfg(test)]
mod tests;
