//! The fields of a `KubeSchedulerConfiguration`, as the file has them.

use keelson_api::duration::Duration;
use serde::Deserialize;
use serde_json::Value;

use crate::wire::affinity::{NodeAffinity, SpreadObject};

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Configuration {
    /// How many nodes are looked at at once: without effect here.
    pub parallelism: Option<i32>,
    /// The election.
    pub leader_election: LeaderElection,
    /// How the apiserver is reached.
    pub client_connection: ClientConnection,
    /// Without effect here.
    pub enable_profiling: Option<bool>,
    /// Without effect here.
    pub enable_contention_profiling: Option<bool>,
    /// How many of all nodes are looked at, in percent; 0 for what suits their number.
    pub percentage_of_nodes_to_score: Option<u32>,
    /// How long a pod waits after its first refusal.
    pub pod_initial_backoff_seconds: Option<u64>,
    /// How long a pod waits at most.
    pub pod_max_backoff_seconds: Option<u64>,
    /// The schedulers.
    pub profiles: Vec<ProfileFields>,
    /// Programs that are asked beside the plugins: not supported.
    pub extenders: Vec<Value>,
    /// Whether caches are filled before this one leads: without effect here.
    pub delay_cache_until_active: Option<bool>,
}

/// `leaderElection`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LeaderElection {
    /// Whether there is one.
    pub leader_elect: Option<bool>,
    /// How long others wait for a silent leader.
    pub lease_duration: Option<Duration>,
    /// How long a leader goes on without a renewal.
    pub renew_deadline: Option<Duration>,
    /// How often it is tried.
    pub retry_period: Option<Duration>,
    /// `leases`.
    pub resource_lock: Option<String>,
    /// The Lease's name.
    pub resource_name: Option<String>,
    /// The Lease's namespace.
    pub resource_namespace: Option<String>,
}

/// `clientConnection`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClientConnection {
    /// The kubeconfig file.
    pub kubeconfig: String,
    /// Without effect here.
    pub accept_content_types: String,
    /// Without effect here.
    pub content_type: String,
    /// Without effect here.
    pub qps: Option<f64>,
    /// Without effect here.
    pub burst: Option<i32>,
}

/// A profile.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProfileFields {
    /// What pods name in `spec.schedulerName`.
    pub scheduler_name: Option<String>,
    /// How many of all nodes are looked at, in percent.
    pub percentage_of_nodes_to_score: Option<u32>,
    /// Which plugins, at which points.
    pub plugins: Plugins,
    /// What plugins are told.
    pub plugin_config: Vec<PluginConfig>,
}

/// Plugins at each point.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Plugins {
    /// All points that a plugin has.
    pub multi_point: PluginList,
    /// Before queueing.
    pub pre_enqueue: PluginList,
    /// The order of the queue.
    pub queue_sort: PluginList,
    /// Before filtering.
    pub pre_filter: PluginList,
    /// Filtering.
    pub filter: PluginList,
    /// Where no node will do.
    pub post_filter: PluginList,
    /// Before scoring.
    pub pre_score: PluginList,
    /// Scoring.
    pub score: PluginList,
    /// When a node was chosen.
    pub reserve: PluginList,
    /// Before binding.
    pub permit: PluginList,
    /// Before binding.
    pub pre_bind: PluginList,
    /// Binding.
    pub bind: PluginList,
    /// After binding.
    pub post_bind: PluginList,
}

/// What is changed at a point.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PluginList {
    /// Plugins that are added, or get another weight.
    pub enabled: Vec<Enabled>,
    /// Plugins that are taken away; `*` for all.
    pub disabled: Vec<Enabled>,
}

/// A plugin by name.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Enabled {
    /// Its name.
    pub name: String,
    /// Its weight among scores; 0 for its own.
    pub weight: i64,
}

/// What a plugin is told.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PluginConfig {
    /// Its name.
    pub name: String,
    /// What it is told.
    pub args: Value,
}

/// `NodeAffinityArgs`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeAffinityArgs {
    /// Affinity of all pods.
    pub added_affinity: Option<NodeAffinity>,
}

/// `NodeResourcesFitArgs`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FitArgs {
    /// Resources that are not looked at.
    pub ignored_resources: Vec<String>,
    /// Resources that are not looked at, by what is before the slash.
    pub ignored_resource_groups: Vec<String>,
    /// How nodes are scored.
    pub scoring_strategy: Option<ScoringStrategy>,
}

/// `scoringStrategy`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ScoringStrategy {
    /// `LeastAllocated`, `MostAllocated` or `RequestedToCapacityRatio`.
    pub r#type: String,
    /// By which resources.
    pub resources: Vec<ResourceWeight>,
    /// The curve.
    pub requested_to_capacity_ratio: Option<Ratio>,
}

/// A resource and how much it counts.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResourceWeight {
    /// Its name.
    pub name: String,
    /// How much it counts; 0 for 1.
    pub weight: i64,
}

/// `requestedToCapacityRatio`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Ratio {
    /// Points of the curve.
    pub shape: Vec<Point>,
}

/// A point of a curve.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Point {
    /// Percent of use.
    pub utilization: i64,
    /// Score from 0 to 10.
    pub score: i64,
}

/// `NodeResourcesBalancedAllocationArgs`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct BalancedArgs {
    /// By which resources.
    pub resources: Vec<ResourceWeight>,
}

/// `PodTopologySpreadArgs`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SpreadArgs {
    /// Constraints of pods that have none.
    pub default_constraints: Vec<SpreadObject>,
    /// `System` or `List`.
    pub defaulting_type: String,
}

/// `InterPodAffinityArgs`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodAffinityArgs {
    /// What required affinity of pods that are there counts in scores.
    pub hard_pod_affinity_weight: Option<i64>,
    /// Whether what pods that are there would prefer is left out.
    pub ignore_preferred_terms_of_existing_pods: bool,
}

/// `DefaultPreemptionArgs`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PreemptionArgs {
    /// At least this percentage of nodes is tried.
    pub min_candidate_nodes_percentage: Option<usize>,
    /// At least this many nodes are tried.
    pub min_candidate_nodes_absolute: Option<usize>,
}
