//! The bridge plugin in real namespaces with real traffic, ours and the reference's.

#![expect(clippy::unwrap_used, reason = "a case that cannot go on has failed")]

use std::net::SocketAddr;

use keelson_netlink::Cidr;
use keelson_netlink::route::address::{self, Address};
use keelson_netlink::route::link::{self, Mac, NewBridge};
use keelson_netlink::route::path;
use keelson_tests::netns::{
    Host, Lab, Pod, Suite, add_route, addresses, find_link, has_vlan_filtering, links, route,
    ruleset, tcp, tcp_soon,
};
use keelson_tests::{on_both, on_ours, requires};
use serde_json::json;

fn lab(suite: Suite) -> Lab {
    Lab::new(suite, env!("CARGO_BIN_EXE_keelson-test-cni"))
}

on_both!(
    add_and_del,
    every_version,
    pods_reach_pods_and_gateway,
    masquerade,
    no_masquerade,
    port_switches,
    hardware_address,
    forged_hardware_address_is_dropped,
    isolated_ports,
    vlans,
    check_finds_damage,
    address_conflict,
    not_a_bridge,
    name_taken,
    layer_two,
    container_interface_down,
    del_after_the_namespace_went,
);

on_ours!(
    failed_add_leaves_nothing,
    wrong_config_has_code_7,
    collects_garbage,
    trunk,
    del_of_one_keeps_the_other_s_masquerade,
    own_namespace_is_refused,
);

const NO_VLANS: &str = "the kernel's bridges cannot filter by VLAN";

fn can_talk(from: &Pod, to: &Pod, v6: bool) -> bool {
    tcp(from, SocketAddr::new(to.addr(v6), 80), to, 80).is_some()
}

fn add_and_del(lab: &Lab) {
    let conf = lab.bridge(&json!({"mtu": 1400}));
    let pod = lab.pod(&conf);
    let names: Vec<_> = pod.result["interfaces"]
        .as_array()
        .unwrap()
        .iter()
        .collect();
    assert_eq!(names[0]["name"], "br0");
    assert_eq!(names[2]["name"], "eth0");
    assert_eq!(names[2]["sandbox"], pod.namespace.path().to_str().unwrap());
    assert_eq!(pod.result["ips"][0]["gateway"], "10.9.0.1");
    let eth0 = pod.namespace.link("eth0").unwrap();
    assert_eq!(names[2]["mac"], eth0.mac.unwrap().to_string());
    assert!(eth0.up && eth0.mtu == 1400);
    let bridge = find_link("br0").unwrap();
    assert_eq!(names[0]["mac"], bridge.mac.unwrap().to_string());
    let port = find_link(pod.host_end()).unwrap();
    assert_eq!((port.master, port.mtu), (Some(bridge.index), 1400));
    for v6 in [false, true] {
        assert!(pod.namespace.has_address("eth0", &pod.cidr(v6).to_string()));
        let routes = pod.namespace.route(path::list());
        let mut routes = routes.iter().filter_map(path::decode);
        assert!(routes.any(|r| r.destination == Cidr::everything(v6) && r.gateway.is_some()));
    }
    let on_bridge = addresses("br0");
    assert!(on_bridge.contains(&"10.9.0.1/24".parse().unwrap()));
    assert!(on_bridge.contains(&"fd09::1/64".parse().unwrap()));
    lab.succeeds("DEL", &conf, &pod);
    assert_eq!(pod.namespace.link("eth0"), None);
    assert_eq!(find_link(pod.host_end()), None);
    let again = lab.about("DEL", &conf, &pod);
    assert!(again.ok, "{}", again.text);
}

fn every_version(lab: &Lab) {
    for version in ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        let conf = lab.bridge(&json!({"cniVersion": version}));
        let pod = lab.pod(&conf);
        assert_eq!(pod.result["cniVersion"], version);
        let families = version.starts_with("0.");
        assert_eq!(pod.result["ips"][0]["version"] == "4", families);
        assert_eq!(pod.result["ips"][1]["version"] == "6", families);
        if version != "0.3.1" {
            lab.succeeds("CHECK", &conf, &pod);
        }
        lab.succeeds("DEL", &conf, &pod);
    }
}

fn pods_reach_pods_and_gateway(lab: &Lab) {
    let conf = lab.bridge(&json!({}));
    let (a, b) = (lab.pod(&conf), lab.pod(&conf));
    for (v6, gateway) in [(false, "10.9.0.1"), (true, "fd09::1")] {
        assert!(can_talk(&a, &b, v6), "v6={v6}");
        let gateway = SocketAddr::new(gateway.parse().unwrap(), 81);
        assert_eq!(tcp_soon(&a, gateway, &Host, 81), Some(a.addr(v6)));
        let pod = SocketAddr::new(b.addr(v6), 82);
        assert!(tcp(&Host, pod, &b, 82).is_some());
    }
}

fn masquerade(lab: &Lab) {
    let conf = lab.bridge(&json!({"ipMasq": true}));
    let outside = lab.outside();
    let (a, b) = (lab.pod(&conf), lab.pod(&conf));
    for (to, seen) in [("192.0.2.2", "192.0.2.1"), ("2001:db8::2", "2001:db8::1")] {
        let to = SocketAddr::new(to.parse().unwrap(), 90);
        assert_eq!(tcp_soon(&a, to, &outside, 90), Some(seen.parse().unwrap()));
        let v6 = to.is_ipv6();
        let inside = SocketAddr::new(b.addr(v6), 91);
        assert_eq!(tcp_soon(&a, inside, &b, 91), Some(a.addr(v6)));
    }
    assert!(ruleset().contains(&a.addr(false).to_string()));
    lab.succeeds("DEL", &conf, &a);
    assert!(!ruleset().contains(&format!("{} ", a.addr(false))));
    let to = SocketAddr::new("192.0.2.2".parse().unwrap(), 92);
    assert!(tcp(&b, to, &outside, 92).is_some());
}

fn no_masquerade(lab: &Lab) {
    let conf = lab.bridge(&json!({}));
    let outside = lab.outside();
    let pod = lab.pod(&conf);
    outside.inside(|| add_route("10.9.0.0/24", "192.0.2.1"));
    let to = SocketAddr::new("192.0.2.2".parse().unwrap(), 90);
    assert_eq!(tcp_soon(&pod, to, &outside, 90), Some(pod.addr(false)));
}

fn port_switches(lab: &Lab) {
    let conf = lab.bridge(&json!({"hairpinMode": true, "portIsolation": true}));
    let port = find_link(lab.pod(&conf).host_end()).unwrap();
    assert!(port.hairpin && port.isolated);
    let conf = lab.bridge(
        &json!({"bridge": "br1", "promiscMode": true, "name": "net1",
        "ipam": {"ranges": [[{"subnet": "10.8.0.0/24"}]]}}),
    );
    let pod = lab.pod(&conf);
    let port = find_link(pod.host_end()).unwrap();
    assert!(!port.hairpin && !port.isolated);
    assert!(find_link("br1").unwrap().promiscuous);
}

fn hardware_address(lab: &Lab) {
    let conf = lab.bridge(&json!({"runtimeConfig": {"mac": "0a:58:00:00:00:09"}}));
    let pod = lab.pod(&conf);
    let mac = pod.namespace.link("eth0").unwrap().mac.unwrap();
    assert_eq!(mac, Mac([0x0a, 0x58, 0, 0, 0, 9]));
    assert_eq!(pod.result["interfaces"][2]["mac"], "0a:58:00:00:00:09");
}

fn forged_hardware_address_is_dropped(lab: &Lab) {
    let conf = lab.bridge(&json!({"macspoofchk": true}));
    let (a, b) = (lab.pod(&conf), lab.pod(&conf));
    assert!(can_talk(&a, &b, false));
    let eth0 = a.namespace.link("eth0").unwrap();
    a.namespace
        .route(link::set_mac(eth0.index, Mac([2, 0, 0, 0, 0, 0x66])));
    assert!(!can_talk(&a, &b, false));
    a.namespace
        .route(link::set_mac(eth0.index, eth0.mac.unwrap()));
    assert!(can_talk(&a, &b, false));
    lab.succeeds("DEL", &conf, &a);
    assert!(!ruleset().contains(&format!("{}/eth0", a.id)));
}

fn isolated_ports(lab: &Lab) {
    let conf = lab.bridge(&json!({"portIsolation": true}));
    let (a, b) = (lab.pod(&conf), lab.pod(&conf));
    assert!(!can_talk(&a, &b, false));
    let gateway = SocketAddr::new("10.9.0.1".parse().unwrap(), 81);
    assert!(tcp(&a, gateway, &Host, 81).is_some());
}

fn vlans(lab: &Lab) {
    requires!(has_vlan_filtering(), NO_VLANS);
    let conf = |vlan: u16, name: &str| {
        lab.bridge(&json!({"vlan": vlan, "name": name, "isDefaultGateway": false}))
    };
    let (a, b) = (lab.pod(&conf(100, "n100")), lab.pod(&conf(100, "n100")));
    let other = lab.pod(&lab.bridge(&json!({"vlan": 200, "name": "n200",
        "isDefaultGateway": false, "ipam": {"ranges": [[{"subnet": "10.9.0.0/24",
        "rangeStart": "10.9.0.100"}]]}})));
    assert!(can_talk(&a, &b, false));
    assert!(!can_talk(&a, &other, false));
    let gateway = lab.pod(&lab.bridge(&json!({"vlan": 300, "name": "n300",
        "ipam": {"ranges": [[{"subnet": "10.7.0.0/24"}]]}})));
    assert_eq!(addresses("br0.300")[0], "10.7.0.1/24".parse().unwrap());
    let to = SocketAddr::new("10.7.0.1".parse().unwrap(), 81);
    assert!(tcp(&gateway, to, &Host, 81).is_some());
}

fn check_finds_damage(lab: &Lab) {
    let conf = lab.bridge(&json!({}));
    for damage in 0..4 {
        let pod = lab.pod(&conf);
        lab.succeeds("CHECK", &conf, &pod);
        let eth0 = pod.namespace.link("eth0").unwrap();
        let host_end = find_link(pod.host_end()).unwrap();
        match damage {
            0 => pod.namespace.route(address::delete(&Address {
                index: eth0.index,
                cidr: pod.cidr(false),
                tentative: false,
            })),
            1 => pod.namespace.route(path::delete(&path::Route {
                gateway: Some("10.9.0.1".parse().unwrap()),
                ..path::Route::to(Cidr::everything(false))
            })),
            2 => pod
                .namespace
                .route(link::set_mac(eth0.index, Mac([2, 0, 0, 0, 0, 5]))),
            _ => route(link::delete(&host_end.name)),
        };
        let reply = lab.about("CHECK", &conf, &pod);
        assert!(!reply.ok, "damage {damage} was not found");
        assert!(reply.value["code"].is_number(), "{}", reply.text);
        lab.succeeds("DEL", &conf, &pod);
    }
}

fn address_conflict(lab: &Lab) {
    let first = lab.bridge(&json!({}));
    let _first = lab.pod(&first);
    let other = |force: bool| {
        lab.bridge(&json!({"name": "other", "forceAddress": force,
            "ipam": {"ranges": [[{"subnet": "10.8.0.0/24"}]]}}))
    };
    let namespace = lab.namespace();
    let reply = lab.call("ADD", &other(false), Some(("x", namespace.path())));
    assert!(!reply.ok);
    assert!(reply.text.contains("br0"), "{}", reply.text);
    let namespace = lab.namespace();
    let reply = lab.call("ADD", &other(true), Some(("y", namespace.path())));
    assert!(reply.ok, "{}", reply.text);
    let on_bridge = addresses("br0");
    assert!(on_bridge.contains(&"10.8.0.1/24".parse().unwrap()));
    assert!(!on_bridge.contains(&"10.9.0.1/24".parse().unwrap()));
}

fn not_a_bridge(lab: &Lab) {
    let _outside = lab.outside();
    let namespace = lab.namespace();
    let conf = lab.bridge(&json!({"bridge": "uplink"}));
    let reply = lab.call("ADD", &conf, Some(("x", namespace.path())));
    assert!(!reply.ok);
    assert!(reply.text.contains("uplink"), "{}", reply.text);
}

fn name_taken(lab: &Lab) {
    let conf = lab.bridge(&json!({}));
    let namespace = lab.namespace();
    namespace.route(link::create_bridge(&NewBridge {
        name: "eth0".into(),
        mac: Mac([2, 0, 0, 0, 0, 1]),
        mtu: None,
        vlan_filtering: false,
    }));
    let reply = lab.call("ADD", &conf, Some(("x", namespace.path())));
    assert!(!reply.ok);
    assert!(reply.text.contains("eth0"), "{}", reply.text);
    assert_eq!(namespace.link("eth0").unwrap().kind, "bridge");
}

fn layer_two(lab: &Lab) {
    let conf = json!({"cniVersion": "1.0.0", "name": "l2", "type": "bridge", "bridge": "br0"});
    let pod = lab.pod(&conf);
    assert_eq!(pod.result.get("ips"), None);
    assert!(pod.namespace.link("eth0").unwrap().up);
    lab.succeeds("DEL", &conf, &pod);
}

fn container_interface_down(lab: &Lab) {
    let conf = json!({"cniVersion": "1.0.0", "name": "l2", "type": "bridge", "bridge": "br0",
        "disableContainerInterface": true});
    let pod = lab.pod(&conf);
    assert!(!pod.namespace.link("eth0").unwrap().up);
    let wrong = lab.bridge(&json!({"disableContainerInterface": true}));
    let namespace = lab.namespace();
    assert!(!lab.call("ADD", &wrong, Some(("x", namespace.path()))).ok);
}

fn del_after_the_namespace_went(lab: &Lab) {
    let conf = lab.bridge(&json!({"ipMasq": true}));
    let pod = lab.pod(&conf);
    let (id, path) = (pod.id.clone(), pod.namespace.path().to_owned());
    pod.namespace.end();
    let reply = lab.call("DEL", &conf, Some((&id, &path)));
    assert!(reply.ok, "{}", reply.text);
    let lease = lab.data().join("net/10.9.0.2");
    assert!(!lease.exists());
}

fn failed_add_leaves_nothing(lab: &Lab) {
    let before: Vec<String> = links().into_iter().map(|link| link.name).collect();
    let conf = lab.bridge(&json!({"ipMasq": true, "macspoofchk": true,
        "ipam": {"routes": [{"dst": "192.168.0.0/16", "gw": "172.31.0.1"}]}}));
    let namespace = lab.namespace();
    let reply = lab.call("ADD", &conf, Some(("x", namespace.path())));
    assert!(!reply.ok);
    assert!(reply.text.contains("192.168.0.0/16"), "{}", reply.text);
    assert!(!reply.text.contains("not undone"), "{}", reply.text);
    let after: Vec<String> = links().into_iter().map(|link| link.name).collect();
    assert_eq!(before, after);
    assert_eq!(namespace.link("eth0"), None);
    assert!(!ruleset().contains("x/eth0"));
    assert!(!lab.data().join("net/10.9.0.2").exists());
    // What was not this ADD's stays: the bridge that another pod is on.
    let good = lab.bridge(&json!({}));
    let pod = lab.pod(&good);
    assert!(!lab.call("ADD", &conf, Some(("y", namespace.path()))).ok);
    lab.succeeds("CHECK", &good, &pod);
}

fn wrong_config_has_code_7(lab: &Lab) {
    let namespace = lab.namespace();
    for (extra, code, field) in [
        (json!({"vlan": 5000}), 7, "vlan"),
        (
            json!({"ipam": {"ranges": [[{"subnet": "x"}]]}}),
            7,
            "ipam.ranges[0][0].subnet",
        ),
        (json!({"cniVersion": "7.0.0"}), 1, "cniVersion"),
        (json!({"name": ""}), 7, "name"),
        (json!({"ipam": {"type": "absent"}}), 7, "ipam.type"),
    ] {
        let reply = lab.call("ADD", &lab.bridge(&extra), Some(("x", namespace.path())));
        assert_eq!(reply.value["code"], code, "{}", reply.text);
        let message = reply.value["msg"].as_str().unwrap();
        assert!(message.starts_with(field), "{message}");
    }
    assert_eq!(links().len(), 1);
}

fn collects_garbage(lab: &Lab) {
    let conf = lab.bridge(&json!({"cniVersion": "1.1.0", "ipMasq": true, "macspoofchk": true}));
    let pods = [lab.pod(&conf), lab.pod(&conf), lab.pod(&conf)];
    let mut gc = conf.clone();
    assert_eq!(lab.call("GC", &gc, None).value["code"], 7);
    gc["cni.dev/valid-attachments"] = json!([{"containerID": pods[1].id, "ifname": "eth0"}]);
    let reply = lab.call("GC", &gc, None);
    assert!(reply.ok, "{}", reply.text);
    for (index, pod) in pods.iter().enumerate() {
        let kept = index == 1;
        assert_eq!(find_link(pod.host_end()).is_some(), kept);
        assert_eq!(ruleset().contains(&format!("{}/eth0", pod.id)), kept);
        let lease = lab.data().join("net").join(pod.addr(false).to_string());
        assert_eq!(lease.exists(), kept);
    }
    lab.succeeds("CHECK", &conf, &pods[1]);
}

fn trunk(lab: &Lab) {
    requires!(has_vlan_filtering(), NO_VLANS);
    let conf = lab.bridge(&json!({"vlanTrunk": [{"minID": 10, "maxID": 12}],
        "isDefaultGateway": false}));
    let pod = lab.pod(&conf);
    let index = find_link(pod.host_end()).unwrap().index;
    let all = route(keelson_netlink::route::vlan::list());
    let mut ids: Vec<(u16, bool)> = all
        .iter()
        .flat_map(keelson_netlink::route::vlan::decode)
        .filter(|vlan| vlan.index == index)
        .map(|vlan| (vlan.id, vlan.native))
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, [(1, true), (10, false), (11, false), (12, false)]);
}

/// An address that went to another container before the first one's DEL stays masqueraded.
fn del_of_one_keeps_the_other_s_masquerade(lab: &Lab) {
    let conf = lab.bridge(&json!({"ipMasq": true}));
    let first = lab.pod(&conf);
    std::fs::remove_file(lab.data().join("net/10.9.0.2")).unwrap();
    std::fs::remove_file(lab.data().join("net/fd09::2")).unwrap();
    let (id, path) = (first.id.clone(), first.namespace.path().to_owned());
    first.namespace.end();
    let mut again = conf.clone();
    again["runtimeConfig"] = json!({"ips": ["10.9.0.2", "fd09::2"]});
    let second = lab.pod(&again);
    assert!(lab.call("DEL", &conf, Some((&id, &path))).ok);
    assert!(ruleset().contains(&format!("{}/eth0", second.id)));
    lab.succeeds("CHECK", &conf, &second);
}

fn own_namespace_is_refused(lab: &Lab) {
    let own = std::path::PathBuf::from("/proc/self/ns/net");
    let reply = lab.call("ADD", &lab.bridge(&json!({})), Some(("x", &own)));
    assert_eq!(reply.value["code"], 8, "{}", reply.text);
}
