//! Static pods from a folder of manifests, or from one file.
//!
//! Guarantees: a manifest that parses counts within milliseconds of being closed or renamed into
//! place; a broken one is reported after 200 ms of quiet and leaves its pods alone; an audit
//! catches what inotify did not tell. Assumes a local file system. What the pods are for is not
//! known here.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::ledger::{Content, Ledger};
use super::watcher::{Change, Watcher};
use super::{MAX_MANIFEST, SourceSnapshot};

/// Time for an editor to finish what it does in one go.
const DEBOUNCE: Duration = Duration::from_millis(1);

/// A folder of manifests, or one manifest.
#[derive(Debug)]
pub struct StaticFiles {
    path: PathBuf,
    node_name: String,
    audit: Duration,
}

/// What tells one state of a file from another without reading it.
type Stamp = (i64, i64, u64, u64);

fn stamp(meta: &Metadata) -> Stamp {
    (meta.mtime(), meta.mtime_nsec(), meta.size(), meta.ino())
}

impl StaticFiles {
    /// `path` is `staticPodPath`, `audit` is `fileCheckFrequency`.
    #[must_use]
    pub fn new(path: PathBuf, node_name: String, audit: Duration) -> Self {
        Self {
            path,
            node_name,
            audit,
        }
    }

    /// Publishes snapshots until it is cancelled.
    ///
    /// # Errors
    /// When inotify is not to be had, such as for lack of instances.
    pub async fn run(
        self,
        snapshots: watch::Sender<Arc<SourceSnapshot>>,
        cancelled: CancellationToken,
    ) -> io::Result<()> {
        let single = tokio::fs::metadata(&self.path)
            .await
            .is_ok_and(|m| m.is_file());
        let folder = match self.path.parent() {
            Some(parent) if single => parent.to_owned(),
            _ => self.path.clone(),
        };
        let mut watcher = Watcher::new(&folder)?;
        let mut work = Work {
            only: single.then(|| self.path.clone()),
            folder,
            ledger: Ledger::new(self.node_name),
            stamps: BTreeMap::new(),
            start: Instant::now(),
            snapshots,
        };
        work.audit().await;
        work.publish();
        let mut audit = interval(self.audit);
        audit.set_missed_tick_behavior(MissedTickBehavior::Delay);
        audit.reset();
        loop {
            let due = work.ledger.next().map(|at| work.start + at);
            tokio::select! {
                () = cancelled.cancelled() => return Ok(()),
                change = watcher.next() => work.change(change, &mut watcher).await,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => work.settle(),
                _ = audit.tick() => {
                    watcher.retry();
                    if work.audit().await {
                        work.publish();
                    }
                }
            }
        }
    }
}

/// The state of a running source.
struct Work {
    folder: PathBuf,
    only: Option<PathBuf>,
    ledger: Ledger,
    stamps: BTreeMap<PathBuf, Stamp>,
    start: Instant,
    snapshots: watch::Sender<Arc<SourceSnapshot>>,
}

impl Work {
    /// Takes in a change and all others that come in the same moment.
    async fn change(&mut self, change: Change, watcher: &mut Watcher) {
        let mut names = Vec::new();
        let mut everything = false;
        let mut next = Some(change);
        while let Some(change) = next {
            match change {
                Change::File(name) if !names.contains(&name) => names.push(name),
                Change::File(_) => {}
                Change::Everything => everything = true,
            }
            next = tokio::time::timeout(DEBOUNCE, watcher.next()).await.ok();
        }
        let mut changed = everything && self.audit().await;
        for name in names.iter().filter(|name| !is_ignored(name)) {
            changed |= self.read(&self.folder.join(name)).await;
        }
        if changed {
            self.publish();
        }
    }

    /// Lets verdicts count whose time of quiet is over.
    fn settle(&mut self) {
        if self.ledger.settle(self.start.elapsed()) {
            self.publish();
        }
    }

    /// Reads what does not look as it did; whether the snapshot changes.
    async fn audit(&mut self) -> bool {
        let mut changed = false;
        let present = list(&self.folder).await;
        for (path, stamp) in &present {
            if self.stamps.get(path) != Some(stamp) {
                changed |= self.read(path).await;
            }
        }
        for path in self.ledger.paths() {
            if !present.contains_key(&path) {
                changed |= self.read(&path).await;
            }
        }
        changed
    }

    async fn read(&mut self, path: &Path) -> bool {
        if self.only.as_ref().is_some_and(|only| only != path) {
            return false;
        }
        let (content, stamp) = read_file(path).await;
        match stamp {
            Some(stamp) => self.stamps.insert(path.to_owned(), stamp),
            None => self.stamps.remove(path),
        };
        let seen = jiff::Timestamp::now().to_string();
        self.ledger
            .observe(path, content, &seen, self.start.elapsed())
    }

    fn publish(&self) {
        self.snapshots
            .send_replace(Arc::new(self.ledger.snapshot()));
    }
}

/// Names that editors and package managers leave beside what they write.
fn is_ignored(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else {
        return true;
    };
    let ends = [
        "~",
        ".swp",
        ".swx",
        ".swo",
        ".tmp",
        ".bak",
        ".dpkg-new",
        ".dpkg-old",
        ".dpkg-tmp",
    ];
    name.starts_with('.')
        || (name.starts_with('#') && name.ends_with('#'))
        || name == "4913"
        || ends.iter().any(|end| name.ends_with(end))
}

/// The regular files of a folder that could be manifests. A folder that is not there is empty.
async fn list(folder: &Path) -> BTreeMap<PathBuf, Stamp> {
    let mut found = BTreeMap::new();
    let Ok(mut entries) = tokio::fs::read_dir(folder).await else {
        return found;
    };
    while let Ok(Some(entry)) = entries.next_entry().await {
        if is_ignored(&entry.file_name()) {
            continue;
        }
        if let Ok(meta) = tokio::fs::metadata(entry.path()).await
            && meta.is_file()
        {
            found.insert(entry.path(), stamp(&meta));
        }
    }
    found
}

async fn read_file(path: &Path) -> (Content, Option<Stamp>) {
    let meta = match tokio::fs::metadata(path).await {
        Ok(meta) if meta.is_file() => meta,
        Ok(_) => return (Content::Gone, None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return (Content::Gone, None),
        Err(error) => return (Content::Unreadable(error.to_string()), None),
    };
    if meta.size() > MAX_MANIFEST {
        let why = format!(
            "the file has {} bytes; the limit is {MAX_MANIFEST}",
            meta.size()
        );
        return (Content::Unreadable(why), Some(stamp(&meta)));
    }
    let content = match tokio::fs::read(path).await {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Content::Text(text),
            Err(_) => Content::Unreadable("the file is not UTF-8".to_owned()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Content::Gone,
        Err(error) => Content::Unreadable(error.to_string()),
    };
    (content, Some(stamp(&meta)))
}

#[cfg(test)]
mod tests;
