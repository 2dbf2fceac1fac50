//! All of a cluster's keys, to and from a snapshot. It must not know where snapshots are kept.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::future::try_join_all;

use super::proto::{KeyValue, LeaseTimeToLiveRequest};
use super::{EtcdStore, PAGE, wire};
use crate::snapshot::restore::seconds_left;
use crate::snapshot::{self, Kept, Summary, Writer};
use crate::{Error, Key, Prefix, Revision};

impl EtcdStore {
    /// Writes every key of ours, all as of one revision. `target` is only for what an error says.
    ///
    /// # Errors
    /// When the cluster can't be read or `out` fails.
    pub(crate) async fn write_snapshot(
        &self,
        out: &mut impl Write,
        target: &Path,
    ) -> Result<Summary, snapshot::Error> {
        let broken = |source| snapshot::Error::File {
            step: "writing",
            path: target.to_owned(),
            source,
        };
        let revision = self.newest().await?;
        let mut writer = Writer::begin(out, revision).map_err(broken)?;
        let (mut last, mut ends) = (None, BTreeMap::new());
        loop {
            let page = self.raw_page(revision, last.as_ref()).await?;
            let Some(end) = page.last() else {
                return writer.finish().map_err(broken);
            };
            last = Some(text(end)?);
            for kv in page {
                let expires = self.end_of(kv.lease, &mut ends).await?;
                let numbers =
                    [kv.create_revision, kv.mod_revision, kv.version].map(i64::cast_unsigned);
                let numbers = [numbers[0], numbers[1], numbers[2], expires];
                writer
                    .add(text(&kv)?.as_str(), &kv.value, numbers)
                    .map_err(broken)?;
            }
        }
    }

    async fn raw_page(&self, at: Revision, after: Option<&Key>) -> Result<Vec<KeyValue>, Error> {
        let mut request = wire::range(&Prefix::everything(), after);
        request.revision = wire::number(at);
        request.limit = i64::try_from(PAGE).unwrap_or(i64::MAX);
        let page = self.range(request).await;
        Ok(page.map_err(|status| wire::refusal("list", &status))?.kvs)
    }

    /// When the keys of a lease go, in seconds since 1970; 0 for no lease.
    async fn end_of(&self, lease: i64, known: &mut BTreeMap<i64, u64>) -> Result<u64, Error> {
        if lease == 0 {
            return Ok(0);
        }
        if let Some(end) = known.get(&lease) {
            return Ok(*end);
        }
        let request = LeaseTimeToLiveRequest { id: lease };
        let answer = self.read("lease", |pick| {
            let mut client = self.members.lease(pick);
            async move { client.lease_time_to_live(request).await }
        });
        let answer = answer
            .await
            .map_err(|status| wire::refusal("lease", &status))?;
        let left = u64::try_from(answer.into_inner().ttl).unwrap_or(0);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let end = now.map_or(0, |now| now.as_secs()) + left;
        known.insert(lease, end);
        Ok(end)
    }

    /// Creates all of `kept` at once.
    ///
    /// # Errors
    /// When one of them is there, or can't be written.
    pub(crate) async fn put_all(&self, kept: Vec<Kept>) -> Result<(), Error> {
        try_join_all(kept.into_iter().map(|one| self.put_kept(one))).await?;
        Ok(())
    }

    async fn put_kept(&self, kept: Kept) -> Result<Revision, Error> {
        let write = crate::Write {
            ttl: seconds_left(kept.expires),
            ..crate::Write::durable()
        };
        let key = Key::of_another(&kept.key);
        self.create_key(&key, Bytes::from(kept.value), write).await
    }
}

fn text(kv: &KeyValue) -> Result<Key, Error> {
    wire::key(&kv.key)
}
