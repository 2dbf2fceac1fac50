//! Workloads from their creation to their end.

use keelson_client::Resource;
use keelson_client::request::DeleteOptions;
use keelson_controllers::kinds::{
    CronJob, DaemonSet, Deployment, Job, Kind as _, Node, Pod, ReplicaSet, StatefulSet,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::harness::{Cluster, ENDS};

const REVISION: &str = "deployment.kubernetes.io/revision";

fn template(app: &str, image: &str) -> Value {
    json!({"metadata": {"labels": {"app": app}},
        "spec": {"containers": [{"name": "c", "image": image}]}})
}

fn deployment(name: &str, replicas: u32) -> Value {
    json!({"metadata": {"name": name}, "spec": {"replicas": replicas,
        "selector": {"matchLabels": {"app": name}}, "template": template(name, "one")}})
}

/// Whether all of a Deployment's pods are there and of the newest template.
fn is_rolled_out(replicas: u64) -> impl Fn(&Value) -> bool {
    move |object| {
        let status = &object["status"];
        let counts = ["replicas", "updatedReplicas", "availableReplicas"];
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let told = conditions
            .iter()
            .any(|c| c["reason"] == "NewReplicaSetAvailable");
        let generation = &object["metadata"]["generation"];
        told && status["observedGeneration"] == *generation
            && counts
                .iter()
                .all(|name| status[name].as_u64().unwrap_or(0) == replicas)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_is_rolled_out_undone_scaled_and_removed() {
    let cluster = Cluster::start().await;
    let stop = CancellationToken::new();
    let manager = cluster.manager(&["--leader-elect=false"], &stop);
    let path = Deployment::RESOURCE.named("default", "web");
    cluster
        .create(&Deployment::RESOURCE, deployment("web", 3))
        .await;
    cluster.once(&path, "rolled out", is_rolled_out(3)).await;

    let image = |image: &str| json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}});
    cluster.patch(&path, image("two")).await;
    let two = |object: &Value| {
        is_rolled_out(3)(object) && object["metadata"]["annotations"][REVISION] == "2"
    };
    cluster.once(&path, "at its second revision", two).await;
    let sets = cluster.all(&ReplicaSet::RESOURCE).await;
    assert_eq!(sets.len(), 2);

    cluster.patch(&path, image("one")).await;
    let three = |object: &Value| {
        is_rolled_out(3)(object) && object["metadata"]["annotations"][REVISION] == "3"
    };
    cluster
        .once(&path, "back, as its third revision", three)
        .await;
    let sets = cluster.all(&ReplicaSet::RESOURCE).await;
    assert_eq!(sets.len(), 2, "the set of the first revision came back");

    // While it is paused nothing is rolled out.
    let mut paused = image("four");
    paused["spec"]["paused"] = json!(true);
    cluster.patch(&path, paused).await;
    let rests = |object: &Value| {
        let conditions = object["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let told = conditions.iter().any(|c| c["reason"] == "DeploymentPaused");
        told && object["status"]["observedGeneration"] == object["metadata"]["generation"]
    };
    let object = cluster.once(&path, "paused", rests).await;
    assert_eq!(object["metadata"]["annotations"][REVISION], "3");
    assert_eq!(cluster.all(&ReplicaSet::RESOURCE).await.len(), 2);
    cluster
        .patch(&path, json!({"spec": {"paused": null}}))
        .await;
    let four = |object: &Value| {
        is_rolled_out(3)(object) && object["metadata"]["annotations"][REVISION] == "4"
    };
    cluster.once(&path, "resumed", four).await;

    cluster.patch(&path, json!({"spec": {"replicas": 5}})).await;
    cluster.once(&path, "scaled", is_rolled_out(5)).await;
    let ours = |pods: &[Value]| pods.len() == 5;
    cluster.all_once(&Pod::RESOURCE, "five", ours).await;

    let options = DeleteOptions {
        propagation_policy: Some("Background"),
        ..DeleteOptions::default()
    };
    cluster.client.delete(&path, &options).await.unwrap();
    cluster
        .all_once(&Pod::RESOURCE, "gone", <[Value]>::is_empty)
        .await;
    stop.cancel();
    manager.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_end_and_are_counted_exactly() {
    let cluster = Cluster::start().await;
    let stop = CancellationToken::new();
    let manager = cluster.manager(&["--leader-elect=false"], &stop);
    let job = |name: &str, end: &str, spec: Value| {
        let mut object = json!({"metadata": {"name": name}, "spec": {"backoffLimit": 0,
            "template": {"metadata": {"annotations": {ENDS: end}},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
        keelson_controllers::write::merge(&mut object["spec"], spec);
        object
    };
    let ended = |kind: &'static str| {
        move |object: &Value| {
            let conditions = object["status"]["conditions"].as_array().cloned();
            let mut all = conditions.unwrap_or_default().into_iter();
            all.any(|c| c["type"] == kind && c["status"] == "True")
        }
    };
    let many = json!({"completions": 7, "parallelism": 3});
    cluster
        .create(&Job::RESOURCE, job("many", "Succeeded", many))
        .await;
    let indexed = json!({"completions": 3, "parallelism": 3, "completionMode": "Indexed"});
    cluster
        .create(&Job::RESOURCE, job("indexed", "Succeeded", indexed))
        .await;
    cluster
        .create(&Job::RESOURCE, job("bad", "Failed", json!({})))
        .await;
    let brief = json!({"ttlSecondsAfterFinished": 0});
    cluster
        .create(&Job::RESOURCE, job("brief", "Succeeded", brief))
        .await;

    let of = |name: &str| Job::RESOURCE.named("default", name);
    let done = cluster
        .once(&of("many"), "complete", ended("Complete"))
        .await;
    assert_eq!(done["status"]["succeeded"], 7, "{done:#}");
    assert_eq!(
        done["status"]["uncountedTerminatedPods"],
        json!({}),
        "{done:#}"
    );
    let done = cluster
        .once(&of("indexed"), "complete", ended("Complete"))
        .await;
    assert_eq!(done["status"]["completedIndexes"], "0-2", "{done:#}");
    let done = cluster.once(&of("bad"), "failed", ended("Failed")).await;
    assert_eq!(done["status"]["failed"], 1, "{done:#}");
    let gone = |jobs: &[Value]| jobs.iter().all(|job| job["metadata"]["name"] != "brief");
    cluster.all_once(&Job::RESOURCE, "gone in time", gone).await;
    let free = |pods: &[Value]| {
        pods.iter()
            .all(|pod| pod["metadata"]["finalizers"].is_null())
    };
    cluster.all_once(&Pod::RESOURCE, "let go", free).await;

    let template = job("x", "Succeeded", json!({}))["spec"].clone();
    let cron = json!({"metadata": {"name": "tick"}, "spec": {"schedule": "@every 1s",
        "jobTemplate": {"spec": template}}});
    cluster.create(&CronJob::RESOURCE, cron).await;
    let path = CronJob::RESOURCE.named("default", "tick");
    let ticked = |object: &Value| !object["status"]["lastSuccessfulTime"].is_null();
    cluster.once(&path, "started by the clock", ticked).await;
    stop.cancel();
    manager.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sets_of_pods_with_names_and_on_nodes() {
    let cluster = Cluster::start().await;
    let stop = CancellationToken::new();
    let manager = cluster.manager(
        &[
            "--leader-elect=false",
            "--controllers=*,-node-lifecycle-controller",
        ],
        &stop,
    );
    let set = json!({"metadata": {"name": "db"}, "spec": {"replicas": 3, "serviceName": "db",
        "selector": {"matchLabels": {"app": "db"}}, "template": template("db", "one"),
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]}});
    cluster.create(&StatefulSet::RESOURCE, set).await;
    let path = StatefulSet::RESOURCE.named("default", "db");
    let full = |object: &Value| object["status"]["availableReplicas"] == 3;
    cluster.once(&path, "complete", full).await;
    let image =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "two"}]}}}});
    cluster.patch(&path, image).await;
    let updated = |object: &Value| {
        let status = &object["status"];
        let generation = &object["metadata"]["generation"];
        status["currentRevision"] == status["updateRevision"]
            && status["observedGeneration"] == *generation
            && status["updatedReplicas"] == 3
    };
    cluster.once(&path, "updated", updated).await;
    let born = cluster.seen.lock().clone();
    let names: Vec<&str> = born.iter().map(|(_, name)| &**name).collect();
    assert_eq!(names, ["db-0", "db-1", "db-2", "db-2", "db-1", "db-0"]);
    let claims = Resource::fixed(
        "",
        "v1",
        "persistentvolumeclaims",
        "PersistentVolumeClaim",
        true,
    );
    assert_eq!(cluster.all(&claims).await.len(), 3);

    let nodes = Node::RESOURCE;
    for name in ["a", "b"] {
        cluster
            .create(&nodes, json!({"metadata": {"name": name}}))
            .await;
    }
    let mut template = template("agent", "one");
    // Nobody says that these nodes are ready.
    template["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
    let daemon = json!({"metadata": {"name": "agent"}, "spec": {
        "selector": {"matchLabels": {"app": "agent"}}, "template": template}});
    cluster.create(&DaemonSet::RESOURCE, daemon).await;
    let path = DaemonSet::RESOURCE.named("default", "agent");
    let everywhere = |object: &Value| object["status"]["numberAvailable"] == 2;
    cluster.once(&path, "on both nodes", everywhere).await;
    let options = DeleteOptions::default();
    cluster
        .client
        .delete(&nodes.named("", "b"), &options)
        .await
        .unwrap();
    let fewer = |object: &Value| object["status"]["desiredNumberScheduled"] == 1;
    cluster.once(&path, "on the node that is left", fewer).await;
    stop.cancel();
    manager.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_leader_goes_on_and_makes_nothing_twice() {
    let cluster = Cluster::start().await;
    let flags = [
        "--leader-elect-lease-duration=3s",
        "--leader-elect-renew-deadline=2s",
        "--leader-elect-retry-period=500ms",
    ];
    let stop = CancellationToken::new();
    let first = cluster.manager(&flags, &stop);
    let path = Deployment::RESOURCE.named("default", "many");
    cluster
        .create(&Deployment::RESOURCE, deployment("many", 60))
        .await;
    cluster.once(&path, "rolled out", is_rolled_out(60)).await;
    let image =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "two"}]}}}});
    cluster.patch(&path, image).await;
    let of_two = |pod: &&Value| pod["spec"]["containers"][0]["image"] == "two";
    let begun = |pods: &[Value]| pods.iter().filter(of_two).count() > 5;
    cluster
        .all_once(&Pod::RESOURCE, "more than a few", begun)
        .await;
    // It ends without a word, as by SIGKILL: the lease runs out.
    first.abort();
    let second = cluster.manager(&flags, &stop);
    cluster
        .once(&path, "rolled out again", is_rolled_out(60))
        .await;
    let only_two = |pods: &[Value]| pods.len() == 60 && pods.iter().all(|pod| of_two(&pod));
    cluster.all_once(&Pod::RESOURCE, "of two", only_two).await;
    assert_eq!(cluster.seen.lock().len(), 120, "a pod was made twice");
    stop.cancel();
    second.await.unwrap();
}
