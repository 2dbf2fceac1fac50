//! How entries lie in the file. Pure: bytes in, values out; it must not know transactions.
//!
//! `index` holds every kept version of a key, as KEY NUL REVISION -> whether it is a value or a
//! deletion; `records` what was written at each revision, with a checksum of its own, and `rest` what
//! of a large one lies outside; `expiry` the keys with a time to live by when they go; `lost` the gaps
//! in the revisions that a crash made; `facts` a handful of numbers.

use redb::TableDefinition;

use crate::{Entry, Key, Revision};

/// KEY NUL REVISION -> [`VALUE`] or [`DELETION`].
pub const INDEX: TableDefinition<'static, &[u8], u8> = TableDefinition::new("index");
/// REVISION -> an encoded [`Record`].
pub const RECORDS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("records");
/// REVISION PIECE -> a later piece of an encoded [`Record`].
pub const REST: TableDefinition<'static, (u64, u16), &[u8]> = TableDefinition::new("rest");
/// SECONDS KEY -> nothing.
pub const EXPIRY: TableDefinition<'static, &[u8], ()> = TableDefinition::new("expiry");
/// Last revision on disk before a crash -> first one that was certainly not handed out.
pub const LOST: TableDefinition<'static, u64, u64> = TableDefinition::new("lost");
/// Name -> number.
pub const FACTS: TableDefinition<'static, &str, u64> = TableDefinition::new("facts");

/// In `index`: a value was written.
pub const VALUE: u8 = 1;
/// In `index`: the key was removed.
pub const DELETION: u8 = 0;

/// In a record: a value that lies in pieces.
const SPLIT: u8 = 2;

/// The largest piece of a record. Pages of the file have 4 KiB, an entry is never cut by the end of
/// one, and what does not fit any more stays empty: so four pieces at least go into a page.
const PIECE: usize = 960;

/// Pieces of a record that is many pages long: each fills a page.
const PAGE: usize = 4000;

/// Records from this size on are cut into pages.
const LARGE: usize = 16 * 1024;

const HEADER: usize = 4 + 1 + 2 + 4 * 8;
const REVISION: usize = 8;

/// What was written at a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Of which key.
    pub key: &'a str,
    /// Whether it was removed.
    pub deletion: bool,
    /// When the key was created.
    pub create: u64,
    /// How often it was written since.
    pub version: u64,
    /// The revision this one replaced, or 0.
    pub previous: u64,
    /// When it goes, in seconds since 1970, or 0.
    pub expires: u64,
    /// The value; empty for a deletion.
    pub value: &'a [u8],
}

impl Record<'_> {
    /// Writes the record for `revision` over what `buffer` held.
    pub fn encode(&self, revision: u64, buffer: &mut Vec<u8>) {
        let whole = HEADER + self.key.len() + self.value.len() <= PIECE;
        let kind = match (self.deletion, whole) {
            (true, _) => DELETION,
            (false, true) => VALUE,
            (false, false) => SPLIT,
        };
        self.encode_as(kind, revision, buffer);
    }

    fn encode_as(&self, kind: u8, revision: u64, buffer: &mut Vec<u8>) {
        let key_length = u16::try_from(self.key.len()).unwrap_or(u16::MAX);
        buffer.clear();
        buffer.extend_from_slice(&[0; 4]);
        buffer.push(kind);
        buffer.extend_from_slice(&key_length.to_be_bytes());
        for number in [self.create, self.version, self.previous, self.expires] {
            buffer.extend_from_slice(&number.to_be_bytes());
        }
        buffer.extend_from_slice(self.key.as_bytes());
        buffer.extend_from_slice(self.value);
        let sum = checksum(revision, &buffer[4..]);
        buffer[..4].copy_from_slice(&sum.to_be_bytes());
    }

    /// As the first format has it, where no record is cut.
    #[cfg(test)]
    pub fn encode_uncut(&self, revision: u64, buffer: &mut Vec<u8>) {
        self.encode_as(u8::from(!self.deletion), revision, buffer);
    }

    /// The state it left the key in.
    ///
    /// # Errors
    /// When its key can't be one.
    pub fn entry(&self, revision: u64) -> Result<Entry, String> {
        Ok(Entry {
            key: self.owned_key(revision)?,
            value: bytes::Bytes::copy_from_slice(self.value),
            create_revision: Revision(self.create),
            mod_revision: Revision(revision),
            version: self.version,
        })
    }

    /// Its key.
    ///
    /// # Errors
    /// When it can't be one.
    pub fn owned_key(&self, revision: u64) -> Result<Key, String> {
        Key::new(self.key).map_err(|error| format!("the record of revision {revision}: {error}"))
    }
}

/// Reads the record of `revision` and checks that it is what was written.
///
/// # Errors
/// What is wrong with it.
pub fn decode(revision: u64, bytes: &[u8]) -> Result<Record<'_>, String> {
    let damaged = |what: &str| format!("the record of revision {revision} {what}");
    let (Some(sum), Some(head), Some(rest)) =
        (bytes.get(..4), bytes.get(4..HEADER), bytes.get(HEADER..))
    else {
        return Err(damaged("is cut short"));
    };
    if checksum(revision, &bytes[4..]).to_be_bytes() != sum {
        return Err(damaged("does not match its checksum"));
    }
    let number = |index: usize| {
        head[3 + 8 * index..]
            .iter()
            .take(8)
            .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
    };
    let key_length = usize::from(u16::from_be_bytes([head[1], head[2]]));
    let (Some(key), Some(value)) = (rest.get(..key_length), rest.get(key_length..)) else {
        return Err(damaged("has a key longer than itself"));
    };
    Ok(Record {
        key: std::str::from_utf8(key).map_err(|_| damaged("has a key that is not text"))?,
        deletion: head[0] == DELETION,
        create: number(0),
        version: number(1),
        previous: number(2),
        expires: number(3),
        value,
    })
}

/// Whether there is more of the record that begins like this.
pub fn is_split(head: &[u8]) -> bool {
    head.get(4) == Some(&SPLIT)
}

/// The pieces of an encoded record, all about as large; just one of a small record or a deletion.
pub fn pieces(record: &[u8]) -> impl Iterator<Item = &[u8]> {
    let most = match record.len() {
        _ if !is_split(record) => usize::MAX,
        ..LARGE => PIECE,
        _ => PAGE,
    };
    let count = record.len().div_ceil(most).max(1);
    record.chunks(record.len().div_ceil(count).max(1))
}

fn checksum(revision: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&revision.to_be_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

/// The place of a version in `index`.
pub fn index_key(key: &str, revision: u64) -> Vec<u8> {
    let mut place = Vec::with_capacity(key.len() + 1 + REVISION);
    place.extend_from_slice(key.as_bytes());
    place.push(0);
    place.extend_from_slice(&revision.to_be_bytes());
    place
}

/// Key and revision of a place in `index`.
pub fn split_index_key(place: &[u8]) -> Option<(&[u8], u64)> {
    let (key, revision) = place.split_last_chunk::<REVISION>()?;
    Some((key.strip_suffix(&[0])?, u64::from_be_bytes(*revision)))
}

/// The first place in `index` after all versions of `key`: keys have no control characters.
pub fn after_key(key: &str) -> Vec<u8> {
    let mut place = key.as_bytes().to_vec();
    place.push(1);
    place
}

/// The place of a key in `expiry`.
pub fn expiry_key(expires: u64, key: &str) -> Vec<u8> {
    [&expires.to_be_bytes(), key.as_bytes()].concat()
}

/// When a key goes, and which, from its place in `expiry`.
pub fn split_expiry_key(place: &[u8]) -> Option<(u64, &str)> {
    let (expires, key) = place.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*expires), std::str::from_utf8(key).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record() -> Record<'static> {
        Record {
            key: "/registry/pods/default/web",
            deletion: false,
            create: 3,
            version: 4,
            previous: 5,
            expires: 6,
            value: b"{}",
        }
    }

    #[test]
    fn records_come_back() {
        let mut buffer = vec![9; 3];
        for record in [
            record(),
            Record {
                deletion: true,
                value: b"",
                ..record()
            },
        ] {
            record.encode(7, &mut buffer);
            assert_eq!(decode(7, &buffer), Ok(record));
        }
    }

    #[test]
    fn large_records_lie_in_pieces() {
        let check = |size: usize, expected: usize| {
            let value = vec![b'x'; size];
            let record = Record {
                value: &value,
                ..record()
            };
            let mut buffer = Vec::new();
            record.encode(7, &mut buffer);
            let sizes: Vec<usize> = pieces(&buffer).map(<[u8]>::len).collect();
            assert_eq!(sizes.len(), expected, "{size}: {sizes:?}");
            assert_eq!(is_split(&buffer), expected > 1, "{size}");
            assert!(sizes.iter().all(|size| *size <= PAGE), "{size}: {sizes:?}");
            let whole: Vec<u8> = pieces(&buffer).flatten().copied().collect();
            assert_eq!(decode(7, &whole), Ok(record));
        };
        let around = HEADER + record().key.len();
        for (size, expected) in [
            (0, 1),
            (PIECE - around, 1),
            (PIECE - around + 1, 2),
            (2048, 3),
            (LARGE - around - 1, 18),
            (LARGE - around, 5),
            (3 << 20, 787),
        ] {
            check(size, expected);
        }
    }

    #[test]
    fn a_deletion_is_never_cut() {
        let key = "k".repeat(PIECE);
        let record = Record {
            key: &key,
            deletion: true,
            value: b"",
            ..record()
        };
        let mut buffer = Vec::new();
        record.encode(7, &mut buffer);
        assert_eq!(pieces(&buffer).count(), 1);
        assert_eq!(decode(7, &buffer), Ok(record));
    }

    #[test]
    fn damage_is_seen() {
        let mut buffer = Vec::new();
        record().encode(7, &mut buffer);
        for at in 0..buffer.len() {
            let mut damaged = buffer.clone();
            damaged[at] ^= 0x40;
            assert!(decode(7, &damaged).is_err(), "byte {at} changed");
            assert!(decode(7, &buffer[..at]).is_err(), "cut to {at} bytes");
        }
        assert!(decode(8, &buffer).is_err(), "in another's place");
    }

    #[test]
    fn places_sort_as_keys_and_revisions_do() {
        let order = [
            index_key("/a", 1),
            index_key("/a", 256),
            after_key("/a"),
            index_key("/a!", 1),
            index_key("/a/b", 1),
            index_key("/b", 0),
        ];
        assert!(order.is_sorted());
        assert_eq!(split_index_key(&order[1]), Some((&b"/a"[..], 256)));
        assert_eq!(split_expiry_key(&expiry_key(9, "/a")), Some((9, "/a")));
    }

    proptest! {
        #[test]
        fn never_panics(revision: u64, bytes: Vec<u8>) {
            let _ = decode(revision, &bytes);
            let _ = split_index_key(&bytes);
            let _ = split_expiry_key(&bytes);
        }
    }
}
