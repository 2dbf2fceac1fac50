//! Defaults of claims for devices.

use serde_json::Value;

use super::fill::Default::{AbsentText, Number, Text};
use super::fill::{apply_rules, at, items, text};

/// Fills in a claim.
pub fn resource_claim(claim: &mut Value) {
    requests(claim, &["spec", "devices", "requests"]);
}

/// Fills in a template of claims.
pub fn resource_claim_template(template: &mut Value) {
    requests(template, &["spec", "spec", "devices", "requests"]);
}

fn requests(object: &mut Value, path: &[&str]) {
    for request in items(object, path) {
        if at(request, &["exactly"]).is_some()
            && let Some(exactly) = request.get_mut("exactly")
        {
            count(exactly);
        }
        for choice in items(request, &["firstAvailable"]) {
            count(choice);
        }
    }
}

fn count(request: &mut Value) {
    apply_rules(
        request,
        &[
            ("allocationMode", Text("ExactCount")),
            ("tolerations[].operator", AbsentText("Equal")),
        ],
    );
    if text(request, "/allocationMode") == "ExactCount" {
        apply_rules(request, &[("count", Number(1))]);
    }
}

/// Fills in a request for a token.
pub fn token_request(request: &mut Value) {
    apply_rules(request, &[("spec.expirationSeconds", Number(3_600))]);
}
