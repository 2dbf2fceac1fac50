//! Changes as they happen. A watcher is a position in its kind's window: it holds no events, and
//! one that falls out of the window is told so.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::body::Body;
use crate::failure::{Failure, Outcome};
use crate::handle::options::{ListOptions, Wanted};
use crate::handle::{Call, list, present};
use crate::object::Version;
use crate::respond::Reply;
use crate::respond::negotiate::Form;
use crate::selection::Selection;
use crate::watch_cache::kind::Wake;
use crate::watch_cache::{Caches, Event, KindCache};

/// Changes are written in blocks of about this size.
const BLOCK: usize = 64 * 1024;
/// Changes taken from the window at once.
const BATCH: usize = 512;
/// How often a watcher that asked for bookmarks gets one.
const BOOKMARK: Duration = Duration::from_secs(60);
/// The shortest time that a watch lasts for which none was given; up to twice that.
const SHORTEST: u64 = 1800;
/// Says in a bookmark that all there was at the start has been sent.
const INITIAL_END: &str = "k8s.io/initial-events-end";

/// Starts a watch.
pub(crate) async fn answer(api: &Api, call: &Call) -> Outcome<Reply> {
    let options = ListOptions::read(&call.query, true)?;
    let selection = list::selection(call)?;
    let cache = api.registry.cache(&call.kind).await?;
    let caches = &api.registry.caches;
    let wake = cache.subscribe();
    match options.wanted {
        Wanted::Newest => drop(caches.catch_up().await?),
        Wanted::Any => {}
        Wanted::NotOlderThan(at) | Wanted::Exactly(at) => caches.wait_for(at).await?,
    }
    let resumes = match options.wanted {
        Wanted::NotOlderThan(at) if options.initial != Some(true) => Some(at),
        _ => None,
    };
    let (initial, position) = match resumes {
        Some(at) => {
            // A position that is gone is refused before the stream begins.
            cache.changes(at, 1)?;
            (Vec::new(), at)
        }
        None => {
            let now = cache.select(&selection, caches.progress());
            let wanted = options.initial != Some(false);
            (if wanted { now.versions } else { Vec::new() }, now.revision)
        }
    };
    let lasts = options
        .timeout_seconds
        .unwrap_or_else(|| SHORTEST + random(SHORTEST));
    let watching = Watching {
        frames: Frames {
            call: call.for_watch(),
        },
        cache,
        caches: Arc::clone(caches),
        wake,
        selection,
        initial: initial.into_iter(),
        initial_end: options.initial == Some(true) && options.bookmarks,
        position,
        bookmarks: options.bookmarks,
        next_bookmark: Instant::now() + BOOKMARK,
        deadline: Instant::now() + Duration::from_secs(lasts),
        stopping: api.stopping.clone(),
        over: false,
    };
    let blocks = stream::unfold(watching, |mut watching| async move {
        let block = watching.next().await?;
        Some((Ok(block), watching))
    });
    Ok(Reply::stream(Body::blocks(blocks), 0))
}

fn random(below: u64) -> u64 {
    let mut bytes = [0; 8];
    // Without random numbers all watches end together, which is no harm.
    let _ = SystemRandom::new().fill(&mut bytes);
    u64::from_le_bytes(bytes) % below
}

struct Watching {
    frames: Frames,
    cache: Arc<KindCache>,
    caches: Arc<Caches>,
    wake: Wake,
    selection: Selection,
    /// What was there at the start and has not been sent.
    initial: std::vec::IntoIter<Arc<Version>>,
    /// Whether its end is told.
    initial_end: bool,
    /// Changes up to this revision have been looked at.
    position: u64,
    bookmarks: bool,
    next_bookmark: Instant,
    deadline: Instant,
    stopping: CancellationToken,
    over: bool,
}

impl Watching {
    /// The next bytes; nothing at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(block) = self.start() {
            return Some(block);
        }
        while !self.over {
            // Read before the changes: all changes up to here are in the window by then.
            let reached = self.caches.progress();
            match self.cache.changes(self.position, BATCH) {
                Err(failure) => {
                    self.over = true;
                    return Some(error(&failure));
                }
                Ok(changes) if !changes.is_empty() => {
                    let block = self.write(&changes);
                    if !block.is_empty() {
                        return Some(block.into());
                    }
                }
                Ok(_) => {
                    self.position = self.position.max(reached);
                    if let Some(bookmark) = self.wait().await {
                        return Some(bookmark);
                    }
                }
            }
        }
        None
    }

    fn start(&mut self) -> Option<Bytes> {
        let mut block = Vec::new();
        while block.len() < BLOCK {
            let Some(version) = self.initial.next() else {
                if std::mem::take(&mut self.initial_end) {
                    self.frames.bookmark(&mut block, self.position, true);
                }
                break;
            };
            self.frames.write(&mut block, "ADDED", &version);
        }
        (!block.is_empty()).then(|| block.into())
    }

    fn write(&mut self, changes: &[Arc<Event>]) -> Vec<u8> {
        let mut block = Vec::new();
        for change in changes {
            self.position = change.revision;
            self.frames.change(&mut block, change, &self.selection);
            if block.len() >= BLOCK {
                break;
            }
        }
        block
    }

    /// Waits for something to happen; a bookmark may be due before that.
    async fn wait(&mut self) -> Option<Bytes> {
        if self.wake.is_over() {
            self.over = true;
            return None;
        }
        tokio::select! {
            fed = self.wake.next() => self.over = !fed,
            () = sleep_until(self.deadline) => self.over = true,
            () = self.stopping.cancelled() => self.over = true,
            () = sleep_until(self.next_bookmark), if self.bookmarks => {
                self.next_bookmark = Instant::now() + BOOKMARK;
                let mut block = Vec::new();
                self.frames.bookmark(&mut block, self.position, false);
                return Some(block.into());
            }
        }
        None
    }
}

/// How changes are written.
struct Frames {
    call: Call,
}

impl Frames {
    /// Writes a change as those see it who look at a selection only.
    fn change(&self, block: &mut Vec<u8>, change: &Event, selection: &Selection) {
        let before = change.previous.as_ref();
        let was = before.is_some_and(|version| selection.matches(version));
        let is = !change.gone && selection.matches(&change.version);
        match (was, is) {
            (false, true) => self.write(block, "ADDED", &change.version),
            (true, true) => self.write(block, "MODIFIED", &change.version),
            (true, false) if change.gone => self.write(block, "DELETED", &change.version),
            (true, false) => {
                if let Some(before) = before {
                    self.write(block, "DELETED", &before.gone(change.revision));
                }
            }
            (false, false) => {}
        }
    }

    fn write(&self, block: &mut Vec<u8>, what: &str, version: &Version) {
        let plain = present::is_plain(&self.call.kind, self.call.output);
        block.extend_from_slice(b"{\"type\":\"");
        block.extend_from_slice(what.as_bytes());
        block.extend_from_slice(b"\",\"object\":");
        if plain {
            block.extend_from_slice(&version.body);
        } else {
            let object = present::parse(&version.body).unwrap_or_default();
            let shaped = present::shaped(&self.call, object);
            block.extend_from_slice(shaped.to_string().as_bytes());
        }
        block.extend_from_slice(b"}\n");
    }

    fn bookmark(&self, block: &mut Vec<u8>, revision: u64, end: bool) {
        let mut object = json!({
            "kind": self.call.kind.kind,
            "apiVersion": self.call.kind.api_version(),
            "metadata": {"resourceVersion": revision.to_string(), "creationTimestamp": Value::Null},
        });
        if self.call.output.form != Form::Whole {
            object = present::shaped(&self.call, object);
        }
        if end {
            object["metadata"]["annotations"] = json!({INITIAL_END: "true"});
        }
        let frame = json!({"type": "BOOKMARK", "object": object});
        block.extend_from_slice(frame.to_string().as_bytes());
        block.push(b'\n');
    }
}

fn error(failure: &Failure) -> Bytes {
    let status = serde_json::to_value(failure.status()).unwrap_or_default();
    let frame = json!({"type": "ERROR", "object": status});
    format!("{frame}\n").into()
}
