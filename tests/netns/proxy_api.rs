//! Our proxy against our API server, both as programs: from a client's write to a packet's way, and
//! what becomes of the rules while the API is away.

#![expect(clippy::unwrap_used, reason = "a case that cannot go on has failed")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use keelson_client::Client;
use keelson_client::kubeconfig::Config;
use keelson_client::path::Resource;
use keelson_client::request::DeleteOptions;
use keelson_proxy::dns::Name;
use keelson_proxy::dns::wire::{Data, Kept, kind, question};
use keelson_proxy::watched::{NODES, SERVICES, SLICES};
use keelson_tests::apiserver::{ApiServer, Running};
use keelson_tests::netns::{Host, Lab, Pod, Suite, add_route, tcp};
use keelson_tests::requires;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(60);

/// A node whose only programs are an API server and a proxy.
struct Cluster {
    lab: Lab,
    api: ApiServer,
    client: Client,
    runtime: Runtime,
    proxy: Option<Running>,
}

impl Cluster {
    fn new() -> Self {
        let lab = Lab::new(Suite::Ours, env!("CARGO_BIN_EXE_keelson-test-cni"));
        let api = ApiServer::start(&requires::keelson(), 6443);
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let config = Config::discover(Some(&api.kubeconfig())).unwrap();
        let client = runtime.block_on(async { Client::new(&config, "tests").unwrap() });
        Self {
            lab,
            api,
            client,
            runtime,
            proxy: None,
        }
    }

    fn start_proxy(&mut self) {
        let kubeconfig = format!("--kubeconfig={}", self.api.kubeconfig().display());
        let args = [
            "kube-proxy",
            &kubeconfig,
            "--hostname-override=here",
            "--cluster-cidr=10.9.0.0/24",
            "--cluster-dns=10.96.0.10",
        ];
        self.proxy = Some(Running::start(&requires::keelson(), &args));
    }

    /// Writes until the server takes it: it may still be on its way up.
    fn create(&self, resource: &Resource, namespace: &str, object: &Value) {
        let path = resource.within(namespace);
        until("a write", || {
            let made: Result<Value, _> = self.runtime.block_on(self.client.create(&path, object));
            match made {
                Err(error) if error.is_already_exists() => true,
                outcome => outcome.is_ok(),
            }
        });
    }

    fn delete(&self, resource: &Resource, name: &str) {
        let path = resource.named("default", name);
        let options = DeleteOptions::default();
        let deleted = self.client.delete(&path, &options);
        self.runtime.block_on(deleted).unwrap();
    }

    fn serve(&self, name: &str, ip: &str, pod: &Pod) {
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"clusterIP": ip, "ports": [{"port": 80, "protocol": "TCP"}]}});
        self.create(&SERVICES, "default", &service);
        self.create(&SLICES, "default", &self.slice(name, pod));
    }

    fn slice(&self, service: &str, pod: &Pod) -> Value {
        let now = jiff::Timestamp::now().to_string();
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": format!("{service}-1"),
                "labels": {"kubernetes.io/service-name": service},
                "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": now}},
            "addressType": "IPv4", "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
            "endpoints": [{"addresses": [pod.addr(false)], "conditions": {"ready": true}}]})
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what} did not come about");
        thread::yield_now();
    }
}

fn get(port: u16, path: &str) -> String {
    get_at("127.0.0.1", port, path)
}

fn get_at(ip: &str, port: u16, path: &str) -> String {
    let ask = || {
        let mut stream = TcpStream::connect((ip, port))?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map(|_| text)
    };
    let answer: std::io::Result<String> = ask();
    answer.unwrap_or_default()
}

fn at(ip: &str) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), 80)
}

/// The addresses that the node's DNS has for a name, asked from a pod.
fn addresses(from: &Pod, name: &str) -> Vec<Data> {
    let asked = question(7, &Name::parse(name).unwrap(), kind::A, false);
    let socket = from
        .namespace
        .inside(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(&asked, "10.96.0.10:53").unwrap();
    let mut buffer = [0; 1232];
    let length = socket.recv(&mut buffer).unwrap();
    let kept = Kept::read(&buffer[..length], &asked).unwrap();
    kept.addresses(0).map(|record| record.data).collect()
}

#[test]
#[ignore = "needs root: make test"]
fn writes_become_ways_of_packets_and_outlive_the_api() {
    let mut cluster = Cluster::new();
    let conf = cluster.lab.bridge(&json!({"hairpinMode": true}));
    let (one, two) = (cluster.lab.pod(&conf), cluster.lab.pod(&conf));
    // Without a route there is no packet that a rule could rewrite.
    add_route("10.96.0.0/12", "10.9.0.254");
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "here"}});
    let created: Result<Value, _> = {
        until("an API", || get_ready(&cluster));
        let path = NODES.all();
        cluster
            .runtime
            .block_on(cluster.client.create(&path, &node))
    };
    created.unwrap();
    cluster.serve("one", "10.96.7.1", &one);
    cluster.start_proxy();
    let (first, second) = (at("10.96.7.1"), at("10.96.7.2"));
    until("a Service that was there", || {
        tcp(&Host, first, &one, 8080).is_some()
    });
    cluster.serve("two", "10.96.7.2", &two);
    until("a new Service", || tcp(&Host, second, &two, 8080).is_some());
    assert!(tcp(&one, second, &two, 8080).is_some(), "from a pod");
    let named = |name: &str| addresses(&one, &format!("{name}.default.svc.cluster.local"));
    let expected = vec![Data::A([10, 96, 7, 2].into())];
    assert_eq!(named("two"), expected);
    assert_eq!(named("three"), vec![]);
    let dns = |port, path| get_at("10.96.0.10", port, path);
    assert!(dns(8181, "/ready").contains("200 OK"));
    assert!(dns(9153, "/metrics").contains("coredns_dns_requests_total{"));
    let counted = "kubeproxy_network_programming_duration_seconds_count ";
    until("a measured latency", || {
        let text = get(10249, "/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(counted));
        line.is_some_and(|count| count != "0")
    });
    cluster.delete(&SLICES, "two-1");
    until("no endpoints", || tcp(&Host, second, &two, 8080).is_none());

    cluster.api.kill();
    assert!(tcp(&Host, first, &one, 8080).is_some(), "the API is away");
    assert_eq!(named("two"), expected, "names stay");
    cluster.proxy = None;
    assert!(tcp(&Host, first, &one, 8080).is_some(), "the proxy too");
}

fn get_ready(cluster: &Cluster) -> bool {
    let ready = cluster.client.raw(hyper::Method::GET, "/readyz");
    cluster.runtime.block_on(ready).is_ok()
}
