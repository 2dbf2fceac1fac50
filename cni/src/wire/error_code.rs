//! The one table from failures to CNI error codes, and the error object on stdout.

use serde::Serialize;

use super::version::Version;

/// A CNI error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The protocol version is not supported.
    IncompatibleVersion,
    /// A field of the configuration that the plugin does not support.
    UnsupportedField,
    /// A variable of the environment is missing or wrong.
    InvalidEnvironment,
    /// Input or output failed.
    Io,
    /// The configuration is no JSON.
    Decoding,
    /// The configuration is wrong.
    InvalidConfig,
    /// The network namespace is none, or the plugin's own.
    InvalidNamespace,
    /// Try again later.
    TryAgain,
    /// STATUS: the plugin cannot serve ADD.
    NotAvailable,
    /// Anything else.
    Internal,
}

impl Code {
    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::IncompatibleVersion => 1,
            Self::UnsupportedField => 2,
            Self::InvalidEnvironment => 4,
            Self::Io => 5,
            Self::Decoding => 6,
            Self::InvalidConfig => 7,
            Self::InvalidNamespace => 8,
            Self::TryAgain => 11,
            Self::NotAvailable => 50,
            Self::Internal => 999,
        }
    }
}

/// A failure as the runtime sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind.
    pub code: u32,
    /// What failed, with the object's name.
    pub message: String,
    /// More about it, for example what else failed while cleaning up.
    pub details: String,
}

/// What the plugins' functions return.
pub type Outcome<T> = Result<T, Failure>;

impl Failure {
    /// A failure of a known kind.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code: code.number(),
            message: message.into(),
            details: String::new(),
        }
    }

    /// A wrong field of the configuration.
    pub fn config(field: &str, why: impl std::fmt::Display) -> Self {
        Self::new(Code::InvalidConfig, format!("{field}: {why}"))
    }

    /// A failure with more about it.
    #[must_use]
    pub fn with_details(mut self, details: impl Into<String>) -> Self {
        let more = details.into();
        if !self.details.is_empty() && !more.is_empty() {
            self.details.push_str("; ");
        }
        self.details.push_str(&more);
        self
    }

    /// The error object of the protocol.
    #[must_use]
    pub fn to_json(&self, version: Version) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire<'a> {
            cni_version: &'a str,
            code: u32,
            msg: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            details: &'a str,
        }
        serde_json::to_string_pretty(&Wire {
            cni_version: version.as_str(),
            code: self.code,
            msg: &self.message,
            details: &self.details,
        })
        .unwrap_or_default()
    }
}

impl From<keelson_netlink::Error> for Failure {
    fn from(error: keelson_netlink::Error) -> Self {
        Self::new(Code::Internal, error.to_string())
    }
}
