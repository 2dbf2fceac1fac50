//! Makes a store from the keys of a snapshot. It must not know where they come from.

use std::path::Path;

use redb::{Durability, ReadableTable};

use super::fault::Fault;
use super::file::{Draft, FolderLock};
use super::layout::{self, EXPIRY, INDEX, RECORDS, REST, Record, VALUE};
use super::pieces;
use super::transaction::Position;
use crate::snapshot::Kept;
use crate::{Error, Key};

/// Bytes of values in one transaction.
const AT_ONCE: usize = 4 * 1024 * 1024;

/// A store that appears in its folder when all keys are in it.
pub struct Restoring {
    draft: Draft,
    waiting: Vec<Kept>,
    bytes: usize,
    revision: u64,
    _lock: FolderLock,
}

impl Restoring {
    /// Begins a store in `folder` whose history starts after `revision`.
    ///
    /// # Errors
    /// When another process has the folder, or it can't be written.
    pub fn begin(folder: &Path, revision: u64) -> Result<Self, Error> {
        let lock = FolderLock::take(folder)?;
        Ok(Self {
            draft: Draft::begin(folder)?,
            waiting: Vec::new(),
            bytes: 0,
            revision,
            _lock: lock,
        })
    }

    /// Adds a key.
    ///
    /// # Errors
    /// When its name can't be one, or the file can't be written.
    pub fn add(&mut self, kept: Kept) -> Result<(), Error> {
        if let Err(error) = Key::new(kept.key.as_str()) {
            return Err(self.draft.explain(Fault::Damaged(error.to_string())));
        }
        self.bytes += kept.value.len();
        self.waiting.push(kept);
        if self.bytes >= AT_ONCE {
            return self.flush();
        }
        Ok(())
    }

    /// Shows the store under its name.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn finish(mut self) -> Result<(), Error> {
        self.flush()?;
        let revision = self.revision;
        self.draft.publish(Position {
            revision,
            compacted: revision,
            swept: revision,
            ceiling: revision,
            history: 0,
            next_expiry: None,
        })
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.bytes = 0;
        let waiting = std::mem::take(&mut self.waiting);
        self.write(&waiting)
            .map_err(|fault| self.draft.explain(fault))
    }

    fn write(&mut self, all: &[Kept]) -> Result<(), Fault> {
        let mut transaction = self.draft.database().begin_write()?;
        // The last one has all of them on disk.
        transaction.set_durability(Durability::None)?;
        {
            let mut index = transaction.open_table(INDEX)?;
            let mut records = transaction.open_table(RECORDS)?;
            let mut rest = transaction.open_table(REST)?;
            let mut expiry = transaction.open_table(EXPIRY)?;
            let mut buffer = Vec::new();
            for kept in all {
                let mut revision = kept.modified;
                // etcd writes several keys at one revision when it is asked to; here each has its own.
                if records.get(revision)?.is_some() {
                    self.revision += 1;
                    revision = self.revision;
                }
                record(kept).encode(revision, &mut buffer);
                pieces::insert(&mut records, &mut rest, revision, &buffer)?;
                index.insert(&layout::index_key(&kept.key, revision)[..], VALUE)?;
                if kept.expires != 0 {
                    expiry.insert(&layout::expiry_key(kept.expires, &kept.key)[..], ())?;
                }
            }
        }
        Ok(transaction.commit()?)
    }
}

fn record(kept: &Kept) -> Record<'_> {
    Record {
        key: &kept.key,
        deletion: false,
        create: kept.create,
        version: kept.version,
        previous: 0,
        expires: kept.expires,
        value: &kept.value,
    }
}
