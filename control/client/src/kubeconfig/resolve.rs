//! Decides what a kubeconfig means: context to cluster and user, inline data or file, and which
//! fields can't be honoured. Pure.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::file::{Cluster, Context, KubeconfigFile, User};
use super::{Config, Identity, KubeconfigError, Pem, Server};

/// The configuration of a context, or of the current one.
///
/// # Errors
/// A name leads nowhere, or a field cannot be honoured.
pub fn resolve(file: &KubeconfigFile, context: Option<&str>) -> Result<Config, KubeconfigError> {
    let wanted = context.unwrap_or(&file.current_context);
    let context = context_of(file, wanted)?;
    let cluster = file
        .clusters
        .iter()
        .find(|entry| entry.name == context.cluster)
        .ok_or_else(|| missing("cluster", &context.cluster))?;
    let nobody = User::default();
    let user = match file.users.iter().find(|entry| entry.name == context.user) {
        Some(entry) => &entry.user,
        None if context.user.is_empty() => &nobody,
        None => return Err(missing("user", &context.user)),
    };
    let certificate = certificate(&context.user, user)?;
    let (cluster_name, cluster) = (cluster.name.as_str(), &cluster.cluster);
    Ok(Config {
        servers: servers(cluster_name, cluster)?,
        ca: authority(cluster_name, cluster)?,
        certificate,
        server_name: some(&cluster.tls_server_name),
        insecure: cluster.insecure_skip_tls_verify,
        identity: identity(&context.user, user)?,
        namespace: some(&context.namespace).unwrap_or_else(|| "default".to_owned()),
    })
}

/// The named context. A file without contexts but one cluster and at most one user means those:
/// the bootstrap files of some installers are like that.
fn context_of(file: &KubeconfigFile, wanted: &str) -> Result<Context, KubeconfigError> {
    if let Some(entry) = file.contexts.iter().find(|entry| entry.name == wanted) {
        return Ok(entry.context.clone());
    }
    match (wanted, file.contexts.as_slice(), file.clusters.as_slice()) {
        ("", [only], _) => Ok(only.context.clone()),
        ("", [], [cluster]) => Ok(Context {
            cluster: cluster.name.clone(),
            user: file
                .users
                .first()
                .map_or_else(String::new, |u| u.name.clone()),
            namespace: String::new(),
        }),
        _ => Err(missing("context", wanted)),
    }
}

fn servers(name: &str, cluster: &Cluster) -> Result<Vec<Server>, KubeconfigError> {
    if !cluster.proxy_url.is_empty() {
        return Err(field(
            format!("clusters[{name}].proxy-url"),
            "proxies are not supported; leave it out and make the server reachable",
        ));
    }
    cluster
        .server
        .split(',')
        .map(|url| {
            server(url.trim()).map_err(|reason| field(format!("clusters[{name}].server"), &reason))
        })
        .collect()
}

/// Reads a server's URL. Without a scheme http is meant, as upstream has it.
fn server(url: &str) -> Result<Server, String> {
    let (https, rest) = match url.split_once("://") {
        Some(("https", rest)) => (true, rest),
        Some(("http", rest)) => (false, rest),
        None if !url.is_empty() => (false, url),
        _ => return Err(format!("{url:?} is no URL such as https://host:6443")),
    };
    let (authority, prefix) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let wrong = || format!("{url:?} has no usable host and port");
    let (host, port) = match authority.strip_prefix('[') {
        Some(v6) => {
            let (host, port) = v6.split_once(']').ok_or_else(wrong)?;
            (host, port.strip_prefix(':'))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = match port {
        Some(port) => port.parse().map_err(|_| wrong())?,
        None if https => 443,
        None => 80,
    };
    if host.is_empty() || host.contains('@') {
        return Err(wrong());
    }
    Ok(Server {
        https,
        host: host.to_owned(),
        port,
        prefix: prefix.trim_end_matches('/').to_owned(),
    })
}

fn authority(name: &str, cluster: &Cluster) -> Result<Option<Pem>, KubeconfigError> {
    pem(
        || format!("clusters[{name}].certificate-authority-data"),
        &cluster.certificate_authority_data,
        &cluster.certificate_authority,
    )
}

fn certificate(name: &str, user: &User) -> Result<Option<(Pem, Pem)>, KubeconfigError> {
    let certificate = pem(
        || format!("users[{name}].client-certificate-data"),
        &user.client_certificate_data,
        &user.client_certificate,
    )?;
    let key = pem(
        || format!("users[{name}].client-key-data"),
        &user.client_key_data,
        &user.client_key,
    )?;
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(field(
            format!("users[{name}].client-key"),
            "is missing beside the client certificate",
        )),
        (None, Some(_)) => Err(field(
            format!("users[{name}].client-certificate"),
            "is missing beside the client key",
        )),
    }
}

/// Inline data counts before a file.
fn pem(name: impl Fn() -> String, data: &str, file: &Path) -> Result<Option<Pem>, KubeconfigError> {
    if !data.is_empty() {
        let packed: String = data.split_ascii_whitespace().collect();
        let bytes = STANDARD
            .decode(packed)
            .map_err(|error| field(name(), &format!("is not base64: {error}")))?;
        return Ok(Some(Pem::Inline(bytes)));
    }
    Ok((!file.as_os_str().is_empty()).then(|| Pem::File(file.to_owned())))
}

fn identity(name: &str, user: &User) -> Result<Identity, KubeconfigError> {
    if user.auth_provider.is_some() {
        return Err(field(
            format!("users[{name}].auth-provider"),
            "is not supported; use exec, a token or a client certificate",
        ));
    }
    if !user.act_as.is_empty() {
        return Err(field(format!("users[{name}].as"), "is not supported yet"));
    }
    if !user.token_file.as_os_str().is_empty() {
        return Ok(Identity::TokenFile(user.token_file.clone()));
    }
    if !user.token.is_empty() {
        return Ok(Identity::Token(user.token.clone()));
    }
    if !user.username.is_empty() {
        return Ok(Identity::Basic {
            username: user.username.clone(),
            password: user.password.clone(),
        });
    }
    match &user.exec {
        Some(exec) if exec.interactive_mode == "Always" => Err(field(
            format!("users[{name}].exec.interactiveMode"),
            "is Always, but nobody is there to be asked",
        )),
        Some(exec) => Ok(Identity::Exec(exec.clone())),
        None => Ok(Identity::None),
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn missing(kind: &'static str, name: &str) -> KubeconfigError {
    KubeconfigError::Missing {
        kind,
        name: name.to_owned(),
    }
}

fn field(field: String, reason: &str) -> KubeconfigError {
    KubeconfigError::Field {
        field,
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{KubeconfigFile, resolve, server};
    use crate::kubeconfig::{Identity, Pem};
    use std::path::Path;

    const KUBEADM: &str = "
apiVersion: v1
kind: Config
clusters:
- cluster: {certificate-authority-data: Q0E=, server: 'https://10.0.0.1:6443'}
  name: kubernetes
contexts:
- context: {cluster: kubernetes, user: 'system:node:a', namespace: kube-system}
  name: a@kubernetes
current-context: a@kubernetes
preferences: {}
users:
- name: 'system:node:a'
  user: {client-certificate: pki/a.pem, client-key: /k.pem, token: ''}
";

    #[test]
    fn reads_what_kubeadm_writes() {
        let mut file = KubeconfigFile::parse(KUBEADM).unwrap();
        file.anchor(Path::new("/etc/kubernetes"));
        let config = resolve(&file, None).unwrap();
        assert_eq!(
            (config.servers[0].host.as_str(), config.servers[0].port),
            ("10.0.0.1", 6443)
        );
        assert_eq!(config.ca, Some(Pem::Inline(b"CA".to_vec())));
        let (certificate, key) = config.certificate.unwrap();
        assert_eq!(certificate, Pem::File("/etc/kubernetes/pki/a.pem".into()));
        assert_eq!(key, Pem::File("/k.pem".into()));
        assert_eq!(config.identity, Identity::None);
        assert_eq!(config.namespace, "kube-system");
    }

    #[test]
    fn says_what_is_wrong() {
        let check = |from: &str, to: &str, said: &str| {
            let changed = KUBEADM.replace(from, to);
            assert_ne!(changed, KUBEADM);
            let file = KubeconfigFile::parse(&changed).unwrap();
            assert_eq!(resolve(&file, None).unwrap_err().to_string(), said);
        };
        check(
            "current-context: a@kubernetes",
            "current-context: b",
            "kubeconfig has no context named \"b\"",
        );
        check(
            "server: 'https://10.0.0.1:6443'",
            "server: 'https://10.0.0.1:6443', proxy-url: 'http://p'",
            "kubeconfig clusters[kubernetes].proxy-url: proxies are not supported; leave it out and make the server reachable",
        );
        check(
            ", client-key: /k.pem",
            "",
            "kubeconfig users[system:node:a].client-key: is missing beside the client certificate",
        );
        check(
            "https://10.0.0.1:6443",
            "ftp://a",
            "kubeconfig clusters[kubernetes].server: \"ftp://a\" is no URL such as https://host:6443",
        );
    }

    #[test]
    fn reads_urls() {
        let check = |url: &str, expected: Option<(bool, &str, u16, &str)>| {
            let read = server(url).ok();
            let read = read
                .as_ref()
                .map(|s| (s.https, s.host.as_str(), s.port, s.prefix.as_str()));
            assert_eq!(read, expected, "{url}");
        };
        check("https://a", Some((true, "a", 443, "")));
        check(
            "https://[fd00::1]:6443/k8s/",
            Some((true, "fd00::1", 6443, "/k8s")),
        );
        check("localhost:8080", Some((false, "localhost", 8080, "")));
        check("https://u@a", None);
        check("https://a:x", None);
        check("", None);
    }

    #[test]
    fn the_first_file_counts() {
        let mut first = KubeconfigFile::parse(KUBEADM).unwrap();
        let later = KUBEADM
            .replace("10.0.0.1", "10.0.0.2")
            .replace("name: a@kubernetes", "name: z");
        first.merge(KubeconfigFile::parse(&later).unwrap());
        assert_eq!((first.clusters.len(), first.contexts.len()), (1, 2));
        assert_eq!(
            resolve(&first, Some("z")).unwrap().servers[0].host,
            "10.0.0.1"
        );
    }

    #[test]
    fn a_file_of_another_kind_is_refused() {
        assert!(
            KubeconfigFile::parse("kind: Pod\n")
                .unwrap_err()
                .contains("Pod")
        );
    }
}
