//! `TaintToleration`: no node whose taints the pod does not tolerate; of the others rather those
//! with fewer taints that would prefer the pod elsewhere.

use crate::cluster::Host;
use crate::framework::{
    Cycle, Filter, NodeCheck, NodeScore, Prepared, Reason, Score, Verdict, normalize_by_most,
};
use crate::model::Toleration;
use crate::model::taint::{Effect, tolerated};

const TAINTED: Reason = Reason::Text("node(s) had untolerated taint(s)");

/// The plugin.
#[derive(Debug)]
pub struct TaintToleration;

impl Filter for TaintToleration {
    fn prepare<'c>(&'c self, cycle: Cycle<'c>) -> Prepared<'c> {
        Prepared::Check(Box::new(Tolerates(&cycle.pod.class.tolerations)))
    }
}

impl Score for TaintToleration {
    fn prepare<'c>(&'c self, cycle: Cycle<'c>, _: &[usize]) -> Option<Box<dyn NodeScore + 'c>> {
        Some(Box::new(Tolerates(&cycle.pod.class.tolerations)))
    }
}

struct Tolerates<'c>(&'c [Toleration]);

impl NodeCheck for Tolerates<'_> {
    fn check(&self, host: &Host, why: &mut Vec<Reason>) -> Verdict {
        let mut hard = host.node().taints.iter();
        let fits =
            hard.all(|taint| taint.effect == Effect::PreferNoSchedule || tolerated(taint, self.0));
        if fits {
            return Verdict::Fits;
        }
        why.push(TAINTED);
        Verdict::RefusedForGood
    }
}

impl NodeScore for Tolerates<'_> {
    fn score(&self, host: &Host) -> i64 {
        let soft = host.node().taints.iter();
        let soft = soft.filter(|taint| taint.effect == Effect::PreferNoSchedule);
        let against = soft.filter(|taint| !tolerated(taint, self.0)).count();
        i64::try_from(against).unwrap_or(i64::MAX)
    }

    fn is_relative(&self) -> bool {
        true
    }

    fn normalize(&self, scores: &mut [i64]) {
        normalize_by_most(scores, true);
    }
}
