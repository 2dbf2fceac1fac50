//! What goes over the wire to an apiserver, and what does not: a joined node against a server
//! that answers like one and writes everything down.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use keelson_cri_fake::{FakeServer, Runtime as FakeRuntime};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::fake_api::{FakeApi, Reply, Seen, watch_of};
use super::*;
use crate::agent::records::Record;
use crate::agent::{discover, start};
use crate::model::PodUid;
use crate::observe::clock;

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n";

/// The server's side: what it holds is what a test put into it.
#[derive(Default)]
struct Held {
    pods: Vec<Value>,
    /// Watches stay open as long as these live.
    watches: Mutex<Vec<(String, mpsc::Sender<Value>)>>,
    lease: Mutex<Option<Value>>,
    version: Mutex<u64>,
}

impl Held {
    fn answer(&self, seen: &Seen) -> Reply {
        let next_version = || {
            let mut version = self.version.lock();
            *version += 1;
            (100 + *version).to_string()
        };
        match (seen.method.as_str(), seen.path()) {
            ("GET", "/api/v1/pods") => self.watch(seen.path(), &self.pods),
            ("GET", "/api/v1/services") => self.watch(seen.path(), &[]),
            ("POST", path) if path.ends_with("/events") => Reply::Json(201, json!({})),
            ("POST", "/api/v1/nodes") => {
                let mut node = seen.body.clone();
                node["metadata"]["uid"] = "node-uid".into();
                Reply::Json(201, node)
            }
            ("GET", LEASE) => match &*self.lease.lock() {
                None => Reply::refusal(404, "NotFound"),
                Some(lease) => Reply::Json(200, lease.clone()),
            },
            ("POST" | "PUT", path) if path.contains("/leases") => {
                *self.lease.lock() = Some(seen.body.clone());
                Reply::Json(200, seen.body.clone())
            }
            ("POST", "/api/v1/namespaces/kube-system/pods") => {
                let mut pod = seen.body.clone();
                pod["metadata"]["uid"] = "mirror-uid".into();
                pod["metadata"]["resourceVersion"] = next_version().into();
                let event = json!({"type": "ADDED", "object": pod});
                let watches = self.watches.lock();
                for (_, watch) in watches.iter().filter(|(path, _)| path == "/api/v1/pods") {
                    watch.try_send(event.clone()).unwrap();
                }
                Reply::Json(201, pod)
            }
            ("PATCH", path) => {
                let name = path.trim_end_matches("/status").rsplit('/').next().unwrap();
                Reply::Json(
                    200,
                    json!({
                        "metadata": {"name": name, "namespace": path.split('/').nth(4).unwrap(),
                            "uid": seen.body["metadata"]["uid"], "resourceVersion": next_version()},
                        "status": seen.body["status"],
                    }),
                )
            }
            _ => Reply::refusal(404, "NotFound"),
        }
    }

    fn watch(&self, path: &str, objects: &[Value]) -> Reply {
        let (sender, reply) = watch_of(objects);
        self.watches.lock().push((path.to_owned(), sender));
        reply
    }
}

fn pod(namespace: &str, name: &str, uid: &str) -> Value {
    json!({"metadata": {"namespace": namespace, "name": name, "uid": uid, "resourceVersion": "50",
        "generation": 1, "annotations": {"kubernetes.io/config.hash": uid}},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}})
}

/// A joined node: all that talks to the apiserver, without the pod loop.
struct JoinedNode {
    api: FakeApi,
    turned: watch::Sender<Mono>,
    _changes: watch::Sender<u64>,
    records: Records,
    _tasks: JoinSet<()>,
    _runtime: FakeServer,
    _place: TempDir,
}

fn record(value: Value, origin: PodOrigin) -> (PodUid, Record) {
    let desired = DesiredPod {
        uid: value["metadata"]["uid"].as_str().unwrap().into(),
        pod: Arc::new(serde_json::from_value(value).unwrap()),
        origin,
    };
    let mut record = Record::new(&desired);
    // Remembers since when its conditions are so.
    let (spec, observed, memory) = (&record.spec, &record.observed, &mut record.memory);
    let policy = crate::reconcile::Policy::default();
    let _actions = crate::reconcile::reconcile(clock::now(), spec, observed, memory, &policy);
    (desired.uid.clone(), record)
}

fn configuration(kubeconfig: &Path, place: &Path) -> Config {
    let file = place.join("config.yaml");
    let text = json!({"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        // A quarter of it is a second.
        "nodeLeaseDurationSeconds": 4, "nodeStatusUpdateFrequency": "1s",
        "nodeStatusReportFrequency": "10m"});
    std::fs::write(&file, text.to_string()).unwrap();
    let flags = [
        "kubelet".to_owned(),
        format!("--config={}", file.display()),
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--root-dir={}", place.display()),
    ];
    crate::config::load(flags.map(OsString::from)).unwrap().0
}

async fn join() -> JoinedNode {
    let held = Held {
        pods: vec![pod("default", "web", "u1")],
        ..Held::default()
    };
    let api = FakeApi::start(move |seen| held.answer(seen)).await;
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("cri.sock");
    let runtime = FakeServer::start(&socket, FakeRuntime::new()).unwrap();
    let cri = Runtime::new(
        &format!("unix://{}", socket.display()).parse().unwrap(),
        keelson_cri::Deadlines::default(),
    );
    let config = configuration(&api.kubeconfig(), place.path());
    let node = Arc::new(start::node(
        &config,
        start::Found {
            machine: discover::machine().unwrap(),
            name: "n".into(),
            ips: vec!["192.0.2.1".parse().unwrap()],
            resolv: None,
            runtime: "containerd".into(),
            recursive_read_only: false,
        },
    ));
    let records: Records = Arc::default();
    records.lock().extend([
        record(pod("default", "web", "u1"), PodOrigin::Api),
        record(
            pod("kube-system", "etcd-n", "hash"),
            PodOrigin::File("etcd.yaml".into()),
        ),
    ]);
    let (turned, turned_at) = watch::channel(clock::mono());
    let (_conditions, conditions) = watch::channel(BTreeSet::new());
    let (changes, changed) = watch::channel(0);
    let (outdated, _told) = mpsc::channel(8);
    let journal = Arc::default();
    let (_wanted, wanted) = watch::channel(Some(Arc::new(Vec::new())));
    let cluster = Cluster::open(&config, "n").await.unwrap().unwrap();
    let parts = Parts {
        config: &config,
        node: &node,
        cri: &cri,
        records: &records,
        turned: turned_at,
        changes: changed,
        outdated,
        journal: &journal,
        conditions,
    };
    let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
    let joined = cluster.follow_pods(&parts, &mut tasks, &stop);
    cluster.report(parts, joined, wanted, &mut tasks, &stop);
    JoinedNode {
        api,
        turned,
        _changes: changes,
        records,
        _tasks: tasks,
        _runtime: runtime,
        _place: place,
    }
}

fn status_of(seen: &Seen, name: &str) -> bool {
    seen.method == "PATCH" && seen.path().ends_with(&format!("/{name}/status"))
}

fn renewal(seen: &Seen) -> bool {
    seen.method == "PUT" && seen.path() == LEASE
}

/// Everything that the start sends has been sent.
async fn settled(node: &JoinedNode) {
    node.api.wait_for(|seen| status_of(seen, "web")).await;
    node.api.wait_for(|seen| status_of(seen, "etcd-n")).await;
    // Starting, NodeReady and one for each kind of pressure.
    let event = |seen: &Seen| seen.path().ends_with("/events");
    node.api.wait_for_nth(4, event).await;
    node.api.wait_for(renewal).await;
}

#[tokio::test]
async fn a_node_asks_for_its_own_and_nothing_else() {
    let node = join().await;
    settled(&node).await;
    let seen = node.api.seen();
    let lines: BTreeSet<String> = seen.iter().map(Seen::line).collect();
    let expected = [
        "GET /api/v1/pods",
        "GET /api/v1/services",
        "GET /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n",
        "PATCH /api/v1/namespaces/default/pods/web/status",
        "PATCH /api/v1/namespaces/kube-system/pods/etcd-n/status",
        "POST /api/v1/namespaces/default/events",
        "POST /api/v1/namespaces/kube-system/pods",
        "POST /api/v1/nodes",
        "POST /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases",
        "PUT /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n",
    ];
    assert_eq!(lines, expected.map(str::to_owned).into());
    for request in &seen {
        let body = match request.method.as_str() {
            "GET" => "",
            "PATCH" => "application/strategic-merge-patch+json",
            _ => "application/json",
        };
        let line = request.line();
        assert_eq!(request.header("content-type"), body, "{line}");
        assert_eq!(request.header("accept"), "application/json", "{line}");
        assert!(
            request.header("user-agent").starts_with("keelson-kubelet/"),
            "{line}"
        );
        assert!(!request.certificate.is_empty(), "{line}");
    }
}

#[tokio::test]
async fn pods_are_watched_by_the_name_of_the_node() {
    let node = join().await;
    let watch = node
        .api
        .wait_for(|seen| seen.path() == "/api/v1/pods")
        .await;
    let query = watch.url.split_once('?').unwrap().1;
    let options: BTreeSet<&str> = query.split('&').collect();
    for option in [
        "watch=true",
        "allowWatchBookmarks=true",
        "fieldSelector=spec.nodeName%3Dn",
        "sendInitialEvents=true",
        "resourceVersionMatch=NotOlderThan",
    ] {
        assert!(options.contains(option), "{option} is not in {query}");
    }
    settled(&node).await;
    let watches = node
        .api
        .seen()
        .iter()
        .filter(|seen| seen.path() == "/api/v1/pods")
        .count();
    assert_eq!(watches, 1);
}

#[tokio::test]
async fn writes_say_whom_they_are_about() {
    let node = join().await;
    settled(&node).await;
    let seen = node.api.seen();
    let first = |wanted: &dyn Fn(&Seen) -> bool| seen.iter().find(|seen| wanted(seen)).unwrap();
    let status = first(&|seen| status_of(seen, "web"));
    assert_eq!(status.body["metadata"], json!({"uid": "u1"}));
    assert_eq!(status.body["status"]["phase"], "Pending");
    assert_eq!(status.body["status"]["qosClass"], "BestEffort");
    assert_eq!(status.body["status"]["observedGeneration"], 1);
    let mirror = first(&|seen| seen.line() == "POST /api/v1/namespaces/kube-system/pods");
    let annotations = &mirror.body["metadata"]["annotations"];
    assert_eq!(annotations["kubernetes.io/config.mirror"], "hash");
    assert_eq!(
        mirror.body["metadata"]["ownerReferences"][0]["uid"],
        "node-uid"
    );
    let status = first(&|seen| status_of(seen, "etcd-n"));
    assert_eq!(status.body["metadata"], json!({"uid": "mirror-uid"}));
    let lease = first(&renewal);
    assert_eq!(lease.body["spec"]["holderIdentity"], "n");
    assert_eq!(lease.body["spec"]["leaseDurationSeconds"], 4);
    assert_eq!(
        lease.body["metadata"]["ownerReferences"][0]["uid"],
        "node-uid"
    );
}

#[tokio::test]
async fn an_idle_node_renews_its_lease_and_nothing_more() {
    let node = join().await;
    settled(&node).await;
    let before = node.api.seen().len();
    // The pod loop turns all the time; that alone is no news.
    for _ in 0..3 {
        let renewals = node.api.seen().iter().filter(|seen| renewal(seen)).count();
        node.turned.send_replace(clock::mono());
        node.api.wait_for_nth(renewals, renewal).await;
    }
    let lines: Vec<String> = node.api.seen()[before..].iter().map(Seen::line).collect();
    let others: Vec<_> = lines
        .iter()
        .filter(|line| **line != format!("PUT {LEASE}"))
        .collect();
    assert!(others.is_empty(), "{others:?}");
    assert_eq!(node.records.lock().len(), 2);
}
