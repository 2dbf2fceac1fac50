//! The portmap plugin in real namespaces with real traffic, ours and the reference's.

#![expect(clippy::unwrap_used, reason = "a case that cannot go on has failed")]

use std::net::{IpAddr, SocketAddr};

use keelson_tests::netns::{
    Host, Lab, Namespace, Pod, Reply, Suite, ruleset, tcp, tcp_soon, udp, udp_socket,
};
use keelson_tests::{on_both, on_ours};
use serde_json::{Value, json};

fn lab(suite: Suite) -> Lab {
    Lab::new(suite, env!("CARGO_BIN_EXE_keelson-test-cni"))
}

on_both!(
    tcp_from_everywhere,
    udp_from_outside,
    host_address,
    del_takes_only_its_own,
    stale_udp_flow,
    check_finds_damage,
    no_ports_no_rules,
    needs_a_previous_result,
);

on_ours!(
    unsupported_fields_are_named,
    del_without_previous_result,
    collects_garbage,
    add_twice_is_add_once,
);

fn mapping(host: u16, container: u16, protocol: &str) -> Value {
    json!({"hostPort": host, "containerPort": container, "protocol": protocol})
}

fn conf(mappings: &[Value]) -> Value {
    json!({"cniVersion": "1.0.0", "name": "net", "type": "portmap", "backend": "nftables",
        "snat": true, "capabilities": {"portMappings": true},
        "runtimeConfig": {"portMappings": mappings}})
}

fn mapped(lab: &Lab, conf: &Value) -> Pod {
    let pod = lab.pod(&lab.bridge(&json!({"hairpinMode": true})));
    let reply = map(lab, conf, &pod);
    assert!(reply.ok, "{}", reply.text);
    assert_eq!(reply.value["ips"], pod.result["ips"]);
    pod
}

fn map(lab: &Lab, conf: &Value, pod: &Pod) -> Reply {
    lab.about("ADD", conf, pod)
}

fn at(addr: &str, port: u16) -> SocketAddr {
    SocketAddr::new(addr.parse().unwrap(), port)
}

fn tcp_from_everywhere(lab: &Lab) {
    let outside = lab.outside();
    let pod = mapped(lab, &conf(&[mapping(8080, 80, "tcp")]));
    for addr in ["192.0.2.1", "2001:db8::1"] {
        let client: IpAddr = addr
            .replace(".1", ".2")
            .replace("::1", "::2")
            .parse()
            .unwrap();
        assert_eq!(tcp_soon(&outside, at(addr, 8080), &pod, 80), Some(client));
    }
    assert!(tcp(&Host, at("127.0.0.1", 8080), &pod, 80).is_some());
    assert!(tcp(&Host, at("192.0.2.1", 8080), &pod, 80).is_some());
    assert!(tcp(&pod, at("192.0.2.1", 8080), &pod, 80).is_some());
    let other = lab.pod(&lab.bridge(&json!({"hairpinMode": true})));
    assert!(tcp(&other, at("10.9.0.1", 8080), &pod, 80).is_some());
    assert_eq!(tcp(&outside, at("192.0.2.1", 8081), &pod, 80), None);
}

fn ask(outside: &Namespace, pod: &Pod, client_port: u16) -> bool {
    let client = udp_socket(outside, at("192.0.2.2", client_port));
    let server = udp_socket(pod, at("0.0.0.0", 53));
    udp(&client, at("192.0.2.1", 5353), &server)
}

fn udp_from_outside(lab: &Lab) {
    let outside = lab.outside();
    let pod = mapped(lab, &conf(&[mapping(5353, 53, "udp")]));
    assert!(ask(&outside, &pod, 4000));
    assert_eq!(tcp(&outside, at("192.0.2.1", 5353), &pod, 53), None);
}

fn host_address(lab: &Lab) {
    let outside = lab.outside();
    let mut one = mapping(8080, 80, "tcp");
    one["hostIP"] = json!("192.0.2.1");
    let mut any = mapping(8081, 80, "tcp");
    any["hostIP"] = json!("0.0.0.0");
    let pod = mapped(lab, &conf(&[one, any]));
    assert!(tcp(&outside, at("192.0.2.1", 8080), &pod, 80).is_some());
    assert!(tcp(&outside, at("192.0.2.1", 8081), &pod, 80).is_some());
    assert_eq!(tcp(&Host, at("127.0.0.1", 8080), &pod, 80), None);
    assert_eq!(tcp(&outside, at("2001:db8::1", 8081), &pod, 80), None);
}

fn del_takes_only_its_own(lab: &Lab) {
    let outside = lab.outside();
    let first = conf(&[mapping(8080, 80, "tcp")]);
    let a = mapped(lab, &first);
    let b = mapped(lab, &conf(&[mapping(8081, 80, "tcp")]));
    lab.succeeds("DEL", &first, &a);
    assert_eq!(tcp(&outside, at("192.0.2.1", 8080), &a, 80), None);
    assert!(tcp(&outside, at("192.0.2.1", 8081), &b, 80).is_some());
    lab.succeeds("DEL", &first, &a);
}

/// A client that keeps its port goes on to the new container, not to where its flow went before.
fn stale_udp_flow(lab: &Lab) {
    let outside = lab.outside();
    let conf = conf(&[mapping(5353, 53, "udp")]);
    let old = mapped(lab, &conf);
    assert!(ask(&outside, &old, 4001));
    lab.succeeds("DEL", &conf, &old);
    let client = udp_socket(&outside, at("192.0.2.2", 4001));
    client.send_to(b"lost", at("192.0.2.1", 5353)).unwrap();
    let new = mapped(lab, &conf);
    let server = udp_socket(&new, at("0.0.0.0", 53));
    assert!(udp(&client, at("192.0.2.1", 5353), &server));
}

fn check_finds_damage(lab: &Lab) {
    let conf = conf(&[mapping(8080, 80, "tcp")]);
    let pod = mapped(lab, &conf);
    lab.succeeds("CHECK", &conf, &pod);
    let flush = std::process::Command::new("nft")
        .args(["flush", "ruleset"])
        .status();
    assert!(flush.unwrap().success());
    let reply = lab.about("CHECK", &conf, &pod);
    assert!(!reply.ok);
    assert!(reply.value["code"].is_number());
}

fn no_ports_no_rules(lab: &Lab) {
    let conf = conf(&[]);
    let pod = mapped(lab, &conf);
    assert!(!ruleset().contains(&pod.addr(false).to_string()));
    lab.succeeds("CHECK", &conf, &pod);
    lab.succeeds("DEL", &conf, &pod);
}

fn needs_a_previous_result(lab: &Lab) {
    let namespace = lab.namespace();
    let conf = conf(&[mapping(8080, 80, "tcp")]);
    let reply = lab.call("ADD", &conf, Some(("x", namespace.path())));
    assert!(
        !reply.ok && reply.value["code"].is_number(),
        "{}",
        reply.text
    );
}

fn unsupported_fields_are_named(lab: &Lab) {
    let pod = lab.pod(&lab.bridge(&json!({})));
    let mut wrong = conf(&[mapping(8080, 80, "tcp")]);
    wrong["conditionsV4"] = json!(["-s", "1.2.3.4"]);
    let reply = map(lab, &wrong, &pod);
    assert_eq!(reply.value["code"], 2);
    let message = reply.value["msg"].as_str().unwrap();
    assert!(message.starts_with("conditionsV4"), "{message}");
}

fn del_without_previous_result(lab: &Lab) {
    let conf = conf(&[mapping(8080, 80, "tcp")]);
    let pod = mapped(lab, &conf);
    let bare = json!({"cniVersion": "1.0.0", "name": "net", "type": "portmap"});
    let reply = lab.call("DEL", &bare, Some((&pod.id, pod.namespace.path())));
    assert!(reply.ok, "{}", reply.text);
    assert!(!ruleset().contains(&format!("{}/eth0", pod.id)));
}

fn collects_garbage(lab: &Lab) {
    let mut conf = conf(&[mapping(8080, 80, "tcp")]);
    conf["cniVersion"] = json!("1.1.0");
    let a = mapped(lab, &conf);
    conf["runtimeConfig"]["portMappings"] = json!([mapping(8081, 80, "tcp")]);
    let b = mapped(lab, &conf);
    conf["cni.dev/valid-attachments"] = json!([{"containerID": b.id, "ifname": "eth0"}]);
    let reply = lab.call("GC", &conf, None);
    assert!(reply.ok, "{}", reply.text);
    assert!(!ruleset().contains(&format!("{}/eth0", a.id)));
    assert!(ruleset().contains(&format!("{}/eth0", b.id)));
}

fn add_twice_is_add_once(lab: &Lab) {
    let conf = conf(&[mapping(8080, 80, "tcp"), mapping(5353, 53, "udp")]);
    let pod = mapped(lab, &conf);
    let once = ruleset();
    assert!(map(lab, &conf, &pod).ok);
    assert_eq!(ruleset().len(), once.len());
    lab.succeeds("CHECK", &conf, &pod);
}
