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
mod export;
mod follow;
mod leases;
mod members;
mod pause;
mod proto;
mod wire;
mod write;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;
use tonic::{Code, Status};

use self::leases::Leases;
use self::members::{ATTEMPT, Failure, Members, Pick, failure};
use self::pause::Pauses;
use self::proto::{CompactionRequest, RangeRequest, RangeResponse, StatusRequest};
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
        let mut pauses = Pauses::new();
        for _ in 0..=self.members.len().max(2) {
            let pick = self.members.pick();
            match tokio::time::timeout(ATTEMPT, ask(pick)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(status)) if failure(&status) == Failure::Answered => return Err(status),
                Ok(Err(status)) => last = self.blame(pick, &status),
                Err(_) => last = self.blame(pick, &Status::unavailable("no answer in time")),
            }
            self.members.avoid(pick);
            tokio::time::sleep(pauses.next()).await;
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

/// Appends what members say about themselves, in Prometheus's text format.
pub fn render_members(members: &[MemberStatus], out: &mut String) {
    let name = "apiserver_storage_size_bytes";
    let help = "Size of the store's file in bytes.";
    out.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n"));
    for (at, member) in members.iter().enumerate() {
        let size = member.size;
        out.push_str(&format!(
            "{name}{{storage_cluster_id=\"etcd-{at}\"}} {size}\n"
        ));
    }
}

fn counting(prefix: &Prefix) -> RangeRequest {
    RangeRequest {
        count_only: true,
        ..wire::range(prefix, None)
    }
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
