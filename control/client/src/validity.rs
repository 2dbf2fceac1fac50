//! Since when and until when a certificate is good, and when to ask for the next one. Pure.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The share of a life after which the next certificate is asked for, at the earliest.
const ROTATE_FROM: f64 = 0.7;
/// How much later it may be, so that not all nodes ask at once.
const ROTATE_SPREAD: f64 = 0.2;

/// The time in which a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From then on.
    pub from: Timestamp,
    /// Until then.
    pub until: Timestamp,
}

impl Validity {
    /// Reads it from a certificate in DER. `None` if it is not one.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let (certificate, _) = expect(certificate, SEQUENCE)?;
        let (mut body, _) = expect(certificate, SEQUENCE)?;
        if body.first() == Some(&VERSION) {
            body = element(body)?.2;
        }
        // Serial number, signature algorithm, issuer.
        for _ in 0..3 {
            body = element(body)?.2;
        }
        let (times, _) = expect(body, SEQUENCE)?;
        let (tag, from, rest) = element(times)?;
        let from = time(tag, from)?;
        let (tag, until, _) = element(rest)?;
        Some(Self {
            from,
            until: time(tag, until)?,
        })
    }

    /// The part of it from a time on: signers date certificates back by minutes, which of a short
    /// life is most, and the next one must not be due before the first was used.
    #[must_use]
    pub fn since(self, time: Timestamp) -> Self {
        Self {
            from: self.from.max(time).min(self.until),
            until: self.until,
        }
    }

    /// When to ask for the next one: with a third to a tenth of its life left, as a number between
    /// 0 and 1 decides.
    #[must_use]
    pub fn rotation(&self, random: f64) -> Timestamp {
        let life = self.until.duration_since(self.from).as_secs_f64();
        let share = ROTATE_FROM + ROTATE_SPREAD * random.clamp(0.0, 1.0);
        let after = SignedDuration::try_from_secs_f64(life * share).unwrap_or(SignedDuration::ZERO);
        self.from.checked_add(after).unwrap_or(self.until)
    }
}

fn time(tag: u8, text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let full = match tag {
        // Two digits of a year, of the century that RFC 5280 means.
        UTC_TIME if text.get(..2)? < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let civil = DateTime::strptime("%Y%m%d%H%M%S", full).ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn expect(der: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = element(der)?;
    (tag == wanted).then_some((content, rest))
}

/// Tag, content and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        let bytes = rest.get(..count).filter(|_| count <= 4)?;
        let length = bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        (length, &rest[count..])
    };
    Some((*tag, rest.get(..length)?, &rest[length..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn certificate(from: i32, until: i32) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(from, 2, 3);
        params.not_after = rcgen::date_time_ymd(until, 4, 5);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn reads_both_forms_of_time() {
        let found = Validity::of(&certificate(2026, 2060)).unwrap();
        assert_eq!(found.from, at("2026-02-03T00:00:00Z"));
        assert_eq!(found.until, at("2060-04-05T00:00:00Z"));
        let old = Validity::of(&certificate(1999, 2049)).unwrap();
        assert_eq!(old.from, at("1999-02-03T00:00:00Z"));
    }

    #[test]
    fn what_is_no_certificate_has_no_time() {
        let whole = certificate(2026, 2027);
        for bytes in [&b""[..], b"\x30", b"\x30\x03abc", &whole[..60], &[0x30; 40]] {
            assert_eq!(Validity::of(bytes), None);
        }
    }

    #[test]
    fn a_short_life_counts_from_when_it_was_got() {
        let got = at("2026-01-01T00:05:00Z");
        let backdated = Validity {
            from: at("2026-01-01T00:00:00Z"),
            until: at("2026-01-01T00:06:00Z"),
        };
        assert!(backdated.rotation(0.0) < got);
        let rotation = backdated.since(got).rotation(0.0);
        assert_eq!(rotation, at("2026-01-01T00:05:42Z"));
        assert_eq!(backdated.since(Timestamp::MIN), backdated);
        assert_eq!(backdated.since(Timestamp::MAX).from, backdated.until);
    }

    #[test]
    fn the_next_one_is_asked_for_in_time() {
        let validity = Validity {
            from: at("2026-01-01T00:00:00Z"),
            until: at("2026-01-11T00:00:00Z"),
        };
        let check = |random, expected| assert_eq!(validity.rotation(random), at(expected));
        check(0.0, "2026-01-08T00:00:00Z");
        check(0.5, "2026-01-09T00:00:00Z");
        check(1.0, "2026-01-10T00:00:00Z");
        check(7.0, "2026-01-10T00:00:00Z");
    }
}
