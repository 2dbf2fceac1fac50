//! What every engine has to do, as one suite: `run` it on a new engine before anything else. The
//! cases share one engine and touch keys below a folder of their own only; revisions are compared,
//! never counted. It must not know which engine it runs on.

mod cases;
mod load;
mod watches;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;

use crate::{Change, Key, List, Prefix, Revision, Store, Watch, WatchEvent, Write};

/// How long a change may take to arrive.
const PATIENCE: Duration = Duration::from_secs(20);

type Case = fn(Subject) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs all cases on `store`, one after the other.
///
/// # Panics
/// When the engine does not do what it should; the message names the case.
pub async fn run(store: Arc<dyn Store>) {
    let all: Vec<(&str, Case)> = [cases::all(), watches::all(), load::all()].concat();
    for (name, case) in all {
        eprintln!("conformance: {name}");
        let subject = Subject {
            store: Arc::clone(&store),
            folder: format!("/registry/{name}-{}", std::process::id()),
        };
        let done = tokio::spawn(case(subject)).await;
        assert!(done.is_ok(), "conformance: {name} failed");
    }
}

/// The engine and a folder that belongs to one case.
struct Subject {
    store: Arc<dyn Store>,
    folder: String,
}

impl Subject {
    fn key(&self, name: &str) -> Key {
        Key::new(format!("{}/{name}", self.folder)).expect("a key")
    }

    fn prefix(&self) -> Prefix {
        Prefix::new(format!("{}/", self.folder)).expect("a prefix")
    }

    fn list(&self) -> List {
        List::all(self.prefix())
    }

    async fn create(&self, name: &str, value: &'static str) -> Revision {
        let value = Bytes::from_static(value.as_bytes());
        let created = self
            .store
            .create(&self.key(name), value, Write::durable())
            .await;
        created.expect("a new key")
    }

    async fn swap(&self, name: &str, expected: Revision, value: &'static str) -> Revision {
        let value = Bytes::from_static(value.as_bytes());
        let key = self.key(name);
        let swapped = self
            .store
            .compare_and_swap(&key, expected, value, Write::durable())
            .await;
        swapped.expect("the expected revision")
    }

    async fn watch(&self, after: Revision) -> Watch {
        let watch = self.store.watch(&self.prefix(), after).await;
        watch.expect("a watch")
    }

    /// The names and values of a list.
    async fn contents(&self, list: List) -> Vec<(String, String)> {
        let page = self.store.list(list).await.expect("a list");
        page.entries
            .iter()
            .map(|entry| (self.name(&entry.key), text(&entry.value)))
            .collect()
    }

    fn name(&self, key: &Key) -> String {
        key.as_str()[self.folder.len() + 1..].to_owned()
    }
}

fn text(value: &Bytes) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// The next change, past marks of progress.
async fn change(watch: &mut Watch) -> Change {
    let next = async {
        loop {
            match watch
                .next()
                .await
                .expect("the watch goes on")
                .expect("no error")
            {
                WatchEvent::Change(change) => return change,
                WatchEvent::Progress(_) => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, next)
        .await
        .expect("a change in time")
}
