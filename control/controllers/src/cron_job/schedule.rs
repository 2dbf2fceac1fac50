//! Schedules: five fields, or a word for them. Decides the next time that fits.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// A schedule is looked ahead for so many years: the 29th of February comes every eight at most.
const YEARS: i16 = 9;

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Not five fields.
    #[error("{0:?} has not five fields: minute, hour, day of month, month, day of week")]
    Fields(String),
    /// A field makes no sense.
    #[error("{field}: {text:?} is not within {least}-{most}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What it says.
        text: String,
        /// The least value.
        least: u32,
        /// The greatest.
        most: u32,
    },
    /// `@every` without a duration that makes sense.
    #[error("{0:?}: @every takes a duration such as 90s or 1h30m")]
    Every(String),
}

/// When something is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// At the minutes that all fields have.
    Fields(Fields),
    /// After so many seconds, again and again.
    Every(i64),
}

/// Sets of values, as bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    minute: u64,
    hour: u64,
    day: u64,
    month: u64,
    weekday: u64,
    /// Whether the day of month or of week is left open: then both have to fit, else either.
    open: bool,
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Schedule {
    /// Reads a schedule.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let text = text.trim();
        if let Some(every) = text.strip_prefix("@every ") {
            let seconds = seconds(every.trim()).filter(|seconds| *seconds > 0);
            let seconds = seconds.ok_or_else(|| ScheduleError::Every(text.to_owned()))?;
            return Ok(Self::Every(seconds));
        }
        let fields = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        };
        let parts: Vec<&str> = fields.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = parts[..] else {
            return Err(ScheduleError::Fields(text.to_owned()));
        };
        let is_open = |part: &str| part.starts_with('*') || part.starts_with('?');
        let weekdays = field("day of week", weekday, 0, 7, &DAYS, 0)?;
        Ok(Self::Fields(Fields {
            minute: field("minute", minute, 0, 59, &[], 0)?,
            hour: field("hour", hour, 0, 23, &[], 0)?,
            day: field("day of month", day, 1, 31, &[], 0)?,
            month: field("month", month, 1, 12, &MONTHS, 1)?,
            // 7 is Sunday too.
            weekday: (weekdays | (weekdays >> 7)) & 0x7f,
            open: is_open(day) || is_open(weekday),
        }))
    }

    /// The first time after this one, if there is any.
    #[must_use]
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Every(seconds) => Timestamp::from_second(after.as_second() + seconds).ok(),
            Self::Fields(fields) => fields.next(after, zone),
        }
    }
}

impl Fields {
    fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let local = zone.to_datetime(after);
        let last_year = local.year() + YEARS;
        let mut date = local.date();
        let mut from = (local.hour(), local.minute());
        while date.year() <= last_year {
            if !self.has_month(date) {
                date = date
                    .first_of_month()
                    .checked_add(Span::new().months(1))
                    .ok()?;
                from = (0, 0);
                continue;
            }
            if self.has_day(date)
                && let Some(found) = self.on(date, from, after, zone)
            {
                return Some(found);
            }
            date = date.tomorrow().ok()?;
            from = (0, 0);
        }
        None
    }

    fn has_month(&self, date: Date) -> bool {
        has(self.month, date.month())
    }

    fn has_day(&self, date: Date) -> bool {
        let day = has(self.day, date.day());
        let weekday = has(self.weekday, date.weekday().to_sunday_zero_offset());
        if self.open {
            day && weekday
        } else {
            day || weekday
        }
    }

    /// The first time on a day, not before this hour and minute.
    fn on(
        &self,
        date: Date,
        from: (i8, i8),
        after: Timestamp,
        zone: &TimeZone,
    ) -> Option<Timestamp> {
        for hour in (from.0..24).filter(|hour| has(self.hour, *hour)) {
            let first = if hour == from.0 { from.1 } else { 0 };
            for minute in (first..60).filter(|minute| has(self.minute, *minute)) {
                let local: DateTime = date.at(hour, minute, 0, 0);
                let found = zone.to_ambiguous_timestamp(local).compatible().ok()?;
                // An hour that the clock skips does not come on this day.
                if found > after && zone.to_datetime(found) == local {
                    return Some(found);
                }
            }
        }
        None
    }
}

fn has(bits: u64, value: i8) -> bool {
    bits & (1 << value) != 0
}

/// Reads a field: values, ranges and steps, with commas between them.
fn field(
    name: &'static str,
    text: &str,
    least: u32,
    most: u32,
    words: &[&str],
    first_word: u32,
) -> Result<u64, ScheduleError> {
    let wrong = || ScheduleError::Field {
        field: name,
        text: text.to_owned(),
        least,
        most,
    };
    let value = |text: &str| -> Option<u32> {
        let at = words
            .iter()
            .position(|word| text.eq_ignore_ascii_case(word));
        let named = at
            .and_then(|at| u32::try_from(at).ok())
            .map(|at| at + first_word);
        let value = named.or_else(|| text.parse().ok())?;
        (least..=most).contains(&value).then_some(value)
    };
    let mut bits = 0;
    for part in text.split(',') {
        let (range, step) = part
            .split_once('/')
            .map_or((part, None), |(r, s)| (r, Some(s)));
        let step: u32 = step.map_or(Ok(1), str::parse).map_err(|_| wrong())?;
        let (first, last) = match range {
            "*" | "?" => (least, if words.len() == 7 { most - 1 } else { most }),
            range => match range.split_once('-') {
                Some((first, last)) => (
                    value(first).ok_or_else(wrong)?,
                    value(last).ok_or_else(wrong)?,
                ),
                None => {
                    let only = value(range).ok_or_else(wrong)?;
                    (only, if part.contains('/') { most } else { only })
                }
            },
        };
        if step == 0 || first > last {
            return Err(wrong());
        }
        let steps = usize::try_from(step).map_err(|_| wrong())?;
        for value in (first..=last).step_by(steps) {
            bits |= 1 << value;
        }
    }
    Ok(bits)
}

/// Whole seconds of a duration as Go writes it.
fn seconds(text: &str) -> Option<i64> {
    let mut total = 0;
    let mut number = None;
    for c in text.chars() {
        if let Some(digit) = c.to_digit(10) {
            number = Some(number.unwrap_or(0_i64) * 10 + i64::from(digit));
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            _ => return None,
        };
        total += number.take()? * unit;
    }
    number.is_none().then_some(total)
}

#[cfg(test)]
mod tests;
