//! Decides when requests for certificates have been kept long enough. The key is the request.

use std::time::Duration;

use jiff::Timestamp;
use keelson_client::Store;

use crate::controller::{Input, Plan, Reconcile, Registration, Work};
use crate::kinds::{CertificateRequest, Condition, condition};
use crate::wiring::Wiring;
use crate::write::Write;

const HOUR: Duration = Duration::from_secs(3600);
/// How long requests are kept that were decided on.
const DECIDED: Duration = HOUR;
/// How long requests are kept that nobody decides on, or signs.
const PENDING: Duration = Duration::from_secs(24 * 3600);

/// The registry's line.
pub const REGISTRATION: Registration = Registration {
    name: "certificatesigningrequest-cleaner-controller",
    alias: "csrcleaner",
    account: "certificate-controller",
    by_default: true,
    at_once: 1,
    build: |wiring: &mut Wiring<'_>| {
        Some(Work::decide(Cleaner {
            requests: wiring.own::<CertificateRequest>(),
        }))
    },
};

/// Removes old requests.
#[derive(Debug)]
struct Cleaner {
    requests: Store<CertificateRequest>,
}

impl Reconcile for Cleaner {
    fn reconcile(&self, input: &Input<'_>) -> Plan {
        let mut plan = Plan::default();
        let Some(request) = self.requests.find(input.key) else {
            return plan;
        };
        let Some((since, kept)) = kept(&request) else {
            return plan;
        };
        let passed = input.now.duration_since(since);
        let passed = if passed.is_negative() {
            Duration::ZERO
        } else {
            passed.unsigned_abs()
        };
        match kept.checked_sub(passed) {
            Some(left) if !left.is_zero() => plan.requeue_after(left),
            _ => plan.write(Write::delete(&*request)),
        }
        plan
    }
}

/// Since when and for how long a request is kept.
fn kept(request: &CertificateRequest) -> Option<(Timestamp, Duration)> {
    let when = |kind: &str| {
        let found = condition::find(&request.status.conditions, kind).filter(|c| c.holds());
        found.map(|found: &Condition| found.last_update_time.or(found.last_transition_time))
    };
    let created = request.metadata.creation_timestamp;
    let (since, kept) = if let Some(at) = when("Denied").or_else(|| when("Failed")) {
        (at, DECIDED)
    } else if let Some(at) = when("Approved") {
        let signed = !request.status.certificate.is_empty();
        (at, if signed { DECIDED } else { PENDING })
    } else {
        (created, PENDING)
    };
    Some((since.or(created)?, kept))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Cleaner;
    use crate::given;

    #[test]
    fn requests_are_kept_for_an_hour_or_a_day() {
        let check = |kind: &str, certificate: &str, expected: i64| {
            let conditions: Vec<Value> = Some(kind)
                .filter(|kind| !kind.is_empty())
                .map(|kind| json!({"type": kind, "status": "True", "lastUpdateTime": given::at(0)}))
                .into_iter()
                .collect();
            let cleaner = Cleaner {
                requests: given::store(json!([{
                    "metadata": {"name": "r", "creationTimestamp": given::at(0)},
                    "status": {"conditions": conditions, "certificate": certificate},
                }])),
            };
            let early = given::plan(&cleaner, given::at(expected - 1), "", "r");
            assert_eq!(
                (early.writes.len(), early.requeue.map(|t| t.as_secs())),
                (0, Some(1))
            );
            let late = given::plan(&cleaner, given::at(expected), "", "r");
            assert_eq!((late.writes.len(), late.requeue), (1, None), "{kind}");
        };
        check("", "", 86400);
        check("Approved", "", 86400);
        check("Approved", "x", 3600);
        check("Denied", "", 3600);
        check("Failed", "", 3600);
    }
}
