//! Sums what the objects of a namespace use of what a quota limits. Pure.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use keelson_api::fields;
use keelson_api::quantity::Quantity;
use keelson_api::quota::{self, Subject};
use keelson_api::resources::Amounts;
use serde_json::{Map, Value, json};

/// Whether it takes more than the number of objects of a kind to know what they use.
#[must_use]
pub fn needs_whole(group: &str, resource: &str) -> bool {
    matches!(
        (group, resource),
        ("", "pods" | "services" | "persistentvolumeclaims")
            | ("resource.k8s.io", "resourceclaims")
    )
}

/// What was counted so far.
#[derive(Debug)]
pub struct Tally {
    quota: Value,
    used: Amounts,
}

impl Tally {
    /// Nothing yet.
    #[must_use]
    pub fn new(quota: &Value) -> Self {
        Self {
            quota: json!({"spec": quota["spec"], "status": quota["status"]}),
            used: Amounts::new(),
        }
    }

    fn hard(&self) -> impl Iterator<Item = &str> {
        let hard = fields::map(&self.quota, "/spec/hard");
        hard.into_iter().flatten().map(|(name, _)| name.as_str())
    }

    /// Groups and plurals of the kinds that have to be counted.
    #[must_use]
    pub fn kinds(&self) -> BTreeSet<(String, String)> {
        let subjects = self.hard().filter_map(quota::subject_of);
        subjects
            .map(|subject| (subject.group.to_owned(), subject.resource.to_owned()))
            .collect()
    }

    /// An object of a kind.
    pub fn add(&mut self, group: &str, resource: &str, object: &Value, now: Timestamp) {
        let subject = Subject { group, resource };
        if (group, resource) == ("", "pods") && is_overdue(object, now) {
            return;
        }
        if quota::matches(subject, object, &self.quota) {
            for (name, amount) in quota::of(subject, object) {
                if let Some(sum) = self.used.get_mut(&name) {
                    *sum += amount;
                }
            }
        }
    }

    /// So many objects of a kind of which only the number counts.
    pub fn add_many(&mut self, group: &str, resource: &str, count: usize) {
        let subject = Subject { group, resource };
        if quota::matches(subject, &Value::Null, &self.quota) {
            let count = Quantity::from_units(i64::try_from(count).unwrap_or(i64::MAX));
            for (name, _) in quota::of(subject, &Value::Null) {
                if let Some(sum) = self.used.get_mut(&name) {
                    *sum += count;
                }
            }
        }
    }

    /// Begins with a kind: of what its objects use there is a number from now on, be there any or not.
    pub fn begin(&mut self, subject: Subject<'_>) {
        let hard: Vec<String> = self.hard().map(str::to_owned).collect();
        for name in hard.into_iter().filter(|name| quota::counts(subject, name)) {
            self.used.entry(name).or_default();
        }
    }

    /// What the status should be, unless it is that already. What could not be counted is as it was.
    #[must_use]
    pub fn status(&self) -> Option<Value> {
        let (hard, old) = (&self.quota["spec"]["hard"], &self.quota["status"]);
        let before = quota::amounts(&self.quota, "/status/used");
        let mut used = Map::new();
        for name in self.hard() {
            let amount = self.used.get(name).or_else(|| before.get(name));
            used.extend(amount.map(|amount| (name.to_owned(), amount.to_string().into())));
        }
        let same = |one: &str, other: Amounts| quota::amounts(&self.quota, one) == other;
        let wanted = json!({"hard": hard, "used": used});
        let right = same("/status/hard", quota::amounts(&self.quota, "/spec/hard"))
            && same("/status/used", quota::amounts(&wanted, "/used"))
            && old["hard"].is_object()
            && old["used"].is_object();
        (!right).then_some(wanted)
    }
}

/// Whether a pod should be gone long since: nobody is charged for a node that is lost.
fn is_overdue(pod: &Value, now: Timestamp) -> bool {
    let until = fields::text(pod, "/metadata/deletionTimestamp").parse::<Timestamp>();
    let grace = fields::number(pod, "/metadata/deletionGracePeriodSeconds");
    match (until, grace) {
        (Ok(until), Some(grace)) => now.duration_since(until) > SignedDuration::from_secs(grace),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
