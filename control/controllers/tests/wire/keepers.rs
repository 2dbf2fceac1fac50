//! Controllers that keep one thing each, side by side: one server for all of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keelson_client::request::DeleteOptions;
use keelson_client::{ApiPath, Resource};
use keelson_controllers::kinds::secret::ACCOUNT_TOKEN;
use keelson_controllers::kinds::{
    CertificateRequest, ClusterRole, ConfigMap, DisruptionBudget, EndpointSlice, Endpoints,
    Kind as _, Namespace, Node, Pod, ReplicaSet, ResourceQuota, Secret, Service, ServiceAccount,
    ServiceCidr,
};
use rcgen::{CertificateParams, DnType, KeyPair};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::harness::{Cluster, ENDS};

const REVIEWS: Resource = Resource::fixed(
    "authentication.k8s.io",
    "v1",
    "tokenreviews",
    "TokenReview",
    false,
);

/// The object is there, be it half done.
fn any(object: &Value) -> bool {
    object["metadata"]["name"].is_string()
}

async fn remove(cluster: &Cluster, path: &ApiPath) {
    let options = DeleteOptions::default();
    cluster.client.delete(path, &options).await.unwrap();
}

fn pod(name: &str, labels: Value, annotations: Value) -> Value {
    json!({"metadata": {"name": name, "labels": labels, "annotations": annotations},
        "spec": {"containers": [{"name": "c", "image": "i",
            "resources": {"requests": {"cpu": "100m"}}}]}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_keeper_keeps_its_own() {
    let cluster = Cluster::start().await;
    let stop = CancellationToken::new();
    let manager = cluster.manager(
        &[
            "--leader-elect=false",
            "--controllers=*,bootstrapsigner,tokencleaner",
            "--terminated-pod-gc-threshold=2",
        ],
        &stop,
    );
    let account = ServiceAccount::RESOURCE.named("default", "default");
    cluster.once_there(&account, "made", any).await;
    tokio::join!(
        account_tokens(&cluster),
        join_tokens(&cluster),
        quotas(&cluster),
        mirrors(&cluster),
        ranges(&cluster),
        nodes(&cluster),
        endpoints(&cluster),
        budgets(&cluster),
        certificates(&cluster),
        ended_pods(&cluster),
        gathered_roles(&cluster),
    );
    stop.cancel();
    manager.await.unwrap();
}

async fn account_tokens(cluster: &Cluster) {
    let builder = json!({"metadata": {"name": "builder"}});
    cluster.create(&ServiceAccount::RESOURCE, builder).await;
    let secret = json!({"type": ACCOUNT_TOKEN, "metadata": {"name": "builder-token",
        "annotations": {"kubernetes.io/service-account.name": "builder"}}});
    cluster.create(&Secret::RESOURCE, secret).await;
    let path = Secret::RESOURCE.named("default", "builder-token");
    let full = |secret: &Value| secret["data"]["token"].is_string();
    let secret = cluster.once(&path, "filled", full).await;
    let text = |key: &str| {
        let bytes = STANDARD.decode(secret["data"][key].as_str().unwrap());
        String::from_utf8(bytes.unwrap()).unwrap()
    };
    assert_eq!(text("namespace"), "default");
    assert!(text("ca.crt").contains("BEGIN CERTIFICATE"));
    let review = json!({"apiVersion": REVIEWS.api_version(), "kind": REVIEWS.kind,
        "spec": {"token": text("token")}});
    let review: Value = cluster
        .client
        .create(&REVIEWS.all(), &review)
        .await
        .unwrap();
    let user = &review["status"]["user"]["username"];
    assert_eq!(user, "system:serviceaccount:default:builder", "{review:#}");
    remove(
        cluster,
        &ServiceAccount::RESOURCE.named("default", "builder"),
    )
    .await;
    cluster.once_gone(&path).await;
}

async fn join_tokens(cluster: &Cluster) {
    let info = json!({"metadata": {"name": "cluster-info"}, "data": {"kubeconfig": "where"}});
    cluster
        .create_in("kube-public", &ConfigMap::RESOURCE, info)
        .await;
    let token = |id: &str, expiration: &str| {
        json!({"type": "bootstrap.kubernetes.io/token",
            "metadata": {"name": format!("bootstrap-token-{id}")},
            "stringData": {"token-id": id, "token-secret": "0123456789abcdef",
                "usage-bootstrap-signing": "true", "expiration": expiration}})
    };
    let secrets = Secret::RESOURCE;
    let lasting = token("abcdef", "2100-01-01T00:00:00Z");
    cluster.create_in("kube-system", &secrets, lasting).await;
    let ended = token("ghijkl", "2000-01-01T00:00:00Z");
    cluster.create_in("kube-system", &secrets, ended).await;
    let path = ConfigMap::RESOURCE.named("kube-public", "cluster-info");
    let signature = |map: &Value| {
        map["data"]["jws-kubeconfig-abcdef"]
            .as_str()
            .map(str::to_owned)
    };
    let map = cluster
        .once(&path, "signed", |map| signature(map).is_some())
        .await;
    assert!(signature(&map).unwrap().contains(".."));
    assert_eq!(map["data"]["jws-kubeconfig-ghijkl"], Value::Null);
    cluster
        .once_gone(&secrets.named("kube-system", "bootstrap-token-ghijkl"))
        .await;
    remove(
        cluster,
        &secrets.named("kube-system", "bootstrap-token-abcdef"),
    )
    .await;
    cluster
        .once(&path, "unsigned", |map| signature(map).is_none())
        .await;
}

async fn quotas(cluster: &Cluster) {
    let limited = json!({"metadata": {"name": "limited"}});
    cluster.create_in("", &Namespace::RESOURCE, limited).await;
    let account = ServiceAccount::RESOURCE.named("limited", "default");
    cluster.once_there(&account, "made", any).await;
    let hard = json!({"pods": "5", "requests.cpu": "1", "count/secrets": "5", "services": "2",
        "count/leases.coordination.k8s.io": "3"});
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": hard}});
    cluster
        .create_in("limited", &ResourceQuota::RESOURCE, quota)
        .await;
    let path = ResourceQuota::RESOURCE.named("limited", "q");
    let none = json!({"pods": "0", "requests.cpu": "0", "count/secrets": "0", "services": "0",
        "count/leases.coordination.k8s.io": "0"});
    cluster
        .once(&path, "counted", |quota| quota["status"]["used"] == none)
        .await;
    cluster
        .create_in("limited", &Pod::RESOURCE, pod("p", json!({}), json!({})))
        .await;
    let secret = json!({"metadata": {"name": "s"}});
    cluster
        .create_in("limited", &Secret::RESOURCE, secret)
        .await;
    let used = json!({"pods": "1", "requests.cpu": "100m", "count/secrets": "1", "services": "0",
        "count/leases.coordination.k8s.io": "0"});
    cluster
        .once(&path, "used", |quota| quota["status"]["used"] == used)
        .await;
    remove(cluster, &Pod::RESOURCE.named("limited", "p")).await;
    remove(cluster, &Secret::RESOURCE.named("limited", "s")).await;
    cluster
        .once(&path, "free again", |quota| quota["status"]["used"] == none)
        .await;
}

async fn mirrors(cluster: &Cluster) {
    let service = json!({"metadata": {"name": "outside"}, "spec": {"ports": [{"port": 80}]}});
    cluster.create(&Service::RESOURCE, service).await;
    let endpoints = json!({"metadata": {"name": "outside"}, "subsets": [
        {"addresses": [{"ip": "192.0.2.7"}], "ports": [{"port": 8080}]}]});
    cluster.create(&Endpoints::RESOURCE, endpoints).await;
    let of = |slices: &[Value]| {
        let mut all = slices
            .iter()
            .filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == "outside");
        all.next()
            .map(|slice| slice["endpoints"][0]["addresses"][0].clone())
    };
    let mirrored = |slices: &[Value]| of(slices) == Some(json!("192.0.2.7"));
    cluster
        .all_once(&EndpointSlice::RESOURCE, "mirrored", mirrored)
        .await;
    remove(cluster, &Endpoints::RESOURCE.named("default", "outside")).await;
    let gone = |slices: &[Value]| of(slices).is_none();
    cluster
        .all_once(&EndpointSlice::RESOURCE, "gone", gone)
        .await;
}

async fn ranges(cluster: &Cluster) {
    let range = json!({"metadata": {"name": "more"}, "spec": {"cidrs": ["198.51.100.0/24"]}});
    cluster.create_in("", &ServiceCidr::RESOURCE, range).await;
    let path = ServiceCidr::RESOURCE.named("", "more");
    let ready = |range: &Value| {
        let held = range["metadata"]["finalizers"][0] == "networking.k8s.io/service-cidr-finalizer";
        held && range["status"]["conditions"][0]["status"] == "True"
    };
    cluster.once(&path, "ready", ready).await;
    remove(cluster, &path).await;
    cluster.once_gone(&path).await;
}

async fn nodes(cluster: &Cluster) {
    cluster
        .create_in("", &Node::RESOURCE, json!({"metadata": {"name": "n"}}))
        .await;
    let told =
        |node: &Value| node["metadata"]["annotations"]["node.alpha.kubernetes.io/ttl"] == "0";
    cluster
        .once(&Node::RESOURCE.named("", "n"), "told", told)
        .await;
}

async fn endpoints(cluster: &Cluster) {
    let labels = json!({"app": "chosen"});
    cluster
        .create(&Pod::RESOURCE, pod("chosen", labels.clone(), json!({})))
        .await;
    let service = json!({"metadata": {"name": "chosen"},
        "spec": {"selector": labels, "ports": [{"port": 80}]}});
    cluster.create(&Service::RESOURCE, service).await;
    let status = Pod::RESOURCE
        .named("default", "chosen")
        .subresource("status");
    let ip = "192.0.2.9";
    cluster
        .patch(
            &status,
            json!({"status": {"podIP": ip, "podIPs": [{"ip": ip}]}}),
        )
        .await;
    let shown = |endpoints: &Value| endpoints["subsets"][0]["addresses"][0]["ip"] == ip;
    cluster
        .once_there(
            &Endpoints::RESOURCE.named("default", "chosen"),
            "shown",
            shown,
        )
        .await;
}

async fn budgets(cluster: &Cluster) {
    let labels = json!({"app": "kept"});
    let template = json!({"metadata": {"labels": labels},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let set = json!({"metadata": {"name": "kept"}, "spec": {"replicas": 2,
        "selector": {"matchLabels": labels}, "template": template}});
    cluster.create(&ReplicaSet::RESOURCE, set).await;
    let budget = json!({"metadata": {"name": "kept"},
        "spec": {"maxUnavailable": "50%", "selector": {"matchLabels": labels}}});
    cluster.create(&DisruptionBudget::RESOURCE, budget).await;
    let path = DisruptionBudget::RESOURCE.named("default", "kept");
    let counted = |budget: &Value| {
        let status = &budget["status"];
        status["currentHealthy"] == 2
            && status["desiredHealthy"] == 1
            && status["disruptionsAllowed"] == 1
    };
    cluster.once(&path, "counted", counted).await;
}

async fn certificates(cluster: &Cluster) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "someone");
    let request = params.serialize_request(&key).unwrap().pem().unwrap();
    let object = json!({"metadata": {"name": "someone"}, "spec": {
        "request": STANDARD.encode(request), "usages": ["client auth"],
        "signerName": "kubernetes.io/kube-apiserver-client"}});
    cluster
        .create_in("", &CertificateRequest::RESOURCE, object)
        .await;
    let path = CertificateRequest::RESOURCE.named("", "someone");
    let approved = json!({"status": {"conditions": [{"type": "Approved", "status": "True",
        "reason": "Test", "message": "it is fine"}]}});
    cluster
        .patch(&path.clone().subresource("approval"), approved)
        .await;
    let signed = |request: &Value| request["status"]["certificate"].is_string();
    let signed = cluster.once(&path, "signed", signed).await;
    let pem = STANDARD.decode(signed["status"]["certificate"].as_str().unwrap());
    assert!(pem.unwrap().starts_with(b"-----BEGIN CERTIFICATE"));
}

async fn ended_pods(cluster: &Cluster) {
    let done = |at: usize| {
        pod(
            &format!("done-{at}"),
            json!({"app": "done"}),
            json!({ENDS: "Succeeded"}),
        )
    };
    for at in 0..4 {
        cluster.create(&Pod::RESOURCE, done(at)).await;
    }
    let few = |pods: &[Value]| {
        let done = pods
            .iter()
            .filter(|pod| pod["metadata"]["labels"]["app"] == "done");
        done.count() == 2
    };
    cluster
        .all_once(&Pod::RESOURCE, "two of those that ended", few)
        .await;
}

async fn gathered_roles(cluster: &Cluster) {
    let rule = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
    let part = json!({"metadata": {"name": "part", "labels": {"to": "whole"}}, "rules": [rule]});
    let whole = json!({"metadata": {"name": "whole"}, "rules": [], "aggregationRule": {
        "clusterRoleSelectors": [{"matchLabels": {"to": "whole"}}]}});
    for role in [part, whole] {
        cluster.create_in("", &ClusterRole::RESOURCE, role).await;
    }
    let gathered = |role: &Value| role["rules"][0]["resources"][0] == "pods";
    cluster
        .once(
            &ClusterRole::RESOURCE.named("", "whole"),
            "gathered",
            gathered,
        )
        .await;
}
