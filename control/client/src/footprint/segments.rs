//! Which mapped pages of the running program can't have been written: the segments that its file
//! declares as such, found in the list of mappings.
//!
//! Not every read-only mapping is one: a loader writes addresses into some pages before it
//! protects them, and what is in them is in no file.

use std::fs::{self, File};
use std::io::{self, Read};

/// Bytes of an ELF file that hold its header and, in every program that a linker makes, the table
/// of its segments.
const HEAD: usize = 4096;
const PAGE: u64 = 4096;
/// `PT_LOAD`: a segment that is mapped.
const LOAD: u64 = 1;
/// `PF_W`: a segment that can be written.
const WRITABLE: u64 = 2;

/// A mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pages {
    /// Its address.
    pub start: usize,
    /// Its length in bytes.
    pub length: usize,
}

/// The pages of this program that are as its file has them; none where that can't be told.
#[must_use]
pub fn of_this_program() -> Vec<Pages> {
    let read = || -> io::Result<_> {
        let mut head = Vec::new();
        let file = File::open("/proc/self/exe")?;
        file.take(HEAD as u64).read_to_end(&mut head)?;
        let path = fs::read_link("/proc/self/exe")?;
        let maps = fs::read_to_string("/proc/self/maps")?;
        Ok((head, path, maps))
    };
    let Ok((head, path, maps)) = read() else {
        return Vec::new();
    };
    find(&unwritable(&head), &path.to_string_lossy(), &maps)
}

/// Where in the file the segments begin that are mapped and can't be written, rounded down to
/// whole pages.
fn unwritable(head: &[u8]) -> Vec<u64> {
    if head.get(..6) != Some(b"\x7fELF\x02\x01") {
        return Vec::new();
    }
    let number = |at: usize, bytes: usize| {
        let bytes = head.get(at..at.checked_add(bytes)?)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        )
    };
    let segment = |index: u64| {
        let table = number(32, 8)?.checked_add(index * number(54, 2)?)?;
        let at = usize::try_from(table).ok()?;
        let (kind, flags, offset) = (number(at, 4)?, number(at + 4, 4)?, number(at + 8, 8)?);
        (kind == LOAD && flags & WRITABLE == 0).then_some(offset / PAGE * PAGE)
    };
    (0..number(56, 2).unwrap_or(0))
        .filter_map(segment)
        .collect()
}

/// The mappings of those segments, in the text of `/proc/PID/maps`.
fn find(segments: &[u64], path: &str, maps: &str) -> Vec<Pages> {
    let pages = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let (range, permissions, offset) = (words.next()?, words.next()?, words.next()?);
        let file = words.nth(2)?;
        let offset = u64::from_str_radix(offset, 16).ok()?;
        if file != path || permissions.contains('w') || !segments.contains(&offset) {
            return None;
        }
        let (start, end) = range.split_once('-')?;
        let start = usize::from_str_radix(start, 16).ok()?;
        let length = usize::from_str_radix(end, 16).ok()?.checked_sub(start)?;
        Some(Pages { start, length })
    };
    maps.lines().filter_map(pages).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program's file: its segments are (kind, flags, offset).
    fn elf(segments: &[(u32, u32, u64)]) -> Vec<u8> {
        let mut head = vec![0; 64];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        head[32] = 64;
        head[54] = 56;
        head[56] = u8::try_from(segments.len()).unwrap();
        for (kind, flags, offset) in segments {
            let mut segment = vec![0; 56];
            segment[..4].copy_from_slice(&kind.to_le_bytes());
            segment[4..8].copy_from_slice(&flags.to_le_bytes());
            segment[8..16].copy_from_slice(&offset.to_le_bytes());
            head.extend(segment);
        }
        head
    }

    #[test]
    fn only_what_nobody_can_have_written_is_found() {
        let head = elf(&[
            (6, 4, 64),
            (1, 4, 0),
            (1, 5, 0x1234),
            (1, 6, 0x3000),
            (1, 6, 0x4000),
        ]);
        assert_eq!(unwritable(&head), [0, 0x1000]);
        let maps = "\
            00400000-00401000 r--p 00000000 08:01 7 /bin/keelson\n\
            00401000-00403000 r-xp 00001000 08:01 7 /bin/keelson\n\
            00403000-00404000 r--p 00003000 08:01 7 /bin/keelson\n\
            00404000-00405000 rw-p 00004000 08:01 7 /bin/keelson\n\
            00405000-00406000 rw-p 00000000 00:00 0 \n\
            00406000-00407000 r-xp 00001000 08:01 8 /lib/other\n";
        let of = |start, length| Pages { start, length };
        let found = find(&unwritable(&head), "/bin/keelson", maps);
        assert_eq!(found, [of(0x0040_0000, 0x1000), of(0x0040_1000, 0x2000)]);
    }

    #[test]
    fn what_is_no_program_has_no_segments() {
        for head in [
            &b""[..],
            b"#!/bin/sh",
            b"\x7fELF\x01\x01",
            &elf(&[(1, 4, 0)])[..70],
        ] {
            assert_eq!(unwritable(head), Vec::<u64>::new());
        }
    }
}
