//! Addresses and node ports of services: each is an entry of the store that only one can create, so
//! that no two services get the same, on however many servers they are made.

use std::net::IpAddr;

use bytes::Bytes;
use jiff::Timestamp;
use keelson_api::status_error::Reason;
use keelson_store::{Durability, Error, Key, Write};
use serde_json::{Value, json};

use crate::admit::View as _;
use crate::failure::{Failure, Outcome};
use crate::handle::create::random;
use crate::kinds::Kind;
use crate::lookup::settle as settle_view;
use crate::registry::{Registry, metadata};
use crate::watch_cache::{ROOT, of_store};

pub(crate) mod range;
mod wish;

use range::{AddressRange, PortRange};
use wish::Holdings;

const NETWORKING: &str = "networking.k8s.io";

/// The ranges that are handed out from.
#[derive(Clone, Debug)]
pub(crate) struct Ranges {
    /// `--service-cluster-ip-range`: one for each family.
    pub(crate) addresses: Vec<AddressRange>,
    /// `--service-node-port-range`.
    pub(crate) ports: PortRange,
}

/// What was taken for a write, to be given back if it fails.
#[derive(Debug, Default)]
pub(crate) struct Taken(Holdings);

/// Whether a kind has addresses at all.
pub(crate) fn is_service(kind: &Kind) -> bool {
    kind.group.is_empty() && kind.plural == "services"
}

/// Takes what a new or changed service needs and writes it into it.
pub(crate) async fn take(
    registry: &Registry,
    ranges: &Ranges,
    service: &mut Value,
    old: &Value,
) -> Outcome<Taken> {
    let mut taken = Taken::default();
    let filled = fill(registry, ranges, service, old, &mut taken).await;
    match filled {
        Ok(()) => Ok(taken),
        Err(failure) => {
            give_back(registry, taken).await;
            Err(failure)
        }
    }
}

async fn fill(
    registry: &Registry,
    ranges: &Ranges,
    service: &mut Value,
    old: &Value,
    taken: &mut Taken,
) -> Outcome<()> {
    let (before, asked) = (wish::holdings(old), wish::holdings(service));
    for address in asked.addresses.difference(&before.addresses) {
        claim_address(registry, ranges, service, address).await?;
        taken.0.addresses.insert(address.clone());
    }
    for port in asked.ports.difference(&before.ports) {
        claim_port(registry, ranges, service, *port).await?;
        taken.0.ports.insert(*port);
    }
    let there: Vec<&'static str> = ranges.addresses.iter().map(AddressRange::family).collect();
    let mut fresh = Vec::new();
    for family in wish::missing_families(service, &there) {
        let address = any_address(registry, ranges, service, family).await?;
        taken.0.addresses.insert(address.clone());
        fresh.push(address);
    }
    wish::set_addresses(service, &fresh);
    wish::settle_headless(service, &there);
    for at in wish::missing_ports(service) {
        let port = match wish::shared_port(service, at) {
            Some(port) => port,
            None => any_port(registry, ranges, service, taken).await?,
        };
        service["spec"]["ports"][at]["nodePort"] = port.into();
    }
    if wish::lacks_health_port(service) {
        let port = any_port(registry, ranges, service, taken).await?;
        service["spec"]["healthCheckNodePort"] = port.into();
    }
    Ok(())
}

/// Gives back what a write took that failed.
pub(crate) async fn give_back(registry: &Registry, taken: Taken) {
    release(registry, &taken.0).await;
}

/// Gives back what a service had and does not have any more; null for one that is gone.
pub(crate) async fn settle(registry: &Registry, old: &Value, new: &Value) {
    let (before, after) = (wish::holdings(old), wish::holdings(new));
    let gone = Holdings {
        addresses: before
            .addresses
            .difference(&after.addresses)
            .cloned()
            .collect(),
        ports: before.ports.difference(&after.ports).copied().collect(),
    };
    release(registry, &gone).await;
}

async fn release(registry: &Registry, held: &Holdings) {
    let addresses = held
        .addresses
        .iter()
        .map(|address| format!("ipaddresses/{address}"));
    let ports = held
        .ports
        .iter()
        .map(|port| format!("servicenodeports/{port}"));
    for place in addresses.chain(ports) {
        let Ok(key) = Key::new(format!("{ROOT}{place}")) else {
            continue;
        };
        match registry.store.delete(&key, None, Durability::Durable).await {
            Ok(_) | Err(Error::NotFound { .. }) => {}
            Err(error) => tracing::warn!(%error, %key, "not given back"),
        }
    }
}

/// Takes an address that was asked for by name.
async fn claim_address(
    registry: &Registry,
    ranges: &Ranges,
    service: &Value,
    address: &str,
) -> Outcome<()> {
    let refuse = |why: &str| {
        let message =
            format!("Invalid value: [{address:?}]: failed to allocate IP {address}: {why}");
        invalid(service, "spec.clusterIPs", message)
    };
    let parsed: IpAddr = address.parse().map_err(|_| refuse("it is no address"))?;
    let is_in = |spaces: &[AddressRange]| spaces.iter().any(|range| range.holds(parsed));
    if !is_in(&spaces(registry, ranges).await?) {
        // The range may have been added just now.
        registry.caches.catch_up().await?;
        if !is_in(&spaces(registry, ranges).await?) {
            return Err(refuse("the provided IP is not in the valid range"));
        }
    }
    match create_address(registry, service, address).await {
        Err(failure) if failure.is(Reason::AlreadyExists) => {
            Err(refuse("provided IP is already allocated"))
        }
        outcome => outcome,
    }
}

async fn any_address(
    registry: &Registry,
    ranges: &Ranges,
    service: &Value,
    family: &str,
) -> Outcome<String> {
    let mut tried: Vec<AddressRange> = Vec::new();
    loop {
        let mut spaces = spaces(registry, ranges).await?;
        spaces.retain(|range| range.family() == family && !tried.contains(range));
        if spaces.is_empty() {
            return Err(Failure::internal(
                "failed to allocate a serviceIP: range is full",
            ));
        }
        for range in &spaces {
            if let Some(address) = any_of(registry, service, range).await? {
                return Ok(address);
            }
        }
        // A range may have been added just now.
        tried.extend(spaces);
        registry.caches.catch_up().await?;
    }
}

/// A free address of a range, taken.
async fn any_of(
    registry: &Registry,
    service: &Value,
    range: &AddressRange,
) -> Outcome<Option<String>> {
    let cache = registry.cache_of(NETWORKING, "ipaddresses").await?;
    for address in range.candidates(u64::from_le_bytes(random()?)) {
        let address = address.to_string();
        if cache.object(&address).is_some() {
            continue;
        }
        match create_address(registry, service, &address).await {
            Ok(()) => return Ok(Some(address)),
            Err(failure) if failure.is(Reason::AlreadyExists) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(None)
}

/// The ranges that there are addresses in: those of the `ServiceCIDR`s, and until there are some
/// the server's own.
async fn spaces(registry: &Registry, ranges: &Ranges) -> Outcome<Vec<AddressRange>> {
    let objects = settle_view(registry, None, |view| {
        Ok(view.list(NETWORKING, "servicecidrs", ""))
    });
    let objects = objects.await?;
    if objects.is_empty() {
        return Ok(ranges.addresses.clone());
    }
    Ok(range::of_objects(&objects))
}

async fn create_address(registry: &Registry, service: &Value, address: &str) -> Outcome<()> {
    let (namespace, name) = metadata::place(service);
    let family = if address.contains(':') {
        "IPv6"
    } else {
        "IPv4"
    };
    let mut object = json!({
        "kind": "IPAddress",
        "apiVersion": "networking.k8s.io/v1",
        "metadata": {"name": address, "labels": {
            "ipaddress.kubernetes.io/ip-family": family,
            "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
        }},
        "spec": {"parentRef": {"group": "", "resource": "services", "namespace": namespace, "name": name}},
    });
    let uid = metadata::uuid(random()?);
    metadata::set(&mut object, "uid", uid.into());
    let now = metadata::time(Timestamp::now());
    metadata::set(&mut object, "creationTimestamp", now.into());
    let kind = registry.builtin(NETWORKING, "ipaddresses")?;
    registry.create(kind, object).await.map(drop)
}

/// Reserves the addresses of services that others than this module have written.
pub(crate) async fn reserve(registry: &Registry, service: &Value) -> Outcome<()> {
    for address in wish::holdings(service).addresses {
        match create_address(registry, service, &address).await {
            Err(failure) if failure.is(Reason::AlreadyExists) => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

/// Takes a port that was asked for by number.
async fn claim_port(
    registry: &Registry,
    ranges: &Ranges,
    service: &Value,
    port: u16,
) -> Outcome<()> {
    let refuse = |why: &str| {
        invalid(
            service,
            "spec.ports[0].nodePort",
            format!("Invalid value: {port}: {why}"),
        )
    };
    if !ranges.ports.holds(port) {
        return Err(refuse("provided port is not in the valid range"));
    }
    if create_port(registry, service, port).await? {
        Ok(())
    } else {
        Err(refuse("provided port is already allocated"))
    }
}

async fn any_port(
    registry: &Registry,
    ranges: &Ranges,
    service: &Value,
    taken: &mut Taken,
) -> Outcome<u16> {
    let seed = u64::from_le_bytes(random()?);
    for port in ranges.ports.candidates(seed) {
        if create_port(registry, service, port).await? {
            taken.0.ports.insert(port);
            return Ok(port);
        }
    }
    Err(Failure::internal(
        "failed to allocate a nodePort: range is full",
    ))
}

/// Whether the port was free, and is the service's by now.
async fn create_port(registry: &Registry, service: &Value, port: u16) -> Outcome<bool> {
    let (namespace, name) = metadata::place(service);
    let key = Key::new(format!("{ROOT}servicenodeports/{port}")).map_err(Failure::internal)?;
    let value = json!({"service": format!("{namespace}/{name}")}).to_string();
    match registry
        .store
        .create(&key, Bytes::from(value), Write::durable())
        .await
    {
        Ok(_) => Ok(true),
        Err(Error::Exists { .. }) => Ok(false),
        Err(error) => Err(of_store(error)),
    }
}

fn invalid(service: &Value, field: &str, message: String) -> Failure {
    let error = (field.to_owned(), "FieldValueInvalid".to_owned(), message);
    Failure::invalid("", "Service", metadata::text(service, "name"), [error])
}
