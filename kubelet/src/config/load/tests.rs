//! Precedence, places of problems, and one file with all 125 fields.

use serde_json::{Value, json};

use super::{Source, resolve};
use crate::config::fields::{FIELD_NAMES, KubeletConfiguration};
use crate::config::flags::FieldSetting;

const HEAD: &str = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";

fn source(path: &str, body: &str) -> Source {
    Source {
        path: path.into(),
        text: format!("{HEAD}{body}"),
    }
}

fn flag(path: &'static str, value: Value) -> FieldSetting {
    FieldSetting {
        flag: "flag",
        path,
        value,
    }
}

fn resolved(bodies: &[&str], flags: &[FieldSetting]) -> KubeletConfiguration {
    let sources: Vec<_> = bodies.iter().map(|b| source("/etc/k/c.yaml", b)).collect();
    resolve(&sources, flags).unwrap()
}

#[test]
fn reads_a_file_with_every_field() {
    let text = include_str!("all_fields.yaml");
    let source = Source {
        path: "/etc/kubernetes/kubelet.yaml".into(),
        text: text.to_owned(),
    };
    let document = keelson_api::yaml::parse_one(text).unwrap().value;
    let config = serde_json::to_value(resolve(&[source], &[]).unwrap()).unwrap();
    let default = serde_json::to_value(KubeletConfiguration::default()).unwrap();
    for name in FIELD_NAMES {
        assert!(document.get(name).is_some(), "{name} is not in the file");
        // Forbidden, without effect, or excluded by another field of the file.
        let only_default = [
            "runOnce",
            "streamingConnectionIdleTimeout",
            "systemReservedCgroup",
            "kubeReservedCgroup",
            "enableSystemLogHandler",
            "shutdownGracePeriodByPodPriority",
        ];
        assert!(
            config[name] != default[name] || only_default.contains(name),
            "{name} kept its default"
        );
    }
}

#[test]
fn flags_win_over_drop_ins_over_the_file() {
    let file = "maxPods: 1\nport: 1\nreadOnlyPort: 1\nsystemReserved: {cpu: \"1\", memory: 1Gi}\n";
    let drop_in = "port: 2\nreadOnlyPort: 2\nsystemReserved: {cpu: \"2\"}\n";
    let got = resolved(&[file, drop_in], &[flag("readOnlyPort", json!(3))]);
    assert_eq!((got.max_pods, got.port, got.read_only_port), (1, 2, 3));
    assert_eq!(
        (
            &*got.system_reserved["cpu"],
            &*got.system_reserved["memory"]
        ),
        ("2", "1Gi")
    );
}

#[test]
fn lists_are_replaced_and_null_takes_away() {
    let got = resolved(
        &[
            "clusterDNS: [10.0.0.1]\nmaxPods: 5",
            "clusterDNS: [10.0.0.2]\nmaxPods: null",
        ],
        &[],
    );
    assert_eq!(
        (got.cluster_dns, got.max_pods),
        (vec!["10.0.0.2".to_owned()], 110)
    );
}

#[test]
fn flags_replace_maps_but_add_gates_and_parts() {
    let file = "evictionHard: {pid.available: 5%}\nfeatureGates: {EnvFiles: false}\n\
                authentication: {anonymous: {enabled: true}}\n";
    let flags = [
        flag("evictionHard", json!({"memory.available": "1Gi"})),
        flag("featureGates", json!({"MemoryQoS": true})),
        flag("authentication.webhook.enabled", json!(false)),
    ];
    let got = resolved(&[file], &flags);
    assert_eq!(got.eviction_hard.len(), 1);
    assert_eq!(got.feature_gates.len(), 2);
    assert!(got.authentication.anonymous.enabled && !got.authentication.webhook.enabled);
}

#[test]
fn zero_means_the_default_where_upstream_says_so() {
    let got = resolved(
        &["port: 0\nsyncFrequency: 0s\nmaxPods: 0\nhealthzPort: 0\naddress: ''"],
        &[],
    );
    assert_eq!((got.port, got.max_pods, got.healthz_port), (10_250, 110, 0));
    assert_eq!(
        (
            got.sync_frequency.to_string().as_str(),
            got.address.as_str()
        ),
        ("1m0s", "0.0.0.0")
    );
}

#[test]
fn defaults_follow_from_other_fields() {
    let got = resolved(
        &[
            "nodeStatusUpdateFrequency: 7s\nmaxParallelImagePulls: 4\npodPidsLimit: -9\n\
           mergeDefaultEvictionSettings: true\nevictionHard: {nodefs.available: 2%}\n",
        ],
        &[],
    );
    assert_eq!(got.node_status_report_frequency.to_string(), "7s");
    assert!(!got.serialize_image_pulls);
    assert_eq!(got.pod_pids_limit, -1);
    assert_eq!(got.eviction_hard["nodefs.available"], "2%");
    assert_eq!(got.eviction_hard["memory.available"], "100Mi");
}

#[test]
fn paths_are_relative_to_their_file() {
    let got = resolved(
        &["staticPodPath: manifests\nresolvConf: ''\ntlsCertFile: /a\ntlsPrivateKeyFile: b"],
        &[],
    );
    assert_eq!(got.static_pod_path, "/etc/k/manifests");
    assert_eq!((&*got.resolv_conf, &*got.tls_cert_file), ("", "/a"));
    assert_eq!(got.tls_private_key_file, "/etc/k/b");
}

#[test]
fn problems_name_file_line_and_field() {
    let cases = [
        (
            "port: 70000",
            "/c.yaml:3: port: 70000 must be between 1 and 65535, inclusive",
        ),
        (
            "maxPods: 1\nmaxpods: 2",
            "/c.yaml:4: maxpods: unknown field; did you mean \"maxPods\"?",
        ),
        (
            "authentication:\n  x509:\n    clientCa: x",
            "/c.yaml:5: authentication.x509.clientCa: unknown field",
        ),
        (
            "port: '1'",
            "/c.yaml:3: port: invalid type: string \"1\", expected i32",
        ),
        (
            "syncFrequency: 5",
            "/c.yaml:3: syncFrequency: invalid type: integer `5`, expected a string",
        ),
        (
            "syncFrequency: 5 m",
            "/c.yaml:3: syncFrequency: unknown unit \" m\" in duration \"5 m\": use ns, us, ms, s, m or h",
        ),
        (
            "featureGates:\n  Nope: true",
            "/c.yaml:4: featureGates.Nope: unrecognized feature gate: Nope",
        ),
        ("a: b: c", "/c.yaml:3:"),
        ("kind: Pod", "/c.yaml:3:"),
    ];
    for (body, expected) in cases {
        let blames = resolve(&[source("/c.yaml", body)], &[]).unwrap_err();
        let text = blames[0].to_string();
        assert!(text.starts_with(expected), "{body}: {text}");
    }
}

#[test]
fn problems_name_the_layer_that_said_it() {
    let sources = [source("/a", "port: 5"), source("/b", "maxPods: -1")];
    let flags = [flag("port", json!(70_000))];
    let blames = resolve(&sources, &flags).unwrap_err();
    let texts: Vec<_> = blames.iter().map(ToString::to_string).collect();
    assert!(texts[0].starts_with("--flag: port: 70000"), "{texts:?}");
    assert!(texts[1].starts_with("/b:3: maxPods: -1"), "{texts:?}");
    let wrong = Source {
        path: "/c".into(),
        text: "apiVersion: v1\nkind: Pod\n".to_owned(),
    };
    let text = resolve(&[wrong], &[]).unwrap_err()[0].to_string();
    assert!(
        text.contains("kubelet.config.k8s.io/v1beta1 KubeletConfiguration"),
        "{text}"
    );
}
