//! The pages of metrics.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::header::HeaderValue;
use hyper::{Response, StatusCode};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::body::{Body, full, typed};
use super::view::NodeView;
use crate::metrics::process::{ProcessUsage, render_tasks};
use crate::metrics::render::{CONTENT_TYPE, Text, registry};
use crate::metrics::{Page, names};

/// A finished page.
pub fn page(text: Text) -> Response<Body> {
    let kind = HeaderValue::from_static(CONTENT_TYPE);
    typed(StatusCode::OK, kind, full(text.finish()))
}

/// `/metrics`: the kubelet itself. Counts of pods and containers are taken at this moment.
pub fn kubelet(view: &dyn NodeView) -> Response<Body> {
    count_pods(&view.pods(), &view.running_pods());
    let mut text = Text::default();
    registry(Page::Kubelet, &mut text);
    // Without /proc the page is shorter, not broken.
    if let Ok(usage) = ProcessUsage::read() {
        usage.render(&mut text);
    }
    render_tasks(&mut text);
    page(text)
}

/// `/metrics/probes`: probe outcomes.
pub fn probes() -> Response<Body> {
    let mut text = Text::default();
    registry(Page::Probes, &mut text);
    page(text)
}

fn count_pods(pods: &[Arc<Pod>], running: &[Arc<Pod>]) {
    names::RUNNING_PODS.set(&[], as_float(running.len()));
    let fixed = pods.iter().filter(|pod| is_static(pod)).count();
    names::DESIRED_PODS.set(&["true"], as_float(fixed));
    names::DESIRED_PODS.set(&["false"], as_float(pods.len() - fixed));
    let active = |wanted: bool| {
        let counted = pods.iter().filter(|pod| is_active(pod));
        as_float(counted.filter(|pod| is_static(pod) == wanted).count())
    };
    names::ACTIVE_PODS.set(&["true"], active(true));
    names::ACTIVE_PODS.set(&["false"], active(false));
    let states = container_states(pods);
    let samples = states.into_iter().map(|(state, n)| (vec![state], n));
    names::RUNNING_CONTAINERS.replace(samples);
}

fn container_states(pods: &[Arc<Pod>]) -> BTreeMap<&'static str, f64> {
    let mut states = BTreeMap::new();
    for status in pods.iter().filter_map(|pod| pod.status.as_ref()) {
        let lists = [&status.init_container_statuses, &status.container_statuses];
        for container in lists.into_iter().flatten().flatten() {
            if let Some(state) = state_of(container) {
                *states.entry(state).or_insert(0.0) += 1.0;
            }
        }
    }
    states
}

fn state_of(container: &ContainerStatus) -> Option<&'static str> {
    let state = container.state.as_ref()?;
    match (&state.running, &state.terminated, &container.container_id) {
        (Some(_), ..) => Some("running"),
        (_, Some(_), _) => Some("exited"),
        (_, _, Some(_)) => Some("created"),
        _ => None,
    }
}

fn is_static(pod: &Pod) -> bool {
    let annotations = pod.metadata.annotations.as_ref();
    let source = annotations.and_then(|all| all.get("kubernetes.io/config.source"));
    source.is_some_and(|source| source != "api")
}

fn is_active(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed"))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of pods are far below 2^53"
)]
fn as_float(count: usize) -> f64 {
    count as f64
}
