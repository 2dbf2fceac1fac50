//! From `volumeMounts` of every container to mounts. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{PodSpec, SecurityContext, VolumeDevice, VolumeMount};
use keelson_api::expand::{expand, unknown_references};

use super::{
    Facts, MountSource, PlannedMount, PlannedVolume, Propagation, VolumeError, VolumeStep,
};
use crate::pod_files::layout::{Paths, check_segment};

/// The parts of a container, of whichever kind, that mounts depend on.
struct Mounting<'a> {
    name: &'a str,
    mounts: &'a [VolumeMount],
    devices: &'a [VolumeDevice],
    security: Option<&'a SecurityContext>,
}

/// Where one mount is declared, and what its source needs to know.
struct Context<'a> {
    container: &'a Mounting<'a>,
    uid: &'a str,
    paths: &'a Paths,
    facts: &'a Facts,
}

/// Mounts of every container, by container name.
pub(super) fn mounts(
    spec: &PodSpec,
    volumes: &[PlannedVolume],
    uid: &str,
    paths: &Paths,
    facts: &Facts,
) -> Result<BTreeMap<String, Vec<PlannedMount>>, VolumeError> {
    let mut labelled = BTreeSet::new();
    let mut all = BTreeMap::new();
    for container in &containers(spec) {
        check_segment("container name", container.name)?;
        let context = Context {
            container,
            uid,
            paths,
            facts,
        };
        let planned = context.mounts(volumes, &mut labelled)?;
        all.insert(container.name.to_owned(), planned);
    }
    Ok(all)
}

fn containers(spec: &PodSpec) -> Vec<Mounting<'_>> {
    let plain = spec
        .init_containers
        .iter()
        .flatten()
        .chain(&spec.containers);
    let plain = plain.map(|c| Mounting {
        name: &c.name,
        mounts: c.volume_mounts.as_deref().unwrap_or_default(),
        devices: c.volume_devices.as_deref().unwrap_or_default(),
        security: c.security_context.as_ref(),
    });
    let ephemeral = spec
        .ephemeral_containers
        .iter()
        .flatten()
        .map(|c| Mounting {
            name: &c.name,
            mounts: c.volume_mounts.as_deref().unwrap_or_default(),
            devices: c.volume_devices.as_deref().unwrap_or_default(),
            security: c.security_context.as_ref(),
        });
    plain.chain(ephemeral).collect()
}

impl Context<'_> {
    fn mounts<'v>(
        &self,
        volumes: &'v [PlannedVolume],
        labelled: &mut BTreeSet<&'v str>,
    ) -> Result<Vec<PlannedMount>, VolumeError> {
        if let Some(device) = self.container.devices.first() {
            return Err(VolumeError::BlockDevice {
                container: self.container.name.to_owned(),
                volume: device.name.clone(),
            });
        }
        let mut planned = Vec::with_capacity(self.container.mounts.len());
        for (index, mount) in self.container.mounts.iter().enumerate() {
            let volume = self.volume(volumes, mount)?;
            // Only the first mount relabels: a second label would shut the first container out.
            let managed = self.facts.selinux && volume.step.is_managed();
            let selinux_relabel = managed && labelled.insert(&volume.name);
            let (read_only, recursive_read_only) = self.read_only(mount, volume)?;
            planned.push(PlannedMount {
                volume: mount.name.clone(),
                container_path: absolute(&mount.mount_path),
                source: self.source(mount, index, volume)?,
                read_only,
                recursive_read_only,
                propagation: self.propagation(mount)?,
                selinux_relabel,
            });
        }
        Ok(planned)
    }

    fn volume<'v>(
        &self,
        volumes: &'v [PlannedVolume],
        mount: &VolumeMount,
    ) -> Result<&'v PlannedVolume, VolumeError> {
        let found = volumes.iter().find(|volume| volume.name == mount.name);
        found.ok_or_else(|| VolumeError::UnknownVolume {
            container: self.container.name.to_owned(),
            volume: mount.name.clone(),
        })
    }

    fn source(
        &self,
        mount: &VolumeMount,
        index: usize,
        volume: &PlannedVolume,
    ) -> Result<MountSource, VolumeError> {
        let sub_path = self.sub_path(mount)?;
        let path = match &volume.step {
            VolumeStep::Image { reference, .. } => {
                let reference = reference.clone();
                return Ok(MountSource::Image {
                    reference,
                    sub_path,
                });
            }
            VolumeStep::EmptyDir { path, .. }
            | VolumeStep::Content { path, .. }
            | VolumeStep::HostPath { path, .. } => path.clone(),
        };
        Ok(match sub_path {
            None => MountSource::Path(path),
            Some(sub_path) => MountSource::SubPath {
                volume: path,
                sub_path: PathBuf::from(sub_path),
                target: self
                    .paths
                    .subpath(self.uid, &mount.name, self.container.name, index),
            },
        })
    }

    /// The part of the volume that is wanted, if not all of it.
    fn sub_path(&self, mount: &VolumeMount) -> Result<Option<String>, VolumeError> {
        let set = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
        let (field, sub_path) = match (set(&mount.sub_path), set(&mount.sub_path_expr)) {
            (Some(plain), None) => ("subPath", plain),
            (None, Some(expression)) => ("subPathExpr", self.expand(mount, &expression)?),
            (None, None) => return Ok(None),
            (Some(plain), Some(_)) => {
                let cure = "and subPathExpr exclude each other: keep one";
                return Err(self.refuse(mount, "subPath", &plain, cure));
            }
        };
        if !is_inside(Path::new(&sub_path)) {
            let cure = "must be a relative path without '..'";
            return Err(self.refuse(mount, field, &sub_path, cure));
        }
        Ok(Some(sub_path))
    }

    /// Unlike in commands, a name without value is an error: the path would be another one.
    fn expand(&self, mount: &VolumeMount, expression: &str) -> Result<String, VolumeError> {
        let environment = self.facts.environment.get(self.container.name);
        let value = |name: &str| environment.and_then(|known| known.get(name)).cloned();
        if !unknown_references(expression, |name| value(name).is_some()).is_empty() {
            let cure = "names a variable that env of the container lacks";
            return Err(self.refuse(mount, "subPathExpr", expression, cure));
        }
        Ok(expand(expression, value))
    }

    /// `readOnly` and `recursiveReadOnly`. Images, and files that the kubelet writes, are never
    /// writable.
    fn read_only(
        &self,
        mount: &VolumeMount,
        volume: &PlannedVolume,
    ) -> Result<(bool, bool), VolumeError> {
        let forced = matches!(
            volume.step,
            VolumeStep::Image { .. } | VolumeStep::Content { .. }
        );
        let read_only = forced || mount.read_only.unwrap_or_default();
        let mode = mount.recursive_read_only.as_deref().unwrap_or("Disabled");
        let refuse = |cure| Err(self.refuse(mount, "recursiveReadOnly", mode, cure));
        let private = matches!(mount.mount_propagation.as_deref(), None | Some("None"));
        let recursive = match mode {
            "Disabled" => return Ok((read_only, false)),
            _ if !mount.read_only.unwrap_or_default() => return refuse("needs readOnly: true"),
            _ if !private => return refuse("needs mountPropagation: None"),
            "IfPossible" => self.facts.recursive_read_only,
            "Enabled" if self.facts.recursive_read_only => true,
            "Enabled" => return refuse("is not offered by the runtime handler of this pod"),
            _ => return refuse("must be Disabled, IfPossible or Enabled"),
        };
        Ok((read_only, recursive))
    }

    fn propagation(&self, mount: &VolumeMount) -> Result<Propagation, VolumeError> {
        let privileged = self.container.security.and_then(|s| s.privileged) == Some(true);
        let value = mount.mount_propagation.as_deref().unwrap_or("None");
        let cure = match value {
            "None" => return Ok(Propagation::Private),
            "HostToContainer" => return Ok(Propagation::HostToContainer),
            "Bidirectional" if privileged => return Ok(Propagation::Bidirectional),
            "Bidirectional" => "is available only to privileged containers",
            _ => "must be None, HostToContainer or Bidirectional",
        };
        Err(self.refuse(mount, "mountPropagation", value, cure))
    }

    fn refuse(
        &self,
        mount: &VolumeMount,
        field: &'static str,
        value: &str,
        cure: &'static str,
    ) -> VolumeError {
        VolumeError::Mount {
            container: self.container.name.to_owned(),
            volume: mount.name.clone(),
            field,
            value: value.to_owned(),
            cure,
        }
    }
}

/// Whether a path can only mean something below its base.
fn is_inside(path: &Path) -> bool {
    path.components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// A relative `mountPath` is taken from the root.
fn absolute(mount_path: &str) -> String {
    if mount_path.starts_with('/') {
        mount_path.to_owned()
    } else {
        format!("/{mount_path}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside() {
        let check = |path: &str, want| assert_eq!(is_inside(Path::new(path)), want, "{path}");
        check("a/b", true);
        check("./a", true);
        check("..a/b", true);
        check("../a", false);
        check("a/../b", false);
        check("/a", false);
    }
}
