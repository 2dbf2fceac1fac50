//! How much the volumes of pods hold, walked at most once a `volumeStatsAggPeriod` whoever asks.
//!
//! Looks at volumes that lie on the node itself; nothing under a network file system is touched.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Volume};
use parking_lot::Mutex;

use super::input::{FsReading, VolumeReading};
use super::read::file_system;
use crate::model::Mono;
use crate::pod_files::Paths;
use crate::volume::usage;

/// Entries of a volume that are looked at.
const BUDGET: u64 = 200_000;

/// By pod and volume: when it was measured, and what it held.
type Kept = HashMap<(String, String), (Mono, VolumeReading)>;

/// Measures volumes and remembers what it found.
#[derive(Debug)]
pub struct Volumes {
    paths: Paths,
    /// `None`: volumes are not measured.
    period: Option<Duration>,
    kept: Mutex<Kept>,
}

impl Volumes {
    /// Measures the volumes below `root` at most once in `period`; never, when that is `None`.
    #[must_use]
    pub fn new(root: &Path, period: Option<Duration>) -> Self {
        Self {
            paths: Paths::new(root),
            period,
            kept: Mutex::default(),
        }
    }

    /// What the volumes of a pod hold. Blocks; the lock is not held while a volume is walked.
    #[must_use]
    pub fn of(&self, pod: &Pod, now: Mono) -> Vec<VolumeReading> {
        let Some(period) = self.period else {
            return Vec::new();
        };
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
        let readings = volumes.filter_map(|volume| {
            let key = (uid.to_owned(), volume.name.clone());
            if let Some((at, reading)) = self.kept.lock().get(&key)
                && now.since(*at) < period
            {
                return Some(reading.clone());
            }
            let reading = self.measure(uid, volume)?;
            self.kept.lock().insert(key, (now, reading.clone()));
            Some(reading)
        });
        readings.collect()
    }

    /// Forgets the volumes of pods that are gone.
    pub fn retain(&self, uids: &[&str]) {
        let mut kept = self.kept.lock();
        kept.retain(|(uid, _), _| uids.contains(&uid.as_str()));
    }

    fn measure(&self, uid: &str, volume: &Volume) -> Option<VolumeReading> {
        let path = self.paths.volume(uid, kind(volume)?, &volume.name);
        let held = usage(&path, BUDGET).ok()?;
        let whole = file_system(&path)?;
        Some(VolumeReading {
            name: volume.name.clone(),
            fs: FsReading {
                used: held.bytes,
                inodes_used: held.inodes,
                ..whole
            },
            on_disk: volume
                .empty_dir
                .as_ref()
                .is_none_or(|source| source.medium.as_deref().is_none_or(str::is_empty)),
        })
    }
}

/// The folder of volumes of its kind, for kinds that lie on the node.
fn kind(volume: &Volume) -> Option<&'static str> {
    let kinds = [
        (volume.empty_dir.is_some(), "empty-dir"),
        (volume.projected.is_some(), "projected"),
        (volume.downward_api.is_some(), "downward-api"),
    ];
    let mut found = kinds.into_iter().filter(|(is_one, _)| *is_one);
    found.next().map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod() -> Pod {
        let spec = json!({
            "containers": [],
            "volumes": [
                { "name": "cache", "emptyDir": {} },
                { "name": "host", "hostPath": { "path": "/" } },
                { "name": "gone", "emptyDir": {} },
            ],
        });
        let pod = json!({ "metadata": { "uid": "u" }, "spec": spec });
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn a_volume_is_walked_once_a_period() {
        let root = tempfile::tempdir().unwrap();
        let volumes = Volumes::new(root.path(), Some(Duration::from_secs(60)));
        let folder = Paths::new(root.path()).volume("u", "empty-dir", "cache");
        std::fs::create_dir_all(&folder).unwrap();
        let used = |second: u64| {
            let readings = volumes.of(&pod(), Mono(second * 1000));
            assert_eq!(readings.len(), 1, "{readings:?}");
            assert_eq!(
                (readings[0].name.as_str(), readings[0].on_disk),
                ("cache", true)
            );
            readings[0].fs.inodes_used
        };
        assert_eq!(used(0), 1);
        std::fs::write(folder.join("file"), "x").unwrap();
        assert_eq!(used(59), 1);
        assert_eq!(used(60), 2);
        volumes.retain(&["other"]);
        std::fs::remove_file(folder.join("file")).unwrap();
        assert_eq!(used(61), 1);
    }

    #[test]
    fn without_a_period_nothing_is_walked() {
        let root = tempfile::tempdir().unwrap();
        assert!(
            Volumes::new(root.path(), None)
                .of(&pod(), Mono(0))
                .is_empty()
        );
    }
}
