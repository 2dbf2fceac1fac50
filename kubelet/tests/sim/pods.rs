//! Random pods.

use serde_json::{Value, json};

use super::rng::Rng;

/// `spec` of a random pod.
pub fn random_spec(rng: &mut Rng) -> Value {
    let policy = rng.pick(&["Always", "Always", "OnFailure", "Never"]);
    let mut init = Vec::new();
    for i in 0..rng.pick(&[0, 0, 1, 2, 3]) {
        let sidecar = rng.chance(50);
        let name = format!("{}{i}", if sidecar { "side" } else { "init" });
        let mut c = container(rng, &name, sidecar);
        if sidecar {
            c["restartPolicy"] = json!("Always");
        }
        init.push(c);
    }
    let mains: Vec<Value> = (0..rng.range(1, 3))
        .map(|i| container(rng, &format!("main{i}"), true))
        .collect();
    let mut spec = json!({
        "restartPolicy": policy,
        "terminationGracePeriodSeconds": rng.pick(&[0, 1, 5, 30]),
        "initContainers": init,
        "containers": mains,
    });
    if rng.chance(5) {
        spec["activeDeadlineSeconds"] = json!(rng.range(5, 200));
    }
    spec
}

fn container(rng: &mut Rng, name: &str, long_lived: bool) -> Value {
    let mut c = json!({"name": name, "image": format!("{name}:1")});
    if rng.chance(70) {
        c["resources"] = json!({"requests": {"cpu": "100m"}, "limits": {"memory": "1Mi"}});
        c["resizePolicy"] = json!([
            {"resourceName": "memory", "restartPolicy": rng.pick(&["NotRequired", "RestartContainer"])},
        ]);
    }
    if !long_lived {
        return c;
    }
    for kind in ["startupProbe", "livenessProbe", "readinessProbe"] {
        if rng.chance(25) {
            c[kind] = probe(rng, kind == "readinessProbe");
        }
    }
    if rng.chance(15) {
        c["lifecycle"]["postStart"] = json!({"exec": {"command": ["x"]}});
    }
    if rng.chance(20) {
        c["lifecycle"]["preStop"] = json!({"exec": {"command": ["x"]}});
    }
    if rng.chance(10) {
        c["restartPolicy"] = json!(rng.pick(&["Always", "OnFailure", "Never"]));
    }
    if rng.chance(10) {
        c["restartPolicy"] = json!("Never");
        c["restartPolicyRules"] =
            json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]);
    }
    c
}

fn probe(rng: &mut Rng, readiness: bool) -> Value {
    let mut probe = json!({
        "tcpSocket": {"port": 1},
        "initialDelaySeconds": rng.pick(&[0, 0, 1, 5]),
        "periodSeconds": rng.range(3, 10),
        "failureThreshold": rng.range(1, 3),
    });
    if readiness {
        probe["successThreshold"] = json!(rng.range(1, 2));
    } else if rng.chance(20) {
        probe["terminationGracePeriodSeconds"] = json!(rng.range(1, 10));
    }
    probe
}

/// Changes something that may be changed while the pod lives.
pub fn edit(rng: &mut Rng, spec: &mut Value, generation: u64) {
    if rng.chance(30) {
        let name = format!("debug{generation}");
        let list = spec.as_object_mut().unwrap().entry("ephemeralContainers");
        let more = json!({"name": name, "image": "debug:1"});
        list.or_insert_with(|| json!([]))
            .as_array_mut()
            .unwrap()
            .push(more);
        return;
    }
    let list = rng.pick(&["containers", "containers", "initContainers"]);
    let Some(list) = spec[list].as_array_mut().filter(|list| !list.is_empty()) else {
        return;
    };
    let index = usize::try_from(rng.next() % list.len() as u64).unwrap();
    if rng.chance(50) {
        list[index]["image"] = json!(format!("image:{generation}"));
        return;
    }
    let memory = format!("{}Mi", rng.range(1, 4));
    let cpu = format!("{}m", rng.range(1, 4) * 100);
    list[index]["resources"] =
        json!({"requests": {"cpu": cpu}, "limits": {"cpu": cpu, "memory": memory}});
}
