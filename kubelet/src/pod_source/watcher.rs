//! Which files of a folder changed, through inotify.
//!
//! Follows the folder through its absence: while it is not there, the nearest folder above it is
//! watched. Knows nothing of what is in the files.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use futures_util::StreamExt;
use inotify::{EventMask, EventStream, Inotify, WatchDescriptor, WatchMask};

/// One thing that happened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Something happened to the file of that name in the folder.
    File(OsString),
    /// Anything may have changed: the folder came, went, or events were lost.
    Everything,
}

/// A watch on one folder.
pub(super) struct Watcher {
    folder: PathBuf,
    events: EventStream<[u8; 4096]>,
    watched: Option<(WatchDescriptor, Place)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Folder,
    Above,
}

impl Watcher {
    /// Watches a folder, or waits for it to appear.
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        let mut watcher = Self {
            folder: folder.to_owned(),
            events: Inotify::init()?.into_event_stream([0; 4096])?,
            watched: None,
        };
        watcher.attach();
        Ok(watcher)
    }

    /// Watches the folder itself, or the nearest one above that is there. What cannot be watched
    /// is left to the audit.
    fn attach(&mut self) {
        let inside = WatchMask::CREATE
            | WatchMask::CLOSE_WRITE
            | WatchMask::MOVE
            | WatchMask::DELETE
            | WatchMask::ATTRIB
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        let above = WatchMask::CREATE
            | WatchMask::MOVED_TO
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        if let Some((old, _)) = self.watched.take() {
            // It may be gone already, with its folder.
            let _ = self.events.watches().remove(old);
        }
        let mut watches = self.events.watches();
        self.watched = match watches.add(&self.folder, inside) {
            Ok(descriptor) => Some((descriptor, Place::Folder)),
            Err(_) => self
                .folder
                .ancestors()
                .skip(1)
                .find_map(|folder| watches.add(folder, above).ok())
                .map(|descriptor| (descriptor, Place::Above)),
        };
    }

    /// Looks again for the folder if it is not watched itself.
    pub(super) fn retry(&mut self) {
        if self
            .watched
            .as_ref()
            .is_none_or(|(_, place)| *place == Place::Above)
        {
            self.attach();
        }
    }

    /// The next change. Safe to drop and call again.
    pub(super) async fn next(&mut self) -> Change {
        loop {
            let Some(Ok(event)) = self.events.next().await else {
                // The queue itself broke; the audit goes on without it.
                return std::future::pending().await;
            };
            if event.mask.contains(EventMask::Q_OVERFLOW) {
                return Change::Everything;
            }
            let Some((descriptor, place)) = &self.watched else {
                continue;
            };
            if event.wd != *descriptor {
                continue;
            }
            let moved = EventMask::DELETE_SELF | EventMask::MOVE_SELF | EventMask::IGNORED;
            if *place == Place::Above || event.mask.intersects(moved) {
                self.attach();
                return Change::Everything;
            }
            if let Some(name) = event.name {
                return Change::File(name);
            }
        }
    }
}
