//! Go's `%q`: text in double quotes with Go's escapes, as upstream's messages and downward API
//! files carry it.

use std::fmt::Write;

/// The text in double quotes, escaped as Go escapes it.
#[must_use]
pub fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        push(&mut out, c);
    }
    out.push('"');
    out
}

fn push(out: &mut String, c: char) {
    let short = match c {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\u{7}' => "\\a",
        '\u{8}' => "\\b",
        '\u{c}' => "\\f",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        '\u{b}' => "\\v",
        _ => "",
    };
    let code = u32::from(c);
    // Writing to a String cannot fail.
    let _ = match c {
        _ if !short.is_empty() => write!(out, "{short}"),
        c if code < 0x20 || code == 0x7f => write!(out, "\\x{:02x}", u32::from(c)),
        c if unprintable(c) && code <= 0xffff => write!(out, "\\u{code:04x}"),
        c if unprintable(c) => write!(out, "\\U{code:08x}"),
        c => write!(out, "{c}"),
    };
}

/// Controls, odd spaces and format characters, which Go does not print as they are.
fn unprintable(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{e000}'..='\u{f8ff}')
}

#[cfg(test)]
mod tests {
    use super::go_quote;

    #[test]
    fn escapes_as_go_does() {
        let cases = [
            ("plain", "\"plain\""),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("a\nb\tc", "\"a\\nb\\tc\""),
            ("\u{0}\u{7f}", "\"\\x00\\x7f\""),
            ("é😀", "\"é😀\""),
            ("\u{a0}", "\"\\u00a0\""),
            ("\u{feff}", "\"\\ufeff\""),
        ];
        for (text, expected) in cases {
            assert_eq!(go_quote(text), expected);
        }
    }
}
