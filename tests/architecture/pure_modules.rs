//! Modules that decide must not act: they may not name tokio, nix, files, sockets, gRPC or clocks.

use super::source::{self, line_of};

/// Files and folders that hold decisions only. A name without `.rs` stands for the file and for
/// the folder beside it.
const PURE: &[&str] = &[
    "cni/src/plan",
    "cni/src/ipam/range",
    "cni/src/ipam/allocator",
    "control/api/src",
    "control/apiserver/src/admit",
    "control/apiserver/src/auth/access_review",
    "control/apiserver/src/auth/bootstrap_policy",
    "control/apiserver/src/auth/bootstrap_token",
    "control/apiserver/src/auth/escalation",
    "control/apiserver/src/auth/node",
    "control/apiserver/src/auth/rbac",
    "control/apiserver/src/der",
    "control/apiserver/src/failure",
    "control/apiserver/src/object",
    "control/apiserver/src/registry/metadata",
    "control/apiserver/src/route",
    "control/apiserver/src/selection",
    "control/client/src/backoff",
    "control/client/src/cache/step",
    "control/client/src/events/correlate",
    "control/client/src/kubeconfig/file",
    "control/client/src/kubeconfig/resolve",
    "control/client/src/leader/step",
    "control/client/src/path",
    "control/client/src/queue/core",
    "control/client/src/request",
    "control/controllers/src/bootstrap_token",
    "control/controllers/src/certificate/clean",
    "control/controllers/src/certificate/der",
    "control/controllers/src/certificate/issue",
    "control/controllers/src/certificate/request",
    "control/controllers/src/certificate/signer",
    "control/controllers/src/claim",
    "control/controllers/src/cluster_role_aggregation",
    "control/controllers/src/controller",
    "control/controllers/src/cron_job",
    "control/controllers/src/daemon_set",
    "control/controllers/src/deployment",
    "control/controllers/src/disruption/budget",
    "control/controllers/src/endpoint_slice",
    "control/controllers/src/endpoint_slice_mirroring",
    "control/controllers/src/endpoints",
    "control/controllers/src/execute/name",
    "control/controllers/src/garbage_collector/decide",
    "control/controllers/src/garbage_collector/tracked",
    "control/controllers/src/job",
    "control/controllers/src/kinds",
    "control/controllers/src/ledger",
    "control/controllers/src/namespace/progress",
    "control/controllers/src/node_ipam",
    "control/controllers/src/node_lifecycle",
    "control/controllers/src/pod_gc",
    "control/controllers/src/pod_template",
    "control/controllers/src/registry",
    "control/controllers/src/replica_set",
    "control/controllers/src/resource_quota/count",
    "control/controllers/src/revisions",
    "control/controllers/src/service_account",
    "control/controllers/src/service_cidr",
    "control/controllers/src/stateful_set",
    "control/controllers/src/taint_eviction",
    "control/controllers/src/ttl",
    "control/controllers/src/ttl_after_finished",
    "control/controllers/src/volume_binder",
    "control/controllers/src/volume_protection",
    "control/controllers/src/write",
    "control/scheduler/src/cluster",
    "control/scheduler/src/config/fields",
    "control/scheduler/src/config/settle",
    "control/scheduler/src/framework",
    "control/scheduler/src/hints",
    "control/scheduler/src/intern",
    "control/scheduler/src/metrics",
    "control/scheduler/src/model",
    "control/scheduler/src/plugins",
    "control/scheduler/src/preempt",
    "control/scheduler/src/profile",
    "control/scheduler/src/queue",
    "control/scheduler/src/registry",
    "control/scheduler/src/schedule",
    "control/scheduler/src/state",
    "control/scheduler/src/wire",
    "control/schema/src",
    "kubelet/src/admit",
    "kubelet/src/cgroup/plan",
    "kubelet/src/config/drop_in",
    "kubelet/src/config/fields",
    "kubelet/src/config/gates",
    "kubelet/src/config/load",
    "kubelet/src/config/support",
    "kubelet/src/config/validate",
    "kubelet/src/evict",
    "kubelet/src/join/api_pods",
    "kubelet/src/join/mirror",
    "kubelet/src/join/node_object",
    "kubelet/src/join/status_patch",
    "kubelet/src/model",
    "kubelet/src/pod_source/identity",
    "kubelet/src/pod_source/ledger",
    "kubelet/src/pod_source/manifest",
    "kubelet/src/pod_source/merge",
    "kubelet/src/pod_source/references",
    "kubelet/src/reconcile",
    "kubelet/src/spec",
    "kubelet/src/status",
    "kubelet/src/user_namespaces/ranges",
    "kubelet/src/user_namespaces/record",
    "kubelet/src/volume/mountinfo",
    "kubelet/src/volume/plan",
    "proxy/src/backend/iptables/names",
    "proxy/src/backend/iptables/render",
    "proxy/src/backend/iptables/script",
    "proxy/src/backend/nftables/affinity",
    "proxy/src/backend/nftables/layout",
    "proxy/src/backend/nftables/mirror",
    "proxy/src/backend/nftables/render",
    "proxy/src/backend/nftables/route",
    "proxy/src/backend/nftables/skeleton",
    "proxy/src/backend/nftables/text",
    "proxy/src/compile",
    "proxy/src/config/fields",
    "proxy/src/config/load",
    "proxy/src/conntrack/plan",
    "proxy/src/diff",
    "proxy/src/dns/answer",
    "proxy/src/dns/cache",
    "proxy/src/dns/metrics",
    "proxy/src/dns/name",
    "proxy/src/dns/resolve",
    "proxy/src/dns/settings",
    "proxy/src/dns/wire",
    "proxy/src/dns/zone",
    "proxy/src/model",
    "proxy/src/node_rules",
    "proxy/src/pod_routes/plan",
    "proxy/src/state",
    "proxy/src/wire",
    "systemd/src/cluster/credentials",
    "systemd/src/cluster/kubeconfig",
    "systemd/src/cluster/static_pods",
    "systemd/src/plan",
];

/// Words that act on the world or ask it.
const ACTS: &[&str] = &[
    "tokio::",
    "nix::",
    "rustix::",
    "libc::",
    "tonic::",
    "hyper::",
    "std::fs",
    "std::process",
    "std::env",
    "std::os::unix::net",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    "Zoned::now",
];

#[test]
fn pure_modules_do_not_act() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for file in source::all() {
        if !is_pure(&file.path) || source::is_test_file(&file.path) {
            continue;
        }
        seen += 1;
        for word in ACTS {
            let inside = |at: usize| file.code[..at].ends_with(|c: char| c.is_alphanumeric());
            let found = file.code.match_indices(word);
            for (at, _) in found.filter(|(at, _)| !inside(*at)) {
                wrong.push(format!("{}:{}: {word}", file.path, line_of(&file.code, at)));
            }
        }
    }
    assert!(
        seen >= 5,
        "only {seen} pure files found: is the list of paths out of date?"
    );
    assert!(
        wrong.is_empty(),
        "pure modules that act:\n{}",
        wrong.join("\n")
    );
}

fn is_pure(path: &str) -> bool {
    PURE.iter().any(|pure| below(pure, path))
}

fn below(pure: &str, path: &str) -> bool {
    path.strip_prefix(pure)
        .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}
