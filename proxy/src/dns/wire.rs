//! DNS messages as bytes: questions read, answers written, other servers' answers looked through.
//! Pure; knows no zone. Bytes come from anybody: nothing here panics on any.
//!
//! Our own instead of a crate's, because most of what passes is relayed: an answer of another server
//! is kept and sent on as it came, whatever types of records are in it, and only its times to live
//! are counted down.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::name::Name;

mod relayed;

use relayed::{Found, plain_name};
pub use relayed::{Kept, question};

/// Types of records that have a meaning here.
pub mod kind {
    /// IPv4 address.
    pub const A: u16 = 1;
    /// Server of a zone.
    pub const NS: u16 = 2;
    /// Another name.
    pub const CNAME: u16 = 5;
    /// Begin of a zone.
    pub const SOA: u16 = 6;
    /// Name of an address.
    pub const PTR: u16 = 12;
    /// Text.
    pub const TXT: u16 = 16;
    /// IPv6 address.
    pub const AAAA: u16 = 28;
    /// Host and port of a service.
    pub const SRV: u16 = 33;
    /// Options of the message.
    pub const OPT: u16 = 41;
    /// First of those that ask for whole zones and the like.
    pub const FIRST_META: u16 = 251;
}

/// How a question ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Code {
    /// Well.
    NoError = 0,
    /// The question cannot be read.
    FormErr = 1,
    /// Nobody who could answer did.
    ServFail = 2,
    /// There is no such name.
    NxDomain = 3,
    /// That kind of message is not understood.
    NotImp = 4,
    /// Not here.
    Refused = 5,
}

/// Class of all that is asked.
const INTERNET: u16 = 1;
const HEADER: usize = 12;
const POINTER: u8 = 0xc0;
/// Where the question's name is in a message.
const QUESTION: [u8; 2] = [POINTER, 12];
/// What we take and send by UDP: fits every link without fragments.
pub const UDP_SIZE: u16 = 1232;
const PLAIN_UDP_SIZE: u16 = 512;

const RESPONSE: u16 = 1 << 15;
const AUTHORITATIVE: u16 = 1 << 10;
const TRUNCATED: u16 = 1 << 9;
const WANT_RECURSION: u16 = 1 << 8;
const RECURSION: u16 = 1 << 7;
const NO_CHECKING: u16 = 1 << 4;
const OPCODE: u16 = 0xf << 11;
const DNSSEC_OK: u32 = 1 << 15;

/// A question as a client sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Its number.
    pub id: u16,
    flags: u16,
    /// The name asked for.
    pub name: Name,
    /// The type asked for.
    pub kind: u16,
    /// Name as written, type and class.
    question: Vec<u8>,
    edns: Option<Edns>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Edns {
    size: u16,
    dnssec: bool,
}

/// Why a message is no question to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoQuery {
    /// It gets no answer: too short, or an answer itself.
    Silence,
    /// It gets this one.
    Answer(Code, Vec<u8>),
}

impl Query {
    /// Reads a message of a client.
    ///
    /// # Errors
    /// What to do instead of answering.
    pub fn read(message: &[u8]) -> Result<Self, NoQuery> {
        let (Some(id), Some(flags)) = (be16(message, 0), be16(message, 2)) else {
            return Err(NoQuery::Silence);
        };
        if message.len() < HEADER || flags & RESPONSE != 0 {
            return Err(NoQuery::Silence);
        }
        let refuse = |code: Code| NoQuery::Answer(code, bare(id, flags, code));
        if flags & OPCODE != 0 {
            return Err(refuse(Code::NotImp));
        }
        if be16(message, 4) != Some(1) {
            return Err(refuse(Code::FormErr));
        }
        let query = Self::read_question(message, id, flags);
        let query = query.ok_or_else(|| refuse(Code::FormErr))?;
        if query.class() != INTERNET || query.kind >= kind::FIRST_META && query.kind < 255 {
            return Err(NoQuery::Answer(
                Code::Refused,
                query.answer(Code::Refused).finish(),
            ));
        }
        Ok(query)
    }

    fn read_question(message: &[u8], id: u16, flags: u16) -> Option<Self> {
        let (name, after) = plain_name(message, HEADER)?;
        let question = message.get(HEADER..after + 4)?.to_vec();
        let records = [6, 8, 10].map(|at| be16(message, at).unwrap_or(0));
        let mut edns = None;
        let mut at = after + 4;
        for _ in 0..records.iter().map(|count| u32::from(*count)).sum() {
            let record = Found::read(message, at)?;
            if record.kind == kind::OPT {
                edns = Some(Edns {
                    size: record.class.max(PLAIN_UDP_SIZE),
                    dnssec: record.ttl & DNSSEC_OK != 0,
                });
            }
            at = record.end;
        }
        Some(Self {
            id,
            flags,
            name: Name::from_wire(name),
            kind: be16(message, after)?,
            question,
            edns,
        })
    }

    fn class(&self) -> u16 {
        be16(&self.question, self.question.len() - 2).unwrap_or(0)
    }

    /// Whether the client wants signatures along.
    #[must_use]
    pub fn wants_dnssec(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec)
    }

    /// How long an answer by UDP may be.
    #[must_use]
    pub fn udp_limit(&self) -> usize {
        let asked = self.edns.map_or(PLAIN_UDP_SIZE, |edns| edns.size);
        usize::from(asked.min(UDP_SIZE))
    }

    /// Begins an answer.
    #[must_use]
    pub fn answer(&self, code: Code) -> Answer<'_> {
        let kept = self.flags & (WANT_RECURSION | NO_CHECKING);
        let flags = RESPONSE | RECURSION | kept | code as u16;
        let mut bytes = header(self.id, flags, [1, 0, 0, 0]);
        bytes.extend_from_slice(&self.question);
        Answer {
            query: self,
            bytes,
            limit: usize::MAX,
            counts: [0; 3],
        }
    }

    /// Another server's answer as one to this question, its times to live `age` seconds less, at
    /// most `limit` bytes.
    #[must_use]
    pub fn relay(&self, kept: &Kept, age: u32, limit: usize) -> Vec<u8> {
        let mut bytes = kept.bytes.clone();
        let flags = be16(&bytes, 2).unwrap_or(0) & !(WANT_RECURSION | NO_CHECKING | AUTHORITATIVE);
        let flags = flags | RECURSION | self.flags & (WANT_RECURSION | NO_CHECKING);
        put16(&mut bytes, 0, self.id);
        put16(&mut bytes, 2, flags);
        if let Some(place) = bytes.get_mut(HEADER..HEADER + self.question.len()) {
            place.copy_from_slice(&self.question);
        }
        for at in &kept.ttls {
            let ttl = be32(&bytes, *at).unwrap_or(0).saturating_sub(age);
            if let Some(place) = bytes.get_mut(*at..at + 4) {
                place.copy_from_slice(&ttl.to_be_bytes());
            }
        }
        let own = self.options();
        if bytes.len() + own.len() > limit {
            let mut short = self.answer(Code::NoError);
            put16(&mut short.bytes, 2, flags | TRUNCATED);
            return short.finish();
        }
        if !own.is_empty() {
            let additional = be16(&bytes, 10).unwrap_or(0);
            put16(&mut bytes, 10, additional.saturating_add(1));
            bytes.extend(own);
        }
        bytes
    }

    /// Our options, where the client sent some.
    fn options(&self) -> Vec<u8> {
        self.edns.map_or(Vec::new(), |edns| options(edns.dnssec))
    }
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// Another name.
    Cname(Name),
    /// The name of an address.
    Ptr(Name),
    /// A server of the zone.
    Ns(Name),
    /// A text.
    Txt(&'static str),
    /// Weight, port and host.
    Srv(u16, u16, Name),
    /// First server, mailbox of who is responsible, and the version.
    Soa(Name, Name, u32),
}

/// A record; without an owner it is the question's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose it is.
    pub owner: Option<Name>,
    /// Seconds for which it may be kept.
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}

/// Where in an answer a record belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// What was asked for.
    Answer,
    /// Who says so.
    Authority,
    /// What will be asked next.
    Additional,
}

/// An answer under construction.
#[derive(Debug)]
pub struct Answer<'a> {
    query: &'a Query,
    bytes: Vec<u8>,
    limit: usize,
    counts: [u16; 3],
}

impl Answer<'_> {
    /// At most so many bytes: what does not fit is left out, and the client told.
    #[must_use]
    pub fn at_most(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Says that it is our zone.
    #[must_use]
    pub fn authoritative(mut self) -> Self {
        self.set(AUTHORITATIVE);
        self
    }

    /// Appends a record. Sections come in order.
    pub fn push(&mut self, section: Section, record: &Record) {
        let before = self.bytes.len();
        if self.is_truncated() {
            return;
        }
        match &record.owner {
            None => self.bytes.extend(QUESTION),
            Some(name) => self.bytes.extend_from_slice(name.wire()),
        }
        write_data(record, &mut self.bytes);
        if self.bytes.len() + self.query.options().len() > self.limit {
            self.bytes.truncate(before);
            if section != Section::Additional {
                self.set(TRUNCATED);
            }
            return;
        }
        self.counts[section as usize] += 1;
    }

    /// The message.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        let own = self.query.options();
        self.counts[2] += u16::from(!own.is_empty());
        self.bytes.extend(own);
        for (at, count) in [6, 8, 10].into_iter().zip(self.counts) {
            put16(&mut self.bytes, at, count);
        }
        self.bytes
    }

    fn is_truncated(&self) -> bool {
        be16(&self.bytes, 2).unwrap_or(0) & TRUNCATED != 0
    }

    fn set(&mut self, flag: u16) {
        let flags = be16(&self.bytes, 2).unwrap_or(0) | flag;
        put16(&mut self.bytes, 2, flags);
    }
}

/// Type, class, time to live, length and data.
fn write_data(record: &Record, out: &mut Vec<u8>) {
    let kind = match &record.data {
        Data::A(_) => kind::A,
        Data::Aaaa(_) => kind::AAAA,
        Data::Cname(_) => kind::CNAME,
        Data::Ptr(_) => kind::PTR,
        Data::Ns(_) => kind::NS,
        Data::Txt(_) => kind::TXT,
        Data::Srv(..) => kind::SRV,
        Data::Soa(..) => kind::SOA,
    };
    out.extend(kind.to_be_bytes());
    out.extend(INTERNET.to_be_bytes());
    out.extend(record.ttl.to_be_bytes());
    let at = out.len();
    out.extend([0, 0]);
    match &record.data {
        Data::A(ip) => out.extend(ip.octets()),
        Data::Aaaa(ip) => out.extend(ip.octets()),
        Data::Cname(name) | Data::Ptr(name) | Data::Ns(name) => out.extend(name.wire()),
        Data::Txt(text) => {
            out.push(u8::try_from(text.len()).unwrap_or(0));
            out.extend(text.as_bytes());
        }
        Data::Srv(weight, port, target) => {
            out.extend([0, 0]);
            out.extend(weight.to_be_bytes());
            out.extend(port.to_be_bytes());
            out.extend(target.wire());
        }
        Data::Soa(server, mailbox, serial) => {
            out.extend(server.wire());
            out.extend(mailbox.wire());
            for number in [*serial, 7200, 1800, 86_400, record.ttl] {
                out.extend(number.to_be_bytes());
            }
        }
    }
    let length = u16::try_from(out.len() - at - 2).unwrap_or(0);
    put16(out, at, length);
}

fn options(dnssec: bool) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend(kind::OPT.to_be_bytes());
    bytes.extend(UDP_SIZE.to_be_bytes());
    bytes.extend(if dnssec { DNSSEC_OK } else { 0 }.to_be_bytes());
    bytes.extend([0, 0]);
    bytes
}

fn bare(id: u16, flags: u16, code: Code) -> Vec<u8> {
    let kept = flags & (OPCODE | WANT_RECURSION);
    header(id, RESPONSE | kept | code as u16, [0; 4])
}

fn header(id: u16, flags: u16, counts: [u16; 4]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    for word in [id, flags].into_iter().chain(counts) {
        bytes.extend(word.to_be_bytes());
    }
    bytes
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*two))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*four))
}

fn put16(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(place) = bytes.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
