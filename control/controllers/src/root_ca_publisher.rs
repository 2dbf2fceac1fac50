//! Decides that every namespace has the ConfigMap by which pods know the API server. The key is
//! the namespace.

use keelson_client::Store;
use keelson_client::cache::{Change, Key};
use serde_json::json;

use crate::controller::{Input, Plan, Reconcile, Registration, Work};
use crate::kinds::root_ca_map::NAME;
use crate::kinds::{Kind as _, Labels, Namespace, RootCaMap};
use crate::material;
use crate::wiring::Wiring;
use crate::write::Write;

/// The key in the ConfigMap.
const FIELD: &str = "ca.crt";
/// The annotation that says what the ConfigMap is for, and what it says.
const DESCRIPTION: &str = "kubernetes.io/description";
const PURPOSE: &str = "The CA by which pods verify the API server at its internal address. \
    What it vouches for beyond that depends on the distribution.";

/// The registry's line.
pub const REGISTRATION: Registration = Registration {
    name: "root-ca-certificate-publisher-controller",
    alias: "root-ca-cert-publisher",
    account: "root-ca-cert-publisher",
    by_default: true,
    at_once: 1,
    build: |wiring: &mut Wiring<'_>| {
        let ca = material::root_ca(wiring.options)?;
        let maps = wiring.watch(|change: &Change<RootCaMap>, keys| {
            keys.push(Key::new("", &change.latest().metadata.namespace));
        });
        Some(Work::decide(Publisher {
            namespaces: wiring.own::<Namespace>(),
            maps,
            ca,
        }))
    },
};

/// Makes and repairs the ConfigMaps.
#[derive(Debug)]
struct Publisher {
    namespaces: Store<Namespace>,
    maps: Store<RootCaMap>,
    ca: String,
}

impl Reconcile for Publisher {
    fn reconcile(&self, input: &Input<'_>) -> Plan {
        let namespace = &*input.key.name;
        let mut plan = Plan::default();
        let known = self.namespaces.get("", namespace);
        if !known.is_some_and(|namespace| namespace.is_active()) {
            return plan;
        }
        let data = Labels::from([(FIELD.to_owned(), self.ca.clone())]);
        let Some(map) = self.maps.get(namespace, NAME) else {
            let map = json!({
                "metadata": {
                    "name": NAME,
                    "namespace": namespace,
                    "annotations": {DESCRIPTION: PURPOSE},
                },
                "data": data,
            });
            plan.write(Write::ensure(RootCaMap::RESOURCE, namespace, map));
            return plan;
        };
        let described = map.metadata.annotations.contains_key(DESCRIPTION);
        if map.data != data || !described {
            let stale = map.data.keys().filter(|key| *key != FIELD);
            let mut changes = json!({FIELD: self.ca});
            for key in stale {
                changes[key] = serde_json::Value::Null;
            }
            let annotations = json!({DESCRIPTION: PURPOSE});
            plan.write(Write::patch(
                &*map,
                json!({"metadata": {"annotations": annotations}, "data": changes}),
            ));
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Publisher;
    use crate::given;
    use crate::write::Action;

    #[test]
    fn the_map_is_made_and_repaired() {
        let planned = |maps: Value| {
            let controller = Publisher {
                namespaces: given::store(json!([
                    {"metadata": {"name": "a"}, "status": {"phase": "Active"}}])),
                maps: given::store(maps),
                ca: "PEM".to_owned(),
            };
            given::plan(&controller, given::at(0), "", "a").writes
        };
        let made = planned(json!([]));
        let Action::Create { object, or_exists } = &made[0].action else {
            panic!("{made:?}");
        };
        assert_eq!(
            (&object["data"], *or_exists),
            (&json!({"ca.crt": "PEM"}), true)
        );
        let map = |data: Value| {
            json!([{"metadata": {"name": "kube-root-ca.crt", "namespace": "a",
                "annotations": {"kubernetes.io/description": "x"}}, "data": data}])
        };
        assert_eq!(planned(map(json!({"ca.crt": "PEM"}))), []);
        let repaired = planned(map(json!({"ca.crt": "OLD", "more": "x"})));
        let Action::Patch { changes, .. } = &repaired[0].action else {
            panic!("{repaired:?}");
        };
        assert_eq!(changes["data"], json!({"ca.crt": "PEM", "more": null}));
    }
}
