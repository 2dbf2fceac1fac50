//! A snapshot: every key as of one revision, in one file that any engine can be restored from. This
//! module knows the format; it must not know engines.
//!
//! The file is a header, a record per key, an end record with the number of keys, and the SHA-256 of
//! everything before it. Numbers are big-endian.

pub mod command;
pub mod restore;
pub mod save;

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::{Error as StoreError, MAX_VALUE, Revision};

const MAGIC: &[u8; 12] = b"keelson-snap";
const FORMAT: u32 = 1;
const HASH: usize = 32;
const NUMBERS: usize = 4;
/// Longest record that a file may claim: a key, a value and their numbers.
const LONGEST: usize = 8 * NUMBERS + 2 + u16::MAX as usize + 4 * MAX_VALUE;

/// Why a snapshot was not taken, read or restored.
#[derive(Debug, Error)]
pub enum Error {
    /// A file can't be read or written.
    #[error("{step} {}: {source}", path.display())]
    File {
        /// What was tried.
        step: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what was written.
    #[error("{} is not a whole snapshot: {detail}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// There is something where the snapshot would go.
    #[error("{target} is not empty: restore into a new one, or move it away first")]
    NotEmpty {
        /// The folder, or the cluster.
        target: String,
    },
    /// A file of that name is there already.
    #[error("{} is there already: name another file", path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// The engine failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One key of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: Vec<u8>,
    /// When it was created.
    pub create: u64,
    /// When it was written last.
    pub modified: u64,
    /// How often it was written.
    pub version: u64,
    /// When it goes, in seconds since 1970; 0 when it stays.
    pub expires: u64,
}

/// What a snapshot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The revision it shows.
    pub revision: Revision,
    /// How many keys.
    pub keys: u64,
    /// Bytes of the file.
    pub size: u64,
    /// The SHA-256 at its end, in hexadecimal.
    pub hash: String,
}

/// Writes a snapshot, key by key.
pub struct Writer<W> {
    out: W,
    hasher: Sha256,
    revision: Revision,
    keys: u64,
    size: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a snapshot of `revision`.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn begin(out: W, revision: Revision) -> io::Result<Self> {
        let mut writer = Self {
            out,
            hasher: Sha256::new(),
            revision,
            keys: 0,
            size: 0,
        };
        writer.put(MAGIC)?;
        writer.put(&FORMAT.to_be_bytes())?;
        writer.put(&revision.0.to_be_bytes())?;
        Ok(writer)
    }

    /// Adds a key.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn add(&mut self, key: &str, value: &[u8], numbers: [u64; NUMBERS]) -> io::Result<()> {
        let too_long = |_| io::Error::other(format!("{key} is too long"));
        let key_length = u16::try_from(key.len()).map_err(too_long)?;
        let length = 8 * NUMBERS + 2 + key.len() + value.len();
        let length = u32::try_from(length).map_err(too_long)?;
        self.put(&length.to_be_bytes())?;
        for number in numbers {
            self.put(&number.to_be_bytes())?;
        }
        self.put(&key_length.to_be_bytes())?;
        self.put(key.as_bytes())?;
        self.put(value)?;
        self.keys += 1;
        Ok(())
    }

    /// Ends the snapshot.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn finish(mut self) -> io::Result<Summary> {
        self.put(&0_u32.to_be_bytes())?;
        self.put(&self.keys.to_be_bytes())?;
        let hash = self.hasher.finalize();
        self.out.write_all(&hash)?;
        self.out.flush()?;
        Ok(Summary {
            revision: self.revision,
            keys: self.keys,
            size: self.size + HASH as u64,
            hash: hex::encode(hash),
        })
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}

/// Reads a snapshot to its end and calls `each` with every key. What was called before the end was
/// reached is not confirmed yet: [`verify`] first.
///
/// # Errors
/// [`Error::Damaged`] when the file is not what was written, and whatever `each` fails with.
pub fn read(
    path: &Path,
    input: impl Read,
    mut each: impl FnMut(Revision, Kept) -> Result<(), Error>,
) -> Result<Summary, Error> {
    let mut reader = Reader {
        path,
        input,
        hasher: Sha256::new(),
        size: 0,
    };
    let revision = reader.header()?;
    let mut keys = 0;
    while let Some(kept) = reader.record()? {
        each(revision, kept)?;
        keys += 1;
    }
    let hash = reader.end(keys)?;
    Ok(Summary {
        revision,
        keys,
        size: reader.size + HASH as u64,
        hash,
    })
}

/// Checks a snapshot from end to end.
///
/// # Errors
/// As [`read`].
pub fn verify(path: &Path) -> Result<Summary, Error> {
    read(path, open(path)?, |_, _| Ok(()))
}

/// Opens a snapshot for reading.
fn open(path: &Path) -> Result<impl Read + use<>, Error> {
    let file = std::fs::File::open(path).map_err(|source| Error::File {
        step: "opening",
        path: path.to_owned(),
        source,
    })?;
    Ok(io::BufReader::with_capacity(256 * 1024, file))
}

struct Reader<'a, R> {
    path: &'a Path,
    input: R,
    hasher: Sha256,
    size: u64,
}

impl<R: Read> Reader<'_, R> {
    fn header(&mut self) -> Result<Revision, Error> {
        if self.take::<12>()? != *MAGIC {
            return Err(self.damaged("it does not begin as one"));
        }
        let format = u32::from_be_bytes(self.take()?);
        if format != FORMAT {
            let detail = format!("its format is {format}, this program knows {FORMAT}");
            return Err(self.damaged(&detail));
        }
        Ok(Revision(u64::from_be_bytes(self.take()?)))
    }

    fn record(&mut self) -> Result<Option<Kept>, Error> {
        let length = u32::from_be_bytes(self.take()?) as usize;
        if length == 0 {
            return Ok(None);
        }
        if !(8 * NUMBERS + 2..=LONGEST).contains(&length) {
            return Err(self.damaged("a record has an impossible length"));
        }
        let [create, modified, version, expires] = [
            self.number()?,
            self.number()?,
            self.number()?,
            self.number()?,
        ];
        let key_length = usize::from(u16::from_be_bytes(self.take()?));
        let Some(value_length) = (length - 8 * NUMBERS - 2).checked_sub(key_length) else {
            return Err(self.damaged("a key is longer than its record"));
        };
        let key = self.bytes(key_length)?;
        let key = String::from_utf8(key).map_err(|_| self.damaged("a key is not text"))?;
        Ok(Some(Kept {
            key,
            value: self.bytes(value_length)?,
            create,
            modified,
            version,
            expires,
        }))
    }

    fn end(&mut self, keys: u64) -> Result<String, Error> {
        if self.number()? != keys {
            return Err(self.damaged("its number of keys is not what its end says"));
        }
        let expected = self.hasher.finalize_reset();
        let mut hash = [0; HASH];
        self.input
            .read_exact(&mut hash)
            .map_err(|error| self.cut(&error))?;
        if expected[..] != hash {
            return Err(self.damaged("it does not match its hash"));
        }
        if self
            .input
            .read(&mut [0])
            .map_err(|error| self.cut(&error))?
            != 0
        {
            return Err(self.damaged("something follows its end"));
        }
        Ok(hex::encode(hash))
    }

    fn number(&mut self) -> Result<u64, Error> {
        Ok(u64::from_be_bytes(self.take()?))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn bytes(&mut self, length: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.input
            .read_exact(bytes)
            .map_err(|error| self.cut(&error))?;
        self.hasher.update(&*bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn cut(&self, error: &io::Error) -> Error {
        self.damaged(&format!(
            "reading stopped after {} bytes: {error}",
            self.size
        ))
    }

    fn damaged(&self, detail: &str) -> Error {
        Error::Damaged {
            path: self.path.to_owned(),
            detail: detail.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(keys: &[(&str, &[u8])]) -> (Vec<u8>, Summary) {
        let mut bytes = Vec::new();
        let mut writer = Writer::begin(&mut bytes, Revision(9)).unwrap();
        for (key, value) in keys {
            writer.add(key, value, [1, 2, 3, 4]).unwrap();
        }
        let summary = writer.finish().unwrap();
        (bytes, summary)
    }

    fn read_back(bytes: &[u8]) -> Result<(Vec<Kept>, Summary), Error> {
        let mut all = Vec::new();
        let summary = read(Path::new("a-file"), bytes, |_, kept| {
            all.push(kept);
            Ok(())
        })?;
        Ok((all, summary))
    }

    #[test]
    fn comes_back() {
        let (bytes, summary) = written(&[("/registry/a", b"one"), ("/registry/b", b"")]);
        assert_eq!(summary.size, bytes.len() as u64);
        let (all, read) = read_back(&bytes).unwrap();
        assert_eq!(read, summary);
        assert_eq!(
            (all[0].key.as_str(), all[0].value.as_slice()),
            ("/registry/a", &b"one"[..])
        );
        assert_eq!(
            (
                all[0].create,
                all[0].modified,
                all[0].version,
                all[0].expires
            ),
            (1, 2, 3, 4)
        );
        assert_eq!(all.len(), 2);
    }

    #[test]
    fn damage_is_seen() {
        let (bytes, _) = written(&[("/registry/a", b"one"), ("/registry/b", b"two")]);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(read_back(&damaged).is_err(), "byte {at} changed");
            assert!(read_back(&bytes[..at]).is_err(), "cut to {at} bytes");
        }
        let longer = [&bytes[..], b"x"].concat();
        assert!(read_back(&longer).is_err(), "more behind the end");
    }

    proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>) {
            prop_assert!(read_back(&bytes).is_err());
            let (mut good, _) = written(&[("/a", b"b")]);
            good.truncate(24);
            good.extend(bytes);
            prop_assert!(read_back(&good).is_err());
        }
    }
}
