//! host-local and loopback called as a runtime calls them, ours and the reference's; and leases of
//! both in one folder.

#![expect(clippy::unwrap_used, reason = "a case that cannot go on has failed")]

use std::fs;

use keelson_tests::netns::{Lab, Namespace, Reply, Suite};
use keelson_tests::{on_both, on_ours};
use serde_json::{Value, json};

fn lab(suite: Suite) -> Lab {
    Lab::new(suite, env!("CARGO_BIN_EXE_keelson-test-cni"))
}

on_both!(
    exhausts_and_reuses,
    requested_addresses,
    an_attachment_has_one_lease,
    respects_foreign_leases,
    name_resolution,
    loopback,
    versions,
    unknown_version,
    missing_environment,
    broken_input,
);

on_ours!(earlier_boot, status);

fn conf(lab: &Lab, ipam: &Value) -> Value {
    let mut conf = json!({"cniVersion": "1.0.0", "name": "net", "type": "host-local"});
    conf["ipam"] = ipam.clone();
    conf["ipam"]["type"] = json!("host-local");
    conf["ipam"]["dataDir"] = json!(lab.data());
    conf
}

fn call(lab: &Lab, command: &str, conf: &Value, id: &str, ns: &Namespace) -> Reply {
    lab.call(command, conf, Some((id, ns.path())))
}

fn address(reply: &Reply) -> &str {
    reply.value["ips"][0]["address"]
        .as_str()
        .unwrap_or(&reply.text)
}

fn exhausts_and_reuses(lab: &Lab) {
    let conf = conf(
        lab,
        &json!({"ranges": [[{"subnet": "10.1.0.0/24",
        "rangeStart": "10.1.0.10", "rangeEnd": "10.1.0.12"}]]}),
    );
    let ns = lab.namespace();
    for (id, expected) in [
        ("a", "10.1.0.10/24"),
        ("b", "10.1.0.11/24"),
        ("c", "10.1.0.12/24"),
    ] {
        assert_eq!(address(&call(lab, "ADD", &conf, id, &ns)), expected);
        assert!(call(lab, "CHECK", &conf, id, &ns).ok);
    }
    assert!(!call(lab, "ADD", &conf, "d", &ns).ok);
    assert!(call(lab, "DEL", &conf, "b", &ns).ok);
    assert!(!call(lab, "CHECK", &conf, "b", &ns).ok);
    assert_eq!(address(&call(lab, "ADD", &conf, "d", &ns)), "10.1.0.11/24");
    assert!(call(lab, "DEL", &conf, "gone", &ns).ok);
}

fn requested_addresses(lab: &Lab) {
    let ns = lab.namespace();
    let mut conf = conf(
        lab,
        &json!({"ranges": [[{"subnet": "10.1.0.0/24"}],
        [{"subnet": "fd01::/64"}]]}),
    );
    conf["runtimeConfig"] = json!({"ips": ["10.1.0.77", "fd01::77"]});
    let reply = call(lab, "ADD", &conf, "a", &ns);
    assert_eq!(address(&reply), "10.1.0.77/24");
    assert_eq!(reply.value["ips"][1]["address"], "fd01::77/64");
    assert!(!call(lab, "ADD", &conf, "b", &ns).ok);
    conf["runtimeConfig"] = json!({"ips": ["172.16.0.1"]});
    assert!(!call(lab, "ADD", &conf, "c", &ns).ok);
    conf["runtimeConfig"] = json!({});
    let env = [("CNI_ARGS", "IgnoreUnknown=1;IP=10.1.0.99")];
    let reply = lab.call_with("host-local", "ADD", &conf, Some(("d", ns.path())), &env);
    assert_eq!(address(&reply), "10.1.0.99/24");
}

fn an_attachment_has_one_lease(lab: &Lab) {
    let conf = conf(lab, &json!({"subnet": "10.1.0.0/24"}));
    let ns = lab.namespace();
    assert!(call(lab, "ADD", &conf, "a", &ns).ok);
    let again = call(lab, "ADD", &conf, "a", &ns);
    assert!(
        !again.ok && again.text.contains("10.1.0.2"),
        "{}",
        again.text
    );
}

fn respects_foreign_leases(lab: &Lab) {
    let conf = conf(lab, &json!({"subnet": "10.1.0.0/24"}));
    let ns = lab.namespace();
    let folder = lab.data().join("net");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("10.1.0.2"), "other\r\neth0").unwrap();
    fs::write(folder.join("10.1.0.3"), "ours\r\neth0\r\nsome-boot").unwrap();
    fs::write(folder.join("last_reserved_ip.0"), "10.1.0.4").unwrap();
    assert_eq!(address(&call(lab, "ADD", &conf, "a", &ns)), "10.1.0.5/24");
    let text = fs::read_to_string(folder.join("10.1.0.5")).unwrap();
    assert!(text.starts_with("a\r\neth0"), "{text}");
    assert!(call(lab, "DEL", &conf, "other", &ns).ok);
    assert!(!folder.join("10.1.0.2").exists());
}

fn name_resolution(lab: &Lab) {
    let path = lab.data().join("resolv.conf");
    fs::write(&path, "nameserver 10.0.0.2\nsearch a b\n").unwrap();
    let conf = conf(
        lab,
        &json!({"subnet": "10.1.0.0/24", "resolvConf": path,
        "routes": [{"dst": "0.0.0.0/0"}]}),
    );
    let ns = lab.namespace();
    let reply = call(lab, "ADD", &conf, "a", &ns);
    assert_eq!(
        reply.value["dns"],
        json!({"nameservers": ["10.0.0.2"], "search": ["a", "b"]})
    );
    assert_eq!(reply.value["routes"], json!([{"dst": "0.0.0.0/0"}]));
}

fn loopback(lab: &Lab) {
    let conf = json!({"cniVersion": "1.0.0", "name": "lo", "type": "loopback"});
    let ns = lab.namespace();
    let reply = call(lab, "ADD", &conf, "a", &ns);
    assert!(reply.ok, "{}", reply.text);
    assert_eq!(reply.value["interfaces"][0]["name"], "lo");
    assert_eq!(address(&reply), "127.0.0.1/8");
    assert!(ns.link("lo").unwrap().up);
    assert!(call(lab, "CHECK", &conf, "a", &ns).ok);
    assert!(call(lab, "DEL", &conf, "a", &ns).ok);
}

fn versions(lab: &Lab) {
    for plugin in keelson_cni::PLUGINS {
        let reply = lab.call_with(
            plugin,
            "VERSION",
            &json!({"cniVersion": "1.0.0"}),
            None,
            &[],
        );
        let supported = reply.value["supportedVersions"].as_array().unwrap();
        for version in ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
            assert!(supported.contains(&json!(version)), "{plugin} {version}");
        }
    }
}

fn unknown_version(lab: &Lab) {
    let ns = lab.namespace();
    for plugin in keelson_cni::PLUGINS {
        let conf = json!({"cniVersion": "9.0.0", "name": "net", "type": plugin});
        let reply = call(lab, "ADD", &conf, "a", &ns);
        assert_eq!(reply.value["code"], 1, "{plugin}: {}", reply.text);
    }
}

fn missing_environment(lab: &Lab) {
    let conf = json!({"cniVersion": "1.0.0", "name": "net", "type": "bridge"});
    let reply = lab.call("ADD", &conf, None);
    assert_eq!(reply.value["code"], 4);
    let message = reply.value["msg"].as_str().unwrap();
    assert!(message.contains("CNI_CONTAINERID") && message.contains("CNI_NETNS"));
}

fn broken_input(lab: &Lab) {
    let ns = lab.namespace();
    let reply = lab.call_with("bridge", "ADD", &json!("text"), Some(("a", ns.path())), &[]);
    assert!(
        !reply.ok && reply.value["code"].is_number(),
        "{}",
        reply.text
    );
}

fn earlier_boot(lab: &Lab) {
    let conf = conf(
        lab,
        &json!({"ranges": [[{"subnet": "10.1.0.0/24",
        "rangeStart": "10.1.0.2", "rangeEnd": "10.1.0.2"}]]}),
    );
    let ns = lab.namespace();
    let folder = lab.data().join("net");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("10.1.0.2"), "old\r\neth0\r\nan-earlier-boot").unwrap();
    assert_eq!(address(&call(lab, "ADD", &conf, "a", &ns)), "10.1.0.2/24");
    // This boot's lease stays, its namespace gone or not.
    assert!(!call(lab, "ADD", &conf, "b", &ns).ok);
}

fn status(lab: &Lab) {
    let mut conf = conf(
        lab,
        &json!({"ranges": [[{"subnet": "10.1.0.0/24",
        "rangeStart": "10.1.0.2", "rangeEnd": "10.1.0.2"}]]}),
    );
    conf["cniVersion"] = json!("1.1.0");
    assert!(lab.call("STATUS", &conf, None).ok);
    let ns = lab.namespace();
    assert!(call(lab, "ADD", &conf, "a", &ns).ok);
    let reply = lab.call("STATUS", &conf, None);
    assert_eq!(reply.value["code"], 50, "{}", reply.text);
    conf["cniVersion"] = json!("1.0.0");
    assert_eq!(lab.call("STATUS", &conf, None).value["code"], 1);
}
