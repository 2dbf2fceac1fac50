//! The stores by themselves, and the server on etcd: what there is to compare with.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keelson_store::embedded::{EmbeddedStore, Options};
use keelson_store::etcd::{self, EtcdStore};
use keelson_store::{Key, Store, Write};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::load::{self, CONNECTIONS};
use crate::table::Table;
use crate::target::{Keys, Target};
use crate::{OBJECTS, create, object, share_of};

/// Creates of etcd are slow: fewer of them.
const ON_ETCD: usize = 4000;

/// Creates a second of the embedded engine, with as many writers as there are connections.
pub async fn raw_engine() -> f64 {
    let folder = TempDir::new().expect("a folder");
    let store = EmbeddedStore::open(folder.path(), Options::default()).expect("a store");
    let store = Arc::new(store);
    let rate = creates(Arc::clone(&store) as Arc<dyn Store>, OBJECTS).await;
    store.close().await;
    rate
}

async fn creates(store: Arc<dyn Store>, count: usize) -> f64 {
    let begun = Instant::now();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..CONNECTIONS {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            for number in share_of(count, writer) {
                let key = Key::new(format!("/registry/raw/default/{number}")).expect("a key");
                let value = Bytes::from(object(number));
                store
                    .create(&key, value, Write::durable())
                    .await
                    .expect("a write");
            }
        });
    }
    writers.join_all().await;
    count as f64 / begun.elapsed().as_secs_f64()
}

struct Etcd {
    process: Child,
    _folder: TempDir,
    url: String,
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn one_member(programs: PathBuf) -> (Etcd, Arc<EtcdStore>) {
    let folder = TempDir::new().expect("a folder");
    let url = || {
        let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        format!("http://{}", held.local_addr().expect("an address"))
    };
    let (own, peer) = (url(), url());
    let process = Command::new(programs.join("etcd"))
        .arg(format!(
            "--data-dir={}",
            folder.path().join("data").display()
        ))
        .args([
            format!("--listen-client-urls={own}"),
            format!("--advertise-client-urls={own}"),
        ])
        .args([
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
        ])
        .args([
            format!("--initial-cluster=default={peer}"),
            "--log-level=error".to_owned(),
        ])
        .stdout(Stdio::null())
        .spawn()
        .expect("etcd");
    let options = etcd::Options {
        endpoints: vec![own.clone()],
        tls: None,
    };
    let store = Arc::new(EtcdStore::new(&options).expect("a store"));
    while store.revision().await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let etcd = Etcd {
        process,
        _folder: folder,
        url: own,
    };
    (etcd, store)
}

/// The server on etcd, against the same client on the same etcd.
pub async fn etcd(keys: &Keys, table: &mut Table) {
    let Some(programs) = std::env::var_os("KEELSON_TEST_ETCD_BIN") else {
        println!("etcd is not measured: KEELSON_TEST_ETCD_BIN does not say where it is");
        return;
    };
    let (etcd, store) = one_member(programs.into()).await;
    let direct = creates(store, ON_ETCD).await;
    let server = Target::with(keys, &[format!("--etcd-servers={}", etcd.url)]).await;
    let through = load::run(&server, ON_ETCD, create).await;
    table.row("etcd, creates by the same client", direct, "/s");
    table.row("etcd, creates through the server", through.rate, "/s");
    table.at_least(
        "etcd, through the server",
        100.0 * through.rate / direct,
        80.0,
        "%",
    );
}
