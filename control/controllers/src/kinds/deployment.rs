//! Deployments.

use keelson_api::IntOrString;
use keelson_api::meta::LabelSelector;
use keelson_client::Resource;
use keelson_client::index::Index;
use serde::{Deserialize, Serialize};

use super::{Condition, Meta, NAMESPACE, Template, kind};

/// A Deployment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Deployment {
    /// `metadata`.
    pub metadata: Meta,
    /// `spec`.
    pub spec: DeploymentSpec,
    /// `status`.
    pub status: DeploymentStatus,
}

kind!(
    Deployment,
    Resource::fixed("apps", "v1", "deployments", "Deployment", true),
    vec![Index::new(NAMESPACE, |deployment: &Deployment, words| {
        words.push(deployment.metadata.namespace.to_string());
    })]
);

/// `spec` of a Deployment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeploymentSpec {
    /// How many pods there should be.
    pub replicas: Option<i32>,
    /// Which ReplicaSets, and pods, are its own.
    pub selector: LabelSelector,
    /// What pods are made from.
    pub template: Template,
    /// How pods of an old template are replaced.
    pub strategy: Strategy,
    /// How long a pod is ready before it counts as available, in seconds.
    pub min_ready_seconds: i32,
    /// How many old ReplicaSets are kept.
    pub revision_history_limit: Option<i32>,
    /// Whether nothing is rolled out.
    pub paused: bool,
    /// After how many seconds without progress a roll-out counts as failed.
    pub progress_deadline_seconds: Option<i32>,
}

/// `spec.strategy`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Strategy {
    /// `RollingUpdate` or `Recreate`.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// How much of a rolling update goes on at once.
    pub rolling_update: Option<RollingUpdate>,
}

/// `rollingUpdate` of a strategy.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RollingUpdate {
    /// How many pods may be missing: a number, or a share of all, rounded down.
    pub max_unavailable: Option<IntOrString>,
    /// How many there may be beyond what is wanted: a number, or a share of all, rounded up.
    pub max_surge: Option<IntOrString>,
}

/// `status` of a Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeploymentStatus {
    /// The generation that this is about.
    pub observed_generation: i64,
    /// All pods.
    pub replicas: i32,
    /// Those of the current template.
    pub updated_replicas: i32,
    /// Those that are ready.
    pub ready_replicas: i32,
    /// Those that were ready for long enough.
    pub available_replicas: i32,
    /// Those that are missing or not available.
    pub unavailable_replicas: i32,
    /// Those that are about to be gone.
    pub terminating_replicas: Option<i32>,
    /// Its conditions.
    pub conditions: Vec<Condition>,
    /// How often a hash was taken by another template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collision_count: Option<i32>,
}

impl Deployment {
    /// How many pods there should be.
    #[must_use]
    pub fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }

    /// Whether old pods go before new ones come.
    #[must_use]
    pub fn recreates(&self) -> bool {
        &*self.spec.strategy.kind == "Recreate"
    }

    /// How many pods there may be beyond what is wanted, and how many may be missing.
    #[must_use]
    pub fn fence(&self) -> (i32, i32) {
        if self.recreates() {
            return (0, 0);
        }
        let update = self.spec.strategy.rolling_update.as_ref();
        let surge = update.and_then(|update| update.max_surge.as_ref());
        let missing = update.and_then(|update| update.max_unavailable.as_ref());
        let surge = share(surge, self.replicas(), true);
        let missing = share(missing, self.replicas(), false);
        // Without any room nothing would ever move.
        if surge == 0 && missing == 0 {
            (0, 1)
        } else {
            (surge, missing)
        }
    }

    /// How many pods there may be beyond what is wanted.
    #[must_use]
    pub fn max_surge(&self) -> i32 {
        self.fence().0
    }

    /// How many pods may be missing.
    #[must_use]
    pub fn max_unavailable(&self) -> i32 {
        if self.recreates() {
            return 0;
        }
        self.fence().1.min(self.replicas())
    }

    /// The deadline for progress in seconds, if there is one.
    #[must_use]
    pub fn deadline(&self) -> Option<i64> {
        let seconds = self.spec.progress_deadline_seconds?;
        (seconds != i32::MAX).then_some(i64::from(seconds))
    }
}

/// A number, or a share of all: 0 if absent or unreadable.
#[must_use]
pub fn share(of: Option<&IntOrString>, all: i32, up: bool) -> i32 {
    match of {
        None => 0,
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(text)) => {
            let percent = text
                .strip_suffix('%')
                .and_then(|number| number.parse::<i64>().ok());
            let product = percent.unwrap_or(0) * i64::from(all);
            let rounded = if up {
                (product + 99).div_euclid(100)
            } else {
                product.div_euclid(100)
            };
            i32::try_from(rounded).unwrap_or(i32::MAX)
        }
    }
}
