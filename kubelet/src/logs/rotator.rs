//! The task that keeps every running container's log within its size.
//!
//! Guarantees: a log that nobody writes to costs nothing: it is watched by a one-shot inotify
//! watch. The first write starts a timer that ends before the log could be full; what comes in
//! between costs nothing either. Rotations of one log never overlap, and compression delays none.
//! Assumptions: `logs` names the logs of running containers only.
//! Caveats: where the kernel has no inotify instance left, logs are looked at by timer alone.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use inotify::{EventStream, Inotify, WatchDescriptor, WatchMask, Watches};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use super::plan::{RotationPolicy, next_check};
use super::rotate::{compress, rename_away, rename_back};

/// How soon an unwatchable or failing log is looked at again.
const RETRY: Duration = Duration::from_secs(10);

/// The log of one running container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningLog {
    /// The runtime's ID of the container.
    pub container_id: String,
    /// The file it writes to.
    pub path: PathBuf,
}

/// Tells the runtime to open a container's log anew (CRI `ReopenContainerLog`).
pub trait Reopen: Send + Sync {
    /// Returns once the runtime writes to the new file; the text says why it does not.
    fn reopen(&self, container_id: String) -> BoxFuture<'static, Result<(), String>>;
}

impl Reopen for keelson_cri::Client {
    fn reopen(&self, container_id: String) -> BoxFuture<'static, Result<(), String>> {
        let client = self.clone();
        Box::pin(async move {
            let reopened = client.reopen_container_log(&container_id).await;
            reopened.map_err(|error| error.to_string())
        })
    }
}

/// Rotates the logs of the containers named in `logs` until `shutdown`; `workers` rotations run
/// at once (`containerLogMaxWorkers`).
pub async fn run(
    policy: RotationPolicy,
    workers: usize,
    runtime: Arc<dyn Reopen>,
    mut logs: watch::Receiver<Arc<Vec<RunningLog>>>,
    shutdown: CancellationToken,
) {
    let (watches, mut events) = open_inotify();
    let mut rotator = Rotator {
        policy,
        runtime,
        workers: Arc::new(Semaphore::new(workers.max(1))),
        compressions: Arc::new(Semaphore::new(1)),
        watches,
        logs: HashMap::new(),
        tasks: JoinSet::new(),
    };
    rotator.set(&logs.borrow_and_update().clone());
    loop {
        let due = rotator.next_due();
        tokio::select! {
            () = shutdown.cancelled() => break,
            changed = logs.changed() => match changed {
                Ok(()) => rotator.set(&logs.borrow_and_update().clone()),
                Err(_) => break,
            },
            Some(written) = next_write(&mut events) => rotator.written(&written),
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                rotator.check_due();
            }
            Some(done) = rotator.tasks.join_next() => {
                if let Ok(Some(container_id)) = done {
                    rotator.rotated(&container_id);
                }
            }
        }
    }
    rotator.tasks.shutdown().await;
}

struct Rotator {
    policy: RotationPolicy,
    runtime: Arc<dyn Reopen>,
    workers: Arc<Semaphore>,
    compressions: Arc<Semaphore>,
    watches: Option<Watches>,
    logs: HashMap<String, Tracked>,
    tasks: JoinSet<Option<String>>,
}

struct Tracked {
    path: PathBuf,
    size: u64,
    seen: Instant,
    state: State,
}

enum State {
    /// The next write wakes us.
    Armed(WatchDescriptor),
    /// Looked at again at that time.
    Due(Instant),
    /// A rotation is under way.
    Rotating,
}

impl Rotator {
    /// Takes over the set of running logs.
    fn set(&mut self, wanted: &[RunningLog]) {
        let gone = |id: &String| !wanted.iter().any(|log| log.container_id == *id);
        let gone: Vec<String> = self.logs.keys().filter(|id| gone(id)).cloned().collect();
        for id in gone {
            if let Some(tracked) = self.logs.remove(&id) {
                self.disarm(tracked.state);
            }
        }
        let now = Instant::now();
        for log in wanted {
            self.logs
                .entry(log.container_id.clone())
                .or_insert_with(|| Tracked {
                    path: log.path.clone(),
                    size: 0,
                    seen: now,
                    state: State::Due(now),
                });
        }
    }

    fn disarm(&mut self, state: State) {
        if let (State::Armed(descriptor), Some(watches)) = (state, &mut self.watches) {
            // It fails only if the watch has fired or its file has gone.
            let _ = watches.remove(descriptor);
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let due = |log: &Tracked| match log.state {
            State::Due(at) => Some(at),
            State::Armed(_) | State::Rotating => None,
        };
        self.logs.values().filter_map(due).min()
    }

    /// A one-shot watch fired: the log is being written.
    fn written(&mut self, descriptor: &WatchDescriptor) {
        let limit = self.policy.max_size;
        let ours = |log: &&mut Tracked| matches!(&log.state, State::Armed(d) if d == descriptor);
        if let Some(log) = self.logs.values_mut().find(ours) {
            log.state = State::Due(log.look(limit));
        }
    }

    fn check_due(&mut self) {
        let now = Instant::now();
        let due = |log: &Tracked| matches!(log.state, State::Due(at) if at <= now);
        let ids = self.logs.iter().filter(|(_, log)| due(log));
        let ids: Vec<String> = ids.map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.check(id);
        }
    }

    /// Rotates a full or missing log, and goes back to waiting for writes to any other.
    fn check(&mut self, id: String) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        match log.path.metadata() {
            Ok(data) if data.len() < self.policy.max_size => {
                log.size = data.len();
                log.state = match arm(self.watches.as_mut(), &log.path, log.size) {
                    Arm::Armed(descriptor) => State::Armed(descriptor),
                    Arm::Written => State::Due(log.look(self.policy.max_size)),
                    Arm::Unwatchable => State::Due(Instant::now() + RETRY),
                };
            }
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(path = %log.path.display(), %error, "container log cannot be checked");
                log.state = State::Due(Instant::now() + RETRY);
            }
            // Full; or missing because a rotation was cut short, which reopening heals.
            checked => {
                log.state = State::Rotating;
                let path = checked.is_ok().then(|| log.path.clone());
                self.rotate(id, path);
            }
        }
    }

    fn rotate(&mut self, id: String, path: Option<PathBuf>) {
        let (policy, runtime) = (self.policy, Arc::clone(&self.runtime));
        let (workers, compressions) = (Arc::clone(&self.workers), Arc::clone(&self.compressions));
        let (renamed, compressible) = tokio::sync::oneshot::channel();
        self.tasks.spawn(async move {
            let _permit = workers.acquire_owned().await;
            match rotate_one(&id, path, &policy, &*runtime).await {
                // Nobody takes it if the task of compression is gone with the rotator.
                Ok(paths) => drop(renamed.send(paths)),
                Err(error) => tracing::warn!(container = id, error, "container log not rotated"),
            }
            Some(id)
        });
        self.tasks.spawn(async move {
            let paths = compressible.await.unwrap_or_default();
            let _permit = compressions.acquire_owned().await;
            if !paths.is_empty() {
                for error in compress(paths).await {
                    tracing::warn!(%error, "rotated container log not compressed");
                }
            }
            None
        });
    }

    fn rotated(&mut self, id: &str) {
        let now = Instant::now();
        if let Some(log) = self.logs.get_mut(id) {
            let failed = log
                .path
                .metadata()
                .map_or(true, |data| data.len() >= self.policy.max_size);
            log.size = 0;
            log.seen = now;
            log.state = State::Due(if failed { now + RETRY } else { now });
        }
    }
}

impl Tracked {
    /// Notes the present size and returns when to look again.
    fn look(&mut self, limit: u64) -> Instant {
        let now = Instant::now();
        let size = self.path.metadata().map_or(0, |data| data.len());
        let grown = u128::from(size.saturating_sub(self.size));
        let elapsed = now.duration_since(self.seen).as_millis().max(1);
        let rate = u64::try_from(grown * 1000 / elapsed).unwrap_or(u64::MAX);
        (self.size, self.seen) = (size, now);
        now + next_check(size, rate, limit)
    }
}

/// How an attempt to wait for the next write went.
enum Arm {
    Armed(WatchDescriptor),
    /// It came before the watch.
    Written,
    Unwatchable,
}

fn arm(watches: Option<&mut Watches>, path: &Path, size: u64) -> Arm {
    let mask = WatchMask::MODIFY | WatchMask::ONESHOT;
    let Some(Ok(descriptor)) = watches.map(|watches| watches.add(path, mask)) else {
        return Arm::Unwatchable;
    };
    match path.metadata() {
        Ok(data) if data.len() == size => Arm::Armed(descriptor),
        _ => Arm::Written,
    }
}

async fn rotate_one(
    id: &str,
    path: Option<PathBuf>,
    policy: &RotationPolicy,
    runtime: &dyn Reopen,
) -> Result<Vec<PathBuf>, String> {
    let Some(path) = path else {
        runtime.reopen(id.to_owned()).await?;
        return Ok(Vec::new());
    };
    let now = jiff::Timestamp::now();
    let renamed = rename_away(&path, policy, now).map_err(|error| error.to_string())?;
    match runtime.reopen(id.to_owned()).await {
        Ok(()) => Ok(renamed.compress),
        Err(cause) => match rename_back(&renamed) {
            Ok(()) => Err(cause),
            Err(also) => Err(format!("{cause}; and then: {also}")),
        },
    }
}

type Events = Option<EventStream<[u8; 1024]>>;

fn open_inotify() -> (Option<Watches>, Events) {
    let opened = Inotify::init().and_then(|inotify| {
        let watches = inotify.watches();
        Ok((watches, inotify.into_event_stream([0; 1024])?))
    });
    match opened {
        Ok((watches, events)) => (Some(watches), Some(events)),
        Err(error) => {
            tracing::warn!(%error, "no inotify instance: container logs are checked by timer");
            (None, None)
        }
    }
}

/// The next log that was written to; never, if the kernel does not tell.
async fn next_write(events: &mut Events) -> Option<WatchDescriptor> {
    let Some(stream) = events else {
        return std::future::pending().await;
    };
    match stream.next().await {
        Some(Ok(event)) => Some(event.wd),
        Some(Err(_)) => None,
        None => {
            *events = None;
            None
        }
    }
}

#[cfg(test)]
mod tests;
