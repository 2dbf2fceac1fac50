//! Decides when a range of addresses of Services may go: not while an address of it is given out
//! that no other range holds. The key is the range.

use std::time::Duration;

use keelson_client::Store;
use keelson_client::cache::Change;
use serde_json::json;

use crate::controller::{Input, Plan, Reconcile, Registration, Work};
use crate::kinds::condition::whole_seconds;
use crate::kinds::service_cidr::IpAddress;
use crate::kinds::{Condition, Object as _, ServiceCidr, condition};
use crate::node_ipam::range::Range;
use crate::wiring::Wiring;
use crate::write::Write;

/// What holds a range until it may go.
const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
/// The label of addresses that servers give out, and what it says.
const MANAGED_BY: &str = "ipaddress.kubernetes.io/managed-by";
const ALLOCATOR: &str = "ipallocator.k8s.io";
/// The time in which all servers hear that a range is leaving, and stop giving its addresses out.
const GRACE: Duration = Duration::from_secs(10);

/// The registry's line.
pub const REGISTRATION: Registration = Registration {
    name: "service-cidr-controller",
    alias: "servicecidr",
    account: "service-cidrs-controller",
    by_default: true,
    at_once: 5,
    build: |wiring: &mut Wiring<'_>| {
        let all = wiring.read::<ServiceCidr>();
        let known = all.clone();
        let cidrs = wiring.watch(move |change: &Change<ServiceCidr>, keys| {
            let (changed, leaving) = (change.latest(), leaving(&all));
            keys.push(changed.key());
            let touched = leaving.filter(|other| {
                let ranges = ranges(changed);
                self::ranges(other).any(|one| ranges.clone().any(|two| one.overlaps(two)))
            });
            keys.extend(touched.map(|other| other.key()));
            keys.dedup();
        });
        let addresses = wiring.watch(move |change: &Change<IpAddress>, keys| {
            let Ok(address) = Range::of_address(change.latest().name()) else {
                return;
            };
            let holding = leaving(&known).filter(|cidr| {
                let mut ranges = ranges(cidr);
                ranges.any(|range| range.holds(address))
            });
            keys.extend(holding.map(|cidr| cidr.key()));
        });
        Some(Work::decide(Keeper { cidrs, addresses }))
    },
};

fn leaving(all: &Store<ServiceCidr>) -> impl Iterator<Item = std::sync::Arc<ServiceCidr>> {
    let all = all.all().into_iter();
    all.filter(|cidr| cidr.metadata.is_leaving())
}

fn ranges(cidr: &ServiceCidr) -> impl Iterator<Item = Range> + Clone {
    cidr.spec
        .cidrs
        .iter()
        .filter_map(|text| Range::read(text).ok())
}

/// Keeps the ranges.
#[derive(Debug)]
struct Keeper {
    cidrs: Store<ServiceCidr>,
    addresses: Store<IpAddress>,
}

impl Reconcile for Keeper {
    fn reconcile(&self, input: &Input<'_>) -> Plan {
        let mut plan = Plan::default();
        let Some(cidr) = self.cidrs.find(input.key) else {
            return plan;
        };
        let Some(since) = cidr.metadata.deletion_timestamp else {
            keep(&mut plan, &cidr, input);
            return plan;
        };
        if !self.may_go(&cidr) {
            let why = "There are still IPAddresses referencing the ServiceCIDR, please remove them \
                or create a new ServiceCIDR";
            say(&mut plan, &cidr, false, "Terminating", why, input);
            return plan;
        }
        let passed = Duration::try_from(input.now.duration_since(since)).unwrap_or_default();
        match GRACE.checked_sub(passed).filter(|left| !left.is_zero()) {
            Some(left) => plan.requeue_after(left),
            None => let_go(&mut plan, &cidr),
        }
        plan
    }
}

fn keep(plan: &mut Plan, cidr: &ServiceCidr, input: &Input<'_>) {
    if !cidr
        .metadata
        .finalizers
        .iter()
        .any(|one| &**one == FINALIZER)
    {
        let mut finalizers = cidr.metadata.finalizers.clone();
        finalizers.push(FINALIZER.into());
        plan.write(Write::patch(
            cidr,
            json!({"metadata": {"finalizers": finalizers}}),
        ));
        // The version has changed with that: the status is said when it is seen.
        return;
    }
    let message = "Kubernetes Service CIDR is ready";
    say(plan, cidr, true, "", message, input);
}

fn let_go(plan: &mut Plan, cidr: &ServiceCidr) {
    let mut finalizers = cidr.metadata.finalizers.clone();
    finalizers.retain(|one| &**one != FINALIZER);
    if finalizers.len() < cidr.metadata.finalizers.len() {
        plan.write(Write::patch(
            cidr,
            json!({"metadata": {"finalizers": finalizers}}),
        ));
    }
}

/// Says whether addresses of the range are given out, unless that is said already.
fn say(
    plan: &mut Plan,
    cidr: &ServiceCidr,
    ready: bool,
    reason: &str,
    message: &str,
    input: &Input<'_>,
) {
    let known = condition::find(&cidr.status.conditions, "Ready");
    if known.is_some_and(|known| known.holds() == ready && &*known.reason == reason) {
        return;
    }
    let mut conditions = cidr.status.conditions.clone();
    conditions.retain(|other| &*other.kind != "Ready");
    let now = whole_seconds(input.now);
    conditions.push(Condition::new("Ready", ready, reason, message, now));
    let mut conditions = json!(conditions);
    for condition in conditions.as_array_mut().into_iter().flatten() {
        // Required, be it empty.
        condition["reason"] = condition.get("reason").cloned().unwrap_or(json!(""));
    }
    plan.write(Write::status(cidr, json!({ "conditions": conditions })));
}

impl Keeper {
    /// Whether each of its addresses that is given out is in another range, too.
    fn may_go(&self, cidr: &ServiceCidr) -> bool {
        let others: Vec<Range> = self
            .cidrs
            .all()
            .iter()
            .filter(|other| other.metadata.name != cidr.metadata.name)
            .flat_map(|other| ranges(other).collect::<Vec<_>>())
            .collect();
        if ranges(cidr).all(|range| others.iter().any(|other| other.holds(range))) {
            return true;
        }
        let own: Vec<Range> = ranges(cidr).collect();
        let held = |address: Range, by: &[Range]| by.iter().any(|range| range.holds(address));
        let addresses = self.addresses.all();
        let mut given = addresses.iter().filter(|address| {
            let manager = address.metadata.labels.get(MANAGED_BY);
            manager.is_some_and(|name| name == ALLOCATOR)
        });
        !given.any(|address| {
            let address = Range::of_address(&address.metadata.name);
            address.is_ok_and(|address| held(address, &own) && !held(address, &others))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::Keeper;
    use crate::controller::Plan;
    use crate::given;
    use crate::write::{Action, merge};

    fn cidr(name: &str, ranges: &[&str], more: Value) -> Value {
        let mut cidr = json!({
            "metadata": {"name": name, "finalizers": ["networking.k8s.io/service-cidr-finalizer"]},
            "spec": {"cidrs": ranges},
            "status": {"conditions": [{"type": "Ready", "status": "True", "reason": ""}]},
        });
        merge(&mut cidr, more);
        cidr
    }

    fn planned(cidrs: Value, addresses: &[&str], now: i64) -> Plan {
        let addresses: Vec<_> = addresses
            .iter()
            .map(|name| {
                json!({"metadata": {"name": name,
                    "labels": {"ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"}}})
            })
            .collect();
        let keeper = Keeper {
            cidrs: given::store(cidrs),
            addresses: given::store(json!(addresses)),
        };
        given::plan(&keeper, given::at(now), "", "one")
    }

    fn changes(plan: &Plan) -> Value {
        match plan.writes.first().map(|write| &write.action) {
            Some(Action::Patch { changes, .. }) => changes.clone(),
            Some(other) => panic!("{other:?}"),
            None => Value::Null,
        }
    }

    #[test]
    fn a_range_is_held_and_ready() {
        let fresh = json!({"metadata": {"finalizers": null}, "status": {"conditions": null}});
        let plan = planned(json!([cidr("one", &["10.0.0.0/24"], fresh)]), &[], 0);
        let held =
            json!({"metadata": {"finalizers": ["networking.k8s.io/service-cidr-finalizer"]}});
        assert_eq!(changes(&plan), held);
        let silent = json!({"status": {"conditions": null}});
        let plan = planned(json!([cidr("one", &["10.0.0.0/24"], silent)]), &[], 0);
        let ready = &changes(&plan)["status"]["conditions"][0];
        assert_eq!(
            (&ready["type"], &ready["status"]),
            (&json!("Ready"), &json!("True"))
        );
        assert_eq!(ready["reason"], "");
        let plan = planned(json!([cidr("one", &["10.0.0.0/24"], json!({}))]), &[], 0);
        assert!(plan.is_empty(), "{plan:?}");
    }

    #[test]
    fn a_range_goes_when_nobody_needs_it() {
        let leaving = |ranges: &[&str]| {
            let at = given::at(100);
            cidr(
                "one",
                ranges,
                json!({"metadata": {"deletionTimestamp": at}}),
            )
        };
        let check = |others: &[Value], addresses: &[&str], expected: &str| {
            let mut cidrs = others.to_vec();
            cidrs.push(leaving(&["10.0.0.0/24", "fd00::/112"]));
            let early = planned(json!(cidrs), addresses, 101);
            let late = planned(json!(cidrs), addresses, 110);
            let found = match (changes(&early), early.requeue, changes(&late)) {
                (Value::Null, Some(again), late) if again == Duration::from_secs(9) => {
                    assert_eq!(late, json!({"metadata": {"finalizers": []}}));
                    "goes"
                }
                (early, None, late) if early == late || early["status"].is_object() => {
                    let said = &early["status"]["conditions"][0];
                    assert_eq!(
                        (&said["status"], &said["reason"]),
                        (&json!("False"), &json!("Terminating"))
                    );
                    "stays"
                }
                other => panic!("{other:?}"),
            };
            assert_eq!(found, expected, "{others:?} {addresses:?}");
        };
        check(&[], &[], "goes");
        check(&[], &["10.0.1.1"], "goes");
        check(&[], &["10.0.0.1"], "stays");
        check(&[], &["fd00::1"], "stays");
        let two = |ranges: &[&str]| cidr("two", ranges, json!({}));
        check(&[two(&["10.0.0.0/16", "fd00::/64"])], &["10.0.0.1"], "goes");
        check(&[two(&["10.0.0.0/28"])], &["10.0.0.1"], "goes");
        check(
            &[two(&["10.0.0.0/28"])],
            &["10.0.0.1", "10.0.0.77"],
            "stays",
        );
        check(&[two(&["10.0.0.0/16"])], &["10.0.0.1", "fd00::1"], "stays");
    }
}
