//! What upstream's default plugins say, worked out in the plainest way from JSON.

#![expect(
    clippy::cast_possible_truncation,
    reason = "scores are between 0 and 100"
)]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::random::World;

const HOSTNAME: &str = "kubernetes.io/hostname";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn name(object: &Value) -> &str {
    text(&object["metadata"]["name"])
}

fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"]["labels"][key].as_str()
}

fn number(text: &str) -> i64 {
    let (digits, factor) = match text {
        t if t.ends_with("Mi") => (&t[..t.len() - 2], 1024 * 1024),
        t if t.ends_with('m') => (&t[..t.len() - 1], 1),
        t => (t, 1),
    };
    digits.parse::<i64>().unwrap() * factor
}

fn request(pod: &Value, resource: &str, unsaid: i64) -> i64 {
    let containers = list(&pod["spec"]["containers"]).iter();
    let requests = containers.map(|c| {
        let said = c["resources"]["requests"][resource].as_str();
        said.map_or(unsaid, number)
    });
    requests.sum()
}

fn allocatable(node: &Value, resource: &str) -> i64 {
    number(text(&node["status"]["allocatable"][resource]))
}

struct Case<'a> {
    world: &'a World,
    pod: &'a Value,
}

/// Scores of the nodes that will do.
pub fn scores(world: &World, pod: &Value) -> BTreeMap<String, i64> {
    let case = Case { world, pod };
    let nodes: Vec<&Value> = world.nodes.iter().filter(|node| case.fits(node)).collect();
    let mut totals = vec![0; nodes.len()];
    for (weight, scores) in [
        (3, case.taint_scores(&nodes)),
        (2, case.node_affinity_scores(&nodes)),
        (1, case.free_scores(&nodes)),
        (1, case.balance_scores(&nodes)),
        (2, case.spread_scores(&nodes)),
        (2, case.pod_affinity_scores(&nodes)),
        (1, case.image_scores(&nodes)),
    ] {
        for (total, score) in totals.iter_mut().zip(scores) {
            *total += weight * score;
        }
    }
    nodes
        .iter()
        .map(|node| name(node).to_owned())
        .zip(totals)
        .collect()
}

fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let (effect, key) = (text(&toleration["effect"]), text(&toleration["key"]));
    (effect.is_empty() || effect == text(&taint["effect"]))
        && (key.is_empty() || key == text(&taint["key"]))
        && (text(&toleration["operator"]) == "Exists"
            || text(&toleration["value"]) == text(&taint["value"]))
}

fn expression_holds(expression: &Value, object: &Value) -> bool {
    let value = label(object, text(&expression["key"]));
    let values: Vec<&str> = list(&expression["values"]).iter().map(text).collect();
    match text(&expression["operator"]) {
        "In" => value.is_some_and(|value| values.contains(&value)),
        "NotIn" => !value.is_some_and(|value| values.contains(&value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => value.is_some_and(|value| number(value) > number(values[0])),
        other => panic!("{other}"),
    }
}

fn has_labels(object: &Value, wanted: &Value) -> bool {
    let wanted = wanted.as_object();
    wanted.is_none_or(|wanted| wanted.iter().all(|(k, v)| label(object, k) == v.as_str()))
}

impl Case<'_> {
    fn on(&self, node: &Value) -> Vec<&Value> {
        let pods = self.world.pods.iter();
        pods.filter(|pod| pod["spec"]["nodeName"] == node["metadata"]["name"])
            .collect()
    }

    fn node_of(&self, pod: &Value) -> &Value {
        let mut nodes = self.world.nodes.iter();
        nodes
            .find(|node| node["metadata"]["name"] == pod["spec"]["nodeName"])
            .unwrap()
    }

    fn tolerated(&self, taint: &Value) -> bool {
        list(&self.pod["spec"]["tolerations"])
            .iter()
            .any(|t| tolerates(t, taint))
    }

    fn taints_are_fine(&self, node: &Value) -> bool {
        let taints = list(&node["spec"]["taints"]).iter();
        taints
            .filter(|t| t["effect"] != "PreferNoSchedule")
            .all(|t| self.tolerated(t))
    }

    fn node_allowed(&self, node: &Value) -> bool {
        let required = &self.pod["spec"]["affinity"]["nodeAffinity"][REQUIRED];
        let terms = list(&required["nodeSelectorTerms"]);
        has_labels(node, &self.pod["spec"]["nodeSelector"])
            && (required.is_null()
                || terms.iter().any(|term| {
                    list(&term["matchExpressions"])
                        .iter()
                        .all(|e| expression_holds(e, node))
                }))
    }

    fn fits(&self, node: &Value) -> bool {
        let cordon =
            serde_json::json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"});
        (node["spec"]["unschedulable"] != true || self.tolerated(&cordon))
            && self.taints_are_fine(node)
            && self.node_allowed(node)
            && self.ports_are_free(node)
            && self.has_room(node)
            && self.spread_holds(node)
            && self.pod_affinity_holds(node)
    }

    fn ports_are_free(&self, node: &Value) -> bool {
        fn ports(pod: &Value) -> Vec<(&str, i64, &str)> {
            let containers = list(&pod["spec"]["containers"]).iter();
            let ports = containers.flat_map(|c| list(&c["ports"]));
            ports
                .map(|p| {
                    let ip = text(&p["hostIP"]);
                    let ip = if ip.is_empty() { "0.0.0.0" } else { ip };
                    (text(&p["protocol"]), p["hostPort"].as_i64().unwrap(), ip)
                })
                .collect()
        }
        let taken: Vec<_> = self.on(node).into_iter().flat_map(ports).collect();
        !ports(self.pod).iter().any(|(protocol, port, ip)| {
            taken.iter().any(|(p, n, i)| {
                p == protocol && n == port && (i == ip || *i == "0.0.0.0" || *ip == "0.0.0.0")
            })
        })
    }

    fn has_room(&self, node: &Value) -> bool {
        let there = self.on(node);
        let count = i64::try_from(there.len()).unwrap();
        count < allocatable(node, "pods")
            && ["cpu", "memory", "example.com/gpu"].iter().all(|resource| {
                let wanted = request(self.pod, resource, 0);
                let used: i64 = there.iter().map(|pod| request(pod, resource, 0)).sum();
                wanted == 0 || used + wanted <= allocatable(node, resource)
            })
    }

    fn selected(&self, spread: &Value, pod: &Value) -> bool {
        pod["metadata"]["namespace"] == self.pod["metadata"]["namespace"]
            && has_labels(pod, &spread["labelSelector"]["matchLabels"])
    }

    fn spreads(&self, kind: &str) -> Vec<&Value> {
        let all = list(&self.pod["spec"]["topologySpreadConstraints"]).iter();
        all.filter(|spread| spread["whenUnsatisfiable"] == kind)
            .collect()
    }

    fn counted(&self, spreads: &[&Value], spread: &Value, node: &Value) -> bool {
        spreads
            .iter()
            .all(|s| label(node, text(&s["topologyKey"])).is_some())
            && (spread["nodeAffinityPolicy"] == "Ignore" || self.node_allowed(node))
            && (spread["nodeTaintsPolicy"] != "Honor" || self.taints_are_fine(node))
    }

    fn selected_on(&self, spread: &Value, node: &Value) -> i64 {
        let pods = self.on(node).into_iter();
        let pods = pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        i64::try_from(pods.filter(|pod| self.selected(spread, pod)).count()).unwrap()
    }

    fn spread_holds(&self, node: &Value) -> bool {
        let spreads = self.spreads("DoNotSchedule");
        spreads.iter().all(|spread| {
            let key = text(&spread["topologyKey"]);
            let Some(here) = label(node, key) else {
                return false;
            };
            let mut places: BTreeMap<&str, i64> = BTreeMap::new();
            for other in &self.world.nodes {
                if self.counted(&spreads, spread, other) {
                    let place = label(other, key).unwrap();
                    *places.entry(place).or_default() += self.selected_on(spread, other);
                }
            }
            let least = usize::try_from(spread["minDomains"].as_i64().unwrap_or(1)).unwrap();
            let fewest = match places.len() < least {
                true => 0,
                false => places.values().copied().min().unwrap_or(0),
            };
            let there = places.get(here).copied().unwrap_or(0);
            let own = i64::from(self.selected(spread, self.pod));
            there + own - fewest <= spread["maxSkew"].as_i64().unwrap()
        })
    }

    /// Whether a term of `owner` means `pod`.
    fn means(&self, owner: &Value, term: &Value, pod: &Value) -> bool {
        let namespace = text(&pod["metadata"]["namespace"]);
        let listed = list(&term["namespaces"]).iter().any(|n| n == namespace);
        let selector = &term["namespaceSelector"];
        let own = selector.is_null()
            && list(&term["namespaces"]).is_empty()
            && pod["metadata"]["namespace"] == owner["metadata"]["namespace"];
        let mut known = self.world.namespaces.iter();
        let labels = &known.find(|(name, _)| name == namespace).unwrap().1;
        let by_label = !selector.is_null() && {
            let wanted = selector["matchLabels"].as_object();
            wanted.is_none_or(|wanted| wanted.iter().all(|(k, v)| labels[k] == *v))
        };
        (listed || own || by_label) && has_labels(pod, &term["labelSelector"]["matchLabels"])
    }

    fn same_place(&self, term: &Value, node: &Value, pod: &Value) -> bool {
        let key = text(&term["topologyKey"]);
        let here = label(node, key);
        here.is_some() && here == label(self.node_of(pod), key)
    }

    fn pod_affinity_holds(&self, node: &Value) -> bool {
        let affinity = &self.pod["spec"]["affinity"];
        let near = list(&affinity["podAffinity"][REQUIRED]);
        let means_all = |pod: &Value| near.iter().all(|term| self.means(self.pod, term, pod));
        let matching: Vec<&Value> = self
            .world
            .pods
            .iter()
            .filter(|pod| means_all(pod))
            .collect();
        let labelled = near
            .iter()
            .all(|t| label(node, text(&t["topologyKey"])).is_some());
        let near_holds = near
            .iter()
            .all(|term| matching.iter().any(|pod| self.same_place(term, node, pod)));
        let anywhere = near.iter().any(|term| {
            let key = text(&term["topologyKey"]);
            matching
                .iter()
                .any(|pod| label(self.node_of(pod), key).is_some())
        });
        let first = !anywhere && means_all(self.pod);
        let apart = list(&affinity["podAntiAffinity"][REQUIRED])
            .iter()
            .all(|term| {
                let mut others = self.world.pods.iter();
                !others.any(|o| self.means(self.pod, term, o) && self.same_place(term, node, o))
            });
        let welcome = self.world.pods.iter().all(|other| {
            let terms = list(&other["spec"]["affinity"]["podAntiAffinity"][REQUIRED]);
            !terms
                .iter()
                .any(|t| self.means(other, t, self.pod) && self.same_place(t, node, other))
        });
        labelled && (near_holds || first) && apart && welcome
    }

    fn taint_scores(&self, nodes: &[&Value]) -> Vec<i64> {
        let against = nodes.iter().map(|node| {
            let taints = list(&node["spec"]["taints"]).iter();
            let soft = taints.filter(|t| t["effect"] == "PreferNoSchedule");
            i64::try_from(soft.filter(|t| !self.tolerated(t)).count()).unwrap()
        });
        let against: Vec<i64> = against.collect();
        let most = against.iter().copied().max().unwrap_or(0).max(1);
        against
            .iter()
            .map(|count| 100 - 100 * count / most)
            .collect()
    }

    fn node_affinity_scores(&self, nodes: &[&Value]) -> Vec<i64> {
        let terms = list(&self.pod["spec"]["affinity"]["nodeAffinity"][PREFERRED]);
        let sums = nodes.iter().map(|node| {
            let met = terms.iter().filter(|term| {
                let all = list(&term["preference"]["matchExpressions"]);
                all.iter().all(|e| expression_holds(e, node))
            });
            met.map(|term| term["weight"].as_i64().unwrap()).sum()
        });
        let sums: Vec<i64> = sums.collect();
        let most = sums.iter().copied().max().unwrap_or(0).max(1);
        sums.iter().map(|sum| 100 * sum / most).collect()
    }

    fn free_scores(&self, nodes: &[&Value]) -> Vec<i64> {
        let score = |node: &&Value| {
            let shares = [("cpu", 100), ("memory", 200 * 1024 * 1024)];
            let shares = shares.iter().map(|(resource, unsaid)| {
                let used: i64 = self
                    .on(node)
                    .iter()
                    .map(|p| request(p, resource, *unsaid))
                    .sum();
                let has = allocatable(node, resource);
                let would = used + request(self.pod, resource, *unsaid);
                if would > has {
                    0
                } else {
                    (has - would) * 100 / has
                }
            });
            shares.sum::<i64>() / 2
        };
        nodes.iter().map(score).collect()
    }

    fn balance_scores(&self, nodes: &[&Value]) -> Vec<i64> {
        let resources = ["cpu", "memory"];
        if resources
            .iter()
            .all(|resource| request(self.pod, resource, 0) == 0)
        {
            return vec![0; nodes.len()];
        }
        let score = |node: &&Value| {
            let share = |resource| {
                let used: i64 = self.on(node).iter().map(|p| request(p, resource, 0)).sum();
                let would = used + request(self.pod, resource, 0);
                (would as f64 / allocatable(node, resource) as f64).min(1.0)
            };
            ((1.0 - ((share("cpu") - share("memory")) / 2.0).abs()) * 100.0) as i64
        };
        nodes.iter().map(score).collect()
    }

    fn spread_scores(&self, nodes: &[&Value]) -> Vec<i64> {
        let spreads = self.spreads("ScheduleAnyway");
        if spreads.is_empty() {
            return vec![0; nodes.len()];
        }
        let key = |spread: &Value| text(&spread["topologyKey"]).to_owned();
        let knows = |node: &Value| spreads.iter().all(|s| label(node, &key(s)).is_some());
        let known: Vec<&&Value> = nodes.iter().filter(|node| knows(node)).collect();
        let raw = |node: &Value| {
            let mut sum = 0.0;
            for spread in &spreads {
                let key = key(spread);
                let places: BTreeSet<_> = known.iter().map(|n| label(n, &key)).collect();
                let weight = ((places.len() + 2) as f64).ln();
                let pods: i64 = if key == HOSTNAME {
                    self.selected_on(spread, node)
                } else {
                    let others = self.world.nodes.iter();
                    let others = others.filter(|o| {
                        self.counted(&spreads, spread, o) && label(o, &key) == label(node, &key)
                    });
                    others.map(|o| self.selected_on(spread, o)).sum()
                };
                let skew = spread["maxSkew"].as_i64().unwrap() - 1;
                sum += pods as f64 * weight + skew as f64;
            }
            sum.round() as i64
        };
        let raws: Vec<Option<i64>> = nodes.iter().map(|n| knows(n).then(|| raw(n))).collect();
        let least = raws.iter().flatten().copied().min().unwrap_or(0);
        let most = raws.iter().flatten().copied().max().unwrap_or(0);
        let scale = |raw: &Option<i64>| match raw {
            None => 0,
            Some(_) if most == 0 => 100,
            Some(raw) => 100 * (most + least - raw) / most,
        };
        raws.iter().map(scale).collect()
    }

    fn pod_affinity_scores(&self, nodes: &[&Value]) -> Vec<i64> {
        let sum = |node: &&Value| {
            let mut sum = 0;
            for other in &self.world.pods {
                for (owner, meant) in [(self.pod, other), (other, self.pod)] {
                    sum += self.liking(owner, meant, node, other);
                }
                for term in list(&other["spec"]["affinity"]["podAffinity"][REQUIRED]) {
                    let counts =
                        self.means(other, term, self.pod) && self.same_place(term, node, other);
                    sum += i64::from(counts);
                }
            }
            sum
        };
        let sums: Vec<i64> = nodes.iter().map(sum).collect();
        let least = sums.iter().copied().min().unwrap_or(0);
        let range = sums.iter().copied().max().unwrap_or(0) - least;
        let scale = |sum: &i64| match range {
            0 => 0,
            range => (100.0 * ((sum - least) as f64 / range as f64)) as i64,
        };
        sums.iter().map(scale).collect()
    }

    /// How much `owner`'s preferences say of `meant`, where `other` is the one that is there.
    fn liking(&self, owner: &Value, meant: &Value, node: &Value, other: &Value) -> i64 {
        let mut sum = 0;
        for (kind, sign) in [("podAffinity", 1), ("podAntiAffinity", -1)] {
            for preferred in list(&owner["spec"]["affinity"][kind][PREFERRED]) {
                let term = &preferred["podAffinityTerm"];
                if self.means(owner, term, meant) && self.same_place(term, node, other) {
                    sum += sign * preferred["weight"].as_i64().unwrap();
                }
            }
        }
        sum
    }

    fn image_scores(&self, nodes: &[&Value]) -> Vec<i64> {
        let containers = list(&self.pod["spec"]["containers"]);
        let size = |node: &Value, image: &str| {
            let mut images = list(&node["status"]["images"]).iter();
            let found = images.find(|known| known["names"][0] == image);
            found.map(|known| known["sizeBytes"].as_i64().unwrap())
        };
        let score = |node: &&Value| {
            let mut sum = 0;
            for container in containers {
                let image = text(&container["image"]);
                let all = &self.world.nodes;
                let having = all.iter().filter(|n| size(n, image).is_some()).count();
                let here = size(node, image).unwrap_or(0);
                sum += (here as f64 * (having as f64 / all.len() as f64)) as i64;
            }
            let mib = 1024 * 1024;
            let most = 1000 * mib * i64::try_from(containers.len()).unwrap();
            100 * (sum.clamp(23 * mib, most) - 23 * mib) / (most - 23 * mib)
        };
        nodes.iter().map(score).collect()
    }
}
