//! Restores snapshots into an empty folder or an empty etcd cluster. The whole file is checked
//! before anything is written. It must not know the format's bytes.

use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

use super::{Error, Kept, Summary, open, read, verify};
use crate::embedded::{self, Restoring};
use crate::etcd::EtcdStore;
use crate::{Error as StoreError, Prefix, Store};

/// How far the counter moves on: further than anything that was written after the snapshot.
///
/// Clients may have seen revisions that are newer than the snapshot. They must find that theirs is
/// too old, and list, and never meet the same number with another meaning.
const LEAP: u64 = 1_000_000_000;

/// Keys that are written to etcd at the same time.
const BATCH: usize = 64;

/// Restores `source` as the embedded store of `folder`.
///
/// # Errors
/// [`Error::NotEmpty`] when there is one, [`Error::Damaged`] when the snapshot is not whole.
pub fn restore_embedded(source: &Path, folder: &Path) -> Result<Summary, Error> {
    let checked = verify(source)?;
    let target = embedded::file_of(folder);
    if target.exists() {
        return Err(Error::NotEmpty {
            target: target.display().to_string(),
        });
    }
    let mut restoring = Restoring::begin(folder, checked.revision.0 + LEAP)?;
    let summary = read(source, open(source)?, |_, kept| {
        restoring.add(kept).map_err(Error::from)
    })?;
    restoring.finish()?;
    Ok(summary)
}

/// Restores `source` into an etcd cluster that holds no object. Its revisions are the cluster's.
///
/// # Errors
/// As [`restore_embedded`].
pub async fn restore_etcd(source: &Path, store: &EtcdStore) -> Result<Summary, Error> {
    let summary = verify(source)?;
    let prefix = Prefix::everything();
    if store.count(&prefix).await? > 0 {
        return Err(Error::NotEmpty {
            target: "the etcd cluster".to_owned(),
        });
    }
    // Reading waits for the disk, writing for the cluster: a few batches between them.
    let (send, mut batches) = mpsc::channel(2);
    let path = source.to_owned();
    let reading = tokio::task::spawn_blocking(move || send_batches(&path, &send));
    while let Some(batch) = batches.recv().await {
        store.put_all(batch).await?;
    }
    reading.await.map_err(|stopped| StoreError::Unavailable {
        reason: stopped.to_string(),
    })??;
    Ok(summary)
}

fn send_batches(source: &Path, send: &mpsc::Sender<Vec<Kept>>) -> Result<(), Error> {
    let mut batch = Vec::new();
    read(source, open(source)?, |_, kept| {
        batch.push(kept);
        if batch.len() == BATCH {
            // Nobody listens any more when a write failed, and that is told there.
            let _ = send.blocking_send(std::mem::take(&mut batch));
        }
        Ok(())
    })?;
    let _ = send.blocking_send(batch);
    Ok(())
}

/// Seconds until `expires`; `None` when it stays, at least one.
pub(crate) fn seconds_left(expires: u64) -> Option<std::num::NonZeroU32> {
    if expires == 0 {
        return None;
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let left = expires
        .saturating_sub(now.unwrap_or(Duration::ZERO).as_secs())
        .max(1);
    u32::try_from(left).ok().and_then(std::num::NonZeroU32::new)
}
