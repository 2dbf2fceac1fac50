//! Writes checkpoints behind the pod loop's back: the latest record of a pod wins, many pods share
//! a wake-up. The loop never waits for the disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use crate::checkpoint::{CheckpointError, Record, Store};
use crate::model::PodUid;

/// How long changes gather before they are left to the next agent.
const GATHER: Duration = Duration::from_millis(100);
/// How long they gather before they are put on disk for good. A disk that is asked for every change
/// of thirty pods which start together keeps the runtime waiting, which asks for the same disk.
const SETTLE: Duration = Duration::from_secs(3);
/// How long to wait before writing again what could not be written.
const AGAIN: Duration = Duration::from_secs(10);

/// Hands records over to the writer; cheap to clone.
#[derive(Clone, Debug)]
pub struct Saver {
    store: Arc<Store>,
    pending: Arc<Mutex<Pending>>,
    wake: Arc<Notify>,
}

type Batch = BTreeMap<PodUid, Option<Arc<Record>>>;

/// What is asked for.
#[derive(Debug, Default)]
struct Pending {
    /// Not said yet.
    unsaid: Batch,
    /// Not on disk yet.
    unsaved: Batch,
}

impl Saver {
    /// One that writes there.
    #[must_use]
    pub fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            pending: Arc::default(),
            wake: Arc::default(),
        }
    }

    /// Leaves this record to the next agent before anybody is told of what is in it, and asks for
    /// it to be written.
    pub fn say(&self, uid: PodUid, record: Record) {
        self.store.say(&uid, &record);
        let mut pending = self.pending.lock();
        pending.unsaid.remove(&uid);
        pending.unsaved.insert(uid, Some(Arc::new(record)));
        self.wake.notify_one();
    }

    /// Asks for this record to be written.
    pub fn save(&self, uid: PodUid, record: Record) {
        self.ask(uid, Some(Arc::new(record)));
    }

    /// Asks for this pod's record to be removed.
    pub fn forget(&self, uid: PodUid) {
        self.ask(uid, None);
    }

    fn ask(&self, uid: PodUid, record: Option<Arc<Record>>) {
        let mut pending = self.pending.lock();
        pending.unsaid.insert(uid.clone(), record.clone());
        pending.unsaved.insert(uid, record);
        self.wake.notify_one();
    }

    /// Writes what was asked for, for ever. `report` is told of each failure.
    pub async fn run(self, report: impl Fn(CheckpointError)) {
        let mut due = None;
        loop {
            tokio::select! {
                () = self.wake.notified() => {
                    sleep(GATHER).await;
                    self.say_what_is_unsaid().await;
                    due.get_or_insert_with(|| Instant::now() + SETTLE);
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    let errors = self.flush().await;
                    due = (!errors.is_empty()).then(|| Instant::now() + AGAIN);
                    errors.into_iter().for_each(&report);
                }
            }
        }
    }

    async fn say_what_is_unsaid(&self) {
        let batch = std::mem::take(&mut self.pending.lock().unsaid);
        let store = self.store.clone();
        let say = move || {
            for (uid, record) in batch {
                match record {
                    Some(record) => store.say(&uid, &record),
                    // What can't be removed now is told when it is tried for good.
                    None => drop(store.remove(&uid)),
                }
            }
        };
        // A panic there is told by the hook; what was to be said is saved soon.
        drop(tokio::task::spawn_blocking(say).await);
    }

    /// Puts what is pending on disk now; what fails is kept for the next time.
    pub async fn flush(&self) -> Vec<CheckpointError> {
        let batch = std::mem::take(&mut self.pending.lock().unsaved);
        let store = self.store.clone();
        let written = tokio::task::spawn_blocking(move || write(&store, batch)).await;
        let (failed, errors) = written.unwrap_or_default();
        let mut pending = self.pending.lock();
        for (uid, record) in failed {
            pending.unsaved.entry(uid).or_insert(record);
        }
        errors
    }
}

fn write(store: &Store, batch: Batch) -> (Batch, Vec<CheckpointError>) {
    let (mut failed, mut errors) = (Batch::new(), Vec::new());
    let all = batch.clone();
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
    // One look at the folder serves them all.
    match store.settle() {
        Ok(()) => (failed, errors),
        Err(error) => (all, vec![error]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PodMemory, PodOrigin};
    use crate::observe::clock;

    fn record(store: &Store) -> Record {
        Record {
            boot_id: store.boot_id(),
            at: clock::mono(),
            origin: PodOrigin::Api,
            pod: Arc::default(),
            memory: PodMemory::default(),
        }
    }

    #[tokio::test]
    async fn the_latest_wish_for_a_pod_wins() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(dir.path()).unwrap());
        let saver = Saver::new(store.clone());
        saver.save("a".into(), record(&store));
        saver.save("b".into(), record(&store));
        saver.forget("b".into());
        assert!(saver.flush().await.is_empty());
        let (records, _) = store.load(clock::now()).unwrap();
        let uids: Vec<_> = records.iter().map(|(pod, _)| pod.uid.to_string()).collect();
        assert_eq!(uids, ["a"]);
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(dir.path()).unwrap());
        let saver = Saver::new(store.clone());
        saver.save("a".into(), record(&store));
        std::fs::remove_dir(dir.path().join("pods")).unwrap();
        assert_eq!(saver.flush().await.len(), 1);
        std::fs::create_dir(dir.path().join("pods")).unwrap();
        assert!(saver.flush().await.is_empty());
        assert_eq!(store.load(clock::now()).unwrap().0.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_is_written_again_though_nothing_changes() {
        let dir = tempfile::tempdir().unwrap();
        let pods = dir.path().join("pods");
        let store = Arc::new(Store::open(dir.path()).unwrap());
        let saver = Saver::new(store.clone());
        let (told, mut reports) = tokio::sync::mpsc::channel(1);
        std::fs::remove_dir(&pods).unwrap();
        saver.save("a".into(), record(&store));
        let report = move |error: CheckpointError| drop(told.try_send(error));
        let writer = tokio::spawn(saver.clone().run(report));
        reports.recv().await.unwrap();
        std::fs::create_dir(&pods).unwrap();
        sleep(AGAIN * 2).await;
        writer.abort();
        assert_eq!(store.load(clock::now()).unwrap().0.len(), 1);
    }
}
