//! Summaries of a small node.

use std::collections::HashMap;

use super::*;
use crate::cgroup::stats::{MemoryUsage, Pressure};
use crate::stats::input::Packets;

pub(in crate::stats) fn reading() -> Reading {
    let fs = FsReading {
        available: 600,
        capacity: 1000,
        used: 400,
        inodes_free: 60,
        inodes: 100,
        inodes_used: 40,
    };
    Reading {
        at: Timestamp::from_second(100).unwrap(),
        node: NodeReading {
            name: "node-1".into(),
            boot_second: 10,
            cpu_nanos: Some(9_000_000_000),
            memory: Some(NodeMemory {
                total: 1000,
                free: 300,
                inactive_file: 200,
                anonymous: 400,
                swap_total: 50,
                swap_free: 40,
                page_faults: 7,
                major_page_faults: 2,
            }),
            pressure: Pressure {
                cpu: Some(Psi {
                    some: PsiLine {
                        avg10: 1.5,
                        total_micros: 7,
                        ..PsiLine::default()
                    },
                    ..Psi::default()
                }),
                ..Pressure::default()
            },
            processes: Some((32768, 120)),
            fs: Some(fs),
            image_fs: Some(FsReading { used: 100, ..fs }),
            ..NodeReading::default()
        },
        pods: vec![pod(fs)],
    }
}

fn pod(fs: FsReading) -> PodReading {
    let usage = |cpu_nanos, working_set| Usage {
        cpu_nanos: Some(cpu_nanos),
        memory: Some(MemoryUsage {
            usage: working_set + 50,
            working_set,
            rss: 70,
            page_faults: 3,
            major_page_faults: 1,
            limit: Some(1000),
        }),
        swap_bytes: Some(5),
        pids: Some(4),
        ..Usage::default()
    };
    let eth0 = InterfaceUsage {
        name: "eth0".into(),
        rx_bytes: Some(11),
        rx_errors: Some(0),
        tx_bytes: Some(12),
        tx_errors: Some(0),
    };
    PodReading {
        name: "web".into(),
        namespace: "default".into(),
        uid: "u1".into(),
        started: Some(Timestamp::from_second(50).unwrap()),
        usage: Some(usage(4_000_000_000, 150)),
        interfaces: vec![eth0],
        packets: vec![(
            "eth0".into(),
            Packets {
                received: 21,
                receive_dropped: 1,
                sent: 22,
                send_dropped: 2,
            },
        )],
        volumes: [("cache", 100, true), ("memory", 7, false)]
            .map(|(name, used, on_disk)| VolumeReading {
                name: name.into(),
                fs: FsReading {
                    used,
                    inodes_used: 1,
                    ..fs
                },
                on_disk,
            })
            .into(),
        containers: vec![ContainerReading {
            name: "app".into(),
            id: "c1".into(),
            image: "example/app:1".into(),
            started: Some(Timestamp::from_second(51).unwrap()),
            usage: Some(usage(3_000_000_000, 100)),
            writable: Some((30, 3)),
            logs: Some((12, 1)),
        }],
    }
}

fn last() -> LastCpu {
    LastCpu {
        at: Some(Timestamp::from_second(90).unwrap()),
        nanos: HashMap::from([
            ("c1".into(), 1_000_000_000),
            (String::new(), 10_000_000_000),
        ]),
    }
}

#[test]
fn a_pod_and_its_container() {
    let summary = serde_json::to_value(assemble(&reading(), &last())).unwrap();
    let pod = &summary["pods"][0];
    assert_eq!(pod["podRef"]["uid"], "u1");
    assert_eq!(pod["startTime"], "1970-01-01T00:00:50Z");
    assert_eq!(pod["process_stats"]["process_count"], 4);
    assert_eq!(pod["network"]["name"], "eth0");
    assert_eq!(pod["network"]["interfaces"][0]["txBytes"], 12);
    assert_eq!(pod["ephemeral-storage"]["usedBytes"], 142);
    assert_eq!(pod["ephemeral-storage"]["inodesUsed"], 5);
    assert_eq!(pod["volume"][0]["name"], "cache");
    assert_eq!(pod["volume"][1]["usedBytes"], 7);
    assert_eq!(pod["volume"][1]["capacityBytes"], 1000);
    assert_eq!(pod["cpu"].get("usageNanoCores"), None);
    let container = &pod["containers"][0];
    assert_eq!(container["cpu"]["usageCoreNanoSeconds"], 3_000_000_000u64);
    assert_eq!(container["cpu"]["usageNanoCores"], 200_000_000);
    assert_eq!(container["memory"]["availableBytes"], 900);
    assert_eq!(container["swap"]["swapUsageBytes"], 5);
    assert_eq!(container["rootfs"]["usedBytes"], 30);
    assert_eq!(container["rootfs"]["capacityBytes"], 1000);
    assert_eq!(container["logs"]["usedBytes"], 12);
}

#[test]
fn the_node() {
    let summary = serde_json::to_value(assemble(&reading(), &last())).unwrap();
    let node = &summary["node"];
    assert_eq!(node["startTime"], "1970-01-01T00:00:10Z");
    assert_eq!(node["memory"]["usageBytes"], 700);
    assert_eq!(node["memory"]["workingSetBytes"], 500);
    assert_eq!(node["memory"]["availableBytes"], 500);
    assert_eq!(node["swap"]["swapUsageBytes"], 10);
    assert_eq!(node["rlimit"]["maxpid"], 32768);
    assert_eq!(node["rlimit"]["curproc"], 120);
    assert_eq!(node["fs"]["usedBytes"], 400);
    assert_eq!(node["runtime"]["imageFs"]["usedBytes"], 100);
    assert_eq!(node["cpu"]["psi"]["some"]["total"], 7000);
    // The counter went back, as after a reboot: no rate.
    assert_eq!(node["cpu"].get("usageNanoCores"), None);
    assert_eq!(node.get("network"), None);
}

#[test]
fn what_is_remembered_gives_the_next_rates() {
    let remembered = remember(&reading());
    assert_eq!(remembered.nanos["c1"], 3_000_000_000);
    assert_eq!(remembered.nanos["u1"], 4_000_000_000);
    assert_eq!(remembered.nanos[""], 9_000_000_000);
    let same_instant = assemble(&reading(), &remembered);
    assert_eq!(same_instant.node.cpu.unwrap().usage_nano_cores, None);
}
