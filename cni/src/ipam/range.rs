//! Ranges of addresses and sets of them. Pure.

use std::net::IpAddr;

use keelson_netlink::Cidr;
use keelson_netlink::cidr::{bits, from_number, to_number};

/// A part of a subnet to take addresses from, ends included, and the subnet's gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The subnet.
    pub subnet: Cidr,
    /// First address.
    pub first: IpAddr,
    /// Last address.
    pub last: IpAddr,
    /// The gateway, which is never handed out.
    pub gateway: IpAddr,
}

/// Why a range or set makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// The subnet has fewer than four addresses.
    #[error("{0} is too small to allocate from")]
    TooSmall(Cidr),
    /// The subnet has host bits.
    #[error("{0} has host bits set, the network address is {1}")]
    HostBits(Cidr, Cidr),
    /// The start is outside the subnet.
    #[error("{0} is not in {1}")]
    StartOutside(IpAddr, Cidr),
    /// The end is outside the subnet.
    #[error("{0} is not in {1}")]
    EndOutside(IpAddr, Cidr),
    /// The end comes before the start.
    #[error("{1} comes before the start {0}")]
    Reversed(IpAddr, IpAddr),
    /// The gateway is of the other family.
    #[error("{0} is not of the family of {1}")]
    GatewayFamily(IpAddr, Cidr),
    /// A set without ranges.
    #[error("is an empty range set")]
    Empty,
    /// A set of both families.
    #[error("mixes IPv4 and IPv6 in one range set")]
    MixedFamilies,
    /// Two ranges of a set share addresses.
    #[error("ranges {0} and {1} overlap")]
    Overlap(usize, usize),
}

impl RangeError {
    /// The field of the configuration that is wrong.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::StartOutside(..) => "rangeStart",
            Self::EndOutside(..) | Self::Reversed(..) => "rangeEnd",
            Self::GatewayFamily(..) => "gateway",
            _ => "subnet",
        }
    }
}

impl Range {
    /// A checked range; what is not given is the whole subnet but its network and (IPv4) broadcast
    /// address, and its first address as the gateway.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(
        subnet: Cidr,
        first: Option<IpAddr>,
        last: Option<IpAddr>,
        gateway: Option<IpAddr>,
    ) -> Result<Self, RangeError> {
        let v6 = subnet.is_v6();
        if subnet.prefix > bits(subnet.addr) - 2 {
            return Err(RangeError::TooSmall(subnet));
        }
        if subnet.network() != subnet {
            return Err(RangeError::HostBits(subnet, subnet.network()));
        }
        let lowest = from_number(to_number(subnet.addr) + 1, v6);
        let highest = from_number(to_number(subnet.last()) - u128::from(!v6), v6);
        let range = Self {
            subnet,
            first: first.unwrap_or(lowest),
            last: last.unwrap_or(highest),
            gateway: gateway.unwrap_or(lowest),
        };
        if !subnet.contains(range.first) {
            return Err(RangeError::StartOutside(range.first, subnet));
        }
        if !subnet.contains(range.last) {
            return Err(RangeError::EndOutside(range.last, subnet));
        }
        if range.last < range.first {
            return Err(RangeError::Reversed(range.first, range.last));
        }
        if range.gateway.is_ipv6() != v6 {
            return Err(RangeError::GatewayFamily(range.gateway, subnet));
        }
        Ok(range)
    }

    /// Whether the address may be handed out from here, were it not the gateway.
    #[must_use]
    pub fn contains(&self, addr: IpAddr) -> bool {
        addr.is_ipv6() == self.first.is_ipv6() && (self.first..=self.last).contains(&addr)
    }

    /// The address with the subnet's prefix.
    #[must_use]
    pub fn cidr(&self, addr: IpAddr) -> Cidr {
        Cidr {
            addr,
            prefix: self.subnet.prefix,
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.first) || other.contains(self.first)
    }
}

/// Ranges of one family that one address is taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeSet(Vec<Range>);

impl RangeSet {
    /// A checked set.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(ranges: Vec<Range>) -> Result<Self, RangeError> {
        let first = ranges.first().ok_or(RangeError::Empty)?;
        if ranges
            .iter()
            .any(|r| r.subnet.is_v6() != first.subnet.is_v6())
        {
            return Err(RangeError::MixedFamilies);
        }
        for (a, one) in ranges.iter().enumerate() {
            if let Some(b) = ranges[a + 1..].iter().position(|other| one.overlaps(other)) {
                return Err(RangeError::Overlap(a, a + 1 + b));
            }
        }
        Ok(Self(ranges))
    }

    /// The ranges, at least one.
    #[must_use]
    pub fn ranges(&self) -> &[Range] {
        &self.0
    }

    /// The range that holds an address.
    #[must_use]
    pub fn range_of(&self, addr: IpAddr) -> Option<&Range> {
        self.0.iter().find(|range| range.contains(addr))
    }

    /// Whether two sets share addresses.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.0.iter().any(|a| other.0.iter().any(|b| a.overlaps(b)))
    }

    /// The set for messages: `10.0.0.1-10.0.0.254,...`.
    #[must_use]
    pub fn describe(&self) -> String {
        let each = |range: &Range| format!("{}-{}", range.first, range.last);
        self.0.iter().map(each).collect::<Vec<_>>().join(",")
    }
}
