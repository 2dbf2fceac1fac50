//! Waiting for a directory of logs to change: by inotify, or where the kernel has no instance
//! left for us, by looking once a second.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use inotify::{EventMask, EventStream, Inotify, WatchMask};

use super::plan::{COMPRESSED, TEMPORARY};

/// How often to look where the kernel does not tell.
const POLL: Duration = Duration::from_secs(1);

/// Room for a few events with names of the usual length.
type Buffer = [u8; 1024];

/// A watched directory.
pub(super) struct DirectoryWatch(Option<EventStream<Buffer>>);

/// What may have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Look at everything.
    Something,
    /// The writer closed a rotated file: nothing more will come to it.
    RotatedFileClosed,
}

impl DirectoryWatch {
    pub(super) fn new(directory: &Path) -> Self {
        Self(watch(directory).ok())
    }

    /// Waits for the next change. Losing this future loses no event.
    pub(super) async fn changed(&mut self, log: &OsStr) -> Change {
        let Some(events) = &mut self.0 else {
            tokio::time::sleep(POLL).await;
            return Change::Something;
        };
        match events.next().await {
            Some(Ok(event)) if event.mask.contains(EventMask::CLOSE_WRITE) => {
                closed(event.name.as_deref(), log)
            }
            Some(Ok(_)) => Change::Something,
            Some(Err(_)) | None => {
                self.0 = None;
                Change::Something
            }
        }
    }
}

fn watch(directory: &Path) -> std::io::Result<EventStream<Buffer>> {
    let inotify = Inotify::init()?;
    let mask = WatchMask::MODIFY
        | WatchMask::CREATE
        | WatchMask::MOVED_TO
        | WatchMask::CLOSE_WRITE
        | WatchMask::ONLYDIR;
    inotify.watches().add(directory, mask)?;
    inotify.into_event_stream([0; 1024])
}

fn closed(name: Option<&OsStr>, log: &OsStr) -> Change {
    let rotated = name.and_then(OsStr::to_str).zip(log.to_str());
    let rotated = rotated.is_some_and(|(name, log)| {
        let ours = [COMPRESSED, TEMPORARY]
            .iter()
            .any(|end| name.ends_with(end));
        name != log && name.starts_with(log) && !ours
    });
    match rotated {
        true => Change::RotatedFileClosed,
        false => Change::Something,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_rotated_file_counts() {
        for (name, expected) in [
            ("0.log", Change::Something),
            ("0.log.20260101-000000", Change::RotatedFileClosed),
            ("0.log.20260101-000000.tmp", Change::Something),
            ("0.log.20260101-000000.gz", Change::Something),
            ("1.log", Change::Something),
        ] {
            let seen = closed(Some(OsStr::new(name)), OsStr::new("0.log"));
            assert_eq!(seen, expected, "{name}");
        }
    }
}
