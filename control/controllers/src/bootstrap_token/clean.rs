//! Decides when tokens by which nodes join have ended. The key is the Secret.

use std::time::Duration;

use keelson_client::Store;
use keelson_client::cache::Change;

use super::left;
use crate::controller::{Input, Plan, Reconcile, Registration, Work};
use crate::kinds::secret::BOOTSTRAP_TOKENS;
use crate::kinds::{Object as _, Secret};
use crate::wiring::Wiring;
use crate::write::Write;

/// The registry's line. As upstream's, it has to be asked for.
pub const REGISTRATION: Registration = Registration {
    name: "token-cleaner-controller",
    alias: "tokencleaner",
    account: "token-cleaner",
    by_default: false,
    at_once: 1,
    build: |wiring: &mut Wiring<'_>| {
        let tokens = wiring.watch_part(BOOTSTRAP_TOKENS, |change: &Change<Secret>, keys| {
            keys.extend(change.current().map(|secret| secret.key()));
        });
        Some(Work::decide(Cleaner { tokens }))
    },
};

/// Removes what has ended.
#[derive(Debug)]
struct Cleaner {
    tokens: Store<Secret>,
}

impl Reconcile for Cleaner {
    fn reconcile(&self, input: &Input<'_>) -> Plan {
        let mut plan = Plan::default();
        let Some(secret) = self.tokens.find(input.key) else {
            return plan;
        };
        match left(&secret, input.now) {
            None => {}
            Some(left) if left.is_zero() => plan.write(Write::delete(&*secret)),
            Some(left) => plan.requeue_after(Duration::try_from(left).unwrap_or_default()),
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    use super::Cleaner;
    use crate::given;

    #[test]
    fn tokens_go_when_their_time_has_come() {
        let check = |expiration: Option<&str>, removed: bool, again: Option<u64>| {
            let data = expiration.map(|text| json!({"expiration": STANDARD.encode(text)}));
            let cleaner = Cleaner {
                tokens: given::store(json!([{"data": data.unwrap_or(json!({})),
                    "metadata": {"name": "bootstrap-token-abcdef", "namespace": "kube-system"}}])),
            };
            let (now, key) = (given::at(1_000_000_000), "bootstrap-token-abcdef");
            let plan = given::plan(&cleaner, now, "kube-system", key);
            assert_eq!(!plan.writes.is_empty(), removed, "{expiration:?}");
            assert_eq!(
                plan.requeue,
                again.map(Duration::from_secs),
                "{expiration:?}"
            );
        };
        // The time is 2001-09-09T01:46:40Z.
        check(None, false, None);
        check(Some("2001-09-09T01:46:41Z"), false, Some(1));
        check(Some("2001-09-09T03:46:41+02:00"), false, Some(1));
        check(Some("2001-09-09T01:46:40Z"), true, None);
        check(Some("1999-01-01T00:00:00Z"), true, None);
        check(Some("tomorrow"), true, None);
    }
}
