//! What the cluster's names stand for, kept as Services and EndpointSlices change. Pure.
//!
//! Guarantees: a change costs what changed, and a question never waits for one: nothing is worked out
//! beforehand but what leads from an address back to its name. Objects are those that the rules are
//! made of, shared and not copied.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::name::Name;
use crate::model::{EndpointSlice, Service, ServiceKey};

/// What a Service's name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// Its cluster addresses.
    Cluster(Arc<Service>),
    /// Its endpoints.
    Headless,
    /// Another name, wherever it is (`spec.externalName`).
    External(Name),
}

/// All names of a cluster.
#[derive(Debug)]
pub struct Zone {
    /// The cluster's domain.
    pub domain: Name,
    /// Where this server is.
    pub servers: Vec<IpAddr>,
    /// Whether everything is known that there is.
    pub synced: bool,
    /// Grows with each change.
    pub serial: u32,
    services: HashMap<ServiceKey, Named>,
    slices: HashMap<ServiceKey, BTreeMap<ServiceKey, Arc<EndpointSlice>>>,
    namespaces: HashMap<Box<str>, usize>,
    by_cluster_ip: HashMap<IpAddr, ServiceKey>,
    by_hostname_ip: HashMap<IpAddr, BTreeSet<(ServiceKey, Arc<str>)>>,
}

impl Zone {
    /// A zone without names, not known to be complete.
    #[must_use]
    pub fn new(domain: Name, servers: Vec<IpAddr>) -> Self {
        Self {
            domain,
            servers,
            synced: false,
            serial: 1,
            services: HashMap::new(),
            slices: HashMap::new(),
            namespaces: HashMap::new(),
            by_cluster_ip: HashMap::new(),
            by_hostname_ip: HashMap::new(),
        }
    }

    /// A Service as it is now; `None` where it is gone.
    pub fn set_service(&mut self, key: &ServiceKey, named: Option<Named>) {
        self.serial = self.serial.wrapping_add(1);
        let before = match named {
            Some(named) => {
                for ip in cluster_ips(&named) {
                    self.by_cluster_ip.insert(*ip, key.clone());
                }
                self.services.insert(key.clone(), named)
            }
            None => self.services.remove(key),
        };
        for ip in before.iter().flat_map(cluster_ips) {
            let now = self.services.get(key).into_iter().flat_map(cluster_ips);
            let left = now.into_iter().all(|kept| kept != ip);
            if left && self.by_cluster_ip.get(ip) == Some(key) {
                self.by_cluster_ip.remove(ip);
            }
        }
        let is = self.services.contains_key(key);
        if is && before.is_none() {
            *self.namespaces.entry(key.namespace().into()).or_default() += 1;
        } else if !is && before.is_some() {
            self.leave_namespace(key.namespace());
        }
    }

    fn leave_namespace(&mut self, namespace: &str) {
        if let Some(count) = self.namespaces.get_mut(namespace) {
            *count -= 1;
            if *count == 0 {
                self.namespaces.remove(namespace);
            }
        }
    }

    /// A slice before and after.
    pub fn set_slice(
        &mut self,
        name: &ServiceKey,
        before: Option<&EndpointSlice>,
        after: Option<Arc<EndpointSlice>>,
    ) {
        self.serial = self.serial.wrapping_add(1);
        if let Some(before) = before {
            self.forget_slice(name, before);
        }
        let Some(after) = after else { return };
        for (endpoint, hostname) in after.named_endpoints() {
            let named = self.by_hostname_ip.entry(endpoint.ip).or_default();
            named.insert((after.service.clone(), hostname.clone()));
        }
        let own = self.slices.entry(after.service.clone()).or_default();
        own.insert(name.clone(), after);
    }

    fn forget_slice(&mut self, name: &ServiceKey, before: &EndpointSlice) {
        if let Some(own) = self.slices.get_mut(&before.service) {
            own.remove(name);
            if own.is_empty() {
                self.slices.remove(&before.service);
            }
        }
        for (endpoint, hostname) in before.named_endpoints() {
            if let Some(names) = self.by_hostname_ip.get_mut(&endpoint.ip) {
                names.remove(&(before.service.clone(), hostname.clone()));
                if names.is_empty() {
                    self.by_hostname_ip.remove(&endpoint.ip);
                }
            }
        }
    }

    /// What a Service's name stands for; `key` is `namespace/name`.
    #[must_use]
    pub fn service(&self, key: &str) -> Option<&Named> {
        self.services.get(key)
    }

    /// The slices of a Service.
    pub fn slices(&self, key: &str) -> impl Iterator<Item = &Arc<EndpointSlice>> {
        self.slices.get(key).into_iter().flat_map(BTreeMap::values)
    }

    /// Whether there is anything in a namespace.
    #[must_use]
    pub fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.contains_key(name)
    }

    /// The Service with this cluster address.
    #[must_use]
    pub fn by_cluster_ip(&self, ip: IpAddr) -> Option<&ServiceKey> {
        self.by_cluster_ip.get(&ip)
    }

    /// Services and hostnames of the endpoint with this address.
    pub fn by_endpoint_ip(&self, ip: IpAddr) -> impl Iterator<Item = &(ServiceKey, Arc<str>)> {
        self.by_hostname_ip.get(&ip).into_iter().flatten()
    }
}

fn cluster_ips(named: &Named) -> &[IpAddr] {
    match named {
        Named::Cluster(service) => &service.cluster_ips,
        Named::Headless | Named::External(_) => &[],
    }
}
