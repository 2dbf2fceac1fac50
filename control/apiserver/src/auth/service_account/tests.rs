//! Tokens from request to check, with keys of every kind and form.

use jiff::Timestamp;
use serde_json::json;

use super::keys::{Algorithm, KeyError, PublicKey, SigningKey};
use super::request::decide;
use super::verify::{Rejected, Verified, verify};
use super::*;
use crate::admit::fields;
use crate::failure::Failure;

/// Made for these tests with OpenSSL, and used nowhere else.
const RSA_PKCS1: &str = include_str!("testdata/rsa_pkcs1.pem");
const RSA_PKCS8: &str = include_str!("testdata/rsa_pkcs8.pem");
const RSA_PUBLIC: &str = include_str!("testdata/rsa_public.pem");
const EC_SEC1: &str = include_str!("testdata/ec_sec1.pem");
const EC_PKCS8: &str = include_str!("testdata/ec_pkcs8.pem");
const EC_PUBLIC: &str = include_str!("testdata/ec_public.pem");
const EC_CERTIFICATE: &str = include_str!("testdata/ec_certificate.pem");

const NOW: i64 = 1_800_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn issuers() -> Issuers {
    Issuers {
        issuers: vec!["https://new".to_owned(), "https://old".to_owned()],
        audiences: vec!["api".to_owned()],
        longest: 0,
        extend: true,
    }
}

fn object(resource: &str, name: &str) -> Option<Value> {
    let known = [
        ("serviceaccounts", "robot"),
        ("pods", "p"),
        ("secrets", "s"),
        ("nodes", "n"),
    ];
    known.contains(&(resource, name)).then(|| {
        json!({"metadata": {"namespace": "ns", "name": name, "uid": format!("uid-{name}")},
            "spec": {"serviceAccountName": "robot", "nodeName": "n"}})
    })
}

fn find(resource: &str, _: &str, name: &str) -> Option<Value> {
    object(resource, name)
}

fn account() -> Value {
    object("serviceaccounts", "robot").unwrap()
}

fn issue(spec: Value) -> Result<request::Issue, Failure> {
    decide(
        &account(),
        &json!({"spec": spec}),
        &issuers(),
        at(NOW),
        "id",
        &find,
    )
}

#[test]
fn a_key_is_the_same_in_every_form() {
    for (algorithm, forms) in [
        (
            Algorithm::Rs256,
            [RSA_PKCS1, RSA_PKCS8, RSA_PUBLIC, RSA_PUBLIC],
        ),
        (
            Algorithm::Es256,
            [EC_SEC1, EC_PKCS8, EC_PUBLIC, EC_CERTIFICATE],
        ),
    ] {
        let keys: Vec<PublicKey> = forms
            .iter()
            .flat_map(|pem| PublicKey::from_pem(pem.as_bytes()).unwrap())
            .collect();
        assert_eq!(keys.len(), 4);
        assert!(
            keys.iter()
                .all(|key| *key == keys[0] && key.algorithm == algorithm),
            "{keys:?}"
        );
    }
    assert_eq!(
        PublicKey::from_pem(b"nothing").unwrap_err(),
        KeyError::NoKey
    );
    assert_eq!(
        SigningKey::from_pem(RSA_PUBLIC.as_bytes()).unwrap_err(),
        KeyError::NoPrivateKey
    );
}

#[test]
fn key_ids_are_those_of_upstream() {
    // What `openssl pkey -pubin -outform DER | sha256sum` says, in the alphabet of tokens.
    let key = PublicKey::from_pem(EC_PUBLIC.as_bytes()).unwrap().remove(0);
    assert_eq!(key.id, include_str!("testdata/ec_public.id").trim());
}

#[test]
fn tokens_are_checked_as_they_were_signed() {
    for pem in [RSA_PKCS1, RSA_PKCS8, EC_SEC1, EC_PKCS8] {
        let key = SigningKey::from_pem(pem.as_bytes()).unwrap();
        let claims = issue(json!({})).unwrap().claims;
        let token = key.sign(&claims).unwrap();
        let keys = [key.public.clone()];
        let found = verify(&token, &keys, &issuers(), &[], at(NOW), &find).unwrap();
        assert_eq!(found.user.name, "system:serviceaccount:ns:robot");
        assert_eq!(found.audiences, ["api"]);
        let broken = format!(
            "{}A{}",
            &token[..token.len() - 6],
            &token[token.len() - 5..]
        );
        let found = verify(&broken, &keys, &issuers(), &[], at(NOW), &find);
        assert!(broken == token || found == Err(Rejected::Signature));
    }
}

#[test]
fn a_token_of_a_pod_says_where_it_is() {
    let spec = json!({"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "uid-p"}, "expirationSeconds": 3607});
    let issue = issue(spec).unwrap();
    let own = &issue.claims["kubernetes.io"];
    assert_eq!(own["pod"], json!({"name": "p", "uid": "uid-p"}));
    assert_eq!(own["node"], json!({"name": "n", "uid": "uid-n"}));
    assert_eq!(own["warnafter"], NOW + 3607);
    assert_eq!(issue.claims["exp"], NOW + 365 * 24 * 3600);
    assert_eq!(
        issue.answer["status"]["expirationTimestamp"],
        at(NOW + 3607).to_string()
    );
    let found = check(&issue.claims, NOW + 4000, &find).unwrap();
    assert!(found.stale);
    let extra = found.user.extra;
    assert_eq!(extra["authentication.kubernetes.io/pod-name"], ["p"]);
    assert_eq!(extra["authentication.kubernetes.io/node-uid"], ["uid-n"]);
    assert_eq!(
        extra["authentication.kubernetes.io/credential-id"],
        ["JTI=id"]
    );
}

fn check_issue(spec: Value, expected: &str) {
    assert_eq!(issue(spec).unwrap_err().message(), expected);
}

#[test]
fn bad_requests_are_refused() {
    check_issue(
        json!({"expirationSeconds": 60}),
        "TokenRequest.authentication.k8s.io \"robot\" is invalid: spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes",
    );
    let to = |kind: &str, name: &str, uid: &str| json!({"boundObjectRef": {"apiVersion": "v1", "kind": kind, "name": name, "uid": uid}});
    check_issue(to("Pod", "q", ""), "pods \"q\" not found");
    check_issue(
        to("Pod", "p", "other"),
        "Operation cannot be fulfilled on pods \"p\": the UID in the bound object reference (other) does not match the UID in record. The object might have been deleted and then recreated",
    );
    check_issue(
        to("ConfigMap", "c", ""),
        "cannot bind token to object of type v1, Kind=ConfigMap",
    );
    let other = decide(
        &json!({"metadata": {"name": "other", "namespace": "ns"}}),
        &json!({"spec": to("Pod", "p", "")}),
        &issuers(),
        at(NOW),
        "id",
        &find,
    );
    assert_eq!(
        other.unwrap_err().message(),
        "cannot bind token for serviceaccount \"other\" to pod running with different serviceaccount name."
    );
}

#[test]
fn long_tokens_are_shortened() {
    let issuers = Issuers {
        longest: 1000,
        ..issuers()
    };
    let found = decide(
        &account(),
        &json!({"spec": {}}),
        &issuers,
        at(NOW),
        "id",
        &find,
    )
    .unwrap();
    assert_eq!(found.claims["exp"], NOW + 1000);
    assert_eq!(
        found.warnings,
        ["requested expiration of 3600 seconds shortened to 1000 seconds"]
    );
}

fn check(claims: &Value, now: i64, find: Find<'_>) -> Result<Verified, Rejected> {
    let key = SigningKey::from_pem(EC_PKCS8.as_bytes()).unwrap();
    let token = key.sign(claims).unwrap();
    verify(&token, &[key.public], &issuers(), &[], at(now), find)
}

#[test]
fn tokens_end_with_their_time_and_their_objects() {
    let claims =
        issue(json!({"boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": "s"}}))
            .unwrap()
            .claims;
    assert!(check(&claims, NOW, &find).is_ok());
    assert_eq!(check(&claims, NOW + 3661, &find), Err(Rejected::Time));
    assert_eq!(check(&claims, NOW - 61, &find), Err(Rejected::Time));
    let gone = |resource, name: &str| {
        Err(Rejected::Gone {
            resource,
            name: name.to_owned(),
        })
    };
    let without = |missing: &'static str| {
        move |resource: &str, _: &str, name: &str| {
            object(resource, name).filter(|_| resource != missing)
        }
    };
    assert_eq!(
        check(&claims, NOW, &without("secrets")),
        gone("secrets", "s")
    );
    assert_eq!(
        check(&claims, NOW, &without("serviceaccounts")),
        gone("serviceaccounts", "robot")
    );
    let anew = |resource: &str, _: &str, name: &str| {
        let mut object = object(resource, name)?;
        object["metadata"]["uid"] = json!("anew");
        Some(object)
    };
    assert_eq!(check(&claims, NOW, &anew), gone("serviceaccounts", "robot"));
    let ending = |seconds: i64| {
        move |resource: &str, _: &str, name: &str| {
            let mut object = object(resource, name)?;
            object["metadata"]["deletionTimestamp"] = json!(at(NOW + seconds).to_string());
            Some(object)
        }
    };
    assert!(check(&claims, NOW, &ending(-59)).is_ok());
    assert_eq!(
        check(&claims, NOW, &ending(-61)),
        gone("serviceaccounts", "robot")
    );
}

#[test]
fn tokens_are_for_somebody() {
    let claims = issue(json!({"audiences": ["vault"]})).unwrap().claims;
    let found = vec!["vault".to_owned()];
    assert_eq!(
        check(&claims, NOW, &find),
        Err(Rejected::Audience { found })
    );
    let mut foreign = claims.clone();
    foreign["iss"] = json!("https://other");
    assert_eq!(check(&foreign, NOW, &find), Err(Rejected::NotOurs));
    let mut older = issue(json!({})).unwrap().claims;
    older["iss"] = json!("https://old");
    assert!(check(&older, NOW, &find).is_ok());
    let words = verify("no token", &[], &issuers(), &[], at(NOW), &find);
    assert_eq!(words, Err(Rejected::NotOurs));
}

#[test]
fn tokens_in_secrets_are_good_while_kept() {
    use base64::Engine as _;
    let key = SigningKey::from_pem(EC_PKCS8.as_bytes()).unwrap();
    let claims = json!({"iss": "kubernetes/serviceaccount", "kubernetes.io/serviceaccount/namespace": "ns",
        "kubernetes.io/serviceaccount/secret.name": "s", "kubernetes.io/serviceaccount/service-account.name": "robot",
        "kubernetes.io/serviceaccount/service-account.uid": "uid-robot"});
    let token = key.sign(&claims).unwrap();
    let keep = |kept: &str| {
        let kept = base64::engine::general_purpose::STANDARD.encode(kept);
        move |resource: &str, _: &str, name: &str| {
            let mut found = object(resource, name)?;
            found["data"] = json!({"token": kept});
            Some(found)
        }
    };
    let keys = [key.public.clone()];
    let check = |find: Find<'_>| verify(&token, &keys, &issuers(), &[], at(NOW), find);
    assert_eq!(check(&keep(&token)).unwrap().user.uid, "uid-robot");
    assert!(matches!(
        check(&keep("other")),
        Err(Rejected::Gone {
            resource: "secrets",
            ..
        })
    ));
}

#[test]
fn others_can_check_tokens() {
    let rsa = PublicKey::from_pem(RSA_PUBLIC.as_bytes())
        .unwrap()
        .remove(0);
    let ec = PublicKey::from_pem(EC_PUBLIC.as_bytes()).unwrap().remove(0);
    let keys = [rsa, ec];
    let found = discovery::configuration("https://new", "https://new/openid/v1/jwks", &keys);
    assert_eq!(
        found["id_token_signing_alg_values_supported"],
        json!(["ES256", "RS256"])
    );
    let set = discovery::key_set(&keys);
    let (rsa, ec) = (&set["keys"][0], &set["keys"][1]);
    assert_eq!((&rsa["kty"], &rsa["e"]), (&json!("RSA"), &json!("AQAB")));
    assert_eq!(rsa["n"].as_str().map(str::len), Some(342));
    assert_eq!(
        (&ec["kty"], &ec["crv"], ec["x"].as_str().map(str::len)),
        (&json!("EC"), &json!("P-256"), Some(43))
    );
}

#[test]
fn reviews_show_who_it_is() {
    let user = crate::auth::User::service_account("ns", "robot", "u");
    let status = review::status(Ok((&user, &["api".to_owned()])));
    assert_eq!(status["user"]["username"], "system:serviceaccount:ns:robot");
    assert_eq!(status["audiences"], json!(["api"]));
    assert_eq!(
        review::status(Err("no")),
        json!({"user": {}, "error": "no"})
    );
    assert_eq!(
        fields::flag(&review::status(Err("")), "/authenticated"),
        None
    );
}

#[test]
fn token_ids_are_uuids() {
    let id = token_id(&SystemRandom::new()).unwrap();
    assert_eq!((id.len(), &id[14..15]), (36, "4"));
}
