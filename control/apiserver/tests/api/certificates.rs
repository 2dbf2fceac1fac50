//! Whose certificates are believed: the handshake lets everybody through, the requests do not.

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, date_time_ymd};
use serde_json::json;

use super::harness::{Client, Server, authority, parameters};

const ADMIN: (&str, &[&str]) = ("admin", &["system:masters"]);

fn admin(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = parameters(ADMIN.0, ADMIN.1);
    change(&mut params);
    params
}

/// What a client may do with nothing but its certificate.
async fn check(mut client: Client, expected: u16, what: &str) {
    for path in ["/api/v1/namespaces", "/version", "/readyz"] {
        let reply = client.get(path).await;
        if expected == 401 {
            assert_eq!(reply.code, 401, "{what}: {path}: {}", reply.value);
            assert_eq!(reply.value["reason"], "Unauthorized", "{what}: {path}");
        } else {
            assert_ne!(reply.code, 401, "{what}: {path}: {}", reply.value);
        }
    }
}

#[tokio::test]
async fn certificates_of_others_and_of_other_times_prove_nothing() {
    let server = Server::start().await;
    let (foreign, _) = authority();
    let stranger = server.client_with(&foreign, admin(|_| {})).await;
    check(stranger, 401, "a foreign authority of the same name").await;
    let past = admin(|params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    });
    check(server.client_saying(past).await, 401, "expired").await;
    let future = admin(|params| params.not_before = date_time_ymd(4000, 1, 1));
    check(server.client_saying(future).await, 401, "not yet valid").await;
    let serving = admin(|params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    check(server.client_saying(serving).await, 401, "for servers only").await;
    let fine = admin(|params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    check(server.client_saying(fine).await, 200, "for clients").await;
    check(
        server.client_saying(admin(|_| {})).await,
        200,
        "for anything",
    )
    .await;
}

#[tokio::test]
async fn a_useless_certificate_is_no_name_beside_a_token() {
    let folder = tempfile::TempDir::new().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, "secret,jane,7,\"system:masters\"\n").unwrap();
    let flag = format!("--token-auth-file={}", tokens.display());
    let server = Server::with(&["--in-memory", &flag]).await;
    let (foreign, _) = authority();
    let mut client = server.client_with(&foreign, admin(|_| {})).await;
    let ask = async |client: &mut Client, token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let path = "/api/v1/namespaces";
        client
            .ask("GET", path, &headers, &serde_json::Value::Null)
            .await
            .code
    };
    assert_eq!(ask(&mut client, "secret").await, 200);
    assert_eq!(ask(&mut client, "wrong").await, 401);
}

#[tokio::test]
async fn requests_are_decided_and_answered_through_parts_of_theirs() {
    let pem = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0t";
    let server = Server::start().await;
    let mut client = server.admin().await;
    let place = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let wish = json!({"metadata": {"name": "a"}, "spec": {"request": pem,
        "signerName": "example.com/signer", "usages": ["client auth"]}});
    assert_eq!(client.post(place, &wish).await.code, 201);
    let one = json!({"status": {"conditions": [{"type": "Seen", "status": "True"}]}});
    let approval = format!("{place}/a/approval");
    let seen = client.patch(&approval, "merge-patch+json", &one).await;
    let condition = &seen.value["status"]["conditions"][0];
    assert_eq!(condition["type"], "Seen", "{seen:?}");
    assert!(condition["lastUpdateTime"].is_string() && condition["lastTransitionTime"].is_string());
    let signed = json!({"status": {"certificate": "eA=="}});
    let refused = client.patch(&approval, "merge-patch+json", &signed).await;
    assert_eq!(
        refused.value["status"].get("certificate"),
        None,
        "{refused:?}"
    );
    let status = format!("{place}/a/status");
    let given = client.patch(&status, "merge-patch+json", &signed).await;
    assert_eq!(given.value["status"]["certificate"], "eA==", "{given:?}");
    let other = json!({"status": {"certificate": "eQ=="}});
    let again = client.patch(&status, "merge-patch+json", &other).await;
    assert_eq!(again.code, 422, "{again:?}");
    let approved = json!({"status": {"conditions": [{"type": "Approved", "status": "True"}]}});
    let elsewhere = client.patch(&status, "merge-patch+json", &approved).await;
    assert_eq!(elsewhere.code, 422, "{elsewhere:?}");
}

#[tokio::test]
async fn questions_have_no_rows() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let place = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let asked = json!({"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}});
    for (accept, code) in [
        (table.to_owned(), 406),
        (format!("{table},application/json"), 201),
    ] {
        let headers = [
            ("content-type", "application/json"),
            ("accept", accept.as_str()),
        ];
        let reply = client.ask("POST", place, &headers, &asked).await;
        assert_eq!(reply.code, code, "{reply:?}");
    }
}
