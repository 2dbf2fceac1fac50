//! Jobs and cron jobs.

use keelson_api::validate::field::ErrorList;
use serde_json::Value;

use super::core::pod_spec;
use super::{At, immutable, selector};

/// The longest name of a cron job: its jobs add eleven characters to it.
const CRON_JOB_NAME: usize = 52;

/// Judges a job.
pub fn job(object: &Value, errors: &mut ErrorList) {
    let spec = At::root(object).field("spec");
    job_spec(&spec, errors);
    if spec.field("selector").is_given() {
        selector::of_workload(&spec, "job", errors);
    } else {
        errors.required(&spec.field("selector").path, "");
    }
}

fn job_spec(spec: &At<'_>, errors: &mut ErrorList) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        spec.field(field).not_negative(errors);
    }
    let mode = spec.field("completionMode");
    mode.one_of(&["NonIndexed", "Indexed"], errors);
    if mode.text() == "Indexed" && !spec.field("completions").is_given() {
        let detail = "when completion mode is Indexed";
        errors.required(&spec.field("completions").path, detail);
    }
    spec.field("podReplacementPolicy")
        .one_of(&["TerminatingOrFailed", "Failed"], errors);
    let template = spec.field("template");
    super::metadata::labels(&template.at("metadata.labels"), errors);
    pod_spec(&template.field("spec"), errors);
    let restart = template.at("spec.restartPolicy");
    match restart.text() {
        "" | "Always" => {
            let detail = "valid values: \"OnFailure\", \"Never\"";
            errors.required(&restart.path, detail);
        }
        _ => restart.one_of(&["OnFailure", "Never"], errors),
    }
    if spec.field("podFailurePolicy").is_given() && restart.text() != "Never" {
        let detail = "only \"Never\" is supported when podFailurePolicy is specified";
        restart.invalid(detail, errors);
    }
}

/// Judges the change of a job.
pub fn job_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    let completions = At::root(new).at("spec.completions");
    // An indexed job may grow and shrink together with its parallelism.
    let elastic = At::root(new).at("spec.completionMode").text() == "Indexed"
        && completions.value == At::root(new).at("spec.parallelism").value;
    if !elastic {
        immutable(new, old, &["spec.completions"], errors);
    }
    immutable(
        new,
        old,
        &[
            "spec.selector",
            "spec.completionMode",
            "spec.podFailurePolicy",
            "spec.backoffLimitPerIndex",
            "spec.managedBy",
            "spec.successPolicy",
        ],
        errors,
    );
    let suspended =
        At::root(old).at("spec.suspend").flag() && !At::root(old).at("status.startTime").is_given();
    if !suspended {
        immutable(new, old, &["spec.template"], errors);
    }
}

/// Judges a cron job.
pub fn cron_job(object: &Value, errors: &mut ErrorList) {
    let object = At::root(object);
    let (name, spec) = (object.at("metadata.name"), object.field("spec"));
    if name.text().len() > CRON_JOB_NAME {
        let detail = format!("must be no more than {CRON_JOB_NAME} characters");
        name.invalid(detail, errors);
    }
    let schedule = spec.field("schedule");
    if schedule.need("", errors) {
        if let Err(detail) = cron(schedule.text()) {
            schedule.invalid(detail, errors);
        }
        if schedule.text().contains("TZ") {
            let detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
            schedule.invalid(detail, errors);
        }
    }
    let zone = spec.field("timeZone");
    if zone.is_given() && zone.text().is_empty() {
        zone.invalid("timeZone must be nil or non-empty string", errors);
    }
    for field in [
        "startingDeadlineSeconds",
        "successfulJobsHistoryLimit",
        "failedJobsHistoryLimit",
    ] {
        spec.field(field).not_negative(errors);
    }
    spec.field("concurrencyPolicy")
        .need_one_of(&["Allow", "Forbid", "Replace"], errors);
    job_spec(&spec.at("jobTemplate.spec"), errors);
}

/// Bounds and names of the fields of a schedule.
const CRON_FIELDS: &[(u32, u32, &[&str])] = &[
    (0, 59, &[]),
    (0, 23, &[]),
    (1, 31, &[]),
    (
        1,
        12,
        &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    ),
    (0, 6, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
];

const CRON_MACROS: &[&str] = &[
    "@yearly",
    "@annually",
    "@monthly",
    "@weekly",
    "@daily",
    "@midnight",
    "@hourly",
];

/// Why a schedule is none.
fn cron(schedule: &str) -> Result<(), String> {
    if let Some(every) = schedule.strip_prefix("@every ") {
        return match keelson_api::duration::Duration::parse(every) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("failed to parse duration {schedule}: {error}")),
        };
    }
    if schedule.starts_with('@') {
        let known = CRON_MACROS.contains(&schedule);
        return if known {
            Ok(())
        } else {
            Err(format!("unrecognized descriptor: {schedule}"))
        };
    }
    let fields: Vec<_> = schedule
        .split_ascii_whitespace()
        .filter(|f| !f.contains("TZ="))
        .collect();
    if fields.len() != CRON_FIELDS.len() {
        let found = fields.len();
        return Err(format!(
            "expected exactly 5 fields, found {found}: {fields:?}"
        ));
    }
    for (field, bounds) in fields.iter().zip(CRON_FIELDS) {
        for part in field.split(',') {
            cron_range(part, bounds)
                .ok_or_else(|| format!("failed to parse {part:?} of {schedule:?}"))?;
        }
    }
    Ok(())
}

fn cron_range(part: &str, (low, high, names): &(u32, u32, &[&str])) -> Option<()> {
    let (range, step) = part
        .split_once('/')
        .map_or((part, None), |(r, s)| (r, Some(s)));
    if let Some(step) = step {
        step.parse::<u32>().ok().filter(|step| *step > 0)?;
    }
    let value = |text: &str| {
        let lower = text.to_lowercase();
        let named = names.iter().position(|name| *name == lower);
        let named = named
            .and_then(|at| u32::try_from(at).ok())
            .map(|at| at + low);
        named
            .or_else(|| text.parse().ok())
            .filter(|n| (*low..=*high).contains(n))
    };
    if matches!(range, "*" | "?") {
        return Some(());
    }
    match range.split_once('-') {
        Some((from, to)) => (value(from)? <= value(to)?).then_some(()),
        None => value(range).map(|_| ()),
    }
}

#[cfg(test)]
mod tests {
    use super::cron;

    #[test]
    fn schedules() {
        for fine in [
            "* * * * *",
            "*/5 0-3 1,15 jan-mar MON",
            "@daily",
            "@every 1h30m",
            "0 0 ? * 6",
        ] {
            assert_eq!(cron(fine), Ok(()), "{fine}");
        }
        for wrong in [
            "",
            "* * * *",
            "60 * * * *",
            "* * * * 7",
            "*/0 * * * *",
            "5-1 * * * *",
            "@often",
            "a * * * *",
        ] {
            assert!(cron(wrong).is_err(), "{wrong}");
        }
    }
}
