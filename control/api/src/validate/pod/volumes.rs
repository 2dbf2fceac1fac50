//! Volumes of a pod: names, and exactly one source each.

use super::containers::Volumes;
use super::volume_source;
use crate::core::{PodSpec, Volume};
use crate::validate::field::{ErrorList, Path};
use crate::validate::names;

/// What a volume is, as far as other fields care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VolumeKind {
    /// An empty directory.
    EmptyDir,
    /// A claim, named or made for the pod.
    Claim,
    /// Anything else.
    Other,
}

pub(super) fn validate(spec: &PodSpec, path: &Path, errors: &mut ErrorList) -> Volumes {
    let mut volumes = Volumes::new();
    for (index, volume) in spec.volumes.iter().flatten().enumerate() {
        let path = path.index(index);
        let at = path.child("name");
        match volume.name.as_str() {
            "" => errors.required(&at, ""),
            name => errors.check(&at, name, names::dns_label(name)),
        }
        let kind = source(volume, &path, errors);
        if volumes.insert(volume.name.clone(), kind).is_some() {
            errors.duplicate(&at, volume.name.as_str());
        }
    }
    volumes
}

fn source(volume: &Volume, path: &Path, errors: &mut ErrorList) -> VolumeKind {
    match sources(volume).as_slice() {
        [] => errors.required(path, "must specify a volume type"),
        [_] => {}
        [_, more @ ..] => {
            for name in more {
                errors.forbidden(&path.child(name), "may not specify more than 1 volume type");
            }
        }
    }
    volume_source::validate(volume, path, errors);
    if volume.empty_dir.is_some() {
        VolumeKind::EmptyDir
    } else if volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some() {
        VolumeKind::Claim
    } else {
        VolumeKind::Other
    }
}

/// The names of the sources that a volume gives.
fn sources(v: &Volume) -> Vec<&'static str> {
    let all = [
        ("emptyDir", v.empty_dir.is_some()),
        ("hostPath", v.host_path.is_some()),
        ("configMap", v.config_map.is_some()),
        ("secret", v.secret.is_some()),
        ("downwardAPI", v.downward_api.is_some()),
        ("projected", v.projected.is_some()),
        ("persistentVolumeClaim", v.persistent_volume_claim.is_some()),
        ("csi", v.csi.is_some()),
        ("ephemeral", v.ephemeral.is_some()),
        ("image", v.image.is_some()),
        ("nfs", v.nfs.is_some()),
        ("iscsi", v.iscsi.is_some()),
        ("fc", v.fc.is_some()),
        ("gitRepo", v.git_repo.is_some()),
        ("flexVolume", v.flex_volume.is_some()),
        ("awsElasticBlockStore", v.aws_elastic_block_store.is_some()),
        ("azureDisk", v.azure_disk.is_some()),
        ("azureFile", v.azure_file.is_some()),
        ("cephfs", v.cephfs.is_some()),
        ("cinder", v.cinder.is_some()),
        ("flocker", v.flocker.is_some()),
        ("gcePersistentDisk", v.gce_persistent_disk.is_some()),
        ("glusterfs", v.glusterfs.is_some()),
        ("photonPersistentDisk", v.photon_persistent_disk.is_some()),
        ("portworxVolume", v.portworx_volume.is_some()),
        ("quobyte", v.quobyte.is_some()),
        ("rbd", v.rbd.is_some()),
        ("scaleIO", v.scale_io.is_some()),
        ("storageos", v.storageos.is_some()),
        ("vsphereVolume", v.vsphere_volume.is_some()),
    ];
    all.into_iter()
        .filter(|(_, set)| *set)
        .map(|(name, _)| name)
        .collect()
}
