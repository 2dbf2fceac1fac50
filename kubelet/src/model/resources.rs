//! CPU and memory of a container or of a pod as a whole, as numbers that can be compared: what was
//! asked for, what was given, and the steps of a resize between the two.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ResourceRequirements};
use keelson_api::quantity::Quantity;
use keelson_api::resources::{Amounts, read};
use serde::{Deserialize, Serialize};

/// CPU and memory; zero for what is not said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Requested CPU in thousandths.
    pub cpu_request: u64,
    /// Most CPU in thousandths.
    pub cpu_limit: u64,
    /// Requested bytes of memory.
    pub memory_request: u64,
    /// Most bytes of memory.
    pub memory_limit: u64,
}

impl Resources {
    /// Those of a container or a pod, as written.
    #[must_use]
    pub fn of(written: Option<&ResourceRequirements>) -> Self {
        let requests = read(written.and_then(|r| r.requests.as_ref()));
        let limits = read(written.and_then(|r| r.limits.as_ref()));
        Self::of_amounts(&requests, &limits)
    }

    /// Those of such requests and limits.
    #[must_use]
    pub fn of_amounts(requests: &Amounts, limits: &Amounts) -> Self {
        let number = |amounts: &Amounts, name: &str, value: fn(&Quantity) -> i64| {
            let amount = amounts.get(name).map_or(0, value);
            u64::try_from(amount).unwrap_or(0)
        };
        Self {
            cpu_request: number(requests, "cpu", Quantity::milli_value),
            cpu_limit: number(limits, "cpu", Quantity::milli_value),
            memory_request: number(requests, "memory", Quantity::value),
            memory_limit: number(limits, "memory", Quantity::value),
        }
    }

    /// What allows for both: of each request and limit the more generous one.
    #[must_use]
    pub fn most(self, other: Self) -> Self {
        Self {
            cpu_request: self.cpu_request.max(other.cpu_request),
            cpu_limit: higher_limit(self.cpu_limit, other.cpu_limit),
            memory_request: self.memory_request.max(other.memory_request),
            memory_limit: higher_limit(self.memory_limit, other.memory_limit),
        }
    }

    /// Whether CPU differs, and whether memory does.
    #[must_use]
    pub fn differs(self, other: Self) -> (bool, bool) {
        let cpu = (self.cpu_request, self.cpu_limit) != (other.cpu_request, other.cpu_limit);
        let memory =
            (self.memory_request, self.memory_limit) != (other.memory_request, other.memory_limit);
        (cpu, memory)
    }
}

/// No limit is the highest one.
fn higher_limit(a: u64, b: u64) -> u64 {
    if a == 0 || b == 0 { 0 } else { a.max(b) }
}

/// A change from one amount to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// What is in force.
    pub from: Resources,
    /// What is to be.
    pub to: Resources,
}

impl Change {
    /// The new limit of memory, where it is a tighter one.
    #[must_use]
    pub fn squeezes_memory(&self) -> Option<u64> {
        let (from, to) = (self.from.memory_limit, self.to.memory_limit);
        (to > 0 && (from == 0 || to < from)).then_some(to)
    }
}

/// A running container that gets other resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerChange {
    /// Which container of the spec.
    pub container: Arc<str>,
    /// Its id.
    pub id: Arc<str>,
    /// From what to what.
    pub change: Change,
}

/// Which of its resources a container can only take on by a restart (`resizePolicy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NeedsRestart {
    /// CPU.
    pub cpu: bool,
    /// Memory.
    pub memory: bool,
}

impl NeedsRestart {
    /// What a container says of it.
    #[must_use]
    pub fn of(container: &Container) -> Self {
        let policies = container.resize_policy.as_deref().unwrap_or_default();
        let restarts = |resource: &str| {
            let mut of = policies.iter().filter(|p| p.resource_name == resource);
            of.any(|policy| policy.restart_policy == "RestartContainer")
        };
        Self {
            cpu: restarts("cpu"),
            memory: restarts("memory"),
        }
    }

    /// Whether a change needs one.
    #[must_use]
    pub fn for_change(self, change: &Change) -> bool {
        let (cpu, memory) = change.from.differs(change.to);
        cpu && self.cpu || memory && self.memory
    }
}

/// Where a pod is with a change of its resources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resize {
    /// A change that was asked for and can't be made (`PodResizePending`).
    pub pending: Option<Pending>,
    /// A change that was granted and is not yet made (`PodResizeInProgress`).
    pub progress: Option<Progress>,
}

/// Why resources can't be changed, now or ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Not on this node, ever (`Infeasible`); else not now (`Deferred`).
    pub infeasible: bool,
    /// What there is not enough of.
    pub message: String,
    /// Of which generation of the pod.
    pub generation: Option<i64>,
    /// Since when.
    pub since: Timestamp,
}

impl Pending {
    /// The reason of the condition.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self.infeasible {
            true => "Infeasible",
            false => "Deferred",
        }
    }
}

/// A change of resources that is being made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The resources and the generation as JSON, for events; its last brace is left out.
    pub about: String,
    /// Of which generation of the pod.
    pub generation: Option<i64>,
    /// Since when.
    pub since: Timestamp,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(cpu_limit: u64, memory_limit: u64) -> Resources {
        Resources {
            cpu_limit,
            memory_limit,
            ..Resources::default()
        }
    }

    #[test]
    fn no_limit_is_the_most() {
        assert_eq!(resources(1, 0).most(resources(2, 5)), resources(2, 0));
        assert_eq!(resources(0, 3).most(resources(2, 5)), resources(0, 5));
    }

    #[test]
    fn memory_is_squeezed_by_a_lower_limit_and_by_a_first_one() {
        for (from, to, expected) in [(0, 5, Some(5)), (6, 5, Some(5)), (4, 5, None), (5, 0, None)] {
            let (from, to) = (resources(0, from), resources(0, to));
            assert_eq!(Change { from, to }.squeezes_memory(), expected);
        }
    }
}
