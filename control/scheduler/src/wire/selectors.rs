//! Namespaces, services, workloads and disruption budgets: what selects pods.

use keelson_client::Object;
use serde::Deserialize;

use super::affinity::read_selector;
use super::{Metadata, null_is_default, watched};
use crate::cluster::Budget;
use crate::intern::Word;
use crate::model::{Labels, Requirement, Selector};

/// A namespace, for its labels.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Namespace {
    /// Its metadata.
    pub metadata: Metadata,
}
watched!(Namespace);

/// A service, for the pods that it selects.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Its metadata.
    pub metadata: Metadata,
    spec: ServiceSpec,
}
watched!(Service);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ServiceSpec {
    #[serde(deserialize_with = "super::labels")]
    selector: Labels,
}

impl Service {
    /// The labels of its pods; none where it selects none.
    #[must_use]
    pub fn selects(&self) -> &Labels {
        &self.spec.selector
    }
}

/// A ReplicaSet or StatefulSet, for the pods that it selects.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Workload {
    /// Its metadata.
    pub metadata: Metadata,
    #[serde(deserialize_with = "null_is_default")]
    spec: WorkloadSpec,
}
watched!(Workload);

#[derive(Debug, Deserialize)]
#[serde(default)]
struct WorkloadSpec {
    #[serde(deserialize_with = "read_selector")]
    selector: Selector,
}

impl Default for WorkloadSpec {
    fn default() -> Self {
        Self {
            selector: Selector::Nothing,
        }
    }
}

impl Workload {
    /// Which pods are its own.
    #[must_use]
    pub fn selector(&self) -> &Selector {
        &self.spec.selector
    }
}

/// A ReplicationController, whose selector has an older form.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Controller {
    /// Its metadata.
    pub metadata: Metadata,
    spec: ServiceSpec,
}
watched!(Controller);

impl Controller {
    /// Which pods are its own.
    #[must_use]
    pub fn selector(&self) -> Selector {
        let pairs = self.spec.selector.pairs().iter().cloned();
        Selector::All(pairs.map(|(k, v)| Requirement::equal(k, v)).collect())
    }
}

/// A PodDisruptionBudget.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DisruptionBudget {
    /// Its metadata.
    pub metadata: Metadata,
    spec: WorkloadSpec,
    status: BudgetStatus,
}
watched!(DisruptionBudget);

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct BudgetStatus {
    disruptions_allowed: i32,
    #[serde(deserialize_with = "null_is_default")]
    disrupted_pods: std::collections::BTreeMap<Word, serde::de::IgnoredAny>,
}

impl DisruptionBudget {
    /// As preemption sees it.
    #[must_use]
    pub fn budget(&self) -> Budget {
        Budget {
            namespace: self.metadata.namespace.clone(),
            selector: self.spec.selector.clone(),
            allowed: self.status.disruptions_allowed,
            disrupted: self.status.disrupted_pods.keys().cloned().collect(),
        }
    }
}
