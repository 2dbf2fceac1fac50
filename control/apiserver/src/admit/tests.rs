//! A view for tests, requests in one line, and the chain as a whole.

use serde_json::{Value, json};

use super::*;

/// Objects by resource, and what people may do.
#[derive(Default)]
pub(crate) struct World {
    objects: Vec<(String, String, Value)>,
    /// `VERB RESOURCE[/SUBRESOURCE] NAME`.
    pub(crate) allowed: Vec<String>,
    kinds: Vec<(String, String, String, bool)>,
}

impl World {
    pub(crate) fn with(mut self, group: &str, resource: &str, object: Value) -> Self {
        self.objects
            .push((group.to_owned(), resource.to_owned(), object));
        self
    }

    pub(crate) fn allow(mut self, what: &str) -> Self {
        self.allowed.push(what.to_owned());
        self
    }

    pub(crate) fn kind(
        mut self,
        kind: &str,
        group: &str,
        resource: &str,
        namespaced: bool,
    ) -> Self {
        self.kinds.push((
            kind.to_owned(),
            group.to_owned(),
            resource.to_owned(),
            namespaced,
        ));
        self
    }
}

impl View for World {
    fn find(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let mut all = self.list(group, resource, namespace).into_iter();
        all.find(|object| fields::name(object) == name)
    }

    fn list(&self, group: &str, resource: &str, namespace: &str) -> Vec<Value> {
        let all = self
            .objects
            .iter()
            .filter(|(g, r, _)| g == group && r == resource);
        let inside = all.filter(|(_, _, object)| {
            namespace.is_empty() || fields::text(object, "/metadata/namespace") == namespace
        });
        inside.map(|(_, _, object)| object.clone()).collect()
    }

    fn allows(&self, _: &User, verb: &str, what: What<'_>) -> bool {
        let What::Resource {
            resource,
            subresource,
            name,
            ..
        } = what
        else {
            return false;
        };
        let slash = if subresource.is_empty() { "" } else { "/" };
        self.allowed
            .contains(&format!("{verb} {resource}{slash}{subresource} {name}"))
    }

    fn plural(&self, _: &str, kind: &str) -> Option<(String, String, bool)> {
        let found = self.kinds.iter().find(|(known, ..)| known == kind)?;
        Some((found.1.clone(), found.2.clone(), found.3))
    }
}

fn no_settings() -> &'static Settings {
    static NONE: std::sync::OnceLock<Settings> = std::sync::OnceLock::new();
    NONE.get_or_init(Settings::default)
}

/// A request about `RESOURCE[/SUBRESOURCE]` in the namespace `ns`, by somebody.
pub(crate) fn request<'a>(
    operation: Operation,
    group: &'a str,
    resource: &'a str,
    user: &'a User,
    old: &'a Value,
) -> Request<'a> {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    Request {
        operation,
        group,
        version: "v1",
        body: (group, "v1", ""),
        resource,
        subresource,
        namespace: "ns",
        name: "x",
        user,
        dry_run: false,
        old,
        options: &fields::NULL,
        settings: no_settings(),
    }
}

#[test]
fn plugins_are_chosen_by_name() {
    let names = |chain: &Chain, phase, operation| -> Vec<_> {
        chain
            .plugins(phase, operation)
            .map(|plugin| plugin.name)
            .collect()
    };
    let chain = Chain::new(&[], &["Priority".to_owned()]).unwrap();
    let mutating = names(&chain, Phase::Mutate, Operation::Create);
    assert_eq!(
        mutating[..3],
        ["NamespaceLifecycle", "LimitRanger", "ServiceAccount"]
    );
    assert!(!mutating.contains(&"Priority"));
    assert!(chain.quota && chain.mutating_webhooks && chain.validating_webhooks);
    assert!(
        !names(&chain, Phase::Validate, Operation::Update)
            .contains(&"OwnerReferencesPermissionEnforcement")
    );
    let more = Chain::new(
        &["OwnerReferencesPermissionEnforcement".to_owned()],
        &["ResourceQuota".to_owned()],
    )
    .unwrap();
    assert!(
        names(&more, Phase::Validate, Operation::Update)
            .contains(&"OwnerReferencesPermissionEnforcement")
    );
    assert!(!more.quota);
    let unknown = Chain::new(&["AlwaysPullImages".to_owned()], &[]).unwrap_err();
    assert_eq!(unknown, UnknownPlugin("AlwaysPullImages".to_owned()));
    assert_eq!(
        names(&chain, Phase::Mutate, Operation::Connect),
        Vec::<&str>::new()
    );
}

#[test]
fn a_new_pod_goes_through_the_whole_chain() {
    let world = World::default()
        .with(
            "",
            "namespaces",
            json!({"metadata": {"name": "ns"}, "status": {"phase": "Active"}}),
        )
        .with(
            "",
            "serviceaccounts",
            json!({"metadata": {"name": "default", "namespace": "ns"}}),
        );
    let user = User::known("jane", []);
    let request = request(Operation::Create, "", "pods", &user, &fields::NULL);
    let mut pod = json!({"metadata": {"name": "x"}, "spec": {"containers": [{"name": "c"}]}});
    let chain = Chain::new(&[], &[]).unwrap();
    let mut notes = Notes::default();
    for plugin in chain.plugins(Phase::Mutate, Operation::Create) {
        plugin.change(&request, &mut pod, &world).unwrap();
    }
    assert_eq!(pod["spec"]["serviceAccountName"], "default");
    assert_eq!(pod["spec"]["priority"], 0);
    assert_eq!(pod["spec"]["tolerations"].as_array().map(Vec::len), Some(2));
    for plugin in chain.plugins(Phase::Validate, Operation::Create) {
        plugin.judge(&request, &pod, &world, &mut notes).unwrap();
    }
    assert_eq!(notes.warnings, Vec::<String>::new());
}
