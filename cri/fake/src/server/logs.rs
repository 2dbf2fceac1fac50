//! Writes what programs print to their log files, in CRI's format.
//!
//! A file stays open until it is reopened, as with a real runtime: after a rename, lines go on
//! into the renamed file.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use crate::runtime::{Output, Stream};

/// Where the output of programs goes.
#[derive(Debug)]
pub(super) enum Logs {
    /// Nowhere.
    Discard,
    /// To files, by container.
    Files(HashMap<String, File>),
}

impl Logs {
    pub(super) fn files() -> Self {
        Self::Files(HashMap::new())
    }

    pub(super) fn write(&mut self, output: &[Output]) {
        let Self::Files(files) = self else {
            return;
        };
        for line in output.iter().filter(|line| !line.log_path.is_empty()) {
            if let Err(error) = append(files, line) {
                tracing::error!(path = line.log_path, %error, "a log line is lost");
            }
        }
    }

    /// Makes the file of a container that starts.
    pub(super) fn open(&mut self, container_id: &str, path: &str) {
        let Self::Files(files) = self else {
            return;
        };
        if path.is_empty() {
            return;
        }
        match open(Path::new(path)) {
            Ok(file) => drop(files.insert(container_id.to_owned(), file)),
            Err(error) => tracing::error!(path, %error, "a log file can't be made"),
        }
    }
}

fn append(files: &mut HashMap<String, File>, line: &Output) -> io::Result<()> {
    let file = match files.get_mut(&line.container_id) {
        Some(file) => file,
        None => {
            let file = open(Path::new(&line.log_path))?;
            files.entry(line.container_id.clone()).or_insert(file)
        }
    };
    let stream = match line.stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    };
    writeln!(file, "{:.9} {stream} F {}", line.at, line.line)
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}
