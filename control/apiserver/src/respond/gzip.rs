//! Packs a body block by block, so that a long list is never there twice.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{StreamExt as _, stream};

use crate::body::{Blocks, Body, BodyError};

enum Packing {
    Going(Blocks, GzEncoder<Vec<u8>>),
    Done,
}

/// The same bytes, packed.
pub(super) fn pack(body: Body) -> Body {
    let encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let start = Packing::Going(body.into_blocks(), encoder);
    Body::blocks(stream::unfold(start, next))
}

async fn next(state: Packing) -> Option<(Result<Bytes, BodyError>, Packing)> {
    let Packing::Going(mut blocks, mut encoder) = state else {
        return None;
    };
    loop {
        match blocks.next().await {
            Some(Ok(block)) => {
                if let Err(error) = encoder.write_all(&block) {
                    return Some((Err(error.into()), Packing::Done));
                }
                let packed = std::mem::take(encoder.get_mut());
                if !packed.is_empty() {
                    return Some((Ok(packed.into()), Packing::Going(blocks, encoder)));
                }
            }
            Some(Err(error)) => return Some((Err(error), Packing::Done)),
            None => {
                let rest = encoder.finish().map(Bytes::from);
                return Some((rest.map_err(Into::into), Packing::Done));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[tokio::test]
    async fn what_is_packed_is_unpacked_again() {
        let blocks = (0..100).map(|at| Bytes::from(format!("block {at}\n")));
        let plain: Vec<u8> = blocks.clone().flatten().collect();
        let mut packed = Vec::new();
        let mut out = pack(Body::iterator(blocks)).into_blocks();
        while let Some(block) = out.next().await {
            packed.extend_from_slice(&block.unwrap());
        }
        let mut unpacked = Vec::new();
        let mut reader = flate2::read::GzDecoder::new(&packed[..]);
        reader.read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, plain);
    }
}
