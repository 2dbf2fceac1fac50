//! Reading a log file to a reader that may be slow: tail, limits and follow.
//!
//! Guarantees: a follower sees every line of the files it passes through once and in order, also
//! across rotation: it leaves a file only when its successor exists and its writer is known to
//! have gone over. At most one chunk is read ahead of the reader.
//! Assumptions: files are rotated by rename; the directory is local.
//! Caveats: rotated files that are compressed already are not read.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::format::{FormatError, Line};
use super::plan::{COMPRESSED, TEMPORARY};
use super::print::{LogOptions, Printer, Progress};
use super::tail::start_of_last_lines;
use super::watch::{Change, DirectoryWatch};

/// Bytes read at once.
const CHUNK: usize = 32 * 1024;
/// A line longer than this is no line of a runtime's log.
const MAX_LINE: usize = 4 << 20;

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file is not there or not readable.
    #[error("failed to open log file {path:?}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// Reading failed half-way.
    #[error("failed to read log file {path:?}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// The file's first line is not of the CRI format.
    #[error("unsupported log format in {path:?}: {source}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with the line.
        source: FormatError,
    },
    /// A line never ends.
    #[error("log file {path:?} has a line longer than {MAX_LINE} bytes")]
    LineTooLong {
        /// The file.
        path: PathBuf,
    },
}

/// A log file opened at the place from which it is to be shown.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    file: Arc<File>,
    offset: u64,
    pending: Vec<u8>,
    printer: Printer,
    follow: bool,
    lines_left: Option<u64>,
    format_known: bool,
}

/// How a run over a file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    End,
    Stop,
}

impl LogReader {
    /// Opens the log and finds the first line to show.
    pub fn open(path: &Path, options: &LogOptions) -> Result<Self, ReadError> {
        let failed = |source| ReadError::Open {
            path: path.to_owned(),
            source,
        };
        let path = path.canonicalize().map_err(failed)?;
        let file = File::open(&path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let offset = match options.tail_lines {
            None => 0,
            Some(lines) => start_of_last_lines(&file, size, lines).map_err(failed)?,
        };
        Ok(Self {
            path,
            file: Arc::new(file),
            offset,
            pending: Vec::new(),
            printer: Printer::new(options),
            follow: options.follow,
            lines_left: options.tail_lines.filter(|_| !options.follow),
            format_known: false,
        })
    }

    /// Sends the log, and if asked to follow, what comes, until `running` is false and all is
    /// read. Returns early and without error if the reader has gone.
    pub async fn run<E>(
        mut self,
        running: watch::Receiver<bool>,
        out: &mpsc::Sender<Result<Bytes, E>>,
    ) -> Result<(), ReadError> {
        if self.follow {
            return self.follow(running, out).await;
        }
        if self.read_to_end(out).await? == Reached::End {
            self.last_words(out).await?;
        }
        Ok(())
    }

    async fn follow<E>(
        &mut self,
        mut running: watch::Receiver<bool>,
        out: &mpsc::Sender<Result<Bytes, E>>,
    ) -> Result<(), ReadError> {
        if self.read_to_end(out).await? == Reached::Stop {
            return Ok(());
        }
        let log = self
            .path
            .file_name()
            .map(OsString::from)
            .unwrap_or_default();
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        let mut watch = DirectoryWatch::new(directory);
        let (mut closed, mut stopped) = (false, false);
        loop {
            // What is seen here is acted on only after the file was read once more.
            let leave = closed || stopped || self.successor_is_written();
            stopped = stopped || has_stopped(&running);
            if self.read_to_end(out).await? == Reached::Stop {
                return Ok(());
            }
            if leave && self.go_to_successor()? {
                closed = false;
                continue;
            }
            if stopped {
                if leave {
                    return self.last_words(out).await;
                }
                continue;
            }
            tokio::select! {
                change = watch.changed(&log) => closed |= change == Change::RotatedFileClosed,
                _ = running.changed() => {}
                () = out.closed() => return Ok(()),
            }
        }
    }

    /// Sends what there is up to the end of the file.
    async fn read_to_end<E>(
        &mut self,
        out: &mpsc::Sender<Result<Bytes, E>>,
    ) -> Result<Reached, ReadError> {
        loop {
            if self.lines_left == Some(0) {
                return Ok(Reached::Stop);
            }
            if self.fill().await? == 0 {
                return Ok(Reached::End);
            }
            let mut text = Vec::new();
            let progress = self.print_lines(&mut text)?;
            let gone = !text.is_empty() && out.send(Ok(text.into())).await.is_err();
            if gone || progress == Progress::LimitReached {
                return Ok(Reached::Stop);
            }
        }
    }

    /// Reads the next chunk behind what is pending.
    async fn fill(&mut self) -> Result<usize, ReadError> {
        let (file, offset) = (Arc::clone(&self.file), self.offset);
        let mut buffer = std::mem::take(&mut self.pending);
        let read = tokio::task::spawn_blocking(move || {
            let kept = buffer.len();
            buffer.resize(kept + CHUNK, 0);
            let read = file.read_at(&mut buffer[kept..], offset);
            buffer.truncate(kept + *read.as_ref().unwrap_or(&0));
            let shrunk = read.as_ref().is_ok_and(|read| *read == 0)
                && file.metadata().is_ok_and(|data| data.len() < offset);
            (buffer, read, shrunk)
        });
        let (buffer, read, shrunk) = read
            .await
            .map_err(io::Error::other)
            .map_err(|source| self.unreadable(source))?;
        self.pending = buffer;
        if shrunk {
            self.offset = 0;
            self.pending.clear();
        }
        let read = read.map_err(|source| self.unreadable(source))?;
        self.offset += read as u64;
        Ok(read)
    }

    fn unreadable(&self, source: io::Error) -> ReadError {
        ReadError::Read {
            path: self.path.clone(),
            source,
        }
    }

    /// Prints the complete lines that are pending and keeps the rest.
    fn print_lines(&mut self, out: &mut Vec<u8>) -> Result<Progress, ReadError> {
        let pending = std::mem::take(&mut self.pending);
        let mut rest = pending.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end + 1);
            rest = after;
            if self.lines_left == Some(0) {
                return Ok(Progress::LimitReached);
            }
            if self.print_line(line, out)? == Progress::LimitReached {
                return Ok(Progress::LimitReached);
            }
        }
        if rest.len() > MAX_LINE {
            return Err(ReadError::LineTooLong {
                path: self.path.clone(),
            });
        }
        self.pending = rest.to_vec();
        Ok(Progress::More)
    }

    /// A broken line among good ones is left out; a broken first line tells that this is no log.
    fn print_line(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Progress, ReadError> {
        match Line::parse(bytes) {
            Ok(line) => {
                self.format_known = true;
                self.lines_left = self.lines_left.map(|left| left - 1);
                Ok(self.printer.print(&line, out))
            }
            Err(_) if self.format_known => Ok(Progress::More),
            Err(source) => Err(ReadError::Format {
                path: self.path.clone(),
                source,
            }),
        }
    }

    /// Sends a last line that has no newline.
    async fn last_words<E>(
        &mut self,
        out: &mpsc::Sender<Result<Bytes, E>>,
    ) -> Result<(), ReadError> {
        let line = std::mem::take(&mut self.pending);
        if line.is_empty() {
            return Ok(());
        }
        let mut text = Vec::new();
        self.print_line(&line, &mut text)?;
        // A reader that is gone needs no last words.
        let _ = out.send(Ok(text.into())).await;
        Ok(())
    }

    /// Whether another file has our name and bytes in it: then its writer has left ours.
    fn successor_is_written(&self) -> bool {
        let ours = self.file.metadata().map(|data| (data.dev(), data.ino()));
        let at_path = self.path.metadata();
        match (ours, at_path) {
            (Ok(ours), Ok(there)) => (there.dev(), there.ino()) != ours && there.len() > 0,
            _ => false,
        }
    }

    /// Opens the file that was begun after ours, if there is one.
    fn go_to_successor(&mut self) -> Result<bool, ReadError> {
        let Some(path) = self.successor().map_err(|source| self.unreadable(source))? else {
            return Ok(false);
        };
        let file = File::open(&path).map_err(|source| ReadError::Open { path, source })?;
        self.file = Arc::new(file);
        self.offset = 0;
        self.pending.clear();
        Ok(true)
    }

    fn successor(&self) -> io::Result<Option<PathBuf>> {
        let data = self.file.metadata()?;
        let ours = (data.dev(), data.ino());
        let files = self.rotated_then_current()?;
        let position = files.iter().position(|(_, file)| *file == ours);
        let next = match position {
            Some(position) => files.get(position + 1),
            // Compressed or removed meanwhile.
            None => files.last(),
        };
        Ok(next.map(|(path, _)| path.clone()))
    }

    /// The uncompressed files of this log, oldest first, with device and inode.
    fn rotated_then_current(&self) -> io::Result<Vec<(PathBuf, (u64, u64))>> {
        let Some((directory, log)) = self.path.parent().zip(self.path.file_name()) else {
            return Ok(Vec::new());
        };
        let prefix = format!("{}.", log.to_string_lossy());
        let mut paths = Vec::new();
        for entry in directory.read_dir()? {
            let name = entry?.file_name().into_string().unwrap_or_default();
            let ours = [COMPRESSED, TEMPORARY]
                .iter()
                .any(|end| name.ends_with(end));
            if name.starts_with(&prefix) && !ours {
                paths.push(directory.join(name));
            }
        }
        paths.sort_unstable();
        paths.push(self.path.clone());
        let identify = |path: PathBuf| {
            let data = path.metadata().ok()?;
            Some((path, (data.dev(), data.ino())))
        };
        Ok(paths.into_iter().filter_map(identify).collect())
    }
}

fn has_stopped(running: &watch::Receiver<bool>) -> bool {
    !*running.borrow() || running.has_changed().is_err()
}

#[cfg(test)]
mod tests;
