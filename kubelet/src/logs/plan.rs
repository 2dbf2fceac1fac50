//! When a log is looked at again, and what one rotation does. Pure.

use std::time::Duration;

use jiff::{Timestamp, ToSpan as _, tz::TimeZone};

/// Suffix of a finished compressed log.
pub const COMPRESSED: &str = ".gz";
/// Suffix of a compression under way.
pub const TEMPORARY: &str = ".tmp";
/// No log grows faster than this without us having seen a faster rate before, in bytes a second.
const ASSUMED_RATE: u64 = 8 << 20;
/// The shortest and the longest wait between two looks at a log that is being written.
const WAITS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(10));

/// How much of a log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotationPolicy {
    /// Bytes at which a log is rotated (`containerLogMaxSize`).
    pub max_size: u64,
    /// Files kept for one instance, the one being written included (`containerLogMaxFiles`).
    pub max_files: usize,
}

/// How long a log that was just written to may be left alone: until it would be full if it grew
/// at twice the `rate` (bytes a second) seen last, or at an assumed high one.
pub fn next_check(size: u64, rate: u64, limit: u64) -> Duration {
    let room = limit.saturating_sub(size);
    let rate = rate.saturating_mul(2).max(ASSUMED_RATE);
    let milliseconds = room.saturating_mul(1000) / rate;
    Duration::from_millis(milliseconds).clamp(WAITS.0, WAITS.1)
}

/// What is done to the rotated files of a log before the next one joins them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RotationPlan {
    /// Names to remove: leftovers, then the oldest beyond the limit.
    pub remove: Vec<String>,
    /// Names to compress once the log is rotated.
    pub compress: Vec<String>,
    /// The name that the present log gets.
    pub rotated: String,
}

/// Plans one rotation of the log called `log`, which has the files `existing` beside it.
pub fn rotation(
    log: &str,
    existing: &[String],
    policy: &RotationPolicy,
    now: Timestamp,
) -> RotationPlan {
    let prefix = format!("{log}.");
    let mut rotated: Vec<&str> = existing
        .iter()
        .map(String::as_str)
        .filter(|name| name.starts_with(&prefix))
        .collect();
    rotated.sort_unstable();
    let (kept, leftovers): (Vec<&str>, Vec<&str>) =
        rotated.iter().partition(|name| in_use(name, &rotated));
    let surplus = kept
        .len()
        .saturating_sub(policy.max_files.saturating_sub(2));
    let (oldest, kept) = kept.split_at(surplus);
    let compress = kept.iter().filter(|name| !name.ends_with(COMPRESSED));
    RotationPlan {
        remove: [&leftovers, oldest]
            .concat()
            .into_iter()
            .map(Into::into)
            .collect(),
        compress: compress.map(|name| (*name).to_owned()).collect(),
        rotated: prefix.clone() + &stamp_after(&prefix, rotated.last().copied(), now),
    }
}

/// A file is a leftover if its compression never finished, or finished and left the original.
fn in_use(name: &str, all: &[&str]) -> bool {
    if name.ends_with(TEMPORARY) {
        return false;
    }
    name.ends_with(COMPRESSED)
        || all
            .binary_search(&format!("{name}{COMPRESSED}").as_str())
            .is_err()
}

/// `YYYYMMDD-HHMMSS`, never at or before the newest there is: two rotations within a second, or
/// a clock set back, must neither overwrite nor reorder.
fn stamp_after(prefix: &str, newest: Option<&str>, now: Timestamp) -> String {
    let stamp = stamp(now);
    let newest = newest
        .and_then(|name| name.strip_prefix(prefix))
        .and_then(|rest| rest.get(..stamp.len()));
    match newest {
        Some(newest) if newest >= stamp.as_str() => following(newest).unwrap_or(stamp),
        _ => stamp,
    }
}

fn stamp(at: Timestamp) -> String {
    let at = at.to_zoned(TimeZone::UTC);
    at.strftime("%Y%m%d-%H%M%S").to_string()
}

fn following(stamp: &str) -> Option<String> {
    let time = jiff::civil::DateTime::strptime("%Y%m%d-%H%M%S", stamp).ok()?;
    let next = time.checked_add(1.second()).ok()?;
    Some(next.strftime("%Y%m%d-%H%M%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn checks_come_before_the_limit_is_passed_by_much() {
        for (size, rate, expected) in [
            (0, 0, 1_250),
            (0, 6 * MIB, 833),
            (5 * MIB, 100 * MIB, 50),
            (10 * MIB, 0, 50),
            (20 * MIB, 0, 50),
        ] {
            let wait = next_check(size, rate, 10 * MIB);
            assert_eq!(wait.as_millis(), expected, "{size} {rate}");
        }
        assert_eq!(next_check(0, 0, u64::MAX), WAITS.1);
    }

    /// A writer that jumps from nothing to 6 MB/s never gets further than one short wait.
    #[test]
    fn a_fast_writer_overshoots_little() {
        let (limit, speed) = (10 * MIB, 6_000_000u64);
        let (mut size, mut rate) = (0, 0);
        while size < limit {
            let wait = next_check(size, rate, limit);
            let grown = speed * u64::try_from(wait.as_millis()).unwrap() / 1000;
            size += grown;
            rate = speed;
        }
        assert!(size - limit <= speed / 10, "{}", size - limit);
    }

    fn plan(existing: &[&str], max_files: usize) -> RotationPlan {
        let existing: Vec<String> = existing.iter().map(|name| (*name).to_owned()).collect();
        let policy = RotationPolicy {
            max_size: 1,
            max_files,
        };
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        rotation("0.log", &existing, &policy, now)
    }

    #[test]
    fn the_first_rotation() {
        let expected = RotationPlan {
            rotated: "0.log.20260102-030405".into(),
            ..RotationPlan::default()
        };
        assert_eq!(
            plan(&["0.log", "1.log", "10.log.20250101-000000"], 5),
            expected
        );
    }

    #[test]
    fn old_ones_go_and_the_newest_is_compressed() {
        let seen = plan(
            &[
                "0.log.20260101-000002",
                "0.log",
                "0.log.20260101-000000.gz",
                "0.log.20260101-000001.gz",
            ],
            4,
        );
        assert_eq!(seen.remove, ["0.log.20260101-000000.gz"]);
        assert_eq!(seen.compress, ["0.log.20260101-000002"]);
    }

    #[test]
    fn leftovers_of_a_crash_go() {
        let seen = plan(
            &[
                "0.log.20260101-000000",
                "0.log.20260101-000000.gz",
                "0.log.20260101-000001",
                "0.log.20260101-000001.tmp",
            ],
            5,
        );
        assert_eq!(
            seen.remove,
            ["0.log.20260101-000000", "0.log.20260101-000001.tmp"]
        );
        assert_eq!(seen.compress, ["0.log.20260101-000001"]);
    }

    #[test]
    fn two_files_are_the_least() {
        assert_eq!(
            plan(&["0.log.20260101-000000"], 2).remove,
            ["0.log.20260101-000000"]
        );
    }

    #[test]
    fn a_second_rotation_in_one_second_gets_its_own_name() {
        for (newest, expected) in [
            ("0.log.20260102-030405", "0.log.20260102-030406"),
            ("0.log.20260102-030405.gz", "0.log.20260102-030406"),
            ("0.log.20260102-235959", "0.log.20260103-000000"),
            ("0.log.garbage", "0.log.20260102-030405"),
        ] {
            assert_eq!(plan(&[newest], 9).rotated, expected, "{newest}");
        }
    }
}
