//! Decides the URL path of every object and list. Must not know how requests are sent.

use std::borrow::Cow;
use std::fmt;

use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope, SubResourceScope};

/// A kind of object as the API names it in paths.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Resource {
    /// The API group; empty for the core group.
    pub group: Cow<'static, str>,
    /// The version within the group, such as `v1`.
    pub version: Cow<'static, str>,
    /// The plural, as in paths: `pods`.
    pub plural: Cow<'static, str>,
    /// The kind, as in objects: `Pod`.
    pub kind: Cow<'static, str>,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

impl Resource {
    /// A resource whose names are known when the program is built.
    #[must_use]
    pub const fn fixed(
        group: &'static str,
        version: &'static str,
        plural: &'static str,
        kind: &'static str,
        namespaced: bool,
    ) -> Self {
        Self {
            group: Cow::Borrowed(group),
            version: Cow::Borrowed(version),
            plural: Cow::Borrowed(plural),
            kind: Cow::Borrowed(kind),
            namespaced,
        }
    }

    /// The resource of a type of the Kubernetes API.
    #[must_use]
    pub fn of<T: k8s_openapi::Resource<Scope: Scope>>() -> Self {
        Self::fixed(
            T::GROUP,
            T::VERSION,
            T::URL_PATH_SEGMENT,
            T::KIND,
            <T::Scope as Scope>::NAMESPACED,
        )
    }

    /// `apiVersion` as objects of this kind carry it.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone().into_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// All objects of the kind, in every namespace.
    #[must_use]
    pub fn all(&self) -> ApiPath {
        ApiPath {
            resource: self.clone(),
            namespace: None,
            name: None,
            subresource: None,
        }
    }

    /// The objects of one namespace. Of a cluster-wide kind: all of them.
    #[must_use]
    pub fn within(&self, namespace: &str) -> ApiPath {
        ApiPath {
            namespace: self.namespaced.then(|| namespace.to_owned()),
            ..self.all()
        }
    }

    /// One object. The namespace of a cluster-wide kind is not looked at.
    #[must_use]
    pub fn named(&self, namespace: &str, name: &str) -> ApiPath {
        ApiPath {
            name: Some(name.to_owned()),
            ..self.within(namespace)
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.plural)?;
        if self.group.is_empty() {
            return Ok(());
        }
        write!(f, ".{}", self.group)
    }
}

/// Whether objects of a type live in namespaces.
pub trait Scope {
    /// True for namespaced kinds.
    const NAMESPACED: bool;
}

impl Scope for ClusterResourceScope {
    const NAMESPACED: bool = false;
}

impl Scope for NamespaceResourceScope {
    const NAMESPACED: bool = true;
}

impl Scope for SubResourceScope {
    const NAMESPACED: bool = true;
}

/// The address of an object, of a list of objects or of a subresource.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ApiPath {
    resource: Resource,
    namespace: Option<String>,
    name: Option<String>,
    subresource: Option<String>,
}

impl ApiPath {
    /// The same object's subresource, such as `status`, `binding` or `token`.
    #[must_use]
    pub fn subresource(mut self, name: &str) -> Self {
        self.subresource = Some(name.to_owned());
        self
    }

    /// The kind of what is found there.
    #[must_use]
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// The object's name, where one object is meant.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The namespace, where one is meant.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The path of the URL, escaped.
    #[must_use]
    pub fn url(&self) -> String {
        let resource = &self.resource;
        let mut url = if resource.group.is_empty() {
            format!("/api/{}", resource.version)
        } else {
            format!("/apis/{}/{}", resource.group, resource.version)
        };
        let namespace = self.namespace.as_deref();
        let parts = [
            namespace.map(|_| "namespaces"),
            namespace,
            Some(resource.plural.as_ref()),
            self.name.as_deref(),
            self.subresource.as_deref(),
        ];
        for part in parts.into_iter().flatten() {
            url.push('/');
            escape(part, &mut url);
        }
        url
    }
}

impl fmt::Display for ApiPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.resource)?;
        if let Some(sub) = &self.subresource {
            write!(f, "/{sub}")?;
        }
        match (&self.namespace, &self.name) {
            (Some(namespace), Some(name)) => write!(f, " {namespace}/{name}"),
            (None, Some(name)) => write!(f, " {name}"),
            (Some(namespace), None) => write!(f, " in {namespace}"),
            (None, None) => Ok(()),
        }
    }
}

/// Writes a path segment or query value with everything escaped that has a meaning in URLs.
pub fn escape(text: &str, into: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push('%');
            into.push(char::from(HEX[usize::from(byte >> 4)]));
            into.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Resource;
    use k8s_openapi::api::coordination::v1::Lease;
    use k8s_openapi::api::core::v1::{Node, Pod};

    #[test]
    fn paths_of_objects_and_lists() {
        let check = |path: super::ApiPath, url: &str, said: &str| {
            assert_eq!(
                (path.url().as_str(), path.to_string().as_str()),
                (url, said)
            );
        };
        let pods = Resource::of::<Pod>();
        check(pods.all(), "/api/v1/pods", "pods");
        check(pods.within("a"), "/api/v1/namespaces/a/pods", "pods in a");
        check(
            pods.named("a", "b").subresource("status"),
            "/api/v1/namespaces/a/pods/b/status",
            "pods/status a/b",
        );
        check(
            Resource::of::<Node>().named("ignored", "n"),
            "/api/v1/nodes/n",
            "nodes n",
        );
        check(
            Resource::of::<Lease>().named("kube-node-lease", "n"),
            "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n",
            "leases.coordination.k8s.io kube-node-lease/n",
        );
        check(
            Resource::fixed("g.io", "v1", "x", "X", false).named("", "a/b c"),
            "/apis/g.io/v1/x/a%2Fb%20c",
            "x.g.io a/b c",
        );
    }
}
