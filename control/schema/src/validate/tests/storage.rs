//! What is said about volumes, claims and what provides them.

use serde_json::json;

use super::*;

#[test]
fn volumes() {
    case("v1/persistentvolumes", r#"{"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/a"}}}"#)
        .check(&[
            ("/spec/accessModes", json!([]), "spec.accessModes: Required value: at least 1 access mode is required"),
            ("/spec/accessModes", json!(["x"]), "spec.accessModes: Unsupported value: \"x\""),
            ("/spec/capacity", json!({}), "spec.capacity: Required value"),
            ("/spec/capacity/storage", json!("0"), "spec.capacity[storage]: Invalid value: \"0\": must be greater than zero"),
            ("/spec/hostPath", Value::Null, "spec: Required value: must specify a volume type"),
            ("/spec/nfs", json!({"server": "s", "path": "/"}), "spec.nfs: Forbidden: may not specify more than 1 volume type"),
            ("/spec/hostPath/path", json!("/../a"), "spec.hostPath.path: Invalid value: \"/../a\": must not contain '..'"),
        ])
        .change(&[
            ("/spec/hostPath/path", json!("/b"), "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"),
            ("/spec/capacity/storage", json!("2Gi"), ""),
        ]);
    case("v1/persistentvolumeclaims", r#"{"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}"#)
        .check(&[
            ("/spec/resources", Value::Null, "spec.resources[storage]: Required value"),
            ("/spec/accessModes", json!(["ReadWriteOncePod", "ReadWriteMany"]), "spec.accessModes: Forbidden: may not use ReadWriteOncePod"),
        ])
        .change(&[
            ("/spec/volumeName", json!("v"), ""),
            ("/spec/accessModes", json!(["ReadWriteMany"]), "spec: Forbidden: spec is immutable after creation except"),
            ("/spec/resources/requests/storage", json!("512Mi"), "spec: Forbidden: spec is immutable after creation"),
        ]);
    case(
        "storage.k8s.io/v1/storageclasses",
        r#"{"provisioner": "example.org/x"}"#,
    )
    .check(&[
        ("/provisioner", json!(""), "provisioner: Required value"),
        (
            "/volumeBindingMode",
            json!("x"),
            "volumeBindingMode: Unsupported value: \"x\"",
        ),
    ])
    .change(&[(
        "/provisioner",
        json!("y"),
        "provisioner: Forbidden: updates to provisioner are forbidden.",
    )]);
}

#[test]
fn volumes_have_one_complete_source() {
    let csi = r#"{"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "volumeAttributesClassName": "fast",
        "csi": {"driver": "d.io", "volumeHandle": "h", "nodeStageSecretRef": {"name": "s", "namespace": "n"}}}}"#;
    case("v1/persistentvolumes", csi)
        .check(&[
            ("/spec/csi/driver", json!(""), "spec.csi.driver: Required value"),
            ("/spec/csi/nodeStageSecretRef/namespace", json!(""), "spec.csi.nodeStageSecretRef.namespace: Required value"),
            ("/spec/nodeAffinity", json!({}), "spec.nodeAffinity.required: Required value: must specify required node constraints"),
        ])
        .change(&[
            ("/spec/volumeAttributesClassName", Value::Null, "spec.volumeAttributesClassName: Forbidden: update from non-nil value to nil"),
            ("/spec/volumeAttributesClassName", json!("slow"), ""),
            ("/spec/volumeMode", json!("Block"), "spec.volumeMode: Invalid value: \"Block\": field is immutable"),
        ]);
    let iscsi = r#"{"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
        "iscsi": {"targetPortal": "p", "iqn": "iqn.2015-02.example.com:test", "lun": 1}}}"#;
    case("v1/persistentvolumes", iscsi).check(&[
        (
            "/spec/iscsi/iqn",
            json!(""),
            "spec.iscsi.iqn: Required value",
        ),
        (
            "/spec/iscsi/lun",
            json!(256),
            "spec.iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive",
        ),
        (
            "/spec/volumeAttributesClassName",
            json!("fast"),
            "spec.csi: Required value: has to be specified",
        ),
    ]);
}

#[test]
fn claims_grow_once_they_are_bound() {
    let claim = |phase: &str| {
        json!({"metadata": {"name": "a", "namespace": "n", "uid": "u"}, "status": {"phase": phase, "capacity": {"storage": "1Gi"}},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}})
    };
    let row = find("", "v1", "persistentvolumeclaims").unwrap();
    let check = |phase: &str, pointer: &str, value: Value, expected: &str| {
        let old = claim(phase);
        let mut new = old.clone();
        set(&mut new, pointer, &value);
        let errors = update(row, &new, &old).to_string();
        assert!(
            errors.contains(expected) && (errors == "[]") == expected.is_empty(),
            "{errors}"
        );
    };
    let size = "/spec/resources/requests/storage";
    let immutable = "spec: Forbidden: spec is immutable after creation except resources.requests";
    check("Bound", size, json!("3Gi"), "");
    check("Bound", size, json!("1500Mi"), "");
    check(
        "Bound",
        size,
        json!("1Gi"),
        "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity",
    );
    check("Pending", size, json!("3Gi"), immutable);
    check("Pending", "/spec/storageClassName", json!("late"), "");
    check(
        "Bound",
        "/spec/volumeAttributesClassName",
        json!("fast"),
        "",
    );
    check(
        "Pending",
        "/spec/volumeAttributesClassName",
        json!("fast"),
        immutable,
    );
    case("v1/persistentvolumeclaims", r#"{"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}"#).check(&[
        ("/spec/dataSource", json!({"kind": "VolumeSnapshot", "name": "s"}), "spec.dataSource.kind: Invalid value: \"VolumeSnapshot\": must be 'PersistentVolumeClaim'"),
        ("/spec/dataSourceRef", json!({"kind": "X", "apiGroup": "a.b", "name": ""}), "spec.dataSourceRef.name: Required value"),
    ]);
    statuses(
        "v1/persistentvolumeclaims",
        &json!({"spec": {}}),
        &[
            (
                json!({"phase": "Bound", "capacity": {"storage": "1Gi"}}),
                "",
            ),
            (
                json!({"phase": "Gone"}),
                "status.phase: Unsupported value: \"Gone\"",
            ),
            (
                json!({"capacity": {"storage": "-1"}}),
                "status.capacity[storage]: Invalid value: \"-1\"",
            ),
            (
                json!({"allocatedResourceStatuses": {"storage": "x"}}),
                "status.allocatedResourceStatuses[storage]: Unsupported value: \"x\"",
            ),
        ],
    );
}

#[test]
fn drivers_and_what_they_report() {
    case(
        "storage.k8s.io/v1/csidrivers",
        r#"{"metadata": {"name": "d.io"}, "spec": {"tokenRequests": [{"audience": "a"}]}}"#,
    )
    .check(&[
        (
            "/metadata/name",
            json!("d_io"),
            "metadata.name: Invalid value",
        ),
        (
            "/spec/tokenRequests",
            json!([{"audience": "a"}, {"audience": "a"}]),
            "spec.tokenRequests[1].audience: Duplicate value: \"a\"",
        ),
        (
            "/spec/tokenRequests/0/expirationSeconds",
            json!(1),
            "spec.tokenRequests[0].expirationSeconds: Invalid value: 1: may not specify",
        ),
    ])
    .change(&[(
        "/spec/attachRequired",
        json!(false),
        "spec.attachRequired: Invalid value: false: field is immutable",
    )]);
    case("storage.k8s.io/v1/csinodes", r#"{"spec": {"drivers": [{"name": "d.io", "nodeID": "n", "topologyKeys": ["a"], "allocatable": {"count": 1}}]}}"#)
        .check(&[
            ("/spec/drivers/0/nodeID", json!(""), "spec.drivers[0].nodeID: Required value"),
            ("/spec/drivers/0/topologyKeys", json!(["a", "a"]), "spec.drivers[0].topologyKeys[1]: Duplicate value: \"a\""),
            ("/spec/drivers/0/allocatable/count", json!(-1), "spec.drivers[0].allocatable.count: Invalid value: -1"),
        ])
        .change(&[
            ("/spec/drivers/0/nodeID", json!("m"), "CSINode: Invalid value"),
            ("/spec/drivers/0/allocatable/count", json!(2), ""),
            ("/spec/drivers", json!([]), ""),
        ]);
    case(
        "storage.k8s.io/v1/csistoragecapacities",
        r#"{"storageClassName": "c", "capacity": "1Gi"}"#,
    )
    .check(&[
        (
            "/storageClassName",
            json!(""),
            "storageClassName: Required value",
        ),
        ("/capacity", json!("-1"), "capacity: Invalid value: \"-1\""),
    ])
    .change(&[(
        "/storageClassName",
        json!("d"),
        "storageClassName: Invalid value: \"d\": field is immutable",
    )]);
    case("storage.k8s.io/v1/volumeattachments", r#"{"spec": {"attacher": "d.io", "nodeName": "n", "source": {"persistentVolumeName": "v"}}}"#)
        .check(&[
            ("/spec/attacher", json!(""), "spec.attacher: Required value"),
            ("/spec/source", json!({}), "spec.source: Required value: must specify exactly one"),
            ("/spec/source/inlineVolumeSpec", json!({}), "spec.source: Invalid value"),
        ])
        .change(&[("/spec/nodeName", json!("m"), "spec: Invalid value")]);
    case(
        "storage.k8s.io/v1/volumeattributesclasses",
        r#"{"driverName": "d.io", "parameters": {"a": "b"}}"#,
    )
    .check(&[
        ("/driverName", json!("d_io"), "driverName: Invalid value"),
        (
            "/parameters",
            json!({}),
            "parameters: Required value: must contain at least one key/value pair",
        ),
    ])
    .change(&[("/parameters/a", json!("c"), "parameters: Invalid value")]);
}
