//! Schedules and the times that fit.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Schedule;

#[test]
fn next_times() {
    let check = |schedule: &str, after: &str, expected: &str| {
        let after: Timestamp = after.parse().unwrap();
        let expected: Timestamp = expected.parse().unwrap();
        let schedule = Schedule::parse(schedule).unwrap();
        assert_eq!(
            schedule.next(after, &TimeZone::UTC),
            Some(expected),
            "{schedule:?}"
        );
    };
    check("* * * * *", "2026-03-01T10:00:00Z", "2026-03-01T10:01:00Z");
    check("* * * * *", "2026-03-01T10:00:59Z", "2026-03-01T10:01:00Z");
    check(
        "*/15 * * * *",
        "2026-03-01T10:46:00Z",
        "2026-03-01T11:00:00Z",
    );
    check(
        "5/20 3 * * *",
        "2026-03-01T03:05:00Z",
        "2026-03-01T03:25:00Z",
    );
    check("0 0 1 * *", "2026-12-31T23:59:30Z", "2027-01-01T00:00:00Z");
    check(
        "0 12 * * mon-fri",
        "2026-02-27T12:00:00Z",
        "2026-03-02T12:00:00Z",
    );
    check("0 0 29 2 *", "2026-03-01T00:00:00Z", "2028-02-29T00:00:00Z");
    check("0 0 * * 7", "2026-03-02T00:00:00Z", "2026-03-08T00:00:00Z");
    // Two kinds of days: either fits.
    check(
        "0 0 13 * fri",
        "2026-03-01T00:00:00Z",
        "2026-03-06T00:00:00Z",
    );
    check("@hourly", "2026-03-01T10:30:00Z", "2026-03-01T11:00:00Z");
    check(
        "@every 1m30s",
        "2026-03-01T10:00:00Z",
        "2026-03-01T10:01:30Z",
    );
    let never = Schedule::parse("0 0 31 2 *").unwrap();
    assert_eq!(never.next(Timestamp::UNIX_EPOCH, &TimeZone::UTC), None);
}

#[test]
fn clocks_that_change() {
    let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let check = |schedule: &str, after: &str, expected: &str| {
        let next = Schedule::parse(schedule)
            .unwrap()
            .next(after.parse().unwrap(), &zone);
        assert_eq!(next.unwrap().to_string(), expected, "{schedule}");
    };
    check("0 12 * * *", "2026-01-10T00:00:00Z", "2026-01-10T11:00:00Z");
    check("0 12 * * *", "2026-07-10T00:00:00Z", "2026-07-10T10:00:00Z");
    // Half past two does not come on the day on which the clock skips it.
    check("30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-30T00:30:00Z");
    // And comes once where there are two of it.
    check("30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z");
    check("30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z");
}

#[test]
fn what_is_no_schedule() {
    for text in [
        "",
        "* * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "*/0 * * * *",
        "5-1 * * * *",
        "x * * * *",
        "@every x",
        "@every 0s",
        "* * * * * *",
    ] {
        assert!(Schedule::parse(text).is_err(), "{text:?}");
    }
}
