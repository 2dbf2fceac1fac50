//! Hands requests to the committer: bounded, so that writers wait when the disk can't keep up, and
//! taken all at once, so that one fsync serves all that came while the last one ran. It must not
//! know what a request does.

use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use crate::{Deleted, Durability, Error, Key, Revision, Write};

/// How many requests may wait.
const WAITING: usize = 4096;

/// What is to be done.
#[derive(Debug)]
pub enum Operation {
    /// Write a key that is not there.
    Create(Key, Bytes, Write),
    /// Write a key that was modified last at a revision.
    Swap(Key, Revision, Bytes, Write),
    /// Remove a key, if it was modified last at a revision.
    Delete(Key, Option<Revision>, Durability),
    /// Forget changes up to a revision.
    Compact(Revision),
    /// Stop when everything before this is on disk.
    Stop,
}

impl Operation {
    /// Whether it may only be answered when it is on disk.
    pub const fn is_durable(&self) -> bool {
        match self {
            Self::Create(.., write) | Self::Swap(.., write) => {
                matches!(write.durability, Durability::Durable)
            }
            Self::Delete(_, _, durability) => matches!(durability, Durability::Durable),
            Self::Compact(_) | Self::Stop => true,
        }
    }

    /// Bytes of a value that it would write.
    pub const fn size(&self) -> usize {
        match self {
            Self::Create(_, value, _) | Self::Swap(_, _, value, _) => value.len() + 1,
            Self::Delete(..) | Self::Compact(_) | Self::Stop => 0,
        }
    }
}

/// What was done.
#[derive(Debug)]
pub enum Outcome {
    /// Written at this revision.
    Written(Revision),
    /// Removed.
    Deleted(Box<Deleted>),
    /// Compacted or stopped.
    Done,
}

/// One request and who waits for its answer.
#[derive(Debug)]
pub struct Request {
    /// What is to be done.
    pub operation: Operation,
    /// Who asked.
    pub reply: oneshot::Sender<Result<Outcome, Error>>,
}

/// Requests on their way to the committer.
pub struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    room: Semaphore,
}

struct Waiting {
    requests: Vec<Request>,
    closed: Option<Error>,
}

impl Default for Queue {
    fn default() -> Self {
        let waiting = Waiting {
            requests: Vec::new(),
            closed: None,
        };
        Self {
            waiting: Mutex::new(waiting),
            arrived: Condvar::new(),
            room: Semaphore::new(WAITING),
        }
    }
}

impl Queue {
    /// Has `operation` done and waits for the outcome.
    ///
    /// # Errors
    /// What the committer answers, or why there is none any more.
    pub async fn run(&self, operation: Operation) -> Result<Outcome, Error> {
        let permit = self.room.acquire().await.map_err(|_| self.why_closed())?;
        let (reply, answer) = oneshot::channel();
        self.push(Request { operation, reply }, permit)?;
        answer.await.map_err(|_| self.why_closed())?
    }

    fn push(&self, request: Request, permit: SemaphorePermit<'_>) -> Result<(), Error> {
        let mut waiting = self.waiting.lock();
        if let Some(why) = &waiting.closed {
            return Err(why.clone());
        }
        permit.forget();
        waiting.requests.push(request);
        if waiting.requests.len() == 1 {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Adds a request that needs no room: the last one.
    pub fn push_last(&self, request: Request) {
        let mut waiting = self.waiting.lock();
        if waiting.closed.is_none() {
            waiting.requests.push(request);
            self.arrived.notify_one();
        }
    }

    /// Takes up to `max` requests; waits at most `patience` for the first.
    pub fn take(&self, max: usize, patience: Duration) -> Vec<Request> {
        let mut waiting = self.waiting.lock();
        if waiting.requests.is_empty() {
            self.arrived.wait_for(&mut waiting, patience);
        }
        let taken = if waiting.requests.len() <= max {
            std::mem::take(&mut waiting.requests)
        } else {
            waiting.requests.drain(..max).collect()
        };
        drop(waiting);
        self.room.add_permits(taken.len());
        taken
    }

    /// Refuses everything from now on with `why`, also what waits.
    pub fn close(&self, why: &Error) {
        let mut waiting = self.waiting.lock();
        waiting.closed.get_or_insert_with(|| why.clone());
        let requests = std::mem::take(&mut waiting.requests);
        drop(waiting);
        self.room.close();
        for request in requests {
            let _ = request.reply.send(Err(why.clone()));
        }
    }

    /// Why nothing is done any more, if so.
    pub fn closed(&self) -> Option<Error> {
        self.waiting.lock().closed.clone()
    }

    fn why_closed(&self) -> Error {
        self.closed().unwrap_or_else(|| Error::Unavailable {
            reason: "the engine has stopped".to_owned(),
        })
    }
}
