//! Approves kubelets' requests for client certificates, where a rule allows the one who asks.

use jiff::Timestamp;
use keelson_client::cache::Key;
use keelson_client::runner::Outcome;
use keelson_client::{Client, Error, Resource, Store};
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::Request;
use super::signer;
use crate::controller::{Act, ActError, Acting, Registration, Work};
use crate::kinds::{CertificateRequest, Condition, Kind as _};
use crate::wiring::Wiring;

const REVIEWS: Resource = Resource::fixed(
    "authorization.k8s.io",
    "v1",
    "subjectaccessreviews",
    "SubjectAccessReview",
    false,
);

/// The registry's line.
pub const REGISTRATION: Registration = Registration {
    name: "certificatesigningrequest-approving-controller",
    alias: "csrapproving",
    account: "certificate-controller",
    by_default: true,
    at_once: 5,
    build: |wiring: &mut Wiring<'_>| {
        Some(Work::act(Approver {
            client: wiring.client.clone(),
            requests: wiring.own::<CertificateRequest>(),
        }))
    },
};

struct Approver {
    client: Client,
    requests: Store<CertificateRequest>,
}

/// Nobody may approve a request that approves itself as soon as somebody may.
#[derive(Debug, thiserror::Error)]
#[error(
    "request {name} is one of a kubelet, but {user} has no right to {rights} of certificatesigningrequests"
)]
struct NotAllowed {
    name: String,
    user: Box<str>,
    rights: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Review {
    status: ReviewStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ReviewStatus {
    allowed: bool,
}

impl Act for Approver {
    fn act<'a>(&'a self, key: &'a Key) -> Acting<'a> {
        Box::pin(self.work(key))
    }
}

impl Approver {
    async fn work(&self, key: &Key) -> Result<Outcome, ActError> {
        let Some(request) = self.requests.find(key) else {
            return Ok(Outcome::Settled);
        };
        let decided = request.is("Approved") || request.is("Denied");
        if decided || !request.status.certificate.is_empty() {
            return Ok(Outcome::Settled);
        }
        let Ok(wanted) = Request::read(&request.spec.request) else {
            return Ok(Outcome::Settled);
        };
        let ways = signer::own_approval(&request.spec, &wanted);
        for (right, message) in &ways {
            if self.may(&request, right).await? {
                return self.approve(&request, message).await;
            }
        }
        if ways.is_empty() {
            return Ok(Outcome::Settled);
        }
        let rights: Vec<_> = ways.iter().map(|(right, _)| *right).collect();
        Err(Box::new(NotAllowed {
            name: key.name.to_string(),
            user: request.spec.username.clone(),
            rights: rights.join(" or "),
        }))
    }

    async fn may(&self, request: &CertificateRequest, right: &str) -> Result<bool, Error> {
        let spec = &request.spec;
        let review = json!({
            "apiVersion": REVIEWS.api_version(), "kind": REVIEWS.kind,
            "spec": {
                "user": spec.username, "uid": spec.uid, "groups": spec.groups, "extra": spec.extra,
                "resourceAttributes": {
                    "group": CertificateRequest::RESOURCE.group, "verb": "create", "version": "*",
                    "resource": CertificateRequest::RESOURCE.plural, "subresource": right,
                },
            },
        });
        let review: Review = self.client.create(&REVIEWS.all(), &review).await?;
        Ok(review.status.allowed)
    }

    async fn approve(
        &self,
        request: &CertificateRequest,
        message: &str,
    ) -> Result<Outcome, ActError> {
        let now = Timestamp::now();
        let mut approved = Condition::new("Approved", true, "AutoApproved", message, now);
        approved.last_update_time = approved.last_transition_time;
        add_condition(&self.client, request, "approval", &approved).await
    }
}

/// Adds a condition to a request that is still of the version that was seen.
pub(super) async fn add_condition(
    client: &Client,
    request: &CertificateRequest,
    part: &str,
    condition: &Condition,
) -> Result<Outcome, ActError> {
    let change = |object: &mut Value| {
        let conditions = &mut object["status"]["conditions"];
        match conditions.as_array_mut() {
            Some(all) => all.push(json!(condition)),
            None => *conditions = json!([condition]),
        }
    };
    replace(client, request, part, change).await
}

/// Replaces a part of a request that is still of the version that was seen.
pub(super) async fn replace(
    client: &Client,
    request: &CertificateRequest,
    part: &str,
    change: impl FnOnce(&mut Value),
) -> Result<Outcome, ActError> {
    let path = CertificateRequest::RESOURCE.named("", &request.metadata.name);
    let written = async {
        let mut object: Value = client.get(&path).await?;
        if object["metadata"]["resourceVersion"] != *request.metadata.resource_version {
            return Ok(Outcome::Later);
        }
        change(&mut object);
        client
            .update::<_, Value>(&path.clone().subresource(part), &object)
            .await?;
        Ok(Outcome::Settled)
    };
    match written.await {
        Err(error) if Error::is_not_found(&error) => Ok(Outcome::Settled),
        Err(error) if error.is_conflict() => Ok(Outcome::Later),
        outcome => Ok(outcome?),
    }
}
