//! Limits of local ephemeral storage: a container's log and writable layer, and a pod's together
//! with its volumes on disk. Pure; the words are upstream's.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};
use keelson_api::WireQuantity;
use keelson_api::quantity::Quantity;
use keelson_api::resources::pod_limits;

use crate::stats::summary::{ContainerStats, FsStats, PodStats};

const RESOURCE: &str = "ephemeral-storage";

/// Whether a container of the pod has such a limit.
#[must_use]
pub fn has_limit(pod: &Pod) -> bool {
    pod_limits(pod).contains_key(RESOURCE)
}

/// What the pod goes for: the signal, as metrics name it, and the words for people.
#[must_use]
pub fn outgrown(pod: &Pod, used: &PodStats) -> Option<(&'static str, String)> {
    pod_outgrown(pod, used)
        .map(|message| ("ephemeralpodfs.limit", message))
        .or_else(|| {
            let message = container_outgrown(pod, used)?;
            Some(("ephemeralcontainerfs.limit", message))
        })
}

fn pod_outgrown(pod: &Pod, used: &PodStats) -> Option<String> {
    let limit = pod_limits(pod).get(RESOURCE).copied()?;
    let bytes = used.ephemeral_storage.as_ref()?.used_bytes?;
    exceeds(bytes, &limit).then(|| {
        format!("Pod ephemeral local storage usage exceeds the total limit of containers {limit}. ")
    })
}

fn container_outgrown(pod: &Pod, used: &PodStats) -> Option<String> {
    let mut containers = used.containers.iter();
    containers.find_map(|stats| {
        let (written, limit) = limit_of(pod, &stats.name)?;
        exceeds(bytes_of(stats), &limit).then(|| {
            let (name, written) = (&stats.name, &written.0);
            format!("Container {name} exceeded its local ephemeral storage limit {written:?}. ")
        })
    })
}

/// The log and the writable layer.
fn bytes_of(stats: &ContainerStats) -> u64 {
    let of = |fs: &Option<FsStats>| fs.as_ref().and_then(|fs| fs.used_bytes).unwrap_or(0);
    of(&stats.logs) + of(&stats.rootfs)
}

fn limit_of<'a>(pod: &'a Pod, name: &str) -> Option<(&'a WireQuantity, Quantity)> {
    let spec = pod.spec.as_ref()?;
    let inits = spec.init_containers.iter().flatten();
    let mut all = spec.containers.iter().chain(inits);
    let found: &Container = all.find(|c| c.name == name)?;
    let limits: &BTreeMap<_, _> = found.resources.as_ref()?.limits.as_ref()?;
    let written = limits.get(RESOURCE)?;
    Some((written, Quantity::try_from(written).ok()?))
}

fn exceeds(bytes: u64, limit: &Quantity) -> bool {
    i64::try_from(bytes).is_ok_and(|bytes| bytes > limit.value())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::{Value, json};

    use super::*;
    use crate::stats::summary::PodReference;

    fn pod() -> Pod {
        let limited = |name: &str, limit: &str| json!({"name": name, "resources": {"limits": {"ephemeral-storage": limit}}});
        let containers: Value = [
            limited("a", "10Mi"),
            limited("b", "1Mi"),
            json!({"name": "c"}),
        ]
        .into_iter()
        .collect();
        serde_json::from_value(json!({"spec": {"containers": containers}})).unwrap()
    }

    fn fs(mib: u64) -> Option<FsStats> {
        let used = FsStats {
            time: Time(jiff::Timestamp::UNIX_EPOCH),
            available_bytes: None,
            capacity_bytes: None,
            used_bytes: Some(mib << 20),
            inodes_free: None,
            inodes: None,
            inodes_used: None,
        };
        Some(used)
    }

    /// Logs and layers of `a`, `b` and `c`, and what the whole pod holds.
    fn used(mib: [(u64, u64); 3], whole: u64) -> PodStats {
        let containers = ["a", "b", "c"].into_iter().zip(mib);
        let containers = containers.map(|(name, (logs, layer))| ContainerStats {
            name: name.to_owned(),
            start_time: None,
            cpu: None,
            memory: None,
            io: None,
            rootfs: fs(layer),
            logs: fs(logs),
            swap: None,
        });
        PodStats {
            pod_ref: PodReference {
                name: String::new(),
                namespace: String::new(),
                uid: String::new(),
            },
            start_time: None,
            containers: containers.collect(),
            cpu: None,
            memory: None,
            io: None,
            network: None,
            ephemeral_storage: fs(whole),
            volumes: Vec::new(),
            process_stats: None,
            swap: None,
        }
    }

    #[test]
    fn limits_of_the_pod_then_of_its_containers() {
        let check = |mib, whole, expected: Option<(&str, &str)>| {
            let found = outgrown(&pod(), &used(mib, whole));
            let found = found
                .as_ref()
                .map(|(signal, text)| (*signal, text.as_str()));
            assert_eq!(found, expected);
        };
        check([(5, 5), (1, 0), (0, 0)], 11, None);
        check(
            [(5, 6), (0, 0), (0, 0)],
            11,
            Some((
                "ephemeralcontainerfs.limit",
                "Container a exceeded its local ephemeral storage limit \"10Mi\". ",
            )),
        );
        // What has no limit of its own counts for the pod.
        check(
            [(0, 0), (0, 0), (6, 6)],
            12,
            Some((
                "ephemeralpodfs.limit",
                "Pod ephemeral local storage usage exceeds the total limit of containers 11Mi. ",
            )),
        );
    }

    #[test]
    fn without_a_limit_nothing_is_judged() {
        let plain = serde_json::from_value(json!({"spec": {"containers": [{"name": "a"}]}}));
        let plain: Pod = plain.unwrap();
        assert!(has_limit(&pod()) && !has_limit(&plain));
        assert_eq!(outgrown(&plain, &used([(9, 9); 3], 99)), None);
    }
}
