//! Which nodes reach a pod's volumes, and what its claims get.

use std::sync::Arc;

use super::plan;
use crate::cluster::Cluster;
use crate::framework::Cycle;
use crate::intern::Word;
use crate::model::pod::VolumeRef;
use crate::model::storage::{Capacity, Claim, CsiNode, StorageClass, Volume};
use crate::model::{Class, Labels, Node, NodeTerm, Pod, PodKey, Requirement, Selector};
use crate::profile::Profile;
use crate::registry::{Settings, profile};
use crate::schedule::{Decision, Dice, schedule};

fn word(text: &str) -> Word {
    Word::of(text)
}

fn on_zone(zone: &str) -> Vec<Requirement> {
    vec![Requirement::equal(word("zone"), word(zone))]
}

/// Two nodes in two zones, and a class that waits.
fn cluster() -> Cluster {
    let mut cluster = Cluster::default();
    for (name, zone) in [("a", "1"), ("b", "2")] {
        cluster.set_node(Arc::new(Node {
            name: word(name),
            labels: Labels::new([(word("zone"), word(zone))]),
            pods: 10,
            ..Node::default()
        }));
    }
    let class = StorageClass {
        provisioner: word("csi.example.com"),
        waits: true,
        topologies: Vec::new(),
    };
    cluster.storage.classes.insert(word("waits"), class);
    cluster
}

fn claim(size: i64) -> Claim {
    Claim {
        class: Some(word("waits")),
        size,
        ..Claim::default()
    }
}

fn volume(name: &str, size: i64, zone: &str) -> Volume {
    Volume {
        name: word(name),
        class: word("waits"),
        available: true,
        size,
        nodes: Some(vec![NodeTerm {
            labels: on_zone(zone),
            names: Vec::new(),
        }]),
        ..Volume::default()
    }
}

fn pod(name: &str, claims: &[&str]) -> Pod {
    let volumes = claims.iter().map(|claim| VolumeRef::Claim(word(claim)));
    let class = Class {
        namespace: word("ns"),
        volumes: volumes.collect(),
        ..Class::default()
    };
    Pod {
        key: PodKey::new("ns", name),
        class: class.shared(),
        ..Pod::default()
    }
}

fn outcome(cluster: &Cluster, pod: &Pod) -> String {
    let profile: Profile = profile("default-scheduler", Settings::default());
    let cycle = Cycle { pod, cluster };
    match schedule(&profile, cycle, &mut Dice::new(3)) {
        Decision::Refuse(refusal) => refusal.message(),
        Decision::Place(placement) => {
            let at = cluster.find(&placement.node).unwrap();
            let choices = plan(cycle, cluster.host(at)).into_iter();
            let choices = choices.map(|choice| {
                let volume = choice.volume.unwrap_or_else(|| word("new"));
                format!("{}={volume}", choice.claim.name)
            });
            let choices: Vec<_> = choices.collect();
            format!("{} {}", placement.node, choices.join(" "))
        }
    }
}

fn put(cluster: &mut Cluster, name: &str, claim: Claim) {
    cluster
        .storage
        .claims
        .insert(PodKey::new("ns", name), claim);
}

fn offer(cluster: &mut Cluster, volume: Volume) {
    cluster.storage.volumes.insert(volume.name.clone(), volume);
}

#[test]
fn a_claim_that_is_missing_or_not_bound_keeps_a_pod_waiting() {
    let mut cluster = cluster();
    let check = |cluster: &Cluster, part: &str| {
        let told = outcome(cluster, &pod("p", &["c"]));
        assert!(told.contains(part), "{part:?} is not in {told:?}");
    };
    check(&cluster, "persistentvolumeclaim \"c\" not found");
    let at_once = Claim {
        class: None,
        ..claim(1)
    };
    put(&mut cluster, "c", at_once);
    check(&cluster, "pod has unbound immediate PersistentVolumeClaims");
    let leaving = Claim {
        deleting: true,
        ..claim(1)
    };
    put(&mut cluster, "c", leaving);
    check(&cluster, "persistentvolumeclaim \"c\" is being deleted");
}

#[test]
fn a_bound_volume_decides_the_node() {
    let mut cluster = cluster();
    let bound = Claim {
        volume: word("v"),
        bound: true,
        ..claim(1)
    };
    put(&mut cluster, "c", bound);
    assert!(outcome(&cluster, &pod("p", &["c"])).contains("non-existent pv(s)"));
    offer(&mut cluster, volume("v", 1, "2"));
    assert_eq!(outcome(&cluster, &pod("p", &["c"])), "b ");
    offer(&mut cluster, volume("v", 1, "3"));
    let told = outcome(&cluster, &pod("p", &["c"]));
    assert!(
        told.contains("2 node(s) didn't match PersistentVolume's node affinity"),
        "{told}"
    );
}

#[test]
fn waiting_claims_get_the_smallest_volume_or_a_new_one() {
    let mut cluster = cluster();
    put(&mut cluster, "c", claim(10));
    put(&mut cluster, "d", claim(10));
    offer(&mut cluster, volume("large", 100, "1"));
    offer(&mut cluster, volume("fits", 10, "1"));
    offer(&mut cluster, volume("small", 5, "1"));
    // Only zone 1 will do once nothing can be made elsewhere.
    let class = StorageClass {
        provisioner: word("kubernetes.io/no-provisioner"),
        waits: true,
        topologies: Vec::new(),
    };
    cluster.storage.classes.insert(word("waits"), class);
    assert_eq!(outcome(&cluster, &pod("p", &["c"])), "a c=fits");
    assert_eq!(
        outcome(&cluster, &pod("p", &["c", "d"])),
        "a c=fits d=large"
    );
    // What one pod is assumed to get, another does not.
    let (one, node) = (pod("p", &["c"]), word("a"));
    let at = cluster.find(&node).unwrap();
    let choices = plan(
        Cycle {
            pod: &one,
            cluster: &cluster,
        },
        cluster.host(at),
    );
    cluster.storage.assume(&choices[0], &node);
    assert_eq!(outcome(&cluster, &pod("q", &["d"])), "a d=large");
    cluster.storage.release(&choices[0]);
    assert_eq!(outcome(&cluster, &pod("q", &["d"])), "a d=fits");
}

#[test]
fn a_new_volume_is_made_where_there_is_room() {
    let mut cluster = cluster();
    put(&mut cluster, "c", claim(10));
    cluster
        .storage
        .drivers
        .insert(word("csi.example.com"), true);
    let told = outcome(&cluster, &pod("p", &["c"]));
    assert!(
        told.contains("2 node(s) did not have enough free storage"),
        "{told}"
    );
    let capacity = Capacity {
        class: word("waits"),
        nodes: Some(Selector::All(on_zone("2"))),
        free: Some(50),
        largest: None,
    };
    cluster
        .storage
        .capacities
        .insert(PodKey::new("ns", "x"), capacity);
    assert_eq!(outcome(&cluster, &pod("p", &["c"])), "b c=new");
}

#[test]
fn one_pod_claims_and_limits_of_drivers_are_kept() {
    let mut cluster = cluster();
    let bound = Claim {
        volume: word("v"),
        bound: true,
        one_pod: true,
        ..claim(1)
    };
    put(&mut cluster, "c", bound.clone());
    let with_csi = Volume {
        csi: Some((word("csi.example.com"), word("h"))),
        available: false,
        nodes: None,
        ..volume("v", 1, "1")
    };
    offer(&mut cluster, with_csi);
    cluster.put_pod(Arc::new(pod("first", &["c"])), &word("a"), false);
    let told = outcome(&cluster, &pod("second", &["c"]));
    assert!(told.contains("ReadWriteOncePod"), "{told}");
    put(
        &mut cluster,
        "c",
        Claim {
            one_pod: false,
            ..bound
        },
    );
    put(&mut cluster, "d", claim(1));
    for name in ["a", "b"] {
        let drivers = vec![(word("csi.example.com"), Some(1))];
        cluster
            .storage
            .nodes
            .insert(word(name), CsiNode { drivers });
    }
    assert_eq!(outcome(&cluster, &pod("third", &["d"])), "b d=new");
    cluster.put_pod(Arc::new(pod("fourth", &["d"])), &word("b"), false);
    put(&mut cluster, "e", claim(1));
    let told = outcome(&cluster, &pod("fifth", &["e"]));
    assert!(told.contains("2 node(s) exceed max volume count"), "{told}");
}
