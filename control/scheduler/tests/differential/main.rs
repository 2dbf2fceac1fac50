//! Verdicts and scores of nodes against a model that knows nothing of how they are worked out
//! here: it reads objects as JSON, with texts and lists, and counts everything anew for each node.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking where something is missing"
)]

mod model;
mod random;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keelson_scheduler::cluster::Cluster;
use keelson_scheduler::framework::Cycle;
use keelson_scheduler::intern::Word;
use keelson_scheduler::model::{Labels, Node, Pod};
use keelson_scheduler::profile::Profile;
use keelson_scheduler::queue::Waits;
use keelson_scheduler::registry::{Settings, profile};
use keelson_scheduler::schedule::{Filtering, totals};
use keelson_scheduler::state::{State, Step};
use random::{Random, World};
use serde_json::Value;

/// Clusters of a run; each with several pods to place.
const CLUSTERS: u64 = 1_000;
const PODS: usize = 4;

fn cluster(world: &World) -> Cluster {
    let mut cluster = Cluster::default();
    for (name, labels) in &world.namespaces {
        let pairs = labels.as_object().unwrap().iter();
        let pairs = pairs.map(|(k, v)| (Word::of(k), Word::of(v.as_str().unwrap())));
        cluster.set_namespace(&Word::of(name), Some(Labels::new(pairs)));
    }
    for node in &world.nodes {
        let node: Node = serde_json::from_value(node.clone()).unwrap();
        cluster.set_node(Arc::new(node));
    }
    for pod in &world.pods {
        let pod: Pod = serde_json::from_value(pod.clone()).unwrap();
        let node = pod.node.clone().unwrap();
        cluster.put_pod(Arc::new(pod), &node, false);
    }
    cluster
}

/// The nodes that will do, with their scores.
fn ours(profile: &Profile, cluster: &Cluster, pod: &Pod) -> BTreeMap<String, i64> {
    let cycle = Cycle { pod, cluster };
    let mut filtering = Filtering::prepare(profile, cycle).unwrap_or_else(|r| panic!("{r:?}"));
    let order = cluster.order().iter().copied();
    let fits = |at: &usize| filtering.refused(cluster.host(*at)).is_none();
    let feasible: Vec<usize> = order.filter(fits).collect();
    let scores = totals(profile, cycle, &feasible);
    let names = feasible
        .iter()
        .map(|at| cluster.host(*at).node().name.to_string());
    names.zip(scores).collect()
}

fn check(seed: u64) -> (usize, usize) {
    let mut random = Random::new(seed);
    let mut world = World::new(&mut random);
    let profile = profile("default-scheduler", Settings::default());
    let (mut fits, mut refused) = (0, 0);
    for number in 0..PODS {
        let incoming: Value = world.pod(&mut random, &format!("new-{number}"));
        let expected = model::scores(&world, &incoming);
        let pod: Pod = serde_json::from_value(incoming.clone()).unwrap();
        let found = ours(&profile, &cluster(&world), &pod);
        assert_eq!(found, expected, "seed {seed}\n{incoming:#}\n{world:#?}");
        fits += found.len();
        refused += world.nodes.len() - found.len();
        // The next pod finds this one there.
        if let Some(node) = found.keys().next() {
            world.bind(incoming, node);
        }
    }
    (fits, refused)
}

#[test]
fn verdicts_and_scores_are_those_of_the_model() {
    let (mut fits, mut refused) = (0, 0);
    for seed in 1..=CLUSTERS {
        let (some, others) = check(seed);
        fits += some;
        refused += others;
    }
    // A generator that makes everything fit, or nothing, tests nothing.
    assert!(
        fits > 2_000 && refused > 2_000,
        "{fits} fit, {refused} do not"
    );
}

/// Pods that come all at once, most of them alike, so that they are placed in batches, too.
fn crowd(world: &World, random: &mut Random, plain: bool) -> Vec<Value> {
    let mut crowd = Vec::new();
    for kind in 0..6 {
        let mut one = world.pod(random, "x");
        if plain {
            one["spec"]["affinity"] = Value::Null;
            one["spec"]["topologySpreadConstraints"] = Value::Null;
        }
        for number in 0..1 + random.below(8) {
            let mut pod = one.clone();
            pod["metadata"]["name"] = format!("{kind}-{number}").into();
            pod["metadata"]["uid"] = format!("{kind}-{number}").into();
            pod["metadata"]["deletionTimestamp"] = Value::Null;
            crowd.push(pod);
        }
    }
    crowd
}

fn replay(seed: u64) -> (usize, u64) {
    let mut random = Random::new(seed);
    let mut world = World::new(&mut random);
    // Where pods do not look at each other, like ones are placed together.
    let plain = seed.is_multiple_of(2);
    if plain {
        world.pods.clear();
    }
    let profiles = vec![profile("default-scheduler", Settings::default())];
    let mut state = State::new(profiles, Waits::default(), seed);
    state.cluster = cluster(&world);
    let crowd = crowd(&world, &mut random, plain);
    for pod in &crowd {
        let pod: Pod = serde_json::from_value(pod.clone()).unwrap();
        state.put_pod(Duration::ZERO, &Arc::new(pod));
    }
    let mut bound = 0;
    while let Some(step) = state.next(Duration::ZERO) {
        let Step::Bind {
            taken, placement, ..
        } = step
        else {
            continue;
        };
        let name = taken.pod.key.name.text();
        let mut all = crowd.iter();
        let pod = all.find(|pod| pod["metadata"]["name"] == name).unwrap();
        let node = placement.node.text();
        let allowed = model::scores(&world, pod);
        assert!(
            allowed.contains_key(node),
            "seed {seed}: {name} on {node}\n{pod:#}\n{world:#?}"
        );
        world.bind(pod.clone(), node);
        bound += 1;
    }
    (bound, state.batched)
}

#[test]
fn no_binding_breaks_a_hard_constraint() {
    let (mut bound, mut batched) = (0, 0);
    for seed in 1..=CLUSTERS / 5 {
        let (some, together) = replay(seed);
        bound += some;
        batched += together;
    }
    assert!(
        bound > 700 && batched > 50,
        "{bound} bound, {batched} in batches"
    );
}
