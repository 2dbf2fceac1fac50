//! Who goes first: those that use more than they asked for, of those the less important, of those
//! the largest. Quality of service follows: who asked for nothing is above it with the first byte.

use std::cmp::Reverse;

use super::Resource;
use crate::model::PodUid;

/// A running pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub uid: PodUid,
    /// `spec.priority`.
    pub priority: i32,
    /// It must not be ended for the node's sake.
    pub critical: bool,
    /// What it uses of the resource.
    pub usage: u64,
    /// What it asked for of the resource; nothing for inodes and process ids.
    pub request: u64,
}

impl Candidate {
    fn exceeds(&self) -> bool {
        self.usage > self.request
    }

    /// Signed, since one that stays below its request ranks by how far.
    fn above(&self) -> i128 {
        i128::from(self.usage) - i128::from(self.request)
    }
}

/// The pod to end for want of `resource`, if one may be ended.
#[must_use]
pub fn choose(resource: Resource, pods: &[Candidate]) -> Option<&Candidate> {
    let may_go = pods.iter().filter(|pod| !pod.critical);
    may_go.min_by_key(|pod| {
        let within = resource != Resource::Pids && !pod.exceeds();
        (within, pod.priority, Reverse(pod.above()), pod.uid.clone())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str, priority: i32, usage: u64, request: u64) -> Candidate {
        Candidate {
            uid: uid.into(),
            priority,
            critical: false,
            usage,
            request,
        }
    }

    fn order(resource: Resource, mut pods: Vec<Candidate>) -> Vec<String> {
        let mut gone = Vec::new();
        while let Some(next) = choose(resource, &pods).map(|pod| pod.uid.clone()) {
            pods.retain(|pod| pod.uid != next);
            gone.push(next.to_string());
        }
        gone
    }

    #[test]
    fn above_the_request_then_priority_then_size() {
        let pods = || {
            vec![
                pod("guaranteed", 0, 900, 1000),
                pod("important", 100, 5000, 0),
                pod("small", 0, 10, 0),
                pod("large", 0, 500, 100),
                pod("modest", -1, 50, 100),
            ]
        };
        let by_memory = ["large", "small", "important", "modest", "guaranteed"];
        assert_eq!(order(Resource::Memory, pods()), by_memory);
        assert_eq!(order(Resource::EphemeralStorage, pods()), by_memory);
    }

    #[test]
    fn process_ids_know_no_requests() {
        let pods = vec![
            pod("few", 0, 3, 0),
            pod("many", 0, 300, 0),
            pod("none", -5, 0, 0),
            pod("important", 9, 9000, 0),
        ];
        let expected = ["none", "many", "few", "important"];
        assert_eq!(order(Resource::Pids, pods), expected);
    }

    #[test]
    fn critical_pods_stay() {
        let critical = Candidate {
            critical: true,
            ..pod("static", 0, 1 << 40, 0)
        };
        assert!(order(Resource::Memory, vec![critical.clone()]).is_empty());
        let pods = vec![critical, pod("other", 0, 1, 1)];
        assert_eq!(order(Resource::Memory, pods), ["other"]);
    }
}
