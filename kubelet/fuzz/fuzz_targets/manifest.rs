//! Any text is a manifest or is refused with a message and a cure; what is taken gets the same
//! identity each time it is read.
#![no_main]

use std::path::PathBuf;

use keelson_kubelet::model::desired::PodOrigin;
use keelson_kubelet::pod_source::manifest::{Reading, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let origin = PodOrigin::File(PathBuf::from("/manifests/fuzz.yaml"));
    let reading = Reading {
        origin: &origin,
        node_name: "node",
        seen: "2026-01-01T00:00:00Z",
    };
    match parse(&reading, text) {
        Ok(pods) => {
            let again = parse(&reading, text).unwrap_or_default();
            let uids = |pods: &[std::sync::Arc<keelson_kubelet::pod_source::DesiredPod>]| {
                pods.iter().map(|p| p.uid.clone()).collect::<Vec<_>>()
            };
            assert!(!pods.is_empty() && uids(&pods) == uids(&again));
        }
        Err(problems) => {
            assert!(
                problems
                    .iter()
                    .all(|p| !p.message.is_empty() && !p.cure.is_empty())
            );
        }
    }
});
