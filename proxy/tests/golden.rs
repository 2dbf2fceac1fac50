//! One case file, one expected text for each backend. `UPDATE_GOLDEN=1` writes what is rendered now.

#![expect(clippy::unwrap_used, reason = "a case that cannot be read has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use keelson_proxy::backend::iptables::script::{self, Found};
use keelson_proxy::backend::ipvs::plan;
use keelson_proxy::backend::nftables::{Families, text};
use keelson_proxy::compile::compile;
use keelson_proxy::diff::{RuleDelta, RuleSet};
use keelson_proxy::model::{EndpointSlice, LocalDetection, NodeRules, NodeView};
use keelson_proxy::wire::{ServiceObject, SliceObject};
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn node() -> NodeRules {
    NodeRules {
        local: LocalDetection::Sources(vec![
            "10.244.0.0/16".parse().unwrap(),
            "fd44::/64".parse().unwrap(),
        ]),
        ..NodeRules::default()
    }
}

/// The same node in the IPVS mode, with an address of its own in each family.
fn beside_ipvs() -> NodeRules {
    let own = ["172.16.0.1", "2001:db8::1"].map(|ip| ip.parse().unwrap());
    NodeRules {
        ipvs: Some(own.into()),
        ..node()
    }
}

fn rules(case: &Value, node: NodeRules) -> RuleSet {
    let list = |name: &str| case[name].as_array().unwrap().clone();
    let slices: Vec<EndpointSlice> = list("slices")
        .into_iter()
        .filter_map(|slice| {
            serde_json::from_value::<SliceObject>(slice)
                .unwrap()
                .into_slice("here")
        })
        .collect();
    let mut rules = RuleSet::new(node);
    for object in list("services") {
        let object: ServiceObject = serde_json::from_value(object).unwrap();
        let key = object.key();
        let Some(service) = object.into_service() else {
            continue;
        };
        let own: Vec<&EndpointSlice> = slices.iter().filter(|s| s.service == key).collect();
        let compiled = compile(&service, &own, &NodeView::default(), rules.node());
        rules.set(&key, Some(compiled), &mut RuleDelta::default());
    }
    rules
}

fn check(path: &Path, rendered: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, rendered).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(rendered, expected, "{} differs", path.display());
}

#[test]
fn services() {
    let mut cases = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ext| ext == "json") {
            let case = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            let beside = rules(&case, beside_ipvs());
            let rules = rules(&case, node());
            let nft = text::services(&rules, Families::default());
            check(&path.with_extension("nft"), &nft);
            let nothing = Found::default();
            let each = [false, true].map(|v6| {
                let script = script::full(&rules, v6, &nothing, &nothing);
                format!("# IPv{}\n{script}", if v6 { 6 } else { 4 })
            });
            check(&path.with_extension("iptables"), &each.concat());
            let table = text::services(&beside, Families::default());
            let servers = plan::text(&beside, "rr");
            check(&path.with_extension("ipvs"), &(servers + &table));
            cases += 1;
        }
    }
    assert!(cases >= 4, "only {cases} cases found");
}

#[test]
fn skeleton() {
    let v4 = Families {
        v4: true,
        v6: false,
    };
    for (node, file) in [(node(), "skeleton.nft"), (beside_ipvs(), "skeleton.ipvs")] {
        let rules = rules(&serde_json::json!({"services": [], "slices": []}), node);
        check(&folder().join(file), &text::skeleton(&rules, v4));
    }
}
