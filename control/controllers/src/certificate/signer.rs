//! Decides what the four signers of a cluster agree to, and which requests approve themselves.

use std::collections::BTreeSet;

use super::request::{Name, Request};
use crate::kinds::certificate_request::CertificateRequestSpec;

/// Clients of the API server.
pub const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
/// Kubelets as clients of the API server.
pub const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// Kubelets as servers.
pub const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
/// Whatever was signed before there were signers.
pub const LEGACY: &str = "kubernetes.io/legacy-unknown";

/// The group of all nodes.
const NODES: &str = "system:nodes";
/// What names of nodes begin with.
const NODE: &str = "system:node:";

/// Why a request is none that its signer signs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    /// The organizations.
    #[error("the subject's organization must be system:nodes alone")]
    Organization,
    /// The common name.
    #[error("the subject's common name must begin with system:node:")]
    CommonName,
    /// Other names.
    #[error("these kinds of subject alternative names are not allowed for this signer")]
    Names,
    /// No name of a server.
    #[error("a server's certificate needs a DNS name or an address")]
    NoName,
    /// The usages.
    #[error("usages {0} are not what this signer signs")]
    Usages(String),
}

/// Whether a signer is ours.
#[must_use]
pub fn is_ours(signer: &str) -> bool {
    [CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY].contains(&signer)
}

/// Whether a signer agrees to a request.
///
/// # Errors
/// It does not, and why.
pub fn check(spec: &CertificateRequestSpec, request: &Request) -> Result<(), Objection> {
    let usages: BTreeSet<&str> = spec.usages.iter().map(|usage| &**usage).collect();
    let refused = || Objection::Usages(usages.iter().copied().collect::<Vec<_>>().join(", "));
    let are = |needed: &[&str]| {
        let allowed = ["digital signature", "key encipherment"];
        let known = usages
            .iter()
            .all(|usage| needed.contains(usage) || allowed.contains(usage));
        known && needed.iter().all(|usage| usages.contains(usage))
    };
    match &*spec.signer_name {
        CLIENT if are(&["client auth"]) => Ok(()),
        KUBELET_CLIENT => {
            node(request)?;
            if !request.names.is_empty() {
                return Err(Objection::Names);
            }
            are(&["client auth", "digital signature"])
                .then_some(())
                .ok_or_else(refused)
        }
        KUBELET_SERVING => {
            node(request)?;
            let serves = |name: &Name| matches!(name, Name::Dns(_) | Name::Ip(_));
            if !request.names.iter().all(serves) {
                return Err(Objection::Names);
            }
            if request.names.is_empty() {
                return Err(Objection::NoName);
            }
            are(&["server auth", "digital signature"])
                .then_some(())
                .ok_or_else(refused)
        }
        LEGACY => Ok(()),
        _ => Err(refused()),
    }
}

fn node(request: &Request) -> Result<(), Objection> {
    if request.organizations() != [NODES] {
        return Err(Objection::Organization);
    }
    if !request.common_name().starts_with(NODE) {
        return Err(Objection::CommonName);
    }
    Ok(())
}

/// Who may approve a request of a kubelet, should they be allowed to: the subresource that the
/// right is for, and what is said. Most particular first.
#[must_use]
pub fn own_approval(
    spec: &CertificateRequestSpec,
    request: &Request,
) -> Vec<(&'static str, &'static str)> {
    if &*spec.signer_name != KUBELET_CLIENT || check(spec, request).is_err() {
        return Vec::new();
    }
    let mut ways = Vec::new();
    if request.common_name() == &*spec.username {
        ways.push((
            "selfnodeclient",
            "Auto approving self kubelet client certificate after SubjectAccessReview.",
        ));
    }
    ways.push((
        "nodeclient",
        "Auto approving kubelet client certificate after SubjectAccessReview.",
    ));
    ways
}

#[cfg(test)]
mod tests {
    use super::{
        CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY, Objection, check, is_ours, own_approval,
    };
    use crate::certificate::request::{Attribute, Name, Request};
    use crate::kinds::certificate_request::CertificateRequestSpec;

    fn request(name: &str, group: &str, names: &[Name]) -> Request {
        let attribute = |kind: u8, text: &str| Attribute {
            kind: vec![0x55, 0x04, kind],
            tag: 0x0c,
            value: text.as_bytes().to_vec(),
        };
        Request {
            subject: vec![attribute(0x0a, group), attribute(0x03, name)],
            names: names.to_vec(),
            ..Request::default()
        }
    }

    fn spec(signer: &str, usages: &[&str]) -> CertificateRequestSpec {
        CertificateRequestSpec {
            signer_name: signer.into(),
            usages: usages.iter().map(|usage| (*usage).into()).collect(),
            username: "system:node:n".into(),
            ..CertificateRequestSpec::default()
        }
    }

    #[test]
    fn each_signer_signs_its_own() {
        let dns = [Name::Dns("n".to_owned())];
        let mail = [Name::Mail("n@n".to_owned())];
        let node = |names: &[Name]| request("system:node:n", "system:nodes", names);
        let client = ["digital signature", "client auth"];
        let serving = ["digital signature", "key encipherment", "server auth"];
        let all = |usages: &[&str]| {
            let mut usages = usages.to_vec();
            usages.sort_unstable();
            Err(Objection::Usages(usages.join(", ")))
        };
        let table = [
            (KUBELET_CLIENT, &client[..], node(&[]), Ok(())),
            (
                KUBELET_CLIENT,
                &client[..],
                node(&dns),
                Err(Objection::Names),
            ),
            (
                KUBELET_CLIENT,
                &["client auth"][..],
                node(&[]),
                all(&["client auth"]),
            ),
            (KUBELET_CLIENT, &serving[..], node(&[]), all(&serving)),
            (
                KUBELET_CLIENT,
                &client[..],
                request("system:node:n", "system:masters", &[]),
                Err(Objection::Organization),
            ),
            (
                KUBELET_CLIENT,
                &client[..],
                request("me", "system:nodes", &[]),
                Err(Objection::CommonName),
            ),
            (KUBELET_SERVING, &serving[..], node(&dns), Ok(())),
            (
                KUBELET_SERVING,
                &serving[..],
                node(&[]),
                Err(Objection::NoName),
            ),
            (
                KUBELET_SERVING,
                &serving[..],
                node(&mail),
                Err(Objection::Names),
            ),
            (
                CLIENT,
                &["client auth"][..],
                request("me", "them", &dns),
                Ok(()),
            ),
            (
                CLIENT,
                &serving[..],
                request("me", "them", &[]),
                all(&serving),
            ),
            (LEGACY, &[][..], request("me", "them", &[]), Ok(())),
        ];
        for (signer, usages, request, expected) in table {
            assert_eq!(
                check(&spec(signer, usages), &request),
                expected,
                "{signer} {usages:?}"
            );
        }
        assert!(is_ours(LEGACY) && !is_ours("example.com/signer"));
    }

    #[test]
    fn kubelets_approve_themselves() {
        let client = ["digital signature", "client auth"];
        let ways = |signer: &str, name: &str| -> Vec<&str> {
            let request = request(name, "system:nodes", &[]);
            let ways = own_approval(&spec(signer, &client), &request);
            ways.into_iter()
                .map(|(subresource, _)| subresource)
                .collect()
        };
        assert_eq!(
            ways(KUBELET_CLIENT, "system:node:n"),
            ["selfnodeclient", "nodeclient"]
        );
        assert_eq!(ways(KUBELET_CLIENT, "system:node:m"), ["nodeclient"]);
        assert_eq!(ways(KUBELET_CLIENT, "me"), [""; 0]);
        assert_eq!(ways(CLIENT, "system:node:n"), [""; 0]);
    }
}
