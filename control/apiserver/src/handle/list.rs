//! All objects that are meant: from the cache, or page by page from the store.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{BufMut as _, Bytes, BytesMut};
use hyper::StatusCode;
use keelson_store::{Key, List, Prefix, Revision};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::api::Api;
use crate::body::Body;
use crate::failure::{Failure, Outcome};
use crate::handle::options::{ListOptions, Wanted};
use crate::handle::{Call, present};
use crate::object::Version;
use crate::respond::Reply;
use crate::selection::Selection;
use crate::watch_cache::{of_store, split_key};

/// Objects are written in blocks of about this size.
const BLOCK: usize = 64 * 1024;
/// Entries read at once while a selector is looked for.
const PAGE: usize = 500;
const TOKEN_VERSION: &str = "meta.k8s.io/v1";

/// A list and where it goes on.
pub(crate) struct Listed {
    pub(crate) versions: Vec<Arc<Version>>,
    pub(crate) revision: u64,
    /// The token of the next page.
    next: Option<String>,
    remaining: Option<u64>,
}

/// Lists.
pub(crate) async fn answer(api: &Api, call: &Call) -> Outcome<Reply> {
    let listed = list(api, call).await?;
    if present::is_plain(&call.kind, call.output) && !call.output.pretty {
        return Ok(streamed(call, listed));
    }
    let objects = listed
        .versions
        .iter()
        .map(|version| present::parse(&version.body));
    let objects: Vec<Value> = objects.collect::<Outcome<_>>()?;
    let list = present::list(call, objects, list_metadata(&listed));
    Ok(present::written(call.output, StatusCode::OK, &list))
}

/// Finds what is meant.
pub(crate) async fn list(api: &Api, call: &Call) -> Outcome<Listed> {
    let options = ListOptions::read(&call.query, false)?;
    let selection = selection(call)?;
    let paged = options.limit > 0 && options.wanted != Wanted::Any;
    match options.wanted {
        _ if options.token.is_some() || paged => paged_list(api, call, &options, &selection).await,
        Wanted::Exactly(_) => paged_list(api, call, &options, &selection).await,
        _ => cached(api, call, &options, &selection).await,
    }
}

/// The selectors of a request.
pub(crate) fn selection(call: &Call) -> Outcome<Selection> {
    let query = &call.query;
    let (labels, fields) = (query.value("labelSelector"), query.value("fieldSelector"));
    Selection::parse(call.namespace(), labels, fields, &call.kind.fields)
}

async fn cached(
    api: &Api,
    call: &Call,
    options: &ListOptions,
    selection: &Selection,
) -> Outcome<Listed> {
    let cache = api.registry.cache(&call.kind).await?;
    let caches = &api.registry.caches;
    match options.wanted {
        Wanted::NotOlderThan(revision) => caches.wait_for(revision).await?,
        Wanted::Any => {}
        _ => drop(caches.catch_up().await?),
    }
    let found = cache.select(selection, caches.progress());
    Ok(Listed {
        versions: found.versions,
        revision: found.revision,
        next: None,
        remaining: None,
    })
}

/// Where a list goes on: opaque to clients.
#[derive(Serialize, Deserialize)]
struct Token {
    v: String,
    /// The revision that all pages are of; -1 for the newest.
    rv: i64,
    /// The last key of the page before.
    start: String,
}

impl Token {
    fn encode(revision: i64, start: &str) -> String {
        let token = Self {
            v: TOKEN_VERSION.to_owned(),
            rv: revision,
            start: start.to_owned(),
        };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
    }

    fn decode(text: &str) -> Outcome<Self> {
        let invalid = || Failure::bad_request("continue key is not valid");
        let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('='));
        let token: Self =
            serde_json::from_slice(&bytes.map_err(|_| invalid())?).map_err(|_| invalid())?;
        let usable = token.v == TOKEN_VERSION && !token.start.is_empty() && token.rv >= -1;
        usable.then_some(token).ok_or_else(invalid)
    }
}

async fn paged_list(
    api: &Api,
    call: &Call,
    options: &ListOptions,
    selection: &Selection,
) -> Outcome<Listed> {
    let token = options.token.as_deref().map(Token::decode).transpose()?;
    let mut at = match (&token, options.wanted) {
        (Some(token), _) => u64::try_from(token.rv).ok().filter(|rv| *rv > 0),
        (None, Wanted::Exactly(revision)) => Some(revision),
        _ => None,
    };
    let mut after = token.map(|token| token.start);
    let limit = if options.limit == 0 {
        usize::MAX
    } else {
        options.limit
    };
    let mut versions: Vec<Arc<Version>> = Vec::new();
    loop {
        let missing = limit - versions.len();
        let count = if selection.is_everything() {
            missing
        } else {
            missing.max(PAGE)
        };
        let list = page_request(call, after.as_deref(), count, at)?;
        let page = api.registry.store.list(list).await;
        let page = page.map_err(|error| expired(error, after.as_deref()))?;
        at = Some(page.revision.0);
        let mut left_over = 0;
        for entry in &page.entries {
            if versions.len() == limit {
                left_over += 1;
                continue;
            }
            let Some((_, key)) = split_key(entry.key.as_str()) else {
                continue;
            };
            let version = Version::new(key, entry.mod_revision.0, &entry.value, &call.kind.fields);
            after = Some(key.to_owned());
            if selection.matches(&version) {
                versions.push(Arc::new(version));
            }
        }
        let remaining = page.remaining + left_over;
        if remaining == 0 || versions.len() == limit {
            return Ok(finish(versions, page.revision, after, remaining, selection));
        }
    }
}

fn finish(
    versions: Vec<Arc<Version>>,
    Revision(revision): Revision,
    after: Option<String>,
    remaining: u64,
    selection: &Selection,
) -> Listed {
    let more = remaining > 0;
    let rv = i64::try_from(revision).unwrap_or(-1);
    Listed {
        versions,
        revision,
        next: after
            .filter(|_| more)
            .map(|start| Token::encode(rv, &start)),
        remaining: (more && selection.is_everything()).then_some(remaining),
    }
}

fn page_request(call: &Call, after: Option<&str>, count: usize, at: Option<u64>) -> Outcome<List> {
    let namespace = call.namespace();
    let inside = if namespace.is_empty() {
        call.kind.prefix.to_string()
    } else {
        format!("{}{namespace}/", call.kind.prefix)
    };
    let prefix = Prefix::new(inside).map_err(|error| Failure::bad_request(error.to_string()))?;
    let mut list = List::all(prefix).limit(if count == usize::MAX { 0 } else { count });
    if let Some(after) = after {
        let key = Key::new(format!("{}{after}", call.kind.prefix));
        list = list.after(key.map_err(|_| Failure::bad_request("continue key is not valid"))?);
    }
    if let Some(at) = at {
        list = list.at(Revision(at));
    }
    Ok(list)
}

/// The refusal of a page whose revision is gone carries a token that goes on with the newest state.
fn expired(error: keelson_store::Error, after: Option<&str>) -> Failure {
    let (keelson_store::Error::Compacted { .. }, Some(after)) = (&error, after) else {
        return of_store(error);
    };
    let failure = Failure::expired(
        "The provided continue parameter is too old to display a consistent list result. Start a new list, or use the continue token of this response to go on with an inconsistent one.",
    );
    let mut status = failure.status().clone();
    status.metadata.continue_ = Some(Token::encode(-1, after));
    Failure::of(status)
}

/// The list's own fields, up to the items.
fn head(call: &Call, listed: &Listed) -> String {
    let metadata = list_metadata(listed);
    let (kind, version) = (&call.kind.list_kind, call.kind.api_version());
    let head = json!({"kind": kind, "apiVersion": version, "metadata": metadata});
    let mut text = head.to_string();
    text.pop();
    text.push_str(",\"items\":[");
    text
}

fn list_metadata(listed: &Listed) -> Value {
    let mut metadata = json!({"resourceVersion": listed.revision.to_string()});
    if let Some(next) = &listed.next {
        metadata["continue"] = next.as_str().into();
    }
    if let Some(remaining) = listed.remaining {
        metadata["remainingItemCount"] = remaining.into();
    }
    metadata
}

/// Stored bytes, one after the other.
fn streamed(call: &Call, listed: Listed) -> Reply {
    let head = head(call, &listed);
    let size: usize = listed
        .versions
        .iter()
        .map(|version| version.body.len() + 1)
        .sum();
    let blocks = Blocks {
        head: Some(head),
        versions: listed.versions.into_iter(),
        first: true,
        done: false,
    };
    if size <= BLOCK {
        let whole: Vec<u8> = blocks.flatten().collect();
        return Reply::json(StatusCode::OK, whole);
    }
    Reply::stream(Body::iterator(blocks), size)
}

struct Blocks {
    head: Option<String>,
    versions: std::vec::IntoIter<Arc<Version>>,
    first: bool,
    done: bool,
}

impl Iterator for Blocks {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.done {
            return None;
        }
        let mut block = BytesMut::with_capacity(BLOCK);
        block.put_slice(self.head.take().unwrap_or_default().as_bytes());
        while block.len() < BLOCK {
            let Some(version) = self.versions.next() else {
                block.put_slice(b"]}\n");
                self.done = true;
                break;
            };
            if !std::mem::take(&mut self.first) {
                block.put_u8(b',');
            }
            block.put_slice(&version.body);
        }
        Some(block.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_back_or_refused() {
        let token = Token::decode(&Token::encode(7, "a/b")).unwrap();
        assert_eq!((token.rv, token.start.as_str()), (7, "a/b"));
        assert!(Token::decode("x").is_err());
        assert!(Token::decode(&Token::encode(7, "")).is_err());
    }
}
