//! Throw-away network namespaces for tests: a host, pods, somebody outside; and CNI plugins, ours or
//! the reference ones, called in them as a runtime calls them.
//!
//! Nothing here changes the namespace that the test program was started in: [`Lab::new`] moves the
//! calling thread into a fresh one and refuses to go on where that did not happen.

mod links;
mod talk;

use std::cell::Cell;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use keelson_netlink::route::link::{self, Link, NewVeth};
use keelson_netlink::{Cidr, Message, NetNs};
use nix::sched::{CloneFlags, unshare};
use serde_json::{Value, json};

pub use links::{add_route, addresses, find_link, has_vlan_filtering, links, route, set_addresses};
pub use talk::{Host, Place, tcp, tcp_soon, udp, udp_socket};

const REFERENCE: &str = "/usr/lib/cni";

/// Which plugins a case runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// Ours.
    Ours,
    /// The reference plugins: a case that fails on them is a wrong case.
    Reference,
}

/// A folder of plugins.
#[derive(Debug)]
pub struct Plugins {
    folder: PathBuf,
    _links: Option<tempfile::TempDir>,
}

impl Plugins {
    /// The plugins of a suite. `ours` is the program that answers to their names, unless
    /// `KEELSON_TEST_CNI_BIN` names a folder; `KEELSON_TEST_GO_CNI_BIN` is the reference's.
    ///
    /// # Panics
    /// Where the reference plugins are not installed.
    #[must_use]
    pub fn of(suite: Suite, ours: &str) -> Self {
        let variable = match suite {
            Suite::Ours => "KEELSON_TEST_CNI_BIN",
            Suite::Reference => "KEELSON_TEST_GO_CNI_BIN",
        };
        if let Some(folder) = std::env::var_os(variable) {
            return Self {
                folder: folder.into(),
                _links: None,
            };
        }
        if suite == Suite::Reference {
            assert!(
                Path::new(REFERENCE).join("bridge").exists(),
                "install containernetworking-plugins or set {variable}"
            );
            return Self {
                folder: REFERENCE.into(),
                _links: None,
            };
        }
        let links = tempfile::tempdir().expect("temporary folder");
        for name in keelson_cni::PLUGINS {
            symlink(ours, links.path().join(name)).expect("link plugin");
        }
        Self {
            folder: links.path().to_owned(),
            _links: Some(links),
        }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// A network namespace that lives as long as this value.
#[derive(Debug)]
pub struct Namespace {
    path: PathBuf,
    ns: NetNs,
    home: NetNs,
    keeper: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

impl Namespace {
    fn new(home_path: &Path) -> Self {
        let (ready, made) = mpsc::channel();
        let (end, wait) = mpsc::channel::<()>();
        let keeper = thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("make a network namespace");
            let tid = nix::unistd::gettid();
            let path = format!("/proc/{}/task/{tid}/ns/net", std::process::id());
            ready.send(path).expect("report");
            let _ = wait.recv();
        });
        let path = PathBuf::from(made.recv().expect("namespace"));
        Self {
            ns: NetNs::open(&path).expect("open namespace"),
            home: NetNs::open(home_path).expect("open home"),
            path,
            keeper: Some((end, keeper)),
        }
    }

    /// Where it can be opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Does something inside.
    pub fn inside<T>(&self, act: impl FnOnce() -> T) -> T {
        self.ns.run(&self.home, act).expect("enter namespace")
    }

    /// One route request inside; the objects it answered.
    pub fn route(&self, message: Message) -> Vec<Message> {
        self.inside(|| route(message))
    }

    /// A link inside by name.
    #[must_use]
    pub fn link(&self, name: &str) -> Option<Link> {
        self.inside(|| find_link(name))
    }

    /// Whether a link inside has an address.
    #[must_use]
    pub fn has_address(&self, name: &str, cidr: &str) -> bool {
        self.inside(|| addresses(name).contains(&cidr.parse().expect("cidr")))
    }

    /// Takes the namespace away, as when a container dies.
    pub fn end(mut self) {
        if let Some((end, keeper)) = self.keeper.take() {
            drop(end);
            keeper.join().expect("keeper of a namespace");
        }
    }
}

/// A host in a namespace of its own, on the calling thread.
#[derive(Debug)]
pub struct Lab {
    home: PathBuf,
    plugins: Plugins,
    data: tempfile::TempDir,
    serial: Cell<u32>,
}

impl Lab {
    /// Moves the calling thread into a fresh namespace, which becomes the host.
    ///
    /// # Panics
    /// Without root, or where the thread is still in the namespace it was in.
    #[must_use]
    pub fn new(suite: Suite, ours: &str) -> Self {
        let before = NetNs::current().expect("own namespace");
        unshare(CloneFlags::CLONE_NEWNET).expect("make a network namespace: needs root");
        let now = NetNs::current().expect("own namespace");
        assert!(
            !now.is_same(&before).expect("compare namespaces"),
            "still in the machine's own network namespace"
        );
        route(link::set_up(1, true));
        let tid = nix::unistd::gettid();
        Self {
            home: format!("/proc/{}/task/{tid}/ns/net", std::process::id()).into(),
            plugins: Plugins::of(suite, ours),
            data: tempfile::tempdir().expect("temporary folder"),
            serial: Cell::new(0),
        }
    }

    /// A fresh namespace for a pod.
    #[must_use]
    pub fn namespace(&self) -> Namespace {
        Namespace::new(&self.home)
    }

    /// Folder of leases.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// The plugins' folder.
    #[must_use]
    pub fn plugins(&self) -> &Path {
        self.plugins.folder()
    }

    /// Somebody outside: 192.0.2.2 and 2001:db8::2 on a cable to the host's .1 and ::1, with no route
    /// to any pod.
    #[must_use]
    pub fn outside(&self) -> Namespace {
        let other = self.namespace();
        let file = NetNs::open(other.path()).expect("open namespace");
        route(link::create_veth(&NewVeth {
            name: "uplink".into(),
            mac: None,
            master: None,
            mtu: None,
            peer_name: "cable".into(),
            peer_mac: None,
            peer_namespace: Some(file.descriptor()),
        }));
        set_addresses("uplink", &["192.0.2.1/24", "2001:db8::1/64"]);
        other.inside(|| set_addresses("cable", &["192.0.2.2/24", "2001:db8::2/64"]));
        other
    }

    /// A bridge configuration with host-local, `extra` merged in.
    #[must_use]
    pub fn bridge(&self, extra: &Value) -> Value {
        let mut conf = json!({
            "cniVersion": "1.0.0", "name": "net", "type": "bridge", "bridge": "br0",
            "isDefaultGateway": true,
            "ipam": {"type": "host-local", "dataDir": self.data(), "ranges": [
                [{"subnet": "10.9.0.0/24"}], [{"subnet": "fd09::/64"}]]}
        });
        merge(&mut conf, extra);
        conf
    }

    /// Calls a plugin.
    #[must_use]
    pub fn call(&self, command: &str, conf: &Value, pod: Option<(&str, &Path)>) -> Reply {
        let plugin = conf["type"].as_str().expect("type");
        self.call_with(plugin, command, conf, pod, &[])
    }

    /// Calls a plugin with more in its environment.
    #[must_use]
    pub fn call_with(
        &self,
        plugin: &str,
        command: &str,
        conf: &Value,
        pod: Option<(&str, &Path)>,
        env: &[(&str, &str)],
    ) -> Reply {
        let mut process = self.process(plugin, command, pod);
        process.envs(env.iter().copied());
        let mut child = process.spawn().expect("start plugin");
        let mut stdin = child.stdin.take().expect("stdin");
        let _ = stdin.write_all(conf.to_string().as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("plugin ends");
        Reply {
            ok: output.status.success(),
            value: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
            text: String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr),
        }
    }

    /// The process of a call, not started yet.
    #[must_use]
    pub fn process(&self, plugin: &str, command: &str, pod: Option<(&str, &Path)>) -> Command {
        let mut process = Command::new(self.plugins().join(plugin));
        process
            .env("CNI_COMMAND", command)
            .env("CNI_PATH", self.plugins())
            .env("CNI_IFNAME", "eth0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some((id, namespace)) = pod {
            process
                .env("CNI_CONTAINERID", id)
                .env("CNI_NETNS", namespace);
        }
        process
    }

    /// A new pod, attached; its result is in [`Pod::result`].
    ///
    /// # Panics
    /// When ADD fails.
    #[must_use]
    pub fn pod(&self, conf: &Value) -> Pod {
        self.serial.set(self.serial.get() + 1);
        let id = format!("pod{}", self.serial.get());
        let namespace = self.namespace();
        let reply = self.call("ADD", conf, Some((&id, namespace.path())));
        assert!(reply.ok, "ADD: {}", reply.text);
        Pod {
            id,
            namespace,
            result: reply.value,
        }
    }

    /// A command about a pod that has to succeed.
    ///
    /// # Panics
    /// When it fails.
    pub fn succeeds(&self, command: &str, conf: &Value, pod: &Pod) {
        let reply = self.about(command, conf, pod);
        assert!(reply.ok, "{command}: {}", reply.text);
    }

    /// A command about a pod, with its result as prevResult.
    #[must_use]
    pub fn about(&self, command: &str, conf: &Value, pod: &Pod) -> Reply {
        let mut conf = conf.clone();
        conf["prevResult"] = pod.result.clone();
        self.call(command, &conf, Some((&pod.id, pod.namespace.path())))
    }
}

/// What a plugin answered.
#[derive(Debug)]
pub struct Reply {
    /// Whether it succeeded.
    pub ok: bool,
    /// Its output, null where it is no JSON.
    pub value: Value,
    /// Everything it printed.
    pub text: String,
}

/// An attached pod.
#[derive(Debug)]
pub struct Pod {
    /// Container id.
    pub id: String,
    /// Its namespace.
    pub namespace: Namespace,
    /// The result of its ADD.
    pub result: Value,
}

impl Pod {
    /// Its address of a family.
    ///
    /// # Panics
    /// Where it has none.
    #[must_use]
    pub fn addr(&self, v6: bool) -> IpAddr {
        self.cidr(v6).addr
    }

    /// Its address of a family with the prefix.
    ///
    /// # Panics
    /// Where it has none.
    #[must_use]
    pub fn cidr(&self, v6: bool) -> Cidr {
        let ips = self.result["ips"].as_array().expect("ips");
        let all = ips.iter().map(|ip| {
            ip["address"]
                .as_str()
                .expect("address")
                .parse()
                .expect("cidr")
        });
        all.into_iter()
            .find(|cidr: &Cidr| cidr.is_v6() == v6)
            .expect("an address of the family")
    }

    /// Name of the host's end.
    ///
    /// # Panics
    /// Where the result does not say.
    #[must_use]
    pub fn host_end(&self) -> &str {
        let name = &self.result["interfaces"][1]["name"];
        name.as_str().expect("host interface")
    }
}

/// What `nft list ruleset` shows of elements, to see whether something is left.
///
/// # Panics
/// Where nft is not installed.
#[must_use]
pub fn ruleset() -> String {
    let output = Command::new("nft").args(["list", "ruleset"]).output();
    String::from_utf8_lossy(&output.expect("nft").stdout).into_owned()
}

/// Puts the fields of `extra` over those of `base`, objects field by field.
pub fn merge(base: &mut Value, extra: &Value) {
    match (base, extra) {
        (Value::Object(base), Value::Object(extra)) => {
            for (key, value) in extra {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, extra) => *base = extra.clone(),
    }
}

/// Makes two tests of each case: on our plugins, and on the reference's to see that it is right.
#[macro_export]
macro_rules! on_both {
    ($($case:ident),* $(,)?) => {
        mod ours {
            $(#[test]
            #[ignore = "needs root: make test"]
            fn $case() {
                super::$case(&super::lab($crate::netns::Suite::Ours));
            })*
        }
        mod reference {
            $(#[test]
            #[ignore = "needs root: make test"]
            fn $case() {
                super::$case(&super::lab($crate::netns::Suite::Reference));
            })*
        }
    };
}

/// Makes a test of each case, on our plugins alone: the reference does not do that.
#[macro_export]
macro_rules! on_ours {
    ($($case:ident),* $(,)?) => {
        mod ours_alone {
            $(#[test]
            #[ignore = "needs root: make test"]
            fn $case() {
                super::$case(&super::lab($crate::netns::Suite::Ours));
            })*
        }
    };
}
