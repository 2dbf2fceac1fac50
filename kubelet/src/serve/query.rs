//! Query strings as the API's parameter decoder reads them. Pure.

use std::borrow::Cow;

/// The decoded pairs of a query string, in order; names may repeat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the part of a URI after `?`. Broken escapes make that pair be left out, as the
    /// reference does.
    pub fn parse(raw: &str) -> Self {
        Self(raw.split('&').filter_map(decode_pair).collect())
    }

    /// The query of a URI; empty where it has none.
    pub fn of(uri: &hyper::Uri) -> Self {
        uri.query().map(Self::parse).unwrap_or_default()
    }

    /// The first value given for `name`.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value given for `name`, in order.
    pub fn all<'q, 'n>(&'q self, name: &'n str) -> impl Iterator<Item = &'q str> + use<'q, 'n> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A boolean parameter: absent, `0` or any spelling of `false` is false; everything else,
    /// an empty value included, is true.
    pub fn flag(&self, name: &str) -> bool {
        self.first(name)
            .is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }
}

fn decode_pair(pair: &str) -> Option<(String, String)> {
    if pair.is_empty() || pair.contains(';') {
        return None;
    }
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    Some((decode(name, true)?, decode(value, true)?))
}

/// Decodes one segment of a path (`+` stays a plus there). `None` on a broken escape or on bytes
/// that are not UTF-8.
pub fn decode_segment(segment: &str) -> Option<Cow<'_, str>> {
    if segment.contains('%') {
        decode(segment, false).map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(segment))
    }
}

fn decode(text: &str, plus_is_space: bool) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_in_order() {
        let query = Query::parse("command=sh&command=-c&command=echo+a%20b%2B&tty&x=%zz&&y=1");
        let command: Vec<_> = query.all("command").collect();
        assert_eq!(command, ["sh", "-c", "echo a b+"]);
        assert_eq!(query.first("tty"), Some(""));
        assert_eq!(query.first("x"), None);
        assert_eq!(query.first("y"), Some("1"));
    }

    #[test]
    fn flags() {
        for (text, expected) in [
            ("", false),
            ("follow", true),
            ("follow=", true),
            ("follow=true", true),
            ("follow=1", true),
            ("follow=no", true),
            ("follow=0", false),
            ("follow=False", false),
            ("other=1", false),
        ] {
            assert_eq!(Query::parse(text).flag("follow"), expected, "{text}");
        }
    }

    #[test]
    fn segments_keep_plus_and_refuse_broken_escapes() {
        assert_eq!(decode_segment("a+b").as_deref(), Some("a+b"));
        assert_eq!(decode_segment("a%2fb").as_deref(), Some("a/b"));
        assert_eq!(decode_segment("a%2").as_deref(), None);
        assert_eq!(decode_segment("%ff").as_deref(), None);
    }
}
