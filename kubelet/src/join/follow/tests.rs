//! Pods that show objects, against an apiserver that holds one ConfigMap.

use serde_json::{Value, json};
use tokio::time::Duration;

use super::*;
use crate::agent::records::Record;
use crate::join::fake_api::{FakeApi, Reply, Seen, watch_of};
use crate::model::DesiredPod;

/// The senders of the watches on ConfigMaps that were opened.
type Watches = Arc<Mutex<Vec<mpsc::Sender<Value>>>>;

fn map(version: u32, immutable: bool) -> Value {
    json!({"metadata": {"namespace": "a", "name": "m", "resourceVersion": version.to_string()},
        "data": {"k": format!("v{version}")}, "immutable": immutable})
}

fn pod(uid: &str, volumes: &Value) -> (PodUid, Record) {
    let pod = json!({"metadata": {"namespace": "a", "name": uid, "uid": uid},
        "spec": {"containers": [{"name": "c"}], "volumes": volumes}});
    let desired = DesiredPod {
        uid: uid.into(),
        pod: Arc::new(serde_json::from_value(pod).unwrap()),
        origin: PodOrigin::Api,
    };
    (uid.into(), Record::new(&desired))
}

fn showing_map() -> Value {
    json!([{"name": "v", "configMap": {"name": "m"}}])
}

struct Scene {
    api: FakeApi,
    watches: Watches,
    records: Records,
    source: ObjectSource,
    changes: watch::Sender<u64>,
    outdated: mpsc::Receiver<PodUid>,
    _tasks: JoinSet<()>,
    _place: tempfile::TempDir,
}

impl Scene {
    async fn new(immutable: bool) -> Self {
        let watches = Watches::default();
        let opened = watches.clone();
        let api = FakeApi::start(move |seen| answer(seen, &opened, immutable)).await;
        let (records, (services, _writer)) = (Records::default(), Store::new(Vec::new()));
        let place = tempfile::tempdir().unwrap();
        let kept = crate::join::kept_objects::KeptObjects::new(place.path());
        let source = ObjectSource::new(api.client(), services, kept);
        let (changes, changed) = watch::channel(0);
        let (sender, outdated) = mpsc::channel(8);
        let follower = Follower {
            client: api.client(),
            records: records.clone(),
            source: source.clone(),
            outdated: sender,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(follower.run(changed, CancellationToken::new()));
        Self {
            api,
            watches,
            records,
            source,
            changes,
            outdated,
            _tasks: tasks,
            _place: place,
        }
    }

    fn add(&self, (uid, record): (PodUid, Record)) {
        self.records.lock().insert(uid, record);
        self.changes.send_modify(|count| *count += 1);
    }

    fn remove(&self, uid: &str) {
        self.records.lock().remove(&PodUid::from(uid));
        self.changes.send_modify(|count| *count += 1);
    }

    async fn gathered(&self, uid: &str) -> Data {
        let uid = PodUid::from(uid);
        let pod = self.records.lock()[&uid].pod.clone();
        let objects = self.source.gather(&uid, &pod).await.unwrap();
        objects.config_maps["m"].clone()
    }

    /// The sender of the watch on ConfigMaps, once it is open.
    async fn watch(&self) -> mpsc::Sender<Value> {
        let path = "/api/v1/namespaces/a/configmaps";
        self.api.wait_for(|seen| seen.path() == path).await;
        self.watches.lock()[0].clone()
    }
}

fn is_watch(seen: &Seen) -> bool {
    seen.url.contains("watch=true")
}

fn answer(seen: &Seen, opened: &Watches, immutable: bool) -> Reply {
    match (seen.path(), is_watch(seen)) {
        ("/api/v1/namespaces/a/configmaps", true) => {
            let (sender, reply) = watch_of(&[map(1, immutable)]);
            opened.lock().push(sender);
            reply
        }
        ("/api/v1/namespaces/a/configmaps/m", false) => Reply::Json(200, map(1, immutable)),
        (path, false) if path.ends_with("/token") => {
            let ends = jiff::Timestamp::now() + Duration::from_millis(500);
            let status = json!({"token": "t", "expirationTimestamp": ends.to_string()});
            let spec = json!({"audiences": []});
            Reply::Json(201, json!({"metadata": {}, "spec": spec, "status": status}))
        }
        _ => Reply::refusal(404, "NotFound"),
    }
}

async fn soon<T>(wait: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(60);
    tokio::time::timeout(limit, wait).await.unwrap()
}

#[tokio::test]
async fn a_change_is_told_to_those_who_show_it() {
    let mut scene = Scene::new(false).await;
    scene.add(pod("shows", &showing_map()));
    scene.add(pod("does-not", &json!([{"name": "e", "emptyDir": {}}])));
    assert_eq!(scene.gathered("shows").await["k"], b"v1");
    let watch = scene.watch().await;
    let changed = json!({"type": "MODIFIED", "object": map(2, false)});
    watch.try_send(changed).unwrap();
    // The first version may be told as well, where the watch was there first.
    while scene.gathered("shows").await["k"] != b"v2" {
        let told = soon(scene.outdated.recv()).await.unwrap();
        assert_eq!(told.as_str(), "shows");
    }
    let seen = scene.api.seen();
    let watches: Vec<_> = seen.iter().filter(|seen| is_watch(seen)).collect();
    assert_eq!(watches.len(), 1);
    let url = &watches[0].url;
    assert!(url.contains("fieldSelector=metadata.name%3Dm"), "{url}");
}

#[tokio::test]
async fn a_watch_ends_with_its_last_pod() {
    let scene = Scene::new(false).await;
    scene.add(pod("one", &showing_map()));
    scene.add(pod("two", &showing_map()));
    let watch = scene.watch().await;
    scene.remove("one");
    // Another object's watch shows that the news was heard.
    let secret = json!([{"name": "v", "secret": {"secretName": "s"}}]);
    scene.add(pod("three", &secret));
    let secrets = |seen: &Seen| seen.path().ends_with("/secrets");
    scene.api.wait_for(secrets).await;
    assert!(!watch.is_closed());
    scene.remove("two");
    soon(watch.closed()).await;
    let followed = scene.source.followed.0.lock();
    assert!(followed.keys().all(|key| key.kind == Kind::Secret));
}

#[tokio::test]
async fn what_is_immutable_is_not_watched_on() {
    let scene = Scene::new(true).await;
    scene.add(pod("one", &showing_map()));
    let watch = scene.watch().await;
    soon(watch.closed()).await;
    assert_eq!(scene.gathered("one").await["k"], b"v1");
}

#[tokio::test]
async fn tokens_are_due_before_they_end() {
    let mut scene = Scene::new(false).await;
    let token = json!({"serviceAccountToken": {"path": "t"}});
    let volumes = json!([{"name": "v", "projected": {"sources": [token]}}]);
    scene.add(pod("one", &volumes));
    let uid = PodUid::from("one");
    let manifest = scene.records.lock()[&uid].pod.clone();
    for round in 0..2 {
        let given = scene.source.gather(&uid, &manifest).await.unwrap();
        assert_eq!(given.tokens.values().collect::<Vec<_>>(), ["t"]);
        scene.changes.send_modify(|count| *count += 1);
        let due = soon(scene.outdated.recv()).await.unwrap();
        assert_eq!(due, uid, "round {round}");
    }
    let seen = scene.api.seen();
    let of_account = |seen: &&Seen| seen.path().ends_with("/serviceaccounts/default/token");
    let asked: Vec<_> = seen.iter().filter(of_account).collect();
    let bound = json!({"apiVersion": "v1", "kind": "Pod", "name": "one", "uid": "one"});
    assert_eq!(asked[0].body["spec"]["boundObjectRef"], bound);
    assert!(asked.len() >= 2);
}

#[test]
fn secrets_are_decoded() {
    let secret: Held = serde_json::from_value(json!({"data": {"k": "aGk="}})).unwrap();
    assert_eq!(secret.content(Kind::Secret)["k"], b"hi");
    let both = json!({"data": {"k": "aGk="}, "binaryData": {"b": "AAE="}});
    let both: Held = serde_json::from_value(both).unwrap();
    let content = both.content(Kind::ConfigMap);
    assert_eq!(content["k"], b"aGk=");
    assert_eq!(content["b"], [0, 1]);
}
