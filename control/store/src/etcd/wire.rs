//! Between etcd's messages and our values, in one place. Pure; it must not know connections.

use bytes::Bytes;
use tonic::{Code, Status};

use super::proto::{
    Compare, DeleteRangeRequest, Event, KeyValue, PutRequest, RangeRequest, RequestOp,
    ResponseHeader, TxnRequest, WatchCreateRequest, WatchRequest,
    compare::{CompareTarget, TargetUnion},
    event::EventType,
    request_op::Request,
    watch_request::RequestUnion,
};
use crate::{Change, Entry, Error, Key, Prefix, Revision};

/// What etcd takes unless it was told otherwise, in bytes.
pub const SERVER_LIMIT: usize = 1536 * 1024;

/// A revision as etcd writes it.
pub const fn number(revision: Revision) -> i64 {
    revision.0.cast_signed()
}

/// A revision that etcd wrote.
pub const fn revision(number: i64) -> Revision {
    Revision(number.cast_unsigned())
}

/// The revision of a reply.
pub fn header(header: Option<&ResponseHeader>) -> Revision {
    revision(header.map_or(0, |header| header.revision))
}

/// A key as etcd has it.
pub fn key_bytes(key: &Key) -> Bytes {
    Bytes::copy_from_slice(key.as_str().as_bytes())
}

/// Our entry of one of etcd's.
///
/// # Errors
/// When its key is not text: someone else's.
pub fn entry(from: KeyValue) -> Result<Entry, Error> {
    Ok(Entry {
        key: key(&from.key)?,
        value: from.value,
        create_revision: revision(from.create_revision),
        mod_revision: revision(from.mod_revision),
        version: from.version.cast_unsigned(),
    })
}

/// Our key of one of etcd's.
///
/// # Errors
/// When it is not text.
pub fn key(bytes: &Bytes) -> Result<Key, Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::Refused {
        operation: "reading",
        reason: format!("etcd holds a key that is not text: {bytes:?}"),
    })?;
    Ok(Key::of_another(text))
}

/// Our change of one of etcd's events.
///
/// # Errors
/// As [`entry`].
pub fn change(event: Event) -> Result<Change, Error> {
    let deleted = event.r#type() == EventType::Delete;
    let current = event.kv.unwrap_or_default();
    let (key, revision) = (key(&current.key)?, revision(current.mod_revision));
    Ok(Change {
        key,
        revision,
        current: if deleted { None } else { Some(entry(current)?) },
        previous: event.prev_kv.map(entry).transpose()?,
    })
}

/// Asks for one key.
pub fn get(key: &Key) -> RangeRequest {
    RangeRequest {
        key: key_bytes(key),
        ..RangeRequest::default()
    }
}

/// Asks for the keys of a prefix, those after `after`.
pub fn range(prefix: &Prefix, after: Option<&Key>) -> RangeRequest {
    let from = match after {
        Some(key) if key.as_str() >= prefix.as_str() => [key.as_str().as_bytes(), &[0]].concat(),
        _ => prefix.as_str().as_bytes().to_vec(),
    };
    RangeRequest {
        key: from.into(),
        range_end: prefix.end().into(),
        ..RangeRequest::default()
    }
}

/// Writes a key if it was modified last at `expected`; `0` if it is not there. Otherwise reads it.
pub fn put(key: &Key, expected: Revision, value: Bytes, lease: i64) -> TxnRequest {
    let put = PutRequest {
        key: key_bytes(key),
        value,
        lease,
    };
    conditional(key, expected, Request::RequestPut(put))
}

/// Removes a key if it was modified last at `expected`. Otherwise reads it.
pub fn remove(key: &Key, expected: Revision) -> TxnRequest {
    let delete = DeleteRangeRequest {
        key: key_bytes(key),
        prev_kv: true,
        ..DeleteRangeRequest::default()
    };
    conditional(key, expected, Request::RequestDeleteRange(delete))
}

fn conditional(key: &Key, expected: Revision, request: Request) -> TxnRequest {
    let compare = Compare {
        target: CompareTarget::Mod.into(),
        key: key_bytes(key),
        target_union: Some(TargetUnion::ModRevision(number(expected))),
        ..Compare::default()
    };
    let op = |request| RequestOp {
        request: Some(request),
    };
    TxnRequest {
        compare: vec![compare],
        success: vec![op(request)],
        failure: vec![op(Request::RequestRange(get(key)))],
    }
}

/// Watches a prefix from the revision after `after`.
pub fn watch(prefix: &Prefix, after: Revision) -> WatchRequest {
    let create = WatchCreateRequest {
        key: Bytes::copy_from_slice(prefix.as_str().as_bytes()),
        range_end: prefix.end().into(),
        start_revision: number(after.next()),
        progress_notify: true,
        prev_kv: true,
        fragment: true,
    };
    WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(create)),
    }
}

/// Asks a watch how far it is.
pub fn progress() -> WatchRequest {
    WatchRequest {
        request_union: Some(RequestUnion::ProgressRequest(Default::default())),
    }
}

/// What an answer that is an error means for `operation`.
pub fn refusal(operation: &'static str, status: &Status) -> Error {
    let reason = status.message().to_owned();
    match status.code() {
        Code::Unavailable | Code::ResourceExhausted => Error::Unavailable { reason },
        _ => Error::Refused { operation, reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_go_on_after_a_key() {
        let check = |after: Option<&str>, from: &[u8]| {
            let prefix = Prefix::new("/registry/pods/").unwrap();
            let after = after.map(|text| Key::new(text).unwrap());
            let range = range(&prefix, after.as_ref());
            assert_eq!(range.key, from);
            assert_eq!(range.range_end, "/registry/pods0");
        };
        check(None, b"/registry/pods/");
        check(Some("/registry/pods/a"), b"/registry/pods/a\0");
        check(Some("/registry/nodes/a"), b"/registry/pods/");
    }

    #[test]
    fn events_become_changes() {
        let kv = |value: &'static str, mod_revision| KeyValue {
            key: Bytes::from_static(b"/registry/a"),
            value: value.into(),
            create_revision: 3,
            mod_revision,
            version: 2,
            lease: 0,
        };
        let event = Event {
            r#type: EventType::Delete.into(),
            kv: Some(kv("", 9)),
            prev_kv: Some(kv("old", 5)),
        };
        let change = change(event).unwrap();
        assert!(change.is_delete());
        assert_eq!(change.revision, Revision(9));
        assert_eq!(change.previous.unwrap().value, "old");
    }
}
