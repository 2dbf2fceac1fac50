//! The table is whole: names used once, types known, verbs sorted.

use std::collections::HashSet;

use super::{Verb, builtin, by_kind, find, groups, split_api_version};
use crate::schema::Schema;

#[test]
fn rows_are_found_by_path_and_kind() {
    let deployments = find("apps", "v1", "deployments").unwrap();
    assert_eq!(deployments.kind, "Deployment");
    assert_eq!(deployments.api_version(), "apps/v1");
    assert_eq!(deployments.list_kind, "DeploymentList");
    assert_eq!(deployments.qualified(), "deployments.apps");
    assert!(deployments.has_status());
    assert_eq!(by_kind("", "v1", "Pod").unwrap().plural, "pods");
    assert!(find("apps", "v1", "pods").is_none());
    assert_eq!(split_api_version("v1"), ("", "v1"));
    assert_eq!(split_api_version("apps/v1"), ("apps", "v1"));
}

#[test]
fn names_and_short_names_are_used_once_per_group() {
    let mut seen = HashSet::new();
    for row in builtin() {
        assert!(
            seen.insert((&row.group, &row.version, row.plural.clone())),
            "{}",
            row.plural
        );
        for short in &row.short_names {
            assert!(
                seen.insert((&row.group, &row.version, short.clone())),
                "{short}"
            );
        }
    }
}

#[test]
fn every_group_is_in_the_order_of_discovery() {
    let groups = groups();
    for row in builtin() {
        let group = groups.iter().find(|g| g.name == row.group);
        assert!(
            group.is_some_and(|g| g.versions.contains(&row.version)),
            "{}",
            row.qualified()
        );
    }
    for group in &groups {
        for version in &group.versions {
            assert!(
                builtin()
                    .iter()
                    .any(|r| r.group == group.name && r.version == *version)
            );
        }
    }
}

#[test]
fn every_kind_has_a_type() {
    let schema = Schema::builtin();
    for row in builtin() {
        assert!(schema.named(&row.type_name).is_some(), "{}", row.type_name);
    }
}

#[test]
fn stored_forms_are_rows() {
    for row in builtin() {
        let (group, version) = row.storage_version();
        let stored = find(group, version, &row.plural).unwrap();
        assert!(stored.stored_as.is_none(), "{}", row.plural);
    }
}

#[test]
fn verbs_are_sorted() {
    let verbs: Vec<_> = find("", "v1", "namespaces").unwrap().verbs.iter().collect();
    assert!(!verbs.contains(&Verb::DeleteCollection));
    assert!(verbs.is_sorted_by_key(|verb| verb.as_str()));
}
