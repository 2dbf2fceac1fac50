//! The members of an etcd cluster and which of them is asked: one at a time, the next when it does
//! not answer. It must not know what is asked.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, ConnectError, Request, Status};

use super::proto::kv_client::KvClient;
use super::proto::lease_client::LeaseClient;
use super::proto::maintenance_client::MaintenanceClient;
use super::proto::watch_client::WatchClient;
use crate::Error;

/// How long a connection may take to come up.
const CONNECT: Duration = Duration::from_secs(2);

/// How often an open connection is asked whether it lives, and how long it has to answer. etcd
/// refuses clients that ask more often than every five seconds.
const PING: Duration = Duration::from_secs(8);
const PONG: Duration = Duration::from_secs(4);

/// How long one member has for one request.
pub const ATTEMPT: Duration = Duration::from_secs(4);

/// Where etcd is and how to talk to it.
#[derive(Clone, Default)]
pub struct Options {
    /// Addresses of members: `https://10.0.0.1:2379`.
    pub endpoints: Vec<String>,
    /// How to talk to `https` endpoints.
    pub tls: Option<Tls>,
}

/// Certificates, as PEM text.
#[derive(Clone)]
pub struct Tls {
    /// Who signed the members' certificates.
    pub authority: String,
    /// Our certificate and its key, where the members ask for one.
    pub identity: Option<(String, String)>,
}

/// Tells etcd to refuse, rather than to wait, while it has no leader.
#[derive(Clone)]
pub struct WantsLeader;

impl Interceptor for WantsLeader {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        metadata.insert("hasleader", MetadataValue::from_static("true"));
        Ok(request)
    }
}

/// A connection on which every request wants a leader.
pub type Link = InterceptedService<Channel, WantsLeader>;

/// All members.
pub struct Members {
    members: Vec<Member>,
    current: AtomicUsize,
}

struct Member {
    endpoint: String,
    channel: Channel,
}

/// One member, picked for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick(usize);

/// What is known after a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It did not reach the member.
    NotSent,
    /// It may have been carried out.
    Unclear,
    /// The member answered: asking another is no use.
    Answered,
}

impl Members {
    /// Prepares connections; they come up when they are needed.
    ///
    /// # Errors
    /// When an address or a certificate can't be used.
    pub fn new(options: &Options) -> Result<Self, Error> {
        let members = options.endpoints.iter().map(|endpoint| {
            let channel = channel(endpoint, options.tls.as_ref()).map_err(|error| {
                let reason = format!("{endpoint} can't be used: {error}");
                Error::Unavailable { reason }
            })?;
            let endpoint = endpoint.clone();
            Ok(Member { endpoint, channel })
        });
        let members = members.collect::<Result<Vec<_>, Error>>()?;
        if members.is_empty() {
            let reason = "no endpoint of etcd is given".to_owned();
            return Err(Error::Unavailable { reason });
        }
        Ok(Self {
            members,
            current: AtomicUsize::new(0),
        })
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.members.len()
    }

    /// Every member.
    pub fn all(&self) -> impl Iterator<Item = Pick> + use<> {
        (0..self.members.len()).map(Pick)
    }

    /// The one that is asked at the moment.
    pub fn pick(&self) -> Pick {
        Pick(self.current.load(Ordering::Relaxed))
    }

    /// Asks another from now on, unless that was decided already.
    pub fn avoid(&self, pick: Pick) {
        let next = (pick.0 + 1) % self.members.len();
        let _ = self
            .current
            .compare_exchange(pick.0, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Its address.
    pub fn endpoint(&self, pick: Pick) -> &str {
        &self.members[pick.0].endpoint
    }

    fn link(&self, pick: Pick) -> Link {
        InterceptedService::new(self.members[pick.0].channel.clone(), WantsLeader)
    }

    /// Reads and writes. Lists are as large as they are, hence no limit on what is decoded.
    pub fn kv(&self, pick: Pick) -> KvClient<Link> {
        KvClient::new(self.link(pick))
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX)
    }

    /// Watches.
    pub fn watch(&self, pick: Pick) -> WatchClient<Link> {
        WatchClient::new(self.link(pick)).max_decoding_message_size(usize::MAX)
    }

    /// Leases.
    pub fn lease(&self, pick: Pick) -> LeaseClient<Link> {
        LeaseClient::new(self.link(pick))
    }

    /// What a member says about itself.
    pub fn maintenance(&self, pick: Pick) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.members[pick.0].channel.clone())
    }
}

fn channel(endpoint: &str, tls: Option<&Tls>) -> Result<Channel, tonic::transport::Error> {
    let mut prepared = Endpoint::from_shared(endpoint.to_owned())?
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .keep_alive_while_idle(true);
    if let Some(tls) = tls.filter(|_| endpoint.starts_with("https")) {
        let mut config =
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&tls.authority));
        if let Some((certificate, key)) = &tls.identity {
            config = config.identity(Identity::from_pem(certificate, key));
        }
        prepared = prepared.tls_config(config)?;
    }
    Ok(prepared.connect_lazy())
}

/// What `status` says about the request that it answers.
pub fn failure(status: &Status) -> Failure {
    if never_connected(status) {
        return Failure::NotSent;
    }
    match status.code() {
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Cancelled
        | Code::Unknown
        | Code::Internal
        | Code::Aborted => Failure::Unclear,
        _ => Failure::Answered,
    }
}

fn never_connected(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_the_next_when_it_fails() {
        let endpoints = ["http://127.0.0.1:1", "http://127.0.0.1:2"];
        let options = Options {
            endpoints: endpoints.map(str::to_owned).to_vec(),
            tls: None,
        };
        let members = Members::new(&options).unwrap();
        let first = members.pick();
        assert_eq!(members.endpoint(first), endpoints[0]);
        members.avoid(first);
        members.avoid(first);
        let second = members.pick();
        assert_eq!(
            members.endpoint(second),
            endpoints[1],
            "two who noticed it count once"
        );
        members.avoid(second);
        assert_eq!(members.pick(), first);
    }

    #[test]
    fn bad_options_are_refused() {
        assert!(Members::new(&Options::default()).is_err());
        let options = Options {
            endpoints: vec!["not an address".to_owned()],
            tls: None,
        };
        let error = Members::new(&options).err().unwrap().to_string();
        assert!(error.contains("not an address"), "{error}");
    }

    #[test]
    fn failures_are_told_apart() {
        assert_eq!(
            failure(&Status::unavailable("leader changed")),
            Failure::Unclear
        );
        assert_eq!(
            failure(&Status::out_of_range("compacted")),
            Failure::Answered
        );
    }
}
