//! A server of its own for each test, and a client with certificates.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use clap::Parser as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use keelson_apiserver::{Options, run};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;

/// A running server and the keys to it.
pub struct Server {
    pub address: SocketAddr,
    pub folder: TempDir,
    authority: Issuer<'static, KeyPair>,
    root: Certificate,
    stop: Option<oneshot::Sender<()>>,
}

/// A certificate and its key.
struct Pair {
    certificate: Certificate,
    key: KeyPair,
}

/// Somebody who signs certificates.
pub fn authority() -> (Issuer<'static, KeyPair>, Certificate) {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "test-ca");
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (Issuer::new(params, key), certificate)
}

fn pair(authority: &Issuer<'static, KeyPair>, name: &str, groups: &[&str]) -> Pair {
    signed(authority, parameters(name, groups))
}

/// What a certificate of this user says.
pub fn parameters(name: &str, groups: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params
        .subject_alt_names
        .push(SanType::IpAddress([127, 0, 0, 1].into()));
    params.distinguished_name = rcgen::DistinguishedName::new();
    for group in groups {
        params
            .distinguished_name
            .push(DnType::OrganizationName, *group);
    }
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn signed(authority: &Issuer<'static, KeyPair>, params: CertificateParams) -> Pair {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    Pair { certificate, key }
}

impl Server {
    /// A server with an empty store in memory.
    pub async fn start() -> Self {
        Self::with(&["--in-memory"]).await
    }

    /// A server with more flags.
    pub async fn with(flags: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let (authority, root) = authority();
        let own = pair(&authority, "kube-apiserver", &[]);
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let certificate = write("server.crt", own.certificate.pem());
        let key = write("server.key", own.key.serialize_pem());
        let ca = write("ca.crt", root.pem());
        let to_kubelets = pair(
            &authority,
            "kube-apiserver-kubelet-client",
            &["system:masters"],
        );
        let kubelet_certificate = write("kubelet-client.crt", to_kubelets.certificate.pem());
        let kubelet_key = write("kubelet-client.key", to_kubelets.key.serialize_pem());
        let data = folder.path().join("data");
        let flag = |name: &str, path: &PathBuf| format!("--{name}={}", path.display());
        let mut args = vec![
            "kube-apiserver".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            "--secure-port=0".to_owned(),
            flag("tls-cert-file", &certificate),
            flag("tls-private-key-file", &key),
            flag("client-ca-file", &ca),
            flag("kubelet-client-certificate", &kubelet_certificate),
            flag("kubelet-client-key", &kubelet_key),
            flag("kubelet-certificate-authority", &ca),
            flag("data-dir", &data),
        ];
        args.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let options = Options::try_parse_from(args).unwrap();
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = oneshot::channel();
        tokio::spawn(async move {
            let tell = |address| {
                let _ = ready.send(address);
            };
            let served = run(options, tell, async {
                let _ = stopped.await;
            });
            if let Err(error) = served.await {
                panic!("the server did not start: {error}");
            }
        });
        let address = is_ready.await.expect("a server");
        Self {
            address,
            folder,
            authority,
            root,
            stop: Some(stop),
        }
    }

    /// A client with a certificate for this user.
    pub async fn client(&self, name: &str, groups: &[&str]) -> Client {
        self.client_with(&self.authority, parameters(name, groups))
            .await
    }

    /// A client with a certificate that says this, signed by the server's own authority.
    pub async fn client_saying(&self, parameters: CertificateParams) -> Client {
        self.client_with(&self.authority, parameters).await
    }

    /// A client with a certificate that says this, signed by anybody.
    pub async fn client_with(
        &self,
        authority: &Issuer<'static, KeyPair>,
        parameters: CertificateParams,
    ) -> Client {
        let pair = signed(authority, parameters);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.key.serialize_der()));
        self.connect(Some((pair.certificate.der().clone(), key)))
            .await
    }

    /// Somebody who may do everything.
    pub async fn admin(&self) -> Client {
        self.try_admin().await.unwrap()
    }

    /// Somebody without a certificate.
    pub async fn stranger(&self) -> Client {
        self.connect(None).await
    }

    async fn connect(
        &self,
        identity: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
    ) -> Client {
        self.try_connect(identity).await.unwrap()
    }

    /// The same; nobody when the server does not answer.
    pub async fn try_admin(&self) -> Option<Client> {
        let pair = pair(&self.authority, "admin", &["system:masters"]);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.key.serialize_der()));
        let identity = (pair.certificate.der().clone(), key);
        self.try_connect(Some(identity)).await
    }

    async fn try_connect(
        &self,
        identity: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
    ) -> Option<Client> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            Some((certificate, key)) => builder
                .with_client_auth_cert(vec![certificate], key)
                .unwrap(),
            None => builder.with_no_client_auth(),
        };
        let stream = TcpStream::connect(self.address).await.ok()?;
        let name = ServerName::try_from("localhost").unwrap();
        let tls = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let tls = TokioIo::new(tls.await.ok()?);
        let (sender, connection) = http1::handshake(tls).await.ok()?;
        tokio::spawn(connection.with_upgrades());
        Some(Client { sender })
    }

    /// TLS of somebody on this machine whom the server's authority vouches for.
    pub fn tls(&self) -> ServerConfig {
        let own = pair(&self.authority, "webhook", &[]);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.certificate.der().clone()], key)
            .unwrap()
    }

    /// TLS of a kubelet: this server vouches for it, or somebody else, and it knows its callers.
    pub fn kubelet_tls(&self, foreign: Option<&Issuer<'static, KeyPair>>) -> ServerConfig {
        let issuer = foreign.unwrap_or(&self.authority);
        let own = pair(issuer, "system:node:n", &["system:nodes"]);
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let callers =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.key.serialize_der()));
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(callers.build().unwrap())
            .with_single_cert(vec![own.certificate.der().clone()], key)
            .unwrap()
    }

    /// A kubeconfig for somebody who may do everything.
    pub fn kubeconfig(&self) -> PathBuf {
        let pair = pair(&self.authority, "admin", &["system:masters"]);
        let write = |name: &str, text: String| {
            let path = self.folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let certificate = write("admin.crt", pair.certificate.pem());
        let key = write("admin.key", pair.key.serialize_pem());
        let ca = self.folder.path().join("ca.crt");
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": {
                "server": format!("https://{}", self.address), "certificate-authority": ca}}],
            "users": [{"name": "test", "user": {
                "client-certificate": certificate, "client-key": key}}],
        });
        write("kubeconfig", config.to_string())
    }

    /// Tells the server to stop.
    pub fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

/// One connection to the server.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub code: u16,
    pub value: Value,
    pub headers: hyper::HeaderMap,
}

impl Client {
    /// Sends a request and gives its response as it comes.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        self.try_send(request).await.unwrap()
    }

    /// The same, where the connection may have broken.
    pub async fn try_send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> hyper::Result<Response<Incoming>> {
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }

    /// A request with any headers.
    pub async fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Reply {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() {
            Bytes::new()
        } else {
            body.to_string().into()
        };
        let response = self.send(request.body(Full::new(body)).unwrap()).await;
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
        Reply {
            code: head.status.as_u16(),
            value: serde_json::from_slice(&bytes).unwrap_or_else(|_| text()),
            headers: head.headers,
        }
    }

    pub async fn get(&mut self, path: &str) -> Reply {
        self.ask("GET", path, &[], &Value::Null).await
    }

    pub async fn post(&mut self, path: &str, body: &Value) -> Reply {
        self.ask("POST", path, &[("content-type", "application/json")], body)
            .await
    }

    pub async fn put(&mut self, path: &str, body: &Value) -> Reply {
        self.ask("PUT", path, &[("content-type", "application/json")], body)
            .await
    }

    pub async fn patch(&mut self, path: &str, kind: &str, body: &Value) -> Reply {
        let media = format!("application/{kind}");
        self.ask("PATCH", path, &[("content-type", &media)], body)
            .await
    }

    pub async fn delete(&mut self, path: &str) -> Reply {
        self.ask("DELETE", path, &[], &Value::Null).await
    }
}
