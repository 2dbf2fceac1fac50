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
use crate::respond::{Reply, takes_gzip};

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
    let packed = match api.openapi.find(generation, path) {
        Some(packed) => packed,
        None => {
            let document = build(api, path)?;
            let packed = pack(document.to_string().as_bytes())?;
            api.openapi.keep(generation, path, &packed);
            packed
        }
    };
    if !takes_gzip(headers) {
        let mut plain = Vec::new();
        let unpacked = GzDecoder::new(&packed[..]).read_to_end(&mut plain);
        unpacked.map_err(Failure::internal)?;
        return Ok(Reply::json(StatusCode::OK, plain).into_response(headers));
    }
    let mut response = Reply::json(StatusCode::OK, packed).into_response(&HeaderMap::new());
    let gzip = HeaderValue::from_static("gzip");
    response
        .headers_mut()
        .insert(header::CONTENT_ENCODING, gzip);
    Ok(response)
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
