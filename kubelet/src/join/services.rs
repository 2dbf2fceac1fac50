//! The cluster's services, as far as containers are told of them.

use keelson_client::cache::{Reflector, Writer, reflect};
use keelson_client::{Client, Object, Resource};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::spec::env::services::{Addressed, ServicePort};

/// What is read of a Service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Service {
    metadata: ServiceMeta,
    spec: ServiceSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ServiceMeta {
    namespace: String,
    name: String,
    resource_version: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ServiceSpec {
    #[serde(rename = "clusterIP")]
    cluster_ip: String,
    ports: Vec<ServicePort>,
}

impl Object for Service {
    fn namespace(&self) -> &str {
        &self.metadata.namespace
    }

    fn name(&self) -> &str {
        &self.metadata.name
    }

    fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }
}

impl Service {
    /// What containers are told of it.
    #[must_use]
    pub fn addressed(&self) -> Addressed<'_> {
        Addressed {
            namespace: &self.metadata.namespace,
            name: &self.metadata.name,
            cluster_ip: &self.spec.cluster_ip,
            ports: &self.spec.ports,
        }
    }
}

/// Follows all services until the token is cancelled.
pub async fn follow(client: Client, writer: Writer<Service>, stop: CancellationToken) {
    let services = Resource::fixed("", "v1", "services", "Service", true);
    reflect(Reflector::new(client, services.all()), writer, stop).await;
}
