//! Decides when a volume that is being removed may go: not while it is bound to a claim. The key is
//! the volume.

use keelson_client::Store;
use serde_json::json;

use crate::controller::{Input, Plan, Reconcile, Registration, Work};
use crate::kinds::PersistentVolume;
use crate::wiring::Wiring;
use crate::write::Write;

/// What holds a volume.
const FINALIZER: &str = "kubernetes.io/pv-protection";

/// The registry's line.
pub const REGISTRATION: Registration = Registration {
    name: "persistentvolume-protection-controller",
    alias: "pv-protection",
    account: "pv-protection-controller",
    by_default: true,
    at_once: 1,
    build: |wiring: &mut Wiring<'_>| {
        Some(Work::decide(Guard {
            volumes: wiring.own::<PersistentVolume>(),
        }))
    },
};

/// Holds volumes.
#[derive(Debug)]
struct Guard {
    volumes: Store<PersistentVolume>,
}

impl Reconcile for Guard {
    fn reconcile(&self, input: &Input<'_>) -> Plan {
        let mut plan = Plan::default();
        let Some(volume) = self.volumes.find(input.key) else {
            return plan;
        };
        let meta = &volume.metadata;
        let mut finalizers = meta.finalizers.clone();
        finalizers.retain(|finalizer| &**finalizer != FINALIZER);
        let is_held = finalizers.len() < meta.finalizers.len();
        match (meta.is_leaving(), is_held) {
            (true, true) if &*volume.status.phase != "Bound" => {}
            (false, false) => finalizers.push(FINALIZER.into()),
            _ => return plan,
        }
        let changes = json!({"metadata": {"finalizers": finalizers}});
        plan.write(Write::patch(&*volume, changes));
        plan
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{FINALIZER, Guard};
    use crate::given;
    use crate::write::Action;

    #[test]
    fn bound_volumes_are_held() {
        let check = |leaving: bool, finalizers: &[&str], phase: &str, expected: Option<Value>| {
            let mut volume = json!({"metadata": {"name": "v", "finalizers": finalizers},
                "status": {"phase": phase}});
            if leaving {
                volume["metadata"]["deletionTimestamp"] = json!("2026-01-02T03:04:05Z");
            }
            let guard = Guard {
                volumes: given::store(json!([volume])),
            };
            let plan = given::plan(&guard, given::at(0), "", "v");
            let written = plan.writes.first().map(|write| match &write.action {
                Action::Patch { changes, .. } => changes["metadata"]["finalizers"].clone(),
                other => panic!("{other:?}"),
            });
            assert_eq!(written, expected, "{leaving} {finalizers:?} {phase}");
        };
        check(false, &["a", FINALIZER], "Bound", None);
        check(false, &["a"], "Available", Some(json!(["a", FINALIZER])));
        check(true, &["a", FINALIZER], "Bound", None);
        check(true, &["a", FINALIZER], "Released", Some(json!(["a"])));
        check(true, &["a"], "Released", None);
    }
}
