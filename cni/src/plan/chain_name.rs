//! Names of nftables chains. Pure.

use keelson_netlink::Cidr;

/// The chain that masquerades what leaves a subnet: `masquerade_10_1_0_0_24`.
#[must_use]
pub fn masquerade(subnet: Cidr) -> String {
    let text = subnet.network().to_string().replace(['.', ':', '/'], "_");
    format!("masquerade_{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_word() {
        for (subnet, name) in [
            ("10.1.2.3/24", "masquerade_10_1_2_0_24"),
            ("fd00::9/64", "masquerade_fd00___64"),
        ] {
            assert_eq!(masquerade(subnet.parse().unwrap()), name);
        }
    }
}
