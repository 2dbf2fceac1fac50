//! What this server says about itself for as long as it runs: where the API is reached, and who
//! vouches for its callers. What is to be written is decided in `auth::bootstrap_policy`.
//!
//! Servers that share a store each keep an entry alive in it, under upstream's key; an entry that
//! its server does not renew ends by itself, and the others then take its address away.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use keelson_store::{Durability, Error, Key, List, Prefix, Write};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::auth::bootstrap_policy::{objects, reconcile};
use crate::failure::{Failure, Outcome};
use crate::registry::Registry;
use crate::start::{Place, bring};
use crate::watch_cache::of_store;

/// How often all of it is looked at.
const EVERY: Duration = Duration::from_secs(10);
/// How long a server counts that does not renew its entry, in seconds.
const GONE_AFTER: u32 = 15;
/// Where the entries of servers are.
const ENTRIES: &str = "/registry/masterleases/";

/// Keeps everything up until `stop`, then takes this server's address away where others stay.
pub(crate) async fn keep(
    registry: &Registry,
    place: &Place,
    shared: bool,
    stop: &CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(EVERY) => {}
        }
        if let Err(failure) = once(registry, place, shared).await {
            tracing::warn!(error = %failure, "what this server says about itself is not up to date");
        }
    }
    if shared && let Err(failure) = leave(registry, place).await {
        tracing::warn!(error = %failure, "this server's address is not taken away yet");
    }
}

/// Looks at everything once.
pub(crate) async fn once(registry: &Registry, place: &Place, shared: bool) -> Outcome<()> {
    let servers = if shared {
        renew(registry, place.address).await?;
        servers(registry).await?
    } else {
        vec![place.address]
    };
    publish(registry, &servers, place.port).await?;
    let config = objects::authentication(place.authorities());
    let kind = registry.builtin("", "configmaps")?;
    bring(registry, kind, &config, reconcile::data).await
}

async fn leave(registry: &Registry, place: &Place) -> Outcome<()> {
    match registry
        .store
        .delete(&entry(place.address)?, None, Durability::Durable)
        .await
    {
        Ok(_) | Err(Error::NotFound { .. }) => {}
        Err(error) => return Err(of_store(error)),
    }
    let servers = servers(registry).await?;
    // The last one leaves the address: no address is no better than one that is back soon.
    if servers.is_empty() {
        return Ok(());
    }
    publish(registry, &servers, place.port).await
}

fn entry(address: IpAddr) -> Outcome<Key> {
    Key::new(format!("{ENTRIES}{address}")).map_err(Failure::internal)
}

/// Writes this server's entry anew.
async fn renew(registry: &Registry, address: IpAddr) -> Outcome<()> {
    let key = entry(address)?;
    let value = json!({"kind": "Endpoints", "apiVersion": "v1",
        "metadata": {"name": address.to_string()},
        "subsets": [{"addresses": [{"ip": address.to_string()}]}]});
    let value = Bytes::from(value.to_string());
    let write = match NonZeroU32::new(GONE_AFTER) {
        Some(seconds) => Write::durable().expiring(seconds),
        None => Write::durable(),
    };
    let store = &registry.store;
    let written = match store.get(&key).await.map_err(of_store)? {
        Some(old) => {
            store
                .compare_and_swap(&key, old.mod_revision, value, write)
                .await
        }
        None => store.create(&key, value, write).await,
    };
    match written {
        // Whoever was faster wrote the same.
        Ok(_) | Err(Error::Conflict { .. } | Error::Exists { .. }) => Ok(()),
        Err(error) => Err(of_store(error)),
    }
}

/// The servers that are there, in order.
async fn servers(registry: &Registry) -> Outcome<Vec<IpAddr>> {
    let prefix = Prefix::new(ENTRIES).map_err(Failure::internal)?;
    let page = registry
        .store
        .list(List::all(prefix))
        .await
        .map_err(of_store)?;
    let address = |key: &Key| key.as_str().strip_prefix(ENTRIES)?.parse().ok();
    let mut servers: Vec<IpAddr> = page
        .entries
        .iter()
        .filter_map(|one| address(&one.key))
        .collect();
    servers.sort();
    Ok(servers)
}

/// Writes where the API is reached.
async fn publish(registry: &Registry, servers: &[IpAddr], port: u16) -> Outcome<()> {
    let kind = registry.builtin("", "endpoints")?;
    let endpoints = objects::kubernetes_endpoints(servers, port);
    bring(registry, kind, &endpoints, reconcile::endpoints).await?;
    let kind = registry.builtin("discovery.k8s.io", "endpointslices")?;
    let slice = objects::kubernetes_slice(servers, port);
    bring(registry, kind, &slice, reconcile::slice).await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use keelson_store::memory::MemoryStore;

    use super::*;

    fn place(address: &str) -> Place {
        Place {
            address: address.parse().unwrap(),
            ..Place::example()
        }
    }

    async fn addresses(registry: &Registry) -> (String, String) {
        let read = async |group: &str, plural: &str| {
            let kind = registry.builtin(group, plural).unwrap();
            registry
                .read(kind, "default", "kubernetes")
                .await
                .unwrap()
                .object
        };
        let endpoints = read("", "endpoints").await;
        let slice = read("discovery.k8s.io", "endpointslices").await;
        let own = endpoints["subsets"][0]["addresses"].as_array().unwrap();
        let own: Vec<_> = own.iter().filter_map(|one| one["ip"].as_str()).collect();
        let sliced = slice["endpoints"].as_array().unwrap();
        let sliced: Vec<_> = sliced
            .iter()
            .filter_map(|one| one["addresses"][0].as_str())
            .collect();
        (own.join(" "), sliced.join(" "))
    }

    fn both(text: &str) -> (String, String) {
        (text.to_owned(), text.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn servers_come_and_go() {
        let registry = Registry::new(Arc::new(MemoryStore::default()));
        let (one, two) = (place("192.0.2.2"), place("192.0.2.1"));
        once(&registry, &one, true).await.unwrap();
        assert_eq!(addresses(&registry).await, both("192.0.2.2"));
        once(&registry, &two, true).await.unwrap();
        assert_eq!(addresses(&registry).await, both("192.0.2.1 192.0.2.2"));
        leave(&registry, &one).await.unwrap();
        assert_eq!(addresses(&registry).await, both("192.0.2.1"));
        leave(&registry, &two).await.unwrap();
        assert_eq!(
            addresses(&registry).await,
            both("192.0.2.1"),
            "the last one stays"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_alone_replaces_what_is_there() {
        let registry = Registry::new(Arc::new(MemoryStore::default()));
        once(&registry, &place("192.0.2.2"), false).await.unwrap();
        once(&registry, &place("192.0.2.9"), false).await.unwrap();
        assert_eq!(addresses(&registry).await, both("192.0.2.9"));
        let revision = registry.store.revision().await.unwrap();
        once(&registry, &place("192.0.2.9"), false).await.unwrap();
        assert_eq!(registry.store.revision().await.unwrap(), revision);
    }
}
