//! A node with Services in a namespace of its own, and who speaks to them: pods, the node, somebody
//! outside. Shared by the cases of every backend, wherever they run.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use keelson_proxy::backend::ipvs::Settings;
use keelson_proxy::backend::ipvs::link::other_addresses;
use keelson_proxy::backend::{Backend, Mode};
use keelson_proxy::conntrack::apply::forget_stale;
use keelson_proxy::conntrack::plan::plan;
use keelson_proxy::diff::{RuleDelta, RuleSet};
use keelson_proxy::model::NodeRules;
use keelson_tests::netns::{Lab, Namespace, Place, Pod, Suite, add_route, udp, udp_socket};
use keelson_tests::services::{node, service, set, slice};
use serde_json::{Value, json};

/// A node with a proxy.
pub struct Node {
    pub lab: Lab,
    pub outside: Namespace,
    pub rules: RuleSet,
    pub kernel: Backend,
    mode: Mode,
}

impl Node {
    pub fn new(mode: Mode) -> Self {
        let node = NodeRules {
            loopback: is_iptables(mode),
            ..node()
        };
        Self::with(mode, node)
    }

    pub fn with(mode: Mode, node: NodeRules) -> Self {
        let lab = lab();
        let outside = lab.outside();
        add_route("0.0.0.0/0", "192.0.2.2");
        add_route("::/0", "2001:db8::2");
        // A redirect to who is asked and asks at once would use up what refusals may be sent.
        for link in ["all", "uplink"] {
            let path = format!("/proc/sys/net/ipv4/conf/{link}/send_redirects");
            std::fs::write(path, "0").unwrap();
        }
        outside.inside(|| {
            add_route("10.96.0.0/16", "192.0.2.1");
            add_route("fd96::/64", "2001:db8::1");
            add_route("203.0.113.0/24", "192.0.2.1");
        });
        Self {
            lab,
            outside,
            rules: RuleSet::new(node),
            kernel: open(mode),
            mode,
        }
    }

    pub fn pod(&self) -> Pod {
        self.lab
            .pod(&self.lab.bridge(&json!({"hairpinMode": true})))
    }

    /// A Service of these addresses, all at port 8080.
    pub fn serve(&mut self, name: &str, spec: &Value, ingress: &[&str], addresses: &[String]) {
        let ports = &spec["ports"];
        let targets: Vec<Value> = ports
            .as_array()
            .unwrap()
            .iter()
            .map(|port| json!({"name": port["name"], "protocol": port["protocol"], "port": 8080}))
            .collect();
        let slice = slice(name, addresses, &json!(targets));
        self.look_around();
        let delta = set(&mut self.rules, &service(name, spec, ingress), &[&slice]);
        self.apply(&delta);
    }

    /// The IPVS mode has to know the node's addresses, which come with pods.
    fn look_around(&mut self) {
        if self.mode == Mode::Ipvs {
            let own = other_addresses().unwrap().into_iter().collect();
            let seen = NodeRules {
                ipvs: Some(own),
                ..self.rules.node().clone()
            };
            self.set_node(seen);
        }
    }

    pub fn set_node(&mut self, rules: NodeRules) {
        let mut delta = RuleDelta::default();
        self.rules.set_node(rules, &mut delta);
        if delta.node.is_some() {
            self.apply(&delta);
        }
    }

    pub fn apply(&mut self, delta: &RuleDelta) {
        self.kernel.apply(&self.rules, delta).unwrap();
        forget_stale(&plan(delta), self.rules.node()).unwrap();
    }
}

pub fn both(pods: &[&Pod]) -> Vec<String> {
    let each = pods
        .iter()
        .flat_map(|pod| [pod.addr(false), pod.addr(true)]);
    each.map(|ip| ip.to_string()).collect()
}

pub fn v4(pods: &[&Pod]) -> Vec<String> {
    pods.iter().map(|pod| pod.addr(false).to_string()).collect()
}

pub fn at(addr: &str, port: u16) -> SocketAddr {
    SocketAddr::new(addr.parse().unwrap(), port)
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn web() -> Value {
    json!({"clusterIPs": ["10.96.0.1", "fd96::1"], "ports": [{"port": 80, "protocol": "TCP"}]})
}

pub fn with(mut spec: Value, extra: &Value) -> Value {
    keelson_tests::netns::merge(&mut spec, extra);
    spec
}

/// How a connection that nobody takes ends.
pub fn failure(from: &impl Place, to: SocketAddr) -> ErrorKind {
    let patience = Duration::from_millis(800);
    let tried = from.at(|| TcpStream::connect_timeout(&to, patience));
    tried.expect_err("nobody takes it").kind()
}

pub fn ask(from: &impl Place, to: SocketAddr, server: &Pod) -> bool {
    let any = if to.is_ipv6() {
        at("::", 8080)
    } else {
        at("0.0.0.0", 8080)
    };
    let client = udp_socket(from, SocketAddr::new(any.ip(), 0));
    udp(&client, to, &udp_socket(server, any))
}

/// A host of its own, with our plugins.
pub fn lab() -> Lab {
    let other = std::env::var("KEELSON_TEST_CNI").ok();
    let built = env!("CARGO_BIN_EXE_keelson-test-cni");
    Lab::new(Suite::Ours, other.as_deref().unwrap_or(built))
}

pub fn open(mode: Mode) -> Backend {
    Backend::open(mode, &Settings::default()).unwrap()
}

fn is_iptables(mode: Mode) -> bool {
    matches!(mode, Mode::Iptables(_))
}
