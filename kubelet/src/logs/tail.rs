//! The place from which the last lines of a file begin, found from its end.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes read at once.
const BLOCK: usize = 8 * 1024;

/// Where the last `lines` complete lines of the first `size` bytes begin. A last line without a
/// newline does not count as one, and comes after them.
pub(super) fn start_of_last_lines(file: &File, size: u64, lines: u64) -> io::Result<u64> {
    let mut block = [0; BLOCK];
    let mut newlines = 0;
    let mut end = size;
    while end > 0 {
        let start = end.saturating_sub(BLOCK as u64);
        let bytes = &mut block[..usize::try_from(end - start).map_err(io::Error::other)?];
        file.read_exact_at(bytes, start)?;
        for (index, _) in bytes.iter().enumerate().rev().filter(|(_, b)| **b == b'\n') {
            newlines += 1;
            if newlines > lines {
                return Ok(start + index as u64 + 1);
            }
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn start(text: &str, lines: u64) -> u64 {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        start_of_last_lines(&file, text.len() as u64, lines).unwrap()
    }

    #[test]
    fn starts() {
        for (text, lines, expected) in [
            ("", 0, 0),
            ("", 5, 0),
            ("a\nb\nc\n", 0, 6),
            ("a\nb\nc\n", 1, 4),
            ("a\nb\nc\n", 3, 0),
            ("a\nb\nc\n", 9, 0),
            ("a\nb\nc", 1, 2),
            ("a\nb\nc", 0, 4),
            ("abc", 1, 0),
            ("\n\n\n", 2, 1),
        ] {
            assert_eq!(start(text, lines), expected, "{text:?} {lines}");
        }
    }

    proptest! {
        #[test]
        fn blocks_do_not_matter(lengths in prop::collection::vec(0usize..6000, 0..12), lines in 0u64..14) {
            let text: String = lengths.iter().map(|length| "x".repeat(*length) + "\n").collect();
            let skipped = lengths.len().saturating_sub(usize::try_from(lines).unwrap());
            let expected: usize = lengths[..skipped].iter().map(|length| length + 1).sum();
            prop_assert_eq!(start(&text, lines), expected as u64);
        }
    }
}
