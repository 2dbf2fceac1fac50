//! The programs of a control plane and of a node: what each is told, which paths it sees, where
//! it says how it is. Pure.

use super::super::{Cluster, DOMAIN, PORT};
use super::{Part, Setting, Volume};
use crate::layout::Layout;
use serde_json::json;
use std::path::Path;

/// Where only this machine asks.
const LOOPBACK: &str = "127.0.0.1";

fn flag(name: &str, value: impl std::fmt::Display) -> String {
    format!("--{name}={value}")
}

pub(super) fn api_server(setting: &Setting<'_>) -> Part {
    let (layout, cluster) = (setting.layout, setting.cluster);
    let pki = |file: &str| layout.pki().join(file).display().to_string();
    let flags = vec![
        flag("advertise-address", cluster.address),
        flag("secure-port", PORT),
        flag("tls-cert-file", pki("apiserver.crt")),
        flag("tls-private-key-file", pki("apiserver.key")),
        flag("client-ca-file", pki("ca.crt")),
        flag(
            "kubelet-client-certificate",
            pki("apiserver-kubelet-client.crt"),
        ),
        flag("kubelet-client-key", pki("apiserver-kubelet-client.key")),
        flag("requestheader-client-ca-file", pki("front-proxy-ca.crt")),
        flag("requestheader-allowed-names", "front-proxy-client"),
        flag("requestheader-username-headers", "X-Remote-User"),
        flag("requestheader-group-headers", "X-Remote-Group"),
        flag("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
        flag(
            "service-account-issuer",
            format!("https://kubernetes.default.svc.{DOMAIN}"),
        ),
        flag("service-account-signing-key-file", pki("sa.key")),
        flag("service-account-key-file", pki("sa.pub")),
        flag("service-cluster-ip-range", cluster.services),
        flag("enable-bootstrap-token-auth", true),
        flag("authorization-mode", "Node,RBAC"),
        flag("data-dir", layout.store().display()),
    ];
    Part {
        name: "kube-apiserver",
        flags,
        health: (PORT, true, ["/livez", "/readyz"]),
        volumes: vec![
            folder("pki", &layout.pki(), false),
            folder("data", &layout.store(), true),
        ],
        credential: None,
        privileged: false,
        cpu: "250m",
    }
}

/// The port of the controllers' health and metrics.
pub(super) const CONTROLLERS: u16 = 10257;

pub(super) fn controller_manager(setting: &Setting<'_>) -> Part {
    let (layout, cluster) = (setting.layout, setting.cluster);
    let pki = |file: &str| layout.pki().join(file).display().to_string();
    let config = layout.kubeconfig("controller-manager");
    let flags = vec![
        flag("kubeconfig", config.display()),
        flag("authentication-kubeconfig", config.display()),
        flag("authorization-kubeconfig", config.display()),
        flag("bind-address", LOOPBACK),
        flag("client-ca-file", pki("ca.crt")),
        flag("root-ca-file", pki("ca.crt")),
        flag("cluster-signing-cert-file", pki("ca.crt")),
        flag("cluster-signing-key-file", pki("ca.key")),
        flag("service-account-private-key-file", pki("sa.key")),
        flag("use-service-account-credentials", true),
        flag(
            "controllers",
            "*,bootstrap-signer-controller,token-cleaner-controller",
        ),
        flag("allocate-node-cidrs", true),
        flag("cluster-cidr", cluster.pod_ranges()),
        flag("service-cluster-ip-range", cluster.services),
        flag("leader-elect", true),
    ];
    Part {
        name: "kube-controller-manager",
        flags,
        health: (CONTROLLERS, true, ["/healthz", "/healthz"]),
        volumes: vec![
            folder("pki", &layout.pki(), false),
            file("kubeconfig", &config),
        ],
        credential: Some("controller-manager"),
        privileged: false,
        cpu: "200m",
    }
}

/// The port of the scheduler's health and metrics.
pub(super) const SCHEDULER: u16 = 10259;

pub(super) fn scheduler(setting: &Setting<'_>) -> Part {
    let config = setting.layout.kubeconfig("scheduler");
    Part {
        name: "kube-scheduler",
        flags: vec![
            flag("kubeconfig", config.display()),
            flag("authentication-kubeconfig", config.display()),
            flag("authorization-kubeconfig", config.display()),
            flag("bind-address", LOOPBACK),
            flag("leader-elect", true),
        ],
        health: (SCHEDULER, true, ["/livez", "/readyz"]),
        volumes: vec![file("kubeconfig", &config)],
        credential: Some("scheduler"),
        privileged: false,
        cpu: "100m",
    }
}

/// The port of kube-proxy's health.
pub(super) const PROXY_HEALTH: u16 = 10256;

/// The port of its metrics.
pub(super) const PROXY_METRICS: u16 = 10249;

pub(super) fn proxy(setting: &Setting<'_>) -> Part {
    let config = setting.layout.proxy_config();
    Part {
        name: "kube-proxy",
        flags: vec![
            flag("config", config.display()),
            flag("cluster-dns", setting.cluster.dns()),
            flag("cluster-domain", DOMAIN),
            "--pod-routes".to_owned(),
        ],
        health: (PROXY_HEALTH, false, ["/livez", "/healthz"]),
        volumes: vec![
            file("config", &config),
            file("kubeconfig", &setting.layout.kubeconfig("kube-proxy")),
            // A worker's proxy shows the kubelet's certificate, which is replaced now and then.
            folder(
                "certificates",
                &setting.layout.kubelet_certificates(),
                false,
            ),
        ],
        credential: Some("kube-proxy"),
        privileged: true,
        cpu: "100m",
    }
}

/// The configuration of kube-proxy.
#[must_use]
pub fn proxy_config(layout: &Layout, cluster: &Cluster) -> String {
    let config = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": cluster.node,
        "clusterCIDR": cluster.pod_ranges(),
        "clientConnection": { "kubeconfig": layout.kubeconfig("kube-proxy") },
        "healthzBindAddress": format!("0.0.0.0:{PROXY_HEALTH}"),
        "metricsBindAddress": format!("{LOOPBACK}:{PROXY_METRICS}"),
    });
    format!("{config:#}\n")
}

fn folder(name: &'static str, path: &Path, writable: bool) -> Volume {
    Volume {
        name,
        path: path.to_owned(),
        kind: "DirectoryOrCreate",
        writable,
    }
}

fn file(name: &'static str, path: &Path) -> Volume {
    Volume {
        name,
        path: path.to_owned(),
        kind: "File",
        writable: false,
    }
}
