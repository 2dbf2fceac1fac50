//! One transaction of the committer: decides requests in their order and writes what they say. It
//! must not know who asked, nor when the transaction is committed.

use bytes::Bytes;
use redb::{ReadableTable, Table, WriteTransaction};

use super::fault::Fault;
use super::layout::{self, DELETION, EXPIRY, FACTS, INDEX, RECORDS, REST, Record, VALUE};
use super::pieces;
use super::queue::{Operation, Outcome};
use super::view::{newest, read_record};
use crate::memory::{check_size, expect};
use crate::{Change, Deleted, Entry, Error, Key, Revision, Write};

/// How many revisions are set aside for writes that are answered before they are on disk.
pub const SET_ASIDE: u64 = 100_000;

/// Records that are read before the first of them is swept.
const AT_ONCE: usize = 16;

/// The engine's numbers, as of a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The newest revision.
    pub revision: u64,
    /// The oldest that can be listed.
    pub compacted: u64,
    /// Up to here, what compaction made superfluous has been removed.
    pub swept: u64,
    /// No revision from here on was handed out before this commit.
    pub ceiling: u64,
    /// Bytes of values that only the past needs.
    pub history: u64,
    /// When the next key goes, in seconds since 1970.
    pub next_expiry: Option<u64>,
}

const NAMES: [&str; 5] = ["revision", "compacted", "swept", "ceiling", "history"];

impl Position {
    const fn numbers(&mut self) -> [&mut u64; 5] {
        [
            &mut self.revision,
            &mut self.compacted,
            &mut self.swept,
            &mut self.ceiling,
            &mut self.history,
        ]
    }

    /// The numbers of the last commit.
    pub fn load(transaction: &WriteTransaction) -> Result<Self, Fault> {
        let facts = transaction.open_table(FACTS)?;
        let mut position = Self::default();
        for (name, number) in NAMES.iter().zip(position.numbers()) {
            let missing = || Fault::Damaged(format!("the fact {name:?} is missing"));
            *number = facts.get(name)?.ok_or_else(missing)?.value();
        }
        position.next_expiry = first_expiry(&transaction.open_table(EXPIRY)?)?;
        Ok(position)
    }

    /// Writes the numbers.
    pub fn save(mut self, transaction: &WriteTransaction) -> Result<(), Fault> {
        let mut facts = transaction.open_table(FACTS)?;
        for (name, number) in NAMES.iter().zip(self.numbers()) {
            facts.insert(name, *number)?;
        }
        Ok(())
    }
}

/// The open tables and what was written so far.
pub struct Transaction<'t> {
    index: Table<'t, &'static [u8], u8>,
    records: Table<'t, u64, &'static [u8]>,
    rest: Table<'t, (u64, u16), &'static [u8]>,
    expiry: Table<'t, &'static [u8], ()>,
    /// As of the requests that were applied so far.
    pub position: Position,
    /// What the applied requests changed.
    pub changes: Vec<Change>,
    now: u64,
    buffer: Vec<u8>,
}

/// What is in the way of a request: it is refused, or the file fails.
pub enum Stop {
    /// The request is wrong; the transaction is as it was.
    Refused(Error),
    /// The transaction can't go on.
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl<E: Into<redb::Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Fault(Fault::from(error))
    }
}

impl<'t> Transaction<'t> {
    /// Opens the tables. `now` is in seconds since 1970.
    pub fn open(
        transaction: &'t WriteTransaction,
        position: Position,
        now: u64,
    ) -> Result<Self, Fault> {
        Ok(Self {
            index: transaction.open_table(INDEX)?,
            records: transaction.open_table(RECORDS)?,
            rest: transaction.open_table(REST)?,
            expiry: transaction.open_table(EXPIRY)?,
            position,
            changes: Vec::new(),
            now,
            buffer: Vec::new(),
        })
    }

    /// Does what `operation` asks for, or changes nothing.
    pub fn apply(&mut self, operation: &Operation) -> Result<Outcome, Stop> {
        match operation {
            Operation::Create(key, value, write) => self.create(key, value, *write),
            Operation::Swap(key, expected, value, write) => {
                self.swap(key, *expected, value, *write)
            }
            Operation::Delete(key, expected, _) => self.delete(key, *expected),
            Operation::Compact(at) => self.compact(at.0),
            Operation::Stop => Ok(Outcome::Done),
        }
    }

    fn create(&mut self, key: &Key, value: &Bytes, write: Write) -> Result<Outcome, Stop> {
        check_size(key, value).map_err(Stop::Refused)?;
        if matches!(newest(&self.index, key.as_str())?, Some((_, true))) {
            return Err(Stop::Refused(Error::Exists { key: key.clone() }));
        }
        Ok(self.put(key, value, write, None)?)
    }

    fn swap(
        &mut self,
        key: &Key,
        expected: Revision,
        value: &Bytes,
        write: Write,
    ) -> Result<Outcome, Stop> {
        check_size(key, value).map_err(Stop::Refused)?;
        let current = self.current(key)?;
        expect(key, expected, current.as_ref().map(|(entry, _)| entry)).map_err(Stop::Refused)?;
        Ok(self.put(key, value, write, current)?)
    }

    fn delete(&mut self, key: &Key, expected: Option<Revision>) -> Result<Outcome, Stop> {
        let Some((previous, expires)) = self.current(key)? else {
            return Err(Stop::Refused(Error::NotFound { key: key.clone() }));
        };
        if let Some(expected) = expected {
            expect(key, expected, Some(&previous)).map_err(Stop::Refused)?;
        }
        let revision = self.remove(previous.clone(), expires)?;
        Ok(Outcome::Deleted(Box::new(Deleted { previous, revision })))
    }

    fn compact(&mut self, at: u64) -> Result<Outcome, Stop> {
        let requested = Revision(at);
        if at > self.position.revision {
            let current = Revision(self.position.revision);
            return Err(Stop::Refused(Error::Future { requested, current }));
        }
        if at <= self.position.compacted {
            let compacted = Revision(self.position.compacted);
            return Err(Stop::Refused(Error::Compacted {
                requested,
                compacted,
            }));
        }
        self.position.compacted = at;
        Ok(Outcome::Done)
    }

    /// The state of `key` and when it goes.
    fn current(&self, key: &Key) -> Result<Option<(Entry, u64)>, Fault> {
        let Some((revision, true)) = newest(&self.index, key.as_str())? else {
            return Ok(None);
        };
        let read = |record: &Record<'_>| Ok((record.entry(revision)?, record.expires));
        read_record(&self.records, &self.rest, revision, read).map(Some)
    }

    fn put(
        &mut self,
        key: &Key,
        value: &Bytes,
        write: Write,
        previous: Option<(Entry, u64)>,
    ) -> Result<Outcome, Fault> {
        let (previous, expired) = previous.unzip();
        let revision = self.position.revision + 1;
        let expires = write
            .ttl
            .map_or(0, |ttl| self.now + 1 + u64::from(ttl.get()));
        let current = Entry {
            key: key.clone(),
            value: value.clone(),
            create_revision: previous
                .as_ref()
                .map_or(Revision(revision), |one| one.create_revision),
            mod_revision: Revision(revision),
            version: previous.as_ref().map_or(1, |one| one.version + 1),
        };
        let record = Record {
            key: key.as_str(),
            deletion: false,
            create: current.create_revision.0,
            version: current.version,
            previous: previous.as_ref().map_or(0, |one| one.mod_revision.0),
            expires,
            value,
        };
        self.write(revision, &record, previous.as_ref())?;
        self.reschedule(key, expired.unwrap_or(0), expires)?;
        self.changes.push(Change {
            key: key.clone(),
            revision: Revision(revision),
            current: Some(current),
            previous,
        });
        Ok(Outcome::Written(Revision(revision)))
    }

    fn remove(&mut self, previous: Entry, expired: u64) -> Result<Revision, Fault> {
        let revision = self.position.revision + 1;
        let key = previous.key.clone();
        let record = Record {
            key: key.as_str(),
            deletion: true,
            create: 0,
            version: 0,
            previous: previous.mod_revision.0,
            expires: 0,
            value: &[],
        };
        self.write(revision, &record, Some(&previous))?;
        self.position.history += weight(&key, 0);
        self.reschedule(&key, expired, 0)?;
        self.changes.push(Change {
            key,
            revision: Revision(revision),
            current: None,
            previous: Some(previous),
        });
        Ok(Revision(revision))
    }

    fn write(
        &mut self,
        revision: u64,
        record: &Record<'_>,
        replaces: Option<&Entry>,
    ) -> Result<(), Fault> {
        record.encode(revision, &mut self.buffer);
        let kind = if record.deletion { DELETION } else { VALUE };
        pieces::insert(&mut self.records, &mut self.rest, revision, &self.buffer)?;
        self.index
            .insert(&layout::index_key(record.key, revision)[..], kind)?;
        self.position.revision = revision;
        if let Some(entry) = replaces {
            self.position.history += weight(&entry.key, entry.value.len());
        }
        Ok(())
    }

    /// Moves `key` from one time of going to another; 0 means that it stays.
    fn reschedule(&mut self, key: &Key, from: u64, to: u64) -> Result<(), Fault> {
        if from != 0 {
            self.expiry
                .remove(&layout::expiry_key(from, key.as_str())[..])?;
        }
        if to != 0 {
            self.expiry
                .insert(&layout::expiry_key(to, key.as_str())[..], ())?;
        }
        if from != 0 || to != 0 {
            self.position.next_expiry = first_expiry(&self.expiry)?;
        }
        Ok(())
    }

    /// Removes at most `max` keys whose time has come.
    pub fn expire(&mut self, max: usize) -> Result<(), Fault> {
        for _ in 0..max {
            if self.position.next_expiry.is_none_or(|at| at > self.now) {
                return Ok(());
            }
            self.expire_first()?;
        }
        Ok(())
    }

    fn expire_first(&mut self) -> Result<(), Fault> {
        let first = self
            .expiry
            .pop_first()?
            .map(|(place, _)| place.value().to_vec());
        self.position.next_expiry = first_expiry(&self.expiry)?;
        let Some((_, key)) = first.as_deref().and_then(layout::split_expiry_key) else {
            return Ok(());
        };
        let key = Key::new(key).map_err(|error| Fault::Damaged(error.to_string()))?;
        match self.current(&key)? {
            // Set to go, and not set anew since.
            Some((entry, at)) if at != 0 && at <= self.now => self.remove(entry, 0).map(drop),
            _ => Ok(()),
        }
    }

    /// Removes what only revisions before the compacted one need, looking at no more than `max`
    /// records. When the past takes more than `limit` bytes, compaction moves on by itself.
    pub fn sweep(&mut self, max: usize, limit: u64) -> Result<(), Fault> {
        // A few at a time: when enough is forgotten, the next need not be read.
        let mut left = max;
        while left > 0 && !self.sweep_some(left.min(AT_ONCE), limit)? {
            left -= left.min(AT_ONCE);
        }
        Ok(())
    }

    /// Looks at `max` records; answers whether nothing is left to be done.
    fn sweep_some(&mut self, max: usize, limit: u64) -> Result<bool, Fault> {
        let mut rows = Vec::new();
        let end = if self.position.history > limit {
            self.position.revision
        } else {
            self.position.compacted
        };
        if self.position.swept >= end {
            return Ok(true);
        }
        for row in self.records.range(self.position.swept + 1..=end)?.take(max) {
            let (revision, bytes) = row?;
            let revision = revision.value();
            let whole = pieces::join(&self.rest, revision, bytes.value())?;
            let record = layout::decode(revision, &whole).map_err(Fault::Damaged)?;
            rows.push((
                revision,
                record.key.to_owned(),
                record.deletion,
                record.previous,
            ));
        }
        let done = rows.len() < max;
        for (revision, key, deletion, previous) in rows {
            if revision > self.position.compacted && self.position.history <= limit {
                return Ok(true);
            }
            self.forget(&key, previous)?;
            if deletion {
                self.forget(&key, revision)?;
            }
            self.position.swept = revision;
            self.position.compacted = self.position.compacted.max(revision);
        }
        if done {
            self.position.swept = self.position.compacted;
        }
        Ok(done)
    }

    fn forget(&mut self, key: &str, revision: u64) -> Result<(), Fault> {
        if revision == 0 {
            return Ok(());
        }
        self.index.remove(&layout::index_key(key, revision)[..])?;
        if let Some(bytes) = pieces::remove(&mut self.records, &mut self.rest, revision)? {
            let size = layout::decode(revision, &bytes).map_or(0, |record| {
                let key = record.key.len() as u64;
                record.value.len() as u64 + 2 * key + OVERHEAD
            });
            self.position.history = self.position.history.saturating_sub(size);
        }
        Ok(())
    }
}

const OVERHEAD: u64 = 64;

/// What a version takes in the file, roughly, in bytes.
fn weight(key: &Key, value: usize) -> u64 {
    value as u64 + 2 * key.as_str().len() as u64 + OVERHEAD
}

fn first_expiry(table: &impl ReadableTable<&'static [u8], ()>) -> Result<Option<u64>, Fault> {
    let first = table.first()?;
    Ok(first.and_then(|(place, _)| layout::split_expiry_key(place.value()).map(|(at, _)| at)))
}
