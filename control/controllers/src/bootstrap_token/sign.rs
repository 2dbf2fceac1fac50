//! Decides the signatures by which who joins with a token knows the cluster: in the ConfigMap
//! `cluster-info` of `kube-public`, one for each token that may sign, over the kubeconfig in it.
//! There is one key. The ConfigMap itself is somebody else's.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use keelson_client::Store;
use keelson_client::cache::{Change, Key};
use ring::hmac;
use serde_json::{Value, json};

use super::{left, signing};
use crate::controller::{Input, Plan, Reconcile, Registration, Work};
use crate::kinds::config_map::CLUSTER_INFO;
use crate::kinds::secret::BOOTSTRAP_TOKENS;
use crate::kinds::{ConfigMap, Secret};
use crate::wiring::Wiring;
use crate::write::Write;

/// What is signed.
const KUBECONFIG: &str = "kubeconfig";
/// How the names of signatures begin; the token's ID follows.
const SIGNATURE: &str = "jws-kubeconfig-";

/// The registry's line. As upstream's, it has to be asked for.
pub const REGISTRATION: Registration = Registration {
    name: "bootstrap-signer-controller",
    alias: "bootstrapsigner",
    account: "bootstrap-signer",
    by_default: false,
    at_once: 1,
    build: |wiring: &mut Wiring<'_>| {
        let maps = wiring.watch_part(CLUSTER_INFO, |_: &Change<ConfigMap>, keys| {
            keys.push(Key::default());
        });
        let tokens = wiring.watch_part(BOOTSTRAP_TOKENS, |_: &Change<Secret>, keys| {
            keys.push(Key::default());
        });
        Some(Work::decide(Signer { maps, tokens }))
    },
};

/// Signs.
#[derive(Debug)]
struct Signer {
    maps: Store<ConfigMap>,
    tokens: Store<Secret>,
}

impl Reconcile for Signer {
    fn reconcile(&self, input: &Input<'_>) -> Plan {
        let mut plan = Plan::default();
        let map = self.maps.get(CLUSTER_INFO.namespace, "cluster-info");
        let Some(map) = map.filter(|map| map.data.contains_key(KUBECONFIG)) else {
            return plan;
        };
        let tokens = self.tokens.all();
        let content = &map.data[KUBECONFIG];
        let wanted: BTreeMap<String, String> = tokens
            .iter()
            .filter_map(|token| signing(token, input.now))
            .map(|(id, key)| (format!("{SIGNATURE}{id}"), signature(content, &id, &key)))
            .collect();
        let mut changes = BTreeMap::new();
        for old in map.data.keys().filter(|name| name.starts_with(SIGNATURE)) {
            if !wanted.contains_key(old) {
                changes.insert(old.clone(), Value::Null);
            }
        }
        for (name, text) in wanted {
            if map.data.get(&name) != Some(&text) {
                changes.insert(name, text.into());
            }
        }
        if !changes.is_empty() {
            plan.write(Write::patch(&*map, json!({ "data": changes })));
        }
        for token in &tokens {
            wake_at_end(&mut plan, token, input.now);
        }
        plan
    }
}

/// A signature goes with its token's time, be the Secret removed or not.
fn wake_at_end(plan: &mut Plan, token: &Secret, now: Timestamp) {
    let left = left(token, now).filter(|left| *left > SignedDuration::ZERO);
    if let Some(left) = left.and_then(|left| left.try_into().ok()) {
        plan.requeue_after(left);
    }
}

/// A signature of RFC 7515 without the content, which everybody has.
fn signature(content: &str, id: &str, key: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(json!({"alg": "HS256", "kid": id}).to_string());
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(content));
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let tag = hmac::sign(&key, message.as_bytes());
    format!("{header}..{}", URL_SAFE_NO_PAD.encode(tag))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Value, json};

    use super::{Signer, signature};
    use crate::controller::Plan;
    use crate::given;
    use crate::write::Action;

    #[test]
    fn signatures_are_those_that_others_check() {
        let content = "Hello from the other side. I must have called a thousand times.";
        let expected = "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9\
            ..VShe2taLd-YTrmWuRkcL_8QTNDHYxQIEBsAYYiIj1_8";
        assert_eq!(
            signature(content, "joshua", "my voice is my passcode"),
            expected
        );
    }

    fn token(name: &str, data: &[(&str, &str)]) -> Value {
        let data = data
            .iter()
            .map(|(key, text)| ((*key).to_owned(), STANDARD.encode(text).into()));
        let data: serde_json::Map<String, Value> = data.collect();
        json!({"metadata": {"name": name, "namespace": "kube-system"}, "data": data})
    }

    fn good<'a>(id: &'a str, more: &[(&'a str, &'a str)]) -> Value {
        let mut data = vec![
            ("token-id", id),
            ("token-secret", "0123456789abcdef"),
            ("usage-bootstrap-signing", "true"),
        ];
        data.extend(more);
        token(&format!("bootstrap-token-{id}"), &data)
    }

    fn planned(tokens: Value, data: Value) -> Plan {
        let signer = Signer {
            maps: given::store(json!([{"data": data,
                "metadata": {"name": "cluster-info", "namespace": "kube-public"}}])),
            tokens: given::store(tokens),
        };
        given::plan(&signer, given::at(0), "", "")
    }

    fn changes(tokens: Value, data: Value) -> Value {
        match planned(tokens, data)
            .writes
            .first()
            .map(|write| &write.action)
        {
            Some(Action::Patch { changes, .. }) => changes["data"].clone(),
            Some(other) => panic!("{other:?}"),
            None => Value::Null,
        }
    }

    #[test]
    fn each_token_that_may_sign_does() {
        let right = signature("config", "abcdef", "0123456789abcdef");
        let one = || json!([good("abcdef", &[])]);
        let signed = json!({"jws-kubeconfig-abcdef": right});
        assert_eq!(changes(one(), json!({"kubeconfig": "config"})), signed);
        let mut map = json!({"kubeconfig": "config"});
        crate::write::merge(&mut map, signed.clone());
        assert_eq!(changes(one(), map.clone()), Value::Null);
        map["jws-kubeconfig-ghijkl"] = json!("old");
        assert_eq!(
            changes(one(), map.clone()),
            json!({"jws-kubeconfig-ghijkl": null})
        );
        map["kubeconfig"] = json!("another");
        assert_ne!(changes(one(), map)["jws-kubeconfig-abcdef"], right);
        assert_eq!(changes(one(), json!({})), Value::Null);
    }

    #[test]
    fn others_do_not() {
        let check = |token: Value| {
            let map = json!({"kubeconfig": "config"});
            assert_eq!(changes(json!([token]), map), Value::Null, "{token}");
        };
        check(good("abcdef", &[("usage-bootstrap-signing", "false")]));
        check(good("abcdef", &[("token-secret", "")]));
        check(good("abcdef", &[("expiration", "1969-12-31T23:59:59Z")]));
        check(token(
            "bootstrap-token-abcdef",
            &[("token-secret", "x"), ("usage-bootstrap-signing", "true")],
        ));
        let mut other = good("abcdef", &[]);
        other["metadata"]["name"] = json!("bootstrap-token-ghijkl");
        check(other);
    }

    #[test]
    fn a_signature_is_looked_at_again_when_its_token_ends() {
        let tokens = json!([good("abcdef", &[("expiration", "1970-01-01T00:01:00Z")])]);
        let plan = planned(tokens, json!({"kubeconfig": "config"}));
        assert_eq!(plan.requeue, Some(Duration::from_secs(60)));
    }
}
