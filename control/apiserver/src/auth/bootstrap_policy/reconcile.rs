//! What must be written so that a cluster has the roles, bindings and objects it begins with. Pure.
//!
//! Nothing that people have added is taken away, and what they have marked as theirs stays as it
//! is.

use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::AUTO_UPDATE;
use crate::admit::fields;
use crate::auth::rbac::{Rule, cover};

/// What to write.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    Nothing,
    Create(Value),
    Update(Value),
    /// A binding to another role: it cannot be changed, so it is deleted and made anew.
    Recreate(Value),
}

/// `Role` and `ClusterRole`.
pub(crate) fn role(expected: &Value, existing: Option<&Value>) -> Change {
    let Some(existing) = existing else {
        return Change::Create(expected.clone());
    };
    if is_kept_back(existing) {
        return Change::Nothing;
    }
    let mut wanted = existing.clone();
    merge_metadata(expected, &mut wanted);
    add_missing_rules(expected, &mut wanted);
    add_missing(
        expected,
        &mut wanted,
        &["aggregationRule", "clusterRoleSelectors"],
    );
    changed(existing, wanted)
}

/// `RoleBinding` and `ClusterRoleBinding`.
pub(crate) fn binding(expected: &Value, existing: Option<&Value>) -> Change {
    let Some(existing) = existing else {
        return Change::Create(expected.clone());
    };
    if is_kept_back(existing) {
        return Change::Nothing;
    }
    let mut wanted = existing.clone();
    merge_metadata(expected, &mut wanted);
    add_missing(expected, &mut wanted, &["subjects"]);
    if expected["roleRef"] != existing["roleRef"] {
        let mut anew = expected.clone();
        for field in ["labels", "annotations", "subjects"] {
            let place: &[&str] = if field == "subjects" {
                &["subjects"]
            } else {
                &["metadata", field]
            };
            *fields::place(&mut anew, place) = fields::place(&mut wanted, place).take();
        }
        return Change::Recreate(anew);
    }
    changed(existing, wanted)
}

/// Flow schemas and priority levels: the specification is ours while the annotation says so.
pub(crate) fn flow_control(expected: &Value, existing: Option<&Value>) -> Change {
    let Some(existing) = existing else {
        return Change::Create(expected.clone());
    };
    let own = fields::annotation(existing, "apf.kubernetes.io/autoupdate-spec") == Some("true");
    let mandatory = ["exempt", "catch-all"].contains(&fields::name(expected));
    if (!own && !mandatory) || existing["spec"] == expected["spec"] {
        return Change::Nothing;
    }
    let mut wanted = existing.clone();
    wanted["spec"] = expected["spec"].clone();
    Change::Update(wanted)
}

/// Objects that are only made when they are not there.
pub(crate) fn present(expected: &Value, existing: Option<&Value>) -> Change {
    match existing {
        None => Change::Create(expected.clone()),
        Some(_) => Change::Nothing,
    }
}

/// The slice of the API's own service: exactly the servers that are there.
pub(crate) fn slice(expected: &Value, existing: Option<&Value>) -> Change {
    exactly(expected, existing, &["endpoints", "ports"])
}

/// The endpoints of the API's own service: exactly the servers that are there.
pub(crate) fn endpoints(expected: &Value, existing: Option<&Value>) -> Change {
    exactly(expected, existing, &["subsets"])
}

/// These fields, and whatever metadata people have added.
fn exactly(expected: &Value, existing: Option<&Value>, parts: &[&str]) -> Change {
    let Some(existing) = existing else {
        return Change::Create(expected.clone());
    };
    let mut wanted = existing.clone();
    merge_metadata(expected, &mut wanted);
    for part in parts {
        wanted[*part] = expected[*part].clone();
    }
    changed(existing, wanted)
}

/// A ConfigMap of which these entries are ours.
pub(crate) fn data(expected: &Value, existing: Option<&Value>) -> Change {
    let Some(existing) = existing else {
        return Change::Create(expected.clone());
    };
    let mut wanted = existing.clone();
    for (key, value) in fields::text_map(expected, "/data") {
        fields::put(&mut wanted, &["data", &key], value);
    }
    changed(existing, wanted)
}

fn is_kept_back(existing: &Value) -> bool {
    fields::annotation(existing, AUTO_UPDATE) == Some("false")
}

fn changed(existing: &Value, wanted: Value) -> Change {
    if wanted == *existing {
        Change::Nothing
    } else {
        Change::Update(wanted)
    }
}

/// Labels and annotations that are not there yet; those that are there win.
fn merge_metadata(expected: &Value, wanted: &mut Value) {
    for field in ["labels", "annotations"] {
        let ours = fields::text_map(expected, &format!("/metadata/{field}"));
        for (key, value) in ours {
            let there = &wanted["metadata"][field][&key];
            if there.is_null() {
                fields::put(wanted, &["metadata", field, &key], value);
            }
        }
    }
}

fn add_missing_rules(expected: &Value, wanted: &mut Value) {
    let own = rules(wanted);
    let missing = cover::missing(&own.iter().collect::<Vec<_>>(), &rules(expected));
    if !missing.is_empty() {
        let list = fields::list_mut(wanted, &["rules"]);
        list.extend(missing.iter().map(rule_value));
    }
}

fn rules(role: &Value) -> Vec<Rule> {
    let all = fields::list(role, "/rules").iter();
    all.filter_map(|rule| Rule::deserialize(rule).ok())
        .collect()
}

/// A rule as JSON.
pub(crate) fn rule_value(rule: &Rule) -> Value {
    let parts = [
        ("verbs", &rule.verbs),
        ("apiGroups", &rule.api_groups),
        ("resources", &rule.resources),
        ("resourceNames", &rule.resource_names),
        ("nonResourceURLs", &rule.non_resource_urls),
    ];
    let filled = parts.into_iter().filter(|(_, list)| !list.is_empty());
    Value::Object(
        filled
            .map(|(field, list)| (field.to_owned(), list.clone().into()))
            .collect::<Map<_, _>>(),
    )
}

/// Adds the members of a list that are not there yet.
fn add_missing(expected: &Value, wanted: &mut Value, steps: &[&str]) {
    let path = format!("/{}", steps.join("/"));
    let missing: Vec<Value> = {
        let own = fields::list(wanted, &path);
        let ours = fields::list(expected, &path).iter();
        ours.filter(|one| !own.contains(one)).cloned().collect()
    };
    if !missing.is_empty() {
        fields::list_mut(wanted, steps).extend(missing);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reader(rules: Value) -> Value {
        json!({"metadata": {"name": "r", "labels": {"a": "b"}, "annotations": {AUTO_UPDATE: "true"}}, "rules": rules})
    }

    #[test]
    fn roles_get_what_they_lack() {
        let get = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
        let expected = reader(json!([get]));
        assert_eq!(role(&expected, None), Change::Create(expected.clone()));
        assert_eq!(role(&expected, Some(&expected)), Change::Nothing);
        let all = reader(json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]));
        assert_eq!(role(&expected, Some(&all)), Change::Nothing);
        let other = json!({"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]});
        let found = role(&expected, Some(&reader(json!([other]))));
        assert_eq!(found, Change::Update(reader(json!([other, get]))));
    }

    #[test]
    fn what_people_keep_stays() {
        let expected =
            reader(json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]));
        let mut kept = reader(json!([]));
        kept["metadata"]["annotations"][AUTO_UPDATE] = json!("false");
        assert_eq!(role(&expected, Some(&kept)), Change::Nothing);
        let mut relabelled = expected.clone();
        relabelled["metadata"]["labels"] = json!({"a": "mine"});
        assert_eq!(role(&expected, Some(&relabelled)), Change::Nothing);
    }

    #[test]
    fn gathering_roles_keep_their_selectors() {
        let selector = json!({"matchLabels": {"x": "y"}});
        let expected =
            json!({"aggregationRule": {"clusterRoleSelectors": [selector]}, "rules": null});
        let existing =
            json!({"aggregationRule": {"clusterRoleSelectors": []}, "rules": [{"verbs": ["get"]}]});
        let wanted = json!({"aggregationRule": {"clusterRoleSelectors": [selector]}, "rules": [{"verbs": ["get"]}]});
        assert_eq!(role(&expected, Some(&existing)), Change::Update(wanted));
    }

    #[test]
    fn bindings_get_their_subjects() {
        let object = |role: &str, subjects: Value| json!({"metadata": {"name": "b"}, "roleRef": {"name": role}, "subjects": subjects});
        let (one, two) = (json!({"name": "one"}), json!({"name": "two"}));
        let expected = object("r", json!([one]));
        assert_eq!(
            binding(&expected, Some(&object("r", json!([two])))),
            Change::Update(object("r", json!([two, one])))
        );
        assert_eq!(
            binding(&expected, Some(&object("r", json!([two, one])))),
            Change::Nothing
        );
        let Change::Recreate(anew) = binding(&expected, Some(&object("s", json!([two])))) else {
            panic!("a role reference cannot be changed");
        };
        assert_eq!(
            (&anew["roleRef"]["name"], &anew["subjects"]),
            (&json!("r"), &json!([two, one]))
        );
    }

    #[test]
    fn flow_control_is_kept_up_while_it_is_ours() {
        let level = |shares: i64, auto: &str| json!({"metadata": {"name": "l", "annotations": {"apf.kubernetes.io/autoupdate-spec": auto}}, "spec": {"shares": shares}});
        let expected = level(2, "true");
        assert_eq!(
            flow_control(&expected, Some(&level(1, "true"))),
            Change::Update(level(2, "true"))
        );
        assert_eq!(
            flow_control(&expected, Some(&level(1, "false"))),
            Change::Nothing
        );
        assert_eq!(present(&expected, Some(&json!({}))), Change::Nothing);
    }

    #[test]
    fn entries_of_others_stay_in_a_config_map() {
        let expected = json!({"data": {"a": "1", "b": "2"}});
        let existing = json!({"data": {"b": "0", "c": "3"}, "metadata": {"labels": {"x": "y"}}});
        let Change::Update(wanted) = data(&expected, Some(&existing)) else {
            panic!("nothing to change");
        };
        assert_eq!(wanted["data"], json!({"a": "1", "b": "2", "c": "3"}));
        assert_eq!(data(&expected, Some(&wanted)), Change::Nothing);
    }
}
