//! The structured fields of `KubeletConfiguration`.
//!
//! Decides names, types and defaults only.

use std::collections::BTreeMap;

use keelson_api::WireQuantity;
use keelson_api::duration::Duration;
use serde::{Deserialize, Deserializer, Serialize, de};

/// How callers of the server prove who they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Authentication {
    /// Client certificates.
    pub x509: X509Authentication,
    /// Bearer tokens, checked by the apiserver.
    pub webhook: WebhookAuthentication,
    /// Callers without credentials.
    pub anonymous: AnonymousAuthentication,
}

/// Client certificates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct X509Authentication {
    /// PEM file of the authorities that are trusted. Empty: none.
    #[serde(rename = "clientCAFile")]
    pub client_ca_file: String,
}

/// Bearer tokens, checked by the apiserver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WebhookAuthentication {
    /// Whether tokens are accepted.
    pub enabled: bool,
    /// How long an answer is remembered.
    #[serde(rename = "cacheTTL")]
    pub cache_ttl: Duration,
}

impl Default for WebhookAuthentication {
    fn default() -> Self {
        Self {
            enabled: true,
            cache_ttl: Duration::from_secs(120),
        }
    }
}

/// Callers without credentials.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AnonymousAuthentication {
    /// Whether they are taken as `system:anonymous`.
    pub enabled: bool,
}

/// What callers of the server may do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Authorization {
    /// `AlwaysAllow` or `Webhook`.
    pub mode: String,
    /// How long the apiserver's answers are remembered.
    pub webhook: WebhookAuthorization,
}

impl Default for Authorization {
    fn default() -> Self {
        Self {
            mode: "Webhook".to_owned(),
            webhook: WebhookAuthorization::default(),
        }
    }
}

/// How long the apiserver's answers are remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WebhookAuthorization {
    /// When it allowed.
    #[serde(rename = "cacheAuthorizedTTL")]
    pub cache_authorized_ttl: Duration,
    /// When it did not.
    #[serde(rename = "cacheUnauthorizedTTL")]
    pub cache_unauthorized_ttl: Duration,
}

impl Default for WebhookAuthorization {
    fn default() -> Self {
        Self {
            cache_authorized_ttl: Duration::from_secs(300),
            cache_unauthorized_ttl: Duration::from_secs(30),
        }
    }
}

/// What swap containers may use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MemorySwap {
    /// Empty or `NoSwap`: none. `LimitedSwap`: in proportion to the memory request.
    pub swap_behavior: String,
}

/// How long restarts of failing containers are put off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CrashLoopBackOff {
    /// The longest delay between two restarts: 1 s to 300 s.
    pub max_container_restart_period: Duration,
}

impl Default for CrashLoopBackOff {
    fn default() -> Self {
        Self {
            max_container_restart_period: Duration::from_secs(300),
        }
    }
}

/// Memory held back on one NUMA node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MemoryReservation {
    /// The NUMA node's number.
    pub numa_node: i32,
    /// Amounts by memory type.
    pub limits: BTreeMap<String, WireQuantity>,
}

/// Time that a shutdown of the node waits for pods from one priority upwards.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ShutdownGracePeriodByPodPriority {
    /// The lowest priority this is for.
    pub priority: i32,
    /// Seconds to wait.
    pub shutdown_grace_period_seconds: i64,
}

/// How user namespaces of pods are sized.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserNamespaces {
    /// IDs per pod, a multiple of 65536.
    #[serde(rename = "idsPerPod")]
    pub ids_per_pod: i64,
}

impl Default for UserNamespaces {
    fn default() -> Self {
        Self {
            ids_per_pod: 65_536,
        }
    }
}

/// Where spans are sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Tracing {
    /// The collector's address. Unset: `localhost:4317`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Spans recorded per million.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampling_rate_per_million: Option<i32>,
}

/// Format and verbosity of the kubelet's own log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Logging {
    /// `text` or `json`.
    pub format: String,
    /// Longest time between two writes of the log.
    #[serde(deserialize_with = "duration_or_nanoseconds")]
    pub flush_frequency: Duration,
    /// How much is logged; 0 is the least.
    pub verbosity: u32,
    /// Verbosity by source file, text format only.
    pub vmodule: Vec<VModule>,
    /// Options by format.
    pub options: LoggingOptions,
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            format: "text".to_owned(),
            flush_frequency: Duration::from_secs(5),
            verbosity: 0,
            vmodule: Vec::new(),
            options: LoggingOptions::default(),
        }
    }
}

/// Verbosity of one source file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VModule {
    /// The file's base name without extension; may end in a `*`.
    pub file_pattern: String,
    /// The verbosity there.
    pub verbosity: u32,
}

/// Options by log format.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoggingOptions {
    /// Of the format `text`.
    pub text: OutputRouting,
    /// Of the format `json`.
    pub json: OutputRouting,
}

/// Which stream a log goes to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OutputRouting {
    /// Whether information goes to stdout and errors to stderr.
    pub split_stream: bool,
    /// Bytes of information to hold back while streams are split.
    pub info_buffer_size: WireQuantity,
}

impl Default for OutputRouting {
    fn default() -> Self {
        Self {
            split_stream: false,
            info_buffer_size: WireQuantity("0".to_owned()),
        }
    }
}

/// Go's older log configuration wrote this one duration as a number of nanoseconds.
fn duration_or_nanoseconds<'de, D: Deserializer<'de>>(source: D) -> Result<Duration, D::Error> {
    #[derive(Deserialize)]
    #[serde(
        untagged,
        expecting = "expected a duration such as \"5s\", or nanoseconds"
    )]
    enum Either {
        Nanoseconds(i64),
        Text(String),
    }
    match Either::deserialize(source)? {
        Either::Nanoseconds(count) => Ok(Duration::from_nanos(count)),
        Either::Text(text) => Duration::parse(&text).map_err(de::Error::custom),
    }
}
