//! Pods get nodes, or are told why not.

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::harness::{Cluster, core, pod_path};

/// An event about a pod, once there is one.
async fn event(cluster: &Cluster, pod: &str, reason: &str) -> Value {
    let events = core("events", "Event", true).within("default");
    let what = format!("{reason} of {pod}");
    let is = |event: &Value| event["involvedObject"]["name"] == pod && event["reason"] == reason;
    cluster.once(&events, &what, is).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_are_bound_or_told_why_not() {
    let cluster = Cluster::start().await;
    let stop = CancellationToken::new();
    let scheduler = cluster.scheduler(&["--leader-elect=false"], &stop);
    let zone = |zone: &str| json!({"metadata": {"labels": {"zone": zone}}});
    cluster.node("a", "1", zone("1")).await;
    cluster.node("b", "4", zone("2")).await;
    let taint = json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}});
    cluster.node("c", "4", taint).await;

    cluster.pod("plain", "2", Value::Null).await;
    assert_eq!(cluster.bound("plain").await, "b");
    let pod = cluster.pod_once("plain", "scheduled", |_| true).await;
    assert_eq!(pod["status"]["conditions"][0]["type"], "PodScheduled");
    let selector = json!({"spec": {"nodeSelector": {"zone": "1"}}});
    cluster.pod("picky", "500m", selector).await;
    assert_eq!(cluster.bound("picky").await, "a");
    let tolerant = json!({"spec": {"tolerations": [{"key": "k", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "kubernetes.io/hostname", "namespaceSelector": {}, "labelSelector": {}}]}}}});
    cluster.pod("alone", "1", tolerant).await;
    assert_eq!(cluster.bound("alone").await, "c");

    cluster.pod("large", "3", Value::Null).await;
    let told = cluster.refused("large").await;
    assert_eq!(
        told,
        "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. \
         preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, \
         2 Preemption is not helpful for scheduling."
    );
    assert_eq!(
        event(&cluster, "large", "FailedScheduling").await["message"],
        told
    );
    let said = event(&cluster, "plain", "Scheduled").await;
    assert_eq!(said["message"], "Successfully assigned default/plain to b");

    // Room helps.
    let now = keelson_client::request::DeleteOptions {
        grace_period_seconds: Some(0),
        ..Default::default()
    };
    cluster
        .client
        .delete(&pod_path("plain"), &now)
        .await
        .unwrap();
    assert_eq!(cluster.bound("large").await, "b");
    stop.cancel();
    scheduler.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_schedulers_leads_and_the_other_follows() {
    let cluster = Cluster::start().await;
    cluster.node("a", "64", Value::Null).await;
    let (one, two) = (CancellationToken::new(), CancellationToken::new());
    let first = cluster.scheduler(&[], &one);
    cluster.pod("p1", "1", Value::Null).await;
    assert_eq!(cluster.bound("p1").await, "a");
    let second = cluster.scheduler(&["--leader-elect-retry-period=200ms"], &two);
    cluster.pod("p2", "1", Value::Null).await;
    assert_eq!(cluster.bound("p2").await, "a");
    one.cancel();
    first.await.unwrap();
    cluster.pod("p3", "1", Value::Null).await;
    assert_eq!(cluster.bound("p3").await, "a");
    two.cancel();
    second.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_with_priority_displaces_another() {
    let cluster = Cluster::start().await;
    let stop = CancellationToken::new();
    let scheduler = cluster.scheduler(&["--leader-elect=false"], &stop);
    cluster.node("a", "2", Value::Null).await;
    let classes = keelson_client::Resource::fixed(
        "scheduling.k8s.io",
        "v1",
        "priorityclasses",
        "PriorityClass",
        false,
    );
    let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
        "metadata": {"name": "high"}, "value": 1000});
    cluster
        .client
        .create::<_, Value>(&classes.all(), &class)
        .await
        .unwrap();
    cluster.pod("low", "1500m", Value::Null).await;
    assert_eq!(cluster.bound("low").await, "a");
    let high = json!({"spec": {"priorityClassName": "high"}});
    cluster.pod("high", "1500m", high).await;
    cluster
        .pod_once("high", "nominated", |pod| {
            pod["status"]["nominatedNodeName"] == "a"
        })
        .await;
    let low = cluster
        .pod_once("low", "going", |pod| {
            !pod["metadata"]["deletionTimestamp"].is_null()
        })
        .await;
    let conditions = low["status"]["conditions"].as_array().unwrap();
    assert!(
        conditions
            .iter()
            .any(|c| c["type"] == "DisruptionTarget" && c["reason"] == "PreemptionByScheduler"),
        "{low:#}"
    );
    // The node's agent says that it has ended.
    let now = keelson_client::request::DeleteOptions {
        grace_period_seconds: Some(0),
        ..Default::default()
    };
    cluster.client.delete(&pod_path("low"), &now).await.unwrap();
    assert_eq!(cluster.bound("high").await, "a");
    stop.cancel();
    scheduler.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_waits_is_bound_with_its_pod() {
    let cluster = Cluster::start().await;
    let stop = CancellationToken::new();
    let scheduler = cluster.scheduler(&["--leader-elect=false"], &stop);
    cluster.node("a", "4", Value::Null).await;
    let classes = keelson_client::Resource::fixed(
        "storage.k8s.io",
        "v1",
        "storageclasses",
        "StorageClass",
        false,
    );
    let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": {"name": "waits"}, "provisioner": "csi.example.com",
        "volumeBindingMode": "WaitForFirstConsumer"});
    cluster
        .client
        .create::<_, Value>(&classes.all(), &class)
        .await
        .unwrap();
    let claims = core("persistentvolumeclaims", "PersistentVolumeClaim", true);
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "c", "namespace": "default"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "waits",
            "resources": {"requests": {"storage": "1Gi"}}}});
    cluster
        .client
        .create::<_, Value>(&claims.within("default"), &claim)
        .await
        .unwrap();
    let volumes = json!({"spec": {"volumes": [
        {"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}});
    cluster.pod("p", "1", volumes).await;
    // Who makes volumes sees the node, makes one and has the claim bound.
    let selected = |claim: &Value| {
        claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] == "a"
    };
    let all = claims.within("default");
    cluster.once(&all, "claim with a node", selected).await;
    let path = claims.named("default", "c");
    let pod: Value = cluster.client.get(&pod_path("p")).await.unwrap();
    assert!(
        pod["spec"]["nodeName"].is_null(),
        "not before its volume is there"
    );
    let bound = keelson_client::request::Patch::Merge(json!({
        "metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
        "spec": {"volumeName": "made"}}));
    let options = keelson_client::request::WriteOptions::default();
    cluster
        .client
        .patch::<Value>(&path, &bound, &options)
        .await
        .unwrap();
    assert_eq!(cluster.bound("p").await, "a");
    stop.cancel();
    scheduler.await.unwrap();
}
