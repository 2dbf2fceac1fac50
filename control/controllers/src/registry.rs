//! Which controllers there are: one line each. Decides which of them run. Pure.

use crate::controller::Registration;
use crate::{
    bootstrap_token, certificate, cluster_role_aggregation, disruption, endpoint_slice, endpoints,
    garbage_collector, namespace, node_ipam, node_lifecycle, pod_gc, replica_set,
    root_ca_publisher, service_account, taint_eviction,
};

/// All controllers, in the order in which they start.
pub const CONTROLLERS: &[Registration] = &[
    crate::deployment::REGISTRATION,
    crate::daemon_set::REGISTRATION,
    crate::stateful_set::REGISTRATION,
    crate::job::REGISTRATION,
    crate::cron_job::REGISTRATION,
    crate::ttl_after_finished::REGISTRATION,
    service_account::REGISTRATION,
    crate::service_account_token::REGISTRATION,
    crate::legacy_token_cleaner::REGISTRATION,
    root_ca_publisher::REGISTRATION,
    replica_set::REGISTRATION,
    replica_set::REPLICATION,
    endpoint_slice::REGISTRATION,
    node_lifecycle::REGISTRATION,
    taint_eviction::REGISTRATION,
    node_ipam::REGISTRATION,
    pod_gc::REGISTRATION,
    namespace::REGISTRATION,
    garbage_collector::REGISTRATION,
    endpoints::REGISTRATION,
    cluster_role_aggregation::REGISTRATION,
    disruption::REGISTRATION,
    certificate::approve::REGISTRATION,
    certificate::sign::REGISTRATION,
    certificate::clean::REGISTRATION,
    crate::volume_binder::REGISTRATION,
    crate::volume_protection::REGISTRATION,
    crate::claim_protection::REGISTRATION,
    bootstrap_token::sign::REGISTRATION,
    bootstrap_token::clean::REGISTRATION,
    crate::ttl::REGISTRATION,
    crate::resource_quota::REGISTRATION,
    crate::endpoint_slice_mirroring::REGISTRATION,
    crate::service_cidr::REGISTRATION,
];

/// Why a choice of controllers is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// A name is unknown.
    #[error("--controllers: there is no controller {name:?}, known are: {known}")]
    Unknown {
        /// The name.
        name: String,
        /// All names.
        known: String,
    },
}

/// Upstream's controllers which this build lacks. They may be named, and are then not run.
const ABSENT: &[&str] = &[
    "attachdetach",
    "cloud-node-lifecycle-controller",
    "device-taint-eviction-controller",
    "ephemeral-volume-controller",
    "horizontal-pod-autoscaler-controller",
    "kube-apiserver-serving-clustertrustbundle-publisher-controller",
    "node-route-controller",
    "persistentvolume-attach-detach-controller",
    "persistentvolume-expander-controller",
    "podcertificaterequest-cleaner-controller",
    "resourceclaim-controller",
    "selinux-warning-controller",
    "service-lb-controller",
    "storage-version-migrator-controller",
    "storageversion-garbage-collector-controller",
    "validatingadmissionpolicy-status-controller",
    "volumeattributesclass-protection-controller",
];

/// The controllers that `--controllers` chooses: `*` is all that are on by default, `name` adds
/// one, `-name` takes one away, whatever the order.
///
/// # Errors
/// A name is neither a controller's, nor one that it had, nor one of upstream's.
pub fn choose(
    all: &'static [Registration],
    choice: &[String],
) -> Result<Vec<&'static Registration>, ChoiceError> {
    let is = |one: &Registration, name: &str| one.name == name || one.alias == name;
    for word in choice.iter().filter(|word| *word != "*") {
        let name = word.strip_prefix('-').unwrap_or(word);
        if !all.iter().any(|one| is(one, name)) && !is_upstreams(name) {
            let known: Vec<_> = all.iter().map(|one| one.name).collect();
            return Err(ChoiceError::Unknown {
                name: name.to_owned(),
                known: known.join(", "),
            });
        }
    }
    let chosen = all.iter().filter(|one| {
        let off = choice
            .iter()
            .any(|word| word.strip_prefix('-').is_some_and(|name| is(one, name)));
        let on = choice.iter().any(|word| is(one, word));
        let star = choice.iter().any(|word| word == "*");
        !off && (on || (star && one.by_default))
    });
    Ok(chosen.collect())
}

/// The names of a choice that ask for a controller which this build lacks; `*` asks for all of
/// upstream's that are usually on.
pub fn lacking<'a>(all: &[Registration], choice: &'a [String]) -> Vec<&'a str> {
    let asked = choice.iter().map(String::as_str);
    let star = choice.iter().any(|word| word == "*");
    let named = asked
        .filter(|word| *word != "*" && !word.starts_with('-'))
        .filter(|word| {
            !all.iter()
                .any(|one| one.name == *word || one.alias == *word)
        });
    let usual = ABSENT.iter().copied().filter(|name| {
        star && !choice
            .iter()
            .any(|word| word.strip_prefix('-') == Some(name))
    });
    let mut names: Vec<_> = named.chain(usual).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether upstream has a controller of this name, in either form.
fn is_upstreams(name: &str) -> bool {
    ABSENT.contains(&name) || name.ends_with("-controller")
}

#[cfg(test)]
mod tests {
    use super::{ABSENT, CONTROLLERS, choose, lacking};
    use crate::controller::Registration;

    #[test]
    fn stars_names_and_dashes() {
        const ALL: &[Registration] = &[
            Registration {
                name: "a-controller",
                alias: "a",
                ..CONTROLLERS[0]
            },
            Registration {
                name: "b-controller",
                alias: "b",
                by_default: false,
                ..CONTROLLERS[0]
            },
        ];
        let check = |choice: &[&str], expected: &[&str]| {
            let choice: Vec<_> = choice.iter().map(|word| (*word).to_owned()).collect();
            let chosen = choose(ALL, &choice).unwrap();
            let names: Vec<_> = chosen.iter().map(|one| one.name).collect();
            assert_eq!(names, expected, "{choice:?}");
        };
        check(&["*"], &["a-controller"]);
        check(&["*", "b"], &["a-controller", "b-controller"]);
        check(&["-a-controller", "*", "b-controller"], &["b-controller"]);
        check(&["*", "node-route-controller"], &["a-controller"]);
        check(&[], &[]);
        let error = choose(ALL, &["x".to_owned()]).unwrap_err();
        assert!(
            error.to_string().contains("\"x\", known are: a-controller"),
            "{error}"
        );
    }

    #[test]
    fn what_is_asked_for_and_not_there_is_told() {
        let check = |choice: &[&str], expected: &[&str]| {
            let choice: Vec<_> = choice.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(lacking(CONTROLLERS, &choice), expected, "{choice:?}");
        };
        check(&["job-controller", "job"], &[]);
        check(
            &["service-lb-controller", "-x-controller"],
            &["service-lb-controller"],
        );
        check(&["*"], ABSENT);
        assert!(
            ABSENT
                .iter()
                .all(|name| CONTROLLERS.iter().all(|one| one.name != *name))
        );
    }

    #[test]
    fn names_are_unique() {
        for (at, one) in CONTROLLERS.iter().enumerate() {
            let clash = CONTROLLERS[..at].iter().find(|other| {
                [other.name, other.alias]
                    .iter()
                    .any(|name| [one.name, one.alias].contains(name))
            });
            assert!(clash.is_none(), "{} and {clash:?}", one.name);
        }
    }
}
