//! One line of a CRI log file: `TIME STREAM TAGS TEXT`. Pure.

use jiff::Timestamp;

/// Which of the container's streams wrote the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A parsed line; text and time are borrowed from the file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// When it was written.
    pub time: Timestamp,
    /// The same as written in the file, with its zone.
    pub written_time: &'a str,
    /// Who wrote it.
    pub stream: Stream,
    /// True if the next line of that stream continues this one.
    pub partial: bool,
    /// What was written. Ends in a newline unless partial or cut off.
    pub text: &'a [u8],
}

/// Why bytes are not a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// There is no time, or it is not RFC 3339.
    #[error("log line does not begin with an RFC 3339 time")]
    Time,
    /// The second word is neither `stdout` nor `stderr`.
    #[error("log line names no stream: expected stdout or stderr")]
    Stream,
    /// There is no third word.
    #[error("log line has no tag")]
    Tag,
}

impl<'a> Line<'a> {
    /// Reads one line, with or without its newline.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let (time, rest) = word(bytes).ok_or(FormatError::Time)?;
        let written_time = std::str::from_utf8(time).map_err(|_| FormatError::Time)?;
        let time = parse_time(written_time).ok_or(FormatError::Time)?;
        let (stream, rest) = word(rest).ok_or(FormatError::Stream)?;
        let stream = match stream {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return Err(FormatError::Stream),
        };
        let (tags, text) = word(rest).ok_or(FormatError::Tag)?;
        let partial = tags.split(|byte| *byte == b':').next() == Some(b"P");
        let text = match text.strip_suffix(b"\n") {
            Some(stripped) if partial => stripped,
            _ => text,
        };
        Ok(Self {
            time,
            written_time,
            stream,
            partial,
            text,
        })
    }
}

fn word(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b' ')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// The date and time library reads many shapes; log files have only this one.
fn parse_time(text: &str) -> Option<Timestamp> {
    const SHAPE: &[u8] = b"dddd-dd-ddTdd:dd:dd";
    let (head, tail) = text.as_bytes().split_at_checked(SHAPE.len())?;
    let fits = head.iter().zip(SHAPE).all(|(byte, shape)| match shape {
        b'd' => byte.is_ascii_digit(),
        other => byte == other,
    });
    let zone = tail
        .iter()
        .position(|byte| matches!(byte, b'Z' | b'+' | b'-'))?;
    let (fraction, zone) = tail.split_at(zone);
    let fraction_fits = match fraction.split_first() {
        None => true,
        Some((point, digits)) => {
            *point == b'.'
                && (1..=9).contains(&digits.len())
                && digits.iter().all(u8::is_ascii_digit)
        }
    };
    let zone_fits = match zone {
        b"Z" => true,
        [_, a, b, b':', c, d] => [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()),
        _ => false,
    };
    (fits && fraction_fits && zone_fits).then(|| text.parse().ok())?
}

/// Appends a time as `--timestamps` shows it: always nine digits of fraction, zone kept.
pub fn push_fixed_time(out: &mut Vec<u8>, written: &str) {
    let bytes = written.as_bytes();
    let zone = bytes
        .iter()
        .skip(19)
        .position(|byte| matches!(byte, b'Z' | b'+' | b'-'))
        .map_or(bytes.len(), |position| position + 19);
    let (time, zone) = bytes.split_at(zone);
    let digits = time.len().saturating_sub(20);
    out.extend_from_slice(time);
    if digits == 0 {
        out.push(b'.');
    }
    out.extend(std::iter::repeat_n(b'0', 9usize.saturating_sub(digits)));
    let zero_offset = matches!(zone, b"+00:00" | b"-00:00");
    out.extend_from_slice(if zero_offset { b"Z" } else { zone });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(bytes: &str, expected: Result<(Stream, bool, &str), FormatError>) {
        let parsed = Line::parse(bytes.as_bytes());
        let seen = parsed.map(|line| {
            let text = std::str::from_utf8(line.text).unwrap();
            (line.stream, line.partial, text)
        });
        assert_eq!(seen, expected, "{bytes:?}");
    }

    #[test]
    fn lines() {
        const T: &str = "2016-10-06T00:17:09.669794202Z";
        let ok = |rest: &str| format!("{T} {rest}");
        check(&ok("stdout F a b\n"), Ok((Stream::Stdout, false, "a b\n")));
        check(&ok("stderr P part\n"), Ok((Stream::Stderr, true, "part")));
        check(&ok("stdout P:x part\n"), Ok((Stream::Stdout, true, "part")));
        check(&ok("stdout F:x y\n"), Ok((Stream::Stdout, false, "y\n")));
        check(&ok("stdout F \n"), Ok((Stream::Stdout, false, "\n")));
        check(&ok("stdout F cut"), Ok((Stream::Stdout, false, "cut")));
        check(&ok("stdlog F x\n"), Err(FormatError::Stream));
        check(&ok("stdout"), Err(FormatError::Stream));
        check(&ok("stdout F"), Err(FormatError::Tag));
        check("", Err(FormatError::Time));
        check("\n", Err(FormatError::Time));
        check("yesterday stdout F x\n", Err(FormatError::Time));
    }

    #[test]
    fn times() {
        for (text, nanosecond) in [
            ("1970-01-01T00:00:01Z", Some(1_000_000_000)),
            ("1970-01-01T00:00:01.5Z", Some(1_500_000_000)),
            ("1970-01-01T01:00:00.000000001+01:00", Some(1)),
            ("1970-01-01T00:00:01.Z", None),
            ("1970-01-01T00:00:01.0123456789Z", None),
            ("1970-01-01 00:00:01Z", None),
            ("1970-01-01T00:00:01", None),
            ("1970-01-01T00:00:01Z[UTC]", None),
            ("1970-13-01T00:00:01Z", None),
        ] {
            let parsed = parse_time(text).map(Timestamp::as_nanosecond);
            assert_eq!(parsed, nanosecond, "{text}");
        }
    }

    #[test]
    fn fixed_times() {
        for (written, shown) in [
            ("2016-10-06T00:17:09Z", "2016-10-06T00:17:09.000000000Z"),
            ("2016-10-06T00:17:09.66Z", "2016-10-06T00:17:09.660000000Z"),
            (
                "2016-10-06T00:17:09.123456789+02:00",
                "2016-10-06T00:17:09.123456789+02:00",
            ),
            (
                "2016-10-06T00:17:09.1+00:00",
                "2016-10-06T00:17:09.100000000Z",
            ),
        ] {
            let mut out = Vec::new();
            push_fixed_time(&mut out, written);
            assert_eq!(String::from_utf8(out).unwrap(), shown);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = Line::parse(&bytes);
        }

        #[test]
        fn a_written_line_is_read_back(
            second in 0i64..4_000_000_000, nano in 0i32..1_000_000_000,
            stderr: bool, partial: bool, text in "[^\n]{0,64}",
        ) {
            let time = Timestamp::new(second, nano).unwrap();
            let stream = if stderr { "stderr" } else { "stdout" };
            let tag = if partial { "P" } else { "F" };
            let written = format!("{time} {stream} {tag} {text}\n");
            let line = Line::parse(written.as_bytes()).unwrap();
            prop_assert_eq!(line.time, time);
            prop_assert_eq!(line.stream == Stream::Stderr, stderr);
            let expected = if partial { text } else { text + "\n" };
            prop_assert_eq!(line.text, expected.as_bytes());
        }
    }
}
