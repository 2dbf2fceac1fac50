//! Flags of upstream's that change nothing here, and flags that would and are not there yet: both
//! are known by name, so that a command line made for upstream is either obeyed or refused. Pure.

use std::ffi::OsString;

/// Flags without effect that take a value, since what they tune does not exist here.
const VALUED: [&str; 27] = [
    "apiserver-count",
    "cert-dir",
    "default-watch-cache-size",
    "delete-collection-workers",
    "emulated-version",
    "etcd-count-metric-poll-period",
    "etcd-db-metric-poll-interval",
    "etcd-healthcheck-timeout",
    "etcd-readycheck-timeout",
    "external-hostname",
    "feature-gates",
    "goaway-chance",
    "http2-max-streams-per-connection",
    "kubelet-timeout",
    "lease-reuse-duration-seconds",
    "livez-grace-period",
    "log-flush-frequency",
    "max-connection-bytes-per-sec",
    "min-request-timeout",
    "proxy-client-cert-file",
    "proxy-client-key-file",
    "show-hidden-metrics-for-version",
    "storage-media-type",
    "strict-transport-security-directives",
    "tls-cipher-suites",
    "vmodule",
    "watch-cache-sizes",
];
/// The same for switches.
const SWITCHES: [&str; 11] = [
    "aggregator-reject-forwarding-redirect",
    "contention-profiling",
    "enable-aggregator-routing",
    "enable-garbage-collector",
    "enable-priority-and-fairness",
    "permit-address-sharing",
    "permit-port-sharing",
    "profiling",
    "service-account-lookup",
    "shutdown-send-retry-after",
    "watch-cache",
];
/// Flags that may only say what is so anyway.
const FIXED: [(&str, &str); 6] = [
    ("allow-privileged", "true"),
    ("endpoint-reconciler-type", "lease"),
    ("etcd-prefix", "/registry"),
    ("logging-format", "text"),
    ("storage-backend", "etcd3"),
    ("tls-min-version", "VersionTLS12"),
];
/// The beginnings of flags for what is not built yet.
const NOT_YET: [&str; 14] = [
    "audit-",
    "authentication-config",
    "authentication-token-webhook",
    "authorization-config",
    "authorization-policy-file",
    "authorization-webhook",
    "cors-allowed-origins",
    "egress-selector-config-file",
    "encryption-provider-config",
    "oidc-",
    "runtime-config",
    "shutdown-delay-duration",
    "tls-sni-cert-key",
    "tracing-config-file",
];

/// What is left of a command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sifted {
    /// The flags that mean something.
    pub args: Vec<OsString>,
    /// Names of the flags that have no effect.
    pub without_effect: Vec<String>,
}

/// A flag that cannot be obeyed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is about something that does not exist here.
    #[error("--{0} is not supported yet")]
    NotYet(String),
    /// It takes one value only.
    #[error("--{name}={value} is not supported: it can only be {only:?}")]
    Fixed {
        /// The flag.
        name: String,
        /// What it was given.
        value: String,
        /// What it may be given.
        only: &'static str,
    },
}

/// Sorts out what means something.
///
/// # Errors
/// When a flag asks for something that is not there.
pub fn sift(args: impl IntoIterator<Item = OsString>) -> Result<Sifted, Refused> {
    let mut sifted = Sifted::default();
    let mut args = args.into_iter().peekable();
    while let Some(arg) = args.next() {
        let Some(flag) = arg.to_str().and_then(|text| text.strip_prefix("--")) else {
            sifted.args.push(arg);
            continue;
        };
        let (name, given) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        if NOT_YET.iter().any(|start| name.starts_with(start)) {
            return Err(Refused::NotYet(name.to_owned()));
        }
        let fixed = FIXED.iter().find(|(known, _)| *known == name);
        let takes_value = VALUED.contains(&name) || fixed.is_some_and(|(_, only)| *only != "true");
        if !takes_value && fixed.is_none() && !SWITCHES.contains(&name) {
            sifted.args.push(arg);
            continue;
        }
        let mut next = || {
            args.next_if(|_| takes_value)
                .map(|value| value.to_string_lossy().into_owned())
        };
        let value = given
            .or_else(&mut next)
            .unwrap_or_else(|| "true".to_owned());
        match fixed {
            Some((_, only)) if *only != value => {
                let name = name.to_owned();
                return Err(Refused::Fixed { name, value, only });
            }
            _ => sifted.without_effect.push(name.to_owned()),
        }
    }
    Ok(sifted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: &[&str], expected: Result<(&[&str], &[&str]), &str>) {
        let found = sift(given.iter().map(OsString::from)).map_err(|error| error.to_string());
        let expected = expected
            .map_err(str::to_owned)
            .map(|(args, without)| Sifted {
                args: args.iter().map(OsString::from).collect(),
                without_effect: without.iter().map(|&name| name.to_owned()).collect(),
            });
        assert_eq!(found, expected, "{given:?}");
    }

    #[test]
    fn flags_mean_something_or_nothing_or_too_much() {
        check(
            &["--secure-port=1", "-v", "2"],
            Ok((&["--secure-port=1", "-v", "2"], &[])),
        );
        check(
            &["--profiling=false", "--allow-privileged=true", "--a", "b"],
            Ok((&["--a", "b"], &["profiling", "allow-privileged"])),
        );
        check(
            &[
                "--allow-privileged",
                "--feature-gates",
                "A=true",
                "--profiling",
                "--x",
            ],
            Ok((
                &["--x"],
                &["allow-privileged", "feature-gates", "profiling"],
            )),
        );
        check(
            &["--allow-privileged=false"],
            Err("--allow-privileged=false is not supported: it can only be \"true\""),
        );
        check(
            &["--etcd-prefix", "/other"],
            Err("--etcd-prefix=/other is not supported: it can only be \"/registry\""),
        );
        check(
            &["--audit-log-path=-"],
            Err("--audit-log-path is not supported yet"),
        );
        check(
            &["--oidc-issuer-url", "x"],
            Err("--oidc-issuer-url is not supported yet"),
        );
    }
}
