//! One question from its name to the message that answers it. Pure: what other servers said is looked
//! up by the caller, who is told what is missing.
//!
//! Names are looked for in the hosts file, in the cluster's zone, then elsewhere; a Service that
//! stands for another name is followed, wherever that leads.
//!
//! Search paths: a pod completes `example.com` with `ns.svc.cluster.local` and three more before it
//! asks for the name as it is. All of these are answered here, without a packet leaving the node. With
//! [`super::settings::Settings::shortcut`] the first one is answered at once with what the search
//! comes to, as another name for it: the names in between are looked up in the client's order, and
//! only where every one of them is known not to be there. That is right for pods whose search path is
//! the cluster's and the host's; a pod that brings domains of its own, or asks for such a name in
//! earnest, gets an answer where it should get none. So it is off unless asked for.

use std::net::IpAddr;
use std::sync::Arc;

use super::answer::{Reply, TTL, answer, authority};
use super::cache::Key;
use super::name::Name;
use super::settings::Settings;
use super::wire::{Code, Data, Kept, Query, Record, Section, kind};
use super::zone::Zone;

/// How many names may stand for one another.
const ALIASES: usize = 8;
const NXDOMAIN: u8 = Code::NxDomain as u8;

/// What is known of a question to other servers.
#[derive(Debug, Clone)]
pub enum Known {
    /// The answer, and how many seconds old it is.
    Answer(Arc<Kept>, u32),
    /// Nobody answered.
    Failed,
    /// Nobody was asked yet.
    Unasked,
}

/// How far a question came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// This answers it.
    Done(Code, Vec<u8>),
    /// Others have to be asked this first.
    Ask(Key),
}

/// A question with all that is known.
pub struct Case<'a> {
    /// The question.
    pub query: &'a Query,
    /// The cluster's names.
    pub zone: &'a Zone,
    /// What we were told.
    pub settings: &'a Settings,
    /// What others said.
    pub known: &'a dyn Fn(&Key) -> Known,
    /// How long an answer may be.
    pub limit: usize,
}

impl Case<'_> {
    /// Goes as far as what is known allows.
    #[must_use]
    pub fn step(&self) -> Step {
        let mut way = Vec::new();
        let mut name = self.query.name.clone();
        for _ in 0..ALIASES {
            match self.reply(&name) {
                Reply::Alias(target) => {
                    way.push(alias(way.is_empty(), &name, &target));
                    if self.query.kind == kind::CNAME {
                        return self.done(&Reply::Records(Vec::new(), Vec::new()), way, None);
                    }
                    name = target;
                }
                Reply::Elsewhere => return self.elsewhere(name, way),
                Reply::Absent if way.is_empty() && self.settings.shortcut => {
                    return self.search_on();
                }
                reply => return self.done(&reply, way, Some(name)),
            }
        }
        self.failed()
    }

    fn reply(&self, name: &Name) -> Reply {
        match self.settings.hosts.find(name) {
            Some(ips) => from_hosts(ips, self.query.kind),
            None => answer(name, self.query.kind, self.zone),
        }
    }

    fn key(&self, name: Name) -> Key {
        Key {
            name,
            kind: self.query.kind,
            dnssec: self.query.wants_dnssec(),
        }
    }

    fn elsewhere(&self, name: Name, way: Vec<Record>) -> Step {
        let key = self.key(name);
        match (self.known)(&key) {
            Known::Unasked => Step::Ask(key),
            Known::Failed => self.failed(),
            Known::Answer(kept, age) if way.is_empty() => {
                let message = self.query.relay(&kept, age, self.limit);
                Step::Done(code(kept.code), message)
            }
            Known::Answer(kept, age) => {
                let mut answer = self.query.answer(code(kept.code)).at_most(self.limit);
                let found = kept.addresses(age);
                for record in way.into_iter().chain(found) {
                    answer.push(Section::Answer, &record);
                }
                Step::Done(code(kept.code), answer.finish())
            }
        }
    }

    /// `base.namespace.svc.domain` is not there: what the rest of the search path comes to.
    fn search_on(&self) -> Step {
        let absent = || self.done(&Reply::Absent, Vec::new(), None);
        let labels = self.query.name.below(&self.zone.domain);
        let (Some([base @ .., namespace, b"svc"]), kind::A | kind::AAAA) =
            (labels.as_deref(), self.query.kind)
        else {
            return absent();
        };
        let is_namespace = std::str::from_utf8(namespace).is_ok_and(|n| self.zone.has_namespace(n));
        if base.len() < 2 || !is_namespace {
            return absent();
        }
        let domain = std::slice::from_ref(&self.zone.domain);
        let svc = Name::within(&[b"svc"], &self.zone.domain);
        let suffixes = svc.iter().chain(domain).chain(&self.settings.search);
        let root = Name::parse("");
        for suffix in suffixes.chain(root.iter()) {
            let Some(candidate) = Name::within(base, suffix) else {
                continue;
            };
            match self.candidate(&candidate) {
                Candidate::Absent => {}
                Candidate::There(step) => return step,
                Candidate::Unclear => return absent(),
            }
        }
        absent()
    }

    fn candidate(&self, name: &Name) -> Candidate {
        let way = vec![alias(true, &self.query.name, name)];
        match self.reply(name) {
            Reply::Absent => Candidate::Absent,
            Reply::Elsewhere => match (self.known)(&self.key(name.clone())) {
                Known::Answer(kept, _) if kept.code == NXDOMAIN => Candidate::Absent,
                Known::Answer(kept, _) if kept.code == 0 && kept.positive => {
                    Candidate::There(self.elsewhere(name.clone(), way))
                }
                Known::Unasked => Candidate::There(Step::Ask(self.key(name.clone()))),
                _ => Candidate::Unclear,
            },
            reply @ Reply::Records(..) => {
                Candidate::There(self.done(&reply, way, Some(name.clone())))
            }
            _ => Candidate::Unclear,
        }
    }

    /// Our own answer; `owner` is the name that its records are of.
    fn done(&self, reply: &Reply, way: Vec<Record>, owner: Option<Name>) -> Step {
        let code = match reply {
            Reply::Records(..) | Reply::Empty => Code::NoError,
            Reply::Absent => Code::NxDomain,
            _ => Code::ServFail,
        };
        let mut answer = self.query.answer(code).at_most(self.limit);
        if code != Code::ServFail {
            answer = answer.authoritative();
        }
        let owner = owner.filter(|_| !way.is_empty());
        for record in &way {
            answer.push(Section::Answer, record);
        }
        match reply {
            Reply::Records(records, more) => {
                for record in rotated(records, self.query.id) {
                    answer.push(Section::Answer, &owned(record, owner.as_ref()));
                }
                for record in more {
                    answer.push(Section::Additional, record);
                }
            }
            Reply::Empty | Reply::Absent => {
                answer.push(Section::Authority, &authority(self.zone));
            }
            _ => {}
        }
        Step::Done(code, answer.finish())
    }

    fn failed(&self) -> Step {
        let answer = self.query.answer(Code::ServFail);
        Step::Done(Code::ServFail, answer.finish())
    }
}

enum Candidate {
    Absent,
    There(Step),
    Unclear,
}

fn alias(first: bool, name: &Name, target: &Name) -> Record {
    Record {
        owner: (!first).then(|| name.clone()),
        ttl: TTL,
        data: Data::Cname(target.clone()),
    }
}

fn owned(record: &Record, owner: Option<&Name>) -> Record {
    let mut record = record.clone();
    if record.owner.is_none() {
        record.owner = owner.cloned();
    }
    record
}

/// Another one first each time: most clients take the first.
fn rotated(records: &[Record], turn: u16) -> impl Iterator<Item = &Record> {
    let start = usize::from(turn) % records.len().max(1);
    let (front, back) = records.split_at(start);
    back.iter().chain(front)
}

fn from_hosts(ips: &[IpAddr], kind: u16) -> Reply {
    let records: Vec<Record> = ips
        .iter()
        .filter_map(|ip| match (ip, kind) {
            (IpAddr::V4(ip), kind::A) => Some(Data::A(*ip)),
            (IpAddr::V6(ip), kind::AAAA) => Some(Data::Aaaa(*ip)),
            _ => None,
        })
        .map(|data| Record {
            owner: None,
            ttl: TTL,
            data,
        })
        .collect();
    match records.is_empty() {
        true => Reply::Empty,
        false => Reply::Records(records, Vec::new()),
    }
}

fn code(number: u8) -> Code {
    match number {
        0 => Code::NoError,
        1 => Code::FormErr,
        3 => Code::NxDomain,
        4 => Code::NotImp,
        5 => Code::Refused,
        _ => Code::ServFail,
    }
}

#[cfg(test)]
mod tests;
