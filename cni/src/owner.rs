//! Who an interface, an nftables element or a lease belongs to, and the names that follow from it.
//! Pure. Names are a function of the owner alone, so that a DEL finds what an ADD left that was
//! killed before it could say what it had made.

use sha2::{Digest, Sha256};

use crate::wire::env::Attachment;

const ALIAS_MAX: usize = 255;
const COMMENT_MAX: usize = 127;
const HASH: usize = 16;

/// An attachment to a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    network: String,
    attachment: Attachment,
}

impl Owner {
    /// The attachment's ownership in a network.
    #[must_use]
    pub fn new(network: &str, attachment: &Attachment) -> Self {
        Self {
            network: network.to_owned(),
            attachment: attachment.clone(),
        }
    }

    /// Name of the host's end of the veth pair, 15 characters.
    #[must_use]
    pub fn host_interface(&self) -> String {
        let digest = hash(&[
            &self.network,
            &self.attachment.container,
            &self.attachment.interface,
        ]);
        format!("veth{}", &digest[..11])
    }

    /// Free text of the host's end, for people and for GC.
    #[must_use]
    pub fn alias(&self) -> String {
        let mut text = network_alias(&self.network);
        text.push_str(&self.attachment.container);
        text.push(' ');
        text.push_str(&self.attachment.interface);
        cut(text, ALIAS_MAX)
    }

    /// Comment of this owner's nftables elements: hashes to match by, then text for people.
    #[must_use]
    pub fn comment(&self) -> String {
        let Attachment {
            container,
            interface,
        } = &self.attachment;
        let text = format!("{} {}/{container}/{interface}", self.key(), self.network);
        cut(text, COMMENT_MAX)
    }

    /// Whether a comment is this owner's.
    #[must_use]
    pub fn wrote(&self, comment: &str) -> bool {
        comment.starts_with(&self.key())
    }

    fn key(&self) -> String {
        let attachment = hash(&[&self.attachment.container, &self.attachment.interface]);
        format!("{}{}", network_key(&self.network), &attachment[..HASH])
    }
}

/// The name under which a network's port mappings are owned: ports and masquerading are released
/// apart, so they are owned apart.
#[must_use]
pub fn port_network(network: &str) -> String {
    format!("{network}/ports")
}

/// What the comments of all owners in a network begin with.
#[must_use]
pub fn network_key(network: &str) -> String {
    format!("{}-", &hash(&[network])[..HASH])
}

/// What the free texts of all owners in a network begin with.
#[must_use]
pub fn network_alias(network: &str) -> String {
    format!("keelson-cni {network} ")
}

/// The name of the port that joins the VLAN gateway of a bridge to the bridge.
#[must_use]
pub fn gateway_port(bridge: &str, vlan: u16) -> String {
    format!("vgw{}", &hash(&[bridge, &vlan.to_string()])[..11])
}

fn hash(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.as_bytes());
        digest.update([0]);
    }
    hex::encode(digest.finalize())
}

fn cut(mut text: String, max: usize) -> String {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(container: &str) -> Owner {
        let attachment = Attachment {
            container: container.into(),
            interface: "eth0".into(),
        };
        Owner::new("net", &attachment)
    }

    #[test]
    fn names_fit_and_tell_owners_apart() {
        let (a, b) = (owner("a"), owner("b"));
        assert_eq!(a.host_interface().len(), 15);
        assert_ne!(a.host_interface(), b.host_interface());
        assert!(a.wrote(&a.comment()) && !b.wrote(&a.comment()));
        assert!(a.comment().starts_with(&network_key("net")));
        assert!(a.alias().starts_with(&network_alias("net")));
        let long = owner(&"x".repeat(500));
        assert_eq!((long.comment().len(), long.alias().len()), (127, 255));
        assert!(long.wrote(&long.comment()));
        assert_eq!(gateway_port("cni0", 100).len(), 14);
    }
}
