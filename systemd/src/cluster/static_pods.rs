//! The static pods that a control plane runs as, and the node's proxy. Pure.

mod parts;

pub use parts::proxy_config;

use super::Cluster;
use super::PORT;
use super::credentials::Ledger;
use crate::layout::Layout;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The repository of the image that they run: this very program. The tag tells its builds apart.
pub const REPOSITORY: &str = "localhost/keelson/keelson";

/// The program inside the image.
pub const PROGRAM: &str = "/keelson";

/// The namespace of all of them.
pub const NAMESPACE: &str = "kube-system";

/// The pods' names, in the order in which they are waited for.
pub const PODS: [&str; 4] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
];

/// The names of those that run on this machine.
#[must_use]
pub fn pods(cluster: &Cluster) -> Vec<&'static str> {
    if cluster.has_control_plane() {
        PODS.to_vec()
    } else {
        vec!["kube-proxy"]
    }
}

/// The name of the image that holds `program`: another program, another name.
#[must_use]
pub fn image(program: &[u8]) -> String {
    let digest = hex::encode(Sha256::digest(program));
    format!("{REPOSITORY}:{}", &digest[..16])
}

/// Whether an ELF program is to be loaded by another one, which our image does not hold.
#[must_use]
pub fn needs_interpreter(program: &[u8]) -> bool {
    const INTERPRETER: u32 = 3;
    let number = |at: usize, length: usize| {
        let bytes = program.get(at..at.checked_add(length)?)?;
        let value = bytes
            .iter()
            .rev()
            .fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        usize::try_from(value).ok()
    };
    let (Some(table), Some(size), Some(count)) = (number(32, 8), number(54, 2), number(56, 2))
    else {
        return false;
    };
    let kind = |row: usize| number(table.checked_add(row.checked_mul(size)?)?, 4);
    (0..count).any(|row| kind(row) == usize::try_from(INTERPRETER).ok())
}

/// TCP ports of this machine that they listen on.
#[must_use]
pub fn ports(cluster: &Cluster) -> Vec<u16> {
    let mut all = vec![parts::PROXY_HEALTH, parts::PROXY_METRICS];
    if cluster.has_control_plane() {
        all.extend([PORT, parts::CONTROLLERS, parts::SCHEDULER]);
    }
    all
}

/// What the pods are made of.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// Where everything is.
    pub layout: &'a Layout,
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The image's full name.
    pub image: &'a str,
    /// The certificates that were issued.
    pub ledger: &'a Ledger,
}

/// The manifests: the pod's name and the text, which is JSON and thereby YAML.
#[must_use]
pub fn manifests(setting: &Setting<'_>) -> Vec<(&'static str, String)> {
    let parts = [
        parts::api_server(setting),
        parts::controller_manager(setting),
        parts::scheduler(setting),
        parts::proxy(setting),
    ];
    let here = pods(setting.cluster);
    parts
        .into_iter()
        .filter(|part| here.contains(&part.name))
        .map(|part| (part.name, format!("{:#}\n", part.pod(setting))))
        .collect()
}

/// One program of the control plane.
struct Part {
    name: &'static str,
    flags: Vec<String>,
    /// Port and whether TLS is spoken there; paths of being alive and being ready.
    health: (u16, bool, [&'static str; 2]),
    volumes: Vec<Volume>,
    /// The credential that it reads once, when it starts.
    credential: Option<&'static str>,
    privileged: bool,
    cpu: &'static str,
}

/// A path of the host, at the same path in the container.
struct Volume {
    name: &'static str,
    path: std::path::PathBuf,
    kind: &'static str,
    writable: bool,
}

impl Part {
    fn pod(&self, setting: &Setting<'_>) -> Value {
        // What a program reads only when it starts: with another text the kubelet starts it anew.
        let credential = self.credential.map_or(0, |name| setting.ledger.until(name));
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": self.name,
                "namespace": NAMESPACE,
                "labels": { "component": self.name, "tier": "control-plane" },
                "annotations": { "keelson/credential-until": credential.to_string() },
            },
            "spec": {
                "hostNetwork": true,
                "priorityClassName": "system-node-critical",
                "priority": 2_000_001_000,
                "securityContext": { "seccompProfile": { "type": "RuntimeDefault" } },
                "containers": [self.container(setting)],
                "volumes": self.volumes.iter().map(|volume| json!({
                    "name": volume.name,
                    "hostPath": { "path": volume.path, "type": volume.kind },
                })).collect::<Vec<_>>(),
            },
        })
    }

    fn container(&self, setting: &Setting<'_>) -> Value {
        let command: Vec<_> = [PROGRAM, self.name]
            .into_iter()
            .map(str::to_owned)
            .chain(self.flags.iter().cloned())
            .collect();
        let (_, _, [alive, ready]) = self.health;
        json!({
            "name": self.name,
            "image": setting.image,
            "imagePullPolicy": "IfNotPresent",
            "command": command,
            "resources": { "requests": { "cpu": self.cpu } },
            "securityContext": { "privileged": self.privileged },
            "startupProbe": self.probe(alive, 1, 120),
            "livenessProbe": self.probe(alive, 10, 8),
            "readinessProbe": self.probe(ready, 1, 3),
            "volumeMounts": self.volumes.iter().map(|volume| json!({
                "name": volume.name,
                "mountPath": volume.path,
                "readOnly": !volume.writable,
            })).collect::<Vec<_>>(),
        })
    }

    fn probe(&self, path: &str, seconds: u32, failures: u32) -> Value {
        let (port, tls, _) = self.health;
        json!({
            "httpGet": {
                "host": "127.0.0.1",
                "path": path,
                "port": port,
                "scheme": if tls { "HTTPS" } else { "HTTP" },
            },
            "periodSeconds": seconds,
            "timeoutSeconds": 15,
            "failureThreshold": failures,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;
    use std::path::Path;

    fn pods(ledger: &Ledger) -> Vec<Value> {
        let layout = Layout::new(Path::new("/"));
        let cluster = example();
        let setting = Setting {
            layout: &layout,
            cluster: &cluster,
            image: "localhost/keelson/keelson:1",
            ledger,
        };
        let all = manifests(&setting);
        assert_eq!(all.iter().map(|one| one.0).collect::<Vec<_>>(), PODS);
        all.iter()
            .map(|(_, text)| serde_json::from_str(text).unwrap())
            .collect()
    }

    #[test]
    fn each_runs_our_program_on_the_hosts_network() {
        for pod in pods(&Ledger::default()) {
            let container = &pod["spec"]["containers"][0];
            assert_eq!(pod["spec"]["hostNetwork"], true);
            assert_eq!(container["command"][0], PROGRAM);
            assert_eq!(container["command"][1], pod["metadata"]["name"]);
            assert_eq!(container["image"], "localhost/keelson/keelson:1");
        }
    }

    #[test]
    fn every_path_that_a_flag_names_is_mounted() {
        for pod in pods(&Ledger::default()) {
            let container = &pod["spec"]["containers"][0];
            let mounts = container["volumeMounts"].as_array().unwrap().iter();
            let mounts: Vec<_> = mounts
                .map(|one| one["mountPath"].as_str().unwrap().to_owned())
                .collect();
            for word in container["command"].as_array().unwrap() {
                let value = word.as_str().unwrap().split_once('=');
                let Some((_, path)) = value.filter(|(_, value)| value.starts_with('/')) else {
                    continue;
                };
                assert!(
                    mounts.iter().any(|mount| path.starts_with(mount)),
                    "{word} is not in {mounts:?}"
                );
            }
        }
    }

    #[test]
    fn another_program_is_another_image() {
        assert_eq!(image(b"a"), image(b"a"));
        assert_ne!(image(b"a"), image(b"b"));
        assert!(image(b"a").starts_with("localhost/keelson/keelson:"));
    }

    #[test]
    fn a_program_that_needs_another_to_load_it_is_told() {
        let program = |kinds: &[u32]| {
            let mut elf = vec![0; 64];
            elf[32] = 64;
            elf[54] = 56;
            elf[56] = u8::try_from(kinds.len()).unwrap();
            for kind in kinds {
                elf.extend(kind.to_le_bytes());
                elf.extend([0; 52]);
            }
            elf
        };
        assert!(needs_interpreter(&program(&[1, 3])));
        assert!(!needs_interpreter(&program(&[1, 2])));
        assert!(!needs_interpreter(b"#!/bin/sh"));
    }

    #[test]
    fn a_renewed_credential_is_another_pod() {
        use super::super::credentials::Issued;
        let issued = Issued {
            what: String::new(),
            authority: String::new(),
            until: 7,
        };
        let renewed = Ledger([("kube-proxy".to_owned(), issued)].into());
        let (before, after) = (pods(&Ledger::default()), pods(&renewed));
        assert_eq!(before[0], after[0], "the server reads its files again");
        assert_ne!(before[3], after[3]);
    }
}
