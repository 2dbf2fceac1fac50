//! Has etcd forget the past regularly, once for all apiservers of a cluster: they agree through one
//! key, which is upstream's, so that upstream's apiservers take part. It must not know objects.

use std::time::Duration;

use bytes::Bytes;

use super::proto::{
    Compare, PutRequest, RangeRequest, RequestOp, TxnRequest, TxnResponse,
    compare::{CompareTarget, TargetUnion},
    request_op::Request,
};
use super::write::{Sent, found_version};
use super::{EtcdStore, wire};
use crate::{Error, Revision, Store};

/// Upstream's key: its version counts the turns, its value is the revision of the last one.
const KEY: &[u8] = b"compact_rev_key";

/// What an apiserver remembers between two turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Turn {
    /// The version of the key that this one saw.
    count: i64,
    /// The newest revision at that time.
    revision: Revision,
}

impl EtcdStore {
    /// Every `interval`, forgets what was superseded an interval ago; never returns. Of several
    /// apiservers one does it. `failed` is told what went wrong; the next turn tries again.
    pub async fn compact_regularly(&self, interval: Duration, failed: impl Fn(&Error)) {
        let mut turn = Turn::default();
        loop {
            tokio::time::sleep(interval).await;
            match self.take_turn(turn).await {
                Ok(next) => turn = next,
                Err(error) => failed(&error),
            }
        }
    }

    async fn take_turn(&self, turn: Turn) -> Result<Turn, Error> {
        let answer = self.offer(turn).await?;
        let newest = wire::header(answer.header.as_ref());
        if !answer.succeeded {
            // Another apiserver was first: the next turn starts from where it is.
            let count = found_version(answer);
            return Ok(Turn {
                count,
                revision: newest,
            });
        }
        if turn.revision > Revision::ZERO {
            match self.compact(turn.revision).await {
                Ok(()) | Err(Error::Compacted { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Turn {
            count: turn.count + 1,
            revision: newest,
        })
    }

    /// Writes the revision of this turn if nobody has taken it.
    async fn offer(&self, turn: Turn) -> Result<TxnResponse, Error> {
        let key = Bytes::from_static(KEY);
        let compare = Compare {
            target: CompareTarget::Version.into(),
            key: key.clone(),
            target_union: Some(TargetUnion::Version(turn.count)),
            ..Compare::default()
        };
        let put = PutRequest {
            key: key.clone(),
            value: turn.revision.to_string().into(),
            lease: 0,
        };
        let range = RangeRequest {
            key,
            ..RangeRequest::default()
        };
        let op = |request| RequestOp {
            request: Some(request),
        };
        let request = TxnRequest {
            compare: vec![compare],
            success: vec![op(Request::RequestPut(put))],
            failure: vec![op(Request::RequestRange(range))],
        };
        match self.send(request).await? {
            Sent::Answered(answer) => Ok(answer),
            Sent::Unreached(reason) | Sent::Unclear(reason) => Err(Error::Unavailable { reason }),
        }
    }
}
