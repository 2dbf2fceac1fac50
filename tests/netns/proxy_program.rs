//! The whole proxy against an API over HTTP: from an object's change to a packet's way.

#![expect(clippy::unwrap_used, reason = "a case that cannot go on has failed")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use keelson_client::Client;
use keelson_client::kubeconfig::Config;
use keelson_proxy::agent;
use keelson_proxy::config::KubeProxyConfiguration;
use keelson_tests::netns::{Host, Lab, Pod, Suite, ruleset, tcp};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(10);

/// The objects of an API and what became of them: version, resource, event.
#[derive(Default, Clone)]
struct Objects {
    current: BTreeMap<(String, String), Value>,
    events: Vec<(usize, String, Value)>,
}

/// An API of a few lines: lists and watches of three resources, no streaming lists.
#[derive(Clone)]
struct Api(Arc<watch::Sender<Objects>>);

impl Api {
    fn put(&self, resource: &str, mut object: Value) {
        self.0.send_modify(|objects| {
            let version = objects.events.len() + 1;
            object["metadata"]["resourceVersion"] = json!(version.to_string());
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            let key = (resource.to_owned(), name);
            let kind = match objects.current.insert(key, object.clone()) {
                None => "ADDED",
                Some(_) => "MODIFIED",
            };
            let event = json!({"type": kind, "object": object});
            objects.events.push((version, resource.to_owned(), event));
        });
    }

    fn remove(&self, resource: &str, name: &str) {
        self.0.send_modify(|objects| {
            let version = objects.events.len() + 1;
            let key = (resource.to_owned(), name.to_owned());
            let mut object = objects.current.remove(&key).unwrap();
            object["metadata"]["resourceVersion"] = json!(version.to_string());
            let event = json!({"type": "DELETED", "object": object});
            objects.events.push((version, resource.to_owned(), event));
        });
    }

    async fn serve(self, listener: TcpListener) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let api = self.clone();
            // A client that goes away in the middle is its own affair.
            tokio::spawn(async move { api.answer(stream).await.ok() });
        }
    }

    async fn answer(self, stream: tokio::net::TcpStream) -> std::io::Result<()> {
        let (reading, mut writing) = stream.into_split();
        let mut lines = BufReader::new(reading).lines();
        while let Some(request) = lines.next_line().await? {
            while lines
                .next_line()
                .await?
                .is_some_and(|line| !line.is_empty())
            {}
            let url = request.split(' ').nth(1).unwrap_or_default().to_owned();
            let (path, query) = url.split_once('?').unwrap_or((&url, ""));
            let resource = path.rsplit('/').next().unwrap_or_default().to_owned();
            if query.contains("sendInitialEvents=true") {
                let status = json!({"kind": "Status", "code": 422, "reason": "Invalid"});
                reply(&mut writing, "422 Unprocessable Entity", &status).await?;
            } else if query.contains("watch=true") {
                let from = query
                    .split('&')
                    .find_map(|p| p.strip_prefix("resourceVersion="));
                return self.stream(&resource, from.unwrap_or("0"), writing).await;
            } else {
                let objects = self.0.borrow().clone();
                let own = objects
                    .current
                    .iter()
                    .filter(|((of, _), _)| *of == resource);
                let items: Vec<&Value> = own.map(|(_, object)| object).collect();
                let version = objects.events.len().to_string();
                let list = json!({"metadata": {"resourceVersion": version}, "items": items});
                reply(&mut writing, "200 OK", &list).await?;
            }
        }
        Ok(())
    }

    async fn stream(
        &self,
        resource: &str,
        from: &str,
        mut to: tokio::net::tcp::OwnedWriteHalf,
    ) -> std::io::Result<()> {
        to.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n").await?;
        let mut sent: usize = from.parse().unwrap_or(0);
        let mut changes = self.0.subscribe();
        loop {
            let events = changes.borrow_and_update().events.clone();
            for (version, of, event) in events.iter().skip(sent) {
                if of == resource {
                    let line = format!("{event}\n");
                    let chunk = format!("{:x}\r\n{line}\r\n", line.len());
                    to.write_all(chunk.as_bytes()).await?;
                }
                sent = *version;
            }
            if changes.changed().await.is_err() {
                return Ok(());
            }
        }
    }
}

async fn reply(
    to: &mut tokio::net::tcp::OwnedWriteHalf,
    code: &str,
    body: &Value,
) -> std::io::Result<()> {
    let body = body.to_string();
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {code}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    to.write_all((head + &body).as_bytes()).await
}

/// A node with a running proxy and its API.
struct Running {
    lab: Lab,
    api: Api,
    address: SocketAddr,
    proxy: Option<Proxy>,
}

struct Proxy {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Running {
    fn new() -> Self {
        let lab = Lab::new(Suite::Ours, env!("CARGO_BIN_EXE_keelson-test-cni"));
        let api = Api(Arc::new(watch::Sender::default()));
        let node = json!({"metadata": {"name": "here", "labels": {}},
            "status": {"addresses": [{"type": "InternalIP", "address": "10.9.0.1"}]}});
        api.put("nodes", node);
        let served = api.clone();
        let (told, address) = std::sync::mpsc::channel();
        // Threads are born into the namespace of their parent.
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                told.send(listener.local_addr().unwrap()).unwrap();
                served.serve(listener).await;
            });
        });
        Self {
            lab,
            api,
            address: address.recv().unwrap(),
            proxy: None,
        }
    }

    fn start(&mut self) {
        let (stop, stopped) = oneshot::channel::<()>();
        let port = self.address.port();
        let thread = thread::spawn(move || {
            let config = KubeProxyConfiguration {
                cluster_cidr: "10.9.0.0/24".into(),
                bind_address_hard_fail: true,
                ..KubeProxyConfiguration::default()
            };
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let client = Client::new(&Config::plain("127.0.0.1", port), "test").unwrap();
                let stop = async { drop(stopped.await) };
                agent::run(config, agent::Extras::default(), "here", client, stop)
                    .await
                    .unwrap();
            });
        });
        self.proxy = Some(Proxy { stop, thread });
        until("health", || get(10256, "/healthz").contains("200 OK"));
    }

    fn stop(&mut self) {
        let proxy = self.proxy.take().unwrap();
        proxy.stop.send(()).unwrap();
        proxy.thread.join().unwrap();
    }

    fn put_service(&self, name: &str, spec: &Value) {
        let object = json!({"metadata": {"namespace": "ns", "name": name}, "spec": spec});
        self.api.put("services", object);
    }

    fn put_slice(&self, name: &str, pods: &[&Pod]) {
        let endpoint = |pod: &&Pod| json!({"addresses": [pod.addr(false)], "nodeName": "here"});
        let endpoints: Vec<Value> = pods.iter().map(endpoint).collect();
        let object = json!({"metadata": {"namespace": "ns", "name": format!("{name}-1"),
                "labels": {"kubernetes.io/service-name": name}},
            "ports": [{"name": "", "port": 8080, "protocol": "TCP"}], "endpoints": endpoints});
        self.api.put("endpointslices", object);
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what} did not come about");
        thread::yield_now();
    }
    started.elapsed()
}

fn get(port: u16, path: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return String::new();
    };
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let mut text = String::new();
    let sent = stream.write_all(request.as_bytes());
    if sent
        .and_then(|()| stream.read_to_string(&mut text).map(drop))
        .is_err()
    {
        return String::new();
    }
    text
}

fn vip() -> SocketAddr {
    "10.96.0.1:80".parse().unwrap()
}

#[test]
#[ignore = "needs root: make test"]
fn objects_become_ways_of_packets() {
    let mut node = Running::new();
    let (a, b) = (
        node.lab
            .pod(&node.lab.bridge(&json!({"hairpinMode": true}))),
        node.lab
            .pod(&node.lab.bridge(&json!({"hairpinMode": true}))),
    );
    // Without a route there is no packet that a rule could rewrite.
    keelson_tests::netns::add_route("10.96.0.0/16", "10.9.0.254");
    let spec = json!({"clusterIP": "10.96.0.1", "ports": [{"port": 80, "protocol": "TCP"}]});
    node.put_service("web", &spec);
    node.put_slice("web", &[&a]);
    node.start();
    until("what was there before", || {
        tcp(&Host, vip(), &a, 8080).is_some()
    });
    node.put_slice("web", &[&b]);
    until("another endpoint", || tcp(&Host, vip(), &b, 8080).is_some());
    assert!(tcp(&a, vip(), &b, 8080).is_some());
    let text = get(10249, "/metrics");
    assert!(
        text.contains("kubeproxy_sync_partial_proxy_rules_duration_seconds_count"),
        "{text}"
    );
    assert!(get(10249, "/configz").contains("\"clusterCIDR\":\"10.9.0.0/24\""));

    // Rules outlive the proxy, and the next one finds them as they should be.
    node.stop();
    assert!(tcp(&Host, vip(), &b, 8080).is_some());
    let before = ruleset();
    node.start();
    until("a sync", || {
        get(10249, "/metrics").contains("sync_full_proxy_rules_duration_seconds_count 1")
    });
    assert_eq!(ruleset(), before);

    node.api.remove("services", "web");
    until("no Service", || tcp(&Host, vip(), &b, 8080).is_none());
    until("no rules of it", || !ruleset().contains("10.96.0.1"));
    node.stop();
}

#[test]
#[ignore = "needs root: make test"]
fn a_load_balancer_asks_for_local_endpoints() {
    let mut node = Running::new();
    let pod = node.lab.pod(&node.lab.bridge(&json!({})));
    let spec = json!({"type": "LoadBalancer", "clusterIP": "10.96.0.1",
        "externalTrafficPolicy": "Local", "healthCheckNodePort": 32000,
        "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30080}]});
    node.start();
    node.put_service("web", &spec);
    until("an answer", || {
        get(32000, "/").contains("503 Service Unavailable")
    });
    node.put_slice("web", &[&pod]);
    until("a local endpoint", || {
        get(32000, "/").contains("\"localEndpoints\":1")
    });
    let leaving =
        json!({"metadata": {"name": "here", "deletionTimestamp": "2026-01-01T00:00:00Z"}});
    node.api.put("nodes", leaving);
    until("the node is leaving", || {
        get(10256, "/healthz").contains("503")
    });
    assert!(get(10256, "/livez").contains("200 OK"));
    node.stop();
}
