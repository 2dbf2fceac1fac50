//! `metav1.Duration`: Go's duration text (`1h2m3.5s`), read and written as Go does.
//!
//! Decides nothing about what the durations are used for.

use std::fmt;
use std::str::FromStr;
use std::time::Duration as StdDuration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A signed span of nanoseconds that reads and writes Go's duration text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration {
    nanoseconds: i64,
}

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// The text is empty, or has no digits where a number must stand.
    #[error("invalid duration {0:?}: write numbers with units, such as \"1m30s\"")]
    Form(String),
    /// A number has no unit.
    #[error("missing unit in duration {0:?}: use ns, us, ms, s, m or h")]
    MissingUnit(String),
    /// The unit is not one of Go's.
    #[error("unknown unit {unit:?} in duration {text:?}: use ns, us, ms, s, m or h")]
    UnknownUnit {
        /// The unit that was read.
        unit: String,
        /// The whole text.
        text: String,
    },
    /// The duration does not fit into 64 bits of nanoseconds (292 years).
    #[error("duration {0:?} is out of range")]
    OutOfRange(String),
}

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

impl Duration {
    /// No time at all.
    pub const ZERO: Self = Self { nanoseconds: 0 };

    /// A span of whole seconds; saturates beyond 292 years.
    #[must_use]
    pub const fn from_secs(seconds: i64) -> Self {
        Self {
            nanoseconds: seconds.saturating_mul(SECOND),
        }
    }

    /// A span of whole milliseconds; saturates beyond 292 years.
    #[must_use]
    pub const fn from_millis(milliseconds: i64) -> Self {
        Self {
            nanoseconds: milliseconds.saturating_mul(1_000_000),
        }
    }

    /// A span of nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanoseconds: i64) -> Self {
        Self { nanoseconds }
    }

    /// The span in nanoseconds; negative where the text was.
    #[must_use]
    pub const fn nanoseconds(self) -> i64 {
        self.nanoseconds
    }

    /// Whether the span is empty.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.nanoseconds == 0
    }

    /// The span as the standard library counts it; a negative one is zero.
    #[must_use]
    pub fn to_std(self) -> StdDuration {
        StdDuration::from_nanos(u64::try_from(self.nanoseconds).unwrap_or(0))
    }

    /// Reads Go's duration text.
    ///
    /// # Errors
    /// See [`DurationError`].
    pub fn parse(text: &str) -> Result<Self, DurationError> {
        let form = || DurationError::Form(text.to_owned());
        let (negative, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Ok(Self::ZERO);
        }
        if rest.is_empty() {
            return Err(form());
        }
        let mut total: i128 = 0;
        while !rest.is_empty() {
            let (term, after) = term(rest, text)?;
            total += term;
            rest = after;
            if total > i128::from(i64::MAX) + 1 {
                return Err(DurationError::OutOfRange(text.to_owned()));
            }
        }
        let signed = if negative { -total } else { total };
        let nanoseconds =
            i64::try_from(signed).map_err(|_| DurationError::OutOfRange(text.to_owned()))?;
        Ok(Self { nanoseconds })
    }
}

/// One number with its unit, in nanoseconds, and the text behind it.
fn term<'a>(text: &'a str, all: &str) -> Result<(i128, &'a str), DurationError> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => digits(rest),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(DurationError::Form(all.to_owned()));
    }
    let end = rest
        .find(|c: char| c == '.' || c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    let unit = unit_length(unit, all)?;
    let out_of_range = || DurationError::OutOfRange(all.to_owned());
    let whole: i128 = match whole.trim_start_matches('0') {
        "" => 0,
        digits if digits.len() > 19 => return Err(out_of_range()),
        digits => digits.parse().map_err(|_| out_of_range())?,
    };
    Ok((whole * i128::from(unit) + fraction_of(fraction, unit), rest))
}

fn digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

/// The part of `unit` behind the point; digits finer than a nanosecond are dropped.
fn fraction_of(fraction: &str, unit: i64) -> i128 {
    let mut rest = i128::from(unit);
    let mut scale: i128 = 1;
    let mut value: i128 = 0;
    for digit in fraction.bytes().take(15) {
        value = value * 10 + i128::from(digit - b'0');
        scale *= 10;
    }
    rest *= value;
    rest / scale
}

fn unit_length(unit: &str, all: &str) -> Result<i64, DurationError> {
    Ok(match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        "" => return Err(DurationError::MissingUnit(all.to_owned())),
        _ => {
            return Err(DurationError::UnknownUnit {
                unit: unit.to_owned(),
                text: all.to_owned(),
            });
        }
    })
}

/// `value / unit` with up to the digits of `unit` behind the point and no trailing zeros.
fn decimal(value: u64, unit: u64) -> String {
    let whole = value / unit;
    let rest = value % unit;
    if rest == 0 {
        return whole.to_string();
    }
    let width = unit.to_string().len() - 1;
    let fraction = format!("{rest:0width$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.nanoseconds.unsigned_abs();
        if self.nanoseconds < 0 {
            f.write_str("-")?;
        }
        match magnitude {
            0 => f.write_str("0s"),
            n if n < 1_000 => write!(f, "{n}ns"),
            n if n < 1_000_000 => write!(f, "{}\u{b5}s", decimal(n, 1_000)),
            n if n < SECOND.unsigned_abs() => write!(f, "{}ms", decimal(n, 1_000_000)),
            n => write_clock(f, n),
        }
    }
}

/// Hours, minutes and seconds, from the first that is not zero.
fn write_clock(f: &mut fmt::Formatter<'_>, nanoseconds: u64) -> fmt::Result {
    let (hour, minute) = (HOUR.unsigned_abs(), MINUTE.unsigned_abs());
    let hours = nanoseconds / hour;
    let minutes = nanoseconds % hour / minute;
    if hours > 0 {
        write!(f, "{hours}h")?;
    }
    if hours > 0 || minutes > 0 {
        write!(f, "{minutes}m")?;
    }
    write!(
        f,
        "{}s",
        decimal(nanoseconds % minute, SECOND.unsigned_abs())
    )
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl From<Duration> for StdDuration {
    fn from(duration: Duration) -> Self {
        duration.to_std()
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Duration, DurationError, HOUR, MINUTE, SECOND};

    #[test]
    fn reads_what_go_reads() {
        let cases = [
            ("0", 0),
            ("0s", 0),
            ("5s", 5 * SECOND),
            ("-5s", -5 * SECOND),
            ("+5s", 5 * SECOND),
            ("1m30s", 90 * SECOND),
            ("1.5h", 90 * MINUTE),
            (".5s", SECOND / 2),
            ("5.s", 5 * SECOND),
            ("100ms", SECOND / 10),
            ("10us", 10_000),
            ("10\u{b5}s", 10_000),
            ("3ns", 3),
            ("24h", 24 * HOUR),
            ("1h0m0s", HOUR),
            ("9223372036854775807ns", i64::MAX),
            ("0.1234567891s", 123_456_789),
            ("0000000000000000000000000001s", SECOND),
        ];
        for (text, expected) in cases {
            assert_eq!(
                Duration::parse(text).unwrap().nanoseconds(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_what_go_refuses() {
        let all = |text: &str| text.to_owned();
        let unknown = |unit: &str, text: &str| DurationError::UnknownUnit {
            unit: all(unit),
            text: all(text),
        };
        let cases = [
            ("", DurationError::Form(all(""))),
            ("-", DurationError::Form(all("-"))),
            (".s", DurationError::Form(all(".s"))),
            ("s", DurationError::Form(all("s"))),
            ("3", DurationError::MissingUnit(all("3"))),
            ("1d", unknown("d", "1d")),
            ("1s 2m", unknown("s ", "1s 2m")),
            ("3000000h", DurationError::OutOfRange(all("3000000h"))),
        ];
        for (text, expected) in cases {
            assert_eq!(Duration::parse(text).unwrap_err(), expected, "{text:?}");
        }
    }

    #[test]
    fn writes_what_go_writes() {
        let cases = [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1\u{b5}s"),
            (2_200_000, "2.2ms"),
            (3_300_000_000, "3.3s"),
            (4 * MINUTE + 5 * SECOND, "4m5s"),
            (5 * HOUR + 6 * MINUTE + 7_001_000_000, "5h6m7.001s"),
            (MINUTE, "1m0s"),
            (HOUR, "1h0m0s"),
            (-SECOND, "-1s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ];
        for (nanoseconds, expected) in cases {
            assert_eq!(Duration { nanoseconds }.to_string(), expected);
        }
    }

    proptest! {
        #[test]
        fn reads_back_what_it_writes(nanoseconds in any::<i64>()) {
            let duration = Duration { nanoseconds };
            prop_assert_eq!(Duration::parse(&duration.to_string()), Ok(duration));
        }

        #[test]
        fn never_panics(text in "\\PC{0,30}") {
            let _ = Duration::parse(&text);
        }

        #[test]
        fn never_panics_near_the_grammar(text in "[+-]?([0-9]{0,30}[.]?[0-9]{0,30}(ns|us|ms|s|m|h)){0,4}") {
            let _ = Duration::parse(&text);
        }
    }
}
