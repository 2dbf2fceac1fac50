//! DNS questions and answers for addresses (RFC 1035, RFC 3596). Pure: sends nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HEADER: usize = 12;
const CLASS_IN: u16 = 1;
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// The records asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordType {
    /// IPv4.
    A = 1,
    /// IPv6.
    Aaaa = 28,
}

/// What a datagram means for the question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The addresses; none when the name has none or does not exist.
    Addresses(Vec<IpAddr>),
    /// The server could not say: ask another.
    ServerFailed,
    /// Not an answer to this question.
    NotOurs,
}

/// A recursive question; `None` if `name` is no host name.
pub(super) fn query(id: u16, name: &str, record: RecordType) -> Option<Vec<u8>> {
    if name.is_empty() || name.len() > MAX_NAME {
        return None;
    }
    let mut message = Vec::with_capacity(HEADER + name.len() + 6);
    message.extend(id.to_be_bytes());
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok()?;
        if label.is_empty() || label.len() > MAX_LABEL || !label.bytes().all(is_host_byte) {
            return None;
        }
        message.push(length);
        message.extend(label.bytes());
    }
    message.push(0);
    message.extend((record as u16).to_be_bytes());
    message.extend(CLASS_IN.to_be_bytes());
    Some(message)
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// Reads the answer to `query`. Addresses reached through CNAMEs count: servers put the whole chain
/// into one answer.
pub(super) fn answer(datagram: &[u8], query: &[u8]) -> Answer {
    let (Some(header), Some(question)) = (datagram.get(..HEADER), query.get(HEADER..)) else {
        return Answer::NotOurs;
    };
    let is_reply = header[2] & 0x80 != 0 && header[..2] == query[..2];
    let same_question = datagram[HEADER..]
        .get(..question.len())
        .is_some_and(|echoed| echoed.eq_ignore_ascii_case(question));
    if !is_reply || !same_question {
        return Answer::NotOurs;
    }
    match header[3] & 0x0f {
        0 => {
            let count = u16::from_be_bytes([header[6], header[7]]);
            Answer::Addresses(addresses(&datagram[HEADER + question.len()..], count))
        }
        3 => Answer::Addresses(Vec::new()),
        _ => Answer::ServerFailed,
    }
}

/// The addresses among the first `count` records; stops at the first that makes no sense.
fn addresses(records: &[u8], count: u16) -> Vec<IpAddr> {
    let mut rest = records;
    let mut found = Vec::new();
    for _ in 0..count {
        let Some((record, after)) = record(rest) else {
            break;
        };
        found.extend(record);
        rest = after;
    }
    found
}

/// One record's address (if it is one) and what follows it.
fn record(bytes: &[u8]) -> Option<(Option<IpAddr>, &[u8])> {
    let rest = after_name(bytes)?;
    let (fixed, rest) = rest.split_at_checked(10)?;
    let length = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
    let (data, rest) = rest.split_at_checked(length)?;
    let kind = u16::from_be_bytes([fixed[0], fixed[1]]);
    let address = if kind == RecordType::A as u16 {
        <[u8; 4]>::try_from(data)
            .ok()
            .map(|ip| Ipv4Addr::from(ip).into())
    } else if kind == RecordType::Aaaa as u16 {
        <[u8; 16]>::try_from(data)
            .ok()
            .map(|ip| Ipv6Addr::from(ip).into())
    } else {
        None
    };
    Some((address, rest))
}

/// Skips a name: labels up to the root or a compression pointer.
fn after_name(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes;
    loop {
        let (&length, after) = rest.split_first()?;
        match length {
            0 => return Some(after),
            0xc0.. => return after.get(1..),
            _ => rest = after.get(usize::from(length)..)?,
        }
    }
}

/// The answer of a server that knows one name: 192.0.2.1 behind a CNAME for A, nothing for AAAA.
#[cfg(test)]
pub(super) fn test_reply(question: &[u8], known: &str) -> Vec<u8> {
    let mut reply = question.to_vec();
    let is_known = [RecordType::A, RecordType::Aaaa]
        .iter()
        .any(|record| query(0, known, *record).is_some_and(|q| q[2..] == question[2..]));
    let is_a = question.ends_with(&[0, 1, 0, 1]);
    reply[2] |= 0x80;
    if !is_known {
        reply[3] = 3;
    } else if is_a {
        reply[7] = 2;
        reply.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 4, 1, b'x', 0xc0, 12]);
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn questions() {
        let expected = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\x02bc\0\0\x1c\0\x01";
        assert_eq!(query(0x1234, "a.bc", RecordType::Aaaa).unwrap(), expected);
        for name in ["", ".", "a..b", "a b", &"x".repeat(64), &"a.".repeat(127)] {
            assert_eq!(query(1, name, RecordType::A), None, "{name:?}");
        }
    }

    #[test]
    fn answers() {
        let question = query(7, "web.test", RecordType::A).unwrap();
        let reply = test_reply(&question, "web.test");
        let found = Answer::Addresses(vec!["192.0.2.1".parse().unwrap()]);
        assert_eq!(answer(&reply, &question), found);
        let missing = test_reply(&question, "other.test");
        assert_eq!(answer(&missing, &question), Answer::Addresses(Vec::new()));
        let mut refused = missing;
        refused[3] = 5;
        assert_eq!(answer(&refused, &question), Answer::ServerFailed);
        let other = query(8, "web.test", RecordType::A).unwrap();
        assert_eq!(answer(&reply, &other), Answer::NotOurs);
        assert_eq!(answer(&question, &question), Answer::NotOurs);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(tail in proptest::collection::vec(any::<u8>(), 0..200), count: u8) {
            let question = query(7, "web.test", RecordType::A).unwrap();
            let mut reply = test_reply(&question, "web.test");
            reply[7] = count;
            reply.truncate(question.len());
            reply.extend(&tail);
            let _ = answer(&reply, &question);
            let _ = answer(&tail, &question);
        }
    }
}
