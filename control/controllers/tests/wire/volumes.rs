//! Claims get volumes, and both stay as long as they are used.

use keelson_client::Resource;
use keelson_client::request::DeleteOptions;
use keelson_controllers::kinds::{
    Kind as _, PersistentVolume, PersistentVolumeClaim, Pod, ServiceAccount,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::harness::Cluster;

const CONTROLLERS: &str = "--controllers=serviceaccount-controller,persistentvolume-binder-controller,\
    persistentvolume-protection-controller,persistentvolumeclaim-protection-controller";

async fn volume(cluster: &Cluster, name: &str, size: &str) {
    let volume = json!({"metadata": {"name": name}, "spec": {
        "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "hostPath": {"path": "/nowhere"}}});
    cluster.create(&PersistentVolume::RESOURCE, volume).await;
}

async fn claim(cluster: &Cluster, name: &str, size: &str) -> Value {
    let claim = json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"],
        "storageClassName": "", "resources": {"requests": {"storage": size}}}});
    cluster
        .create(&PersistentVolumeClaim::RESOURCE, claim)
        .await;
    let path = PersistentVolumeClaim::RESOURCE.named("default", name);
    cluster
        .once(&path, "bound", |claim| claim["status"]["phase"] == "Bound")
        .await
}

async fn delete(cluster: &Cluster, resource: &Resource, name: &str) {
    let path = resource.named("default", name);
    let options = DeleteOptions::default();
    cluster.client.delete(&path, &options).await.unwrap();
}

fn names(objects: &[Value]) -> Vec<&str> {
    let names = objects.iter().map(|object| &object["metadata"]["name"]);
    names.filter_map(Value::as_str).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_get_volumes_and_both_are_held_while_used() {
    let cluster = Cluster::start().await;
    let stop = CancellationToken::new();
    let manager = cluster.manager(&["--leader-elect=false", CONTROLLERS], &stop);
    for (name, size) in [("large", "20Gi"), ("small", "1Gi"), ("right", "5Gi")] {
        volume(&cluster, name, size).await;
    }
    let path = |name: &str| PersistentVolume::RESOURCE.named("", name);
    for name in ["large", "small", "right"] {
        let free = |volume: &Value| volume["status"]["phase"] == "Available";
        cluster.once(&path(name), "available", free).await;
    }
    let bound = claim(&cluster, "data", "3Gi").await;
    assert_eq!(bound["spec"]["volumeName"], "right");
    assert_eq!(bound["status"]["capacity"]["storage"], "5Gi");
    let volume = cluster
        .once(&path("right"), "bound", |volume| {
            volume["status"]["phase"] == "Bound"
        })
        .await;
    assert_eq!(volume["spec"]["claimRef"]["uid"], bound["metadata"]["uid"]);

    let accounts = |all: &[Value]| !all.is_empty();
    cluster
        .all_once(&ServiceAccount::RESOURCE, "there", accounts)
        .await;
    let pod = json!({"metadata": {"name": "user"}, "spec": {"nodeName": "n",
        "containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}});
    cluster.create(&Pod::RESOURCE, pod).await;
    delete(&cluster, &PersistentVolumeClaim::RESOURCE, "data").await;
    delete(&cluster, &PersistentVolume::RESOURCE, "right").await;
    // When another claim is bound, the controllers have had their turn.
    claim(&cluster, "other", "1Gi").await;
    let held = cluster.all(&PersistentVolumeClaim::RESOURCE).await;
    assert_eq!(names(&held), ["data", "other"]);
    assert!(!held[0]["metadata"]["deletionTimestamp"].is_null());
    let held = cluster.all(&PersistentVolume::RESOURCE).await;
    assert_eq!(names(&held), ["large", "right", "small"]);

    // The pod lets go of the claim, and the claim of the volume.
    delete(&cluster, &Pod::RESOURCE, "user").await;
    let left = |expected: &'static [&'static str]| move |all: &[Value]| names(all) == expected;
    cluster
        .all_once(&PersistentVolumeClaim::RESOURCE, "one", left(&["other"]))
        .await;
    cluster
        .all_once(
            &PersistentVolume::RESOURCE,
            "two",
            left(&["large", "small"]),
        )
        .await;
    stop.cancel();
    manager.await.unwrap();
}
