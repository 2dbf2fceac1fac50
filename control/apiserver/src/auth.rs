//! Who calls and what they may do. `rbac`, `node` and `rules` are pure; `authenticate` asks the
//! caches for the objects that tokens are bound to.

use std::collections::BTreeMap;

pub(crate) mod access_review;
pub(crate) mod authenticate;
pub(crate) mod authorize;
pub(crate) mod authorizer;
pub(crate) mod bootstrap_policy;
pub(crate) mod bootstrap_token;
pub(crate) mod escalation;
pub(crate) mod front;
pub(crate) mod impersonate;
pub(crate) mod node;
pub(crate) mod rbac;
pub(crate) mod service_account;
pub(crate) mod tokens;

/// Somebody who has proven who they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) groups: Vec<String>,
    pub(crate) extra: BTreeMap<String, Vec<String>>,
}

/// Everyone who has proven something.
pub(crate) const AUTHENTICATED: &str = "system:authenticated";
/// Everyone who has not.
pub(crate) const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The user without a name.
pub(crate) const ANONYMOUS: &str = "system:anonymous";
/// May do everything, whatever the rules say.
pub(crate) const MASTERS: &str = "system:masters";
/// The kubelets.
pub(crate) const NODES: &str = "system:nodes";
/// What a kubelet's user name begins with.
pub(crate) const NODE_PREFIX: &str = "system:node:";
/// What a service account's user name begins with.
pub(crate) const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";
/// All service accounts.
pub(crate) const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";

impl User {
    /// Somebody with these groups, and that of all who are known.
    pub(crate) fn known(name: &str, groups: impl IntoIterator<Item = String>) -> Self {
        let mut groups: Vec<String> = groups.into_iter().collect();
        if !groups.iter().any(|group| group == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Self {
            name: name.to_owned(),
            groups,
            ..Self::default()
        }
    }

    /// Nobody in particular.
    pub(crate) fn anonymous() -> Self {
        Self {
            name: ANONYMOUS.to_owned(),
            groups: vec![UNAUTHENTICATED.to_owned()],
            ..Self::default()
        }
    }

    /// A service account.
    pub(crate) fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        let groups = [
            SERVICE_ACCOUNTS.to_owned(),
            format!("{SERVICE_ACCOUNTS}:{namespace}"),
        ];
        Self {
            uid: uid.to_owned(),
            ..Self::known(
                &format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}"),
                groups,
            )
        }
    }

    /// Whether this is one of the group.
    pub(crate) fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }

    /// The node that this user is the kubelet of.
    pub(crate) fn node(&self) -> Option<&str> {
        let name = self.name.strip_prefix(NODE_PREFIX)?;
        (self.is_in(NODES) && !name.is_empty()).then_some(name)
    }

    /// Namespace and name of the service account that this user is.
    pub(crate) fn as_service_account(&self) -> Option<(&str, &str)> {
        self.name
            .strip_prefix(SERVICE_ACCOUNT_PREFIX)?
            .split_once(':')
    }
}
