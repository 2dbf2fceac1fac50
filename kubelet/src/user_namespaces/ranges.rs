//! Which ids of the host stand behind which pod: ranges of equal length that never overlap.
//!
//! Pure: reads no file. A range is taken once and kept until it is released; the next one handed
//! out is the one that was free the longest, so that files which a pod left behind do not soon
//! belong to another.

use std::collections::BTreeMap;

/// The unit of a pod's ids: what 16 bits can name.
pub const UNIT: u32 = 1 << 16;

/// Equally many user and group ids, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IdRange {
    /// The id of the host that is 0 inside.
    pub first: u32,
    /// How many.
    pub length: u32,
}

/// Why ids of the host can't be divided among pods.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangesError {
    /// The ids do not begin at a multiple of a pod's share.
    #[error(
        "the ids of user kubelet begin at {first}: begin them at a multiple of \
         userNamespaces.idsPerPod ({per_pod}) in /etc/subuid and /etc/subgid"
    )]
    Begin {
        /// Where they begin.
        first: u32,
        /// Ids of one pod.
        per_pod: u32,
    },
    /// Ids that the host itself uses would be given to pods.
    #[error(
        "the ids of user kubelet begin at {first}, among those of the host: begin them at \
         {per_pod} or above in /etc/subuid and /etc/subgid"
    )]
    OfTheHost {
        /// Where they begin.
        first: u32,
        /// Ids of one pod.
        per_pod: u32,
    },
    /// The ids do not make whole shares.
    #[error(
        "user kubelet has {length} ids: make it a multiple of userNamespaces.idsPerPod ({per_pod})"
    )]
    Length {
        /// How many there are.
        length: u32,
        /// Ids of one pod.
        per_pod: u32,
    },
    /// There are fewer shares than pods.
    #[error(
        "user kubelet has ids for {shares} pods, maxPods is {pods}: give it more, or run fewer"
    )]
    TooFew {
        /// Shares that there are.
        shares: u32,
        /// `maxPods`.
        pods: u32,
    },
}

/// Why a pod has no range, or not the one that it says it has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// Every range is taken.
    #[error("all {0} ranges of user ids are taken by other pods")]
    Exhausted(u32),
    /// The range is none that this node hands out.
    #[error("ids {}+{} are no range of this node: were userNamespaces.idsPerPod or the ids of user kubelet changed?", .0.first, .0.length)]
    Foreign(IdRange),
    /// Another pod has the range.
    #[error("ids {}+{} are taken by pod {holder}", .range.first, .range.length)]
    Taken {
        /// The range.
        range: IdRange,
        /// Who has it.
        holder: String,
    },
}

/// Ranges and who has them.
#[derive(Clone, Debug)]
pub struct Ranges {
    /// Number of the first range, counted from id 0.
    first: u32,
    count: u32,
    per_pod: u32,
    /// Taken ranges, counted from `first`, and whose they are.
    taken: BTreeMap<u32, String>,
    /// Where the search for a free one goes on.
    next: u32,
}

impl Ranges {
    /// Divides the ids of `all` into shares of `per_pod`, enough for `pods`.
    ///
    /// # Errors
    /// When they can't be divided evenly and safely.
    pub fn new(all: IdRange, per_pod: u32, pods: u32) -> Result<Self, RangesError> {
        let IdRange { first, length } = all;
        if !first.is_multiple_of(per_pod) {
            return Err(RangesError::Begin { first, per_pod });
        }
        if first < per_pod {
            return Err(RangesError::OfTheHost { first, per_pod });
        }
        if !length.is_multiple_of(per_pod) {
            return Err(RangesError::Length { length, per_pod });
        }
        let shares = length / per_pod;
        if shares < pods {
            return Err(RangesError::TooFew { shares, pods });
        }
        Ok(Self {
            first: first / per_pod,
            count: shares,
            per_pod,
            taken: BTreeMap::new(),
            next: 0,
        })
    }

    /// The range of a pod, taken now if it has none.
    ///
    /// # Errors
    /// [`RangeError::Exhausted`].
    pub fn take(&mut self, uid: &str) -> Result<IdRange, RangeError> {
        if let Some(range) = self.of(uid) {
            return Ok(range);
        }
        let turn = (0..self.count).map(|step| (self.next + step) % self.count);
        let mut free = turn.filter(|number| !self.taken.contains_key(number));
        let number = free.next().ok_or(RangeError::Exhausted(self.count))?;
        self.taken.insert(number, uid.to_owned());
        self.next = (number + 1) % self.count;
        Ok(self.range(number))
    }

    /// Takes exactly this range for a pod that has it already.
    ///
    /// # Errors
    /// When it is no range of this node or another pod has it.
    pub fn adopt(&mut self, uid: &str, range: IdRange) -> Result<(), RangeError> {
        let number = (range.first / self.per_pod).checked_sub(self.first);
        let number = number.filter(|n| *n < self.count && self.range(*n) == range);
        let number = number.ok_or(RangeError::Foreign(range))?;
        let holder = self.taken.entry(number).or_insert_with(|| uid.to_owned());
        if holder != uid {
            let holder = holder.clone();
            return Err(RangeError::Taken { range, holder });
        }
        self.next = self.next.max(number + 1) % self.count;
        Ok(())
    }

    /// Gives back the range of a pod.
    pub fn release(&mut self, uid: &str) {
        self.taken.retain(|_, holder| holder != uid);
    }

    fn of(&self, uid: &str) -> Option<IdRange> {
        let (number, _) = self.taken.iter().find(|(_, holder)| *holder == uid)?;
        Some(self.range(*number))
    }

    fn range(&self, number: u32) -> IdRange {
        IdRange {
            first: (self.first + number) * self.per_pod,
            length: self.per_pod,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(first: u32, length: u32) -> IdRange {
        IdRange { first, length }
    }

    fn three() -> Ranges {
        Ranges::new(range(2 * UNIT, 3 * UNIT), UNIT, 3).unwrap()
    }

    #[test]
    fn ids_are_divided_evenly_or_refused() {
        let check = |first, length, pods, expected: Option<RangesError>| {
            let made = Ranges::new(range(first, length), UNIT, pods);
            assert_eq!(made.err(), expected, "{first}+{length} for {pods}");
        };
        let per_pod = UNIT;
        check(UNIT, 4 * UNIT, 4, None);
        check(UNIT, u32::MAX - UNIT + 1, 110, None);
        check(7, UNIT, 1, Some(RangesError::Begin { first: 7, per_pod }));
        check(
            0,
            UNIT,
            1,
            Some(RangesError::OfTheHost { first: 0, per_pod }),
        );
        check(UNIT, 9, 1, Some(RangesError::Length { length: 9, per_pod }));
        let few = RangesError::TooFew { shares: 2, pods: 3 };
        check(UNIT, 2 * UNIT, 3, Some(few));
    }

    #[test]
    fn what_was_given_back_comes_last() {
        let mut ranges = three();
        assert_eq!(ranges.take("a").unwrap(), range(2 * UNIT, UNIT));
        assert_eq!(ranges.take("a").unwrap(), range(2 * UNIT, UNIT));
        ranges.release("a");
        assert_eq!(ranges.take("b").unwrap(), range(3 * UNIT, UNIT));
        assert_eq!(ranges.take("c").unwrap(), range(4 * UNIT, UNIT));
        assert_eq!(ranges.take("d").unwrap(), range(2 * UNIT, UNIT));
        assert_eq!(ranges.take("e"), Err(RangeError::Exhausted(3)));
    }

    #[test]
    fn a_range_on_disk_is_adopted_or_refused() {
        let mut ranges = three();
        ranges.adopt("a", range(3 * UNIT, UNIT)).unwrap();
        ranges.adopt("a", range(3 * UNIT, UNIT)).unwrap();
        let holder = "a".to_owned();
        let taken = range(3 * UNIT, UNIT);
        let refused = ranges.adopt("b", taken);
        assert_eq!(
            refused,
            Err(RangeError::Taken {
                range: taken,
                holder
            })
        );
        for foreign in [
            range(UNIT, UNIT),
            range(5 * UNIT, UNIT),
            range(2 * UNIT, 2 * UNIT),
            range(2 * UNIT + 1, UNIT),
        ] {
            let refused = ranges.adopt("b", foreign);
            assert_eq!(refused, Err(RangeError::Foreign(foreign)));
        }
        assert_eq!(ranges.take("b").unwrap(), range(4 * UNIT, UNIT));
    }

    proptest! {
        #[test]
        fn no_two_pods_share_an_id(steps in prop::collection::vec((0_u8..3, 0_u8..6), 0..80)) {
            let mut ranges = Ranges::new(range(UNIT, 4 * UNIT), UNIT, 4).unwrap();
            let mut held: BTreeMap<u8, IdRange> = BTreeMap::new();
            for (step, pod) in steps {
                let uid = pod.to_string();
                match step {
                    0 => {
                        ranges.release(&uid);
                        held.remove(&pod);
                    }
                    _ => match ranges.take(&uid) {
                        Ok(range) => {
                            prop_assert!(held.get(&pod).is_none_or(|before| *before == range));
                            held.insert(pod, range);
                        }
                        Err(_) => prop_assert_eq!(held.len(), 4),
                    },
                }
                let mut firsts: Vec<u32> = held.values().map(|range| range.first).collect();
                firsts.sort_unstable();
                prop_assert!(firsts.windows(2).all(|pair| pair[1] - pair[0] >= UNIT));
                prop_assert!(firsts.iter().all(|first| *first >= UNIT));
            }
        }
    }
}
