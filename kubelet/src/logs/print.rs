//! Which bytes of a log line a reader gets. Pure.

use jiff::Timestamp;

use super::format::{Line, push_fixed_time};

/// What a reader of a log asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Stay and show what comes.
    pub follow: bool,
    /// Begin this many lines before the end.
    pub tail_lines: Option<u64>,
    /// Leave out what is older.
    pub since: Option<Timestamp>,
    /// Stop after so many bytes.
    pub limit_bytes: Option<u64>,
    /// Put each line's time before it.
    pub timestamps: bool,
}

/// Prints lines one after the other, joining what was split.
#[derive(Debug)]
pub struct Printer {
    since: Option<Timestamp>,
    remaining: Option<u64>,
    timestamps: bool,
    at_line_start: bool,
}

/// Whether more may be printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Go on.
    More,
    /// The limit of bytes is reached.
    LimitReached,
}

impl Printer {
    /// A printer at the beginning of its output.
    pub fn new(options: &LogOptions) -> Self {
        Self {
            since: options.since,
            remaining: options.limit_bytes,
            timestamps: options.timestamps,
            at_line_start: true,
        }
    }

    /// Appends what is to be shown of `line`.
    pub fn print(&mut self, line: &Line<'_>, out: &mut Vec<u8>) -> Progress {
        let continues = !std::mem::replace(&mut self.at_line_start, ends_line(line.text));
        if self.since.is_some_and(|since| line.time < since) {
            return Progress::More;
        }
        let start = out.len();
        if self.timestamps && !continues {
            push_fixed_time(out, line.written_time);
            out.push(b' ');
        }
        out.extend_from_slice(line.text);
        self.limit(start, out)
    }

    fn limit(&mut self, start: usize, out: &mut Vec<u8>) -> Progress {
        let Some(remaining) = &mut self.remaining else {
            return Progress::More;
        };
        let allowed = usize::try_from(*remaining).unwrap_or(usize::MAX);
        out.truncate(start.saturating_add(allowed));
        *remaining = remaining.saturating_sub((out.len() - start) as u64);
        match *remaining {
            0 => Progress::LimitReached,
            _ => Progress::More,
        }
    }
}

fn ends_line(text: &[u8]) -> bool {
    text.last().is_none_or(|byte| *byte == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
2020-01-01T00:00:01Z stdout F one\n\
2020-01-01T00:00:02.5Z stdout P two \n\
2020-01-01T00:00:03Z stdout F and a half\n\
2020-01-01T00:00:04Z stderr F three\n";

    fn printed(options: &LogOptions) -> (String, Progress) {
        let mut printer = Printer::new(options);
        let mut out = Vec::new();
        for line in LOG.split_inclusive('\n') {
            let line = Line::parse(line.as_bytes()).unwrap();
            if printer.print(&line, &mut out) == Progress::LimitReached {
                return (String::from_utf8(out).unwrap(), Progress::LimitReached);
            }
        }
        (String::from_utf8(out).unwrap(), Progress::More)
    }

    #[test]
    fn parts_are_joined() {
        let (text, progress) = printed(&LogOptions::default());
        assert_eq!(text, "one\ntwo and a half\nthree\n");
        assert_eq!(progress, Progress::More);
    }

    #[test]
    fn times_stand_once_before_a_joined_line() {
        let (text, _) = printed(&LogOptions {
            timestamps: true,
            ..LogOptions::default()
        });
        assert_eq!(
            text,
            "2020-01-01T00:00:01.000000000Z one\n\
             2020-01-01T00:00:02.500000000Z two and a half\n\
             2020-01-01T00:00:04.000000000Z three\n"
        );
    }

    #[test]
    fn since_includes_its_own_instant() {
        let (text, _) = printed(&LogOptions {
            since: Some("2020-01-01T00:00:03Z".parse().unwrap()),
            ..LogOptions::default()
        });
        assert_eq!(text, "and a half\nthree\n");
    }

    #[test]
    fn limits_are_exact() {
        for (limit, expected, progress) in [
            (0, "", Progress::LimitReached),
            (3, "one", Progress::LimitReached),
            (4, "one\n", Progress::LimitReached),
            (6, "one\ntw", Progress::LimitReached),
            (25, "one\ntwo and a half\nthree\n", Progress::LimitReached),
            (26, "one\ntwo and a half\nthree\n", Progress::More),
        ] {
            let options = LogOptions {
                limit_bytes: Some(limit),
                ..LogOptions::default()
            };
            assert_eq!(
                printed(&options),
                (expected.to_owned(), progress),
                "{limit}"
            );
        }
    }
}
