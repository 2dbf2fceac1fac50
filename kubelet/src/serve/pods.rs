//! `/pods` and `/runningpods/`: lists as the API shows them.

use std::sync::Arc;

use hyper::{Response, StatusCode};
use k8s_openapi::api::core::v1::{Pod, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

use super::body::{Body, json, text};

/// Renders pods as a `PodList`.
pub fn list(pods: &[Arc<Pod>]) -> Response<Body> {
    let list = PodList {
        kind: "PodList",
        api_version: "v1",
        metadata: Empty {},
        items: pods.iter().map(|pod| Item::of(pod)).collect(),
    };
    match serde_json::to_vec(&list) {
        Ok(rendered) => json(StatusCode::OK, rendered),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PodList<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Empty,
    items: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Empty {}

/// Items of a list carry neither kind nor version.
#[derive(Serialize)]
struct Item<'a> {
    metadata: &'a ObjectMeta,
    #[serde(skip_serializing_if = "Option::is_none")]
    spec: Option<&'a PodSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a PodStatus>,
}

impl<'a> Item<'a> {
    fn of(pod: &'a Pod) -> Self {
        Self {
            metadata: &pod.metadata,
            spec: pod.spec.as_ref(),
            status: pod.status.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_list_is_the_apis() {
        let mut pod = Pod::default();
        pod.metadata.name = Some("web".into());
        let response = list(&[Arc::new(pod)]);
        assert_eq!(response.headers()["content-type"], "application/json");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(
            body,
            r#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[{"metadata":{"name":"web"}}]}"#
        );
    }
}
