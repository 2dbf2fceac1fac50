//! `grpc`: the health service (grpc.health.v1) over one plain HTTP/2 connection that is not kept.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::{HeaderValue, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::{Code, Status};

use super::connect::Dialer;
use super::target::{GrpcTarget, PROBE_AGENT};
use super::{ProbeOutcome, ProbeReport};

/// Generated from `proto/health.proto`.
#[allow(
    missing_docs,
    unused_qualifications,
    clippy::all,
    reason = "generated code"
)]
pub(super) mod health {
    tonic::include_proto!("grpc.health.v1");
}

use health::health_check_response::ServingStatus;
use health::health_client::HealthClient;
use health::{HealthCheckRequest, HealthCheckResponse};

/// How far a probe has come when its time is up.
pub(super) fn timed_out(target: &GrpcTarget, connected: bool, timeout: Duration) -> ProbeReport {
    let message = if connected {
        format!("timeout: health rpc did not complete within {timeout:?}")
    } else {
        let authority = target.authority.to_string();
        format!(
            "timeout: failed to connect service {authority:?} within {timeout:?}: context deadline \
             exceeded"
        )
    };
    ProbeReport::new(ProbeOutcome::Failure, &message)
}

/// Connects and asks once. All bad news is a failure, as with `grpc_health_probe`.
pub(super) async fn probe(dialer: &Dialer, target: &GrpcTarget, timeout: Duration) -> ProbeReport {
    let deadline = tokio::time::Instant::now() + timeout;
    let stream = match tokio::time::timeout_at(deadline, dialer.tcp(&target.authority)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            let authority = target.authority.to_string();
            let message = format!("error: failed to connect service at {authority:?}: {error}");
            return ProbeReport::new(ProbeOutcome::Failure, &message);
        }
        Err(_elapsed) => return timed_out(target, false, timeout),
    };
    match tokio::time::timeout_at(deadline, check(stream, target)).await {
        Ok(answer) => judge(answer),
        Err(_elapsed) => timed_out(target, true, timeout),
    }
}

fn judge(answer: Result<HealthCheckResponse, Status>) -> ProbeReport {
    match answer {
        Ok(response) if response.status() == ServingStatus::Serving => {
            ProbeReport::new(ProbeOutcome::Success, "service healthy")
        }
        Ok(response) => {
            let status = response.status().as_str_name();
            let message = format!("service unhealthy (responded with {status:?})");
            ProbeReport::new(ProbeOutcome::Failure, &message)
        }
        Err(status) if status.code() == Code::Unimplemented => {
            let message = format!(
                "error: this server does not implement the grpc health protocol \
                 (grpc.health.v1.Health): {}",
                status.message()
            );
            ProbeReport::new(ProbeOutcome::Failure, &message)
        }
        Err(status) => {
            let message = format!(
                "error: health rpc probe failed: rpc error: code = {:?} desc = {}",
                status.code(),
                status.message()
            );
            ProbeReport::new(ProbeOutcome::Failure, &message)
        }
    }
}

async fn check(stream: TcpStream, target: &GrpcTarget) -> Result<HealthCheckResponse, Status> {
    let broken = |error: hyper::Error| Status::unavailable(error.to_string());
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let uri: Uri = format!("http://{}", target.authority)
        .parse()
        .map_err(|_| Status::invalid_argument("host is no authority"))?;
    let answer = async {
        let mut client = HealthClient::with_origin(OneConnection(sender), uri);
        let service = target.service.clone();
        client.check(HealthCheckRequest { service }).await
    };
    tokio::pin!(connection, answer);
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        _ = &mut connection => answer.await,
    };
    answer.map(tonic::Response::into_inner)
}

/// The client side of one HTTP/2 connection, as the generated client wants it.
#[derive(Clone)]
struct OneConnection(SendRequest<Body>);

impl Service<Request<Body>> for OneConnection {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let agent = HeaderValue::from_static(PROBE_AGENT);
        request.headers_mut().insert(USER_AGENT, agent);
        Box::pin(self.0.send_request(request))
    }
}
