//! Go's names for TLS versions and cipher suites, and what they mean here. Pure.

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{cipher_suite as suite, default_provider};
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

/// Which TLS is talked.
#[derive(Debug, Clone, Default)]
pub struct TlsPolicy {
    only_13: bool,
    suites: Option<Vec<SupportedCipherSuite>>,
}

/// Why a policy cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The version is too old or unknown.
    #[error("tlsMinVersion: {0:?} is not supported: use VersionTLS12 or VersionTLS13")]
    Version(String),
    /// The suite is insecure or unknown.
    #[error("tlsCipherSuites: {name:?} is not supported: use some of {supported}")]
    Suite {
        /// The name given.
        name: String,
        /// The names understood.
        supported: String,
    },
}

/// Suites that can be chosen; those of TLS 1.3 are always on, as in Go.
const SUITES: &[(&str, SupportedCipherSuite)] = &[
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

static ONLY_13: &[&SupportedProtocolVersion] = &[&TLS13];
static BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// Go's older names of two of them.
const OLD_NAMES: &[&str] = &[
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
];

/// Names of the suites of TLS 1.3.
const SUITES_13: &[&str] = &[
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
];

impl TlsPolicy {
    /// Understands `tlsMinVersion` and `tlsCipherSuites`; empty ones mean the defaults.
    pub fn parse(min_version: &str, cipher_suites: &[String]) -> Result<Self, PolicyError> {
        let only_13 = match min_version {
            "" | "VersionTLS12" => false,
            "VersionTLS13" => true,
            other => return Err(PolicyError::Version(other.to_owned())),
        };
        let mut chosen = Vec::new();
        for name in cipher_suites {
            if !SUITES_13.contains(&name.as_str()) {
                chosen.push(suite_called(name)?);
            }
        }
        Ok(Self {
            only_13,
            suites: (!cipher_suites.is_empty()).then_some(chosen),
        })
    }

    pub(super) fn versions(&self) -> &'static [&'static SupportedProtocolVersion] {
        if self.only_13 { ONLY_13 } else { BOTH }
    }

    pub(super) fn provider(&self) -> CryptoProvider {
        let mut provider = default_provider();
        if let Some(chosen) = &self.suites {
            let kept =
                |suite: &SupportedCipherSuite| suite.tls13().is_some() || chosen.contains(suite);
            provider.cipher_suites.retain(kept);
        }
        provider
    }
}

fn suite_called(name: &str) -> Result<SupportedCipherSuite, PolicyError> {
    let full_name = match OLD_NAMES.contains(&name) {
        true => format!("{name}_SHA256"),
        false => name.to_owned(),
    };
    let known = SUITES.iter().find(|(known, _)| *known == full_name);
    known.map(|(_, suite)| *suite).ok_or_else(|| {
        let names: Vec<&str> = SUITES.iter().map(|(name, _)| *name).collect();
        PolicyError::Suite {
            name: name.to_owned(),
            supported: names.join(", "),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (name, versions) in [("", 2), ("VersionTLS12", 2), ("VersionTLS13", 1)] {
            let policy = TlsPolicy::parse(name, &[]).unwrap();
            assert_eq!(policy.versions().len(), versions, "{name}");
        }
        let refused = TlsPolicy::parse("VersionTLS10", &[]).unwrap_err();
        assert!(refused.to_string().contains("use VersionTLS12"));
    }

    #[test]
    fn suites() {
        let all = TlsPolicy::default().provider().cipher_suites.len();
        let some = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            TlsPolicy::parse("", &names).map(|policy| policy.provider().cipher_suites.len())
        };
        assert_eq!(all, 9);
        assert_eq!(some(&[]), Ok(9));
        assert_eq!(some(&["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]), Ok(4));
        assert_eq!(some(&["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305"]), Ok(4));
        assert_eq!(some(&["TLS_AES_128_GCM_SHA256"]), Ok(3));
        let refused = some(&["TLS_RSA_WITH_RC4_128_SHA"]).unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")
        );
    }
}
