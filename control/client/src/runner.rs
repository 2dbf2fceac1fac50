//! Works a queue off: so many keys at once, never two equal ones, failures after a back-off. Must
//! not know what the work is.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::queue::{Queue, WorkKey};

/// What becomes of a key after its work was done well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing, until it is added again.
    Settled,
    /// It is due again after this time.
    Again(Duration),
    /// It is due again after a back-off, without being called a failure in the log: somebody else
    /// was first, for instance.
    Later,
}

/// Works the queue off until the token is cancelled; then what is in progress is finished, and
/// the queue is closed. A worker that panics is a failure of its key alone.
pub async fn run<K, F, E>(
    queue: Queue<K>,
    at_once: usize,
    work: impl Fn(K) -> F + Send + Sync + 'static,
    stop: CancellationToken,
) where
    K: WorkKey + Sync,
    F: Future<Output = Result<Outcome, E>> + Send + 'static,
    E: std::fmt::Display + Send + 'static,
{
    let room = Arc::new(Semaphore::new(at_once));
    let mut running = JoinSet::new();
    let intake = async {
        loop {
            reap(&mut running);
            let Ok(permit) = room.clone().acquire_owned().await else {
                return;
            };
            let Some(key) = queue.take().await else {
                return;
            };
            let (future, queue) = (work(key.clone()), queue.clone());
            running.spawn(async move {
                let guard = Done { queue, key };
                settle(&guard, future.await);
                drop(guard);
                drop(permit);
            });
        }
    };
    stop.run_until_cancelled(intake).await;
    queue.close();
    while let Some(ended) = running.join_next().await {
        note(ended);
    }
}

fn reap(running: &mut JoinSet<()>) {
    while let Some(ended) = running.try_join_next() {
        note(ended);
    }
}

fn note(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        error!(%error, "work on a key panicked, it will be tried again");
    }
}

/// Gives the key back, also when the work on it panics.
struct Done<K: WorkKey> {
    queue: Queue<K>,
    key: K,
}

impl<K: WorkKey> Drop for Done<K> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.queue.add_limited(self.key.clone());
        }
        self.queue.done(&self.key);
    }
}

fn settle<K: WorkKey, E: std::fmt::Display>(done: &Done<K>, outcome: Result<Outcome, E>) {
    let (queue, key) = (&done.queue, &done.key);
    match outcome {
        Ok(Outcome::Settled) => queue.forget(key),
        Ok(Outcome::Again(after)) => {
            queue.forget(key);
            queue.add_after(key.clone(), after);
        }
        Ok(Outcome::Later) => queue.add_limited(key.clone()),
        Err(error) => {
            warn!(?key, %error, "work failed, it will be tried again");
            queue.add_limited(key.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use parking_lot::Mutex;
    use tokio::time::{Instant, sleep};
    use tokio_util::sync::CancellationToken;

    use super::{Outcome, run};
    use crate::metrics::render;
    use crate::queue::{Limits, Queue};

    #[tokio::test(start_paused = true)]
    async fn works_until_it_is_told_to_stop() {
        let queue = Queue::new("things", Limits::default());
        let log = Arc::new(Mutex::new(Vec::new()));
        let stop = CancellationToken::new();
        let start = Instant::now();
        let seen = log.clone();
        let work = move |key: &'static str| {
            let seen = seen.clone();
            async move {
                sleep(Duration::from_secs(1)).await;
                let mut seen = seen.lock();
                seen.push((key, start.elapsed().as_secs()));
                let times = seen.iter().filter(|(known, _)| *known == key).count();
                assert!(key != "panics" || times > 1, "as the test wants");
                match (key, times) {
                    ("fails", 1) => Err("no"),
                    ("again", 1) => Ok(Outcome::Again(Duration::from_secs(60))),
                    _ => Ok(Outcome::Settled),
                }
            }
        };
        let runner = tokio::spawn(run(queue.clone(), 2, work, stop.clone()));
        for key in ["once", "fails", "again", "panics"] {
            queue.add(key);
            queue.add(key);
        }
        sleep(Duration::from_millis(1500)).await;
        queue.add("fails");
        sleep(Duration::from_secs(120)).await;
        stop.cancel();
        runner.await.unwrap();
        let mut log = log.lock().clone();
        log.sort_unstable();
        assert_eq!(
            log,
            [
                ("again", 2),
                ("again", 63),
                ("fails", 1),
                ("fails", 3),
                ("once", 1),
                ("panics", 2),
                ("panics", 3)
            ]
        );
        assert_eq!(queue.failures(&"fails"), 0);
        let text = render(&[&queue]);
        assert!(
            text.contains("workqueue_retries_total{name=\"things\"} 2\n"),
            "{text}"
        );
        assert!(text.contains("workqueue_depth{name=\"things\"} 0\n"));
        assert!(text.contains("workqueue_work_duration_seconds_count{name=\"things\"} 7\n"));
        assert!(text.contains("# TYPE workqueue_queue_duration_seconds histogram\n"));
    }
}
