//! What an attachment holds for masquerading: its addresses, each leading to its subnet's chain. Pure.

use keelson_netlink::Cidr;
use keelson_netlink::nft::object::{Family, add_chain, add_rule, flush_chain};
use keelson_netlink::nft::{Comparison, Data, Expression, Register};
use keelson_netlink::wire::ip_bytes;

use super::chain_name;
use super::claim::Claim;
use super::ruleset::{TABLE, by_family};
use crate::owner::Owner;

/// One claim for each address: what it sends out of its subnet is masqueraded.
#[must_use]
pub fn claims(addresses: &[Cidr], owner: &Owner) -> Vec<Claim> {
    addresses
        .iter()
        .map(|cidr| claim(*cidr, &owner.comment()))
        .collect()
}

fn claim(cidr: Cidr, comment: &str) -> Claim {
    let chain = chain_name::masquerade(cidr);
    let network = cidr.network();
    let leaves = [
        Expression::Address {
            to: Register(0),
            v6: cidr.is_v6(),
            source: false,
        },
        Expression::Mask(Register(0), cidr.mask()),
        Expression::Compare(Register(0), Comparison::NotEqual, ip_bytes(network.addr)),
        Expression::Masquerade,
    ];
    let needs = vec![
        add_chain(Family::Inet, TABLE, &chain),
        flush_chain(Family::Inet, TABLE, &chain),
        add_rule(Family::Inet, TABLE, &chain, &leaves),
    ];
    let set = by_family(cidr.is_v6(), "masquerade4", "masquerade6");
    Claim {
        needs,
        ..Claim::new(set, ip_bytes(cidr.addr), Data::Jump(chain), comment)
    }
}
