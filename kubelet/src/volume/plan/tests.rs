//! Tables over whole pods: what is planned, and what is refused with which words.

use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::volume::ownership::ChangePolicy;

fn planned(spec: Value, facts: &Facts) -> Result<VolumePlan, VolumeError> {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {
            "name": "web", "namespace": "shop", "uid": "u1",
            "labels": {"app": "web", "tier": "front"},
        },
        "spec": spec,
    }))
    .unwrap();
    plan(&pod, "u1", &Paths::new("/k"), facts)
}

fn refused(spec: Value, words: &str) {
    let error = planned(spec.clone(), &Facts::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(words),
        "{spec}: {error:?} does not say {words:?}"
    );
}

fn pod(volume: Value, mount: Value) -> Value {
    json!({"volumes": [volume], "containers": [{"name": "app", "volumeMounts": [mount]}]})
}

fn empty(mount: Value) -> Value {
    pod(json!({"name": "v", "emptyDir": {}}), mount)
}

fn only_mount(spec: Value, facts: &Facts) -> PlannedMount {
    planned(spec, facts).unwrap().mounts["app"][0].clone()
}

const VOLUME: &str = "/k/pods/u1/volumes/kubernetes.io~empty-dir/v";

#[test]
fn an_empty_dir_and_its_mount() {
    let spec = json!({
        "securityContext": {"fsGroup": 7, "fsGroupChangePolicy": "OnRootMismatch"},
        "volumes": [{"name": "v", "emptyDir": {}}],
        "initContainers": [{"name": "first", "volumeMounts": [{"name": "v", "mountPath": "x"}]}],
        "containers": [{"name": "app", "volumeMounts": [{"name": "v", "mountPath": "/data"}]}],
    });
    let facts = Facts {
        selinux: true,
        ..Facts::default()
    };
    let got = planned(spec, &facts).unwrap();
    let step = VolumeStep::EmptyDir {
        path: VOLUME.into(),
        medium: Medium::Disk,
        ownership: Some(Ownership {
            group: 7,
            policy: ChangePolicy::OnRootMismatch,
        }),
    };
    assert_eq!(got.pod_dir, Path::new("/k/pods/u1"));
    assert_eq!(
        got.volumes,
        [PlannedVolume {
            name: "v".to_owned(),
            step
        }]
    );
    let (first, app) = (&got.mounts["first"][0], &got.mounts["app"][0]);
    assert_eq!(app.source, MountSource::Path(VOLUME.into()));
    assert_eq!(
        (first.container_path.as_str(), app.container_path.as_str()),
        ("/x", "/data")
    );
    assert_eq!((first.selinux_relabel, app.selinux_relabel), (true, false));
}

#[test]
fn sub_paths() {
    let environment = [(
        "app".to_owned(),
        [("WHO".to_owned(), "me".to_owned())].into(),
    )]
    .into();
    let facts = Facts {
        environment,
        ..Facts::default()
    };
    let check = |mount: Value, want: &str| {
        let want = MountSource::SubPath {
            volume: VOLUME.into(),
            sub_path: want.into(),
            target: "/k/pods/u1/volume-subpaths/v/app/0".into(),
        };
        assert_eq!(only_mount(empty(mount), &facts).source, want);
    };
    check(
        json!({"name": "v", "mountPath": "/d", "subPath": "a/b"}),
        "a/b",
    );
    check(
        json!({"name": "v", "mountPath": "/d", "subPathExpr": "log/$(WHO)"}),
        "log/me",
    );
    let whole = only_mount(
        empty(json!({"name": "v", "mountPath": "/d", "subPath": ""})),
        &facts,
    );
    assert_eq!(whole.source, MountSource::Path(VOLUME.into()));
    let bad = |field: &str, value: &str, words| {
        refused(
            empty(json!({"name": "v", "mountPath": "/d", field: value})),
            words,
        );
    };
    bad(
        "subPath",
        "../x",
        "subPath \"../x\" must be a relative path without '..'",
    );
    bad("subPath", "/x", "must be a relative path");
    bad(
        "subPathExpr",
        "$(NO)",
        "names a variable that env of the container lacks",
    );
    let both = json!({"name": "v", "mountPath": "/d", "subPath": "a", "subPathExpr": "b"});
    refused(empty(both), "exclude each other");
}

#[test]
fn read_only_and_propagation() {
    let mount = |more: Value| {
        let mut mount = json!({"name": "v", "mountPath": "/d"});
        mount
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        empty(mount)
    };
    let capable = Facts {
        recursive_read_only: true,
        ..Facts::default()
    };
    let check = |more: Value, facts: &Facts, want| {
        let got = only_mount(mount(more.clone()), facts);
        assert_eq!((got.read_only, got.recursive_read_only), want, "{more}");
    };
    let plain = Facts::default();
    check(json!({}), &plain, (false, false));
    check(json!({"readOnly": true}), &plain, (true, false));
    check(
        json!({"readOnly": true, "recursiveReadOnly": "IfPossible"}),
        &plain,
        (true, false),
    );
    check(
        json!({"readOnly": true, "recursiveReadOnly": "IfPossible"}),
        &capable,
        (true, true),
    );
    check(
        json!({"readOnly": true, "recursiveReadOnly": "Enabled"}),
        &capable,
        (true, true),
    );
    let bad = |more: Value, words| refused(mount(more), words);
    bad(
        json!({"recursiveReadOnly": "Enabled"}),
        "needs readOnly: true",
    );
    bad(
        json!({"readOnly": true, "recursiveReadOnly": "Enabled"}),
        "is not offered by the runtime",
    );
    bad(
        json!({"readOnly": true, "recursiveReadOnly": "Yes"}),
        "must be Disabled, IfPossible",
    );
    bad(
        json!({"readOnly": true, "recursiveReadOnly": "IfPossible",
               "mountPropagation": "HostToContainer"}),
        "needs mountPropagation: None",
    );
    bad(
        json!({"mountPropagation": "Both"}),
        "must be None, HostToContainer or Bidirectional",
    );
    bad(
        json!({"mountPropagation": "Bidirectional"}),
        "only to privileged containers",
    );
    let mut privileged = mount(json!({"mountPropagation": "Bidirectional"}));
    privileged["containers"][0]["securityContext"] = json!({"privileged": true});
    assert_eq!(
        only_mount(privileged, &plain).propagation,
        Propagation::Bidirectional
    );
    let down = mount(json!({"mountPropagation": "HostToContainer"}));
    assert_eq!(
        only_mount(down, &plain).propagation,
        Propagation::HostToContainer
    );
}

#[test]
fn host_paths_and_images() {
    let mount = json!({"name": "v", "mountPath": "/d", "subPath": "s"});
    let source = json!({"name": "v", "hostPath": {"path": "/srv", "type": "Directory"}});
    let got = planned(pod(source, mount.clone()), &Facts::default()).unwrap();
    let step = VolumeStep::HostPath {
        path: "/srv".into(),
        kind: HostPathType::Directory,
    };
    assert_eq!(got.volumes[0].step, step);
    let image = json!({"name": "v", "image": {"reference": "r/i:1", "pullPolicy": "Never"}});
    let got = planned(pod(image, mount), &Facts::default()).unwrap();
    let mount = &got.mounts["app"][0];
    let source = MountSource::Image {
        reference: "r/i:1".to_owned(),
        sub_path: Some("s".to_owned()),
    };
    assert_eq!((&mount.source, mount.read_only), (&source, true));
}

#[test]
fn refusals_name_volume_and_cure() {
    let mount = json!({"name": "v", "mountPath": "/d"});
    let bad = |volume: Value, words| refused(pod(volume, mount.clone()), words);
    bad(json!({"name": "v"}), "volume \"v\" has no source");
    bad(
        json!({"name": "../v", "emptyDir": {}}),
        "cannot be used as a directory name",
    );
    bad(
        json!({"name": "w", "emptyDir": {}}),
        "names volume \"v\", which spec.volumes lacks",
    );
    bad(
        json!({"name": "v", "secret": {"secretName": "s"}}),
        "secret is not supported without an apiserver",
    );
    bad(
        json!({"name": "v", "nfs": {"server": "s", "path": "/"}}),
        "nfs is not supported by this kubelet",
    );
    bad(
        json!({"name": "v", "hostPath": {"path": "srv"}}),
        "must be absolute",
    );
    bad(
        json!({"name": "v", "hostPath": {"path": "/a/../b"}}),
        "without '..'",
    );
    bad(
        json!({"name": "v", "hostPath": {"path": "/a", "type": "Dir"}}),
        "Dir is an invalid hostPath.type",
    );
    bad(
        json!({"name": "v", "image": {"reference": ""}}),
        "image.reference is empty",
    );
    let twice = json!({
        "volumes": [{"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}],
        "containers": [],
    });
    refused(twice, "\"v\" is used twice");
    let block = json!({
        "volumes": [{"name": "v", "emptyDir": {}}],
        "containers": [{"name": "app", "volumeDevices": [{"name": "v", "devicePath": "/dev/x"}]}],
    });
    refused(block, "needs a block volume");
}
