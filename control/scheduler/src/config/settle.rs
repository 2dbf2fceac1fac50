//! A configuration's text becomes fields, and fields and flags become what the scheduler runs with.
//! Pure.

use std::time::Duration;

use keelson_api::decode;
use keelson_api::yaml;
use serde_json::Value;

use super::fields::{Configuration, LeaderElection, ProfileFields};
use super::{Lease, Problem, Settled};
use crate::options::Options;
use crate::profile::Profile;
use crate::queue::Waits;
use crate::registry;

pub mod args;
pub mod points;

const API_VERSION: &str = "kubescheduler.config.k8s.io/v1";
const KIND: &str = "KubeSchedulerConfiguration";
/// The scheduler that pods get which name none.
const DEFAULT: &str = "default-scheduler";

/// A problem with a field.
fn problem(path: impl Into<String>, message: impl Into<String>) -> Problem {
    Problem {
        path: path.into(),
        message: message.into(),
    }
}

/// Reads a file's text.
///
/// # Errors
/// It is no such configuration, or has fields that there are not.
pub fn parse(text: &str) -> Result<Configuration, Problem> {
    let document = yaml::parse_one(text).map_err(|error| problem(KIND, error.message))?;
    let mut value = without_nulls(document.value);
    let (version, kind) =
        decode::type_meta(&value).map_err(|error| problem("kind", error.to_string()))?;
    if (version, kind) != (API_VERSION, KIND) {
        let message = format!("{version} {kind} is not {API_VERSION} {KIND}");
        return Err(problem("kind", message));
    }
    if let Some(object) = value.as_object_mut() {
        object.remove("apiVersion");
        object.remove("kind");
    }
    decode::strict(&value).map_err(|error| problem(error.path(), error.to_string()))
}

/// `null` means the default, as in Go.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name, without_nulls(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// What the scheduler runs with.
///
/// # Errors
/// All fields that cannot be worked with.
pub fn settle(fields: Configuration, options: &Options) -> Result<Settled, Vec<Problem>> {
    let mut problems = Vec::new();
    if !fields.extenders.is_empty() {
        problems.push(problem(
            "extenders",
            "extenders are not supported yet: leave them out",
        ));
    }
    let waits = waits(&fields, &mut problems);
    let election = election(&fields.leader_election, options, &mut problems);
    let kubeconfig = Some(&fields.client_connection.kubeconfig).filter(|path| !path.is_empty());
    let kubeconfig = match (&options.config, kubeconfig) {
        (Some(_), Some(path)) => Some(path.into()),
        _ => options.kubeconfig.clone(),
    };
    let percentage = fields.percentage_of_nodes_to_score;
    let profiles = profiles(fields.profiles, percentage, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Settled {
        profiles,
        waits,
        election,
        kubeconfig,
    })
}

fn waits(fields: &Configuration, problems: &mut Vec<Problem>) -> Waits {
    let waits = Waits::default();
    let seconds = |given: Option<u64>, default| given.map_or(default, Duration::from_secs);
    let waits = Waits {
        first: seconds(fields.pod_initial_backoff_seconds, waits.first),
        most: seconds(fields.pod_max_backoff_seconds, waits.most),
        ..waits
    };
    if waits.first.is_zero() {
        problems.push(problem(
            "podInitialBackoffSeconds",
            "must be greater than 0",
        ));
    }
    if waits.most < waits.first {
        let message = "must be greater than or equal to podInitialBackoffSeconds";
        problems.push(problem("podMaxBackoffSeconds", message));
    }
    waits
}

fn election(
    fields: &LeaderElection,
    options: &Options,
    problems: &mut Vec<Problem>,
) -> Option<Lease> {
    // With a file, only what the command line says explicitly wins over it.
    if !options.leader_elect.or(fields.leader_elect).unwrap_or(true) {
        return None;
    }
    if fields
        .resource_lock
        .as_ref()
        .is_some_and(|lock| lock != "leases")
    {
        problems.push(problem("leaderElection.resourceLock", "must be leases"));
    }
    let mut time = |name: &str, flag: &Option<String>, field: &Option<_>, default| {
        let flag = flag.as_ref().and_then(|text| {
            let parsed = keelson_api::duration::Duration::parse(text);
            let told = |error: &dyn std::fmt::Display| problem(name, format!("{text:?}: {error}"));
            parsed.map_err(|error| problems.push(told(&error))).ok()
        });
        let given = flag.or(*field);
        given.map_or(
            Duration::from_secs(default),
            keelson_api::duration::Duration::to_std,
        )
    };
    let lease_duration = time(
        "leaderElection.leaseDuration",
        &options.leader_elect_lease_duration,
        &fields.lease_duration,
        15,
    );
    let renew_deadline = time(
        "leaderElection.renewDeadline",
        &options.leader_elect_renew_deadline,
        &fields.renew_deadline,
        10,
    );
    let retry_period = time(
        "leaderElection.retryPeriod",
        &options.leader_elect_retry_period,
        &fields.retry_period,
        2,
    );
    if lease_duration <= renew_deadline || renew_deadline <= retry_period || retry_period.is_zero()
    {
        let message = "leaseDuration must be above renewDeadline, and that above retryPeriod";
        problems.push(problem("leaderElection", message));
    }
    let name = |flag: &Option<String>, field: &Option<String>, default: &str| {
        let given = flag.as_ref().or(field.as_ref());
        given.map_or_else(|| default.to_owned(), Clone::clone)
    };
    Some(Lease {
        namespace: name(
            &options.leader_elect_resource_namespace,
            &fields.resource_namespace,
            "kube-system",
        ),
        name: name(
            &options.leader_elect_resource_name,
            &fields.resource_name,
            "kube-scheduler",
        ),
        lease_duration,
        renew_deadline,
        retry_period,
    })
}

fn profiles(
    listed: Vec<ProfileFields>,
    percentage: Option<u32>,
    problems: &mut Vec<Problem>,
) -> Vec<Profile> {
    let listed = match listed.is_empty() {
        true => vec![ProfileFields::default()],
        false => listed,
    };
    let alone = listed.len() == 1;
    let mut profiles: Vec<Profile> = Vec::new();
    for (number, fields) in listed.into_iter().enumerate() {
        let path = format!("profiles[{number}]");
        let name = match &fields.scheduler_name {
            Some(name) => name.clone(),
            None if alone => DEFAULT.to_owned(),
            None => {
                problems.push(problem(format!("{path}.schedulerName"), "must be given"));
                continue;
            }
        };
        if profiles.iter().any(|known| known.name.text() == name) {
            let message = format!("{name:?} is there already");
            problems.push(problem(format!("{path}.schedulerName"), message));
        }
        let percentage = fields.percentage_of_nodes_to_score.or(percentage);
        if percentage.is_some_and(|percentage| percentage > 100) {
            let path = format!("{path}.percentageOfNodesToScore");
            problems.push(problem(path, "must be from 0 to 100"));
        }
        let settings = args::settings(&path, fields.plugin_config, problems);
        let mut profile = registry::profile(&name, settings);
        profile.percentage = percentage.filter(|percentage| *percentage > 0);
        points::apply(
            &mut profile,
            &fields.plugins,
            &format!("{path}.plugins"),
            problems,
        );
        profiles.push(profile);
    }
    profiles
}

#[cfg(test)]
mod tests;
