//! Tables for DNS policies, merging, limits and the resolv.conf parser.

use k8s_openapi::api::core::v1::PodSpec;
use proptest::prelude::*;

use super::*;

const HOST: &str = "# node\nnameserver 9.9.9.9\nnameserver 8.8.8.8\nsearch old\nsearch corp. lan\n\
                    options timeout:1 rotate\n";

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn pod(policy: Option<&str>, host_network: bool, own: Option<PodDNSConfig>) -> Pod {
    let mut pod = Pod {
        spec: Some(PodSpec {
            dns_policy: policy.map(ToOwned::to_owned),
            host_network: Some(host_network),
            dns_config: own,
            ..PodSpec::default()
        }),
        ..Pod::default()
    };
    pod.metadata.namespace = Some("ns".to_owned());
    pod
}

fn planned(pod: &Pod, cluster_dns: &[&str]) -> DnsPlan {
    let host = parse_resolv_conf(HOST);
    let cluster_dns = words(cluster_dns);
    plan(
        pod,
        &NodeDns {
            cluster_dns: &cluster_dns,
            cluster_domain: "cluster.local",
            host: Some(&host),
            node_ips: &[],
        },
    )
}

fn check(policy: Option<&str>, host_network: bool, servers: &[&str], searches: &[&str]) {
    let got = planned(&pod(policy, host_network, None), &["10.96.0.10"]);
    assert_eq!(got.config.servers, words(servers), "{policy:?}");
    assert_eq!(got.config.searches, words(searches), "{policy:?}");
    assert_eq!(got.notes, vec![], "{policy:?}");
}

#[test]
fn each_policy() {
    let cluster = [
        "ns.svc.cluster.local",
        "svc.cluster.local",
        "cluster.local",
        "corp",
        "lan",
    ];
    let host = ["9.9.9.9", "8.8.8.8"];
    check(None, false, &["10.96.0.10"], &cluster);
    check(Some("ClusterFirst"), false, &["10.96.0.10"], &cluster);
    check(Some("ClusterFirst"), true, &host, &["corp", "lan"]);
    check(
        Some("ClusterFirstWithHostNet"),
        true,
        &["10.96.0.10"],
        &cluster,
    );
    check(Some("Default"), false, &host, &["corp", "lan"]);
    check(Some("None"), false, &[], &[]);
}

#[test]
fn without_cluster_dns_the_node_file_is_used_and_said() {
    let got = planned(&pod(None, false, None), &[]);
    assert_eq!(got.config.servers, words(&["9.9.9.9", "8.8.8.8"]));
    assert_eq!(got.notes, vec![DnsNote::MissingClusterDns]);
    assert_eq!(got.notes[0].reason(), "MissingClusterDNS");
}

#[test]
fn an_unknown_policy_is_named() {
    let got = planned(&pod(Some("Foo"), false, None), &["10.96.0.10"]);
    assert_eq!(got.config.servers, words(&["10.96.0.10"]));
    assert_eq!(got.notes, vec![DnsNote::UnknownPolicy("Foo".to_owned())]);
}

#[test]
fn an_empty_resolv_conf_setting_points_at_loopback() {
    let node = NodeDns {
        cluster_dns: &[],
        cluster_domain: "",
        host: None,
        node_ips: &["fd00::1".parse().unwrap(), "10.0.0.1".parse().unwrap()],
    };
    let got = plan(&pod(Some("Default"), false, None), &node).config;
    assert_eq!(got.servers, words(&["::1", "127.0.0.1"]));
    assert_eq!(got.searches, words(&["."]));
}

#[test]
fn dns_config_adds_and_overrides() {
    let option = |name: &str, value: Option<&str>| PodDNSConfigOption {
        name: Some(name.to_owned()),
        value: value.map(ToOwned::to_owned),
    };
    let own = PodDNSConfig {
        nameservers: Some(words(&["1.1.1.1", "10.96.0.10"])),
        searches: Some(words(&["corp", "mine"])),
        options: Some(vec![option("ndots", Some("2")), option("edns0", None)]),
    };
    let got = planned(&pod(None, false, Some(own)), &["10.96.0.10"]).config;
    assert_eq!(got.servers, words(&["10.96.0.10", "1.1.1.1"]));
    assert_eq!(got.searches.last().map(String::as_str), Some("mine"));
    assert_eq!(got.searches.iter().filter(|s| *s == "corp").count(), 1);
    assert_eq!(got.options, words(&["edns0", "ndots:2"]));
}

#[test]
fn limits_cut_and_say_so() {
    let own = PodDNSConfig {
        nameservers: Some(words(&["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"])),
        searches: Some((0..40).map(|i| format!("s{i}.example")).collect()),
        options: None,
    };
    let got = planned(&pod(Some("None"), false, Some(own)), &[]);
    assert_eq!(got.config.servers.len(), 3);
    assert_eq!(got.config.searches.len(), 32);
    assert_eq!(got.notes.len(), 2);
    assert!(
        got.notes[0]
            .to_string()
            .ends_with("line is: 1.1.1.1 1.1.1.2 1.1.1.3")
    );
}

#[test]
fn an_overlong_domain_is_dropped_and_the_rest_stays() {
    let own = PodDNSConfig {
        searches: Some(vec!["a".repeat(254), "ok".to_owned()]),
        ..PodDNSConfig::default()
    };
    let got = planned(&pod(Some("None"), false, Some(own)), &[]);
    assert_eq!(got.config.searches, words(&["ok"]));
    assert_eq!(got.notes.len(), 1);
}

proptest! {
    #[test]
    fn never_beyond_the_limits(searches in prop::collection::vec("[a-z.]{1,260}", 0..60),
                               servers in prop::collection::vec("[0-9.]{1,15}", 0..8)) {
        let own = PodDNSConfig {
            nameservers: Some(servers),
            searches: Some(searches),
            options: None,
        };
        let got = planned(&pod(None, false, Some(own)), &["10.96.0.10"]).config;
        prop_assert!(got.servers.len() <= MAX_NAMESERVERS);
        prop_assert!(got.searches.len() <= MAX_SEARCHES);
        prop_assert!(got.searches.join(" ").len() <= MAX_SEARCH_CHARS);
    }

    #[test]
    fn any_text_parses(text in "\\PC{0,400}") {
        let got = parse_resolv_conf(&text);
        prop_assert!(got.servers.iter().all(|s| !s.contains(char::is_whitespace)));
    }
}
