//! Configurations, and what becomes of them.

use std::time::Duration;

use clap::Parser as _;

use super::{parse, settle};
use crate::config::Settled;
use crate::options::Options;

fn settled(text: &str, flags: &[&str]) -> Result<Settled, String> {
    let text = format!(
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n{text}"
    );
    let fields = parse(&text).map_err(|problem| problem.to_string())?;
    let options = Options::try_parse_from([&["kube-scheduler"], flags].concat()).unwrap();
    settle(fields, &options).map_err(|problems| {
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        problems.join("; ")
    })
}

/// Plugins at the points filter (f) and score (s), with weights.
fn points(settled: &Settled, profile: usize) -> String {
    let plugins = settled.profiles[profile].plugins.iter();
    let plugins = plugins.map(|plugin| {
        let filter = if plugin.filter.is_some() { "f" } else { "" };
        let score = plugin.score.as_ref();
        let score = score.map_or(String::new(), |(_, weight)| format!("s{weight}"));
        format!("{} {filter}{score}", plugin.name)
    });
    plugins.collect::<Vec<_>>().join(", ")
}

#[test]
fn nothing_said_is_the_default_profile() {
    let settled = settled("", &[]).unwrap();
    assert_eq!(settled.profiles[0].name.text(), "default-scheduler");
    let weights = points(&settled, 0);
    for part in [
        "TaintToleration fs3",
        "NodeAffinity fs2",
        "NodeResourcesFit fs1",
        "PodTopologySpread fs2",
        "InterPodAffinity fs2",
        "ImageLocality s1",
        "NodePorts f",
    ] {
        assert!(weights.contains(part), "{part}: {weights}");
    }
    let lease = settled.election.unwrap();
    assert_eq!(
        (lease.namespace.as_str(), lease.name.as_str()),
        ("kube-system", "kube-scheduler")
    );
    assert_eq!(lease.lease_duration, Duration::from_secs(15));
}

#[test]
fn plugins_are_enabled_disabled_and_weighed() {
    let settled = settled(
        "profiles:\n- schedulerName: a\n  plugins:\n    score:\n      disabled: [{name: '*'}]\n      enabled: [{name: ImageLocality, weight: 7}]\n    postFilter: {disabled: [{name: DefaultPreemption}]}\n- schedulerName: b\n  plugins:\n    multiPoint: {disabled: [{name: NodePorts}]}\n",
        &["--leader-elect=false"],
    );
    let settled = settled.unwrap();
    let a = points(&settled, 0);
    assert!(
        a.contains("TaintToleration f,") && a.contains("ImageLocality s7"),
        "{a}"
    );
    assert!(settled.profiles[0].preemption.is_none() && settled.profiles[1].preemption.is_some());
    assert!(!points(&settled, 1).contains("NodePorts"));
    assert!(settled.election.is_none());
}

#[test]
fn what_cannot_be_worked_with_is_named() {
    let check = |text: &str, part: &str| {
        let wrong = settled(text, &[]).unwrap_err();
        assert!(wrong.contains(part), "{part:?} is not in {wrong:?}");
    };
    check("extenders: [{urlPrefix: x}]", "extenders: ");
    check(
        "podInitialBackoffSeconds: 5\npodMaxBackoffSeconds: 1",
        "podMaxBackoffSeconds: ",
    );
    check("nonsense: 1", "nonsense");
    check(
        "profiles: [{schedulerName: a}, {schedulerName: a}]",
        "profiles[1].schedulerName",
    );
    check(
        "profiles: [{plugins: {filter: {enabled: [{name: Nope}]}}}]",
        "profiles[0].plugins.filter: there is no plugin \"Nope\"",
    );
    check(
        "profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: Worst}}}]}]",
        "profiles[0].pluginConfig[0].args.scoringStrategy.type",
    );
    check(
        "profiles: [{plugins: {bind: {disabled: [{name: DefaultBinder}]}}}]",
        "profiles[0].plugins.bind: DefaultBinder cannot be disabled",
    );
    check("leaderElection: {leaseDuration: 1s}", "leaderElection: ");
    check(
        "leaderElection: {leaderElect: true, resourceLock: configmaps}",
        "resourceLock",
    );
}

#[test]
fn arguments_reach_plugins() {
    let settled = settled(
        "profiles:\n- pluginConfig:\n  - name: NodeResourcesFit\n    args: {apiVersion: kubescheduler.config.k8s.io/v1, kind: NodeResourcesFitArgs, scoringStrategy: {type: RequestedToCapacityRatio, requestedToCapacityRatio: {shape: [{utilization: 0, score: 0}, {utilization: 100, score: 10}]}}}\n  - name: DefaultPreemption\n    args: {minCandidateNodesAbsolute: 7}\n",
        &[],
    );
    let settled = settled.unwrap();
    assert_eq!(settled.profiles[0].preemption.unwrap().least, 7);
    let shown = format!("{:?}", settled.profiles[0].plugins);
    assert!(shown.contains("Ratio([(0, 0), (100, 100)])"), "{shown}");
}
