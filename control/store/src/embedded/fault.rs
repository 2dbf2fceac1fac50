//! What can go wrong below the engine, and how it is told. It must not know requests.

use std::io::ErrorKind;
use std::path::Path;

use crate::Error;

/// A failure of the file or the storage crate.
#[derive(Debug)]
pub enum Fault {
    /// The storage crate reported it.
    Engine(Box<redb::Error>),
    /// We found it: a record is not what was written.
    Damaged(String),
}

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Engine(Box::new(error.into()))
    }
}

impl Fault {
    /// As an error of the store in `path`, met while doing `step`.
    pub fn at(self, step: &'static str, path: &Path) -> Error {
        let path = path.to_owned();
        let error = match self {
            Self::Damaged(detail) => return Error::Corrupt { path, detail },
            Self::Engine(error) => *error,
        };
        match error {
            redb::Error::Corrupted(detail) => Error::Corrupt { path, detail },
            redb::Error::RepairAborted => Error::Corrupt {
                path,
                detail: "it can't be repaired".to_owned(),
            },
            redb::Error::DatabaseAlreadyOpen => Error::Locked { path },
            redb::Error::Io(io) if io.kind() == ErrorKind::StorageFull => Error::Full { path },
            // Neither a database nor an empty file, or shorter than its own header says.
            redb::Error::Io(io)
                if matches!(io.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
            {
                Error::Corrupt {
                    path,
                    detail: io.to_string(),
                }
            }
            other => Error::Io {
                step,
                path,
                reason: other.to_string(),
            },
        }
    }
}
