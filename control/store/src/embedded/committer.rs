//! The one thread that writes: takes all requests that wait, puts them into one transaction, has it
//! on disk with one fsync, and then answers. It also flushes what was answered before, lets keys
//! expire and sweeps the past. It must not know how a request is decided.

use std::collections::VecDeque;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use redb::{Database, Durability as Sync};
use tokio::time::Instant;

use super::fault::Fault;
use super::queue::{Operation, Outcome, Queue, Request};
use super::transaction::{Position, SET_ASIDE, Stop, Transaction};
use super::{Options, Shared};
use crate::{Change, Error, Revision};

/// Requests in one transaction at most.
const AT_ONCE: usize = 512;

/// How long a relaxed write may stay off the disk.
const FLUSH_AFTER: Duration = Duration::from_millis(100);

/// How finely compaction by age looks.
const MARK_EVERY: Duration = Duration::from_secs(10);

/// Records looked at for sweeping in one transaction, at least.
const SWEEP: usize = 256;

/// Space that is left alone: the engine needs some to free some.
const RESERVE: u64 = 16 * 1024 * 1024;

/// What a byte of a value may cost in the file until the next commits free it again.
const PER_BYTE: u64 = 8;

/// How long an answer to how full the file is holds, while the disk is full.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Owns all writing.
pub struct Committer {
    database: Arc<Database>,
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    options: Options,
    position: Position,
    /// When which revision was the newest, to compact by age.
    marks: VecDeque<(Instant, u64)>,
    /// When the oldest write was made that is not on disk.
    unsynced: Option<Instant>,
    /// When it was seen how many bytes of the file are free.
    reusable: Option<(Instant, u64)>,
}

/// Requests with their outcomes, to be answered once they are on disk.
type Answers = Vec<(Request, Result<Outcome, Error>)>;

impl Committer {
    /// Takes over writing to `database`.
    pub fn new(
        database: Arc<Database>,
        shared: Arc<Shared>,
        queue: Arc<Queue>,
        options: Options,
        position: Position,
    ) -> Self {
        Self {
            database,
            shared,
            queue,
            options,
            position,
            marks: VecDeque::new(),
            unsynced: None,
            reusable: None,
        }
    }

    /// Works until it is told to stop or the file fails; returns why.
    pub fn run(&mut self) -> Error {
        loop {
            let requests = self.queue.take(AT_ONCE, self.patience());
            let stop = requests
                .iter()
                .any(|one| matches!(one.operation, Operation::Stop));
            self.mark();
            if let Err(fault) = self.step(requests, stop) {
                return fault.at("writing", &self.shared.path);
            }
            if stop {
                return Error::Unavailable {
                    reason: "it is shutting down".to_owned(),
                };
            }
            if let Some(why) = self.queue.closed() {
                return why;
            }
        }
    }

    /// How long nothing needs to be done.
    fn patience(&self) -> Duration {
        if self.must_sweep() {
            return Duration::ZERO;
        }
        let flush = self
            .unsynced
            .map(|since| FLUSH_AFTER.saturating_sub(since.elapsed()));
        let expiry = self.position.next_expiry;
        let expiry = expiry.map(|at| Duration::from_secs(at.saturating_sub(seconds())));
        [flush, expiry, Some(MARK_EVERY)]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(MARK_EVERY)
    }

    const fn must_sweep(&self) -> bool {
        self.position.swept < self.position.compacted
            || self.position.history > self.options.history_bytes
    }

    /// Notes the newest revision now and then, and compacts to one that is old enough.
    fn mark(&mut self) {
        let now = Instant::now();
        let newest = self.marks.back();
        if newest.is_none_or(|(at, revision)| {
            now - *at >= MARK_EVERY && *revision != self.position.revision
        }) {
            self.marks.push_back((now, self.position.revision));
        }
        while let Some((at, revision)) = self.marks.front()
            && now - *at >= self.options.history_age
        {
            self.position.compacted = self.position.compacted.max(*revision);
            self.marks.pop_front();
        }
    }

    fn step(&mut self, requests: Vec<Request>, stop: bool) -> Result<(), Fault> {
        let flush = self
            .unsynced
            .is_some_and(|since| since.elapsed() >= FLUSH_AFTER);
        let expire = self.position.next_expiry.is_some_and(|at| at <= seconds());
        if requests.is_empty() && !flush && !expire && !self.must_sweep() {
            return Ok(());
        }
        let (requests, refused) = self.refuse_when_full(requests);
        answer(refused);
        let started = Instant::now();
        let (answers, result) = self.transact(requests, flush || stop, stop);
        match result {
            Ok(Some(changes)) => self.publish(changes)?,
            Ok(None) => {}
            Err(fault) => return Err(self.give_up(answers, fault)),
        }
        let metrics = &self.shared.metrics;
        metrics.observe_commit(answers.len(), started.elapsed());
        metrics.note_history(self.position.history);
        answer(answers);
        Ok(())
    }

    /// Applies and commits; the changes, or `None` when there was nothing to commit.
    fn transact(
        &mut self,
        requests: Vec<Request>,
        flush: bool,
        stop: bool,
    ) -> (Answers, Result<Option<Vec<Change>>, Fault>) {
        let mut answers = Vec::with_capacity(requests.len());
        let result = self.try_transact(requests, &mut answers, flush, stop);
        (answers, result)
    }

    fn try_transact(
        &mut self,
        requests: Vec<Request>,
        answers: &mut Answers,
        flush: bool,
        stop: bool,
    ) -> Result<Option<Vec<Change>>, Fault> {
        let mut write = self.database.begin_write()?;
        let mut work = Transaction::open(&write, self.position, seconds())?;
        let mut durable = flush;
        for request in requests {
            let outcome = self.decide(&mut work, &request.operation)?;
            durable |= outcome.is_ok() && request.operation.is_durable();
            answers.push((request, outcome));
        }
        work.expire(SWEEP)?;
        work.sweep(SWEEP.max(2 * answers.len()), self.options.history_bytes)?;
        let (mut position, changes) = (work.position, std::mem::take(&mut work.changes));
        drop(work);
        if position == self.position && !flush && self.position_on_disk() {
            write.abort()?;
            return Ok(None);
        }
        durable |= changes.is_empty() || position.revision + 1 >= position.ceiling;
        if durable {
            position.raise_ceiling(stop);
        } else {
            write.set_durability(Sync::None)?;
        }
        position.save(&write)?;
        write.commit()?;
        self.position = position;
        self.unsynced = if durable {
            None
        } else {
            self.unsynced.or_else(|| Some(Instant::now()))
        };
        Ok(Some(changes))
    }

    /// Whether age has moved compaction on since the last commit: then that has to be saved.
    fn position_on_disk(&self) -> bool {
        self.shared
            .view()
            .is_none_or(|view| view.compacted.0 == self.position.compacted)
    }

    /// A refusal or an outcome; a fault that concerns one record only is told to who asked for it.
    fn decide(
        &self,
        work: &mut Transaction<'_>,
        operation: &Operation,
    ) -> Result<Result<Outcome, Error>, Fault> {
        match work.apply(operation) {
            Ok(outcome) => Ok(Ok(outcome)),
            Err(Stop::Refused(error)) => Ok(Err(error)),
            Err(Stop::Fault(fault @ Fault::Damaged(_))) => {
                Ok(Err(fault.at("reading", &self.shared.path)))
            }
            Err(Stop::Fault(fault)) => Err(fault),
        }
    }

    /// Shows readers and watches what was committed.
    fn publish(&self, changes: Vec<Change>) -> Result<(), Fault> {
        let (revision, compacted) = (self.position.revision, self.position.compacted);
        self.shared
            .show(&self.database, Revision(revision), Revision(compacted))?;
        self.shared.hub.publish(changes, Revision(revision));
        Ok(())
    }

    /// Tells everyone in the batch that its outcome is not known; the engine ends.
    fn give_up(&self, answers: Answers, fault: Fault) -> Fault {
        let reason = match &fault {
            Fault::Engine(error) => error.to_string(),
            Fault::Damaged(detail) => detail.clone(),
        };
        for (request, _) in answers {
            let error = match request.operation {
                Operation::Create(key, ..)
                | Operation::Swap(key, ..)
                | Operation::Delete(key, ..) => Error::Unknown {
                    key,
                    reason: reason.clone(),
                },
                Operation::Compact(_) | Operation::Stop => Error::Unavailable {
                    reason: reason.clone(),
                },
            };
            let _ = request.reply.send(Err(error));
        }
        fault
    }

    /// Splits off what would need space when there is none.
    fn refuse_when_full(&mut self, requests: Vec<Request>) -> (Vec<Request>, Answers) {
        let incoming: usize = requests.iter().map(|one| one.operation.size()).sum();
        if incoming == 0 || self.has_room(PER_BYTE * incoming as u64) {
            return (requests, Vec::new());
        }
        let (needs, rest): (Vec<_>, Vec<_>) = requests
            .into_iter()
            .partition(|one| one.operation.size() > 0);
        let path = self.shared.path.to_path_buf();
        let full = |request| (request, Err(Error::Full { path: path.clone() }));
        (rest, needs.into_iter().map(full).collect())
    }

    /// Whether `needed` bytes can be written: on the disk, or else in pages of the file that were
    /// used before and are free again.
    fn has_room(&mut self, needed: u64) -> bool {
        let free = self.shared.free_space();
        if free > RESERVE + needed {
            return true;
        }
        let known = self.reusable.filter(|(at, _)| at.elapsed() < LOOK_AGAIN);
        let (at, reusable) = known.unwrap_or_else(|| (Instant::now(), self.reusable_space()));
        self.reusable = Some((at, reusable.saturating_sub(needed)));
        free > RESERVE / 2 && reusable > RESERVE + needed
    }

    /// Bytes on disk that belong to the file and hold nothing; 0 when that can't be said.
    fn reusable_space(&self) -> u64 {
        let allocated = self.database.begin_write().ok().and_then(|transaction| {
            let stats = transaction.stats().ok()?;
            transaction.abort().ok()?;
            Some(stats.allocated_pages() * stats.page_size() as u64)
        });
        let on_disk = std::fs::metadata(&*self.shared.path).map_or(0, |data| data.blocks() * 512);
        allocated.map_or(0, |allocated| on_disk.saturating_sub(allocated))
    }
}

impl Position {
    /// Sets revisions aside before there are none left; gives them back when the engine stops.
    const fn raise_ceiling(&mut self, stop: bool) {
        if stop {
            self.ceiling = self.revision;
        } else if self.ceiling < self.revision + SET_ASIDE / 2 {
            self.ceiling = self.revision + SET_ASIDE;
        }
    }
}

fn answer(answers: Answers) {
    for (request, outcome) in answers {
        // Who asked may have gone; what was written stays.
        let _ = request.reply.send(outcome);
    }
}

/// Seconds since 1970.
fn seconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// What is free for the file at `path`, in bytes; endless when the system can't say.
pub fn free_space(path: &Path) -> u64 {
    rustix::fs::statvfs(path).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
}
