//! The proxy on a node: what memory it takes idle and with 10,000 Services from our API server, and
//! whether new connections feel how many Services there are.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has failed"
)]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use keelson_client::Client;
use keelson_client::kubeconfig::Config;
use keelson_client::path::Resource;
use keelson_proxy::backend::nftables::{Families, Nftables};
use keelson_proxy::diff::RuleSet;
use keelson_proxy::watched::{SERVICES, SLICES};
use keelson_tests::apiserver::{ApiServer, Running};
use keelson_tests::netns::{Lab, Pod, Suite, add_route};
use keelson_tests::requires;
use keelson_tests::services::{node, service, set, slice};
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::time::Instant;

const WRITERS: usize = 8;
/// After this long an idle agent has given back what its start needed.
const CALM: Duration = Duration::from_secs(8);
/// Connections of one number of Services before the next one's turn, and turns.
const BATCH: usize = 100;
const TURNS: usize = 80;

fn main() {
    for run in [memory as fn(), path] {
        // A thread of its own, and so a namespace of its own.
        std::thread::spawn(run).join().unwrap();
    }
}

fn memory() {
    let _lab = Lab::new(Suite::Ours, "/nonexistent");
    let api = ApiServer::start(&requires::keelson(), 6443);
    let kubeconfig = format!("--kubeconfig={}", api.kubeconfig().display());
    let plain = ["kube-proxy", &kubeconfig, "--hostname-override=here"];
    let with_dns = [&plain[..], &["--cluster-dns=10.96.0.10"]].concat();
    for (args, what) in [(&plain[..], "alone"), (&with_dns, "with DNS")] {
        no_rules();
        let proxy = Running::start(&requires::keelson(), args);
        synced(&proxy, 0);
        let early = proxy.resident();
        std::thread::sleep(CALM);
        let idle = proxy.resident();
        println!("proxy {what}: {early} KiB resident at first, {idle} KiB idle");
    }
    fill(&api, 10_000, 5);
    for (args, what) in [(&plain[..], "alone"), (&with_dns, "with DNS")] {
        no_rules();
        let started = Instant::now();
        let proxy = Running::start(&requires::keelson(), args);
        synced(&proxy, 10_000);
        let took = started.elapsed();
        let early = proxy.resident();
        std::thread::sleep(CALM);
        println!(
            "proxy {what}, 10,000 Services x 5: in place {took:.1?} after the start, {early} KiB resident then, {} KiB later",
            proxy.resident(),
        );
    }
}

/// What the proxy before left would be taken for the next one's.
fn no_rules() {
    let flush = ["flush", "ruleset"];
    let done = std::process::Command::new("nft").args(flush).status();
    assert!(done.unwrap().success());
}

/// Waits until as many Services are in the kernel's map.
fn synced(proxy: &Running, services: usize) {
    let deadline = Instant::now() + Duration::from_secs(120);
    let counted = |text: &str| text.matches("10.96.").count() + text.matches("10.97.").count();
    loop {
        let output = std::process::Command::new("nft")
            .args(["list", "set", "ip", "kube-proxy", "cluster-ips"])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        if output.status.success() && counted(&text) >= services {
            return;
        }
        assert!(Instant::now() < deadline, "no rules of {}", proxy.id());
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn fill(api: &ApiServer, services: usize, endpoints: usize) {
    let config = Config::discover(Some(&api.kubeconfig())).unwrap();
    let writers: Vec<_> = (0..WRITERS)
        .map(|first| {
            let config = config.clone();
            std::thread::spawn(move || {
                let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let client = Client::new(&config, "bench").unwrap();
                    for number in (first..services).step_by(WRITERS) {
                        let (service, slice) = objects(number, endpoints);
                        create(&client, &SERVICES, &service).await;
                        create(&client, &SLICES, &slice).await;
                    }
                });
            })
        })
        .collect();
    writers
        .into_iter()
        .for_each(|writer| writer.join().unwrap());
}

async fn create(client: &Client, resource: &Resource, object: &Value) {
    let path = resource.within("default");
    client.create::<_, Value>(&path, object).await.unwrap();
}

fn objects(number: usize, endpoints: usize) -> (Value, Value) {
    let name = format!("service-{number}");
    let place = number + 1000;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"clusterIP": format!("10.96.{}.{}", place / 250, place % 250 + 1),
            "ports": [{"port": 80, "protocol": "TCP"}]}});
    let address = |index: usize| {
        let all = number * endpoints + index;
        json!({"addresses": [format!("11.{}.{}.{}", all / 65_536, all / 256 % 256, all % 256)],
            "conditions": {"ready": true}, "nodeName": "elsewhere"})
    };
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4", "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        "endpoints": (0..endpoints).map(address).collect::<Vec<_>>()});
    (service, slice)
}

/// A node with so many Services, on a thread and in a namespace of its own: measures when it is asked.
struct Crowd {
    count: usize,
    ask: SyncSender<()>,
    told: Receiver<Vec<Duration>>,
    times: Vec<Duration>,
}

impl Crowd {
    fn start(count: usize) -> Self {
        let (ask, asked) = sync_channel(0);
        let (tell, told) = sync_channel(1);
        std::thread::spawn(move || {
            let (_lab, _pod, to) = crowd(count);
            while asked.recv().is_ok() {
                tell.send((0..BATCH).map(|_| connect(to)).collect())
                    .unwrap();
            }
        });
        Self {
            count,
            ask,
            told,
            times: Vec::new(),
        }
    }

    fn turn(&mut self) {
        self.ask.send(()).unwrap();
        self.times.extend(self.told.recv().unwrap());
    }

    fn at(&self, percent: usize) -> Duration {
        self.times[(self.times.len() - 1) * percent / 100]
    }
}

/// The numbers of Services take turns, so that whatever else the machine does concerns them all.
fn path() {
    let mut crowds = [10, 1_000, 30_000].map(Crowd::start);
    for _ in 0..TURNS {
        crowds.iter_mut().for_each(Crowd::turn);
    }
    for crowd in &mut crowds {
        crowd.times.sort_unstable();
        println!(
            "proxy: a new connection among {} Services: p10 {:.1?}, median {:.1?}, p90 {:.1?}",
            crowd.count,
            crowd.at(10),
            crowd.at(50),
            crowd.at(90)
        );
    }
    let ratio = |percent| crowds[2].at(percent).as_secs_f64() / crowds[0].at(percent).as_secs_f64();
    println!(
        "proxy: 30,000 Services against 10: p10 {:.3}, median {:.3}; at most 1.1 is wanted",
        ratio(10),
        ratio(50)
    );
}

fn connect(to: SocketAddr) -> Duration {
    let started = Instant::now();
    let stream = TcpStream::connect(to).unwrap();
    let took = started.elapsed();
    drop(stream);
    took
}

fn crowd(count: usize) -> (Lab, Pod, SocketAddr) {
    let lab = Lab::new(Suite::Ours, env!("CARGO_BIN_EXE_keelson-test-cni"));
    let pod = lab.pod(&lab.bridge(&json!({})));
    add_route("10.0.0.0/8", "10.9.0.254");
    let listener = pod
        .namespace
        .inside(|| TcpListener::bind("0.0.0.0:8080").unwrap());
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let mut rules = RuleSet::new(node());
    let ports = json!([{"port": 8080, "protocol": "TCP"}]);
    let mut serve = |name: &str, ip: &str, endpoint: String| {
        let spec = json!({"clusterIP": ip, "ports": [{"port": 80, "protocol": "TCP"}]});
        let slice = slice(name, &[endpoint], &ports);
        set(&mut rules, &service(name, &spec, &[]), &[&slice]);
    };
    serve("own", "10.96.0.1", pod.addr(false).to_string());
    for number in 1..count {
        let rest = format!("{}.{}", number / 256 % 256, number % 256);
        let ip = format!("10.{}.{rest}", 100 + number / 65_536);
        serve(&format!("other-{number}"), &ip, format!("!11.1.{rest}"));
    }
    let mut kernel = Nftables::open(Families::default()).unwrap();
    kernel.adopt(&rules).unwrap();
    (lab, pod, "10.96.0.1:80".parse().unwrap())
}
