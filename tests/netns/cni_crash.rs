//! ADD killed at any moment: GC leaves nothing of it behind, and what lives is not touched.

#![expect(clippy::unwrap_used, reason = "a case that cannot go on has failed")]

use std::io::Write;
use std::time::Duration;

use keelson_tests::netns::{Lab, Suite, find_link, links, ruleset};
use keelson_tests::on_ours;
use serde_json::json;

fn lab(suite: Suite) -> Lab {
    Lab::new(suite, env!("CARGO_BIN_EXE_keelson-test-cni"))
}

on_ours!(killed_adds_leave_nothing_after_gc, many_at_once);

const ROUNDS: u32 = 60;

fn killed_adds_leave_nothing_after_gc(lab: &Lab) {
    let conf = lab.bridge(&json!({"cniVersion": "1.1.0", "ipMasq": true, "macspoofchk": true}));
    let keeper = lab.pod(&conf);
    let mut namespaces = Vec::new();
    for round in 0..ROUNDS {
        let namespace = lab.namespace();
        let id = format!("killed{round}");
        let mut child = lab
            .process("bridge", "ADD", Some((&id, namespace.path())))
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let _ = stdin.write_all(conf.to_string().as_bytes());
        drop(stdin);
        // The moment of death is what varies from round to round.
        std::thread::sleep(Duration::from_micros(u64::from(round) * 150));
        let _ = child.kill();
        child.wait().unwrap();
        namespaces.push(namespace);
    }
    let mut gc = conf.clone();
    gc["cni.dev/valid-attachments"] = json!([{"containerID": keeper.id, "ifname": "eth0"}]);
    let reply = lab.call("GC", &gc, None);
    assert!(reply.ok, "{}", reply.text);
    let ports: Vec<String> = links()
        .into_iter()
        .filter(|link| link.kind == "veth")
        .map(|link| link.name)
        .collect();
    assert_eq!(ports, [keeper.host_end()]);
    assert!(!ruleset().contains("killed"));
    let mut leases: Vec<String> = std::fs::read_dir(lab.data().join("net"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.parse::<std::net::IpAddr>().is_ok())
        .collect();
    leases.sort();
    assert_eq!(
        leases,
        [
            keeper.addr(false).to_string(),
            keeper.addr(true).to_string()
        ]
    );
    lab.succeeds("CHECK", &conf, &keeper);
    for namespace in &namespaces {
        assert_eq!(namespace.link("eth0"), None);
    }
}

/// Twenty ADDs at the same moment on a host without a bridge, then as many DELs.
fn many_at_once(lab: &Lab) {
    let conf = lab.bridge(&json!({"ipMasq": true, "macspoofchk": true}));
    let namespaces: Vec<_> = (0..20).map(|_| lab.namespace()).collect();
    for command in ["ADD", "DEL"] {
        let mut children = Vec::new();
        for (index, namespace) in namespaces.iter().enumerate() {
            let id = format!("many{index}");
            let mut child = lab
                .process("bridge", command, Some((&id, namespace.path())))
                .spawn()
                .unwrap();
            let mut stdin = child.stdin.take().unwrap();
            stdin.write_all(conf.to_string().as_bytes()).unwrap();
            children.push(child);
        }
        for child in children {
            let output = child.wait_with_output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{command}: {text}");
        }
        let attached = command == "ADD";
        for namespace in &namespaces {
            assert_eq!(namespace.link("eth0").is_some(), attached);
        }
        assert_eq!(ruleset().contains("many7/eth0"), attached);
    }
    assert!(find_link("br0").is_some());
}
