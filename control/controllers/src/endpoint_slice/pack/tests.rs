//! Packing: cases, and that any sequence of changes ends right.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Group, Packing, pack};
use crate::kinds::endpoint_slice::{Conditions, Endpoint, EndpointSlice, Port};

fn endpoint(number: u16, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![format!("10.0.{}.{}", number >> 8, number & 255)],
        conditions: Conditions {
            ready: Some(ready),
            ..Conditions::default()
        },
        ..Endpoint::default()
    }
}

fn port(number: i32) -> Vec<Port> {
    vec![Port {
        port: Some(number),
        protocol: "TCP".to_owned(),
        ..Port::default()
    }]
}

fn group(numbers: &[u16]) -> Group {
    let endpoints = numbers.iter().map(|number| endpoint(*number, true));
    (port(80), endpoints.collect())
}

fn slice(numbers: &[u16]) -> EndpointSlice {
    let (ports, endpoints) = group(numbers);
    EndpointSlice {
        ports,
        endpoints,
        ..EndpointSlice::default()
    }
}

fn packed(existing: &[EndpointSlice], groups: Vec<Group>, limit: usize) -> Packing {
    let existing: Vec<&EndpointSlice> = existing.iter().collect();
    pack(&existing, groups, limit)
}

#[test]
fn full_slices_are_left_alone_and_small_rests_fill_gaps() {
    let check = |existing: &[&[u16]], wanted: &[u16], expected: Packing| {
        let existing: Vec<_> = existing.iter().map(|numbers| slice(numbers)).collect();
        assert_eq!(packed(&existing, vec![group(wanted)], 3), expected);
    };
    let some = Packing::default;
    // New ones, in chunks.
    check(
        &[],
        &[1, 2, 3, 4],
        Packing {
            create: vec![group(&[1, 2, 3]), group(&[4])],
            ..some()
        },
    );
    // Nothing to do.
    check(
        &[&[1, 2], &[3]],
        &[1, 2, 3],
        Packing {
            keep: vec![0, 1],
            ..some()
        },
    );
    // One more goes where it fills best.
    check(
        &[&[1], &[2, 3]],
        &[1, 2, 3, 4],
        Packing {
            keep: vec![0],
            update: [(1, group(&[2, 3, 4]))].into(),
            ..some()
        },
    );
    // A slice that loses one takes the new one.
    check(
        &[&[1], &[2, 3, 5]],
        &[1, 2, 3, 4],
        Packing {
            keep: vec![0],
            update: [(1, group(&[2, 3, 4]))].into(),
            ..some()
        },
    );
    // A slice without any is removed.
    check(
        &[&[1, 2, 3], &[4]],
        &[1, 2, 3],
        Packing {
            keep: vec![0],
            delete: vec![1],
            ..some()
        },
    );
    // All others: the slice is used again.
    check(
        &[&[1, 2]],
        &[7, 8],
        Packing {
            update: [(0, group(&[7, 8]))].into(),
            ..some()
        },
    );
}

#[test]
fn a_service_without_pods_has_one_empty_slice() {
    let created = packed(&[], vec![], 3);
    assert_eq!(created.create, [(vec![], vec![])]);
    let placeholder = EndpointSlice::default();
    let kept = packed(&[slice(&[1]), placeholder], vec![], 3);
    assert_eq!((kept.keep, kept.delete), (vec![1], vec![0]));
    let emptied = packed(&[slice(&[1])], vec![], 3);
    assert_eq!(emptied.update, [(0, (vec![], vec![]))].into());
}

#[test]
fn a_change_of_readiness_changes_its_slice_alone() {
    let mut wanted = group(&[1, 2, 3, 4]);
    wanted.1[3] = endpoint(4, false);
    let done = packed(&[slice(&[1, 2, 3]), slice(&[4])], vec![wanted], 3);
    assert_eq!(done.keep, [0]);
    assert_eq!(done.update[&1].1, [endpoint(4, false)]);
}

/// What slices hold after a packing was carried out.
fn carried_out(existing: &[EndpointSlice], packing: Packing) -> Vec<EndpointSlice> {
    let kept = packing.keep.iter().map(|at| existing[*at].clone());
    let written = packing.update.into_values().chain(packing.create);
    let written = written.map(|(ports, endpoints)| EndpointSlice {
        ports,
        endpoints,
        ..EndpointSlice::default()
    });
    kept.chain(written).collect()
}

proptest! {
    #[test]
    fn slices_end_up_with_what_is_wanted(rounds in vec(vec((0u16..40, 80i32..82), 0..40), 1..6)) {
        let mut slices: Vec<EndpointSlice> = Vec::new();
        for round in rounds {
            let round: BTreeSet<_> = round.into_iter().collect();
            let mut groups: Vec<Group> = Vec::new();
            for (number, at) in &round {
                let ports = port(*at);
                match groups.iter_mut().find(|group| group.0 == ports) {
                    Some(group) => group.1.push(endpoint(*number, true)),
                    None => groups.push((ports, vec![endpoint(*number, true)])),
                }
            }
            let packing = packed(&slices, groups.clone(), 7);
            slices = carried_out(&slices, packing);
            let mut held: Vec<_> = slices
                .iter()
                .flat_map(|s| s.endpoints.iter().map(|e| (e.addresses[0].clone(), s.ports[0].port)))
                .collect();
            held.sort();
            let mut wanted: Vec<_> = groups
                .iter()
                .flat_map(|g| g.1.iter().map(|e| (e.addresses[0].clone(), g.0[0].port)))
                .collect();
            wanted.sort();
            prop_assert_eq!(held, wanted);
            prop_assert!(!slices.is_empty());
            prop_assert!(slices.iter().all(|slice| slice.endpoints.len() <= 7));
            let again = packed(&slices, groups, 7);
            prop_assert_eq!(again.keep.len(), slices.len());
        }
    }
}
