//! Environment of a container: literal values, downward API references, and `$(VAR)` expansion.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, Pod, ResourceFieldSelector};
use keelson_api::expand::expand;
use keelson_api::field_path::{self, FieldPathError, NodeFacts};
use keelson_api::resources::Amounts;

use super::SpecError;
use crate::model::objects::Objects;

mod refer;
pub mod services;

/// What the downward API can tell beyond the pod's manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DownwardFacts {
    /// `spec.nodeName`.
    pub node_name: String,
    /// `status.hostIPs`.
    pub host_ips: Vec<IpAddr>,
    /// `status.podIPs`.
    pub pod_ips: Vec<IpAddr>,
    /// What the node offers: the limits of a container without its own.
    pub allocatable: Amounts,
    /// What the pod refers to in the API.
    pub objects: Objects,
}

/// Variables of a container: those for services, then its own in the order of its manifest,
/// expanded; a later one of equal name replaces an earlier one.
///
/// # Errors
/// [`SpecError::Env`] for a reference that can't be met, [`SpecError::NotSupported`] for one that
/// needs an apiserver.
pub fn environment(
    pod: &Pod,
    container: &Container,
    facts: &DownwardFacts,
) -> Result<Vec<(String, String)>, SpecError> {
    let taken_over = refer::env_from(container, &facts.objects)?;
    let mut values: BTreeMap<&str, String> = BTreeMap::new();
    let mut order: Vec<&str> = Vec::new();
    let services = facts.objects.service_variables.iter();
    for (name, value) in services.chain(&taken_over) {
        if values.insert(name, value.clone()).is_none() {
            order.push(name);
        }
    }
    for variable in container.env.iter().flatten() {
        let value = match &variable.value_from {
            None => expand(variable.value.as_deref().unwrap_or_default(), |name| {
                values.get(name).cloned()
            }),
            Some(source) => match referenced(pod, container, variable, source, facts)? {
                Some(value) => value,
                None => continue,
            },
        };
        if values.insert(&variable.name, value).is_none() {
            order.push(&variable.name);
        }
    }
    let pair = |name: &str| {
        (
            name.to_owned(),
            values.get(name).cloned().unwrap_or_default(),
        )
    };
    Ok(order.into_iter().map(pair).collect())
}

/// `command` or `args` with `$(VAR)` replaced by the container's variables.
#[must_use]
pub fn expand_words(words: Option<&Vec<String>>, env: &[(String, String)]) -> Vec<String> {
    let find = |name: &str| {
        env.iter()
            .rev()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.clone())
    };
    words
        .into_iter()
        .flatten()
        .map(|word| expand(word, find))
        .collect()
}

fn referenced(
    pod: &Pod,
    container: &Container,
    variable: &EnvVar,
    source: &EnvVarSource,
    facts: &DownwardFacts,
) -> Result<Option<String>, SpecError> {
    let wrong = |detail: String| SpecError::Env {
        container: container.name.clone(),
        name: variable.name.clone(),
        detail,
    };
    if let Some(reference) = &source.field_ref {
        let value = field_path::env_value(&reference.field_path, pod, &node_facts(facts));
        return value.map(Some).map_err(|error| wrong(error.to_string()));
    }
    if let Some(reference) = &source.resource_field_ref {
        let value = resource(pod, container, facts, reference);
        return value.map(Some).map_err(|error| wrong(error.to_string()));
    }
    refer::key(container, variable, source, &facts.objects)
}

fn resource(
    pod: &Pod,
    own: &Container,
    facts: &DownwardFacts,
    reference: &ResourceFieldSelector,
) -> Result<String, FieldPathError> {
    let of = match reference.container_name.as_deref() {
        None | Some("") => own,
        Some(name) => field_path::container(pod, name)?,
    };
    field_path::resource_value(
        &reference.resource,
        reference.divisor.as_ref().map(|divisor| divisor.0.as_str()),
        of.resources.as_ref(),
        &facts.allocatable,
    )
}

fn node_facts(facts: &DownwardFacts) -> NodeFacts {
    let text = |ips: &[IpAddr]| ips.iter().map(ToString::to_string).collect();
    NodeFacts {
        node_name: facts.node_name.clone(),
        host_ips: text(&facts.host_ips),
        pod_ips: text(&facts.pod_ips),
    }
}
