//! What an attachment holds against forged hardware addresses. Pure.

use keelson_netlink::nft::Data;
use keelson_netlink::route::link::Mac;

use super::claim::{Claim, concatenate};
use crate::owner::Owner;

const NAME_BYTES: usize = 16;

/// The port is guarded, and only this hardware address may send from it.
#[must_use]
pub fn claims(port: &str, mac: Mac, owner: &Owner) -> Vec<Claim> {
    let mut name = port.as_bytes().to_vec();
    name.resize(NAME_BYTES, 0);
    let comment = owner.comment();
    let pair = concatenate(&[&name, &mac.0]);
    vec![
        Claim::new("allowed", pair, Data::None, &comment),
        Claim::new("guarded", name, Data::None, &comment),
    ]
}
