//! The defaults of a volume of a pod.

use super::fill;
use crate::core::{
    DownwardAPIVolumeFile, EmptyDirVolumeSource, ProjectedVolumeSource, Volume, VolumeProjection,
};
use crate::image_reference::default_pull_policy;

/// Files are readable by everyone and writable by their owner.
const FILE_MODE: i32 = 0o644;

/// Fills in every default of one volume. A volume without a source is an empty directory.
pub(super) fn apply(volume: &mut Volume) {
    if !has_source(volume) {
        volume.empty_dir = Some(EmptyDirVolumeSource::default());
    }
    if let Some(host_path) = &mut volume.host_path {
        fill::absent(&mut host_path.type_, String::new());
    }
    if let Some(secret) = &mut volume.secret {
        fill::absent(&mut secret.default_mode, FILE_MODE);
    }
    if let Some(config_map) = &mut volume.config_map {
        fill::absent(&mut config_map.default_mode, FILE_MODE);
    }
    if let Some(downward) = &mut volume.downward_api {
        fill::absent(&mut downward.default_mode, FILE_MODE);
        apply_files(&mut downward.items);
    }
    if let Some(projected) = &mut volume.projected {
        apply_projected(projected);
    }
    if let Some(image) = &mut volume.image {
        let name = image.reference.as_deref().unwrap_or_default();
        fill::text(&mut image.pull_policy, default_pull_policy(name));
    }
    if let Some(claim) = volume
        .ephemeral
        .as_mut()
        .and_then(|e| e.volume_claim_template.as_mut())
    {
        fill::absent(&mut claim.spec.volume_mode, "Filesystem".to_owned());
    }
    apply_network_storage(volume);
}

fn has_source(volume: &Volume) -> bool {
    let bare = Volume {
        name: volume.name.clone(),
        ..Volume::default()
    };
    *volume != bare
}

fn apply_files(items: &mut Option<Vec<DownwardAPIVolumeFile>>) {
    for item in items.iter_mut().flatten() {
        if let Some(field) = &mut item.field_ref {
            fill::text(&mut field.api_version, "v1");
        }
        if let Some(resource) = &mut item.resource_field_ref {
            fill::absent(&mut resource.divisor, crate::WireQuantity("0".to_owned()));
        }
    }
}

fn apply_projected(projected: &mut ProjectedVolumeSource) {
    fill::absent(&mut projected.default_mode, FILE_MODE);
    projected
        .sources
        .iter_mut()
        .flatten()
        .for_each(apply_projection);
}

fn apply_projection(source: &mut VolumeProjection) {
    if let Some(downward) = &mut source.downward_api {
        apply_files(&mut downward.items);
    }
    if let Some(token) = &mut source.service_account_token {
        fill::absent(&mut token.expiration_seconds, 3_600);
    }
    if let Some(certificate) = &mut source.pod_certificate {
        fill::absent(&mut certificate.max_expiration_seconds, 86_400);
    }
}

fn apply_network_storage(volume: &mut Volume) {
    if let Some(iscsi) = &mut volume.iscsi {
        fill::text(&mut iscsi.iscsi_interface, "default");
    }
    if let Some(rbd) = &mut volume.rbd {
        fill::text(&mut rbd.pool, "rbd");
        fill::text(&mut rbd.user, "admin");
        fill::text(&mut rbd.keyring, "/etc/ceph/keyring");
    }
    if let Some(disk) = &mut volume.azure_disk {
        fill::absent(&mut disk.caching_mode, "ReadWrite".to_owned());
        fill::absent(&mut disk.kind, "Shared".to_owned());
        fill::absent(&mut disk.fs_type, "ext4".to_owned());
        fill::absent(&mut disk.read_only, false);
    }
    if let Some(scale_io) = &mut volume.scale_io {
        fill::text(&mut scale_io.storage_mode, "ThinProvisioned");
        fill::text(&mut scale_io.fs_type, "xfs");
    }
}
