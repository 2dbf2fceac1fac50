//! How fast 64 writers create objects of 1 KiB, each on disk when acknowledged: the storage crate
//! alone behind the same group commit, our engine, and etcd where `KEELSON_TEST_ETCD_BIN` has it.
//! Read the ratios: the disk and the other work of the machine are the same for all.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keelson_store::embedded::{EmbeddedStore, Options, file_of};
use keelson_store::etcd::{self, EtcdStore};
use keelson_store::{Key, List, Prefix, Store, Write};
use redb::{Database, TableDefinition};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

const WRITERS: usize = 64;
const EACH: usize = 1000;
const RAW: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("raw");

fn main() {
    // `cargo test --benches` runs it too: nothing to test here.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(all());
}

async fn all() {
    for round in 0..2 {
        let raw = raw().await;
        report(round, "the storage crate alone", &raw, raw.rate);
        let ours = ours().await;
        report(round, "the embedded engine", &ours, raw.rate);
        match std::env::var_os("KEELSON_TEST_ETCD_BIN") {
            Some(programs) => report(
                round,
                "etcd",
                &etcd(&PathBuf::from(programs)).await,
                raw.rate,
            ),
            None => {
                println!("etcd is not measured: KEELSON_TEST_ETCD_BIN does not say where it is")
            }
        }
    }
}

struct Measured {
    rate: f64,
    half: Duration,
    most: Duration,
}

fn report(round: usize, name: &str, measured: &Measured, raw: f64) {
    println!(
        "round {round}: {name:<26} {:>7.0} creates/s ({:>4.0} % of the crate alone), p50 {:?}, p99 {:?}, resident {} KiB",
        measured.rate,
        100.0 * measured.rate / raw,
        measured.half,
        measured.most,
        resident(),
    );
}

fn name(writer: usize, number: usize) -> String {
    format!("/registry/configmaps/default/{writer:02}-{number:06}")
}

/// Runs the writers and takes the time of every create.
async fn measure<F, R>(create: F) -> Measured
where
    F: Fn(String) -> R + Clone + Send + 'static,
    R: Future<Output = ()> + Send,
{
    let started = Instant::now();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let create = create.clone();
            tokio::spawn(async move {
                let mut times = Vec::with_capacity(EACH);
                for number in 0..EACH {
                    let before = Instant::now();
                    create(name(writer, number)).await;
                    times.push(before.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for writer in writers {
        times.extend(writer.await.expect("a writer"));
    }
    let rate = times.len() as f64 / started.elapsed().as_secs_f64();
    times.sort_unstable();
    Measured {
        rate,
        half: times[times.len() / 2],
        most: times[times.len() * 99 / 100],
    }
}

async fn raw() -> Measured {
    let folder = tempfile::tempdir().expect("a folder");
    let database = redb::Builder::new()
        .set_cache_size(4 * 1024 * 1024)
        .create(folder.path().join("raw"))
        .expect("a database");
    let (sender, receiver) = mpsc::channel(1024);
    let thread = std::thread::spawn(move || commit(&database, receiver));
    let measured = measure(move |key| {
        let sender = sender.clone();
        async move {
            let (done, answer) = oneshot::channel();
            sender.send((key, done)).await.expect("the thread");
            answer.await.expect("an answer");
        }
    });
    let measured = measured.await;
    thread.join().expect("the thread");
    measured
}

fn commit(database: &Database, mut receiver: mpsc::Receiver<(String, oneshot::Sender<()>)>) {
    let value = [b'x'; 1024];
    while let Some(first) = receiver.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < 512
            && let Ok(next) = receiver.try_recv()
        {
            batch.push(next);
        }
        let write = database.begin_write().expect("a transaction");
        let mut table = write.open_table(RAW).expect("a table");
        for (key, _) in &batch {
            table.insert(key.as_str(), &value[..]).expect("an insert");
        }
        drop(table);
        write.commit().expect("a commit");
        for (_, done) in batch {
            let _ = done.send(());
        }
    }
}

async fn ours() -> Measured {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(EmbeddedStore::open(folder.path(), Options::default()).expect("a store"));
    let writing = Arc::clone(&store);
    let value = Bytes::from(vec![b'x'; 1024]);
    let measured = measure(move |key| {
        let (store, value) = (Arc::clone(&writing), value.clone());
        async move {
            let key = Key::new(key).expect("a key");
            store
                .create(&key, value, Write::durable())
                .await
                .expect("a create");
        }
    });
    let measured = measured.await;
    let prefix = Prefix::new("/registry/configmaps/").expect("a prefix");
    let started = Instant::now();
    let page = store
        .list(List::all(prefix.clone()).limit(10_000))
        .await
        .expect("a list");
    println!(
        "    list of {}: {:?}",
        page.entries.len(),
        started.elapsed()
    );
    let started = Instant::now();
    store
        .list(List::all(prefix).limit(500))
        .await
        .expect("a list");
    println!(
        "    first 500 of {}: {:?}",
        WRITERS * EACH,
        started.elapsed()
    );
    let started = Instant::now();
    for entry in page.entries.iter().take(5000) {
        store.get(&entry.key).await.expect("a read");
    }
    println!("    {:.0} gets/s", 5000.0 / started.elapsed().as_secs_f64());
    let size = std::fs::metadata(file_of(folder.path())).map_or(0, |data| data.len());
    store.close().await;
    drop(store);
    let started = Instant::now();
    let store = EmbeddedStore::open(folder.path(), Options::default()).expect("a store");
    println!(
        "    opened again, {} MiB checked: {:?}",
        size >> 20,
        started.elapsed()
    );
    store.close().await;
    measured
}

/// One member on the same disk, through our client.
async fn etcd(programs: &Path) -> Measured {
    let folder = tempfile::tempdir().expect("a folder");
    let free = |_| {
        let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        format!("http://{}", held.local_addr().expect("an address"))
    };
    let [client, peer] = [0, 1].map(free);
    let mut member = std::process::Command::new(programs.join("etcd"))
        .arg(format!("--data-dir={}", folder.path().display()))
        .arg(format!("--listen-client-urls={client}"))
        .arg(format!("--advertise-client-urls={client}"))
        .arg(format!("--listen-peer-urls={peer}"))
        .arg(format!("--initial-advertise-peer-urls={peer}"))
        .arg(format!("--initial-cluster=default={peer}"))
        .arg("--log-level=error")
        .spawn()
        .expect("etcd starts");
    let options = etcd::Options {
        endpoints: vec![client],
        tls: None,
    };
    let store = Arc::new(EtcdStore::new(&options).expect("a store"));
    while store.revision().await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let value = Bytes::from(vec![b'x'; 1024]);
    let measured = measure(move |key| {
        let (store, value) = (Arc::clone(&store), value.clone());
        async move {
            let key = Key::new(key).expect("a key");
            store
                .create(&key, value, Write::durable())
                .await
                .expect("a create");
        }
    });
    let measured = measured.await;
    member.kill().expect("a kill");
    member.wait().expect("an end");
    measured
}

/// This process's resident memory, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or_default()
}
