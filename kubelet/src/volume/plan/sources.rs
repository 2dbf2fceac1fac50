//! From the sources in `spec.volumes` to steps. Pure.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, HostPathVolumeSource, ImageVolumeSource, Pod, PodSpec, Volume,
};

use super::{Facts, PlannedVolume, VolumeError, VolumeStep};
use crate::pod_files::layout::{Paths, check_segment};
use crate::volume::content::Payload;
use crate::volume::empty_dir;
use crate::volume::host_path::HostPathType;
use crate::volume::ownership::Ownership;
use crate::volume::projected::Maker;

/// What steps are decided from.
struct Planner<'a> {
    pod: &'a Pod,
    spec: &'a PodSpec,
    uid: &'a str,
    paths: &'a Paths,
    facts: &'a Facts,
}

/// One step for every volume of the pod.
pub(super) fn volumes(
    pod: &Pod,
    spec: &PodSpec,
    uid: &str,
    paths: &Paths,
    facts: &Facts,
) -> Result<Vec<PlannedVolume>, VolumeError> {
    let planner = Planner {
        pod,
        spec,
        uid,
        paths,
        facts,
    };
    let mut seen = BTreeSet::new();
    let mut planned = Vec::new();
    for volume in spec.volumes.iter().flatten() {
        let name = check_segment("volume name", &volume.name)?;
        if !seen.insert(name) {
            return Err(VolumeError::Duplicate {
                volume: name.to_owned(),
            });
        }
        let step = planner.step(volume)?;
        planned.push(PlannedVolume {
            name: name.to_owned(),
            step,
        });
    }
    Ok(planned)
}

impl Planner<'_> {
    fn step(&self, volume: &Volume) -> Result<VolumeStep, VolumeError> {
        let name = volume.name.as_str();
        let maker = Maker {
            volume: name,
            pod: self.pod,
            facts: self.facts,
        };
        if let Some(source) = &volume.empty_dir {
            return self.empty_dir(name, source);
        }
        if let Some(source) = &volume.host_path {
            return host_path(name, source);
        }
        if let Some(source) = &volume.downward_api {
            return Ok(self.content("downward-api", name, maker.downward_api(source)?));
        }
        if let Some(source) = &volume.projected {
            return Ok(self.content("projected", name, maker.projected(source)?));
        }
        if let Some(source) = &volume.config_map {
            return Ok(self.content("configmap", name, maker.config_map(source)?));
        }
        if let Some(source) = &volume.secret {
            return Ok(self.content("secret", name, maker.secret(source)?));
        }
        if let Some(source) = &volume.image {
            return image(name, source);
        }
        Err(refused(volume))
    }

    fn empty_dir(
        &self,
        name: &str,
        source: &EmptyDirVolumeSource,
    ) -> Result<VolumeStep, VolumeError> {
        Ok(VolumeStep::EmptyDir {
            path: self.paths.volume(self.uid, "empty-dir", name),
            medium: empty_dir::medium(name, source, self.pod, self.facts)?,
            ownership: Ownership::of(self.spec),
        })
    }

    fn content(&self, kind: &str, name: &str, payload: Payload) -> VolumeStep {
        VolumeStep::Content {
            path: self.paths.volume(self.uid, kind, name),
            payload,
            ownership: Ownership::of(self.spec),
            medium: empty_dir::memory(None, self.pod, self.facts),
        }
    }
}

fn host_path(name: &str, source: &HostPathVolumeSource) -> Result<VolumeStep, VolumeError> {
    let path = Path::new(&source.path);
    let steps_back = path.components().any(|part| part == Component::ParentDir);
    if !path.is_absolute() || steps_back {
        return Err(VolumeError::HostPathForm {
            volume: name.to_owned(),
            path: source.path.clone(),
        });
    }
    let kind = source.type_.as_deref().unwrap_or_default();
    let kind = HostPathType::from_api(kind).ok_or_else(|| VolumeError::HostPathType {
        volume: name.to_owned(),
        kind: kind.to_owned(),
    })?;
    Ok(VolumeStep::HostPath {
        path: PathBuf::from(path),
        kind,
    })
}

fn image(name: &str, source: &ImageVolumeSource) -> Result<VolumeStep, VolumeError> {
    let reference = source.reference.clone().filter(|r| !r.is_empty());
    let reference = reference.ok_or_else(|| VolumeError::NoImage {
        volume: name.to_owned(),
    })?;
    Ok(VolumeStep::Image {
        reference,
        pull_policy: source.pull_policy.clone(),
    })
}

/// The reason why a source is not taken.
fn refused(volume: &Volume) -> VolumeError {
    let name = || volume.name.clone();
    let needs_api = [
        (
            volume.persistent_volume_claim.is_some(),
            "persistentVolumeClaim",
        ),
        (volume.ephemeral.is_some(), "ephemeral"),
        (volume.csi.is_some(), "csi"),
    ];
    if let Some((_, kind)) = needs_api.into_iter().find(|(set, _)| *set) {
        return VolumeError::NeedsApiServer {
            volume: name(),
            kind,
        };
    }
    match unsupported(volume) {
        Some(kind) => VolumeError::Unsupported {
            volume: name(),
            kind,
        },
        None => VolumeError::NoSource { volume: name() },
    }
}

fn unsupported(volume: &Volume) -> Option<&'static str> {
    let kinds = [
        (
            volume.aws_elastic_block_store.is_some(),
            "awsElasticBlockStore",
        ),
        (volume.azure_disk.is_some(), "azureDisk"),
        (volume.azure_file.is_some(), "azureFile"),
        (volume.cephfs.is_some(), "cephfs"),
        (volume.cinder.is_some(), "cinder"),
        (volume.fc.is_some(), "fc"),
        (volume.flex_volume.is_some(), "flexVolume"),
        (volume.flocker.is_some(), "flocker"),
        (volume.gce_persistent_disk.is_some(), "gcePersistentDisk"),
        (volume.git_repo.is_some(), "gitRepo"),
        (volume.glusterfs.is_some(), "glusterfs"),
        (volume.iscsi.is_some(), "iscsi"),
        (volume.nfs.is_some(), "nfs"),
        (
            volume.photon_persistent_disk.is_some(),
            "photonPersistentDisk",
        ),
        (volume.portworx_volume.is_some(), "portworxVolume"),
        (volume.quobyte.is_some(), "quobyte"),
        (volume.rbd.is_some(), "rbd"),
        (volume.scale_io.is_some(), "scaleIO"),
        (volume.storageos.is_some(), "storageos"),
        (volume.vsphere_volume.is_some(), "vsphereVolume"),
    ];
    kinds
        .into_iter()
        .find_map(|(set, kind)| set.then_some(kind))
}
