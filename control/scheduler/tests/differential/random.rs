//! Random clusters: small, so that pods meet, and with few labels, so that they match.

use serde_json::{Value, json};

/// Numbers that are the same for the same seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 13) % bound as u64).unwrap()
    }

    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

#[derive(Debug)]
pub struct World {
    pub namespaces: Vec<(String, Value)>,
    pub nodes: Vec<Value>,
    pub pods: Vec<Value>,
}

const NAMESPACES: [&str; 2] = ["ns1", "ns2"];
const APPS: [&str; 3] = ["a", "b", "c"];

impl World {
    pub fn new(random: &mut Random) -> Self {
        let teams = ["red", "blue"];
        let namespaces = NAMESPACES.iter().zip(teams);
        let mut world = Self {
            namespaces: namespaces
                .map(|(name, team)| ((*name).to_owned(), json!({"team": team})))
                .collect(),
            nodes: Vec::new(),
            pods: Vec::new(),
        };
        for number in 0..1 + random.below(7) {
            world.nodes.push(node(random, number));
        }
        for number in 0..random.below(12) {
            let pod = world.pod(random, &format!("old-{number}"));
            let on = random.below(world.nodes.len());
            let name = world.nodes[on]["metadata"]["name"]
                .as_str()
                .unwrap()
                .to_owned();
            world.bind(pod, &name);
        }
        world
    }

    pub fn bind(&mut self, mut pod: Value, node: &str) {
        pod["spec"]["nodeName"] = node.into();
        self.pods.push(pod);
    }

    pub fn pod(&self, random: &mut Random, name: &str) -> Value {
        let containers: Vec<Value> = (0..1 + random.below(2))
            .map(|_| container(random))
            .collect();
        let mut spec = json!({"containers": containers, "schedulerName": "default-scheduler"});
        if random.one_in(5) {
            spec["nodeSelector"] = json!({"disk": random.pick(&["ssd", "hdd"])});
        }
        let tolerations: Vec<Value> = (0..random.below(3)).map(|_| toleration(random)).collect();
        spec["tolerations"] = tolerations.into();
        spec["affinity"] = affinity(random);
        let spreads = random.below(4).saturating_sub(1);
        let spreads: Vec<Value> = (0..spreads).map(|_| spread(random)).collect();
        spec["topologySpreadConstraints"] = spreads.into();
        let mut metadata = json!({"name": name, "uid": name,
            "namespace": random.pick(&NAMESPACES), "labels": {"app": random.pick(&APPS)}});
        if random.one_in(10) {
            metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        json!({"metadata": metadata, "spec": spec})
    }
}

fn node(random: &mut Random, number: usize) -> Value {
    let name = format!("node-{number}");
    let mut labels = json!({"kubernetes.io/hostname": name, "disk": random.pick(&["ssd", "hdd"])});
    if !random.one_in(6) {
        labels["topology.kubernetes.io/zone"] = random.pick(&["z1", "z2", "z3"]).into();
    }
    if random.one_in(3) {
        labels["size"] = random.below(10).to_string().into();
    }
    let taints: Vec<Value> = (0..random.below(5).saturating_sub(2))
        .map(|_| {
            json!({"key": random.pick(&["k1", "k2"]), "value": random.pick(&["", "v"]),
                "effect": random.pick(&["NoSchedule", "PreferNoSchedule", "NoExecute"])})
        })
        .collect();
    let images: Vec<Value> = (0..random.below(3))
        .map(|_| {
            json!({"names": [format!("{}:1", random.pick(&APPS))],
                "sizeBytes": 40_000_000 * random.below(60)})
        })
        .collect();
    // One size for an image: its digest decides.
    json!({
        "metadata": {"name": name, "labels": labels},
        "spec": {"unschedulable": random.one_in(8), "taints": taints},
        "status": {"images": distinct(images), "allocatable": {
            "cpu": format!("{}m", 500 * (1 + random.below(8))),
            "memory": format!("{}Mi", 512 * (1 + random.below(16))),
            "pods": (1 + random.below(8)).to_string(),
            "example.com/gpu": random.below(3).to_string()}},
    })
}

fn distinct(images: Vec<Value>) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::new();
    for image in images {
        if kept.iter().all(|known| known["names"] != image["names"]) {
            kept.push(image);
        }
    }
    kept
}

fn container(random: &mut Random) -> Value {
    let mut requests = json!({});
    if !random.one_in(4) {
        requests["cpu"] = format!("{}m", 50 * random.below(20)).into();
    }
    if !random.one_in(4) {
        requests["memory"] = format!("{}Mi", 64 * random.below(20)).into();
    }
    if random.one_in(8) {
        requests["example.com/gpu"] = "1".into();
    }
    let mut container = json!({"name": "c", "image": format!("{}:1", random.pick(&APPS)),
        "resources": {"requests": requests}});
    if random.one_in(5) {
        let ip = random.pick(&["", "0.0.0.0", "10.0.0.1", "10.0.0.2"]);
        container["ports"] = json!([{"hostPort": 80 + random.below(2), "hostIP": ip,
            "protocol": random.pick(&["TCP", "UDP"])}]);
    }
    container
}

fn toleration(random: &mut Random) -> Value {
    json!({"key": random.pick(&["k1", "k2", ""]), "value": random.pick(&["", "v"]),
        "operator": random.pick(&["Exists", "Equal"]),
        "effect": random.pick(&["", "NoSchedule", "PreferNoSchedule", "NoExecute"])})
}

fn expression(random: &mut Random) -> Value {
    match random.below(5) {
        0 => json!({"key": "disk", "operator": "In", "values": ["ssd"]}),
        1 => json!({"key": "disk", "operator": "NotIn", "values": ["ssd", "tape"]}),
        2 => json!({"key": "size", "operator": "Exists"}),
        3 => json!({"key": "size", "operator": "Gt", "values": [random.below(10).to_string()]}),
        _ => json!({"key": "size", "operator": "DoesNotExist"}),
    }
}

fn pod_term(random: &mut Random) -> Value {
    let key = random.pick(&["kubernetes.io/hostname", "topology.kubernetes.io/zone"]);
    let mut term = json!({"topologyKey": key,
        "labelSelector": {"matchLabels": {"app": random.pick(&APPS)}}});
    match random.below(5) {
        0 => term["namespaces"] = json!([random.pick(&NAMESPACES)]),
        1 => term["namespaceSelector"] = json!({}),
        2 => {
            let team = random.pick(&["red", "blue"]);
            term["namespaceSelector"] = json!({"matchLabels": {"team": team}});
        }
        _ => {}
    }
    term
}

fn affinity(random: &mut Random) -> Value {
    let mut affinity = json!({});
    if random.one_in(5) {
        let terms: Vec<Value> = (0..1 + random.below(2))
            .map(|_| json!({"matchExpressions": [expression(random)]}))
            .collect();
        affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
            json!({"nodeSelectorTerms": terms});
    }
    if random.one_in(4) {
        affinity["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] = json!([
            {"weight": 1 + random.below(9), "preference": {"matchExpressions": [expression(random)]}},
            {"weight": 1 + random.below(9), "preference": {"matchExpressions": [expression(random)]}}]);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        if random.one_in(5) {
            affinity[kind]["requiredDuringSchedulingIgnoredDuringExecution"] =
                json!([pod_term(random)]);
        }
        if random.one_in(4) {
            affinity[kind]["preferredDuringSchedulingIgnoredDuringExecution"] =
                json!([{"weight": 1 + random.below(9), "podAffinityTerm": pod_term(random)}]);
        }
    }
    affinity
}

fn spread(random: &mut Random) -> Value {
    let mut spread = json!({
        "maxSkew": 1 + random.below(2),
        "topologyKey": random.pick(&["kubernetes.io/hostname", "topology.kubernetes.io/zone"]),
        "whenUnsatisfiable": random.pick(&["DoNotSchedule", "ScheduleAnyway"]),
        "labelSelector": {"matchLabels": {"app": random.pick(&APPS)}},
    });
    if random.one_in(3) && spread["whenUnsatisfiable"] == "DoNotSchedule" {
        spread["minDomains"] = (1 + random.below(4)).into();
    }
    if random.one_in(3) {
        spread["nodeAffinityPolicy"] = random.pick(&["Honor", "Ignore"]).into();
    }
    if random.one_in(3) {
        spread["nodeTaintsPolicy"] = random.pick(&["Honor", "Ignore"]).into();
    }
    spread
}
