//! The engine for more than one machine: an etcd cluster, spoken to as upstream's apiserver does.
//!
//! **Guarantees.** Reads are linearizable. A write that breaks off on the way is carried to another
//! member when doing it twice can do no harm, and otherwise told as [`Error::Unknown`]. Watches
//! outlive the member they are on.
//!
//! **Assumptions.** The clock of the members runs no slower than ours: leases are shared by it.
//!
//! **Caveats.** etcd fsyncs every write, so [`Durability::Relaxed`] changes nothing. Somebody has to
//! compact: [`EtcdStore::compact_regularly`] does it together with other apiservers.

mod compactor;
mod follow;
mod leases;
mod members;
mod proto;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::{Code, Status};

use self::leases::Leases;
use self::members::{ATTEMPT, Failure, Members, Pick, failure};
use self::proto::response_op::Response;
use self::proto::{
    CompactionRequest, LeaseGrantRequest, RangeRequest, RangeResponse, StatusRequest, TxnRequest,
    TxnResponse,
};
use crate::{
    Deleted, Durability, Entry, Error, Key, List, Page, Prefix, Reply, Revision, Store, Watch,
    Write,
};

pub use self::members::{Options, Tls};

/// Entries in one message when all are wanted.
const PAGE: usize = 500;

/// An etcd cluster.
pub struct EtcdStore {
    members: Arc<Members>,
    leases: Leases,
    asked: watch::Sender<u64>,
}

/// How a request that changes something ended.
enum Sent<T> {
    Answered(T),
    /// It never reached a member.
    Unreached(String),
    /// It may have been carried out.
    Unclear(String),
}

/// What one member says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    /// Its address.
    pub endpoint: String,
    /// Its version.
    pub version: String,
    /// Whether it leads the others.
    pub leads: bool,
    /// Bytes of its database.
    pub size: u64,
    /// Bytes of them that are in use.
    pub size_in_use: u64,
}

impl EtcdStore {
    /// Prepares to talk to the members; none has to be up yet.
    ///
    /// # Errors
    /// When an address or a certificate can't be used.
    pub fn new(options: &Options) -> Result<Self, Error> {
        Ok(Self {
            members: Arc::new(Members::new(options)?),
            leases: Leases::default(),
            asked: watch::Sender::new(0),
        })
    }

    /// Asks the members in turn until one answers.
    async fn read<T, F>(
        &self,
        operation: &'static str,
        ask: impl Fn(Pick) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let mut last = Status::deadline_exceeded(operation);
        for _ in 0..=self.members.len().max(2) {
            let pick = self.members.pick();
            match tokio::time::timeout(ATTEMPT, ask(pick)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(status)) if failure(&status) == Failure::Answered => return Err(status),
                Ok(Err(status)) => last = self.blame(pick, &status),
                Err(_) => last = self.blame(pick, &Status::unavailable("no answer in time")),
            }
            self.members.avoid(pick);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(last)
    }

    fn blame(&self, pick: Pick, status: &Status) -> Status {
        let endpoint = self.members.endpoint(pick);
        Status::unavailable(format!("{endpoint}: {}", status.message()))
    }

    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Status> {
        let answer = self.read("range", |pick| {
            let (mut client, request) = (self.members.kv(pick), request.clone());
            async move { client.range(request).await }
        });
        Ok(answer.await?.into_inner())
    }

    /// Sends a transaction once.
    async fn send(&self, request: TxnRequest) -> Result<Sent<TxnResponse>, Error> {
        let pick = self.members.pick();
        let mut client = self.members.kv(pick);
        let status = match tokio::time::timeout(ATTEMPT, client.txn(request)).await {
            Ok(Ok(answer)) => return Ok(Sent::Answered(answer.into_inner())),
            Ok(Err(status)) => status,
            Err(_) => Status::unavailable("no answer in time"),
        };
        let reason = self.blame(pick, &status).message().to_owned();
        match failure(&status) {
            Failure::Answered => Err(wire::refusal("write", &status)),
            Failure::NotSent => {
                self.members.avoid(pick);
                Ok(Sent::Unreached(reason))
            }
            Failure::Unclear => {
                self.members.avoid(pick);
                Ok(Sent::Unclear(reason))
            }
        }
    }

    /// Sends a transaction that does no harm when it is carried out twice, until it is answered.
    /// The second value tells whether an earlier attempt may have been carried out.
    async fn insist(&self, key: &Key, request: &TxnRequest) -> Result<(TxnResponse, bool), Error> {
        let (mut unclear, mut last) = (false, String::new());
        for _ in 0..=self.members.len().max(2) {
            match self.send(request.clone()).await? {
                Sent::Answered(answer) => return Ok((answer, unclear)),
                Sent::Unreached(reason) => last = reason,
                Sent::Unclear(reason) => (unclear, last) = (true, reason),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(given_up(key, unclear, last))
    }

    async fn create_key(&self, key: &Key, value: Bytes, write: Write) -> Result<Revision, Error> {
        let lease = self.lease(write).await?;
        let request = wire::put(key, Revision::ZERO, value.clone(), lease);
        let mut last = String::new();
        for _ in 0..=self.members.len().max(2) {
            match self
                .send(request.clone())
                .await
                .map_err(|error| too_large(key, &value, error))?
            {
                Sent::Answered(answer) if answer.succeeded => {
                    return Ok(wire::header(answer.header.as_ref()));
                }
                Sent::Answered(_) => return Err(Error::Exists { key: key.clone() }),
                Sent::Unreached(reason) => last = reason,
                Sent::Unclear(reason) => return self.was_created(key, &value, reason).await,
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(Error::Unavailable { reason: last })
    }

    /// A create broke off. It is not repeated: a late first attempt could bring a key back that
    /// someone has removed since. What is there tells.
    async fn was_created(
        &self,
        key: &Key,
        value: &Bytes,
        reason: String,
    ) -> Result<Revision, Error> {
        match self.get_key(key).await {
            Ok(Some(entry)) if entry.value == *value && entry.version == 1 => {
                Ok(entry.mod_revision)
            }
            Ok(Some(_)) => Err(Error::Exists { key: key.clone() }),
            Ok(None) | Err(_) => Err(given_up(key, true, reason)),
        }
    }

    async fn swap_key(
        &self,
        key: &Key,
        expected: Revision,
        value: Bytes,
        write: Write,
    ) -> Result<Revision, Error> {
        let lease = self.lease(write).await?;
        let request = wire::put(key, expected, value.clone(), lease);
        let sent = self.insist(key, &request).await;
        let (answer, unclear) = sent.map_err(|error| too_large(key, &value, error))?;
        // Revision 0 would mean that the key is not there, which is what a create says.
        if answer.succeeded && expected > Revision::ZERO {
            return Ok(wire::header(answer.header.as_ref()));
        }
        let current = found(answer)?;
        match &current {
            // An earlier attempt was carried out after all: no one else writes these bytes.
            Some(entry) if unclear && entry.value == value => Ok(entry.mod_revision),
            _ => Err(conflict(key, expected, current)),
        }
    }

    async fn delete_key(&self, key: &Key, expected: Option<Revision>) -> Result<Deleted, Error> {
        let mut known = expected;
        loop {
            let revision = match known {
                Some(revision) => revision,
                None => {
                    self.get_key(key)
                        .await?
                        .ok_or_else(|| not_found(key))?
                        .mod_revision
                }
            };
            let (answer, unclear) = self.insist(key, &wire::remove(key, revision)).await?;
            if answer.succeeded {
                return removed(key, answer);
            }
            match (found(answer)?, expected) {
                (None, _) if unclear => {
                    return Err(given_up(key, true, "it is gone now".to_owned()));
                }
                (None, _) => return Err(not_found(key)),
                (current, Some(expected)) => return Err(conflict(key, expected, current)),
                // Modified between the read and the removal of whatever is there.
                (Some(entry), None) => known = Some(entry.mod_revision),
            }
        }
    }

    async fn get_key(&self, key: &Key) -> Result<Option<Entry>, Error> {
        let answer = self.range(wire::get(key)).await;
        let answer = answer.map_err(|status| wire::refusal("get", &status))?;
        answer.kvs.into_iter().next().map(wire::entry).transpose()
    }

    async fn page(&self, list: List) -> Result<Page, Error> {
        let mut page = Page {
            entries: Vec::new(),
            revision: list.at.unwrap_or_default(),
            remaining: 0,
        };
        loop {
            let last = page.entries.last().map(|entry: &Entry| &entry.key);
            let mut request = wire::range(&list.prefix, last.or(list.after.as_ref()));
            if request.key >= request.range_end {
                page.revision = self.resolve(page.revision).await?;
                return Ok(page);
            }
            let wanted = match list.limit {
                0 => PAGE,
                limit => (limit - page.entries.len()).min(PAGE),
            };
            request.limit = i64::try_from(wanted).unwrap_or(i64::MAX);
            request.revision = wire::number(page.revision);
            let answer = match self.range(request).await {
                Ok(answer) => answer,
                Err(status) => return Err(self.list_refusal(page.revision, &status).await),
            };
            if page.revision == Revision::ZERO {
                page.revision = wire::header(answer.header.as_ref());
            }
            let came = answer.kvs.len() as u64;
            page.remaining = answer.count.cast_unsigned().saturating_sub(came);
            for kv in answer.kvs {
                page.entries.push(wire::entry(kv)?);
            }
            let full = list.limit != 0 && page.entries.len() >= list.limit;
            if page.remaining == 0 || came == 0 || full {
                return Ok(page);
            }
        }
    }

    async fn resolve(&self, revision: Revision) -> Result<Revision, Error> {
        if revision == Revision::ZERO {
            return self.newest().await;
        }
        Ok(revision)
    }

    /// Out of range means older than what is kept or newer than what there is.
    async fn list_refusal(&self, requested: Revision, status: &Status) -> Error {
        if status.code() != Code::OutOfRange {
            return wire::refusal("list", status);
        }
        match self.newest().await {
            Ok(current) if requested > current => Error::Future { requested, current },
            Ok(compacted) => Error::Compacted {
                requested,
                compacted,
            },
            Err(error) => error,
        }
    }

    async fn newest(&self) -> Result<Revision, Error> {
        let answer = self.range(counting(&Prefix::everything())).await;
        let answer = answer.map_err(|status| wire::refusal("revision", &status))?;
        Ok(wire::header(answer.header.as_ref()))
    }

    /// The lease for a write: none, a shared one, a new one.
    async fn lease(&self, write: Write) -> Result<i64, Error> {
        let Some(ttl) = write.ttl else {
            return Ok(0);
        };
        let (ttl, now) = (ttl.get(), Instant::now());
        if let Some(id) = self.leases.take(ttl, now) {
            return Ok(id);
        }
        let request = LeaseGrantRequest {
            ttl: Leases::lifetime(ttl),
        };
        let granted = self.read("lease grant", |pick| {
            let mut client = self.members.lease(pick);
            async move { client.lease_grant(request).await }
        });
        let granted = granted
            .await
            .map_err(|status| wire::refusal("lease grant", &status))?;
        let id = granted.into_inner().id;
        self.leases.granted(ttl, id, now);
        Ok(id)
    }

    /// Whether a refused write may have been so because its shared lease ended early, as it does
    /// when someone revokes it: the next one gets another.
    fn lease_is_gone(&self, write: Write, refused: &Error) -> bool {
        let Some(ttl) = write
            .ttl
            .filter(|_| matches!(refused, Error::Refused { .. }))
        else {
            return false;
        };
        self.leases.gone(ttl.get());
        true
    }

    /// What every member that answers says about itself.
    pub async fn members(&self) -> Vec<MemberStatus> {
        let mut all = Vec::new();
        for pick in self.members.all() {
            let mut client = self.members.maintenance(pick);
            let asked = tokio::time::timeout(ATTEMPT, client.status(StatusRequest {})).await;
            let Ok(Ok(status)) = asked.map(|answer| answer.map(tonic::Response::into_inner)) else {
                continue;
            };
            all.push(MemberStatus {
                endpoint: self.members.endpoint(pick).to_owned(),
                version: status.version,
                leads: status
                    .header
                    .is_some_and(|header| header.member_id == status.leader),
                size: status.db_size.unsigned_abs(),
                size_in_use: status.db_size_in_use.unsigned_abs(),
            });
        }
        all
    }

    async fn compact_to(&self, at: Revision) -> Result<(), Error> {
        let request = CompactionRequest {
            revision: wire::number(at),
        };
        let done = self.read("compact", |pick| {
            let mut client = self.members.kv(pick);
            async move { client.compact(request).await }
        });
        match done.await {
            Ok(_) => Ok(()),
            Err(status) => Err(self.list_refusal(at, &status).await),
        }
    }
}

fn counting(prefix: &Prefix) -> RangeRequest {
    RangeRequest {
        count_only: true,
        ..wire::range(prefix, None)
    }
}

/// What the other branch of a transaction read.
fn found(answer: TxnResponse) -> Result<Option<Entry>, Error> {
    let read = answer
        .responses
        .into_iter()
        .next()
        .and_then(|one| one.response);
    match read {
        Some(Response::ResponseRange(range)) => {
            range.kvs.into_iter().next().map(wire::entry).transpose()
        }
        _ => Ok(None),
    }
}

/// The version of the key that the other branch of a transaction read.
fn found_version(answer: TxnResponse) -> i64 {
    let read = answer
        .responses
        .into_iter()
        .next()
        .and_then(|one| one.response);
    match read {
        Some(Response::ResponseRange(range)) => range.kvs.first().map_or(0, |one| one.version),
        _ => 0,
    }
}

fn removed(key: &Key, answer: TxnResponse) -> Result<Deleted, Error> {
    let revision = wire::header(answer.header.as_ref());
    let removed = answer
        .responses
        .into_iter()
        .next()
        .and_then(|one| one.response);
    let Some(Response::ResponseDeleteRange(range)) = removed else {
        return Err(not_found(key));
    };
    let previous = range
        .prev_kvs
        .into_iter()
        .next()
        .ok_or_else(|| not_found(key))?;
    Ok(Deleted {
        previous: wire::entry(previous)?,
        revision,
    })
}

fn not_found(key: &Key) -> Error {
    Error::NotFound { key: key.clone() }
}

fn conflict(key: &Key, expected: Revision, current: Option<Entry>) -> Error {
    Error::Conflict {
        key: key.clone(),
        expected,
        current: current.map(Box::new),
    }
}

fn given_up(key: &Key, unclear: bool, reason: String) -> Error {
    if unclear {
        let key = key.clone();
        return Error::Unknown { key, reason };
    }
    Error::Unavailable { reason }
}

/// A refusal of a value that is beyond what etcd takes is about its size.
fn too_large(key: &Key, value: &Bytes, error: Error) -> Error {
    let about_size = match error {
        Error::Refused { .. } => value.len() > wire::SERVER_LIMIT / 2,
        Error::Unavailable { .. } => value.len() > wire::SERVER_LIMIT,
        _ => false,
    };
    if about_size {
        return Error::TooLarge {
            key: key.clone(),
            size: value.len(),
            limit: wire::SERVER_LIMIT,
        };
    }
    error
}

impl Store for EtcdStore {
    fn revision(&self) -> Reply<'_, Revision> {
        Box::pin(self.newest())
    }

    fn get<'a>(&'a self, key: &'a Key) -> Reply<'a, Option<Entry>> {
        Box::pin(self.get_key(key))
    }

    fn list(&self, list: List) -> Reply<'_, Page> {
        Box::pin(self.page(list))
    }

    fn count<'a>(&'a self, prefix: &'a Prefix) -> Reply<'a, u64> {
        Box::pin(async move {
            let answer = self.range(counting(prefix)).await;
            let answer = answer.map_err(|status| wire::refusal("count", &status))?;
            Ok(answer.count.cast_unsigned())
        })
    }

    fn create<'a>(&'a self, key: &'a Key, value: Bytes, write: Write) -> Reply<'a, Revision> {
        Box::pin(async move {
            match self.create_key(key, value.clone(), write).await {
                Err(refused) if self.lease_is_gone(write, &refused) => {
                    self.create_key(key, value, write).await
                }
                answer => answer,
            }
        })
    }

    fn compare_and_swap<'a>(
        &'a self,
        key: &'a Key,
        expected: Revision,
        value: Bytes,
        write: Write,
    ) -> Reply<'a, Revision> {
        Box::pin(async move {
            match self.swap_key(key, expected, value.clone(), write).await {
                Err(refused) if self.lease_is_gone(write, &refused) => {
                    self.swap_key(key, expected, value, write).await
                }
                answer => answer,
            }
        })
    }

    fn delete<'a>(
        &'a self,
        key: &'a Key,
        expected: Option<Revision>,
        _: Durability,
    ) -> Reply<'a, Deleted> {
        Box::pin(self.delete_key(key, expected))
    }

    fn watch<'a>(&'a self, prefix: &'a Prefix, after: Revision) -> Reply<'a, Watch> {
        let members = Arc::clone(&self.members);
        let watch = follow::follow(members, prefix.clone(), after, self.asked.subscribe());
        Box::pin(async { Ok(watch) })
    }

    fn request_progress(&self) -> Reply<'_, ()> {
        self.asked.send_modify(|asked| *asked += 1);
        Box::pin(async { Ok(()) })
    }

    fn compact(&self, at: Revision) -> Reply<'_, ()> {
        Box::pin(self.compact_to(at))
    }
}
