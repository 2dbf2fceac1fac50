//! The proxy on a node: what memory it takes idle and with 10,000 Services from our API server, and
//! whether new connections feel how many Services there are.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has failed"
)]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use keelson_client::Client;
use keelson_client::kubeconfig::Config;
use keelson_client::path::Resource;
use keelson_proxy::backend::nftables::{Families, Nftables};
use keelson_proxy::diff::RuleSet;
use keelson_proxy::watched::{SERVICES, SLICES};
use keelson_tests::apiserver::{ApiServer, Running};
use keelson_tests::netns::{Lab, Suite, add_route};
use keelson_tests::requires;
use keelson_tests::services::{node, service, set, slice};
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::time::Instant;

const WRITERS: usize = 8;

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
    for args in [&plain[..], &with_dns] {
        let proxy = Running::start(&requires::keelson(), args);
        synced(&proxy, 0);
        println!(
            "proxy: idle, {} flags: {} KiB resident",
            args.len() - 1,
            proxy.resident()
        );
    }
    fill(&api, 10_000, 5);
    for args in [&plain[..], &with_dns] {
        let started = Instant::now();
        let proxy = Running::start(&requires::keelson(), args);
        synced(&proxy, 10_000);
        println!(
            "proxy: 10,000 Services x 5, {} flags: {} KiB resident, in place {:.1?} after the start",
            args.len() - 1,
            proxy.resident(),
            started.elapsed()
        );
    }
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

fn path() {
    let lab = Lab::new(Suite::Ours, env!("CARGO_BIN_EXE_keelson-test-cni"));
    let pod = lab.pod(&lab.bridge(&json!({})));
    add_route("10.0.0.0/8", "10.9.0.254");
    let listener = pod
        .namespace
        .inside(|| TcpListener::bind("0.0.0.0:8080").unwrap());
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let own = service(
        "own",
        &json!({"clusterIP": "10.96.0.1", "ports": [{"port": 80, "protocol": "TCP"}]}),
        &[],
    );
    let ports = json!([{"port": 8080, "protocol": "TCP"}]);
    let own_slice = slice("own", &[pod.addr(false).to_string()], &ports);
    for count in [10, 1_000, 30_000] {
        let mut rules = RuleSet::new(node());
        set(&mut rules, &own, &[&own_slice]);
        for number in 1..count {
            let ip = format!(
                "10.{}.{}.{}",
                100 + number / 65_536,
                number / 256 % 256,
                number % 256
            );
            let name = format!("other-{number}");
            let spec = json!({"clusterIP": ip, "ports": [{"port": 80, "protocol": "TCP"}]});
            let other = service(&name, &spec, &[]);
            set(
                &mut rules,
                &other,
                &[&slice(&name, &[format!("!11.{}", &ip[3..])], &ports)],
            );
        }
        Nftables::open(Families::default())
            .unwrap()
            .adopt(&rules)
            .unwrap();
        let to: SocketAddr = "10.96.0.1:80".parse().unwrap();
        let mut times: Vec<Duration> = (0..4_000)
            .map(|_| {
                let started = Instant::now();
                let stream = TcpStream::connect(to).unwrap();
                let took = started.elapsed();
                drop(stream);
                took
            })
            .collect();
        times.sort_unstable();
        println!(
            "proxy: a new connection among {count} Services: median {:.1?}, p90 {:.1?}",
            times[2_000], times[3_600]
        );
    }
}
