//! Opens the file: one process at a time, checked from end to end, never half made. It must not
//! know requests.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Builder, Database, ReadableTable, WriteTransaction};
use rustix::fs::{FlockOperation, flock};

use super::fault::Fault;
use super::layout::{EXPIRY, FACTS, INDEX, LOST, RECORDS, REST};
use super::transaction::Position;
use crate::Error;

/// Pages of the file that are kept in memory, in bytes. The system's own cache stands behind.
const CACHE: usize = 4 * 1024 * 1024;

/// The file's name in its folder.
pub const NAME: &str = "store.redb";

/// The layout of the tables; one that is not known is refused.
const FORMAT: u64 = 2;

/// The layout before that, in which every record lay in one piece: read, and written on as the new one.
const IN_ONE_PIECE: u64 = 1;

/// A lock on the folder; gone with the value or the process.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the folder for this process, making it when it is not there.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process has it.
    pub fn take(folder: &Path) -> Result<Self, Error> {
        let failed = |step| move |error: std::io::Error| io(step, folder, &error);
        fs::create_dir_all(folder).map_err(failed("making the folder"))?;
        let path = folder.join("lock");
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let file = options.open(&path).map_err(failed("opening the lock of"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Locked {
                path: folder.to_owned(),
            }),
            Err(errno) => Err(io("locking", folder, &errno.into())),
        }
    }
}

/// Opens the file of `folder`, which is locked, and makes it when there is none. All of it is read
/// and checked.
///
/// # Errors
/// [`Error::Corrupt`] when it is damaged.
pub fn open(folder: &Path) -> Result<(Database, Position, PathBuf), Error> {
    let path = folder.join(NAME);
    if !path.exists() {
        Draft::begin(folder)?.publish(Position::default())?;
    }
    let opened = guarded(&path, || {
        let database = checked_builder().open(&path)?;
        let position = begin(&database)?;
        Ok((database, position))
    });
    opened.map(|(database, position)| (database, position, path))
}

/// A file in the making, under another name.
pub struct Draft {
    database: Database,
    folder: PathBuf,
    draft: PathBuf,
    path: PathBuf,
}

impl Draft {
    /// Begins a file in `folder`, which is locked, with empty tables.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn begin(folder: &Path) -> Result<Self, Error> {
        let (path, draft) = (folder.join(NAME), folder.join("store.redb.new"));
        let failed = |step| {
            let path = path.clone();
            move |error: std::io::Error| io(step, &path, &error)
        };
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed("removing an unfinished")(error));
            }
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.create_new(true).write(true).mode(0o600);
        options.open(&draft).map_err(failed("making"))?;
        let database = make(&draft).map_err(|fault| fault.at("making", &path))?;
        Ok(Self {
            database,
            folder: folder.to_owned(),
            draft,
            path,
        })
    }

    /// The tables, to be filled.
    pub const fn database(&self) -> &Database {
        &self.database
    }

    /// What a fault in filling it means.
    pub fn explain(&self, fault: Fault) -> Error {
        fault.at("making", &self.path)
    }

    /// Gives the file its name when all of it is on disk.
    ///
    /// # Errors
    /// When that fails.
    pub fn publish(self, position: Position) -> Result<(), Error> {
        seal(&self.database, position).map_err(|fault| self.explain(fault))?;
        let Self {
            database,
            folder,
            draft,
            path,
        } = self;
        drop(database);
        let failed = |step| {
            let path = path.clone();
            move |error: std::io::Error| io(step, &path, &error)
        };
        fs::rename(&draft, &path).map_err(failed("naming"))?;
        let folder = File::open(&folder).map_err(failed("opening the folder of"))?;
        folder.sync_all().map_err(failed("syncing the folder of"))
    }
}

fn make(path: &Path) -> Result<Database, Fault> {
    let database = Builder::new().set_cache_size(CACHE).create(path)?;
    let transaction = database.begin_write()?;
    open_all(&transaction)?;
    transaction.open_table(FACTS)?.insert("format", FORMAT)?;
    transaction.commit()?;
    Ok(database)
}

fn seal(database: &Database, position: Position) -> Result<(), Fault> {
    let transaction = database.begin_write()?;
    position.save(&transaction)?;
    Ok(transaction.commit()?)
}

fn open_all(transaction: &WriteTransaction) -> Result<(), Fault> {
    transaction.open_table(INDEX)?;
    transaction.open_table(RECORDS)?;
    transaction.open_table(REST)?;
    transaction.open_table(EXPIRY)?;
    transaction.open_table(LOST)?;
    Ok(())
}

fn checked_builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE);
    builder.set_check_integrity_on_open(true);
    builder
}

/// Reads the numbers of the last commit and steps over revisions that a crash may have taken back.
fn begin(database: &Database) -> Result<Position, Fault> {
    let transaction = database.begin_write()?;
    let format = transaction
        .open_table(FACTS)?
        .get("format")?
        .map(|fact| fact.value());
    if !matches!(format, Some(FORMAT | IN_ONE_PIECE)) {
        let found = format.map_or_else(|| "none".to_owned(), |number| number.to_string());
        return Err(Fault::Damaged(format!(
            "its format is {found}, this program knows {FORMAT}"
        )));
    }
    open_all(&transaction)?;
    transaction.open_table(FACTS)?.insert("format", FORMAT)?;
    let mut position = Position::load(&transaction)?;
    {
        let mut lost = transaction.open_table(LOST)?;
        lost.retain(|_, to| to > position.compacted)?;
        if position.ceiling > position.revision {
            lost.insert(position.revision, position.ceiling)?;
            position.revision = position.ceiling;
        }
    }
    position.ceiling = position.revision;
    position.save(&transaction)?;
    transaction.commit()?;
    Ok(position)
}

/// Runs `work` on a file that may be damaged in a way the storage crate stumbles over.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Error> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|fault| fault.at("opening", path)),
        Err(panic) => Err(Error::Corrupt {
            path: path.to_owned(),
            detail: panic_text(panic.as_ref()),
        }),
    }
}

/// What a panic said.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "the storage engine stopped without a word".to_owned())
}

fn io(step: &'static str, path: &Path, error: &std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::StorageFull {
        return Error::Full {
            path: path.to_owned(),
        };
    }
    Error::Io {
        step,
        path: path.to_owned(),
        reason: error.to_string(),
    }
}
