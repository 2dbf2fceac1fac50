//! Decides that every namespace has the service account `default`. The key is the namespace.

use keelson_client::Store;
use keelson_client::cache::{Change, Key};
use serde_json::json;

use crate::controller::{Input, Plan, Reconcile, Registration, Work};
use crate::kinds::{Kind as _, Namespace, ServiceAccount};
use crate::wiring::Wiring;
use crate::write::Write;

/// The accounts that every namespace has.
const ACCOUNTS: [&str; 1] = ["default"];

/// The registry's line.
pub const REGISTRATION: Registration = Registration {
    name: "serviceaccount-controller",
    alias: "serviceaccount",
    account: "service-account-controller",
    by_default: true,
    at_once: 1,
    build: |wiring: &mut Wiring<'_>| {
        let accounts = wiring.watch(|change: &Change<ServiceAccount>, keys| {
            if change.current().is_none() {
                keys.push(Key::new("", &change.latest().metadata.namespace));
            }
        });
        Some(Work::decide(Accounts {
            namespaces: wiring.own::<Namespace>(),
            accounts,
        }))
    },
};

/// Makes the accounts that are missing.
#[derive(Debug)]
struct Accounts {
    namespaces: Store<Namespace>,
    accounts: Store<ServiceAccount>,
}

impl Reconcile for Accounts {
    fn reconcile(&self, input: &Input<'_>) -> Plan {
        let namespace = &*input.key.name;
        let mut plan = Plan::default();
        let known = self.namespaces.get("", namespace);
        if !known.is_some_and(|namespace| namespace.is_active()) {
            return plan;
        }
        for name in ACCOUNTS {
            if self.accounts.get(namespace, name).is_none() {
                let account = json!({"metadata": {"name": name, "namespace": namespace}});
                plan.write(Write::ensure(ServiceAccount::RESOURCE, namespace, account));
            }
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Accounts;
    use crate::given;
    use crate::write::Action;

    #[test]
    fn active_namespaces_have_a_default_account() {
        let check = |phase: &str, account: Option<&str>, expected: bool| {
            let account = account.map(|name| json!({"metadata": {"namespace": "a", "name": name}}));
            let controller = Accounts {
                namespaces: given::store(
                    json!([{"metadata": {"name": "a"}, "status": {"phase": phase}}]),
                ),
                accounts: given::store(json!(account.into_iter().collect::<Vec<_>>())),
            };
            let plan = given::plan(&controller, given::at(0), "", "a");
            let made: Vec<_> = plan.writes.iter().map(|write| &write.action).collect();
            let expected = expected.then(|| Action::Create {
                object: json!({"metadata": {"name": "default", "namespace": "a"}}),
                or_exists: true,
            });
            assert_eq!(made, expected.iter().collect::<Vec<_>>(), "{phase}");
        };
        check("Active", None, true);
        check("Active", Some("builder"), true);
        check("Active", Some("default"), false);
        check("Terminating", None, false);
    }
}
