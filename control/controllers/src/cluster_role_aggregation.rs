//! Decides the rules of ClusterRoles that gather those of others. The key is the gathering role.

use keelson_api::selector::Selector;
use keelson_client::Store;
use keelson_client::cache::{Change, Key};
use serde_json::{Value, json};

use crate::controller::{Input, Plan, Reconcile, Registration, Work};
use crate::kinds::ClusterRole;
use crate::wiring::Wiring;
use crate::write::Write;

/// The registry's line.
pub const REGISTRATION: Registration = Registration {
    name: "clusterrole-aggregation-controller",
    alias: "clusterrole-aggregation",
    account: "clusterrole-aggregation-controller",
    by_default: true,
    at_once: 5,
    build: |wiring: &mut Wiring<'_>| {
        let all = wiring.read::<ClusterRole>();
        let roles = wiring.watch(move |_: &Change<ClusterRole>, keys| {
            let gathering = all
                .all()
                .into_iter()
                .filter(|role| role.aggregation_rule.is_some());
            keys.extend(gathering.map(|role| Key::new("", &role.metadata.name)));
        });
        Some(Work::decide(Aggregation { roles }))
    },
};

/// Gathers rules.
#[derive(Debug)]
struct Aggregation {
    roles: Store<ClusterRole>,
}

impl Reconcile for Aggregation {
    fn reconcile(&self, input: &Input<'_>) -> Plan {
        let mut plan = Plan::default();
        let Some(role) = self.roles.find(input.key) else {
            return plan;
        };
        let Some(rule) = role.aggregation_rule.as_ref() else {
            return plan;
        };
        let mut others = self.roles.all();
        others.sort_by(|one, other| one.metadata.name.cmp(&other.metadata.name));
        let mut rules: Vec<&Value> = Vec::new();
        for selector in rule
            .cluster_role_selectors
            .iter()
            .filter_map(Selector::of_object)
        {
            let chosen = others.iter().filter(|other| {
                other.metadata.name != role.metadata.name
                    && selector.matches(&other.metadata.labels)
            });
            for rule in chosen.flat_map(|other| other.rules.iter().flatten()) {
                if !rules.contains(&rule) {
                    rules.push(rule);
                }
            }
        }
        if !role.rules.iter().flatten().eq(rules.iter().copied()) {
            plan.write(Write::patch(&*role, json!({ "rules": rules })));
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Aggregation;
    use crate::given;
    use crate::write::Action;

    #[test]
    fn rules_are_gathered_once_and_in_order() {
        let rule = |verb: &str| json!({"verbs": [verb], "apiGroups": [""], "resources": ["pods"]});
        let part = |name: &str, label: &str, verbs: &[&str]| {
            let rules: Vec<_> = verbs.iter().map(|verb| rule(verb)).collect();
            json!({"metadata": {"name": name, "labels": {"to": label}}, "rules": rules})
        };
        let gathered = |rules: Value| {
            let roles = given::store(json!([
                {
                    "metadata": {"name": "all", "labels": {"to": "all"}}, "rules": rules,
                    "aggregationRule": {"clusterRoleSelectors": [
                        {"matchLabels": {"to": "all"}}, {"matchLabels": {"to": "more"}}]},
                },
                part("b", "all", &["list", "get"]),
                part("a", "all", &["get"]),
                part("c", "more", &["watch"]),
                part("d", "none", &["delete"]),
            ]));
            let plan = given::plan(&Aggregation { roles }, given::at(0), "", "all");
            plan.writes
                .into_iter()
                .next()
                .map(|write| match write.action {
                    Action::Patch { changes, .. } => changes["rules"].clone(),
                    other => panic!("{other:?}"),
                })
        };
        let expected = json!([rule("get"), rule("list"), rule("watch")]);
        assert_eq!(gathered(Value::Null), Some(expected.clone()));
        assert_eq!(gathered(json!([rule("delete")])), Some(expected.clone()));
        assert_eq!(gathered(expected), None);
    }
}
