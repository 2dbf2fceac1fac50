//! OpenAPI documents: built when they are asked for, kept packed.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use keelson_schema::openapi;
use keelson_schema::resource_table::Resource;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use crate::api::Api;
use crate::body::Body;
use crate::failure::{Failure, Outcome};
use crate::handle::discovery;
use crate::handle::path::VERSION;
use crate::kinds::Kind;
use crate::respond::{Reply, header_text, takes_gzip};

/// What Go clients take of version 2, and what such an answer is called: the `@` of the first is
/// not allowed in a media type.
const PROTOBUF: &str = "com.github.proto-openapi.spec.v2";
const PROTOBUF_ANSWER: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// The documents that were asked for, packed, and the state of the kinds they are of.
#[derive(Default)]
pub(crate) struct Documents(Mutex<(u64, HashMap<String, Bytes>)>);

impl Documents {
    fn find(&self, generation: u64, path: &str) -> Option<Bytes> {
        let mut kept = self.0.lock();
        if kept.0 != generation {
            *kept = (generation, HashMap::new());
        }
        kept.1.get(path).cloned()
    }

    fn keep(&self, generation: u64, path: &str, packed: &Bytes) {
        let mut kept = self.0.lock();
        if kept.0 == generation {
            kept.1.insert(path.to_owned(), packed.clone());
        }
    }
}

/// Answers `/openapi/v2`, `/openapi/v3` and what is below it.
pub(crate) fn answer(api: &Api, path: &str, headers: &HeaderMap) -> Outcome<Response<Body>> {
    let path = path.trim_matches('/');
    let generation = api.registry.kinds.generation();
    if path == "openapi/v3" {
        let groups = discovery::groups(api);
        let index = openapi::index(&groups, |root| hash(root, generation));
        return Ok(Reply::value(StatusCode::OK, &index).into_response(headers));
    }
    let in_protobuf =
        path == "openapi/v2" && header_text(headers, header::ACCEPT).contains(PROTOBUF);
    let packed = find_or_build(api, generation, path, in_protobuf)?;
    let reply = |bytes: Bytes| {
        let reply = Reply::json(StatusCode::OK, bytes);
        if in_protobuf {
            reply.typed(PROTOBUF_ANSWER)
        } else {
            reply
        }
    };
    if !takes_gzip(headers) {
        let mut plain = Vec::new();
        let unpacked = GzDecoder::new(&packed[..]).read_to_end(&mut plain);
        unpacked.map_err(Failure::internal)?;
        return Ok(reply(plain.into()).into_response(headers));
    }
    let mut response = reply(packed).into_response(&HeaderMap::new());
    let gzip = HeaderValue::from_static("gzip");
    response
        .headers_mut()
        .insert(header::CONTENT_ENCODING, gzip);
    Ok(response)
}

fn find_or_build(api: &Api, generation: u64, path: &str, in_protobuf: bool) -> Outcome<Bytes> {
    let name = if in_protobuf {
        "openapi/v2 in protobuf"
    } else {
        path
    };
    if let Some(packed) = api.openapi.find(generation, name) {
        return Ok(packed);
    }
    let document = build(api, path)?;
    let packed = if in_protobuf {
        pack(&openapi::v2_protobuf(&document))?
    } else {
        pack(document.to_string().as_bytes())?
    };
    api.openapi.keep(generation, name, &packed);
    Ok(packed)
}

fn build(api: &Api, path: &str) -> Outcome<serde_json::Value> {
    let kinds: Vec<Arc<Kind>> = api.registry.kinds.all();
    let customs: Vec<_> = kinds.iter().filter_map(|kind| kind.definition()).collect();
    let rows = kinds.iter().filter(|kind| !kind.is_custom());
    let rows: Vec<&Resource> = rows.map(|kind| -> &Resource { kind }).collect();
    if path == "openapi/v2" {
        return Ok(openapi::v2(VERSION, rows, customs));
    }
    let parts: Vec<&str> = path.split('/').collect();
    let (group, version) = match *parts.as_slice() {
        ["openapi", "v3", "api", version] => ("", version),
        ["openapi", "v3", "apis", group, version] => (group, version),
        _ => return Err(Failure::unknown_path()),
    };
    let groups = discovery::groups(api);
    let served = groups
        .iter()
        .any(|own| own.name == group && own.versions.iter().any(|own| own == version));
    if !served {
        return Err(Failure::unknown_path());
    }
    Ok(openapi::v3((group, version), VERSION, rows, customs))
}

/// Names the state of a document.
fn hash(root: &str, generation: u64) -> String {
    let digest = Sha256::digest(format!("{VERSION} {root} {generation}"));
    hex::encode_upper(&digest[..16])
}

fn pack(bytes: &[u8]) -> Outcome<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).map_err(Failure::internal)?;
    Ok(encoder.finish().map_err(Failure::internal)?.into())
}
