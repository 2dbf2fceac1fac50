//! How endpoints are shared out, and when they are not.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Part, Unable, processors};
use crate::given;
use crate::kinds::endpoint_slice::{Conditions, Endpoint};

fn assign(zones: Option<&BTreeMap<String, i64>>, parts: &mut [Part]) -> Result<(), Unable> {
    super::assign(zones, &mut parts.iter_mut().collect::<Vec<_>>())
}

fn zones(all: &[(&str, i64)]) -> BTreeMap<String, i64> {
    all.iter()
        .map(|(zone, cpu)| ((*zone).to_owned(), *cpu))
        .collect()
}

fn endpoint(zone: &str, ready: bool) -> Endpoint {
    Endpoint {
        conditions: Conditions {
            ready: Some(ready),
            ..Conditions::default()
        },
        zone: Some(zone.to_owned()).filter(|zone| !zone.is_empty()),
        ..Endpoint::default()
    }
}

/// A slice of as many ready endpoints per zone.
fn part(all: &[(&str, usize)]) -> Part {
    let endpoints = all
        .iter()
        .flat_map(|(zone, count)| vec![endpoint(zone, true); *count]);
    Part {
        endpoints: endpoints.collect(),
        touched: true,
    }
}

/// How many endpoints are meant for each zone.
fn meant(parts: &[Part]) -> BTreeMap<String, i64> {
    let mut meant = BTreeMap::new();
    for endpoint in parts.iter().flat_map(|part| &part.endpoints) {
        if let Some(hints) = &endpoint.hints {
            *meant.entry(hints.for_zones[0].name.clone()).or_insert(0) += 1;
        }
    }
    meant
}

#[test]
fn endpoints_are_shared_by_processors() {
    let check = |cpus: &[(&str, i64)], there: &[(&str, usize)], expected: &[(&str, i64)]| {
        let mut parts = [part(there)];
        assign(Some(&zones(cpus)), &mut parts).unwrap();
        assert_eq!(meant(&parts), zones(expected), "{cpus:?} {there:?}");
    };
    let even = [("a", 4000), ("b", 4000)];
    check(&even, &[("a", 1), ("b", 1)], &[("a", 1), ("b", 1)]);
    check(&even, &[("a", 4)], &[("a", 2), ("b", 2)]);
    check(&even, &[("a", 5), ("b", 1)], &[("a", 3), ("b", 3)]);
    let uneven = [("a", 8000), ("b", 2000)];
    check(&uneven, &[("a", 5), ("b", 5)], &[("a", 8), ("b", 2)]);
    // A zone without nodes gives all it has.
    check(&even, &[("c", 2), ("a", 2)], &[("a", 2), ("c", 2)]);
}

#[test]
fn what_is_right_is_left_alone() {
    let cpus = zones(&[("a", 1000), ("b", 1000)]);
    let mut parts = [part(&[("a", 3)]), part(&[("b", 3)])];
    assign(Some(&cpus), &mut parts).unwrap();
    for part in &mut parts {
        part.touched = false;
    }
    assign(Some(&cpus), &mut parts).unwrap();
    assert!(parts.iter().all(|part| !part.touched));
    // An endpoint without a hint, and a zone that is gone, make a slice be written.
    parts[0].endpoints[0].hints = None;
    assign(Some(&cpus), &mut parts).unwrap();
    assert_eq!(
        parts.iter().map(|part| part.touched).collect::<Vec<_>>(),
        [true, false]
    );
    parts[0].touched = false;
    assign(Some(&zones(&[("a", 1000), ("c", 1000)])), &mut parts).unwrap();
    assert_eq!(
        parts.iter().map(|part| part.touched).collect::<Vec<_>>(),
        [false, true]
    );
}

#[test]
fn hints_go_where_they_cannot_be_right() {
    let check = |cpus: Option<&[(&str, i64)]>, there: &[(&str, usize)], expected: Unable| {
        let mut parts = [part(there)];
        assign(Some(&zones(&[("a", 1), ("b", 1)])), &mut parts).ok();
        parts[0].touched = false;
        let had = !meant(&parts).is_empty();
        let cpus = cpus.map(zones);
        assert_eq!(assign(cpus.as_ref(), &mut parts), Err(expected));
        assert!(meant(&parts).is_empty());
        assert_eq!(parts[0].touched, had);
    };
    check(None, &[("a", 2), ("b", 2)], Unable::Nodes);
    let three = [("a", 1000), ("b", 1000), ("c", 1000)];
    check(
        Some(&three),
        &[("a", 2)],
        Unable::Endpoints { ready: 2, zones: 3 },
    );
    let uneven = [("a", 2000), ("b", 1000)];
    check(
        Some(&uneven),
        &[("a", 1), ("b", 1)],
        Unable::Overload { ready: 2, zones: 2 },
    );
    let even = [("a", 1000), ("b", 1000)];
    check(Some(&even), &[("a", 3), ("", 1)], Unable::NoZone);
}

#[test]
fn processors_are_those_of_nodes_that_serve() {
    let node = |zone: &str, cpu: &str, ready: &str, label: &str| {
        let mut labels = json!({ label: "" });
        if !zone.is_empty() {
            labels["topology.kubernetes.io/zone"] = json!(zone);
        }
        given::read(json!({"metadata": {"name": "n", "labels": labels},
            "status": {"allocatable": {"cpu": cpu},
                "conditions": [{"type": "Ready", "status": ready}]}}))
    };
    let check = |nodes: Vec<crate::kinds::Node>, expected: Value| {
        let nodes: Vec<_> = nodes.into_iter().map(std::sync::Arc::new).collect();
        assert_eq!(json!(processors(&nodes)), expected);
    };
    let (a, b) = (
        || node("a", "4", "True", "x"),
        || node("b", "500m", "True", "x"),
    );
    check(vec![a(), b(), a()], json!({"a": 8000, "b": 500}));
    check(vec![a(), a()], Value::Null);
    check(vec![a(), b(), node("", "1", "True", "x")], Value::Null);
    check(vec![a(), b(), node("a", "", "True", "x")], Value::Null);
    check(
        vec![a(), b(), node("c", "1", "False", "x")],
        json!({"a": 4000, "b": 500}),
    );
    let master = "node-role.kubernetes.io/control-plane";
    check(
        vec![a(), b(), node("c", "1", "True", master)],
        json!({"a": 4000, "b": 500}),
    );
}

proptest! {
    /// Neither of two zones has so few endpoints that one bears more than six fifths of its share,
    /// wherever they are; each ready one is meant for one zone.
    #[test]
    fn no_zone_is_overloaded(cpus in (1i64..64, 1i64..64), there in (0usize..20, 0usize..20)) {
        let cpus = [("a", cpus.0 * 1000), ("b", cpus.1 * 1000)];
        let ready = i64::try_from(there.0 + there.1).unwrap();
        let mut parts = [part(&[("a", there.0), ("b", there.1)])];
        if assign(Some(&zones(&cpus)), &mut parts).is_ok() {
            let meant = meant(&parts);
            prop_assert_eq!(meant.values().sum::<i64>(), ready);
            let total: i64 = cpus.iter().map(|(_, cpu)| cpu).sum();
            for (zone, cpu) in cpus {
                let has = meant.get(zone).copied().unwrap_or(0);
                // Half an endpoint is what nobody moves for.
                prop_assert!((2 * has + 1) * total * 6 >= 2 * cpu * ready * 5, "{zone} {meant:?}");
            }
        }
    }
}
