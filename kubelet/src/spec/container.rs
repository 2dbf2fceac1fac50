//! Configuration of one container.

use k8s_openapi::api::core::v1::{Container, Pod};
use keelson_cri::config::{
    ContainerConfig, ContainerMetadata, ImageSpec, KeyValue, LinuxContainerConfig, Mount, Signal,
};

use super::SpecError;
use super::env::{DownwardFacts, environment, expand_words};
use super::labels::{container_annotations, container_labels};
use super::resources::{NodeLimits, container_resources};
use super::security::{Confinement, ImageUser, container_security};

/// What a container needs beyond the pod itself.
#[derive(Clone, Debug)]
pub struct ContainerInputs<'a> {
    /// Its restart count.
    pub attempt: u32,
    /// Hash of its definition.
    pub hash: u64,
    /// The image by digest.
    pub image_ref: &'a str,
    /// The user that the image names.
    pub image_user: &'a ImageUser,
    /// Mounts of its volumes and of the pod's files.
    pub mounts: Vec<Mount>,
    /// For the downward API.
    pub facts: &'a DownwardFacts,
    /// What the node lets it have.
    pub limits: &'a NodeLimits,
    /// Security settings of the node.
    pub confinement: &'a Confinement,
    /// The container whose process namespace an ephemeral container joins.
    pub target: Option<&'a str>,
}

/// What `CreateContainer` is asked for.
///
/// # Errors
/// [`SpecError`] naming the field that can't be met (`CreateContainerConfigError`).
pub fn container_config(
    pod: &Pod,
    container: &Container,
    inputs: &ContainerInputs<'_>,
) -> Result<ContainerConfig, SpecError> {
    let env = environment(pod, container, inputs.facts)?;
    let security = container_security(
        pod,
        container,
        inputs.image_user,
        inputs.confinement,
        inputs.target,
    )?;
    Ok(ContainerConfig {
        metadata: Some(ContainerMetadata {
            name: container.name.clone(),
            attempt: inputs.attempt,
        }),
        image: Some(ImageSpec {
            image: inputs.image_ref.to_owned(),
            user_specified_image: container.image.clone().unwrap_or_default(),
            ..Default::default()
        }),
        command: expand_words(container.command.as_ref(), &env),
        args: expand_words(container.args.as_ref(), &env),
        working_dir: container.working_dir.clone().unwrap_or_default(),
        envs: env
            .into_iter()
            .map(|(key, value)| KeyValue {
                key,
                value: value.into_bytes(),
            })
            .collect(),
        mounts: inputs.mounts.clone(),
        labels: container_labels(pod, &container.name),
        annotations: container_annotations(pod, container, inputs.hash, inputs.attempt),
        log_path: format!("{}/{}.log", container.name, inputs.attempt),
        stdin: container.stdin.unwrap_or(false),
        stdin_once: container.stdin_once.unwrap_or(false),
        tty: container.tty.unwrap_or(false),
        linux: Some(LinuxContainerConfig {
            resources: Some(container_resources(pod, container, inputs.limits)),
            security_context: Some(security),
        }),
        stop_signal: stop_signal(container).into(),
        ..Default::default()
    })
}

fn stop_signal(container: &Container) -> Signal {
    let name = container
        .lifecycle
        .as_ref()
        .and_then(|hooks| hooks.stop_signal.as_deref());
    name.and_then(Signal::from_str_name)
        .unwrap_or(Signal::RuntimeDefault)
}
