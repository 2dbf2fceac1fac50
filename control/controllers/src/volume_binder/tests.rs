//! Scenarios of the volume binder: what is there, whose turn it is, and what is written.

use serde_json::{Value, json};

use super::Binder;
use crate::controller::Plan;
use crate::given;
use crate::write::{Action, Write, merge};

const CLAIM: (&str, &str) = ("ns", "c");
const VOLUME: (&str, &str) = ("", "v");

/// A claim on 5Gi, with changes.
fn claim(changes: Value) -> Value {
    let mut claim = json!({
        "metadata": {"namespace": "ns", "name": "c", "uid": "uc", "resourceVersion": "5"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "k",
            "resources": {"requests": {"storage": "5Gi"}}},
        "status": {"phase": "Pending"},
    });
    merge(&mut claim, changes);
    claim
}

/// A free volume of 10Gi, with changes.
fn volume(changes: Value) -> Value {
    let mut volume = json!({
        "metadata": {"name": "v", "uid": "uv", "resourceVersion": "4"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "k",
            "capacity": {"storage": "10Gi"}, "persistentVolumeReclaimPolicy": "Retain"},
        "status": {"phase": "Available"},
    });
    merge(&mut volume, changes);
    volume
}

fn named(name: &str, size: &str, modes: Value) -> Value {
    volume(json!({"metadata": {"name": name},
        "spec": {"capacity": {"storage": size}, "accessModes": modes}}))
}

fn class(mode: &str, provisioner: &str) -> Value {
    json!({"metadata": {"name": "k"}, "provisioner": provisioner, "volumeBindingMode": mode})
}

fn bound_to(uid: &str) -> Value {
    json!({"namespace": "ns", "name": "c", "uid": uid})
}

/// What is there.
#[derive(Default)]
struct World {
    claims: Vec<Value>,
    volumes: Vec<Value>,
    classes: Vec<Value>,
    pods: Vec<Value>,
}

impl World {
    fn binder(self) -> Binder {
        Binder {
            claims: given::store(json!(self.claims)),
            volumes: given::store(json!(self.volumes)),
            classes: given::store(json!(self.classes)),
            pods: given::store(json!(self.pods)),
            period: std::time::Duration::from_secs(15),
            chosen: parking_lot::Mutex::default(),
        }
    }

    fn plan(self, (namespace, name): (&str, &str)) -> Plan {
        given::plan(&self.binder(), given::at(0), namespace, name)
    }
}

/// A write as text: `volume v status {...}`.
fn text(write: &Write) -> String {
    let Action::Patch {
        name,
        subresource,
        changes,
        ..
    } = &write.action
    else {
        panic!("{write:?}");
    };
    let mut changes = changes.clone();
    if let Some(to) = changes
        .pointer_mut("/spec/claimRef")
        .filter(|to| to.is_object())
    {
        *to = json!(to["uid"]);
    }
    let part = if subresource.is_empty() {
        ""
    } else {
        " status"
    };
    let changes = match subresource.is_empty() {
        true => &changes,
        false => &changes["status"],
    };
    format!("{name}{part} {changes}")
}

fn check(world: World, key: (&str, &str), writes: &[&str], reasons: &[&str]) {
    let plan = world.plan(key);
    let written: Vec<_> = plan.writes.iter().map(text).collect();
    assert_eq!(written, writes, "{key:?}");
    let told: Vec<_> = plan.events.iter().map(|event| event.reason).collect();
    assert_eq!(told, reasons, "{key:?}");
}

const TIED: &[&str] = &[
    r#"v {"metadata":{"annotations":{"pv.kubernetes.io/bound-by-controller":"yes"}},"spec":{"claimRef":"uc"}}"#,
    r#"v status {"message":null,"phase":"Bound","reason":null}"#,
    r#"c {"metadata":{"annotations":{"pv.kubernetes.io/bind-completed":"yes","pv.kubernetes.io/bound-by-controller":"yes"}},"spec":{"volumeName":"v"}}"#,
    r#"c status {"accessModes":["ReadWriteOnce"],"capacity":{"storage":"10Gi"},"phase":"Bound"}"#,
];

#[test]
fn a_claim_and_a_volume_are_tied_step_by_step() {
    let world = World {
        claims: vec![claim(json!({}))],
        volumes: vec![volume(json!({}))],
        ..World::default()
    };
    check(world, CLAIM, TIED, &[]);
    // The volume was written, then the program ended.
    let half = json!({"metadata": {"annotations": {"pv.kubernetes.io/bound-by-controller": "yes"}},
        "spec": {"claimRef": bound_to("uc")}});
    let world = World {
        claims: vec![claim(json!({}))],
        volumes: vec![volume(half)],
        ..World::default()
    };
    check(world, CLAIM, &TIED[1..], &[]);
    // All is done.
    let done = json!({"metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
        "spec": {"volumeName": "v"},
        "status": {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "9Gi"}}});
    let of = json!({"spec": {"claimRef": bound_to("uc")}, "status": {"phase": "Bound"}});
    let all = || World {
        claims: vec![claim(done.clone())],
        volumes: vec![volume(of.clone())],
        ..World::default()
    };
    check(all(), CLAIM, &[], &[]);
    check(all(), VOLUME, &[], &[]);
}

#[test]
fn the_least_volume_that_will_do_is_chosen() {
    let choose = |volumes: Vec<Value>, wish: Value| {
        let world = World {
            claims: vec![claim(wish)],
            volumes,
            ..World::default()
        };
        let plan = world.plan(CLAIM);
        let first = plan
            .writes
            .first()
            .filter(|write| write.resource.kind == "PersistentVolume");
        first.map(|write| text(write).split(' ').next().unwrap().to_owned())
    };
    let once = || json!(["ReadWriteOnce"]);
    let several = || {
        vec![
            named("small", "4Gi", once()),
            named("large", "20Gi", once()),
            named("right", "6Gi", once()),
            named("many", "5Gi", json!(["ReadWriteOnce", "ReadWriteMany"])),
        ]
    };
    let chosen = |wish: Value| choose(several(), wish);
    assert_eq!(chosen(json!({})).as_deref(), Some("right"));
    let many = json!({"spec": {"accessModes": ["ReadWriteMany"]}});
    assert_eq!(chosen(many).as_deref(), Some("many"));
    let huge = json!({"spec": {"resources": {"requests": {"storage": "30Gi"}}}});
    assert_eq!(chosen(huge), None);
    assert_eq!(chosen(json!({"spec": {"storageClassName": ""}})), None);
    assert_eq!(chosen(json!({"spec": {"volumeMode": "Block"}})), None);
    let picky = json!({"spec": {"selector": {"matchLabels": {"a": "b"}}}});
    assert_eq!(chosen(picky.clone()), None);
    let labelled = volume(json!({"metadata": {"labels": {"a": "b"}}}));
    assert_eq!(choose(vec![labelled], picky).as_deref(), Some("v"));
    // One that a user keeps for the claim, whatever its class; not one kept for another.
    let kept = |name: &str| json!({"spec": {"storageClassName": "x", "claimRef": {"namespace": "ns", "name": name}}});
    assert_eq!(
        choose(vec![volume(kept("c"))], json!({})).as_deref(),
        Some("v")
    );
    assert_eq!(choose(vec![volume(kept("d"))], json!({})), None);
    let old = json!({"spec": {"claimRef": bound_to("earlier")}, "status": {"phase": "Released"}});
    assert_eq!(choose(vec![volume(old)], json!({})), None);
}

#[test]
fn a_volume_is_promised_once() {
    let other = claim(json!({"metadata": {"name": "d", "uid": "ud"}}));
    let world = World {
        claims: vec![claim(json!({})), other],
        volumes: vec![
            named("v", "5Gi", json!(["ReadWriteOnce"])),
            named("w", "6Gi", json!(["ReadWriteOnce"])),
        ],
        ..World::default()
    };
    let binder = world.binder();
    let first = |name| {
        let plan = given::plan(&binder, given::at(0), "ns", name);
        text(&plan.writes[0]).split(' ').next().unwrap().to_owned()
    };
    assert_eq!([first("c"), first("d"), first("c")], ["v", "w", "v"]);
}

#[test]
fn claims_wait_for_what_makes_volumes() {
    let asks = r#"c {"metadata":{"annotations":{"volume.beta.kubernetes.io/storage-provisioner":"csi.x","volume.kubernetes.io/storage-provisioner":"csi.x"}}}"#;
    let of = |mode: &str, provisioner: &str, changes: Value| World {
        claims: vec![claim(changes)],
        classes: vec![class(mode, provisioner)],
        ..World::default()
    };
    let at_once = || of("Immediate", "csi.x", json!({}));
    check(at_once(), CLAIM, &[asks], &["ExternalProvisioning"]);
    assert_eq!(at_once().plan(CLAIM).requeue.unwrap().as_secs(), 15);
    let none = of("Immediate", "kubernetes.io/no-provisioner", json!({}));
    check(none, CLAIM, &[], &["ProvisioningFailed"]);
    let world = World {
        claims: vec![claim(json!({}))],
        ..World::default()
    };
    check(world, CLAIM, &[], &["ProvisioningFailed"]);
    let waits = || of("WaitForFirstConsumer", "csi.x", json!({}));
    check(waits(), CLAIM, &[], &["WaitForFirstConsumer"]);
    let mut pod = waits();
    pod.pods = vec![
        json!({"metadata": {"namespace": "ns", "name": "p"}, "spec": {"volumes": [
        {"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}}),
    ];
    pod.volumes = vec![volume(json!({}))];
    check(pod, CLAIM, &[], &["WaitForPodScheduled"]);
    let node = json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n"}}});
    let chosen = of("WaitForFirstConsumer", "csi.x", node);
    check(chosen, CLAIM, &[asks], &["ExternalProvisioning"]);
    // The scheduler chose a volume that is there.
    let mut chosen = waits();
    chosen.volumes = vec![volume(json!({"spec": {"claimRef": bound_to("uc")}}))];
    check(chosen, CLAIM, &TIED[1..], &[]);
}

#[test]
fn claims_without_a_class_get_the_usual_one() {
    let usual = |name: &str, since: &str| {
        json!({"metadata": {"name": name, "creationTimestamp": since, "annotations":
            {"storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "csi.x"})
    };
    let of = |class: Value| World {
        claims: vec![claim(json!({"spec": {"storageClassName": class}}))],
        classes: vec![
            usual("old", "2026-01-01T00:00:00Z"),
            usual("new", "2026-02-01T00:00:00Z"),
        ],
        ..World::default()
    };
    check(
        of(Value::Null),
        CLAIM,
        &[r#"c {"spec":{"storageClassName":"new"}}"#],
        &[],
    );
    check(of(json!("")), CLAIM, &[], &["FailedBinding"]);
}

#[test]
fn claims_that_name_a_volume() {
    let wish = || claim(json!({"spec": {"volumeName": "v"}}));
    let of = |volumes: Vec<Value>| World {
        claims: vec![wish()],
        volumes,
        ..World::default()
    };
    check(of(Vec::new()), CLAIM, &[], &[]);
    let completes = r#"c {"metadata":{"annotations":{"pv.kubernetes.io/bind-completed":"yes"}}}"#;
    let tied = [TIED[0], TIED[1], completes, TIED[3]];
    check(of(vec![volume(json!({}))]), CLAIM, &tied, &[]);
    let small = volume(json!({"spec": {"capacity": {"storage": "1Gi"}}}));
    check(of(vec![small]), CLAIM, &[], &["VolumeMismatch"]);
    let taken = volume(json!({"spec": {"claimRef": bound_to("other")}}));
    check(of(vec![taken]), CLAIM, &[], &["FailedBinding"]);
}

#[test]
fn bound_claims_lose_what_is_gone() {
    let bound = |volume: &str| {
        claim(
            json!({"metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
            "spec": {"volumeName": volume},
            "status": {"phase": "Bound", "accessModes": ["ReadWriteOnce"]}}),
        )
    };
    let lost = r#"c status {"accessModes":null,"phase":"Lost"}"#;
    let unnamed = World {
        claims: vec![bound("")],
        ..World::default()
    };
    check(unnamed, CLAIM, &[lost], &["ClaimLost"]);
    // The cache of volumes has seen what came after the claim.
    let later = named("w", "1Gi", json!([]));
    let of = |version: &str| {
        let mut later = later.clone();
        later["metadata"]["resourceVersion"] = json!(version);
        World {
            claims: vec![bound("v")],
            volumes: vec![later],
            ..World::default()
        }
    };
    check(of("6"), CLAIM, &[lost], &["ClaimLost"]);
    check(of("4"), CLAIM, &[], &[]);
    assert!(of("4").plan(CLAIM).requeue.is_some());
    let other = volume(json!({"spec": {"claimRef": bound_to("other")}}));
    let world = World {
        claims: vec![bound("v")],
        volumes: vec![other],
        ..World::default()
    };
    check(world, CLAIM, &[lost], &["ClaimMisbound"]);
}

#[test]
fn volumes_are_released_when_their_claim_is_gone() {
    let of = |version: &str, changes: Value, claims: Vec<Value>| {
        let mut own = json!({"metadata": {"resourceVersion": version},
            "spec": {"claimRef": bound_to("uc")}, "status": {"phase": "Bound"}});
        merge(&mut own, changes);
        World {
            claims,
            volumes: vec![volume(own)],
            ..World::default()
        }
    };
    let stranger = || {
        vec![claim(
            json!({"metadata": {"uid": "new", "resourceVersion": "9"}}),
        )]
    };
    let released = r#"v status {"message":null,"phase":"Released","reason":null}"#;
    check(of("8", json!({}), stranger()), VOLUME, &[released], &[]);
    // Claims might be missing from a cache that is older than the volume.
    check(of("10", json!({}), stranger()), VOLUME, &[], &[]);
    assert!(
        of("10", json!({}), stranger())
            .plan(VOLUME)
            .requeue
            .is_some()
    );
    let policy = |policy: &str, notes: Value| json!({"metadata": {"annotations": notes}, "spec": {"persistentVolumeReclaimPolicy": policy}});
    let made = json!({"pv.kubernetes.io/provisioned-by": "csi.x"});
    check(
        of("8", policy("Delete", made.clone()), stranger()),
        VOLUME,
        &[released],
        &[],
    );
    for (name, reason) in [
        ("Delete", "VolumeFailedDelete"),
        ("Recycle", "VolumeFailedRecycle"),
    ] {
        let plan = of("8", policy(name, json!({})), stranger()).plan(VOLUME);
        assert_eq!(plan.events[0].reason, reason);
        assert!(text(&plan.writes[0]).contains("Failed"), "{plan:?}");
    }
    // The claim took another volume.
    let elsewhere = || vec![claim(json!({"spec": {"volumeName": "w"}}))];
    let available = r#"v status {"message":null,"phase":"Available","reason":null}"#;
    let ours = json!({"pv.kubernetes.io/bound-by-controller": "yes"});
    let untied = r#"v {"metadata":{"annotations":{"pv.kubernetes.io/bound-by-controller":null}},"spec":{"claimRef":null}}"#;
    check(
        of("4", policy("Retain", ours), elsewhere()),
        VOLUME,
        &[untied, available],
        &[],
    );
    let plan = of("4", policy("Retain", json!({})), elsewhere()).plan(VOLUME);
    assert_eq!(text(&plan.writes[0]), r#"v {"spec":{"claimRef":null}}"#);
    check(
        of("4", policy("Delete", made), elsewhere()),
        VOLUME,
        &[released],
        &[],
    );
    // What was never anybody's.
    let new = volume(json!({"status": {"phase": "Pending"}}));
    let world = World {
        volumes: vec![new],
        ..World::default()
    };
    check(world, VOLUME, &[available], &[]);
}
