//! How long ago something was, in the short form that tables use.

use jiff::Timestamp;

/// How long ago a time was; `<unknown>` where there is none.
#[must_use]
pub fn since(time: Option<&str>, now: Timestamp) -> String {
    match time.and_then(|time| time.parse::<Timestamp>().ok()) {
        Some(time) => short(now.as_second() - time.as_second()),
        None => "<unknown>".to_owned(),
    }
}

/// Below which number of seconds each form is used: two minutes, ten minutes, three and eight
/// hours, two and eight days, two and eight years.
const LIMITS: [i64; 10] = [
    -1,
    0,
    120,
    600,
    10_800,
    28_800,
    172_800,
    691_200,
    63_072_000,
    252_288_000,
];

/// A length of time in seconds in at most two units: `45s`, `5m10s`, `3h`, `2d4h`, `1y3d`.
#[must_use]
pub fn short(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let pair = |large: i64, unit: char, small: i64, below: char| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit}{small}{below}"),
    };
    let unit = LIMITS.iter().position(|below| seconds < *below);
    match unit {
        Some(0) => "<invalid>".to_owned(),
        Some(1) => "0s".to_owned(),
        Some(2) => format!("{seconds}s"),
        Some(3) => pair(minutes, 'm', seconds % 60, 's'),
        Some(4) => format!("{minutes}m"),
        Some(5) => pair(hours, 'h', minutes % 60, 'm'),
        Some(6) => format!("{hours}h"),
        Some(7) => pair(days, 'd', hours % 24, 'h'),
        Some(8) => format!("{days}d"),
        Some(9) => pair(days / 365, 'y', days % 365, 'd'),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::{short, since};

    #[test]
    fn at_most_two_units() {
        let cases = [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (130, "2m10s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (11_000, "3h3m"),
            (28_800, "8h"),
            (172_799, "47h"),
            (172_800, "2d"),
            (180_000, "2d2h"),
            (691_200, "8d"),
            (63_072_000, "2y"),
            (63_200_000, "2y1d"),
            (300_000_000, "9y"),
        ];
        for (seconds, text) in cases {
            assert_eq!(short(seconds), text);
        }
        let now = "2026-01-01T00:01:00Z".parse().unwrap();
        assert_eq!(since(Some("2026-01-01T00:00:00Z"), now), "60s");
        assert_eq!(since(None, now), "<unknown>");
    }
}
