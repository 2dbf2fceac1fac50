//! Golden cases of ownership, and properties of sets and merges.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    ApplyError, Element, Managers, Set, Typed, Versions, Writer, apply, from_fields_v1,
    same_managers, to_fields_v1, update,
};
use crate::resource_table::{Resource, by_kind};

fn row(kind: &str) -> &'static Resource {
    let group = if kind == "Deployment" { "apps" } else { "" };
    by_kind(group, "v1", kind).unwrap()
}

fn typed(kind: &str) -> Typed<'static> {
    row(kind).typed(&row(kind).api_version()).unwrap()
}

struct Cluster {
    kind: &'static str,
    object: Option<Value>,
    second: i64,
    ignored: Set,
}

impl Cluster {
    fn new(kind: &'static str) -> Self {
        Self {
            kind,
            object: None,
            second: 0,
            ignored: Set::of_fields(&[&["status"]]),
        }
    }

    fn write(
        &mut self,
        manager: &str,
        write: impl FnOnce(&Self, &Writer<'_>) -> Result<Value, ApplyError>,
    ) -> Result<(), ApplyError> {
        self.second += 1;
        let version = row(self.kind).api_version();
        let writer = Writer {
            manager,
            api_version: &version,
            subresource: "",
            ignored: &self.ignored,
            now: jiff::Timestamp::new(self.second, 0).unwrap(),
        };
        self.object = Some(write(self, &writer)?);
        Ok(())
    }

    fn apply(&mut self, manager: &str, config: Value, force: bool) -> Result<(), ApplyError> {
        let mut config = config;
        config["apiVersion"] = json!(row(self.kind).api_version());
        config["kind"] = json!(self.kind);
        self.write(manager, |this, writer| {
            apply(row(this.kind), this.object.as_ref(), &config, writer, force)
        })
    }

    fn update(&mut self, manager: &str, change: impl FnOnce(&mut Value)) {
        let outcome = self.write(manager, |this, writer| {
            let start = json!({"apiVersion": "v1", "kind": this.kind, "metadata": {"name": "a"}});
            let mut new = this.object.clone().unwrap_or(start);
            change(&mut new);
            Ok(update(row(this.kind), this.object.as_ref(), new, writer))
        });
        outcome.unwrap();
    }

    fn at(&self, pointer: &str) -> Value {
        self.object
            .as_ref()
            .and_then(|o| o.pointer(pointer))
            .cloned()
            .unwrap_or_default()
    }

    /// `fieldsV1` of an owner.
    fn owned(&self, manager: &str) -> Value {
        let entries = self.at("/metadata/managedFields");
        let entry = entries
            .as_array()
            .into_iter()
            .flatten()
            .find(|e| e["manager"] == manager);
        entry.map(|e| e["fieldsV1"].clone()).unwrap_or_default()
    }
}

fn data(data: Value) -> Value {
    json!({"data": data})
}

#[test]
fn an_applier_owns_what_it_says() {
    let mut map = Cluster::new("ConfigMap");
    map.apply(
        "a",
        json!({"metadata": {"labels": {"x": "y"}}, "data": {"k": "1"}}),
        false,
    )
    .unwrap();
    assert_eq!(
        map.owned("a"),
        json!({"f:metadata": {"f:labels": {"f:x": {}}}, "f:data": {"f:k": {}}})
    );
    let entry = &map.at("/metadata/managedFields")[0];
    assert_eq!(
        (
            &entry["operation"],
            &entry["apiVersion"],
            &entry["fieldsType"],
            &entry["time"]
        ),
        (
            &json!("Apply"),
            &json!("v1"),
            &json!("FieldsV1"),
            &json!("1970-01-01T00:00:01Z")
        )
    );
}

#[test]
fn applying_again_is_no_change() {
    let mut map = Cluster::new("ConfigMap");
    map.apply("a", data(json!({"k": "1"})), false).unwrap();
    let before = map.object.clone();
    map.apply("a", data(json!({"k": "1"})), false).unwrap();
    assert_eq!(map.object, before);
}

#[test]
fn what_is_no_longer_said_goes_unless_others_own_it() {
    let mut map = Cluster::new("ConfigMap");
    map.apply(
        "a",
        data(json!({"k": "1", "shared": "2", "changed": "3"})),
        false,
    )
    .unwrap();
    map.apply("b", data(json!({"shared": "2"})), false).unwrap();
    map.update("c", |object| object["data"]["changed"] = json!("4"));
    map.apply("a", data(json!({})), false).unwrap();
    assert_eq!(map.at("/data"), json!({"shared": "2", "changed": "4"}));
    map.apply("b", data(json!({"other": "5"})), false).unwrap();
    assert_eq!(map.at("/data"), json!({"other": "5", "changed": "4"}));
}

#[test]
fn a_value_that_others_own_is_a_conflict() {
    let mut deployment = Cluster::new("Deployment");
    deployment
        .apply("a", json!({"spec": {"replicas": 1}}), false)
        .unwrap();
    let error = deployment
        .apply("b", json!({"spec": {"replicas": 2}}), false)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 1 conflict: conflict with \"a\": .spec.replicas"
    );
    assert_eq!(deployment.at("/spec/replicas"), json!(1));
    deployment
        .apply("b", json!({"spec": {"replicas": 1}}), false)
        .unwrap();
    let error = deployment
        .apply("b", json!({"spec": {"replicas": 2}}), false)
        .unwrap_err();
    assert!(matches!(error, ApplyError::Conflicts(list) if list.len() == 1));
    deployment
        .apply("b", json!({"spec": {"replicas": 2}}), true)
        .unwrap();
    assert_eq!(deployment.at("/spec/replicas"), json!(2));
    assert_eq!(deployment.owned("a"), Value::Null);
    deployment.update("c", |object| object["spec"]["replicas"] = json!(3));
    let error = deployment.apply("b", json!({"spec": {"replicas": 2, "paused": true}}), false);
    assert_eq!(
        error.unwrap_err().to_string(),
        "Apply failed with 1 conflict: conflict with \"c\" using apps/v1: .spec.replicas"
    );
}

#[test]
fn what_client_side_apply_noted_is_kubectls_own() {
    let note = "kubectl.kubernetes.io/last-applied-configuration";
    let mut cluster = Cluster::new("ConfigMap");
    let config = json!({"metadata": {"name": "m"}, "data": {"a": "1", "b": "2"}});
    cluster.update("kubectl-client-side-apply", |object| {
        *object = config.clone();
        object["metadata"]["annotations"] = json!({note: config.to_string()});
    });
    let next = json!({"metadata": {"name": "m"}, "data": {"a": "9", "b": "8"}});
    // Not everybody goes from one to the other.
    assert!(cluster.apply("another", next.clone(), false).is_err());
    cluster.update("hand", |object| object["data"]["b"] = json!("5"));
    let refused = cluster.apply("kubectl", next.clone(), false).unwrap_err();
    let ApplyError::Conflicts(conflicts) = refused else {
        panic!("{refused}");
    };
    let paths: Vec<_> = conflicts
        .iter()
        .map(|conflict| conflict.path.as_str())
        .collect();
    assert_eq!(
        paths,
        [".data.b"],
        "only what differs from the note is a conflict"
    );
    cluster.update("hand", |object| object["data"]["b"] = json!("2"));
    cluster.apply("kubectl", next, false).unwrap();
    assert_eq!(cluster.at("/data"), json!({"a": "9", "b": "8"}));
    let noted = cluster.at("/metadata/annotations")[note].clone();
    let noted: Value = serde_json::from_str(noted.as_str().unwrap()).unwrap();
    assert_eq!(noted["data"], json!({"a": "9", "b": "8"}));
}

#[test]
fn several_conflicts_are_listed_by_owner() {
    let mut map = Cluster::new("ConfigMap");
    map.apply("a", data(json!({"x": "1", "y": "1"})), false)
        .unwrap();
    map.apply("b", data(json!({"z": "1"})), false).unwrap();
    let error = map
        .apply("c", data(json!({"x": "2", "y": "2", "z": "2"})), false)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 3 conflicts: conflicts with \"a\":\n- .data.x\n- .data.y\n\
         conflicts with \"b\":\n- .data.z"
    );
}

fn containers(list: Value) -> Value {
    json!({"spec": {"template": {"spec": {"containers": list}}}})
}

#[test]
fn items_of_lists_are_owned_by_key() {
    let mut deployment = Cluster::new("Deployment");
    let web = json!({"name": "web", "image": "w:1", "ports": [{"containerPort": 80}]});
    deployment
        .apply("a", containers(json!([web])), false)
        .unwrap();
    assert_eq!(
        deployment.owned("a")["f:spec"]["f:template"]["f:spec"]["f:containers"],
        json!({"k:{\"name\":\"web\"}": {".": {}, "f:image": {}, "f:name": {}, "f:ports": {
            "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}})
    );
    deployment
        .apply(
            "b",
            containers(json!([{"name": "side", "image": "s:1"}, {"name": "web", "tty": true}])),
            false,
        )
        .unwrap();
    let pointer = "/spec/template/spec/containers";
    let names = |d: &Cluster| -> Vec<Value> {
        d.at(pointer)
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["name"].clone())
            .collect()
    };
    assert_eq!(names(&deployment), ["side", "web"]);
    assert_eq!(deployment.at(pointer)[1]["image"], "w:1");
    // The side goes with its owner; the web loses what only that one said.
    deployment.apply("b", json!({"spec": {}}), false).unwrap();
    assert_eq!(deployment.at(pointer), json!([web]));
    let error = deployment
        .apply(
            "b",
            containers(json!([{"name": "web", "image": "w:2"}])),
            false,
        )
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with(".spec.template.spec.containers[name=\"web\"].image")
    );
}

#[test]
fn atomic_lists_and_maps_have_one_owner() {
    let mut deployment = Cluster::new("Deployment");
    let args = |args: Value| containers(json!([{"name": "web", "args": args}]));
    deployment
        .apply("a", args(json!(["1", "2"])), false)
        .unwrap();
    deployment
        .apply(
            "a",
            json!({"spec": {"selector": {"matchLabels": {"a": "b"}}}}),
            false,
        )
        .unwrap();
    assert_eq!(deployment.owned("a"), json!({"f:spec": {"f:selector": {}}}));
    let error = deployment
        .apply(
            "b",
            json!({"spec": {"selector": {"matchLabels": {"c": "d"}}}}),
            false,
        )
        .unwrap_err();
    assert!(error.to_string().ends_with(": .spec.selector"));
}

#[test]
fn sets_are_owned_by_value() {
    let mut pod = Cluster::new("Pod");
    let finalizers = |list: Value| json!({"metadata": {"finalizers": list}});
    pod.apply("a", finalizers(json!(["x/a", "x/b"])), false)
        .unwrap();
    pod.apply("b", finalizers(json!(["x/c", "x/b"])), false)
        .unwrap();
    assert_eq!(
        pod.owned("b"),
        json!({"f:metadata": {"f:finalizers": {"v:\"x/b\"": {}, "v:\"x/c\"": {}}}})
    );
    pod.apply("a", json!({}), false).unwrap();
    assert_eq!(pod.at("/metadata/finalizers"), json!(["x/c", "x/b"]));
}

#[test]
fn updates_own_what_they_change() {
    let mut map = Cluster::new("ConfigMap");
    map.update("creator", |object| {
        object["data"] = json!({"a": "1", "b": "1"})
    });
    assert_eq!(
        map.owned("creator"),
        json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}})
    );
    map.update("other", |object| object["data"]["b"] = json!("2"));
    assert_eq!(
        map.owned("creator"),
        json!({"f:data": {".": {}, "f:a": {}}})
    );
    assert_eq!(map.owned("other"), json!({"f:data": {"f:b": {}}}));
    let before = map.object.clone();
    map.update("third", |_| ());
    assert_eq!(map.object, before, "who changes nothing owns nothing");
    map.update("other", |object| {
        object["data"].as_object_mut().unwrap().remove("a");
    });
    assert_eq!(map.owned("creator"), json!({"f:data": {}}));
}

#[test]
fn what_an_object_began_with_has_an_owner() {
    let mut map = Cluster::new("ConfigMap");
    map.object = Some(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"}}));
    map.update("x", |object| object["data"]["a"] = json!("2"));
    assert_eq!(map.at("/metadata/managedFields"), Value::Null);
    map.apply("a", data(json!({"b": "1"})), false).unwrap();
    assert_eq!(
        map.owned("before-first-apply"),
        json!({"f:data": {".": {}, "f:a": {}}})
    );
}

#[test]
fn owners_can_be_reset_and_too_many_become_one() {
    let mut map = Cluster::new("ConfigMap");
    for at in 0..15 {
        map.update(&format!("m{at}"), |object| {
            object["data"][format!("k{at}")] = json!("v")
        });
    }
    let entries = map.at("/metadata/managedFields");
    assert_eq!(entries.as_array().unwrap().len(), 10);
    assert_ne!(map.owned("ancient-changes"), Value::Null);
    map.update("x", |object| {
        object["metadata"]["managedFields"] = json!([{}])
    });
    assert_eq!(map.at("/metadata/managedFields"), Value::Null);
}

#[test]
fn what_cannot_be_applied_is_refused() {
    let mut map = Cluster::new("ConfigMap");
    let cases = [
        (json!({"wrong": 1}), ".wrong: field not declared in schema"),
        (json!({"data": []}), ".data: expected map, got []"),
        (
            json!({"metadata": {"finalizers": ["a", "a"]}}),
            "duplicate entries for key [=\"a\"]",
        ),
        (json!({"metadata": {"managedFields": [{}]}}), "must be nil"),
    ];
    for (config, word) in cases {
        let error = map.apply("a", config, false).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    let config = json!({"apiVersion": "v2", "kind": "ConfigMap"});
    let outcome = map.write("a", |_, w| apply(row("ConfigMap"), None, &config, w, false));
    assert!(matches!(outcome, Err(ApplyError::Version { .. })));
}

#[test]
fn lists_merge_in_the_order_of_the_new_one() {
    let merge = |old: &[&str], new: &[&str]| -> Vec<String> {
        let pod = |names: &[&str]| {
            let list: Vec<_> = names.iter().map(|n| json!({"name": n})).collect();
            json!({"spec": {"containers": list}})
        };
        let merged = typed("Pod").merge(&pod(old), &pod(new));
        let list = merged["spec"]["containers"].as_array().unwrap();
        list.iter()
            .map(|c| c["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(merge(&["a", "b", "c"], &["c", "a"]), ["b", "c", "a"]);
    assert_eq!(merge(&["a", "b", "c"], &["a", "c"]), ["a", "b", "c"]);
    assert_eq!(merge(&["a", "b"], &["c", "a"]), ["c", "a", "b"]);
    assert_eq!(merge(&["a"], &["a", "b", "c"]), ["a", "b", "c"]);
    assert_eq!(merge(&[], &["b", "a"]), ["b", "a"]);
    assert_eq!(merge(&["x", "a"], &["a", "b"]), ["x", "a", "b"]);
}

#[test]
fn times_do_not_tell_owners_apart() {
    let entry = |time: &str, field: &str| {
        json!([{"manager": "a", "operation": "Update", "apiVersion": "v1", "time": time,
            "fieldsType": "FieldsV1", "fieldsV1": {field: {}}}])
    };
    let (now, then) = ("2026-01-01T00:00:00Z", "2025-01-01T00:00:00Z");
    assert!(same_managers(
        Some(&entry(now, "f:a")),
        Some(&entry(then, "f:a"))
    ));
    assert!(!same_managers(
        Some(&entry(now, "f:a")),
        Some(&entry(now, "f:b"))
    ));
    let read = Managers::read(Some(&entry(now, "f:a")));
    assert_eq!(read.write(), entry(now, "f:a"));
}

fn element() -> impl Strategy<Value = Element> {
    prop_oneof![
        "[a-z.]{1,6}".prop_map(Element::Field),
        "[a-z\"\\\\]{0,3}".prop_map(|text| Element::Value(json!(text).to_string())),
        (-3..9i64).prop_map(Element::Index),
        ("[a-y]{1,3}", any::<i32>(), "[a-z:{]{0,4}").prop_map(|(name, number, text)| {
            let mut key = vec![
                (name, number.to_string()),
                ("zz".into(), json!(text).to_string()),
            ];
            key.sort();
            Element::Key(key)
        }),
    ]
}

fn set() -> impl Strategy<Value = Set> {
    prop::collection::vec(prop::collection::vec(element(), 1..4), 0..8).prop_map(|paths| {
        let mut set = Set::default();
        paths.iter().for_each(|path| set.insert(path));
        set
    })
}

/// Config maps with few keys and values, so that they overlap.
fn config() -> impl Strategy<Value = Value> {
    let map = || prop::collection::btree_map("[a-c]", "[12]", 0..3);
    (map(), map()).prop_map(|(data, labels)| json!({"data": data, "metadata": {"labels": labels}}))
}

proptest! {
    #[test]
    fn sets_survive_their_encoding(set in set()) {
        prop_assert_eq!(from_fields_v1(&to_fields_v1(&set)).unwrap().paths(), set.paths());
    }

    #[test]
    fn sets_obey_their_laws(a in set(), b in set()) {
        let union = a.union(&b);
        prop_assert!(a.paths().iter().chain(&b.paths()).all(|path| union.has(path)));
        let (both, rest) = (a.intersection(&b), a.difference(&b));
        for path in a.paths() {
            prop_assert_eq!(both.has(&path), b.has(&path));
            prop_assert_eq!(rest.has(&path), !b.has(&path));
        }
        prop_assert!(a.difference(&a).is_empty());
    }

    #[test]
    fn applying_twice_is_applying_once(first in config(), second in config()) {
        let mut map = Cluster::new("ConfigMap");
        map.apply("a", first, true).unwrap();
        map.apply("b", second.clone(), true).unwrap();
        let before = map.object.clone();
        map.apply("b", second, true).unwrap();
        prop_assert_eq!(&map.object, &before);
    }

    #[test]
    fn what_nobody_owns_is_gone(first in config(), second in config(), third in config()) {
        let mut map = Cluster::new("ConfigMap");
        map.apply("a", first, true).unwrap();
        map.apply("b", second, true).unwrap();
        map.apply("a", third.clone(), true).unwrap();
        let object = map.object.clone().unwrap();
        let managers = Managers::read(object.pointer("/metadata/managedFields"));
        for field in ["data", "metadata/labels"] {
            let there = object.pointer(&format!("/{field}")).and_then(Value::as_object);
            for name in there.into_iter().flat_map(|map| map.keys()) {
                let mut path: Vec<_> = field.split('/').map(Element::field).collect();
                path.push(Element::field(name));
                prop_assert!(managers.iter().any(|(_, _, entry)| entry.set.has(&path)), "{}", name);
            }
            let said = third.pointer(&format!("/{field}")).and_then(Value::as_object).unwrap();
            for (name, value) in said {
                prop_assert_eq!(there.and_then(|map| map.get(name)), Some(value));
            }
        }
    }

    #[test]
    fn anything_can_be_compared_and_merged(text in "\\PC{0,40}", at in 0usize..4) {
        let odd = [json!(text), json!([text]), json!({"name": text}), json!([{"name": {}}, null])];
        let object = json!({"spec": odd[at], "metadata": {"finalizers": odd[(at + 1) % 4]}});
        let other = json!({"spec": {"containers": odd[at]}, "metadata": odd[(at + 2) % 4]});
        let typed = typed("Pod");
        let _ = typed.compare(&object, &other);
        let merged = typed.merge(&object, &other);
        let set = typed.field_set(&merged);
        let _ = typed.remove(&merged, &set);
    }
}
