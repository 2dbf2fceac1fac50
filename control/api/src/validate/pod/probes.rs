//! Probes and lifecycle hooks.

use super::text;
use crate::IntOrString;
use crate::core::{
    Container, ExecAction, GRPCAction, HTTPGetAction, Lifecycle, LifecycleHandler, Probe,
    TCPSocketAction,
};
use crate::validate::field::{ErrorList, Path};
use crate::validate::names;

pub(super) fn validate(c: &Container, path: &Path, errors: &mut ErrorList) {
    if let Some(probe) = &c.liveness_probe {
        let path = path.child("livenessProbe");
        one(probe, &path, errors);
        once_is_enough(probe, &path, errors);
    }
    if let Some(probe) = &c.readiness_probe {
        let path = path.child("readinessProbe");
        one(probe, &path, errors);
        if probe.termination_grace_period_seconds.is_some() {
            let at = path.child("terminationGracePeriodSeconds");
            errors.invalid(
                &at,
                probe.termination_grace_period_seconds,
                "must not be set for readinessProbes",
            );
        }
    }
    if let Some(probe) = &c.startup_probe {
        let path = path.child("startupProbe");
        one(probe, &path, errors);
        once_is_enough(probe, &path, errors);
    }
}

fn once_is_enough(probe: &Probe, path: &Path, errors: &mut ErrorList) {
    if let Some(count) = probe.success_threshold.filter(|count| *count != 1) {
        errors.invalid(&path.child("successThreshold"), count, "must be 1");
    }
}

fn one(probe: &Probe, path: &Path, errors: &mut ErrorList) {
    let handlers = [
        probe
            .exec
            .as_ref()
            .map(|h| exec(h, &path.child("exec"), errors))
            .is_some(),
        probe
            .http_get
            .as_ref()
            .map(|h| http(h, &path.child("httpGet"), errors))
            .is_some(),
        probe
            .tcp_socket
            .as_ref()
            .map(|h| tcp(h, &path.child("tcpSocket"), errors))
            .is_some(),
        probe
            .grpc
            .as_ref()
            .map(|h| grpc(h, &path.child("grpc"), errors))
            .is_some(),
    ];
    exactly_one(&handlers, path, errors);
    let counts = [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ];
    for (field, count) in counts {
        errors.non_negative(&path.child(field), count.unwrap_or_default().into());
    }
    if let Some(seconds) = probe.termination_grace_period_seconds.filter(|s| *s <= 0) {
        let at = path.child("terminationGracePeriodSeconds");
        errors.invalid(&at, seconds, "must be greater than 0");
    }
}

fn exactly_one(handlers: &[bool], path: &Path, errors: &mut ErrorList) {
    match handlers.iter().filter(|set| **set).count() {
        0 => errors.required(path, "must specify a handler type"),
        1 => {}
        _ => errors.forbidden(path, "may not specify more than 1 handler type"),
    }
}

fn exec(exec: &ExecAction, path: &Path, errors: &mut ErrorList) {
    if exec.command.as_ref().is_none_or(Vec::is_empty) {
        errors.required(&path.child("command"), "");
    }
}

fn http(http: &HTTPGetAction, path: &Path, errors: &mut ErrorList) {
    if text(http.path.as_ref()).is_empty() {
        errors.required(&path.child("path"), "");
    }
    port(&http.port, &path.child("port"), errors);
    let scheme = text(http.scheme.as_ref());
    errors.choice(&path.child("scheme"), scheme, &["HTTP", "HTTPS"]);
    for header in http.http_headers.iter().flatten() {
        errors.check(
            &path.child("httpHeaders"),
            &header.name,
            names::http_header(&header.name),
        );
    }
}

fn tcp(tcp: &TCPSocketAction, path: &Path, errors: &mut ErrorList) {
    port(&tcp.port, &path.child("port"), errors);
}

fn grpc(grpc: &GRPCAction, path: &Path, errors: &mut ErrorList) {
    errors.range(&path.child("port"), grpc.port.into(), 1, 65_535);
}

fn port(port: &IntOrString, path: &Path, errors: &mut ErrorList) {
    match port {
        IntOrString::Int(number) => errors.range(path, (*number).into(), 1, 65_535),
        IntOrString::String(name) => errors.check(path, name, names::port_name(name)),
    }
}

pub(super) fn lifecycle(l: &Lifecycle, c: &Container, path: &Path, errors: &mut ErrorList) {
    if let Some(handler) = &l.post_start {
        hook(handler, &path.child("postStart"), errors);
    }
    if let Some(handler) = &l.pre_stop {
        hook(handler, &path.child("preStop"), errors);
    }
    if let Some(signal) = &l.stop_signal
        && !is_signal(signal)
    {
        let why = format!(
            "unknown stop signal for container {:?}: expected a name such as SIGTERM",
            c.name
        );
        errors.invalid(&path.child("stopSignal"), signal.as_str(), why);
    }
}

fn hook(handler: &LifecycleHandler, path: &Path, errors: &mut ErrorList) {
    let handlers = [
        handler
            .exec
            .as_ref()
            .map(|h| exec(h, &path.child("exec"), errors))
            .is_some(),
        handler
            .http_get
            .as_ref()
            .map(|h| http(h, &path.child("httpGet"), errors))
            .is_some(),
        handler
            .tcp_socket
            .as_ref()
            .map(|h| tcp(h, &path.child("tcpSocket"), errors))
            .is_some(),
        handler.sleep.is_some(),
    ];
    exactly_one(&handlers, path, errors);
    if let Some(sleep) = &handler.sleep {
        errors.non_negative(&path.child("sleep").child("seconds"), sleep.seconds);
    }
}

fn is_signal(name: &str) -> bool {
    const NAMES: [&str; 30] = [
        "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT",
        "KILL", "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM",
        "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1", "USR2",
    ];
    const MORE: [&str; 4] = ["VTALRM", "WINCH", "XCPU", "XFSZ"];
    let Some(name) = name.strip_prefix("SIG") else {
        return false;
    };
    let realtime = |prefix: &str| {
        name.strip_prefix(prefix)
            .is_some_and(|n| n.is_empty() || n.parse::<u8>().is_ok_and(|n| (1..=15).contains(&n)))
    };
    NAMES.contains(&name)
        || MORE.contains(&name)
        || realtime("RTMIN+")
        || realtime("RTMAX-")
        || matches!(name, "RTMIN" | "RTMAX")
}
