//! `/configz`: the configuration in force.

use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::body::{self, Body};

/// Wraps the configuration as upstream does.
pub fn answer(configuration: &Value) -> Response<Body> {
    let page = json!({ "kubeletconfig": configuration });
    body::json(StatusCode::OK, page.to_string())
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn the_configuration_is_wrapped() {
        let body = answer(&json!({"maxPods": 110})).into_body();
        let bytes = body.collect().await.unwrap().to_bytes();
        assert_eq!(bytes, r#"{"kubeletconfig":{"maxPods":110}}"#);
    }
}
