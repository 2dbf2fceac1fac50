//! Looks at one object: finds its owners, asks the server where caches can't be believed, and
//! does what [`super::decide`] says.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use keelson_client::cache::Key;
use keelson_client::events::{Recorder, reference};
use keelson_client::path::ApiPath;
use keelson_client::request::{DeleteOptions, Patch, Preconditions, WriteOptions};
use keelson_client::runner::Outcome;
use keelson_client::{Client, Error, Object as _, Resource, Store};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::decide::{self, Owner, Step};
use super::monitors::Monitors;
use super::tracked::{FOREGROUND, ORPHAN, Tracked, of_key};
use crate::controller::ActError;
use crate::kinds::OwnerReference;

/// So many owners that are gone are remembered, so that the server is asked once for each.
const REMEMBERED: usize = 512;

/// Does the work.
pub struct Collector {
    client: Client,
    monitors: Arc<Monitors>,
    recorder: Recorder,
    absent: Mutex<BTreeSet<(Box<str>, Box<str>)>>,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").finish_non_exhaustive()
    }
}

/// An object with its address.
struct At<'a> {
    resource: &'a Resource,
    path: ApiPath,
    object: Tracked,
}

impl Collector {
    /// A collector.
    #[must_use]
    pub fn new(client: Client, monitors: Arc<Monitors>, recorder: Recorder) -> Self {
        Self {
            client,
            monitors,
            recorder,
            absent: Mutex::new(BTreeSet::new()),
        }
    }

    /// Does what is to be done about an object.
    ///
    /// # Errors
    /// The server refuses something.
    pub async fn look_at(&self, key: &Key) -> Result<Outcome, ActError> {
        let Some((kind, object)) = of_key(key) else {
            return Ok(Outcome::Settled);
        };
        let Some((resource, objects)) = self.monitors.of(kind) else {
            return Ok(Outcome::Settled);
        };
        match self.look(&resource, &objects, &object).await {
            // Somebody else changed it: look again.
            Err(error) if error.is_conflict() => Ok(Outcome::Later),
            Err(error) => Err(error.into()),
            Ok(()) => Ok(Outcome::Settled),
        }
    }

    async fn look(
        &self,
        resource: &Resource,
        objects: &Store<Tracked>,
        key: &Key,
    ) -> Result<(), Error> {
        let Some(known) = objects.find(key) else {
            return Ok(());
        };
        let leaves = known.waits_for_dependents() || known.orphans_dependents();
        if !leaves && !self.is_suspicious(&known) {
            return Ok(());
        }
        let path = resource.named(&key.namespace, &key.name);
        let object: Tracked = match self.client.metadata_only().get(&path).await {
            Err(error) if error.is_not_found() => return Ok(()),
            object => object?,
        };
        if object.metadata.uid != known.metadata.uid {
            return Ok(());
        }
        let at = At {
            resource,
            path,
            object,
        };
        if at.object.orphans_dependents() {
            return self.orphan(&at).await;
        }
        if at.object.waits_for_dependents() {
            return self.wait(&at).await;
        }
        self.judge(&at).await
    }

    /// Whether the caches show anything but owners that are there and stay.
    fn is_suspicious(&self, object: &Tracked) -> bool {
        let owners = object.metadata.owner_references.iter();
        let mut owners = owners.map(|owner| self.cached(object, owner));
        owners.any(|owner| owner != Some(Owner::Solid))
    }

    /// What the caches say of an owner; `None` if they don't have it.
    fn cached(&self, object: &Tracked, owner: &OwnerReference) -> Option<Owner> {
        let (resource, objects) = self.monitors.named(&owner.api_version, &owner.kind)?;
        let namespace = if resource.namespaced {
            &*object.metadata.namespace
        } else {
            ""
        };
        let found = objects.get(namespace, &owner.name)?;
        (found.metadata.uid == owner.uid).then(|| state(&found))
    }

    /// An object that is not leaving: whether it has to.
    async fn judge(&self, at: &At<'_>) -> Result<(), Error> {
        let mut owners = Vec::new();
        for owner in &at.object.metadata.owner_references {
            match self.find_owner(at, owner).await? {
                Some(owner) => owners.push(owner),
                // Nothing can be said about this one, so nothing is done.
                None => return Ok(()),
            }
        }
        let dependents = self.monitors.dependents(&at.object.metadata.uid);
        let circular = (!dependents.is_empty()).then(|| {
            let mut dependents = dependents.iter();
            dependents.any(|(_, dependent)| dependent.waits_for_dependents())
        });
        match decide::of_dependent(&at.object, &owners, circular) {
            Step::Leave => Ok(()),
            Step::Disown(uids) => {
                let meta = &at.object.metadata;
                let kept = meta
                    .owner_references
                    .iter()
                    .filter(|o| !uids.contains(&o.uid));
                self.write(at, json!({"ownerReferences": kept.collect::<Vec<_>>()}))
                    .await
            }
            Step::Delete { policy, unblock } => {
                if unblock {
                    self.unblock(at).await?;
                }
                self.delete(at, policy, unblock).await
            }
        }
    }

    /// The state of an owner, by the server's own word if the caches lack it. `None` if there is
    /// no telling.
    async fn find_owner(
        &self,
        at: &At<'_>,
        owner: &OwnerReference,
    ) -> Result<Option<Owner>, Error> {
        if let Some(state) = self.cached(&at.object, owner) {
            return Ok(Some(state));
        }
        let namespace = &at.object.metadata.namespace;
        let remembered = (owner.uid.clone(), namespace.clone());
        if self.absent.lock().contains(&remembered) {
            return Ok(Some(Owner::Absent));
        }
        let Some((resource, _)) = self.monitors.named(&owner.api_version, &owner.kind) else {
            // Perhaps a kind that will be there soon. Its object can't be asked for.
            return Ok(None);
        };
        if resource.namespaced && !at.resource.namespaced {
            self.complain(at, owner);
            return Ok(None);
        }
        let path = resource.named(namespace, &owner.name);
        let found: Tracked = match self.client.metadata_only().get(&path).await {
            Err(error) if error.is_not_found() => {
                self.remember(remembered);
                return Ok(Some(Owner::Absent));
            }
            found => found?,
        };
        if found.metadata.uid == owner.uid {
            return Ok(Some(state(&found)));
        }
        self.remember(remembered);
        Ok(Some(Owner::Absent))
    }

    fn remember(&self, owner: (Box<str>, Box<str>)) {
        let mut absent = self.absent.lock();
        if absent.len() >= REMEMBERED {
            absent.clear();
        }
        absent.insert(owner);
    }

    fn complain(&self, at: &At<'_>, owner: &OwnerReference) {
        let meta = &at.object.metadata;
        let about = reference(at.resource, &meta.namespace, &meta.name, &meta.uid);
        let message = format!(
            "ownerRef [{}, kind: {}, name: {}, uid: {}] does not exist in namespace {:?}",
            owner.api_version, owner.kind, owner.name, owner.uid, meta.namespace
        );
        self.recorder
            .record(about, true, "OwnerRefInvalidNamespace", &message);
    }

    /// An object that leaves after what it owns.
    async fn wait(&self, at: &At<'_>) -> Result<(), Error> {
        let dependents = self.monitors.dependents(&at.object.metadata.uid);
        if decide::may_go(
            &at.object,
            dependents.iter().map(|(_, dependent)| &**dependent),
        ) {
            let finalizers = decide::without(&at.object, FOREGROUND);
            return self.write(at, json!({ "finalizers": finalizers })).await;
        }
        for (resource, dependent) in dependents {
            if !dependent.waits_for_dependents() {
                self.monitors.wake(&resource, &dependent.key());
            }
        }
        Ok(())
    }

    /// An object that leaves what it owns behind.
    async fn orphan(&self, at: &At<'_>) -> Result<(), Error> {
        let uid = &at.object.metadata.uid;
        for (resource, dependent) in self.monitors.dependents(uid) {
            let meta = &dependent.metadata;
            let kept = meta
                .owner_references
                .iter()
                .filter(|owner| owner.uid != *uid);
            let dependent = At {
                resource: &resource,
                path: resource.named(&meta.namespace, &meta.name),
                object: Tracked::clone(&dependent),
            };
            let kept = json!({"ownerReferences": kept.collect::<Vec<_>>()});
            match self.write(&dependent, kept).await {
                Err(error) if error.is_not_found() => {}
                outcome => outcome?,
            }
        }
        let finalizers = decide::without(&at.object, ORPHAN);
        self.write(at, json!({ "finalizers": finalizers })).await
    }

    /// No owner of this object waits for it any more.
    async fn unblock(&self, at: &At<'_>) -> Result<(), Error> {
        let mut owners = at.object.metadata.owner_references.to_vec();
        for owner in &mut owners {
            owner.block_owner_deletion = Some(false);
        }
        self.write(at, json!({ "ownerReferences": owners })).await
    }

    /// Changes metadata of an object that is still the one and of the version that was seen.
    async fn write(&self, at: &At<'_>, mut metadata: Value) -> Result<(), Error> {
        let meta = &at.object.metadata;
        metadata["uid"] = json!(meta.uid);
        metadata["resourceVersion"] = json!(meta.resource_version);
        let patch = Patch::Merge(json!({ "metadata": metadata }));
        let options = WriteOptions::default();
        let written = self.client.patch::<Value>(&at.path, &patch, &options).await;
        match written {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    async fn delete(&self, at: &At<'_>, policy: &'static str, changed: bool) -> Result<(), Error> {
        let meta = &at.object.metadata;
        let version = meta.resource_version.to_string();
        let options = DeleteOptions {
            grace_period_seconds: None,
            preconditions: Some(Preconditions {
                uid: Some(meta.uid.to_string()),
                // Whoever was given an owner meanwhile stays.
                resource_version: (!changed).then_some(version),
            }),
            propagation_policy: Some(policy),
        };
        match self.client.delete(&at.path, &options).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }
}

fn state(owner: &Tracked) -> Owner {
    if owner.waits_for_dependents() {
        Owner::Waiting
    } else {
        Owner::Solid
    }
}
