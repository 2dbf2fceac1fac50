//! Shapes of the built-in types, and how their lists merge.

use super::{Schema, Shape, Topology};

fn field(owner: &str, name: &str) -> (&'static super::Field, &'static super::Node) {
    let schema = Schema::builtin();
    let node = schema.named(&format!("io.k8s.{owner}")).unwrap();
    let field = schema.object_of(node).unwrap().field(name).unwrap();
    (field, schema.node(field.node))
}

#[test]
fn shapes_come_from_the_table() {
    let cases = [
        ("api.core.v1.ContainerPort", "containerPort", Shape::Int32),
        ("api.core.v1.ServicePort", "targetPort", Shape::IntOrString),
        ("api.core.v1.PodSpec", "activeDeadlineSeconds", Shape::Int64),
        (
            "api.core.v1.EventSeries",
            "lastObservedTime",
            Shape::MicroTime,
        ),
        (
            "apimachinery.pkg.apis.meta.v1.ObjectMeta",
            "creationTimestamp",
            Shape::Time,
        ),
        (
            "api.core.v1.EmptyDirVolumeSource",
            "sizeLimit",
            Shape::Quantity,
        ),
        (
            "api.certificates.v1.CertificateSigningRequestSpec",
            "request",
            Shape::Bytes,
        ),
    ];
    for (owner, name, shape) in cases {
        assert_eq!(field(owner, name).1.shape, shape, "{name}");
    }
    assert!(
        field("api.core.v1.ContainerPort", "containerPort")
            .0
            .required
    );
    assert!(!field("api.core.v1.ContainerPort", "hostIP").0.required);
}

#[test]
fn lists_know_how_they_merge() {
    let topology = |owner, name| match &field(owner, name).1.shape {
        Shape::List(_, topology) => topology.clone(),
        other => panic!("{name} is {other:?}"),
    };
    let keys = |names: &[&'static str]| {
        Topology::Map(names.iter().map(|n| super::Name::Borrowed(*n)).collect())
    };
    assert_eq!(
        topology("api.core.v1.PodSpec", "containers"),
        keys(&["name"])
    );
    assert_eq!(
        topology("api.core.v1.ServiceSpec", "ports"),
        keys(&["port", "protocol"])
    );
    assert_eq!(
        topology("apimachinery.pkg.apis.meta.v1.ObjectMeta", "finalizers"),
        Topology::Set
    );
    assert_eq!(topology("api.core.v1.Container", "args"), Topology::Atomic);
    let (containers, _) = field("api.core.v1.PodSpec", "containers");
    assert!(containers.patch.merge);
    assert_eq!(containers.patch.merge_key.as_deref(), Some("name"));
    let (tolerations, _) = field("api.core.v1.PodSpec", "tolerations");
    assert!(!tolerations.patch.merge);
}

#[test]
fn some_objects_are_owned_whole() {
    let schema = Schema::builtin();
    assert!(schema.is_atomic(field("api.core.v1.PodSpec", "nodeSelector").0.node));
    assert!(schema.is_atomic(field("api.apps.v1.DeploymentSpec", "selector").0.node));
    assert!(!schema.is_atomic(field("api.core.v1.ConfigMap", "data").0.node));
    assert!(!schema.is_atomic(field("api.core.v1.Pod", "spec").0.node));
}

#[test]
fn nodes_are_shared_and_few() {
    let schema = Schema::builtin();
    assert!(schema.objects.len() > 550, "{}", schema.objects.len());
    assert!(
        schema.nodes.len() < 2 * schema.objects.len(),
        "{}",
        schema.nodes.len()
    );
}
