//! An IP address with its prefix length: parsing, masking and containment. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address and the length of its network prefix, written `10.1.2.3/24` or `fd00::3/64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr {
    /// The address; host bits are kept.
    pub addr: IpAddr,
    /// Prefix length in bits, at most 32 or 128.
    pub prefix: u8,
}

/// Why a text is no CIDR.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// No slash in the text.
    #[error("{0:?} has no prefix length: write it as ADDRESS/BITS")]
    NoPrefix(String),
    /// The part before the slash is no address.
    #[error("{0:?} is not an IP address")]
    BadAddress(String),
    /// The part after the slash is no number, or too large for the family.
    #[error("prefix length {0:?} does not fit the address family")]
    BadPrefix(String),
}

impl Cidr {
    /// An address with its prefix; `None` where the prefix is longer than the address.
    #[must_use]
    pub fn new(addr: IpAddr, prefix: u8) -> Option<Self> {
        (prefix <= bits(addr)).then_some(Self { addr, prefix })
    }

    /// The address alone: a /32 or /128.
    #[must_use]
    pub fn host(addr: IpAddr) -> Self {
        Self {
            addr,
            prefix: bits(addr),
        }
    }

    /// Everything of one family: `0.0.0.0/0` or `::/0`.
    #[must_use]
    pub fn everything(v6: bool) -> Self {
        let addr = if v6 {
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            Ipv4Addr::UNSPECIFIED.into()
        };
        Self { addr, prefix: 0 }
    }

    /// Whether this is an IPv6 address.
    #[must_use]
    pub fn is_v6(&self) -> bool {
        self.addr.is_ipv6()
    }

    /// The same prefix with all host bits zero.
    #[must_use]
    pub fn network(&self) -> Self {
        let addr = from_number(
            to_number(self.addr) & self.mask_number(),
            self.addr.is_ipv6(),
        );
        Self {
            addr,
            prefix: self.prefix,
        }
    }

    /// The netmask as an address.
    #[must_use]
    pub fn mask(&self) -> IpAddr {
        from_number(self.mask_number(), self.addr.is_ipv6())
    }

    /// Whether `addr` is of this family and inside this network.
    #[must_use]
    pub fn contains(&self, addr: IpAddr) -> bool {
        addr.is_ipv6() == self.addr.is_ipv6()
            && (to_number(addr) ^ to_number(self.addr)) & self.mask_number() == 0
    }

    /// The last address of the network, all host bits one.
    #[must_use]
    pub fn last(&self) -> IpAddr {
        let all = if self.is_v6() {
            u128::MAX
        } else {
            u128::from(u32::MAX)
        };
        from_number(
            to_number(self.addr) | (all & !self.mask_number()),
            self.is_v6(),
        )
    }

    fn mask_number(&self) -> u128 {
        let width = u32::from(bits(self.addr));
        let all = if width == 32 {
            u128::from(u32::MAX)
        } else {
            u128::MAX
        };
        let host = width - u32::from(self.prefix).min(width);
        all & all.checked_shl(host).unwrap_or(0)
    }
}

/// Bits in an address of this family.
#[must_use]
pub fn bits(addr: IpAddr) -> u8 {
    if addr.is_ipv6() { 128 } else { 32 }
}

/// The address as a number, for arithmetic.
#[must_use]
pub fn to_number(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The address of a number; an IPv4 number beyond 32 bits is cut to its low 32 bits.
#[must_use]
pub fn from_number(number: u128, v6: bool) -> IpAddr {
    if v6 {
        return Ipv6Addr::from_bits(number).into();
    }
    let bytes = number.to_be_bytes();
    Ipv4Addr::new(bytes[12], bytes[13], bytes[14], bytes[15]).into()
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (addr, prefix) = text
            .split_once('/')
            .ok_or_else(|| CidrError::NoPrefix(text.to_owned()))?;
        let addr: IpAddr = addr
            .parse()
            .map_err(|_| CidrError::BadAddress(addr.to_owned()))?;
        prefix
            .parse()
            .ok()
            .and_then(|length| Self::new(addr, length))
            .ok_or_else(|| CidrError::BadPrefix(prefix.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn masks_both_families() {
        for (text, network, last, mask) in [
            ("10.1.2.3/24", "10.1.2.0/24", "10.1.2.255", "255.255.255.0"),
            ("10.1.2.3/0", "0.0.0.0/0", "255.255.255.255", "0.0.0.0"),
            ("10.1.2.3/32", "10.1.2.3/32", "10.1.2.3", "255.255.255.255"),
            (
                "fd00::1:3/64",
                "fd00::/64",
                "fd00::ffff:ffff:ffff:ffff",
                "ffff:ffff:ffff:ffff::",
            ),
            (
                "::1/0",
                "::/0",
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                "::",
            ),
        ] {
            assert_eq!(cidr(text).network().to_string(), network);
            assert_eq!(cidr(text).last().to_string(), last);
            assert_eq!(cidr(text).mask().to_string(), mask);
        }
    }

    #[test]
    fn contains_keeps_to_its_family() {
        assert!(cidr("10.1.0.0/16").contains("10.1.9.9".parse().unwrap()));
        assert!(!cidr("10.1.0.0/16").contains("10.2.0.1".parse().unwrap()));
        assert!(!cidr("0.0.0.0/0").contains("::1".parse().unwrap()));
    }

    #[test]
    fn refuses_what_is_no_cidr() {
        for text in [
            "10.0.0.1",
            "10.0.0/8",
            "10.0.0.0/33",
            "::/129",
            "::/-1",
            "/8",
            "",
        ] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }
}
