//! Which store there is, what it counts, and what has to be done about it regularly. Reads the
//! files of its certificates. It must not know what is kept in it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keelson_store::Store;
use keelson_store::embedded::{self, EmbeddedStore};
use keelson_store::etcd::{self, EtcdStore, Tls};
use keelson_store::measured::Measured;
use keelson_store::memory::MemoryStore;
use tokio_util::sync::CancellationToken;

use crate::assemble::duration;
use crate::options::{EtcdFlags, Options};
use crate::run::RunError;

/// The store, counted.
pub(crate) struct Engine {
    measured: Arc<Measured>,
    kind: Kind,
    /// How often the past of a shared store is forgotten.
    compaction: Duration,
}

enum Kind {
    Memory,
    Embedded(Arc<EmbeddedStore>),
    Etcd(Arc<EtcdStore>),
}

impl Engine {
    /// Opens what the options name.
    pub(crate) fn open(options: &Options) -> Result<Self, RunError> {
        let etcd = &options.etcd;
        let interval = &etcd.etcd_compaction_interval;
        let compaction = duration("etcd-compaction-interval", interval)?;
        let engine = |store: Arc<dyn Store>, kind| Self {
            measured: Arc::new(Measured::new(store)),
            kind,
            compaction,
        };
        if options.in_memory {
            return Ok(engine(Arc::new(MemoryStore::default()), Kind::Memory));
        }
        if !etcd.etcd_servers.is_empty() {
            let store = EtcdStore::new(&members(etcd)?).map_err(RunError::Store)?;
            let store = Arc::new(store);
            return Ok(engine(Arc::clone(&store) as _, Kind::Etcd(store)));
        }
        let opened = EmbeddedStore::open(&options.data_dir, embedded::Options::default());
        let store = Arc::new(opened.map_err(RunError::Store)?);
        let unsent = |error: &_| tracing::warn!(%error, "a snapshot could not be sent");
        store.serve_snapshots(unsent).map_err(RunError::Snapshots)?;
        Ok(engine(Arc::clone(&store) as _, Kind::Embedded(store)))
    }

    /// The store.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.measured) as _
    }

    /// Whether other servers may have it too.
    pub(crate) const fn is_shared(&self) -> bool {
        matches!(self.kind, Kind::Etcd(_))
    }

    /// Does what has to be done now and then, until `stop`.
    pub(crate) async fn upkeep(&self, stop: &CancellationToken) {
        let Kind::Etcd(store) = &self.kind else {
            return;
        };
        if self.compaction.is_zero() {
            return;
        }
        let failed = |error: &_| tracing::warn!(%error, "the past was not forgotten");
        tokio::select! {
            () = store.compact_regularly(self.compaction, failed) => {}
            () = stop.cancelled() => {}
        }
    }

    /// Appends what was counted, in Prometheus's text format.
    pub(crate) async fn render(&self, page: &mut String) {
        self.measured.render(page);
        match &self.kind {
            Kind::Memory => {}
            Kind::Embedded(store) => store.numbers().render(page),
            Kind::Etcd(store) => etcd::render_members(&store.members().await, page),
        }
    }

    /// Has everything on disk.
    pub(crate) async fn close(&self) {
        if let Kind::Embedded(store) = &self.kind {
            store.close().await;
        }
    }
}

/// How etcd is reached.
fn members(flags: &EtcdFlags) -> Result<etcd::Options, RunError> {
    let identity = match (&flags.etcd_certfile, &flags.etcd_keyfile) {
        (Some(certificate), Some(key)) => Some((
            text("etcd-certfile", certificate)?,
            text("etcd-keyfile", key)?,
        )),
        _ => None,
    };
    let tls = match &flags.etcd_cafile {
        Some(path) => Some(Tls {
            authority: text("etcd-cafile", path)?,
            identity,
        }),
        None => None,
    };
    let secret = flags
        .etcd_servers
        .iter()
        .find(|url| url.starts_with("https"));
    if let Some(url) = secret.filter(|_| tls.is_none()) {
        return Err(RunError::Flag {
            flag: "etcd-servers",
            value: url.clone(),
            why: "https needs --etcd-cafile".to_owned(),
        });
    }
    Ok(etcd::Options {
        endpoints: flags.etcd_servers.clone(),
        tls,
    })
}

fn text(flag: &'static str, path: &Path) -> Result<String, RunError> {
    std::fs::read_to_string(path).map_err(|error| RunError::Flag {
        flag,
        value: path.display().to_string(),
        why: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etcd_over_tls_needs_somebody_who_vouches() {
        let flags = |servers: &str, ca: Option<&str>| EtcdFlags {
            etcd_servers: vec![servers.to_owned()],
            etcd_cafile: ca.map(Into::into),
            ..EtcdFlags::default()
        };
        let check = |flags: EtcdFlags, expected: &str| {
            let found = members(&flags).err().map(|error| error.to_string());
            assert!(found.unwrap_or_default().contains(expected), "{expected}");
        };
        assert!(members(&flags("http://localhost:1", None)).is_ok());
        check(
            flags("https://localhost:1", None),
            "https needs --etcd-cafile",
        );
        check(
            flags("https://localhost:1", Some("/no/such")),
            "--etcd-cafile \"/no/such\"",
        );
    }
}
