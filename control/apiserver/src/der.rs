//! A little DER: enough to read keys, certificate requests and names, and to write public keys.
//! Pure.

/// Why bytes are not the DER that was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed DER")]
pub(crate) struct Malformed;

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OID: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// Reads one element after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element, whatever it is: tag and content.
    pub(crate) fn next(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        let (&tag, rest) = self.0.split_first().ok_or(Malformed)?;
        let (&first, mut rest) = rest.split_first().ok_or(Malformed)?;
        let length = if first < 0x80 {
            usize::from(first)
        } else {
            let count = usize::from(first & 0x7f);
            if count == 0 || count > 4 {
                return Err(Malformed);
            }
            let (digits, tail) = rest.split_at_checked(count).ok_or(Malformed)?;
            rest = tail;
            digits
                .iter()
                .fold(0, |sum, digit| (sum << 8) | usize::from(*digit))
        };
        let (content, tail) = rest.split_at_checked(length).ok_or(Malformed)?;
        self.0 = tail;
        Ok((tag, content))
    }

    /// The content of the next element, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        match self.next()? {
            (found, content) if found == tag => Ok(content),
            _ => Err(Malformed),
        }
    }

    /// A reader of the next element's content.
    pub(crate) fn enter(&mut self, tag: u8) -> Result<Self, Malformed> {
        self.expect(tag).map(Self)
    }
}

/// One element.
pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let digits = length.to_be_bytes();
            let digits = digits
                .iter()
                .copied()
                .skip_while(|digit| *digit == 0)
                .collect::<Vec<_>>();
            out.push(0x80 | u8::try_from(digits.len()).unwrap_or(8));
            out.extend(digits);
        }
    }
    out.extend(content);
    out
}

/// A sequence of elements.
pub(crate) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    element(SEQUENCE, &parts.concat())
}

/// A whole number that is not negative, from its big-endian digits.
pub(crate) fn unsigned(digits: &[u8]) -> Vec<u8> {
    let first = digits.first().copied().unwrap_or_default();
    if first >= 0x80 || digits.is_empty() {
        return element(INTEGER, &[&[0], digits].concat());
    }
    element(INTEGER, digits)
}

/// The attribute `O` of a name.
pub(crate) const ORGANIZATION: [u8; 3] = [0x55, 0x04, 0x0a];
/// The attribute `CN` of a name.
pub(crate) const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];

/// The values of an attribute in the subject of a certificate request (PKCS #10).
pub(crate) fn subject_of_request(der: &[u8], attribute: [u8; 3]) -> Result<Vec<String>, Malformed> {
    let mut info = Reader::new(der).enter(SEQUENCE)?.enter(SEQUENCE)?;
    info.expect(INTEGER)?;
    let mut subject = info.enter(SEQUENCE)?;
    let mut found = Vec::new();
    while !subject.is_empty() {
        let mut set = subject.enter(SET)?;
        while !set.is_empty() {
            let mut pair = set.enter(SEQUENCE)?;
            let is_wanted = pair.expect(OID)? == attribute;
            let (_, text) = pair.next()?;
            if is_wanted {
                found.push(String::from_utf8_lossy(text).into_owned());
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let long = vec![7; 300];
        let written = sequence(&[unsigned(&[0x80]), element(OCTET_STRING, &long)]);
        let mut inner = Reader::new(&written).enter(SEQUENCE).unwrap();
        assert_eq!(inner.expect(INTEGER), Ok(&[0, 0x80][..]));
        assert_eq!(inner.expect(OCTET_STRING), Ok(&long[..]));
        assert!(inner.is_empty());
    }

    #[test]
    fn broken_bytes_are_refused() {
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 5, 1],
            &[0x30, 0x80],
            &[0x30, 0x85, 1, 1, 1, 1, 1],
        ] {
            assert_eq!(Reader::new(bytes).next(), Err(Malformed), "{bytes:?}");
        }
        assert_eq!(Reader::new(&[2, 1, 0]).expect(SEQUENCE), Err(Malformed));
    }

    #[test]
    fn requests_name_their_subject() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "jane");
        params
            .distinguished_name
            .push(rcgen::DnType::OrganizationName, "system:masters");
        let request = params.serialize_request(&key).unwrap();
        let of = |attribute| subject_of_request(request.der(), attribute);
        assert_eq!(of(ORGANIZATION), Ok(vec!["system:masters".to_owned()]));
        assert_eq!(of(COMMON_NAME), Ok(vec!["jane".to_owned()]));
    }
}
