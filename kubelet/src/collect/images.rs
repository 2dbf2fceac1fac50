//! Which images to remove. Pure: sizes, ages and the fill of the disk in, ids out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::Mono;

/// An image on the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFacts {
    /// Its id.
    pub id: String,
    /// Bytes on disk.
    pub size: u64,
    /// It must stay.
    pub pinned: bool,
}

/// What is remembered of an image. Lost with the agent: then every image is young again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When it was first seen.
    pub first: Mono,
    /// When it was last seen in use; `first` where it never was.
    pub used: Mono,
}

/// When images are collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `imageGCHighThresholdPercent`: start above this fill; 100 never.
    pub high_percent: u64,
    /// `imageGCLowThresholdPercent`: stop at this fill.
    pub low_percent: u64,
    /// `imageMinimumGCAge`: younger ones stay.
    pub min_age: Duration,
    /// `imageMaximumGCAge`: unused for so long goes, whatever the disk; `None` never.
    pub max_age: Option<Duration>,
}

/// Why an image goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It was not used for too long.
    Age,
    /// The disk is too full.
    Space,
}

impl Cause {
    /// As metrics name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Space => "space",
        }
    }
}

/// Size and free space of the file system that holds images, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskUse {
    /// All of it.
    pub capacity: u64,
    /// Free for us.
    pub available: u64,
}

impl DiskUse {
    /// Bytes to free so that the fill falls to `low`, if it has reached `high`.
    fn excess(self, limits: &Limits) -> Option<u64> {
        let used = self.capacity.saturating_sub(self.available);
        let percent = used.saturating_mul(100).checked_div(self.capacity)?;
        if limits.high_percent >= 100 || percent < limits.high_percent {
            return None;
        }
        let wanted = self.capacity / 100 * (100 - limits.low_percent.min(100));
        Some(wanted.saturating_sub(self.available))
    }
}

/// Brings the memory of images up to date.
pub fn note(
    now: Mono,
    images: &[ImageFacts],
    in_use: &BTreeSet<String>,
    seen: &mut BTreeMap<String, Seen>,
) {
    seen.retain(|id, _| images.iter().any(|image| image.id == *id));
    for image in images {
        let entry = seen.entry(image.id.clone()).or_insert(Seen {
            first: now,
            used: now,
        });
        if in_use.contains(&image.id) {
            entry.used = now;
        }
    }
}

/// The images to remove, in that order: unused for too long, then the longest unused until the
/// disk is free enough.
#[must_use]
pub fn plan(
    now: Mono,
    images: &[ImageFacts],
    seen: &BTreeMap<String, Seen>,
    disk: Option<DiskUse>,
    limits: &Limits,
) -> Vec<(String, Cause)> {
    let mut free: Vec<(&ImageFacts, Seen)> = images
        .iter()
        .filter(|image| !image.pinned)
        .filter_map(|image| Some((image, *seen.get(&image.id)?)))
        // Seen in use just now means in use.
        .filter(|(_, seen)| seen.used < now)
        .filter(|(_, seen)| now.since(seen.first) >= limits.min_age)
        .collect();
    free.sort_by_key(|(image, seen)| (seen.used, seen.first, image.id.clone()));
    let mut to_free = disk.and_then(|disk| disk.excess(limits)).unwrap_or(0);
    let mut removed = Vec::new();
    for (image, seen) in free {
        let too_old = limits.max_age.is_some_and(|age| now.since(seen.used) > age);
        if too_old || to_free > 0 {
            to_free = to_free.saturating_sub(image.size);
            let cause = if too_old { Cause::Age } else { Cause::Space };
            removed.push((image.id.clone(), cause));
        }
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        high_percent: 85,
        low_percent: 80,
        min_age: Duration::from_secs(120),
        max_age: None,
    };

    /// `id, size, pinned, first seen, last used`, times in seconds; it is second 1000 now.
    type Case = (&'static str, u64, bool, u64, u64);

    fn check(cases: &[Case], available: u64, limits: Limits, expected: &[&str]) {
        let images: Vec<_> = cases
            .iter()
            .map(|(id, size, pinned, ..)| ImageFacts {
                id: (*id).to_owned(),
                size: *size,
                pinned: *pinned,
            })
            .collect();
        let seen = cases
            .iter()
            .map(|(id, _, _, first, used)| {
                (
                    (*id).to_owned(),
                    Seen {
                        first: Mono(first * 1000),
                        used: Mono(used * 1000),
                    },
                )
            })
            .collect();
        let disk = Some(DiskUse {
            capacity: 1000,
            available,
        });
        let removed = plan(Mono(1_000_000), &images, &seen, disk, &limits);
        let told = removed
            .iter()
            .map(|(id, cause)| format!("{id}: {}", cause.as_str()));
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn removes_the_longest_unused_until_there_is_room() {
        let images = [
            ("a", 30, false, 1, 500),
            ("b", 30, false, 1, 100),
            ("c", 30, false, 1, 300),
        ];
        check(&images, 500, LIMITS, &[]);
        check(&images, 150, LIMITS, &["b: space", "c: space"]);
        check(&images, 0, LIMITS, &["b: space", "c: space", "a: space"]);
    }

    #[test]
    fn keeps_what_is_pinned_used_or_young() {
        let images = [
            ("pin", 900, true, 1, 1),
            ("run", 900, false, 1, 1000),
            ("new", 900, false, 900, 900),
        ];
        check(&images, 0, LIMITS, &[]);
    }

    #[test]
    fn an_old_image_goes_though_there_is_room() {
        let limits = Limits {
            max_age: Some(Duration::from_secs(600)),
            ..LIMITS
        };
        check(
            &[("a", 1, false, 1, 300), ("b", 1, false, 1, 500)],
            900,
            limits,
            &["a: age"],
        );
    }

    #[test]
    fn a_high_threshold_of_100_turns_it_off() {
        let limits = Limits {
            high_percent: 100,
            ..LIMITS
        };
        check(&[("a", 1, false, 1, 300)], 0, limits, &[]);
    }
}
