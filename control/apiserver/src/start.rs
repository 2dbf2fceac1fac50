//! What a cluster has from its first moment on: brought about at every start, and left alone where
//! people have made it theirs. What is to be written is decided in `auth::bootstrap_policy`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use keelson_api::status_error::Reason;
use keelson_schema::write::{self, Birth};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::auth::bootstrap_policy::reconcile::{self, Change};
use crate::auth::bootstrap_policy::{self, flow_control, objects};
use crate::failure::{Failure, Outcome};
use crate::handle::create::random;
use crate::kinds::Kind;
use crate::options::FrontFlags;
use crate::registry::{Next, Registry, metadata};

const RBAC: &str = bootstrap_policy::GROUP;
const FLOW_CONTROL: &str = "flowcontrol.apiserver.k8s.io";
const ATTEMPTS: usize = 8;
const RETRY: Duration = Duration::from_secs(1);

/// How this server is reached.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The address of the `kubernetes` service.
    pub(crate) service_ip: IpAddr,
    /// The server's own.
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    /// Where addresses of services come from.
    pub(crate) service_ranges: Vec<String>,
    /// Who vouches for callers.
    pub(crate) client_ca: Option<PathBuf>,
    /// Who vouches for proxies in front of this server, and how those say who calls.
    pub(crate) front: FrontFlags,
}

impl Place {
    /// What others need to know in order to find out who calls, as the files say it now. A file
    /// that cannot be read is left out: whoever looks after TLS says so.
    pub(crate) fn authorities(&self) -> BTreeMap<String, String> {
        let read = |path: &Option<PathBuf>| std::fs::read_to_string(path.as_ref()?).ok();
        let front = &self.front;
        let list = |names: &[String]| Some(serde_json::json!(names).to_string());
        let mut all = vec![("client-ca-file", read(&self.client_ca))];
        if front.requestheader_client_ca_file.is_some() {
            all.extend([
                (
                    "requestheader-client-ca-file",
                    read(&front.requestheader_client_ca_file),
                ),
                (
                    "requestheader-allowed-names",
                    list(&front.requestheader_allowed_names),
                ),
                (
                    "requestheader-username-headers",
                    list(&front.requestheader_username_headers),
                ),
                (
                    "requestheader-uid-headers",
                    list(&front.requestheader_uid_headers),
                ),
                (
                    "requestheader-group-headers",
                    list(&front.requestheader_group_headers),
                ),
                (
                    "requestheader-extra-headers-prefix",
                    list(&front.requestheader_extra_headers_prefix),
                ),
            ]);
        }
        let known = all
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)));
        known.collect()
    }
}

/// Brings everything about, again and again until it is there or the server stops.
pub(crate) async fn until_there(
    registry: &Registry,
    place: &Place,
    stop: &CancellationToken,
) -> bool {
    loop {
        let Err(failure) = everything(registry, place).await else {
            return true;
        };
        tracing::warn!(error = %failure, "the cluster's first objects are not all there: trying again");
        tokio::select! {
            () = stop.cancelled() => return false,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

async fn everything(registry: &Registry, place: &Place) -> Outcome<()> {
    type Decide = fn(&Value, Option<&Value>) -> Change;
    namespaces(registry).await?;
    let service = objects::kubernetes_service(place.service_ip, 443, place.port);
    let now = metadata::time(Timestamp::now());
    let range = objects::service_range(&place.service_ranges, &now);
    let all: [(&str, &str, Vec<Value>, Decide); 9] = [
        (
            "scheduling.k8s.io",
            "priorityclasses",
            objects::priority_classes(),
            reconcile::present,
        ),
        (
            RBAC,
            "clusterroles",
            bootstrap_policy::cluster_roles(),
            reconcile::role,
        ),
        (
            RBAC,
            "clusterrolebindings",
            bootstrap_policy::cluster_role_bindings(),
            reconcile::binding,
        ),
        (RBAC, "roles", bootstrap_policy::roles(), reconcile::role),
        (
            RBAC,
            "rolebindings",
            bootstrap_policy::role_bindings(),
            reconcile::binding,
        ),
        (
            FLOW_CONTROL,
            "prioritylevelconfigurations",
            flow_control::priority_levels(),
            reconcile::flow_control,
        ),
        (
            FLOW_CONTROL,
            "flowschemas",
            flow_control::flow_schemas(),
            reconcile::flow_control,
        ),
        ("", "services", vec![service], reconcile::present),
        (
            "networking.k8s.io",
            "servicecidrs",
            vec![range],
            reconcile::present,
        ),
    ];
    let all = all
        .into_iter()
        .flat_map(|(group, plural, expected, decide)| {
            expected.into_iter().map(move |object| async move {
                let kind = registry.builtin(group, plural)?;
                bring(registry, kind, &object, decide).await
            })
        });
    // Many at once, so that one sync of the store's file serves many.
    let outcomes = futures_util::future::join_all(all).await;
    outcomes.into_iter().collect()
}

/// Brings the server's own namespaces about, which whatever is written at first is in.
pub(crate) async fn namespaces(registry: &Registry) -> Outcome<()> {
    let kind = registry.builtin("", "namespaces")?;
    let all = objects::NAMESPACES.map(objects::namespace);
    let all = all
        .iter()
        .map(|object| bring(registry, kind, object, reconcile::present));
    let outcomes = futures_util::future::join_all(all).await;
    outcomes.into_iter().collect()
}

/// Brings one object about.
pub(crate) async fn bring(
    registry: &Registry,
    kind: &Kind,
    expected: &Value,
    decide: fn(&Value, Option<&Value>) -> Change,
) -> Outcome<()> {
    let (namespace, name) = metadata::place(expected);
    for _ in 0..ATTEMPTS {
        let mut attempt = match registry.attempt(kind, namespace, name).await {
            Ok(attempt) => Some(attempt),
            Err(failure) if failure.is(Reason::NotFound) => None,
            Err(failure) => return Err(failure),
        };
        let existing = attempt.as_ref().map(|attempt| &attempt.current.object);
        let (next, anew) = match decide(expected, existing) {
            Change::Nothing => return Ok(()),
            Change::Create(object) => (None, Some(object)),
            Change::Update(object) => (Some(Next::Put(object)), None),
            Change::Recreate(object) => {
                let last = existing.cloned().unwrap_or_default();
                (Some(Next::Remove(last)), Some(object))
            }
        };
        if let (Some(next), Some(attempt)) = (next, &mut attempt)
            && attempt.commit(next).await?.is_none()
        {
            continue;
        }
        match anew {
            None => return Ok(()),
            Some(object) => match make(registry, kind, object).await {
                Err(failure) if failure.is(Reason::AlreadyExists) => {}
                outcome => return outcome,
            },
        }
    }
    Err(Failure::stale(&kind.group, &kind.plural, name))
}

async fn make(registry: &Registry, kind: &Kind, mut object: Value) -> Outcome<()> {
    let namespace = metadata::place(&object).0.to_owned();
    let status = object["status"].clone();
    (kind.strategy.defaults)(&mut object);
    let birth = Birth {
        uid: &metadata::uuid(random()?),
        now: Timestamp::now(),
        namespace: Some(namespace.as_str()).filter(|namespace| !namespace.is_empty()),
    };
    write::prepare_create(kind, &mut object, &birth);
    if !status.is_null() {
        object["status"] = status;
    }
    registry.create(kind, object).await.map(drop)
}

/// The first address of a range, which the `kubernetes` service has.
pub(crate) fn first_address(range: &str) -> Option<IpAddr> {
    let (network, length) = range.split_once('/')?;
    let (network, length): (IpAddr, u32) = (network.parse().ok()?, length.parse().ok()?);
    match network {
        IpAddr::V4(ip) if length <= 30 => {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or_default();
            Some(IpAddr::from(((u32::from(ip) & mask) + 1).to_be_bytes()))
        }
        IpAddr::V6(ip) if length <= 126 => {
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or_default();
            Some(IpAddr::from(((u128::from(ip) & mask) + 1).to_be_bytes()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use keelson_store::memory::MemoryStore;
    use serde_json::json;

    use super::*;

    impl Place {
        pub(crate) fn example() -> Self {
            Self {
                service_ip: "10.96.0.1".parse().unwrap(),
                address: "192.0.2.1".parse().unwrap(),
                port: 6443,
                service_ranges: vec!["10.96.0.0/12".to_owned()],
                client_ca: None,
                front: FrontFlags::default(),
            }
        }
    }

    #[test]
    fn ranges_begin_with_the_service_of_the_api() {
        let check = |range, expected: Option<&str>| {
            assert_eq!(
                first_address(range),
                expected.map(|ip| ip.parse().unwrap()),
                "{range}"
            );
        };
        check("10.96.0.0/12", Some("10.96.0.1"));
        check("10.0.0.77/24", Some("10.0.0.1"));
        check("fd00::/108", Some("fd00::1"));
        check("10.0.0.0/31", None);
        check("10.0.0.0", None);
    }

    #[tokio::test]
    async fn the_first_objects_are_there_once_and_stay_as_people_left_them() {
        let registry = Registry::new(Arc::new(MemoryStore::default()));
        let place = Place::example();
        everything(&registry, &place).await.unwrap();
        let namespaces = registry.builtin("", "namespaces").unwrap();
        let found = registry.read(namespaces, "", "kube-system").await.unwrap();
        assert_eq!(found.object["status"]["phase"], "Active");
        assert!(found.object["metadata"]["uid"].is_string());
        let roles = registry.builtin(RBAC, "clusterroles").unwrap();
        let mut attempt = registry
            .attempt(roles, "", "system:basic-user")
            .await
            .unwrap();
        let mut changed = attempt.current.object.clone();
        changed["rules"] = json!([]);
        attempt.commit(Next::Put(changed)).await.unwrap();
        let revision = registry.store.revision().await.unwrap();
        everything(&registry, &place).await.unwrap();
        let found = registry.read(roles, "", "system:basic-user").await.unwrap();
        assert_eq!(found.object["rules"].as_array().map(Vec::len), Some(3));
        assert_eq!(registry.store.revision().await.unwrap().0, revision.0 + 1);
    }
}
