//! How long nftables rules take: from nothing to all Services, and for one change among many.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has failed"
)]

use std::time::Duration;

use keelson_proxy::backend::nftables::{Families, Nftables};
use keelson_proxy::diff::RuleSet;
use keelson_proxy::model::{EndpointSlice, Service};
use keelson_tests::netns::{Lab, Suite};
use keelson_tests::services::{node, service, set, slice};
use serde_json::json;
use tokio::time::Instant;

fn main() {
    let only: Option<usize> = std::env::args().nth(1).and_then(|text| text.parse().ok());
    println!("services x endpoints     all    one change: median   worst    resident");
    for (services, endpoints) in [
        (1_000, 5),
        (5_000, 5),
        (10_000, 5),
        (30_000, 2),
        (44_000, 1),
        (5_000, 50),
    ] {
        if only.is_none_or(|only| only == services) {
            // A thread of its own, and so a namespace of its own.
            let run = move || measure(services, endpoints);
            std::thread::spawn(run).join().unwrap();
        }
    }
}

fn one(number: usize, endpoints: usize, generation: usize) -> (Service, EndpointSlice) {
    let name = format!("service-{number}");
    let spec = json!({"clusterIP": format!("10.{}.{}.{}", 96 + number / 65_536, number / 256 % 256, number % 256),
        "ports": [{"port": 80, "protocol": "TCP"}]});
    let address = |index: usize| {
        let all = number * endpoints + index + generation;
        format!("!11.{}.{}.{}", all / 65_536, all / 256 % 256, all % 256)
    };
    let addresses: Vec<String> = (0..endpoints).map(address).collect();
    let ports = json!([{"port": 8080, "protocol": "TCP"}]);
    (service(&name, &spec, &[]), slice(&name, &addresses, &ports))
}

fn measure(services: usize, endpoints: usize) {
    let _lab = Lab::new(Suite::Ours, "/nonexistent");
    let inputs: Vec<_> = (0..services).map(|n| one(n, endpoints, 0)).collect();
    let mut rules = RuleSet::new(node());
    let mut kernel = Nftables::open(Families::default()).unwrap();
    let started = Instant::now();
    for (service, slice) in &inputs {
        set(&mut rules, service, &[slice]);
    }
    let compiled = started.elapsed();
    kernel.adopt(&rules).unwrap();
    let all = started.elapsed();
    let mut changes: Vec<Duration> = (1..=50)
        .map(|round| {
            let (service, slice) = one(round * services / 60, endpoints, round);
            let started = Instant::now();
            let delta = set(&mut rules, &service, &[&slice]);
            kernel.apply(&rules, &delta).unwrap();
            started.elapsed()
        })
        .collect();
    changes.sort_unstable();
    let started = Instant::now();
    let mut again = Nftables::open(Families::default()).unwrap();
    let written = again.adopt(&rules).unwrap().messages;
    let restart = started.elapsed();
    println!(
        "{services:>7} x {endpoints:<4} {all:>12.1?} (compiling {compiled:.1?})  {:>8.2?} {:>8.2?}  {} MiB; restart {restart:.1?}, {written} written",
        changes[25],
        changes[49],
        resident() / 1024,
    );
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
