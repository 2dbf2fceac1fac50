//! A watch on etcd that outlives its connection: after a break it goes on, on another member, after
//! the last change it delivered. It must not know what is watched for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use tokio::sync::{mpsc, watch};
use tonic::Streaming;

use super::members::{ATTEMPT, Failure, Members, Pick, failure};
use super::proto::{Event, WatchRequest, WatchResponse};
use super::wire;
use crate::{Error, Prefix, Revision, Watch, WatchEvent};

/// Between two attempts to connect, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// An open stream to one member.
struct Line {
    pick: Pick,
    requests: mpsc::Sender<WatchRequest>,
    replies: Streaming<WatchResponse>,
}

/// A watch: a position, and a line while there is one.
struct Follower {
    members: Arc<Members>,
    prefix: Prefix,
    after: Revision,
    /// Changes when progress is asked for.
    asked: watch::Receiver<u64>,
    line: Option<Line>,
    pending: VecDeque<WatchEvent>,
    /// Events of a revision that came in pieces.
    pieces: Vec<Event>,
    pause: Duration,
    ended: bool,
}

/// Follows `prefix` after `after`.
pub fn follow(
    members: Arc<Members>,
    prefix: Prefix,
    after: Revision,
    asked: watch::Receiver<u64>,
) -> Watch {
    let follower = Follower {
        members,
        prefix,
        after,
        asked,
        line: None,
        pending: VecDeque::new(),
        pieces: Vec::new(),
        pause: PAUSE.0,
        ended: false,
    };
    Box::pin(stream::unfold(follower, Follower::step))
}

impl Follower {
    async fn step(mut self) -> Option<(Result<WatchEvent, Error>, Self)> {
        if self.ended {
            return None;
        }
        let next = self.next().await;
        self.ended = next.is_err();
        Some((next, self))
    }

    async fn next(&mut self) -> Result<WatchEvent, Error> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Ok(event);
            }
            match self.line.take() {
                None => self.connect().await?,
                Some(line) => self.listen(line).await?,
            }
        }
    }

    /// Opens a line to the member of the day, or waits a little when that fails.
    async fn connect(&mut self) -> Result<(), Error> {
        let pick = self.members.pick();
        let (requests, outgoing) = mpsc::channel(4);
        let create = wire::watch(&self.prefix, self.after);
        let _ = requests.try_send(create);
        let outgoing = stream::unfold(outgoing, async |mut outgoing| {
            let next: WatchRequest = outgoing.recv().await?;
            Some((next, outgoing))
        });
        let mut client = self.members.watch(pick);
        match tokio::time::timeout(ATTEMPT, client.watch(outgoing)).await {
            Ok(Ok(replies)) => {
                self.pieces.clear();
                self.line = Some(Line {
                    pick,
                    requests,
                    replies: replies.into_inner(),
                });
                Ok(())
            }
            Ok(Err(status)) => self.broken(pick, Some(&status)).await,
            Err(_) => self.broken(pick, None).await,
        }
    }

    /// Waits for the next message, and puts the line back unless it broke.
    async fn listen(&mut self, mut line: Line) -> Result<(), Error> {
        let message = tokio::select! {
            message = line.replies.message() => message,
            // The sender lives as long as the store; without it nobody can ask any more.
            Ok(()) = self.asked.changed() => {
                let _ = line.requests.try_send(wire::progress());
                self.line = Some(line);
                return Ok(());
            }
        };
        match message {
            Ok(Some(reply)) if reply.canceled => self.canceled(line.pick, &reply).await,
            Ok(Some(reply)) => {
                self.pause = PAUSE.0;
                self.line = Some(line);
                self.take(reply)
            }
            Ok(None) => self.broken(line.pick, None).await,
            Err(status) => self.broken(line.pick, Some(&status)).await,
        }
    }

    async fn canceled(&mut self, pick: Pick, reply: &WatchResponse) -> Result<(), Error> {
        if reply.compact_revision != 0 {
            return Err(Error::Compacted {
                requested: self.after,
                compacted: wire::revision(reply.compact_revision),
            });
        }
        // No leader, or a member on its way out: another one goes on.
        self.broken(pick, None).await
    }

    fn take(&mut self, reply: WatchResponse) -> Result<(), Error> {
        let (fragment, created) = (reply.fragment, reply.created);
        let reached = wire::header(reply.header.as_ref());
        let progress = reply.events.is_empty() && !created && self.pieces.is_empty();
        self.pieces.extend(reply.events);
        if fragment || created {
            return Ok(());
        }
        if progress {
            self.after = reached.max(self.after);
            self.pending.push_back(WatchEvent::Progress(self.after));
            return Ok(());
        }
        for event in std::mem::take(&mut self.pieces) {
            let change = wire::change(event)?;
            self.after = change.revision.max(self.after);
            self.pending.push_back(WatchEvent::Change(change));
        }
        Ok(())
    }

    /// The line is gone: another member is next, unless the answer would be the same there.
    async fn broken(&mut self, pick: Pick, status: Option<&tonic::Status>) -> Result<(), Error> {
        if let Some(status) = status
            && failure(status) == Failure::Answered
        {
            return Err(wire::refusal("watch", status));
        }
        self.members.avoid(pick);
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE.1);
        Ok(())
    }
}
