//! Whether a text is base64 as the API takes it: the standard alphabet, padded.

/// Whether the text is well-formed; line breaks are skipped, as Go does.
pub(super) fn is_base64(text: &str) -> bool {
    let mut letters = text
        .bytes()
        .filter(|b| !matches!(b, b'\n' | b'\r'))
        .collect::<Vec<_>>();
    if !letters.len().is_multiple_of(4) {
        return false;
    }
    for _ in 0..2 {
        if letters.last() == Some(&b'=') {
            letters.pop();
        }
    }
    letters
        .iter()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}
