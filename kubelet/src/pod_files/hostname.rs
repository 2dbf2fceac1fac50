//! The host name, domain and fully qualified name of a pod. Pure.

use k8s_openapi::api::core::v1::Pod;

/// Longest host name the kernel takes is 64 bytes; a DNS label has 63.
const MAX_HOSTNAME: usize = 63;
/// `sethostname(2)` limit, which a fully qualified name must obey.
const MAX_FQDN: usize = 64;

/// The names a pod goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostNames {
    /// What `hostname` prints inside the pod: CRI `PodSandboxConfig.hostname`.
    pub hostname: String,
    /// The short name: first column of names in `/etc/hosts`.
    pub short: String,
    /// `SHORT.SUBDOMAIN.NAMESPACE.svc.DOMAIN`, when the pod has a subdomain.
    pub fqdn: Option<String>,
}

/// Why a pod cannot get the host name it asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostnameError {
    /// `setHostnameAsFQDN` with a name longer than the kernel takes.
    #[error(
        "failed to construct FQDN from pod hostname and cluster domain, FQDN {fqdn} is too long \
         ({MAX_FQDN} characters is the max, {length} characters requested): shorten \
         spec.hostname, spec.subdomain or unset spec.setHostnameAsFQDN"
    )]
    FqdnTooLong {
        /// The name that does not fit.
        fqdn: String,
        /// Its length in bytes.
        length: usize,
    },
}

/// Decides the names of `pod` in a cluster with this `cluster_domain` (may be empty).
///
/// `spec.hostnameOverride` wins; then `spec.hostname`; then the pod's name cut to 63 bytes.
///
/// # Errors
/// [`HostnameError`] when `setHostnameAsFQDN` asks for more than the kernel takes.
pub fn host_names(pod: &Pod, cluster_domain: &str) -> Result<HostNames, HostnameError> {
    let spec = pod.spec.as_ref();
    if let Some(name) = spec
        .and_then(|s| s.hostname_override.as_deref())
        .filter(|n| !n.is_empty())
    {
        return Ok(HostNames {
            hostname: name.to_owned(),
            short: name.to_owned(),
            fqdn: None,
        });
    }
    let own = spec
        .and_then(|s| s.hostname.as_deref())
        .filter(|n| !n.is_empty());
    let short = own.map_or_else(
        || cut(pod.metadata.name.as_deref().unwrap_or_default()),
        ToOwned::to_owned,
    );
    let fqdn = spec
        .and_then(|s| s.subdomain.as_deref())
        .filter(|s| !s.is_empty())
        .map(|subdomain| qualified(&short, subdomain, pod, cluster_domain));
    let wants_fqdn = spec
        .and_then(|s| s.set_hostname_as_fqdn)
        .unwrap_or_default();
    let hostname = match (&fqdn, wants_fqdn) {
        (Some(fqdn), true) => fits(fqdn)?.to_owned(),
        _ => short.clone(),
    };
    Ok(HostNames {
        hostname,
        short,
        fqdn,
    })
}

fn qualified(short: &str, subdomain: &str, pod: &Pod, domain: &str) -> String {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    format!("{short}.{subdomain}.{namespace}.svc.{domain}")
}

fn fits(fqdn: &str) -> Result<&str, HostnameError> {
    if fqdn.len() > MAX_FQDN {
        return Err(HostnameError::FqdnTooLong {
            fqdn: fqdn.to_owned(),
            length: fqdn.len(),
        });
    }
    Ok(fqdn)
}

/// Cuts a pod name to a DNS label: no label may end in `-` or `.`.
fn cut(name: &str) -> String {
    if name.len() <= MAX_HOSTNAME {
        return name.to_owned();
    }
    let end = (0..=MAX_HOSTNAME)
        .rev()
        .find(|&i| name.is_char_boundary(i))
        .unwrap_or(0);
    name[..end].trim_end_matches(['-', '.']).to_owned()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PodSpec;

    use super::*;

    fn pod(name: &str, spec: PodSpec) -> Pod {
        let mut pod = Pod {
            spec: Some(spec),
            ..Pod::default()
        };
        pod.metadata.name = Some(name.to_owned());
        pod.metadata.namespace = Some("ns".to_owned());
        pod
    }

    fn check(name: &str, spec: PodSpec, want: (&str, &str, Option<&str>)) {
        let got = host_names(&pod(name, spec), "cluster.local").unwrap();
        assert_eq!(
            (
                got.hostname.as_str(),
                got.short.as_str(),
                got.fqdn.as_deref()
            ),
            want
        );
    }

    fn spec(hostname: Option<&str>, subdomain: Option<&str>, as_fqdn: bool) -> PodSpec {
        PodSpec {
            hostname: hostname.map(ToOwned::to_owned),
            subdomain: subdomain.map(ToOwned::to_owned),
            set_hostname_as_fqdn: Some(as_fqdn),
            ..PodSpec::default()
        }
    }

    #[test]
    fn name_hostname_subdomain_override() {
        let fqdn = "web.sub.ns.svc.cluster.local";
        check("p", spec(None, None, false), ("p", "p", None));
        check("p", spec(None, None, true), ("p", "p", None));
        check("p", spec(Some("web"), None, false), ("web", "web", None));
        check(
            "p",
            spec(Some("web"), Some("sub"), false),
            ("web", "web", Some(fqdn)),
        );
        check(
            "p",
            spec(Some("web"), Some("sub"), true),
            (fqdn, "web", Some(fqdn)),
        );
        let over = PodSpec {
            hostname_override: Some("db.example.org".to_owned()),
            ..PodSpec::default()
        };
        check("p", over, ("db.example.org", "db.example.org", None));
    }

    #[test]
    fn long_pod_names_are_cut_to_a_label() {
        let name = format!("{}-.{}", "a".repeat(61), "b".repeat(20));
        let want = "a".repeat(61);
        check(&name, PodSpec::default(), (&want, &want, None));
    }

    #[test]
    fn an_fqdn_the_kernel_cannot_hold_is_refused() {
        let long = spec(Some(&"h".repeat(60)), Some("sub"), true);
        let error = host_names(&pod("p", long), "cluster.local").unwrap_err();
        assert!(
            error
                .to_string()
                .contains("too long (64 characters is the max, 85"),
            "{error}"
        );
    }
}
