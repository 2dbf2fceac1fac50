//! What plugins are told (`pluginConfig`).

use keelson_api::decode;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Problem, problem};
use crate::config::fields::{
    BalancedArgs, FitArgs, NodeAffinityArgs, PluginConfig, PodAffinityArgs, PreemptionArgs,
    ResourceWeight, ScoringStrategy, SpreadArgs,
};
use crate::model::{Kind, Labels};
use crate::plugins::resources::{Balanced, Fit, Strategy};
use crate::plugins::{node_affinity, pod_affinity, topology_spread};
use crate::registry::Settings;

/// The settings of all plugins.
pub fn settings(path: &str, listed: Vec<PluginConfig>, problems: &mut Vec<Problem>) -> Settings {
    let mut settings = Settings::default();
    for (number, config) in listed.into_iter().enumerate() {
        let path = format!("{path}.pluginConfig[{number}]");
        if let Err(problem) = set(&mut settings, config, &path) {
            problems.push(problem);
        }
    }
    settings
}

fn set(settings: &mut Settings, config: PluginConfig, path: &str) -> Result<(), Problem> {
    let at = format!("{path}.args");
    let args = config.args;
    match config.name.as_str() {
        "NodeAffinity" => {
            let args: NodeAffinityArgs = read(args, &at)?;
            let (required, preferred) = args.added_affinity.unwrap_or_default().terms();
            settings.node_affinity = node_affinity::NodeAffinity {
                required,
                preferred,
            };
        }
        "NodeResourcesFit" => settings.fit = fit(read(args, &at)?, &at)?,
        "NodeResourcesBalancedAllocation" => {
            let args: BalancedArgs = read(args, &at)?;
            if !args.resources.is_empty() {
                let resources = resources(&args.resources, &at)?;
                settings.balanced = Balanced { resources };
            }
        }
        "PodTopologySpread" => settings.spread = spread(read(args, &at)?, &at)?,
        "InterPodAffinity" => {
            let args: PodAffinityArgs = read(args, &at)?;
            let hard_weight = args.hard_pod_affinity_weight.unwrap_or(1);
            if !(0..=100).contains(&hard_weight) {
                let path = format!("{at}.hardPodAffinityWeight");
                return Err(problem(path, "must be from 0 to 100"));
            }
            settings.pod_affinity = pod_affinity::PodAffinity {
                hard_weight,
                ignore_preferred_of_others: args.ignore_preferred_terms_of_existing_pods,
            };
        }
        "DefaultPreemption" => {
            let args: PreemptionArgs = read(args, &at)?;
            let preemption = &mut settings.preemption;
            let percentage = args.min_candidate_nodes_percentage;
            preemption.percentage = percentage.unwrap_or(preemption.percentage);
            preemption.least = args
                .min_candidate_nodes_absolute
                .unwrap_or(preemption.least);
        }
        name => {
            let message = format!("{name:?} takes no arguments here");
            return Err(problem(format!("{path}.name"), message));
        }
    }
    Ok(())
}

fn read<T: DeserializeOwned + Default>(mut args: Value, path: &str) -> Result<T, Problem> {
    let Some(object) = args.as_object_mut() else {
        return Ok(T::default());
    };
    object.remove("apiVersion");
    object.remove("kind");
    decode::strict(&args)
        .map_err(|error| problem(format!("{path}.{}", error.path()), error.to_string()))
}

fn resources(listed: &[ResourceWeight], path: &str) -> Result<Vec<(Kind, i64)>, Problem> {
    let weights = listed.iter().enumerate().map(|(number, resource)| {
        let weight = match resource.weight {
            0 => 1,
            weight => weight,
        };
        if !(1..=100).contains(&weight) {
            let path = format!("{path}.resources[{number}].weight");
            return Err(problem(path, "must be from 1 to 100"));
        }
        Ok((Kind::of(&resource.name), weight))
    });
    weights.collect()
}

fn fit(args: FitArgs, path: &str) -> Result<Fit, Problem> {
    let mut fit = Fit {
        ignored: args.ignored_resources,
        ignored_groups: args.ignored_resource_groups,
        ..Fit::default()
    };
    let Some(scoring) = args.scoring_strategy else {
        return Ok(fit);
    };
    let path = format!("{path}.scoringStrategy");
    if !scoring.resources.is_empty() {
        fit.resources = resources(&scoring.resources, &path)?;
    }
    fit.strategy = match scoring.r#type.as_str() {
        "" | "LeastAllocated" => Strategy::Least,
        "MostAllocated" => Strategy::Most,
        "RequestedToCapacityRatio" => Strategy::Ratio(shape(&scoring, &path)?),
        other => {
            let message = format!(
                "{other:?} is none of LeastAllocated, MostAllocated, RequestedToCapacityRatio"
            );
            return Err(problem(format!("{path}.type"), message));
        }
    };
    Ok(fit)
}

/// The curve, whose scores of up to 10 become such of up to 100.
fn shape(scoring: &ScoringStrategy, path: &str) -> Result<Vec<(i64, i64)>, Problem> {
    let path = format!("{path}.requestedToCapacityRatio.shape");
    let ratio = scoring.requested_to_capacity_ratio.as_ref();
    let points = ratio.map_or(&[][..], |ratio| &ratio.shape);
    let shape: Vec<(i64, i64)> = points
        .iter()
        .map(|point| (point.utilization, point.score * 10))
        .collect();
    let inside = |(at, score): &(i64, i64)| (0..=100).contains(at) && (0..=100).contains(score);
    let rising = shape.windows(2).all(|pair| pair[0].0 < pair[1].0);
    if shape.is_empty() || !rising || !shape.iter().all(inside) {
        let message = "needs points with rising utilization from 0 to 100 and scores from 0 to 10";
        return Err(problem(path, message));
    }
    Ok(shape)
}

fn spread(args: SpreadArgs, path: &str) -> Result<topology_spread::TopologySpread, Problem> {
    match args.defaulting_type.as_str() {
        "" | "System" if args.default_constraints.is_empty() => Ok(Default::default()),
        "System" => {
            let path = format!("{path}.defaultConstraints");
            Err(problem(
                path,
                "must be left out when defaultingType is System",
            ))
        }
        "" | "List" => {
            let listed = args.default_constraints.into_iter();
            Ok(topology_spread::TopologySpread {
                defaults: listed
                    .map(|spread| spread.spread(&Labels::default()))
                    .collect(),
                system: false,
            })
        }
        other => {
            let message = format!("{other:?} is neither System nor List");
            Err(problem(format!("{path}.defaultingType"), message))
        }
    }
}
