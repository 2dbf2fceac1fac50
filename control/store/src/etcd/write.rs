//! Writes: conditional transactions, what to do when one breaks off, the leases they hang on. It
//! must not know how a member is chosen.

use bytes::Bytes;
use tokio::time::Instant;
use tonic::Status;

use super::leases::Leases;
use super::members::{ATTEMPT, Failure, failure};
use super::pause::Pauses;
use super::proto::response_op::Response;
use super::proto::{LeaseGrantRequest, TxnRequest, TxnResponse};
use super::{EtcdStore, wire};
use crate::{Deleted, Entry, Error, Key, Revision, Write};

/// How a request that changes something ended.
pub(super) enum Sent<T> {
    /// It was answered.
    Answered(T),
    /// It never reached a member.
    Unreached(String),
    /// It may have been carried out.
    Unclear(String),
}

impl EtcdStore {
    /// Sends a transaction once.
    pub(super) async fn send(&self, request: TxnRequest) -> Result<Sent<TxnResponse>, Error> {
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
        let mut pauses = Pauses::new();
        for _ in 0..=self.members.len().max(2) {
            match self.send(request.clone()).await? {
                Sent::Answered(answer) => return Ok((answer, unclear)),
                Sent::Unreached(reason) => last = reason,
                Sent::Unclear(reason) => (unclear, last) = (true, reason),
            }
            tokio::time::sleep(pauses.next()).await;
        }
        Err(given_up(key, unclear, last))
    }

    pub(super) async fn create_key(
        &self,
        key: &Key,
        value: Bytes,
        write: Write,
    ) -> Result<Revision, Error> {
        let lease = self.lease(write).await?;
        let request = wire::put(key, Revision::ZERO, value.clone(), lease);
        let (mut last, mut pauses) = (String::new(), Pauses::new());
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
            tokio::time::sleep(pauses.next()).await;
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

    pub(super) async fn swap_key(
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

    pub(super) async fn delete_key(
        &self,
        key: &Key,
        expected: Option<Revision>,
    ) -> Result<Deleted, Error> {
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
    pub(super) fn lease_is_gone(&self, write: Write, refused: &Error) -> bool {
        let Some(ttl) = write
            .ttl
            .filter(|_| matches!(refused, Error::Refused { .. }))
        else {
            return false;
        };
        self.leases.gone(ttl.get());
        true
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
pub(super) fn found_version(answer: TxnResponse) -> i64 {
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
