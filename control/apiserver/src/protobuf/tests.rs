//! Bodies written by hand, read.

use proptest::prelude::*;

use super::*;

/// A message written by hand: fields with their bytes.
fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2, u8::try_from(content.len()).unwrap()];
    out.extend_from_slice(content);
    out
}

fn varint(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

fn body(version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let meta = [bytes(1, version.as_bytes()), bytes(2, kind.as_bytes())].concat();
    [MAGIC.to_vec(), bytes(1, &meta), bytes(2, raw)].concat()
}

#[test]
fn a_config_map_is_read() {
    let metadata = [bytes(1, b"one"), bytes(2, b""), bytes(8, b"")].concat();
    let pair = [bytes(1, b"a"), bytes(2, b"1")].concat();
    let raw = [bytes(1, &metadata), bytes(2, &pair)].concat();
    let found = decode(&body("v1", "ConfigMap", &raw)).unwrap();
    let expected = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "one"}, "data": {"a": "1"}});
    assert_eq!(found, expected);
}

#[test]
fn zeros_are_kept_where_they_mean_something() {
    let spec = [varint(1, 0), varint(5, 0)].concat();
    let found = decode(&body("apps/v1", "Deployment", &bytes(2, &spec))).unwrap();
    assert_eq!(found["spec"], json!({"replicas": 0}));
}

#[test]
fn messages_that_json_flattens() {
    let source = bytes(2, &bytes(1, b"Memory"));
    let volume = [bytes(1, b"v"), bytes(2, &source)].concat();
    let found = decode(&body("v1", "Pod", &bytes(2, &bytes(1, &volume)))).unwrap();
    assert_eq!(
        found["spec"]["volumes"],
        json!([{"name": "v", "emptyDir": {"medium": "Memory"}}])
    );
}

#[test]
fn times_quantities_and_ports() {
    let time = [varint(1, 60)].concat();
    let metadata = bytes(8, &time);
    let port = [
        varint(3, 80),
        bytes(4, &[varint(1, 1), bytes(3, b"web")].concat()),
    ]
    .concat();
    let raw = [bytes(1, &metadata), bytes(2, &bytes(1, &port))].concat();
    let found = decode(&body("v1", "Service", &raw)).unwrap();
    assert_eq!(
        found["metadata"]["creationTimestamp"],
        "1970-01-01T00:01:00Z"
    );
    assert_eq!(
        found["spec"]["ports"],
        json!([{"port": 80, "targetPort": "web"}])
    );
}

#[test]
fn what_is_no_object_is_refused() {
    assert_eq!(decode(b"{}"), Err(ProtobufError::Magic));
    assert!(matches!(
        decode(&body("v1", "Nothing", b"")),
        Err(ProtobufError::Type(_))
    ));
    assert_eq!(
        decode(&body("v1", "Pod", &[0x0a, 9])),
        Err(ProtobufError::Short)
    );
}

/// Every kind's sample object, in protobuf and in JSON.
#[test]
#[ignore = "needs upstream's sources: make test"]
fn samples_say_the_same_in_both_forms() {
    let root = std::env::var("KEELSON_GO_SOURCES").expect("KEELSON_GO_SOURCES");
    let samples = std::path::Path::new(&root).join("k8s.io/api/testdata/HEAD");
    let mut seen = 0;
    for row in resource_table::builtin() {
        let group = if row.group.is_empty() {
            "core"
        } else {
            &row.group
        };
        let name = format!("{group}.{}.{}", row.version, row.kind);
        let read = |ending| std::fs::read(samples.join(format!("{name}.{ending}")));
        let (Ok(packed), Ok(plain)) = (read("pb"), read("json")) else {
            continue;
        };
        let plain: Value = serde_json::from_slice(&plain).unwrap();
        let mut found = decode(&packed).unwrap_or_else(|error| panic!("{name}: {error}"));
        // What JSON has as it was written, protobuf has as text.
        let node = Schema::builtin().named(&row.type_name).unwrap();
        let findings = keelson_schema::decode::conform(Schema::builtin(), node, &mut found);
        assert_eq!(findings, Ok(vec![]), "{name}");
        assert_eq!(found, plain, "{name}");
        seen += 1;
    }
    assert!(seen > 50, "only {seen} samples found");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(raw: Vec<u8>) {
        let _ = decode(&[MAGIC, &raw].concat());
        let mut raw = raw;
        raw.truncate(100);
        let _ = decode(&body("v1", "Pod", &raw));
    }
}
