//! Which unit properties a slice gets. Pure.

use super::message::Value;
use crate::cgroup::hierarchy::Version;
use crate::cgroup::names::CgroupName;
use crate::cgroup::plan::{Bound, CpuQuota, Limits};
use crate::cgroup::v2::weight;

/// systemd's word for no limit.
const INFINITY: u64 = u64::MAX;
/// Period that systemd assumes, in microseconds.
const DEFAULT_PERIOD: u64 = 100_000;

/// Arguments of `StartTransientUnit(name, mode, properties, auxiliary units)`.
pub(super) fn start_transient(name: &CgroupName, limits: &Limits, version: Version) -> Vec<Value> {
    let io_accounting = match version {
        Version::V1 => "BlockIOAccounting",
        Version::V2 => "IOAccounting",
    };
    let mut properties = vec![
        property(
            "Description",
            Value::text(&format!("kubelet cgroup {name}")),
        ),
        property("Wants", Value::Texts(vec![name.parent().slice()])),
        property("DefaultDependencies", Value::Bool(false)),
        property("CPUAccounting", Value::Bool(true)),
        property("MemoryAccounting", Value::Bool(true)),
        property("TasksAccounting", Value::Bool(true)),
        property(io_accounting, Value::Bool(true)),
    ];
    properties.extend(of_limits(limits, version));
    let unit = Value::text(&name.slice());
    vec![
        unit,
        Value::text("replace"),
        Value::Properties(properties),
        Value::NoAuxiliaryUnits,
    ]
}

/// Arguments of `SetUnitProperties(name, runtime, properties)`.
pub(super) fn set_unit(name: &CgroupName, limits: &Limits, version: Version) -> Vec<Value> {
    let properties = Value::Properties(of_limits(limits, version));
    vec![Value::text(&name.slice()), Value::Bool(true), properties]
}

type Property = (&'static str, Value);

fn property(name: &'static str, value: Value) -> Property {
    (name, value)
}

/// Limits that systemd manages; huge pages and v2 files of other names are written by hand.
fn of_limits(limits: &Limits, version: Version) -> Vec<Property> {
    let mut out = Vec::new();
    if let Some(shares) = limits.cpu_shares {
        out.push(match version {
            Version::V1 => property("CPUShares", Value::U64(shares)),
            Version::V2 => property("CPUWeight", Value::U64(weight(shares))),
        });
    }
    if let Some(quota) = limits.cpu_quota {
        if quota.period_micros != DEFAULT_PERIOD {
            out.push(property(
                "CPUQuotaPeriodUSec",
                Value::U64(quota.period_micros),
            ));
        }
        out.push(property(
            "CPUQuotaPerSecUSec",
            Value::U64(per_second(quota)),
        ));
    }
    if let Some(memory) = limits.memory {
        let name = if version == Version::V1 {
            "MemoryLimit"
        } else {
            "MemoryMax"
        };
        out.push(property(name, bound(memory)));
    }
    if let Some(pids) = limits.pids {
        out.push(property("TasksMax", bound(pids)));
    }
    out
}

fn bound(bound: Bound) -> Value {
    Value::U64(match bound {
        Bound::Unlimited => INFINITY,
        Bound::At(value) => value,
    })
}

/// Microseconds of CPU time per second, in the steps of 10 ms that systemd keeps.
fn per_second(quota: CpuQuota) -> u64 {
    match quota.quota {
        Bound::Unlimited => INFINITY,
        Bound::At(micros) => {
            let exact = micros.saturating_mul(1_000_000) / quota.period_micros.max(1);
            exact.div_ceil(10_000).saturating_mul(10_000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(limits: &Limits, version: Version) -> Vec<String> {
        of_limits(limits, version)
            .iter()
            .map(|(name, v)| format!("{name}={v:?}"))
            .collect()
    }

    #[test]
    fn both_versions() {
        let limits = Limits {
            cpu_shares: Some(1024),
            cpu_quota: Some(CpuQuota {
                quota: Bound::At(12_345),
                period_micros: 100_000,
            }),
            memory: Some(Bound::Unlimited),
            pids: Some(Bound::At(7)),
            ..Limits::default()
        };
        let v2 = ["CPUWeight=U64(39)", "CPUQuotaPerSecUSec=U64(130000)"];
        assert_eq!(words(&limits, Version::V2)[..2], v2);
        let memory = format!("MemoryLimit=U64({INFINITY})");
        let v1 = [
            "CPUShares=U64(1024)",
            "CPUQuotaPerSecUSec=U64(130000)",
            &memory,
            "TasksMax=U64(7)",
        ];
        assert_eq!(words(&limits, Version::V1), v1);
    }

    #[test]
    fn an_unusual_period_is_said() {
        let quota = CpuQuota {
            quota: Bound::Unlimited,
            period_micros: 5000,
        };
        let limits = Limits {
            cpu_quota: Some(quota),
            ..Limits::default()
        };
        let infinite = format!("CPUQuotaPerSecUSec=U64({INFINITY})");
        assert_eq!(
            words(&limits, Version::V2),
            ["CPUQuotaPeriodUSec=U64(5000)", &infinite]
        );
    }
}
