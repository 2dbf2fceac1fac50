//! What a pod's failure means to its Job.

use crate::kinds::job::{FailureRule, Job, OnExitCodes};
use crate::kinds::{Object as _, Pod};

/// What follows from a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It counts.
    Count,
    /// It counts for nothing.
    Ignore,
    /// The pod's index has failed for good.
    FailIndex,
    /// The Job has failed, with this message.
    FailJob(String),
}

/// What a failed pod means.
#[must_use]
pub fn meaning(job: &Job, pod: &Pod) -> Meaning {
    let rules = job
        .spec
        .pod_failure_policy
        .iter()
        .flat_map(|policy| &policy.rules);
    for (at, rule) in rules.enumerate() {
        let Some(why) = fits(rule, pod) else {
            continue;
        };
        let action = &*rule.action;
        return match action {
            "Ignore" => Meaning::Ignore,
            "FailIndex" if job.spec.backoff_limit_per_index.is_some() => Meaning::FailIndex,
            "FailJob" => Meaning::FailJob(format!("{why} matching FailJob rule at index {at}")),
            _ => Meaning::Count,
        };
    }
    Meaning::Count
}

/// Why the rule fits, in words.
fn fits(rule: &FailureRule, pod: &Pod) -> Option<String> {
    let name = pod.key();
    if let Some(codes) = &rule.on_exit_codes {
        let (container, code) = exit_code(codes, pod)?;
        return Some(format!(
            "Container {container} for pod {name} failed with exit code {code}"
        ));
    }
    let found = pod.status.conditions.iter().find(|condition| {
        let mut wanted = rule.on_pod_conditions.iter();
        wanted.any(|wanted| wanted.kind == condition.kind && wanted.status == condition.status)
    })?;
    Some(format!("Pod {name} has condition {}", found.kind))
}

fn exit_code<'a>(codes: &OnExitCodes, pod: &'a Pod) -> Option<(&'a str, i32)> {
    let statuses = pod.status.container_statuses.iter();
    let mut all = statuses.chain(&pod.status.init_container_statuses);
    all.find_map(|status| {
        let code = status.state.terminated.as_ref()?.exit_code;
        let is_meant = codes
            .container_name
            .as_deref()
            .is_none_or(|name| name == &*status.name);
        let listed = codes.values.contains(&code);
        let fits = if &*codes.operator == "In" {
            listed
        } else {
            !listed
        };
        (code != 0 && is_meant && fits).then_some((&*status.name, code))
    })
}
