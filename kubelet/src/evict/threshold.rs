//! Thresholds as the configuration sets them: hard and soft, with grace and least reclaim.

use std::collections::BTreeMap;
use std::time::Duration;

use keelson_api::duration::Duration as ApiDuration;
use keelson_api::quantity::Quantity;

use super::Signal;

/// An amount, or a part of the capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// Bytes, inodes or process ids.
    Exact(u64),
    /// Thousandths of a per cent of the capacity.
    MilliPercent(u64),
}

impl Amount {
    /// Reads `100Mi` or `5.5%`. `None` for what means no threshold: 0 % and 100 %.
    fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('%') {
            Some(percent) => {
                let milli = u64::try_from(Quantity::parse(percent).ok()?.milli_value()).ok()?;
                (milli > 0 && milli < 100_000).then_some(Self::MilliPercent(milli))
            }
            None => {
                let amount = u64::try_from(Quantity::parse(text).ok()?.value()).ok()?;
                Some(Self::Exact(amount))
            }
        }
    }

    /// The amount where there is so much in all.
    #[must_use]
    pub fn of(self, capacity: u64) -> u64 {
        match self {
            Self::Exact(amount) => amount,
            Self::MilliPercent(milli) => {
                let part = u128::from(capacity) * u128::from(milli) / 100_000;
                u64::try_from(part).unwrap_or(u64::MAX)
            }
        }
    }
}

/// One threshold: below it something has to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// What it is set on.
    pub signal: Signal,
    /// Below this.
    pub amount: Amount,
    /// How long it may stay below before a pod ends; `None` for a hard threshold: at once.
    pub grace: Option<Duration>,
    /// Once crossed, there must be this much more before it counts as over.
    pub min_reclaim: Option<Amount>,
}

impl Threshold {
    /// Pods end at once, whatever grace they ask for.
    #[must_use]
    pub fn is_hard(&self) -> bool {
        self.grace.is_none()
    }
}

/// The fields of a configuration that set thresholds.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// `evictionHard`.
    pub hard: &'a BTreeMap<String, String>,
    /// `evictionSoft`.
    pub soft: &'a BTreeMap<String, String>,
    /// `evictionSoftGracePeriod`.
    pub soft_grace: &'a BTreeMap<String, String>,
    /// `evictionMinimumReclaim`.
    pub min_reclaim: &'a BTreeMap<String, String>,
    /// What counts beside `hard` (`mergeDefaultEvictionSettings`).
    pub defaults: &'a BTreeMap<String, String>,
    /// `enforceNodeAllocatable` has `pods`: what pods may use together is watched too.
    pub pods_enforced: bool,
}

/// All thresholds, hard ones first. The configuration was checked before: what can't be read is
/// left out.
#[must_use]
pub fn thresholds(settings: Settings<'_>) -> Vec<Threshold> {
    let mut hard = settings.defaults.clone();
    hard.extend(settings.hard.clone());
    let one = |name: &str, text: &str, grace: Option<Duration>| {
        Some(Threshold {
            signal: Signal::from_name(name)?,
            amount: Amount::parse(text)?,
            grace,
            min_reclaim: settings
                .min_reclaim
                .get(name)
                .and_then(|text| Amount::parse(text)),
        })
    };
    let mut all: Vec<Threshold> = hard
        .iter()
        .filter_map(|(name, text)| one(name, text, None))
        .collect();
    let of_memory = all.iter().find(|t| t.signal == Signal::MemoryAvailable);
    if let Some(of_memory) = of_memory.copied().filter(|_| settings.pods_enforced) {
        all.push(Threshold {
            signal: Signal::AllocatableMemoryAvailable,
            ..of_memory
        });
    }
    all.extend(settings.soft.iter().filter_map(|(name, text)| {
        let grace = ApiDuration::parse(settings.soft_grace.get(name)?).ok()?;
        one(name, text, Some(grace.to_std()))
    }));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = entries.iter();
        owned
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn amounts() {
        let check = |text: &str, capacity, expected: Option<u64>| {
            let amount = Amount::parse(text).map(|amount| amount.of(capacity));
            assert_eq!(amount, expected, "{text} of {capacity}");
        };
        check("100Mi", 0, Some(100 << 20));
        check("10%", 1000, Some(100));
        check("5.5%", 1000, Some(55));
        check("50%", u64::MAX, Some(u64::MAX / 2));
        check("0%", 1000, None);
        check("100%", 1000, None);
        check("many", 1000, None);
    }

    #[test]
    fn hard_soft_grace_reclaim_and_what_follows_from_them() {
        let (hard, soft) = (
            map(&[("memory.available", "1Gi"), ("containerfs.available", "5%")]),
            map(&[("nodefs.available", "20%"), ("pid.available", "9")]),
        );
        let settings = Settings {
            hard: &hard,
            soft: &soft,
            soft_grace: &map(&[("nodefs.available", "1m30s"), ("pid.available", "0s")]),
            min_reclaim: &map(&[("memory.available", "10%")]),
            defaults: &map(&[("memory.available", "100Mi"), ("nodefs.available", "10%")]),
            pods_enforced: true,
        };
        let told: Vec<_> = thresholds(settings)
            .iter()
            .map(|t| (t.signal.as_str(), t.amount, t.grace, t.min_reclaim))
            .collect();
        let (gib, tenth) = (Amount::Exact(1 << 30), Amount::MilliPercent(10_000));
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(
            told,
            [
                ("memory.available", gib, None, Some(tenth)),
                ("nodefs.available", tenth, None, None),
                ("allocatableMemory.available", gib, None, Some(tenth)),
                (
                    "nodefs.available",
                    Amount::MilliPercent(20_000),
                    seconds(90),
                    None
                ),
                ("pid.available", Amount::Exact(9), seconds(0), None),
            ]
        );
    }
}
