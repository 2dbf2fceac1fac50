//! The server's parts as its options ask for them. Reads the files that flags name.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::admit::Chain;
use crate::admit::settings::Settings;
use crate::admit_metrics::AdmitMetrics;
use crate::allocate::Ranges;
use crate::allocate::range::{AddressRange, PortRange};
use crate::api::Api;
use crate::auth::authenticate::StaticTokens;
use crate::auth::authorizer::{Authorizer, Mode};
use crate::auth::front::FrontProxy;
use crate::auth::service_account::Issuers;
use crate::auth::tokens::Tokens;
use crate::backend::{Backends, KubeletFiles};
use crate::engine::Engine;
use crate::gate::Gate;
use crate::handle::openapi::Documents;
use crate::limits::Limits;
use crate::options::Options;
use crate::registry::Registry;
use crate::request_metrics::RequestMetrics;
use crate::run::RunError;
use crate::server::tls::TlsFiles;
use crate::start::{self, Place};

/// What is read before the port is taken.
pub(crate) struct Parts {
    modes: Vec<Mode>,
    tokens: StaticTokens,
    accounts: Tokens,
    ranges: Ranges,
    chain: Chain,
    kubelets: KubeletFiles,
    service_ip: IpAddr,
    event_ttl: Duration,
    deadline: Duration,
}

impl Parts {
    /// Reads and checks what the options name.
    pub(crate) fn read(options: &Options) -> Result<Self, RunError> {
        let identity = options.kubelet_client_certificate.clone();
        Ok(Self {
            modes: modes(&options.authorization_mode)?,
            tokens: match &options.token_auth_file {
                Some(path) => StaticTokens::read(path)?,
                None => StaticTokens::default(),
            },
            accounts: accounts(options)?,
            ranges: ranges(options)?,
            chain: chain(options)?,
            kubelets: KubeletFiles {
                identity: identity.zip(options.kubelet_client_key.clone()),
                authority: options.kubelet_certificate_authority.clone(),
            },
            service_ip: service_ip(options)?,
            event_ttl: duration("event-ttl", &options.event_ttl)?,
            deadline: duration("request-timeout", &options.request_timeout)?,
        })
    }

    /// Where the server is.
    pub(crate) fn place(&self, options: &Options, address: SocketAddr) -> Place {
        Place {
            service_ip: self.service_ip,
            address: options.advertise_address.unwrap_or(address.ip()),
            port: address.port(),
            service_ranges: self
                .ranges
                .addresses
                .iter()
                .map(ToString::to_string)
                .collect(),
            client_ca: options.client_ca_file.clone(),
            front: options.front.clone(),
        }
    }

    /// The server's state.
    pub(crate) fn api(
        self,
        options: &Options,
        address: SocketAddr,
        engine: Arc<Engine>,
    ) -> Result<Arc<Api>, RunError> {
        let stopping = CancellationToken::new();
        let ip = options.advertise_address.unwrap_or(address.ip());
        let admissions = Arc::<AdmitMetrics>::default();
        let gate = Gate {
            chain: self.chain,
            metrics: Arc::clone(&admissions),
        };
        Ok(Arc::new(Api {
            ranges: self.ranges,
            backends: Backends::open(self.kubelets, stopping.clone())?,
            openapi: Documents::default(),
            metrics: RequestMetrics::default(),
            admit_metrics: admissions,
            registry: Registry {
                event_ttl: self.event_ttl,
                is_local: !engine.is_shared(),
                ..Registry::new(engine.store())
            },
            engine,
            tokens: self.tokens,
            accounts: Tokens {
                jwks_uri: jwks_uri(options, ip, address.port()),
                ..self.accounts
            },
            front: FrontProxy::new(&options.front),
            anonymous: options.anonymous_auth,
            authorizer: Authorizer::new(self.modes),
            limits: Limits::new(
                options.max_requests_inflight,
                options.max_mutating_requests_inflight,
            ),
            deadline: self.deadline,
            kubelet_addresses: options.kubelet_preferred_address_types.clone(),
            admissions: vec![Box::new(gate)],
            address: SocketAddr::new(ip, address.port()).to_string(),
            stopping,
            started: CancellationToken::new(),
        }))
    }
}

/// The files of the server's own TLS.
pub(crate) fn tls_files(options: &Options) -> TlsFiles {
    TlsFiles {
        certificate: options.tls_cert_file.clone(),
        key: options.tls_private_key_file.clone(),
        client_ca: options.client_ca_file.clone(),
        front_ca: options.front.requestheader_client_ca_file.clone(),
    }
}

fn wrong(flag: &'static str, value: &str, why: impl Into<String>) -> RunError {
    RunError::Flag {
        flag,
        value: value.to_owned(),
        why: why.into(),
    }
}

/// A flag's duration, such as `1h0m0s`; `0` and nothing for none.
pub(crate) fn duration(flag: &'static str, text: &str) -> Result<Duration, RunError> {
    match text {
        "0" | "" => Ok(Duration::ZERO),
        text => keelson_api::duration::Duration::parse(text)
            .map(keelson_api::duration::Duration::to_std)
            .map_err(|error| wrong(flag, text, error.to_string())),
    }
}

fn modes(names: &[String]) -> Result<Vec<Mode>, RunError> {
    let mode = |name: &String| match name.as_str() {
        "Node" => Ok(Mode::Node),
        "RBAC" => Ok(Mode::Rbac),
        "AlwaysAllow" => Ok(Mode::AlwaysAllow),
        other => Err(RunError::Mode(other.to_owned())),
    };
    names.iter().map(mode).collect()
}

fn jwks_uri(options: &Options, ip: IpAddr, port: u16) -> String {
    let own = || format!("https://{}/openid/v1/jwks", SocketAddr::new(ip, port));
    options.service_account_jwks_uri.clone().unwrap_or_else(own)
}

/// What tokens of service accounts are issued and checked with.
fn accounts(options: &Options) -> Result<Tokens, RunError> {
    let mut audiences = options.api_audiences.clone();
    if audiences.is_empty() {
        audiences.extend(options.service_account_issuer.first().cloned());
    }
    let longest = &options.service_account_max_token_expiration;
    let longest = duration("service-account-max-token-expiration", longest)?;
    let issuers = Issuers {
        issuers: options.service_account_issuer.clone(),
        audiences,
        longest: i64::try_from(longest.as_secs()).unwrap_or(i64::MAX),
        extend: options.service_account_extend_token_expiration,
    };
    let signing = options.service_account_signing_key_file.as_deref();
    Ok(Tokens {
        bootstrap: options.enable_bootstrap_token_auth,
        ..Tokens::read(signing, &options.service_account_key_file, issuers)?
    })
}

/// Where addresses and ports of services come from.
fn ranges(options: &Options) -> Result<Ranges, RunError> {
    let addresses = options.service_cluster_ip_range.as_str();
    let ports = options.service_node_port_range.as_str();
    let parsed = addresses.split(',').map(AddressRange::parse);
    let parsed: Option<Vec<AddressRange>> = parsed.collect();
    let flag = "service-cluster-ip-range";
    Ok(Ranges {
        addresses: parsed.ok_or_else(|| wrong(flag, addresses, "expected ADDRESS/LENGTH"))?,
        ports: PortRange::parse(ports)
            .ok_or_else(|| wrong("service-node-port-range", ports, "expected FIRST-LAST"))?,
    })
}

/// The plugins of admission, and what they are told.
fn chain(options: &Options) -> Result<Chain, RunError> {
    let (more, less) = (
        &options.enable_admission_plugins,
        &options.disable_admission_plugins,
    );
    let mut chain = Chain::new(more, less)?;
    if let Some(path) = &options.admission_control_config_file {
        let flag = "admission-control-config-file";
        let refuse = |why: String| wrong(flag, &path.to_string_lossy(), why);
        let document = document(path).map_err(refuse)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let open = |name: &str| self::document(&folder.join(name));
        chain.settings = Settings::read(&document, &open).map_err(refuse)?;
    }
    Ok(chain)
}

fn document(path: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let parsed = keelson_api::yaml::parse_one(&text);
    parsed
        .map(|document| document.value)
        .map_err(|error| error.to_string())
}

fn service_ip(options: &Options) -> Result<IpAddr, RunError> {
    let range = &options.service_cluster_ip_range;
    let first = range.split(',').next().and_then(start::first_address);
    let why = "expected ADDRESS/LENGTH with room for services";
    first.ok_or_else(|| wrong("service-cluster-ip-range", range, why))
}
