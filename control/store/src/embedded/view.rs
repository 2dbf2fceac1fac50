//! The state after one commit, for readers: they share it and never wait for a writer. It must not
//! know how commits are made.

use std::path::Path;
use std::sync::Arc;

use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable};

use super::fault::Fault;
use super::layout::{self, INDEX, LOST, RECORDS, REST, VALUE};
use super::pieces;
use crate::watch_window::Batch;
use crate::{Change, Entry, Error, Key, List, Page, Prefix, Revision};

/// How many records a watch looks at in one step, of whatever prefix.
const LOOK_AT: usize = 8192;

/// The tables as they were after a commit.
pub struct View {
    index: ReadOnlyTable<&'static [u8], u8>,
    records: ReadOnlyTable<u64, &'static [u8]>,
    rest: ReadOnlyTable<(u64, u16), &'static [u8]>,
    lost: Vec<(u64, u64)>,
    path: Arc<Path>,
    /// The newest revision.
    pub revision: Revision,
    /// The oldest revision that can be listed.
    pub compacted: Revision,
}

impl View {
    /// What `database` holds now.
    pub fn open(
        database: &Database,
        path: Arc<Path>,
        revision: Revision,
        compacted: Revision,
    ) -> Result<Self, Fault> {
        let transaction = database.begin_read()?;
        let lost = transaction.open_table(LOST)?;
        let lost = lost
            .iter()?
            .map(|row| row.map(|(from, to)| (from.value(), to.value())));
        Ok(Self {
            lost: lost.collect::<Result<_, _>>()?,
            index: transaction.open_table(INDEX)?,
            records: transaction.open_table(RECORDS)?,
            rest: transaction.open_table(REST)?,
            path,
            revision,
            compacted,
        })
    }

    /// The newest state of `key`.
    pub fn get(&self, key: &Key) -> Result<Option<Entry>, Error> {
        self.read_key(key).map_err(|fault| self.explain(fault))
    }

    fn read_key(&self, key: &Key) -> Result<Option<Entry>, Fault> {
        match newest(&self.index, key.as_str())? {
            Some((revision, true)) => self.entry(revision).map(Some),
            _ => Ok(None),
        }
    }

    /// How many keys there are under `prefix`.
    pub fn count(&self, prefix: &Prefix) -> Result<u64, Error> {
        let mut count = 0;
        let list = List::all(prefix.clone());
        let counted = self.scan(&list, self.revision.0, |_| {
            count += 1;
            Ok(())
        });
        counted.map_err(|fault| self.explain(fault))?;
        Ok(count)
    }

    /// A page of a prefix.
    pub fn list(&self, list: &List) -> Result<Page, Error> {
        let at = list.at.unwrap_or(self.revision);
        self.check(at)?;
        let (mut entries, mut remaining) = (Vec::new(), 0);
        let listed = self.scan(list, at.0, |revision| {
            if list.limit == 0 || entries.len() < list.limit {
                entries.push(self.entry(revision)?);
            } else {
                remaining += 1;
            }
            Ok(())
        });
        listed.map_err(|fault| self.explain(fault))?;
        Ok(Page {
            entries,
            revision: at,
            remaining,
        })
    }

    /// Calls `found` with the revision of each key of `list` that was there at `at`, in order.
    fn scan(
        &self,
        list: &List,
        at: u64,
        mut found: impl FnMut(u64) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let from = match &list.after {
            Some(key) if key.as_str() >= list.prefix.as_str() => layout::after_key(key.as_str()),
            _ => list.prefix.as_str().as_bytes().to_vec(),
        };
        let end = list.prefix.end().into_bytes();
        if from >= end {
            return Ok(());
        }
        let (mut key, mut candidate) = (Vec::new(), None);
        for row in self.index.range::<&[u8]>(&from[..]..&end[..])? {
            let (place, kind) = row?;
            let (name, revision) = split(place.value())?;
            if name != key {
                if let Some(revision) = candidate.take() {
                    found(revision)?;
                }
                key.clear();
                key.extend_from_slice(name);
            }
            if revision <= at {
                candidate = (kind.value() == VALUE).then_some(revision);
            }
        }
        candidate.map_or(Ok(()), found)
    }

    /// Changes of `prefix` after `after`.
    pub fn replay(&self, after: Revision, prefix: &Prefix, max: usize) -> Result<Batch, Error> {
        self.check_kept(after)?;
        self.read_changes(after.0, prefix, max)
            .map_err(|fault| self.explain(fault))
    }

    fn read_changes(&self, after: u64, prefix: &Prefix, max: usize) -> Result<Batch, Fault> {
        let mut batch = Batch {
            changes: Vec::new(),
            reached: self.revision.max(Revision(after)),
        };
        for (looked_at, row) in self.records.range(after + 1..)?.enumerate() {
            let (revision, bytes) = row?;
            let revision = revision.value();
            if looked_at == LOOK_AT || batch.changes.len() == max {
                batch.reached = Revision(revision - 1);
                break;
            }
            let whole = pieces::join(&self.rest, revision, bytes.value())?;
            let record = layout::decode(revision, &whole).map_err(Fault::Damaged)?;
            if record.key.starts_with(prefix.as_str()) {
                batch.changes.push(self.change(revision, &record)?);
            }
        }
        Ok(batch)
    }

    fn change(&self, revision: u64, record: &layout::Record<'_>) -> Result<Change, Fault> {
        let current = (!record.deletion)
            .then(|| record.entry(revision))
            .transpose();
        let previous = (record.previous != 0).then(|| self.entry(record.previous));
        Ok(Change {
            key: record.owned_key(revision).map_err(Fault::Damaged)?,
            revision: Revision(revision),
            current: current.map_err(Fault::Damaged)?,
            previous: previous.transpose()?,
        })
    }

    fn entry(&self, revision: u64) -> Result<Entry, Fault> {
        self.record(revision, |record| record.entry(revision))
    }

    /// Reads what was written at `revision`.
    pub fn record<T>(
        &self,
        revision: u64,
        read: impl FnOnce(&layout::Record<'_>) -> Result<T, String>,
    ) -> Result<T, Fault> {
        read_record(&self.records, &self.rest, revision, read)
    }

    /// Calls `found` with every key that is there now: its revision and record.
    pub fn for_each(
        &self,
        mut found: impl FnMut(u64, &layout::Record<'_>) -> Result<(), String>,
    ) -> Result<(), Error> {
        let list = List::all(Prefix::everything());
        let each = |revision| self.record(revision, |record| found(revision, record));
        self.scan(&list, self.revision.0, each)
            .map_err(|fault| self.explain(fault))
    }

    /// How many later pieces of records there are.
    #[cfg(test)]
    pub fn pieces(&self) -> Result<u64, Fault> {
        Ok(redb::ReadableTableMetadata::len(&self.rest)?)
    }

    /// Bytes of the file's pages that hold keys and records.
    #[cfg(test)]
    pub fn used(&self) -> Result<u64, Fault> {
        let stats = [
            redb::ReadableTableMetadata::stats(&self.index)?,
            redb::ReadableTableMetadata::stats(&self.records)?,
            redb::ReadableTableMetadata::stats(&self.rest)?,
        ];
        let bytes = stats
            .iter()
            .map(|one| one.stored_bytes() + one.metadata_bytes() + one.fragmented_bytes());
        Ok(bytes.sum())
    }

    fn check(&self, at: Revision) -> Result<(), Error> {
        if at > self.revision {
            return Err(Error::Future {
                requested: at,
                current: self.revision,
            });
        }
        self.check_kept(at)
    }

    /// Whether the state at `at` is known: neither compacted nor one that a crash took back.
    pub fn check_kept(&self, at: Revision) -> Result<(), Error> {
        let lost = self
            .lost
            .iter()
            .find(|(from, to)| *from < at.0 && at.0 < *to);
        let compacted = match lost {
            Some((_, to)) => Revision(*to),
            None if at < self.compacted => self.compacted,
            None => return Ok(()),
        };
        Err(Error::Compacted {
            requested: at,
            compacted,
        })
    }

    fn explain(&self, fault: Fault) -> Error {
        fault.at("reading", &self.path)
    }
}

/// The newest version of `key`: its revision, and whether it is a value.
pub fn newest(
    index: &impl ReadableTable<&'static [u8], u8>,
    key: &str,
) -> Result<Option<(u64, bool)>, Fault> {
    let (first, last) = (layout::index_key(key, 0), layout::index_key(key, u64::MAX));
    let Some(row) = index.range::<&[u8]>(&first[..]..=&last[..])?.next_back() else {
        return Ok(None);
    };
    let (place, kind) = row?;
    let (_, revision) = split(place.value())?;
    Ok(Some((revision, kind.value() == VALUE)))
}

/// Reads the record of a revision that the index names.
pub fn read_record<T>(
    records: &impl ReadableTable<u64, &'static [u8]>,
    rest: &impl ReadableTable<(u64, u16), &'static [u8]>,
    revision: u64,
    read: impl FnOnce(&layout::Record<'_>) -> Result<T, String>,
) -> Result<T, Fault> {
    let Some(bytes) = records.get(revision)? else {
        return Err(Fault::Damaged(format!(
            "the record of revision {revision} is missing"
        )));
    };
    let whole = pieces::join(rest, revision, bytes.value())?;
    let record = layout::decode(revision, &whole).map_err(Fault::Damaged)?;
    read(&record).map_err(Fault::Damaged)
}

fn split(place: &[u8]) -> Result<(&[u8], u64), Fault> {
    layout::split_index_key(place).ok_or_else(|| {
        Fault::Damaged("a place in the index is not a key and a revision".to_owned())
    })
}
