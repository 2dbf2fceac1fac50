//! The files that `kubeadm join` leaves on a machine drive this kubelet unchanged: the first
//! certificate by a bootstrap token, the server's by a request that a human approves.

use keelson_tests::assert_eventually;
use keelson_tests::cluster::{Cluster, address};
use keelson_tests::leftovers;
use keelson_tests::node::{IMAGE, Node};
use keelson_tests::requires;
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Lines of `10-kubeadm.conf` as the package of kubeadm 1.36 has them.
const DROP_IN: &str = r#"
[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
"#;

/// `config.yaml`: every field that kubeadm writes, and below the line what an administrator adds
/// on a machine without systemd.
fn config(socket: &Path, cgroup: &str) -> String {
    format!(
        r#"apiVersion: kubelet.config.k8s.io/v1beta1
authentication:
  anonymous:
    enabled: false
  webhook:
    cacheTTL: 0s
    enabled: true
  x509:
    clientCAFile: /etc/kubernetes/pki/ca.crt
authorization:
  mode: Webhook
  webhook:
    cacheAuthorizedTTL: 0s
    cacheUnauthorizedTTL: 0s
cgroupDriver: cgroupfs
clusterDNS:
- 10.96.0.10
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://{socket}
cpuManagerReconcilePeriod: 0s
crashLoopBackOff: {{}}
evictionPressureTransitionPeriod: 0s
fileCheckFrequency: 0s
healthzBindAddress: 127.0.0.1
healthzPort: 10248
httpCheckFrequency: 0s
imageMaximumGCAge: 0s
imageMinimumGCAge: 0s
kind: KubeletConfiguration
logging:
  flushFrequency: 0
  options:
    json:
      infoBufferSize: "0"
    text:
      infoBufferSize: "0"
  verbosity: 0
memorySwap: {{}}
nodeStatusReportFrequency: 0s
nodeStatusUpdateFrequency: 0s
rotateCertificates: true
runtimeRequestTimeout: 0s
shutdownGracePeriod: 0s
shutdownGracePeriodCriticalPods: 0s
staticPodPath: /etc/kubernetes/manifests
streamingConnectionIdleTimeout: 0s
syncFrequency: 0s
volumeStatsAggPeriod: 0s
# An administrator's.
serverTLSBootstrap: true
failCgroupV1: false
failSwapOn: false
cgroupRoot: {cgroup}
evictionHard:
  memory.available: 100Mi
"#,
        socket = socket.display()
    )
}

/// Gives the namespace folders of its own over these, with what was in them.
fn lay_over(node: &Node, folder: &Path) {
    let folder = folder.to_owned();
    node.namespace().run(move || {
        let mount = |args: &[&str]| {
            let output = Command::new("mount").args(args).output();
            let output = output.expect("mount runs");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "mount {}: {said}", args.join(" "));
        };
        let text = folder.to_str().expect("a plain path");
        mount(&["-t", "tmpfs", "tmpfs", text]);
        for (number, over) in ["/etc", "/var/lib", "/var/log"].into_iter().enumerate() {
            let side = |name: &str| {
                let path = folder.join(format!("{name}{number}"));
                fs::create_dir(&path).expect("a folder");
                path.display().to_string()
            };
            let options = format!(
                "lowerdir={over},upperdir={},workdir={}",
                side("upper"),
                side("work")
            );
            mount(&["-t", "overlay", "overlay", "-o", &options, over]);
        }
    });
}

/// Writes files as the node sees them.
fn write(node: &Node, files: Vec<(&'static str, String)>) {
    node.namespace().run(move || {
        for (path, text) in files {
            fs::create_dir_all(Path::new(path).parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        fs::create_dir_all("/etc/kubernetes/manifests").expect("a folder");
    });
}

fn read(node: &Node, path: &'static str) -> Option<String> {
    node.namespace().run(move || fs::read_to_string(path).ok())
}

/// The words of the command that systemd would run.
fn command_line(node: &Node) -> Vec<String> {
    let mut known = std::collections::BTreeMap::new();
    let mut set = |assignment: &str| {
        let (name, value) = assignment.split_once('=').expect("NAME=VALUE");
        known.insert(format!("${name}"), value.trim_matches('"').to_owned());
    };
    for line in DROP_IN.lines() {
        if let Some(rest) = line.strip_prefix("Environment=") {
            set(rest.trim_matches('"'));
        }
    }
    for path in ["/var/lib/kubelet/kubeadm-flags.env", "/etc/default/kubelet"] {
        let text = read(node, path).expect("a file of variables");
        text.lines().for_each(&mut set);
    }
    let exec = DROP_IN.lines().rfind(|line| line.starts_with("ExecStart="));
    let words = exec.expect("a command").split(' ').skip(1);
    let words = words.flat_map(|word| known[word].split_whitespace());
    words.map(str::to_owned).collect()
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended is what we want.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(node: &Node, folder: &Path) -> (Running, PathBuf) {
    let program = folder.join("kubelet");
    symlink(requires::keelson(), &program).expect("a name");
    let log = folder.join("kubelet.log");
    let file = fs::File::create(&log).expect("a log");
    let errors = file.try_clone().expect("a log");
    let mut command = Command::new(program);
    command
        .args(command_line(node))
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(errors);
    let child = node
        .namespace()
        .run(move || command.spawn().expect("the kubelet starts"));
    (Running(child), log)
}

#[test]
#[ignore = "needs root: make test"]
fn the_files_that_kubeadm_writes_drive_the_kubelet() {
    let cluster = Cluster::start();
    let node = Node::prepare();
    cluster.lan.plug(node.namespace(), 2);
    // Its containerd and network are what a machine has before kubeadm joins it.
    node.start_prepared();
    node.kill("kubelet");
    let work = tempfile::tempdir_in("/var/tmp").expect("a folder");
    let over = work.path().join("over");
    fs::create_dir(&over).expect("a folder");
    lay_over(&node, &over);

    let pki = cluster.first().layout.pki();
    let ca = fs::read_to_string(pki.join("ca.crt")).expect("the authority");
    let token = cluster.first().keelson(&["token", "create"]);
    let token = String::from_utf8_lossy(&token.stdout).trim().to_owned();
    let server = format!("https://{}:6443", address(1));
    let bootstrap = json!({
        "apiVersion": "v1", "kind": "Config",
        "clusters": [{ "name": "kubernetes", "cluster": {
            "server": server, "certificate-authority": "/etc/kubernetes/pki/ca.crt" } }],
        "contexts": [{ "name": "c", "context": { "cluster": "kubernetes", "user": "tls-bootstrap-token-user" } }],
        "current-context": "c",
        "users": [{ "name": "tls-bootstrap-token-user", "user": { "token": token } }],
    });
    let layout = &node.layout;
    let extra = format!(
        "KUBELET_EXTRA_ARGS=--status-socket={} --state-dir={}\n",
        layout.kubelet_socket().display(),
        layout.kubelet_state().display()
    );
    let flags = format!(
        "KUBELET_KUBEADM_ARGS=\"--hostname-override=machine-2 --node-ip={}\"\n",
        address(2)
    );
    write(
        &node,
        vec![
            ("/etc/kubernetes/pki/ca.crt", ca),
            (
                "/etc/kubernetes/bootstrap-kubelet.conf",
                bootstrap.to_string(),
            ),
            (
                "/var/lib/kubelet/config.yaml",
                config(&layout.containerd_socket(), &layout.cgroup),
            ),
            ("/var/lib/kubelet/kubeadm-flags.env", flags),
            ("/etc/default/kubelet", extra),
        ],
    );
    let (kubelet, log) = start(&node, work.path());
    let told = || fs::read_to_string(&log).unwrap_or_default();
    works(&cluster, &node, &told);
    drop(kubelet);
    node.down();
    let left = leftovers::cgroups(&node.layout.cgroup);
    assert!(left.is_empty(), "{left:#?}");
}

fn works(cluster: &Cluster, node: &Node, told: &dyn Fn() -> String) {
    let ready = || {
        let wait = [
            "wait",
            "node/machine-2",
            "--for=condition=Ready",
            "--timeout=10s",
        ];
        cluster.try_kubectl(&wait).is_ok()
    };
    assert_eventually!(120, ready(), "the node is ready: {}", told());
    let config = read(node, "/etc/kubernetes/kubelet.conf").expect("the kubelet's own kubeconfig");
    assert!(
        config.contains("/var/lib/kubelet/pki/kubelet-client-current.pem"),
        "{config}"
    );
    let certificate = read(node, "/var/lib/kubelet/pki/kubelet-client-current.pem");
    assert!(certificate.is_some_and(|pem| pem.contains("BEGIN CERTIFICATE")));

    // Nobody approves a server's certificate by itself.
    let pending = || {
        let all = cluster.object(&["csr"]);
        let all = all["items"].as_array().cloned().unwrap_or_default();
        let one = all
            .into_iter()
            .find(|one| one["spec"]["signerName"] == "kubernetes.io/kubelet-serving");
        one.and_then(|one| one["metadata"]["name"].as_str().map(str::to_owned))
    };
    assert_eventually!(
        60,
        pending().is_some(),
        "a request for the server: {}",
        told()
    );
    cluster.kubectl(&["certificate", "approve", &pending().expect("just seen")]);
    let pki = "/var/lib/kubelet/pki/kubelet-server-current.pem";
    let link = || {
        node.namespace()
            .run(move || fs::read_link(pki).unwrap_or_default())
    };
    let signed =
        || !link().as_os_str().is_empty() && !link().to_string_lossy().contains("makeshift");
    assert_eventually!(
        60,
        signed(),
        "the server's certificate is in use: {}",
        told()
    );

    cluster.apply(&json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "box", "namespace": "default" },
        "spec": {
            "nodeName": "machine-2",
            "terminationGracePeriodSeconds": 1,
            "containers": [{ "name": "main", "image": IMAGE,
                "command": ["sh", "-c", "cat /var/run/secrets/kubernetes.io/serviceaccount/namespace; echo; exec sleep 100000"] }],
        },
    }));
    cluster.kubectl(&["wait", "pod/box", "--for=condition=Ready", "--timeout=90s"]);
    let log = || cluster.try_kubectl(&["logs", "box"]);
    assert_eventually!(30, log() == Ok("default\n".to_owned()), "{:?}", log());
    assert_eq!(cluster.kubectl(&["exec", "box", "--", "hostname"]), "box\n");
    cluster.kubectl(&["delete", "pod", "box", "--timeout=60s"]);
}
