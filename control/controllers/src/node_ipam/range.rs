//! Ranges of addresses: reading them, and finding free ones of one size in a larger one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why a range is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// The text is not an address and a length.
    #[error("{0:?} is no range of addresses: write one as 10.244.0.0/16")]
    Form(String),
    /// Nodes' ranges do not fit.
    #[error("a node's range of /{size} does not fit into {cluster}")]
    Size {
        /// The length of a node's range.
        size: u8,
        /// The cluster's range.
        cluster: String,
    },
    /// More or less than one range of a family, or none at all.
    #[error("--cluster-cidr takes one range, or one of each family")]
    Families,
}

/// A range of addresses of one family, aligned to its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first address as a number.
    first: u128,
    /// How many leading bits are fixed.
    length: u8,
    is_v4: bool,
}

impl Range {
    /// Reads `10.0.0.0/8` or `fd00::/48`. Bits beyond the length are dropped.
    ///
    /// # Errors
    /// The text is something else.
    pub fn read(text: &str) -> Result<Self, RangeError> {
        let form = || RangeError::Form(text.to_owned());
        let (address, length) = text.split_once('/').ok_or_else(form)?;
        let address: IpAddr = address.parse().map_err(|_| form())?;
        let length: u8 = length.parse().map_err(|_| form())?;
        let (number, is_v4) = match address {
            IpAddr::V4(address) => (u128::from(u32::from(address)), true),
            IpAddr::V6(address) => (u128::from(address), false),
        };
        let range = Self {
            first: number,
            length,
            is_v4,
        };
        if length > range.bits() {
            return Err(form());
        }
        Ok(Self {
            first: number - number % range.size().unwrap_or(u128::MAX),
            ..range
        })
    }

    fn bits(self) -> u8 {
        if self.is_v4 { 32 } else { 128 }
    }

    /// How many addresses; `None` for all of IPv6.
    fn size(self) -> Option<u128> {
        1u128.checked_shl(u32::from(self.bits() - self.length))
    }

    fn last(self) -> u128 {
        self.size()
            .map_or(u128::MAX, |size| self.first + (size - 1))
    }

    /// The range of one address.
    ///
    /// # Errors
    /// The text is no address.
    pub fn of_address(text: &str) -> Result<Self, RangeError> {
        let length = if text.contains(':') { 128 } else { 32 };
        Self::read(&format!("{text}/{length}"))
    }

    /// Whether another range is all in this one.
    #[must_use]
    pub fn holds(self, other: Self) -> bool {
        self.is_v4 == other.is_v4 && self.first <= other.first && other.last() <= self.last()
    }

    /// Whether two ranges share addresses.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.is_v4 == other.is_v4 && self.first <= other.last() && other.first <= self.last()
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match u32::try_from(self.first) {
            Ok(number) if self.is_v4 => write!(f, "{}/{}", Ipv4Addr::from(number), self.length),
            _ => write!(f, "{}/{}", Ipv6Addr::from(self.first), self.length),
        }
    }
}

/// The wanted lengths of nodes' ranges; 0 where nothing was said.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// For a cluster of one family.
    pub any: u8,
    /// For IPv4.
    pub v4: u8,
    /// For IPv6.
    pub v6: u8,
}

/// A range and the length of the parts that are given out.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    cluster: Range,
    size: u8,
}

impl Pool {
    /// The parts that share no address with those that are used, in order.
    pub fn free(self, used: &[Range]) -> impl Iterator<Item = Range> {
        let mut used: Vec<Range> = used
            .iter()
            .copied()
            .filter(|range| range.overlaps(self.cluster))
            .collect();
        used.sort_by_key(|range| range.first);
        let step = 1u128 << (self.cluster.bits() - self.size);
        let mut next = Some(self.cluster.first);
        std::iter::from_fn(move || {
            loop {
                let first = next.filter(|first| *first <= self.cluster.last())?;
                let part = Range {
                    first,
                    length: self.size,
                    is_v4: self.cluster.is_v4,
                };
                let taken = used.iter().filter(|range| range.overlaps(part));
                let Some(after) = taken.map(|range| range.last()).max() else {
                    next = first.checked_add(step);
                    return Some(part);
                };
                // The next part that begins behind what is taken.
                let end = after.max(part.last());
                next = end
                    .checked_add(1)
                    .and_then(|at| at.checked_next_multiple_of(step));
            }
        })
    }
}

/// The pools of a cluster: one, or one of each family.
///
/// # Errors
/// A range can't be read, parts don't fit, or families are doubled.
pub fn pools(clusters: &[String], sizes: Sizes) -> Result<Vec<Pool>, RangeError> {
    let clusters = read_all(clusters)?;
    let single = clusters.len() == 1;
    let both = clusters.len() == 2 && clusters[0].is_v4 != clusters[1].is_v4;
    if !single && !both {
        return Err(RangeError::Families);
    }
    let pool = |cluster: &Range| {
        let (own, usual) = if cluster.is_v4 {
            (sizes.v4, 24)
        } else {
            (sizes.v6, 64)
        };
        let any = if single { sizes.any } else { 0 };
        let size = [own, any, usual]
            .into_iter()
            .find(|size| *size > 0)
            .unwrap_or(usual);
        if size < cluster.length || size > cluster.bits() || size == 0 {
            return Err(RangeError::Size {
                size,
                cluster: cluster.to_string(),
            });
        }
        Ok(Pool {
            cluster: *cluster,
            size,
        })
    };
    clusters.iter().map(pool).collect()
}

/// Reads several ranges.
///
/// # Errors
/// One of them can't be read.
pub fn read_all(texts: &[String]) -> Result<Vec<Range>, RangeError> {
    texts.iter().map(|text| Range::read(text)).collect()
}

#[cfg(test)]
mod tests {
    use super::{Range, RangeError, Sizes, pools};

    #[test]
    fn ranges_are_read_and_written() {
        let check = |text: &str, expected: Option<&str>| {
            let read = Range::read(text).ok().map(|range| range.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        };
        check("10.244.0.0/16", Some("10.244.0.0/16"));
        check("10.244.3.7/16", Some("10.244.0.0/16"));
        check("0.0.0.0/0", Some("0.0.0.0/0"));
        check("fd00:1::/48", Some("fd00:1::/48"));
        check("::/0", Some("::/0"));
        check("10.0.0.0", None);
        check("10.0.0.0/33", None);
        check("x/8", None);
    }

    #[test]
    fn pools_fit_and_are_one_per_family() {
        let check = |clusters: &[&str], sizes: (u8, u8, u8), expected: Result<&str, RangeError>| {
            let texts: Vec<_> = clusters.iter().map(|text| (*text).to_owned()).collect();
            let (any, v4, v6) = sizes;
            let found = pools(&texts, Sizes { any, v4, v6 });
            let first = found.map(|all| {
                let firsts = all
                    .iter()
                    .map(|pool| pool.free(&[]).next().unwrap().to_string());
                firsts.collect::<Vec<_>>().join(" ")
            });
            assert_eq!(first.as_deref().map_err(Clone::clone), expected);
        };
        check(&["10.0.0.0/8"], (0, 0, 0), Ok("10.0.0.0/24"));
        check(&["10.0.0.0/8"], (20, 0, 0), Ok("10.0.0.0/20"));
        check(
            &["10.0.0.0/8", "fd00::/48"],
            (0, 26, 80),
            Ok("10.0.0.0/26 fd00::/80"),
        );
        check(
            &["10.0.0.0/8", "11.0.0.0/8"],
            (0, 0, 0),
            Err(RangeError::Families),
        );
        check(&[], (0, 0, 0), Err(RangeError::Families));
        let cluster = "10.0.0.0/26".to_owned();
        check(
            &["10.0.0.0/26"],
            (0, 0, 0),
            Err(RangeError::Size { size: 24, cluster }),
        );
    }

    #[test]
    fn free_parts_avoid_used_ones_of_any_size() {
        let texts = ["10.0.0.0/16".to_owned()];
        let pool = pools(
            &texts,
            Sizes {
                any: 0,
                v4: 0,
                v6: 0,
            },
        )
        .unwrap()[0];
        let used = ["10.0.0.0/22", "10.0.5.128/25", "10.0.7.0/24", "11.0.0.0/8"];
        let used: Vec<_> = used.iter().map(|text| Range::read(text).unwrap()).collect();
        let free: Vec<_> = pool
            .free(&used)
            .take(3)
            .map(|range| range.to_string())
            .collect();
        assert_eq!(free, ["10.0.4.0/24", "10.0.6.0/24", "10.0.8.0/24"]);
        let all = [Range::read("10.0.0.0/8").unwrap()];
        assert_eq!(pool.free(&all).next(), None);
        assert_eq!(pool.free(&[]).count(), 256);
    }
}
