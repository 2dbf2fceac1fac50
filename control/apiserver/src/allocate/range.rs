//! Ranges of addresses and ports. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;

/// Addresses beyond so many are not handed out: a range of IPv6 may have more than can be counted.
const MOST: u128 = 1 << 20;
/// The lower part of a range, which is used last so that people can choose from it.
const RESERVED: std::ops::RangeInclusive<u128> = 16..=256;

/// A range of addresses: `10.96.0.0/12`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddressRange {
    base: u128,
    size: u128,
    is_v6: bool,
}

impl std::fmt::Display for AddressRange {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bits: u32 = if self.is_v6 { 128 } else { 32 };
        write!(out, "{}/{}", self.at(0), bits - self.size.trailing_zeros())
    }
}

impl AddressRange {
    /// Reads a range.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.trim().split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let length: u32 = length.parse().ok()?;
        let (bits, value, is_v6) = match address {
            IpAddr::V4(address) => (32, u128::from(u32::from(address)), false),
            IpAddr::V6(address) => (128, u128::from(address), true),
        };
        let host = bits - (length <= bits).then_some(length)?;
        let size = 1_u128.checked_shl(host)?;
        Some(Self {
            base: value & !(size - 1),
            size,
            is_v6,
        })
    }

    /// `IPv4` or `IPv6`.
    pub(crate) fn family(&self) -> &'static str {
        if self.is_v6 { "IPv6" } else { "IPv4" }
    }

    /// How many addresses there are to hand out: neither the network's own nor the last of IPv4.
    pub(crate) fn count(&self) -> u128 {
        let last = u128::from(!self.is_v6);
        self.size.saturating_sub(1 + last).min(MOST)
    }

    /// The addresses in the order in which they are tried: from a place in the upper part to its
    /// end, around, and the lower part last.
    pub(crate) fn candidates(&self, random: u64) -> impl Iterator<Item = IpAddr> + use<> {
        let range = *self;
        let count = range.count();
        let reserved = (range.size / 16).clamp(*RESERVED.start(), *RESERVED.end());
        let reserved = if reserved < count { reserved } else { 0 };
        let upper = count - reserved;
        let start = if upper == 0 {
            0
        } else {
            u128::from(random) % upper
        };
        let order = (0..upper).map(move |at| reserved + (start + at) % upper);
        order.chain(0..reserved).map(move |at| range.at(at + 1))
    }

    fn at(&self, offset: u128) -> IpAddr {
        let value = self.base + offset;
        match u32::try_from(value) {
            Ok(value) if !self.is_v6 => Ipv4Addr::from(value).into(),
            _ => Ipv6Addr::from(value).into(),
        }
    }

    /// Whether an address can be handed out.
    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        let value = match address {
            IpAddr::V4(address) if !self.is_v6 => u128::from(u32::from(address)),
            IpAddr::V6(address) if self.is_v6 => u128::from(address),
            _ => return false,
        };
        value > self.base && value - self.base <= self.size.saturating_sub(1)
    }
}

/// The ranges of `ServiceCIDR`s from which addresses may be taken, the cluster's first one before
/// the others: not of those that are going, and not of those that are said not to be ready.
pub(crate) fn of_objects(objects: &[Value]) -> Vec<AddressRange> {
    let mut usable: Vec<_> = objects.iter().filter(|object| is_usable(object)).collect();
    let name = |object: &Value| object["metadata"]["name"].as_str().map(str::to_owned);
    usable.sort_by_key(|object| (name(object).as_deref() != Some("kubernetes"), name(object)));
    let texts = usable
        .into_iter()
        .filter_map(|object| object["spec"]["cidrs"].as_array())
        .flatten();
    texts
        .filter_map(|text| AddressRange::parse(text.as_str()?))
        .collect()
}

fn is_usable(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    let mut ready = conditions
        .into_iter()
        .flatten()
        .filter(|condition| condition["type"] == "Ready");
    object["metadata"]["deletionTimestamp"].is_null()
        && ready.all(|condition| condition["status"] == "True")
}

/// A range of ports: `30000-32767`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// Reads a range.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.trim().split_once('-')?;
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (0 < first && first <= last).then_some(Self { first, last })
    }

    /// Whether a port can be handed out.
    pub(crate) fn holds(&self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// The ports in the order in which they are tried.
    pub(crate) fn candidates(&self, random: u64) -> impl Iterator<Item = u16> + use<> {
        let count = u64::from(self.last - self.first) + 1;
        let first = self.first;
        (0..count).filter_map(move |at| {
            let offset = u16::try_from((random % count + at) % count).ok()?;
            first.checked_add(offset)
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_address_is_tried_once() {
        let range = AddressRange::parse("10.0.0.7/28").unwrap();
        let mut all: Vec<_> = range.candidates(7).collect();
        assert_eq!(all.len(), 14);
        assert_eq!(range.to_string(), "10.0.0.0/28");
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 14);
        assert_eq!(all[0].to_string(), "10.0.0.1");
        assert_eq!(all[13].to_string(), "10.0.0.14");
        let wide = AddressRange::parse("10.96.0.0/12").unwrap();
        let first = wide.candidates(0).next().unwrap();
        assert_eq!(
            first.to_string(),
            "10.96.1.1",
            "the lower part is kept for people"
        );
        assert!(wide.holds("10.111.255.254".parse().unwrap()));
        assert!(!wide.holds("10.96.0.0".parse().unwrap()));
        assert!(!wide.holds("10.112.0.1".parse().unwrap()));
        let v6 = AddressRange::parse("fd00::/108").unwrap();
        assert_eq!(
            (v6.family(), v6.holds("fd00::1".parse().unwrap())),
            ("IPv6", true)
        );
        assert!(AddressRange::parse("10.0.0.0/33").is_none());
    }

    #[test]
    fn ranges_that_can_be_used() {
        let range = |name: &str, cidr: &str, more: Value| {
            json!({"metadata": {"name": name, "deletionTimestamp": more["gone"]}, "spec": {"cidrs": [cidr]},
                "status": {"conditions": [{"type": "Ready", "status": more["ready"]}]}})
        };
        let fine = json!({"ready": "True"});
        let fresh = json!({"metadata": {"name": "b"}, "spec": {"cidrs": ["10.2.0.0/24"]}});
        let objects = [
            range("a", "10.1.0.0/24", fine.clone()),
            fresh,
            range("c", "10.3.0.0/24", json!({"ready": "False"})),
            range("d", "10.4.0.0/24", json!({"ready": "True", "gone": "now"})),
            range("kubernetes", "10.96.0.0/12", fine),
        ];
        let found: Vec<_> = of_objects(&objects)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, ["10.96.0.0/12", "10.1.0.0/24", "10.2.0.0/24"]);
    }

    #[test]
    fn ports() {
        let range = PortRange::parse("30000-30002").unwrap();
        let tried: Vec<_> = range.candidates(1).collect();
        assert_eq!(tried, [30001, 30002, 30000]);
        assert!(range.holds(30002) && !range.holds(30003));
        assert!(PortRange::parse("5-4").is_none());
    }
}
