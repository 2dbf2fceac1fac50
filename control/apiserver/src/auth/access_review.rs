//! The review APIs: who may do what, and who somebody is. Pure.

use serde_json::{Map, Value, json};

use crate::admit::fields;
use crate::auth::User;
use crate::auth::authorize::{Decision, What};
use crate::auth::rbac::{Policy, Rule};
use crate::auth::service_account::review::user_info;
use crate::failure::{Failure, Outcome};

const GROUP: &str = "authorization.k8s.io";

/// What a review asks: for whom (nobody: for the one who asks), and to do what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question<'a> {
    pub(crate) user: Option<User>,
    pub(crate) verb: &'a str,
    pub(crate) what: What<'a>,
}

/// Reads a `SubjectAccessReview`, `LocalSubjectAccessReview` or `SelfSubjectAccessReview`.
/// `namespace` is that of a local one.
pub(crate) fn question<'a>(
    kind: &str,
    namespace: &str,
    review: &'a Value,
) -> Outcome<Question<'a>> {
    let invalid = |field: &str, value: &Value, why: &str| {
        let text = format!("Invalid value: {value}: {why}");
        let error = (field.to_owned(), "FieldValueInvalid".to_owned(), text);
        Failure::invalid(GROUP, kind, "", [error])
    };
    let resource = fields::value(review, "/spec/resourceAttributes");
    let path = fields::value(review, "/spec/nonResourceAttributes");
    if resource.is_null() == path.is_null() {
        let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        return Err(invalid("spec.resourceAttributes", resource, why));
    }
    let own = kind == "SelfSubjectAccessReview";
    let user = (!own).then(|| user_of(review));
    if user
        .as_ref()
        .is_some_and(|user| user.name.is_empty() && user.groups.is_empty())
    {
        let why = "at least one of user or group must be specified";
        return Err(invalid("spec.user", &json!(""), why));
    }
    if kind == "LocalSubjectAccessReview" && fields::text(resource, "/namespace") != namespace {
        let why = "must match metadata.namespace";
        return Err(invalid(
            "spec.resourceAttributes.namespace",
            fields::value(resource, "/namespace"),
            why,
        ));
    }
    let (verb, what) = if resource.is_null() {
        (
            fields::text(path, "/verb"),
            What::Path(fields::text(path, "/path")),
        )
    } else {
        let what = What::Resource {
            group: fields::text(resource, "/group"),
            resource: fields::text(resource, "/resource"),
            subresource: fields::text(resource, "/subresource"),
            namespace: fields::text(resource, "/namespace"),
            name: fields::text(resource, "/name"),
        };
        (fields::text(resource, "/verb"), what)
    };
    Ok(Question { user, verb, what })
}

fn user_of(review: &Value) -> User {
    let extra = fields::map(review, "/spec/extra").into_iter().flatten();
    let extra = extra.map(|(key, values)| {
        let values = values
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        (key.to_lowercase(), values.map(str::to_owned).collect())
    });
    User {
        name: fields::text(review, "/spec/user").to_owned(),
        uid: fields::text(review, "/spec/uid").to_owned(),
        groups: fields::texts(review, "/spec/groups")
            .map(str::to_owned)
            .collect(),
        extra: extra.collect(),
    }
}

/// The status that answers a review.
pub(crate) fn status(decision: &Decision) -> Value {
    let (allowed, reason) = match decision {
        Decision::Allow(reason) => (true, reason),
        Decision::NoOpinion(reason) => (false, reason),
    };
    let mut status = json!({"allowed": allowed});
    if !reason.is_empty() {
        status["reason"] = reason.as_str().into();
    }
    status
}

/// The status of a `SelfSubjectRulesReview`: all that somebody may do in a namespace, as far as
/// rules say it. What the Node authorizer allows is not among it.
pub(crate) fn rules(user: &User, namespace: &str, policy: &Policy) -> Value {
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    for grant in policy.grants(user, namespace) {
        for rule in grant.rules.iter() {
            if rule.resources.is_empty() {
                paths.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls}));
            } else {
                resources.push(resource_rule(rule));
            }
        }
    }
    let mut status =
        json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false});
    if user.node().is_some() {
        status["incomplete"] = json!(true);
        status["evaluationError"] = json!("node authorizer does not support user rule resolution");
    }
    status
}

fn resource_rule(rule: &Rule) -> Value {
    let mut found = Map::new();
    found.insert("verbs".to_owned(), rule.verbs.clone().into());
    found.insert("apiGroups".to_owned(), rule.api_groups.clone().into());
    found.insert("resources".to_owned(), rule.resources.clone().into());
    if !rule.resource_names.is_empty() {
        found.insert(
            "resourceNames".to_owned(),
            rule.resource_names.clone().into(),
        );
    }
    Value::Object(found)
}

/// The status of a `SelfSubjectReview`.
pub(crate) fn who(user: &User) -> Value {
    json!({"userInfo": user_info(user)})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: &str, spec: Value, expected: Result<(&str, &str), &str>) {
        let review = json!({"spec": spec});
        let found = question(kind, "ns", &review);
        let found = found
            .as_ref()
            .map(|q| (q.user.as_ref().map_or("", |u| u.name.as_str()), q.verb));
        assert_eq!(found.map_err(Failure::message), expected, "{kind}");
    }

    #[test]
    fn reviews_ask_one_thing_of_somebody() {
        let pods = json!({"verb": "get", "resource": "pods", "namespace": "ns"});
        check(
            "SubjectAccessReview",
            json!({"user": "jane", "resourceAttributes": pods}),
            Ok(("jane", "get")),
        );
        check(
            "SelfSubjectAccessReview",
            json!({"resourceAttributes": pods}),
            Ok(("", "get")),
        );
        check(
            "LocalSubjectAccessReview",
            json!({"user": "jane", "resourceAttributes": pods}),
            Ok(("jane", "get")),
        );
        check(
            "SubjectAccessReview",
            json!({"groups": ["dev"], "nonResourceAttributes": {"verb": "get", "path": "/"}}),
            Ok(("", "get")),
        );
        check(
            "SubjectAccessReview",
            json!({"resourceAttributes": pods}),
            Err(
                "SubjectAccessReview.authorization.k8s.io \"\" is invalid: spec.user: Invalid value: \"\": at least one of user or group must be specified",
            ),
        );
        check(
            "SubjectAccessReview",
            json!({"user": "jane"}),
            Err(
                "SubjectAccessReview.authorization.k8s.io \"\" is invalid: spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified",
            ),
        );
        let elsewhere = json!({"verb": "get", "resource": "pods", "namespace": "other"});
        check(
            "LocalSubjectAccessReview",
            json!({"user": "jane", "resourceAttributes": elsewhere}),
            Err(
                "LocalSubjectAccessReview.authorization.k8s.io \"\" is invalid: spec.resourceAttributes.namespace: Invalid value: \"other\": must match metadata.namespace",
            ),
        );
    }

    #[test]
    fn answers_say_why() {
        assert_eq!(
            status(&Decision::Allow("because".to_owned())),
            json!({"allowed": true, "reason": "because"})
        );
        assert_eq!(
            status(&Decision::NoOpinion(String::new())),
            json!({"allowed": false})
        );
    }

    #[test]
    fn people_see_their_rules_and_themselves() {
        let mut policy = Policy::default();
        let role = json!({"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]},
            {"verbs": ["get"], "nonResourceURLs": ["/healthz"]}]});
        policy.set_role("", "r", serde_json::from_value(role).ok());
        let binding = json!({"subjects": [{"kind": "User", "name": "jane"}], "roleRef": {"kind": "ClusterRole", "name": "r"}});
        policy.set_binding("ns", "b", serde_json::from_value(binding).ok());
        let jane = User::known("jane", []);
        let found = rules(&jane, "ns", &policy);
        assert_eq!(
            found["resourceRules"],
            json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}])
        );
        assert_eq!(
            found["nonResourceRules"],
            json!([{"verbs": ["get"], "nonResourceURLs": ["/healthz"]}])
        );
        assert_eq!(rules(&jane, "other", &policy)["resourceRules"], json!([]));
        assert_eq!(
            who(&jane),
            json!({"userInfo": {"username": "jane", "groups": ["system:authenticated"]}})
        );
    }
}
