//! How many requests are handled at once, by kind: reading ones and changing ones.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::failure::{Failure, Outcome};

/// Places for requests.
pub(crate) struct Limits {
    reading: Arc<Semaphore>,
    changing: Arc<Semaphore>,
}

impl Limits {
    /// `--max-requests-inflight` and `--max-mutating-requests-inflight`.
    pub(crate) fn new(reading: usize, changing: usize) -> Self {
        Self {
            reading: Arc::new(Semaphore::new(reading)),
            changing: Arc::new(Semaphore::new(changing)),
        }
    }

    /// Takes a place; requests that are long by nature need none.
    pub(crate) fn enter(&self, verb: &str, long: bool) -> Outcome<Option<OwnedSemaphorePermit>> {
        if long {
            return Ok(None);
        }
        let places = if matches!(verb, "get" | "list" | "head") {
            &self.reading
        } else {
            &self.changing
        };
        let place = Arc::clone(places).try_acquire_owned();
        let busy = |_| Failure::busy("Too many requests, please try again later.", 1);
        place.map(Some).map_err(busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_requests_do_not_take_each_others_places() {
        let limits = Limits::new(1, 1);
        let _reading = limits.enter("get", false).unwrap();
        assert_eq!(limits.enter("list", false).unwrap_err().code(), 429);
        assert!(limits.enter("update", false).is_ok());
        assert!(limits.enter("watch", true).unwrap().is_none());
    }
}
