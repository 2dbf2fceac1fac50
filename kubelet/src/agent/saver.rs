//! Writes checkpoints behind the pod loop's back: the latest record of a pod wins, many pods share
//! a wake-up. The loop never waits for the disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::checkpoint::{CheckpointError, Record, Store};
use crate::model::PodUid;

/// How long changes gather before they are written.
const GATHER: Duration = Duration::from_millis(100);
/// How long to wait before writing again what could not be written.
const AGAIN: Duration = Duration::from_secs(10);

/// Hands records over to the writer; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Saver {
    pending: Arc<Mutex<BTreeMap<PodUid, Option<Record>>>>,
    wake: Arc<Notify>,
}

impl Saver {
    /// Asks for this record to be written.
    pub fn save(&self, uid: PodUid, record: Record) {
        self.pending.lock().insert(uid, Some(record));
        self.wake.notify_one();
    }

    /// Asks for this pod's record to be removed.
    pub fn forget(&self, uid: PodUid) {
        self.pending.lock().insert(uid, None);
        self.wake.notify_one();
    }

    /// Writes what was asked for, for ever. `report` is told of each failure.
    pub async fn run(self, store: Arc<Store>, report: impl Fn(CheckpointError)) {
        let mut failed = false;
        loop {
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(AGAIN), if failed => {}
            }
            tokio::time::sleep(GATHER).await;
            let errors = self.flush(&store).await;
            failed = !errors.is_empty();
            errors.into_iter().for_each(&report);
        }
    }

    /// Writes what is pending now; what fails is kept for the next time.
    pub async fn flush(&self, store: &Arc<Store>) -> Vec<CheckpointError> {
        let batch = std::mem::take(&mut *self.pending.lock());
        let store = store.clone();
        let written = tokio::task::spawn_blocking(move || write(&store, batch)).await;
        let (failed, errors) = written.unwrap_or_default();
        let mut pending = self.pending.lock();
        for (uid, record) in failed {
            pending.entry(uid).or_insert(record);
        }
        errors
    }
}

type Batch = BTreeMap<PodUid, Option<Record>>;

fn write(store: &Store, batch: Batch) -> (Batch, Vec<CheckpointError>) {
    let (mut failed, mut errors) = (Batch::new(), Vec::new());
    for (uid, record) in batch {
        let result = match &record {
            Some(record) => store.save(&uid, record),
            None => store.remove(&uid),
        };
        if let Err(error) = result {
            errors.push(error);
            failed.insert(uid, record);
        }
    }
    (failed, errors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PodMemory, PodOrigin};
    use crate::observe::clock;

    fn record(store: &Store) -> Record {
        Record {
            boot_id: store.boot_id(),
            origin: PodOrigin::Api,
            pod: Arc::default(),
            memory: PodMemory::default(),
        }
    }

    #[tokio::test]
    async fn the_latest_wish_for_a_pod_wins() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(dir.path()).unwrap());
        let saver = Saver::default();
        saver.save("a".into(), record(&store));
        saver.save("b".into(), record(&store));
        saver.forget("b".into());
        assert!(saver.flush(&store).await.is_empty());
        let (records, _) = store.load(clock::now()).unwrap();
        let uids: Vec<_> = records.iter().map(|(pod, _)| pod.uid.to_string()).collect();
        assert_eq!(uids, ["a"]);
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(dir.path()).unwrap());
        let saver = Saver::default();
        saver.save("a".into(), record(&store));
        std::fs::remove_dir(dir.path().join("pods")).unwrap();
        assert_eq!(saver.flush(&store).await.len(), 1);
        std::fs::create_dir(dir.path().join("pods")).unwrap();
        assert!(saver.flush(&store).await.is_empty());
        assert_eq!(store.load(clock::now()).unwrap().0.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_is_written_again_though_nothing_changes() {
        let dir = tempfile::tempdir().unwrap();
        let pods = dir.path().join("pods");
        let store = Arc::new(Store::open(dir.path()).unwrap());
        let saver = Saver::default();
        let (told, mut reports) = tokio::sync::mpsc::channel(1);
        std::fs::remove_dir(&pods).unwrap();
        saver.save("a".into(), record(&store));
        let report = move |error: CheckpointError| drop(told.try_send(error));
        let writer = tokio::spawn(saver.clone().run(store.clone(), report));
        reports.recv().await.unwrap();
        std::fs::create_dir(&pods).unwrap();
        tokio::time::sleep(AGAIN * 2).await;
        writer.abort();
        assert_eq!(store.load(clock::now()).unwrap().0.len(), 1);
    }
}
