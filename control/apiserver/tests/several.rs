//! Several servers on one etcd of three members: nothing that was acknowledged is lost, no watch has
//! a gap, no address is handed out twice, whoever dies meanwhile.
//!
//! `KEELSON_TEST_ETCD_BIN` names the folder of etcd.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../../store/tests/etcd/cluster.rs"]
#[expect(dead_code, reason = "the store's own tests use the rest")]
mod cluster;
#[path = "api/harness.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod harness;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster::Cluster;
use harness::{Client, Server};
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SERVICES: &str = "/api/v1/namespaces/default/services";
const LONG: Duration = Duration::from_secs(300);
const PATIENCE: Duration = Duration::from_secs(60);

/// Servers, each with threads of its own, so that one can end without a word.
struct Fleet {
    servers: Arc<[Server]>,
    runtimes: Vec<Option<Runtime>>,
}

impl Fleet {
    async fn start(cluster: &Cluster, more: &[&str]) -> Self {
        let etcd = format!("--etcd-servers={}", cluster.options().endpoints.join(","));
        let (mut starting, mut runtimes) = (Vec::new(), Vec::new());
        for number in 1..=2 {
            let mut flags = vec![
                etcd.clone(),
                format!("--advertise-address=192.0.2.{number}"),
            ];
            flags.extend(more.iter().map(|flag| (*flag).to_owned()));
            let mut builder = Builder::new_multi_thread();
            let runtime = builder.worker_threads(1).enable_all().build().unwrap();
            starting.push(runtime.spawn(async move {
                let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
                Server::with(&flags).await
            }));
            runtimes.push(Some(runtime));
        }
        let mut servers = Vec::new();
        for server in starting {
            servers.push(server.await.unwrap());
        }
        let fleet = Self {
            servers: servers.into(),
            runtimes,
        };
        for server in &*fleet.servers {
            let mut admin = server.admin().await;
            let ready = async { while admin.get("/readyz").await.code != 200 {} };
            timeout(LONG, ready).await.expect("a server that is ready");
        }
        fleet
    }

    /// Ends a server as SIGKILL would.
    fn kill(&mut self, number: usize) {
        self.runtimes[number].take().unwrap().shutdown_background();
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for runtime in self.runtimes.iter_mut().filter_map(Option::take) {
            runtime.shutdown_background();
        }
    }
}

/// A client of any server that answers, beginning with this one.
async fn connect(servers: &[Server], first: usize) -> Client {
    for number in (first..).map(|number| number % servers.len()) {
        if let Ok(Some(client)) = timeout(PATIENCE, servers[number].try_admin()).await {
            return client;
        }
    }
    unreachable!("there is no end of servers")
}

fn request(method: &str, path: &str, body: &Value) -> Request<Full<Bytes>> {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost");
    let request = request.header("content-type", "application/json");
    request.body(Full::new(body.into())).unwrap()
}

/// What is answered; nothing when the connection breaks or nobody answers in time.
async fn attempt(client: &mut Client, request: Request<Full<Bytes>>) -> Option<(u16, Value)> {
    let whole = async {
        let response = client.try_send(request).await.ok()?;
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.ok()?.to_bytes();
        Some((code, serde_json::from_slice(&body).unwrap_or_default()))
    };
    timeout(PATIENCE, whole).await.ok().flatten()
}

/// Creates objects until it is stopped, and gives the names that were acknowledged.
async fn write(
    servers: Arc<[Server]>,
    number: usize,
    acknowledged: watch::Sender<usize>,
    stop: CancellationToken,
) -> Vec<String> {
    let mut names = Vec::new();
    let mut server = number;
    let mut client = connect(&servers, server).await;
    for turn in 0.. {
        if stop.is_cancelled() {
            break;
        }
        let name = format!("w{number}-{turn}");
        let object = json!({"metadata": {"name": name}, "data": {"name": name}});
        match attempt(&mut client, request("POST", MAPS, &object)).await {
            Some((201, _)) => {
                names.push(name);
                acknowledged.send_modify(|count| *count += 1);
            }
            // Nothing was promised.
            Some((500.., _) | (429, _)) => {}
            Some((code, answer)) => panic!("{name}: {code} {answer}"),
            None => {
                server += 1;
                client = connect(&servers, server).await;
            }
        }
    }
    names
}

/// Follows all objects from a revision on, from server to server, and sends what was created.
async fn follow(servers: Arc<[Server]>, mut revision: u64, seen: mpsc::Sender<(String, u64)>) {
    for server in 0.. {
        let mut client = connect(&servers, server).await;
        let path = format!("{MAPS}?watch=1&resourceVersion={revision}");
        let asked = client.try_send(request("GET", &path, &Value::Null));
        let Ok(Ok(response)) = timeout(PATIENCE, asked).await else {
            continue;
        };
        if response.status() != 200 {
            continue;
        }
        let (mut body, mut buffer) = (response.into_body(), Vec::new());
        while let Some(Ok(frame)) = body.frame().await {
            buffer.extend_from_slice(frame.data_ref().unwrap());
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                let event: Value = serde_json::from_slice(&line).unwrap();
                let meta = &event["object"]["metadata"];
                assert_eq!(event["type"], "ADDED", "{event}");
                revision = meta["resourceVersion"].as_str().unwrap().parse().unwrap();
                let name = meta["name"].as_str().unwrap().to_owned();
                if seen.send((name, revision)).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn reach(acknowledged: &mut watch::Receiver<usize>, more: usize) {
    let goal = *acknowledged.borrow() + more;
    let reached = acknowledged.wait_for(|count| *count >= goal);
    timeout(LONG, reached).await.expect("writes go on").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs etcd: make test"]
async fn acknowledged_writes_outlive_servers_and_members() {
    let mut cluster = Cluster::start(3).await;
    let mut fleet = Fleet::start(&cluster, &[]).await;
    let mut revision = 0;
    // Both have the kind at hand, as servers that have been up for a while do.
    for server in fleet.servers.iter().rev() {
        let list = server.admin().await.get(MAPS).await.value;
        revision = list["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
    }
    let (seen, mut coming) = mpsc::channel(64);
    let watching = tokio::spawn(follow(Arc::clone(&fleet.servers), revision, seen));
    let (counted, mut acknowledged) = watch::channel(0);
    let stop = CancellationToken::new();
    let writers: Vec<_> = (0..4)
        .map(|number| {
            let servers = Arc::clone(&fleet.servers);
            tokio::spawn(write(servers, number, counted.clone(), stop.clone()))
        })
        .collect();
    let collecting = tokio::spawn(async move {
        let mut all = Vec::new();
        while let Some(next) = coming.recv().await {
            if next.0 == "last" {
                break;
            }
            all.push(next);
        }
        all
    });
    reach(&mut acknowledged, 100).await;
    fleet.kill(0);
    reach(&mut acknowledged, 100).await;
    let leader = cluster.leader().await;
    cluster.kill(leader);
    reach(&mut acknowledged, 100).await;
    stop.cancel();
    let mut promised = Vec::new();
    for writer in writers {
        promised.extend(writer.await.unwrap());
    }
    let mut admin = connect(&fleet.servers, 1).await;
    let last = json!({"metadata": {"name": "last"}});
    assert_eq!(
        attempt(&mut admin, request("POST", MAPS, &last))
            .await
            .unwrap()
            .0,
        201
    );
    let seen = timeout(LONG, collecting)
        .await
        .expect("the last event")
        .unwrap();
    watching.abort();

    let (_, list) = attempt(&mut admin, request("GET", MAPS, &Value::Null))
        .await
        .unwrap();
    judge(&promised, &list, &seen);
}

/// Nothing is lost, nothing is told twice or out of order.
fn judge(promised: &[String], list: &Value, seen: &[(String, u64)]) {
    let there: BTreeSet<&str> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|object| object["data"]["name"] == object["metadata"]["name"])
        .filter_map(|object| object["metadata"]["name"].as_str())
        .collect();
    let told: BTreeSet<&str> = seen.iter().map(|(name, _)| name.as_str()).collect();
    assert!(promised.len() >= 300, "{}", promised.len());
    for name in promised {
        assert!(there.contains(name.as_str()), "{name} is lost");
        assert!(told.contains(name.as_str()), "{name} was not told of");
    }
    assert_eq!(told.len(), seen.len(), "something was told twice");
    assert!(
        seen.windows(2).all(|two| two[0].1 < two[1].1),
        "out of order"
    );
    assert!(
        there.iter().all(|name| told.contains(name)),
        "there is more than was told"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs etcd: make test"]
async fn servers_share_addresses_and_ports_and_know_of_each_other() {
    let cluster = Cluster::start(1).await;
    let range = [
        "--service-cluster-ip-range=10.5.0.0/27",
        "--service-node-port-range=30000-30019",
    ];
    let mut fleet = Fleet::start(&cluster, &range).await;
    let mut makers = tokio::task::JoinSet::new();
    for number in 0..4 {
        let servers = Arc::clone(&fleet.servers);
        makers.spawn(async move {
            let mut client = servers[number % 2].admin().await;
            let mut made = Vec::new();
            for turn in 0..5 {
                let service = json!({"metadata": {"name": format!("s-{number}-{turn}")},
                    "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
                let reply = client.post(SERVICES, &service).await;
                assert_eq!(reply.code, 201, "{reply:?}");
                let spec = &reply.value["spec"];
                made.push((
                    spec["clusterIP"].to_string(),
                    spec["ports"][0]["nodePort"].to_string(),
                ));
            }
            made
        });
    }
    let made: Vec<_> = makers.join_all().await.into_iter().flatten().collect();
    let addresses: BTreeSet<_> = made.iter().map(|(address, _)| address).collect();
    let ports: BTreeSet<_> = made.iter().map(|(_, port)| port).collect();
    assert_eq!((addresses.len(), ports.len()), (20, 20), "{made:?}");

    let path = "/api/v1/namespaces/default/endpoints/kubernetes";
    let mut admin = fleet.servers[1].admin().await;
    let mut until = async |expected: Value| {
        let agreed = async {
            while admin.get(path).await.value["subsets"][0]["addresses"] != expected {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, agreed)
            .await
            .expect("the servers that are there");
    };
    until(json!([{"ip": "192.0.2.1"}, {"ip": "192.0.2.2"}])).await;
    fleet.kill(0);
    until(json!([{"ip": "192.0.2.2"}])).await;
}
