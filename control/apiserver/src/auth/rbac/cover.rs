//! Whether somebody's rules cover other rules: nobody grants more than they have. Pure.

use super::{Rule, url_matches};

/// The atoms of `wanted` that no rule of `owned` covers.
pub(crate) fn missing(owned: &[&Rule], wanted: &[Rule]) -> Vec<Rule> {
    wanted
        .iter()
        .flat_map(atoms)
        .filter(|atom| !owned.iter().any(|rule| covers(rule, atom)))
        .collect()
}

/// A rule split into those of one verb, one group, one resource and one name each.
fn atoms(rule: &Rule) -> Vec<Rule> {
    let mut found = Vec::new();
    for verb in &rule.verbs {
        for url in &rule.non_resource_urls {
            found.push(Rule {
                verbs: vec![verb.clone()],
                non_resource_urls: vec![url.clone()],
                ..Rule::default()
            });
        }
        for group in &rule.api_groups {
            for resource in &rule.resources {
                found.extend(named(rule, verb, group, resource));
            }
        }
    }
    found
}

fn named(rule: &Rule, verb: &str, group: &str, resource: &str) -> Vec<Rule> {
    let one = |names: Vec<String>| Rule {
        verbs: vec![verb.to_owned()],
        api_groups: vec![group.to_owned()],
        resources: vec![resource.to_owned()],
        resource_names: names,
        ..Rule::default()
    };
    if rule.resource_names.is_empty() {
        return vec![one(Vec::new())];
    }
    let names = rule.resource_names.iter();
    names.map(|name| one(vec![name.clone()])).collect()
}

fn covers(owner: &Rule, atom: &Rule) -> bool {
    all_in(&owner.verbs, &atom.verbs)
        && if atom.non_resource_urls.is_empty() {
            all_in(&owner.api_groups, &atom.api_groups)
                && resources_in(&owner.resources, &atom.resources)
                && names_in(&owner.resource_names, &atom.resource_names)
        } else {
            let urls = &owner.non_resource_urls;
            let wanted = &atom.non_resource_urls;
            wanted
                .iter()
                .all(|url| urls.iter().any(|own| url_matches(own, url)))
        }
}

fn all_in(own: &[String], wanted: &[String]) -> bool {
    let has = |one: &String| own.iter().any(|o| o == "*" || o == one);
    wanted.iter().all(has)
}

fn resources_in(own: &[String], wanted: &[String]) -> bool {
    wanted.iter().all(|one| {
        let any_of = one.split_once('/').map(|(_, sub)| format!("*/{sub}"));
        own.iter()
            .any(|o| o == "*" || o == one || Some(o) == any_of.as_ref())
    })
}

fn names_in(own: &[String], wanted: &[String]) -> bool {
    own.is_empty() || (!wanted.is_empty() && wanted.iter().all(|one| own.contains(one)))
}

/// A rule as a refusal shows it.
pub(crate) fn describe(rule: &Rule) -> String {
    let part = |name: &str, list: &[String]| {
        if list.is_empty() {
            return String::new();
        }
        let words: Vec<_> = list.iter().map(|word| format!("{word:?}")).collect();
        format!("{name}:[{}]", words.join(" "))
    };
    let parts = [
        part("APIGroups", &rule.api_groups),
        part("Resources", &rule.resources),
        part("ResourceNames", &rule.resource_names),
        part("NonResourceURLs", &rule.non_resource_urls),
        part("Verbs", &rule.verbs),
    ];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    format!("{{{}}}", parts.join(", "))
}
