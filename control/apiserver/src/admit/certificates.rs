//! Certificate requests and trust bundles: who may approve, sign and vouch for which signer, and
//! what no signer gives away. Pure.

use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use super::{Notes, Operation, Request, View, fields};
use crate::auth::authorize::What;
use crate::auth::{MASTERS, User};
use crate::der::{ORGANIZATION, subject_of_request};
use crate::failure::Outcome;

pub(crate) const GROUP: &str = "certificates.k8s.io";
pub(crate) const REQUESTS: &str = "certificatesigningrequests";

/// Writes into a new request who asks: approvers go by it, so nobody says it but the server.
pub(crate) fn sign_in(user: &User, request: &mut Value) {
    let Some(spec) = request.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    for field in ["username", "uid", "groups", "extra"] {
        spec.remove(field);
    }
    spec.insert("username".to_owned(), json!(user.name));
    if !user.uid.is_empty() {
        spec.insert("uid".to_owned(), json!(user.uid));
    }
    if !user.groups.is_empty() {
        spec.insert("groups".to_owned(), json!(user.groups));
    }
    if !user.extra.is_empty() {
        spec.insert("extra".to_owned(), json!(user.extra));
    }
}

/// Whether somebody may do this for the signer, by its name or by its domain.
pub(crate) fn may(request: &Request<'_>, verb: &str, signer: &str, view: &dyn View) -> bool {
    let domain = signer
        .split_once('/')
        .map(|(domain, _)| format!("{domain}/*"));
    let names = [Some(signer.to_owned()), domain];
    names.into_iter().flatten().any(|name| {
        let what = What::Resource {
            group: GROUP,
            resource: "signers",
            subresource: "",
            namespace: "",
            name: &name,
        };
        view.allows(request.user, verb, what)
    })
}

/// `CertificateApproval`.
pub(crate) fn approval(
    request: &Request<'_>,
    object: &Value,
    view: &dyn View,
    _: &mut Notes,
) -> Outcome<()> {
    let signer = fields::text(request.old, "/spec/signerName");
    if !request.is_for_part(GROUP, REQUESTS, "approval") || may(request, "approve", signer, view) {
        return Ok(());
    }
    let why = format!("user not permitted to approve requests with signerName {signer:?}");
    Err(request.forbid(object, &why))
}

/// `CertificateSigning`.
pub(crate) fn signing(
    request: &Request<'_>,
    object: &Value,
    view: &dyn View,
    _: &mut Notes,
) -> Outcome<()> {
    let same = |path| fields::value(object, path) == fields::value(request.old, path);
    let unchanged = same("/status/certificate") && same("/status/conditions");
    if !request.is_for_part(GROUP, REQUESTS, "status") || unchanged {
        return Ok(());
    }
    let signer = fields::text(request.old, "/spec/signerName");
    if may(request, "sign", signer, view) {
        return Ok(());
    }
    let why = format!("user not permitted to sign requests with signerName {signer:?}");
    Err(request.forbid(object, &why))
}

/// `CertificateSubjectRestriction`: nobody becomes one of `system:masters` by a request.
pub(crate) fn subject(
    request: &Request<'_>,
    object: &Value,
    _: &dyn View,
    _: &mut Notes,
) -> Outcome<()> {
    const SIGNER: &str = "kubernetes.io/kube-apiserver-client";
    let signer = fields::text(object, "/spec/signerName");
    if !request.is_for(GROUP, REQUESTS) || signer != SIGNER {
        return Ok(());
    }
    let Some(organizations) =
        subject_attribute(fields::text(object, "/spec/request"), ORGANIZATION)
    else {
        let why = "failed to parse CSR: PEM block type must be CERTIFICATE REQUEST";
        return Err(request.forbid(object, why));
    };
    if organizations.iter().any(|one| one == MASTERS) {
        let why = format!("use of {SIGNER} signer with {MASTERS} group is not allowed");
        return Err(request.forbid(object, &why));
    }
    Ok(())
}

/// An attribute of the subject of a request in Base64 of PEM.
pub(crate) fn subject_attribute(request: &str, attribute: [u8; 3]) -> Option<Vec<String>> {
    use base64::Engine as _;
    let pem = base64::engine::general_purpose::STANDARD
        .decode(request)
        .ok()?;
    let der = CertificateSigningRequestDer::from_pem_slice(&pem).ok()?;
    subject_of_request(&der, attribute).ok()
}

/// `ClusterTrustBundleAttest`.
pub(crate) fn attest(
    request: &Request<'_>,
    object: &Value,
    view: &dyn View,
    _: &mut Notes,
) -> Outcome<()> {
    let signer = fields::text(object, "/spec/signerName");
    let unchanged = request.operation == Operation::Update
        && fields::value(object, "/spec") == fields::value(request.old, "/spec");
    if !request.is_for(GROUP, "clustertrustbundles") || signer.is_empty() || unchanged {
        return Ok(());
    }
    if may(request, "attest", signer, view) {
        return Ok(());
    }
    let why = format!("user not permitted to attest for signerName {signer:?}");
    Err(request.forbid(object, &why))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;
    use crate::admit::Validate;
    use crate::admit::tests::{World, request};
    use crate::failure::Failure;

    fn ask(
        plugin: Validate,
        resource: &str,
        world: &World,
        old: &Value,
        new: &Value,
    ) -> Result<(), String> {
        let user = User::known("jane", []);
        let operation = if old.is_null() {
            Operation::Create
        } else {
            Operation::Update
        };
        let request = request(operation, GROUP, resource, &user, old);
        plugin(&request, new, world, &mut Notes::default())
            .map_err(|f: Failure| f.message().to_owned())
    }

    #[test]
    fn nobody_asks_in_the_name_of_another() {
        let mut request = json!({"spec": {"signerName": "a.io/b", "username": "system:node:x",
            "groups": ["system:nodes"], "uid": "1", "extra": {"a": ["b"]}}});
        sign_in(&User::known("jane", ["team".to_owned()]), &mut request);
        let spec = &request["spec"];
        assert_eq!(
            (&spec["username"], &spec["signerName"]),
            (&json!("jane"), &json!("a.io/b"))
        );
        let groups: Vec<_> = fields::texts(&request, "/spec/groups").collect();
        assert!(
            groups.contains(&"team") && !groups.contains(&"system:nodes"),
            "{groups:?}"
        );
        assert!(spec["uid"].is_null() && spec["extra"].is_null(), "{spec}");
    }

    #[test]
    fn approvers_and_signers_are_named() {
        let old = json!({"spec": {"signerName": "a.io/b"}});
        let new = json!({"spec": {"signerName": "a.io/b"}, "status": {"certificate": "eA=="}});
        let none = World::default();
        let approve = "certificatesigningrequests.certificates.k8s.io \"x\" is forbidden: user not permitted to approve requests with signerName \"a.io/b\"";
        assert_eq!(
            ask(
                approval,
                "certificatesigningrequests/approval",
                &none,
                &old,
                &new
            ),
            Err(approve.to_owned())
        );
        assert_eq!(
            ask(approval, "certificatesigningrequests", &none, &old, &new),
            Ok(())
        );
        let by_name = World::default().allow("approve signers a.io/b");
        assert_eq!(
            ask(
                approval,
                "certificatesigningrequests/approval",
                &by_name,
                &old,
                &new
            ),
            Ok(())
        );
        let by_domain = World::default().allow("sign signers a.io/*");
        assert_eq!(
            ask(
                signing,
                "certificatesigningrequests/status",
                &by_domain,
                &old,
                &new
            ),
            Ok(())
        );
        assert!(
            ask(
                signing,
                "certificatesigningrequests/status",
                &by_name,
                &old,
                &new
            )
            .is_err()
        );
        assert_eq!(
            ask(
                signing,
                "certificatesigningrequests/status",
                &none,
                &old,
                &old
            ),
            Ok(())
        );
    }

    #[test]
    fn bundles_are_vouched_for() {
        let bundle = json!({"spec": {"signerName": "a.io/b", "trustBundle": "x"}});
        let none = World::default();
        assert!(ask(attest, "clustertrustbundles", &none, &Value::Null, &bundle).is_err());
        assert_eq!(
            ask(attest, "clustertrustbundles", &none, &bundle, &bundle),
            Ok(())
        );
        assert_eq!(
            ask(
                attest,
                "clustertrustbundles",
                &none,
                &Value::Null,
                &json!({"spec": {}})
            ),
            Ok(())
        );
        let may = World::default().allow("attest signers a.io/b");
        assert_eq!(
            ask(attest, "clustertrustbundles", &may, &Value::Null, &bundle),
            Ok(())
        );
    }

    #[test]
    fn masters_are_not_made_by_request() {
        let made = |group: &str, signer: &str| {
            let key = rcgen::KeyPair::generate().unwrap();
            let mut params = rcgen::CertificateParams::default();
            params
                .distinguished_name
                .push(rcgen::DnType::OrganizationName, group);
            let pem = params.serialize_request(&key).unwrap().pem().unwrap();
            let text = base64::engine::general_purpose::STANDARD.encode(pem);
            json!({"spec": {"signerName": signer, "request": text}})
        };
        let client = "kubernetes.io/kube-apiserver-client";
        let none = World::default();
        assert_eq!(
            ask(subject, REQUESTS, &none, &Value::Null, &made("dev", client)),
            Ok(())
        );
        assert_eq!(
            ask(
                subject,
                REQUESTS,
                &none,
                &Value::Null,
                &made("system:masters", "a.io/b")
            ),
            Ok(())
        );
        let refused = ask(
            subject,
            REQUESTS,
            &none,
            &Value::Null,
            &made("system:masters", client),
        );
        let expected = "certificatesigningrequests.certificates.k8s.io \"x\" is forbidden: use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed";
        assert_eq!(refused, Err(expected.to_owned()));
    }
}
