//! `ResourceQuota`: what a namespace may use in all. Pure.
//!
//! A write comes back with the quotas as they are once it is let in; the caller writes each where
//! it has not changed in the meantime, and asks again where it has.

use std::collections::BTreeSet;

use keelson_api::quantity::Quantity;
use keelson_api::quota::{self as rules, Subject, amounts};
use keelson_api::resources::Amounts;
use serde_json::Value;

use super::{Operation, Request, View, fields};
use crate::failure::Outcome;

/// How often a write is planned anew after somebody else has changed a quota.
pub(crate) const ATTEMPTS: usize = 3;

/// The quotas of the request's namespace that it changes, with their new `status.used`.
pub(crate) fn plan(request: &Request<'_>, object: &Value, view: &dyn View) -> Outcome<Vec<Value>> {
    if !is_counted(request) {
        return Ok(Vec::new());
    }
    let mut quotas = view.list("", "resourcequotas", request.namespace);
    quotas.sort_by(|a, b| fields::name(a).cmp(fields::name(b)));
    let mut interesting = Vec::new();
    for quota in quotas {
        if applies(request, object, &quota)? {
            interesting.push(quota);
        }
    }
    if interesting.is_empty() {
        return Ok(Vec::new());
    }
    let wanted = difference(request, object)?;
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let mut changed = Vec::new();
    for quota in interesting {
        changed.extend(charge(request, object, quota, &wanted)?);
    }
    Ok(changed)
}

/// Whether the write can use more than before.
pub(crate) fn is_counted(request: &Request<'_>) -> bool {
    if request.namespace.is_empty() {
        return false;
    }
    match request.operation {
        Operation::Create => request.subresource.is_empty(),
        Operation::Update => {
            request.is_for("", "services")
                || request.is_for("", "persistentvolumeclaims")
                || request.is_for_part("", "pods", "resize")
        }
        _ => false,
    }
}

fn subject<'a>(request: &Request<'a>) -> Subject<'a> {
    Subject {
        group: request.group,
        resource: request.resource,
    }
}

/// Whether the quota counts such an object; refuses objects that do not say what it counts.
fn applies(request: &Request<'_>, object: &Value, quota: &Value) -> Outcome<bool> {
    let hard = amounts(quota, "/status/hard");
    let counted: Vec<&str> = hard
        .keys()
        .map(String::as_str)
        .filter(|name| rules::counts(subject(request), name))
        .collect();
    if counted.is_empty() || !rules::matches(subject(request), object, quota) {
        return Ok(false);
    }
    if let Some(missing) = rules::missing(subject(request), object, &counted) {
        let why = format!("failed quota: {}: {missing}", fields::name(quota));
        return Err(request.forbid(object, &why));
    }
    let used = amounts(quota, "/status/used");
    if counted.iter().any(|name| !used.contains_key(*name)) {
        let names = counted.join(",");
        let why = format!(
            "status unknown for quota: {}, resources: {names}",
            fields::name(quota)
        );
        return Err(request.forbid(object, &why));
    }
    Ok(true)
}

/// What the object uses beyond what it used before.
fn difference(request: &Request<'_>, object: &Value) -> Outcome<Amounts> {
    let mut wanted = rules::of(subject(request), object);
    let negative: Vec<&str> = wanted
        .iter()
        .filter(|(_, a)| a.signum() < 0)
        .map(|(name, _)| name.as_str())
        .collect();
    if !negative.is_empty() {
        let why = format!(
            "quota usage is negative for resource(s): {}",
            negative.join(",")
        );
        return Err(request.forbid(object, &why));
    }
    if request.operation == Operation::Update {
        for (name, before) in rules::of(subject(request), request.old) {
            if let Some(amount) = wanted.get_mut(&name) {
                *amount -= before;
            }
        }
    }
    wanted.retain(|_, amount| amount.signum() > 0);
    Ok(wanted)
}

/// The quota with more used, if it is changed at all.
fn charge(
    request: &Request<'_>,
    object: &Value,
    mut quota: Value,
    wanted: &Amounts,
) -> Outcome<Option<Value>> {
    let (hard, used) = (
        amounts(&quota, "/status/hard"),
        amounts(&quota, "/status/used"),
    );
    let requested: Amounts = wanted
        .iter()
        .filter(|(name, _)| hard.contains_key(*name))
        .map(|(n, a)| (n.clone(), *a))
        .collect();
    let after =
        |name: &str, amount: &Quantity| *amount + used.get(name).copied().unwrap_or(Quantity::ZERO);
    let exceeded: BTreeSet<&str> = requested
        .iter()
        .filter(|(name, amount)| {
            hard.get(*name)
                .is_some_and(|limit| after(name, amount) > *limit)
        })
        .map(|(name, _)| name.as_str())
        .collect();
    if !exceeded.is_empty() {
        let show = |amounts: &Amounts| {
            let masked = amounts
                .iter()
                .filter(|(name, _)| exceeded.contains(name.as_str()));
            masked
                .map(|(name, amount)| format!("{name}={amount}"))
                .collect::<Vec<_>>()
                .join(",")
        };
        let why = format!(
            "exceeded quota: {}, requested: {}, used: {}, limited: {}",
            fields::name(&quota),
            show(&requested),
            show(&used),
            show(&hard)
        );
        return Err(request.forbid(object, &why));
    }
    for (name, amount) in &requested {
        fields::put(
            &mut quota,
            &["status", "used", name],
            after(name, amount).to_string(),
        );
    }
    Ok((!requested.is_empty()).then_some(quota))
}

#[cfg(test)]
mod tests;
