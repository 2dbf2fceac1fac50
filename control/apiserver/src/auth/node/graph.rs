//! Which node needs which object: pods and what they name, volumes and attachments. Pure.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::admit::fields;
use crate::admit::service_account::{MIRROR, secrets};

/// The kinds that nodes need parts of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Pod,
    Secret,
    ConfigMap,
    Claim,
    Volume,
    ServiceAccount,
    ResourceClaim,
    Attachment,
    ResourceSlice,
}

/// Namespace and name.
type Key = (Box<str>, Box<str>);

fn key(namespace: &str, name: &str) -> Key {
    (namespace.into(), name.into())
}

/// What one pod needs in its own namespace.
struct PodNeeds {
    node: Box<str>,
    names: Box<[(Kind, Box<str>)]>,
}

struct VolumeNeeds {
    claim: Key,
    secrets: Box<[Key]>,
}

/// Who needs what.
#[derive(Default)]
pub(crate) struct Graph {
    pods: HashMap<Key, PodNeeds>,
    by_node: HashMap<Box<str>, HashSet<Key>>,
    volumes: HashMap<Box<str>, VolumeNeeds>,
    by_claim: HashMap<Key, HashSet<Box<str>>>,
    /// The node of an attachment or a resource slice.
    nodes: HashMap<(Kind, Box<str>), Box<str>>,
}

impl Graph {
    /// Takes a pod in, as it is now, or out. Pods without a node need nothing yet.
    pub(crate) fn set_pod(&mut self, namespace: &str, name: &str, pod: Option<&Value>) {
        let key = key(namespace, name);
        if let Some(old) = self.pods.remove(&key)
            && let Some(pods) = self.by_node.get_mut(&old.node)
        {
            pods.remove(&key);
            if pods.is_empty() {
                self.by_node.remove(&old.node);
            }
        }
        let node = pod
            .map(|pod| fields::text(pod, "/spec/nodeName"))
            .unwrap_or_default();
        let Some(pod) = pod.filter(|_| !node.is_empty()) else {
            return;
        };
        let needs = PodNeeds {
            node: node.into(),
            names: pod_needs(pod),
        };
        self.by_node
            .entry(node.into())
            .or_default()
            .insert(key.clone());
        self.pods.insert(key, needs);
    }

    /// Takes a volume in, or out.
    pub(crate) fn set_volume(&mut self, name: &str, volume: Option<&Value>) {
        if let Some(old) = self.volumes.remove(name)
            && let Some(volumes) = self.by_claim.get_mut(&old.claim)
        {
            volumes.remove(name);
            if volumes.is_empty() {
                self.by_claim.remove(&old.claim);
            }
        }
        let Some(volume) = volume else {
            return;
        };
        let claim = (
            fields::text(volume, "/spec/claimRef/namespace"),
            fields::text(volume, "/spec/claimRef/name"),
        );
        if claim.1.is_empty() {
            return;
        }
        let claim = key(claim.0, claim.1);
        let needs = VolumeNeeds {
            secrets: volume_secrets(volume, &claim.0),
            claim: claim.clone(),
        };
        self.by_claim.entry(claim).or_default().insert(name.into());
        self.volumes.insert(name.into(), needs);
    }

    /// Forgets all pods.
    pub(crate) fn forget_pods(&mut self) {
        self.pods.clear();
        self.by_node.clear();
    }

    /// Forgets all volumes.
    pub(crate) fn forget_volumes(&mut self) {
        self.volumes.clear();
        self.by_claim.clear();
    }

    /// Forgets all attachments, or all resource slices.
    pub(crate) fn forget_nodes_of(&mut self, kind: Kind) {
        self.nodes.retain(|(own, _), _| *own != kind);
    }

    /// Takes a volume attachment or a resource slice in, or out.
    pub(crate) fn set_node(&mut self, kind: Kind, name: &str, object: Option<&Value>) {
        let node = object
            .map(|object| fields::text(object, "/spec/nodeName"))
            .unwrap_or_default();
        if node.is_empty() {
            self.nodes.remove(&(kind, name.into()));
        } else {
            self.nodes.insert((kind, name.into()), node.into());
        }
    }

    /// Whether a node needs an object.
    pub(crate) fn needs(&self, node: &str, kind: Kind, namespace: &str, name: &str) -> bool {
        match kind {
            Kind::Pod => self
                .pods
                .get(&key(namespace, name))
                .is_some_and(|pod| *pod.node == *node),
            Kind::Attachment | Kind::ResourceSlice => self
                .nodes
                .get(&(kind, name.into()))
                .is_some_and(|own| **own == *node),
            Kind::Volume => {
                let volume = self.volumes.get(name);
                volume.is_some_and(|v| self.pods_need(node, Kind::Claim, &v.claim.0, &v.claim.1))
            }
            Kind::Secret if !self.pods_need(node, kind, namespace, name) => {
                self.volumes_need(node, namespace, name)
            }
            _ => self.pods_need(node, kind, namespace, name),
        }
    }

    fn pods_of<'a>(&'a self, node: &str) -> impl Iterator<Item = (&'a Key, &'a PodNeeds)> {
        let keys = self.by_node.get(node).into_iter().flatten();
        keys.filter_map(|key| self.pods.get_key_value(key))
    }

    fn pods_need(&self, node: &str, kind: Kind, namespace: &str, name: &str) -> bool {
        self.pods_of(node)
            .filter(|((own, _), _)| **own == *namespace)
            .any(|(_, pod)| pod.names.iter().any(|(k, n)| *k == kind && **n == *name))
    }

    /// Whether a volume of one of the node's pods needs the secret.
    fn volumes_need(&self, node: &str, namespace: &str, name: &str) -> bool {
        let claims = self.pods_of(node).flat_map(|((namespace, _), pod)| {
            let claims = pod.names.iter().filter(|(kind, _)| *kind == Kind::Claim);
            claims.map(|(_, name)| (namespace.clone(), name.clone()))
        });
        let volumes = claims
            .filter_map(|claim| self.by_claim.get(&claim))
            .flatten();
        let mut secrets = volumes
            .filter_map(|volume| self.volumes.get(volume))
            .flat_map(|v| v.secrets.iter());
        secrets.any(|(own, secret)| **own == *namespace && **secret == *name)
    }
}

/// Mirror pods name what they like, so they give their node nothing.
fn pod_needs(pod: &Value) -> Box<[(Kind, Box<str>)]> {
    if fields::annotation(pod, MIRROR).is_some() {
        return Box::default();
    }
    let spec = fields::value(pod, "/spec");
    let mut found: Vec<(Kind, Box<str>)> = Vec::new();
    let mut add = |kind, name: &str| {
        if !name.is_empty() {
            found.push((kind, name.into()));
        }
    };
    add(
        Kind::ServiceAccount,
        fields::text(spec, "/serviceAccountName"),
    );
    secrets::names(spec)
        .into_iter()
        .for_each(|name| add(Kind::Secret, name));
    secrets::config_maps(spec)
        .into_iter()
        .for_each(|name| add(Kind::ConfigMap, name));
    secrets::claims(pod)
        .iter()
        .for_each(|name| add(Kind::Claim, name));
    for claim in fields::list(spec, "/resourceClaims") {
        add(
            Kind::ResourceClaim,
            fields::text(claim, "/resourceClaimName"),
        );
    }
    for claim in fields::list(pod, "/status/resourceClaimStatuses") {
        add(
            Kind::ResourceClaim,
            fields::text(claim, "/resourceClaimName"),
        );
    }
    add(
        Kind::ResourceClaim,
        fields::text(pod, "/status/extendedResourceClaimStatus/resourceClaimName"),
    );
    found.into()
}

/// The secrets that a volume's source names; without a namespace they are in the claim's.
fn volume_secrets(volume: &Value, claim_namespace: &str) -> Box<[Key]> {
    const REFERENCES: [&str; 8] = [
        "/spec/csi/controllerPublishSecretRef",
        "/spec/csi/nodePublishSecretRef",
        "/spec/csi/nodeStageSecretRef",
        "/spec/csi/nodeExpandSecretRef",
        "/spec/cephfs/secretRef",
        "/spec/flexVolume/secretRef",
        "/spec/iscsi/secretRef",
        "/spec/rbd/secretRef",
    ];
    let file = fields::value(volume, "/spec/azureFile");
    let file = (
        fields::text(file, "/secretNamespace"),
        fields::text(file, "/secretName"),
    );
    let references = REFERENCES.iter().map(|path| {
        let reference = fields::value(volume, path);
        (
            fields::text(reference, "/namespace"),
            fields::text(reference, "/name"),
        )
    });
    let all = references
        .chain([file])
        .filter(|(_, name)| !name.is_empty());
    all.map(|(namespace, name)| {
        key(
            if namespace.is_empty() {
                claim_namespace
            } else {
                namespace
            },
            name,
        )
    })
    .collect()
}
