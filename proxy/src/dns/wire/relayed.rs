//! Other servers' answers and the questions they get. Pure.

use super::super::name::Name;
use super::{
    Data, HEADER, INTERNET, POINTER, RESPONSE, Record, TRUNCATED, WANT_RECURSION, be16, be32,
    header, kind, options, put16,
};

/// Another server's answer, without its options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub(super) bytes: Vec<u8>,
    /// Where times to live are.
    pub(super) ttls: Vec<usize>,
    /// How the question ended.
    pub code: u8,
    /// Seconds for which all of it may be kept; `None` where nothing says.
    pub ttl: Option<u32>,
    /// Whether it has what was asked for.
    pub positive: bool,
    /// Whether it was cut short.
    pub truncated: bool,
    addresses: Vec<Record>,
}

impl Kept {
    /// Reads the answer to `asked`, as [`question`] wrote it. `None` where it is no answer to that.
    #[must_use]
    pub fn read(message: &[u8], asked: &[u8]) -> Option<Self> {
        let flags = be16(message, 2)?;
        let (name, after) = plain_name(message, HEADER)?;
        let (own, own_end) = plain_name(asked, HEADER)?;
        let same = be16(message, 0) == be16(asked, 0)
            && flags & RESPONSE != 0
            && name.eq_ignore_ascii_case(&own)
            && message.get(after..after + 4)? == asked.get(own_end..own_end + 4)?;
        if !same {
            return None;
        }
        let mut kept = Self {
            bytes: message.to_vec(),
            ttls: Vec::new(),
            code: u8::try_from(flags & 0xf).unwrap_or(0),
            ttl: None,
            positive: false,
            truncated: flags & TRUNCATED != 0,
            addresses: Vec::new(),
        };
        if !kept.truncated {
            kept.look_through(after + 4)?;
        }
        Some(kept)
    }

    fn look_through(&mut self, start: usize) -> Option<()> {
        let counts = [6, 8, 10].map(|at| be16(&self.bytes, at).unwrap_or(0));
        let mut at = start;
        for (section, count) in counts.into_iter().enumerate() {
            for _ in 0..count {
                let record = Found::read(&self.bytes, at)?;
                if record.kind == kind::OPT {
                    self.drop_options(&record);
                } else {
                    self.note(section, &record);
                }
                at = record.end;
            }
        }
        self.positive = counts[0] > 0;
        Some(())
    }

    fn note(&mut self, section: usize, record: &Found) {
        self.ttls.push(record.ttl_at);
        let mut ttl = record.ttl;
        if section == 1 && record.kind == kind::SOA {
            // How long "no" may be kept is the last number of the zone's begin.
            let minimum = be32(&self.bytes, record.end.saturating_sub(4));
            ttl = ttl.min(minimum.unwrap_or(0));
        }
        if section < 2 {
            self.ttl = Some(self.ttl.map_or(ttl, |least| least.min(ttl)));
        }
        if section == 0
            && let Some(found) = record.decode(&self.bytes)
        {
            self.addresses.push(found);
        }
    }

    /// Options end a message as a rule; elsewhere they stay.
    fn drop_options(&mut self, record: &Found) {
        if record.end == self.bytes.len() {
            self.bytes.truncate(record.start);
            let additional = be16(&self.bytes, 10).unwrap_or(1);
            put16(&mut self.bytes, 10, additional.saturating_sub(1));
        }
    }

    /// The addresses and other names in it, times to live `age` seconds less.
    pub fn addresses(&self, age: u32) -> impl Iterator<Item = Record> {
        self.addresses.iter().map(move |record| Record {
            ttl: record.ttl.saturating_sub(age),
            ..record.clone()
        })
    }

    /// How much memory it takes, about.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len() + self.ttls.len() * 8 + self.addresses.len() * 96 + 128
    }
}

/// A question for another server.
#[must_use]
pub fn question(id: u16, name: &Name, kind: u16, dnssec: bool) -> Vec<u8> {
    let mut bytes = header(id, WANT_RECURSION, [1, 0, 0, 1]);
    bytes.extend_from_slice(name.wire());
    bytes.extend(kind.to_be_bytes());
    bytes.extend(INTERNET.to_be_bytes());
    bytes.extend(options(dnssec));
    bytes
}

/// A record somewhere in a message.
pub(super) struct Found {
    start: usize,
    pub(super) kind: u16,
    pub(super) class: u16,
    pub(super) ttl: u32,
    ttl_at: usize,
    data: usize,
    pub(super) end: usize,
}

impl Found {
    pub(super) fn read(message: &[u8], start: usize) -> Option<Self> {
        let after = skip_name(message, start)?;
        let length = be16(message, after + 8)?;
        let end = after + 10 + usize::from(length);
        (end <= message.len()).then_some(Self {
            start,
            kind: be16(message, after)?,
            class: be16(message, after + 2)?,
            ttl: be32(message, after + 4)?,
            ttl_at: after + 4,
            data: after + 10,
            end,
        })
    }

    fn decode(&self, message: &[u8]) -> Option<Record> {
        let data = message.get(self.data..self.end)?;
        let data = match self.kind {
            kind::A => Data::A(<[u8; 4]>::try_from(data).ok()?.into()),
            kind::AAAA => Data::Aaaa(<[u8; 16]>::try_from(data).ok()?.into()),
            kind::CNAME => Data::Cname(followed_name(message, self.data)?),
            _ => return None,
        };
        Some(Record {
            owner: Some(followed_name(message, self.start)?),
            ttl: self.ttl,
            data,
        })
    }
}

/// A name without pointers in wire form, and where it ends.
pub(super) fn plain_name(message: &[u8], start: usize) -> Option<(Vec<u8>, usize)> {
    let mut at = start;
    loop {
        let length = *message.get(at)?;
        if length >= 64 || at - start >= 255 {
            return None;
        }
        at += 1 + usize::from(length);
        if length == 0 {
            return Some((message.get(start..at)?.to_vec(), at));
        }
    }
}

fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = *message.get(at)?;
        match length {
            0 => return Some(at + 1),
            1..64 => at += 1 + usize::from(length),
            POINTER.. => return Some(at + 2),
            _ => return None,
        }
    }
}

/// A name with pointers, each of which leads further to the front.
fn followed_name(message: &[u8], start: usize) -> Option<Name> {
    let (mut at, mut before) = (start, start);
    let mut bytes = Vec::new();
    loop {
        let length = *message.get(at)?;
        match length {
            0 => {
                bytes.push(0);
                return (bytes.len() <= 255).then(|| Name::from_wire(bytes));
            }
            1..64 => {
                bytes.extend(message.get(at..=at + usize::from(length))?);
                at += 1 + usize::from(length);
            }
            POINTER.. => {
                let to = usize::from(be16(message, at)? & 0x3fff);
                if to >= before {
                    return None;
                }
                (at, before) = (to, to);
            }
            _ => return None,
        }
    }
}
