//! Machines on one network, each a [`Node`] in namespaces of its own, and the cluster that they
//! are: the first one has the control plane.

use crate::namespace::Namespace;
use crate::node::Node;
use crate::requires;
use serde_json::Value;
use std::net::Ipv4Addr;
use std::process::{Command, Output, Stdio};

/// A switch that machines are plugged into.
pub struct Lan {
    switch: Namespace,
}

impl Lan {
    /// A network with nobody on it.
    ///
    /// # Panics
    /// Without root.
    #[must_use]
    pub fn new() -> Self {
        let switch = Namespace::new();
        switch.run(|| {
            ip(&["link", "add", "lan", "type", "bridge"]);
            ip(&["link", "set", "lan", "up"]);
        });
        Self { switch }
    }

    /// Plugs a namespace in as `eth0`, with the address that ends in `number` and a way out that
    /// leads nowhere.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn plug(&self, namespace: &Namespace, number: u8) {
        let theirs = namespace.network();
        let port = format!("port{number}");
        self.switch.run(move || {
            ip(&[
                "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &theirs,
            ]);
            ip(&["link", "set", &port, "master", "lan", "up"]);
        });
        namespace.run(move || {
            let address = format!("{}/24", address(number));
            ip(&["address", "add", &address, "dev", "eth0"]);
            ip(&["link", "set", "eth0", "up"]);
            ip(&["route", "add", "default", "via", &address_text(254)]);
        });
    }

    /// Takes a machine's cable out, or puts it back.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn cable(&self, number: u8, plugged: bool) {
        let port = format!("port{number}");
        let state = if plugged { "up" } else { "down" };
        self.switch.run(move || ip(&["link", "set", &port, state]));
    }
}

impl Default for Lan {
    fn default() -> Self {
        Self::new()
    }
}

/// The address of the machine with this number.
#[must_use]
pub fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, number)
}

fn address_text(number: u8) -> String {
    address(number).to_string()
}

fn ip(args: &[&str]) {
    let output = Command::new("ip").args(args).output().expect("ip runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {said}", args.join(" "));
}

/// A cluster. Dropping it takes its machines down.
pub struct Cluster {
    /// Its machines: the first one has the control plane.
    pub machines: Vec<Node>,
    /// The network between them.
    pub lan: Lan,
}

impl Cluster {
    /// A cluster of one machine, `machine-1`, that is up and has the image of test pods.
    ///
    /// # Panics
    /// When it does not come up; the message holds what it printed.
    #[must_use]
    pub fn start() -> Self {
        let lan = Lan::new();
        let first = Node::prepare_for(&["--node-name", "machine-1"]);
        lan.plug(first.namespace(), 1);
        first.start_prepared();
        Self {
            machines: vec![first],
            lan,
        }
    }

    /// Adds a machine, `machine-N`, which joins by a token. Its image of test pods is there too.
    ///
    /// # Panics
    /// When it does not join; the message holds what it printed.
    pub fn add(&mut self) -> &Node {
        self.admit(self.plug_next())
    }

    /// Has a machine join.
    ///
    /// # Panics
    /// When it does not; the message holds what it printed, and what the signer said.
    pub fn admit(&mut self, machine: Node) -> &Node {
        let output = machine.join(&self.invitation());
        assert!(
            output.status.success(),
            "keelson join:\n{}{}{}\n{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            machine.logs(),
            self.object(&["csr"]),
            self.try_kubectl(&[
                "logs",
                "-n",
                "kube-system",
                "kube-controller-manager-machine-1"
            ])
            .unwrap_or_else(|said| said)
        );
        machine.have_test_image();
        self.machines.push(machine);
        self.machines.last().expect("just pushed")
    }

    /// A machine that could join, `machine-N`, and runs nothing yet.
    ///
    /// # Panics
    /// Without root.
    #[must_use]
    pub fn plug_next(&self) -> Node {
        let number = u8::try_from(self.machines.len() + 1).expect("a handful of machines");
        let name = format!("machine-{number}");
        let node = Node::prepare_for(&["--node-name", &name]);
        self.lan.plug(node.namespace(), number);
        // The kubelet's drop-ins are the administrator's: joining writes nothing there.
        node.configure(&serde_json::json!({}));
        node
    }

    /// What follows `keelson` in the command by which a machine joins, with a new token.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn invitation(&self) -> Vec<String> {
        let output = self
            .first()
            .keelson(&["token", "create", "--print-join-command"]);
        let said = String::from_utf8_lossy(&output.stdout);
        let failed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}{failed}");
        let words = said.split_whitespace().skip(1);
        words.map(str::to_owned).collect()
    }

    /// The machine with the control plane.
    ///
    /// # Panics
    /// Never: it is there from the start.
    #[must_use]
    pub fn first(&self) -> &Node {
        self.machines.first().expect("the control plane")
    }

    /// What kubectl prints, called on the first machine as administrator.
    ///
    /// # Errors
    /// What it says when it fails.
    ///
    /// # Panics
    /// When it cannot be run.
    pub fn try_kubectl(&self, args: &[&str]) -> Result<String, String> {
        self.kubectl_with(args, "")
    }

    /// The same, of a command that must succeed.
    ///
    /// # Panics
    /// When it fails.
    pub fn kubectl(&self, args: &[&str]) -> String {
        match self.try_kubectl(args) {
            Ok(said) => said,
            Err(said) => panic!("kubectl {}: {said}{}", args.join(" "), self.first().logs()),
        }
    }

    /// `kubectl apply` of an object.
    ///
    /// # Panics
    /// When the API server does not take it.
    pub fn apply(&self, object: &Value) {
        let applied = self.kubectl_with(&["apply", "-f", "-"], &object.to_string());
        if let Err(said) = applied {
            panic!("kubectl apply of {object}: {said}");
        }
    }

    /// An object, or nothing where there is none.
    #[must_use]
    pub fn object(&self, args: &[&str]) -> Value {
        let words = ["get", "-o", "json"]
            .into_iter()
            .chain(args.iter().copied());
        let said = self.try_kubectl(&words.collect::<Vec<_>>());
        serde_json::from_str(&said.unwrap_or_default()).unwrap_or_default()
    }

    /// The same as [`Self::try_kubectl`], which reads `input`.
    ///
    /// # Errors
    /// What it says when it fails.
    ///
    /// # Panics
    /// When it cannot be run.
    pub fn kubectl_with(&self, args: &[&str], input: &str) -> Result<String, String> {
        let first = self.first();
        let mut command = Command::new(requires::kubectl());
        command
            .args(args)
            .env("KUBECONFIG", first.layout.kubeconfig("admin"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let input = input.to_owned();
        let output: Output = first.namespace().run(move || {
            use std::io::Write as _;
            let mut child = command.spawn().expect("kubectl runs");
            let mut words = child.stdin.take().expect("a pipe");
            // kubectl that reads nothing says why when it ends.
            let _ = words.write_all(input.as_bytes());
            drop(words);
            child.wait_with_output().expect("kubectl ends")
        });
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            Ok(said)
        } else {
            Err(said + &String::from_utf8_lossy(&output.stderr))
        }
    }
}
