//! Who a certificate is for: common name and organizations of its subject. Pure.
//!
//! It reads only the outline of a certificate whose chain was verified already.

/// The parts of a subject that name a Kubernetes user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// The first common name.
    pub common_name: Option<String>,
    /// Every organization.
    pub organizations: Vec<String>,
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
const VERSION: u8 = 0xa0;
/// UTF-8, printable, teletex and IA5 strings.
const STRINGS: [u8; 4] = [0x0c, 0x13, 0x14, 0x16];
/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// 2.5.4.10
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];

impl Subject {
    /// Reads the subject of a certificate in DER. `None` if it is not one.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let (certificate, _) = expect(certificate, SEQUENCE)?;
        let (mut body, _) = expect(certificate, SEQUENCE)?;
        if body.first() == Some(&VERSION) {
            body = element(body)?.2;
        }
        // Serial number, signature algorithm, issuer, validity.
        for _ in 0..4 {
            body = element(body)?.2;
        }
        let (mut names, _) = expect(body, SEQUENCE)?;
        let mut subject = Self::default();
        while !names.is_empty() {
            let (mut set, rest) = expect(names, SET)?;
            names = rest;
            while !set.is_empty() {
                let (attribute, rest) = expect(set, SEQUENCE)?;
                set = rest;
                subject.take(attribute)?;
            }
        }
        Some(subject)
    }

    fn take(&mut self, attribute: &[u8]) -> Option<()> {
        let (kind, rest) = expect(attribute, OBJECT_ID)?;
        let (tag, value, _) = element(rest)?;
        if !STRINGS.contains(&tag) {
            return Some(());
        }
        let text = std::str::from_utf8(value).ok()?.to_owned();
        match kind {
            COMMON_NAME => self.common_name = self.common_name.take().or(Some(text)),
            ORGANIZATION => self.organizations.push(text),
            _ => {}
        }
        Some(())
    }
}

/// Contents of the first element, which must have `tag`, and what follows it.
fn expect(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, contents, rest) = element(bytes)?;
    (found == tag).then_some((contents, rest))
}

/// Tag and contents of the first element, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = digits
                .iter()
                .fold(0usize, |length, digit| length << 8 | usize::from(*digit));
            (length, rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((*tag, contents, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    #[test]
    fn a_certificate_names_its_user_and_groups() {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        let name = &mut params.distinguished_name;
        *name = rcgen::DistinguishedName::new();
        name.push(DnType::CountryName, "DE");
        name.push(DnType::OrganizationName, "system:masters");
        name.push(DnType::CommonName, "kubernetes-admin");
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let expected = Subject {
            common_name: Some("kubernetes-admin".into()),
            organizations: vec!["system:masters".into()],
        };
        assert_eq!(Subject::of(certificate.der()), Some(expected));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = Subject::of(&bytes);
        }
    }
}
