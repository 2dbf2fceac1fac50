//! Watches emptyDir volumes on disk that have a `sizeLimit`, and containers and pods that have a
//! limit of local storage. Volumes in memory are bounded by their mount.
//!
//! Costs nothing while no pod has such a limit. Ends no pod itself: it tells the pod loop.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, Pod, Volume};
use tokio::sync::{mpsc, watch};

use super::pod_loop::Records;
use crate::evict::{AT_ONCE, Eviction, storage};
use crate::model::PodUid;
use crate::model::memory::Life;
use crate::pod_files::Paths;

use crate::stats::collector::{Collector, Depth};
use crate::stats::summary::Summary;
use crate::volume::{empty_dir, usage};

/// Time between two measurements.
const PERIOD: Duration = Duration::from_secs(10);
/// Entries that are looked at per volume. A volume with more of them is judged by these.
const BUDGET: u64 = 200_000;
/// Pods that may wait for the pod loop to hear of them.
pub const QUEUED: usize = 16;

/// Measures now and then, while there is something to measure. Ends with its channels.
pub async fn run(
    records: Records,
    paths: Paths,
    stats: Arc<Collector>,
    mut changes: watch::Receiver<u64>,
    evict: mpsc::Sender<Eviction>,
) {
    loop {
        let pods = limited_pods(&records);
        if pods.is_empty() {
            if changes.changed().await.is_err() {
                return;
            }
            continue;
        }
        let paths = paths.clone();
        let summary = match pods.iter().any(|(_, pod)| storage::has_limit(pod)) {
            // Without an answer of the runtime there is nothing to judge by.
            true => stats.summary(Depth::Everything).await.ok(),
            false => None,
        };
        let measure = move || outgrown_pods(&paths, &pods, summary.as_deref());
        let measured = tokio::task::spawn_blocking(measure).await;
        for outgrown in measured.unwrap_or_default() {
            if evict.send(outgrown).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// The pods that run and have such a limit.
fn limited_pods(records: &Records) -> Vec<(PodUid, Arc<Pod>)> {
    let records = records.lock();
    let wanted = records
        .iter()
        .filter(|(_, record)| record.memory.life == Life::Wanted);
    wanted
        .filter(|(_, record)| {
            limited(&record.pod).next().is_some() || storage::has_limit(&record.pod)
        })
        .map(|(uid, record)| (uid.clone(), record.pod.clone()))
        .collect()
}

fn outgrown_pods(
    paths: &Paths,
    pods: &[(PodUid, Arc<Pod>)],
    summary: Option<&Summary>,
) -> Vec<Eviction> {
    let judged = pods.iter().filter_map(|(uid, pod)| {
        // A volume that is not there yet, or no longer, holds nothing.
        let used = |volume: &str| {
            let path = paths.volume(uid.as_str(), "empty-dir", volume);
            usage(&path, BUDGET).map_or(0, |usage| usage.bytes)
        };
        let stats = || {
            let mut of = summary?.pods.iter();
            of.find(|stats| stats.pod_ref.uid == uid.as_str())
        };
        let volume = judge(pod, used).map(|message| ("emptydirfs.limit", message));
        let (signal, message) = volume.or_else(|| storage::outgrown(pod, stats()?))?;
        let uid = uid.clone();
        Some(Eviction {
            uid,
            message,
            signal,
            grace: AT_ONCE,
        })
    });
    judged.collect()
}

/// What is wrong with the first volume that holds more than it may, given what each holds.
fn judge(pod: &Pod, used: impl Fn(&str) -> u64) -> Option<String> {
    let mut volumes = limited(pod);
    volumes.find_map(|(name, source)| empty_dir::outgrown(name, source, used(name)))
}

/// The pod's emptyDir volumes on disk that have a limit.
fn limited(pod: &Pod) -> impl Iterator<Item = (&str, &EmptyDirVolumeSource)> {
    let volumes = pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    let on_disk =
        |source: &&EmptyDirVolumeSource| source.medium.as_deref().is_none_or(str::is_empty);
    volumes.filter_map(move |volume: &Volume| {
        let source = volume.empty_dir.as_ref().filter(on_disk)?;
        let limit = empty_dir::size_limit(&volume.name, source).ok().flatten();
        limit.map(|_| (volume.name.as_str(), source))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(volumes: &serde_json::Value) -> Pod {
        serde_json::from_value(serde_json::json!({
            "spec": {"containers": [], "volumes": volumes},
        }))
        .unwrap()
    }

    #[test]
    fn only_disk_volumes_with_a_limit_are_judged() {
        let pod = pod(&serde_json::json!([
            {"name": "free", "emptyDir": {}},
            {"name": "zero", "emptyDir": {"sizeLimit": "0"}},
            {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Ki"}},
            {"name": "host", "hostPath": {"path": "/"}},
            {"name": "cache", "emptyDir": {"sizeLimit": "1Ki"}},
        ]));
        let names: Vec<&str> = limited(&pod).map(|(name, _)| name).collect();
        assert_eq!(names, ["cache"]);
        assert_eq!(judge(&pod, |_| 1024), None);
        let message = judge(&pod, |_| 1025).unwrap();
        assert!(
            message.contains("\"cache\"") && message.contains("\"1Ki\""),
            "{message}"
        );
    }

    #[test]
    fn what_a_volume_holds_is_measured_where_it_lies() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::new(root.path());
        let volume = paths.volume("u1", "empty-dir", "cache");
        std::fs::create_dir_all(&volume).unwrap();
        let limited =
            pod(&serde_json::json!([{"name": "cache", "emptyDir": {"sizeLimit": "64Ki"}}]));
        let pods = ["u1", "u2"].map(|uid| (PodUid::from(uid), Arc::new(limited.clone())));
        assert_eq!(outgrown_pods(&paths, &pods, None), []);
        std::fs::write(volume.join("file"), vec![1; 128 * 1024]).unwrap();
        let uids: Vec<PodUid> = outgrown_pods(&paths, &pods, None)
            .into_iter()
            .map(|o| o.uid)
            .collect();
        assert_eq!(uids, [PodUid::from("u1")]);
    }
}
