//! Identity, kinds of documents, and what is said of broken ones.

use std::sync::Arc;

use proptest::prelude::*;

use super::{Reading, parse};
use crate::pod_source::{DesiredPod, PodOrigin, SourceProblem};

const POD: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  containers:
  - name: a
    image: x
";

fn read_from(path: &str, text: &str) -> Result<Vec<Arc<DesiredPod>>, Vec<SourceProblem>> {
    let origin = PodOrigin::File(path.into());
    let reading = Reading {
        origin: &origin,
        node_name: "node-1",
        seen: "2026-01-02T03:04:05Z",
    };
    parse(&reading, text)
}

fn read(text: &str) -> Result<Vec<Arc<DesiredPod>>, Vec<SourceProblem>> {
    read_from("/m/web.yaml", text)
}

fn one(text: &str) -> Arc<DesiredPod> {
    let mut pods = read(text).unwrap_or_else(|p| panic!("{}", p[0]));
    assert_eq!(pods.len(), 1);
    pods.remove(0)
}

#[test]
fn gives_static_pods_their_identity() {
    let desired = one(POD);
    let meta = &desired.pod.metadata;
    assert_eq!(meta.name.as_deref(), Some("web-node-1"));
    assert_eq!(meta.namespace.as_deref(), Some("default"));
    assert_eq!(meta.uid.as_deref(), Some(desired.uid.as_str()));
    assert_eq!(desired.uid.as_str().len(), 32);
    let annotations = meta.annotations.as_ref().unwrap();
    assert_eq!(annotations["kubernetes.io/config.source"], "file");
    assert_eq!(
        annotations["kubernetes.io/config.hash"],
        desired.uid.as_str()
    );
    assert_eq!(
        annotations["kubernetes.io/config.seen"],
        "2026-01-02T03:04:05Z"
    );
    let spec = desired.pod.spec.as_ref().unwrap();
    assert_eq!(spec.node_name.as_deref(), Some("node-1"));
    assert_eq!(
        spec.tolerations.as_ref().unwrap()[0].effect.as_deref(),
        Some("NoExecute")
    );
    assert_eq!(spec.termination_grace_period_seconds, Some(30));
}

#[test]
fn an_edit_gives_a_new_uid_and_a_comment_does_not() {
    let uid = one(POD).uid.clone();
    assert_eq!(one(&format!("# note\n{POD}")).uid, uid);
    let reordered = "kind: Pod\nspec: {containers: [{image: x, name: a}]}\nmetadata: {name: web}\napiVersion: v1\n";
    assert_eq!(one(reordered).uid, uid);
    assert_ne!(one(&POD.replace("image: x", "image: other")).uid, uid);
    assert_ne!(read_from("/m/other.yaml", POD).unwrap()[0].uid, uid);
    let said = POD.replace("name: web", "name: web\n  uid: mine");
    assert_ne!(one(&said).uid.as_str(), "mine");
}

#[test]
fn reads_lists_and_several_documents() {
    let two = format!("{POD}---\n{}", POD.replace("web", "db"));
    assert_eq!(read(&two).unwrap().len(), 2);
    let list = "{apiVersion: v1, kind: PodList, items: [{metadata: {name: a}, spec: {containers: [{name: c, image: i}]}}]}";
    assert_eq!(one(list).pod.metadata.name.as_deref(), Some("a-node-1"));
    let json = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"j"},"spec":{"containers":[{"name":"c","image":"i"}]}}"#;
    assert_eq!(one(json).pod.metadata.name.as_deref(), Some("j-node-1"));
}

#[test]
fn resolves_the_priority_of_system_classes() {
    let text = POD.replace("spec:", "spec:\n  priorityClassName: system-node-critical");
    assert_eq!(
        one(&text).pod.spec.as_ref().unwrap().priority,
        Some(2_000_001_000)
    );
}

#[test]
fn says_what_is_wrong_and_where() {
    let with = |from: &str, to: &str| POD.replace(from, to);
    let cases = [
        (
            with("    image: x", "    imagee: x"),
            8,
            "spec.containers[0].imagee",
            "unknown field",
        ),
        (
            with("    image: x", "    image: 5"),
            8,
            "spec.containers[0].image",
            "expected a string",
        ),
        (
            with("    image: x", "    image: ''"),
            8,
            "spec.containers[0].image",
            "Required value",
        ),
        (
            with("name: a", "name: A_b"),
            7,
            "spec.containers[0].name",
            "RFC 1123",
        ),
        (
            with("  name: web", "  labels: {a: b}"),
            3,
            "metadata.name",
            "Required value",
        ),
        (with("kind: Pod", "kind: Service"), 2, "kind", "Service"),
        (with("kind: Pod", "other: x"), 1, "kind", "Required value"),
        (with("  containers:", "  containers: ["), 7, "", ""),
        ("- a\n".to_owned(), 1, "", "expected a mapping"),
        ("# nothing\n".to_owned(), 0, "", "no pod"),
        (
            with("spec:", "spec:\n  serviceAccountName: me"),
            6,
            "spec.serviceAccountName",
            "may not refer to objects of the API",
        ),
        (
            with(
                "    image: x",
                "    image: x\n    envFrom:\n    - secretRef: {name: s}",
            ),
            10,
            "spec.containers[0].envFrom[0].secretRef",
            "may not refer",
        ),
        (
            format!(
                "{POD}---\n{}",
                with("    image: x", "    image: x\n    tty: 3")
            ),
            18,
            "spec.containers[0].tty",
            "expected a boolean",
        ),
    ];
    for (text, line, field, message) in cases {
        let problems = read(&text).expect_err(&text);
        let first = &problems[0];
        assert!(first.message.contains(message), "{first} lacks {message}");
        assert_eq!(first.field, field, "{first}");
        // A syntax error is found where the parser gives up, at or behind its cause.
        let right = if field.is_empty() {
            first.line >= line
        } else {
            first.line == line
        };
        assert!(right, "{first}: expected line {line}");
        assert!(!first.cure.is_empty(), "{first} has no cure");
    }
}

#[test]
fn names_items_of_lists_by_their_path() {
    let list = "apiVersion: v1\nkind: List\nitems:\n- kind: Pod\n  apiVersion: v1\n  metadata: {name: a}\n  spec: {}\n";
    let problem = &read(list).unwrap_err()[0];
    assert_eq!(
        (problem.field.as_str(), problem.line),
        ("items[0].spec.containers", 7)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn never_panics(text in "\\PC{0,200}") {
        let _ = read(&text);
    }

    #[test]
    fn never_panics_on_cut_manifests(end in 0..POD.len(), junk in "[ -~\n]{0,10}") {
        let _ = read(&format!("{}{junk}", &POD[..end]));
    }
}
