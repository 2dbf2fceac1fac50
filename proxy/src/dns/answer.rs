//! What the cluster's zone answers to a name, after the DNS specification of Kubernetes (1.1.0) and
//! CoreDNS where that is silent. Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::name::Name;
use super::wire::{Data, Record, kind};
use super::zone::{Named, Zone};
use crate::model::{EndpointSlice, Protocol, SliceEndpoint};

/// Seconds for which an answer of ours may be kept.
pub const TTL: u32 = 5;
/// The specification's version.
const SCHEMA: &str = "1.1.0";

/// What a name comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// These records; beside them what will be asked next.
    Records(Vec<Record>, Vec<Record>),
    /// The name is there, but not what was asked for.
    Empty,
    /// There is no such name.
    Absent,
    /// Another name stands for it.
    Alias(Name),
    /// It is none of ours.
    Elsewhere,
    /// It is ours, but not all Services are known yet.
    NotReady,
}

impl Reply {
    fn records(answers: Vec<Record>) -> Self {
        match answers.is_empty() {
            true => Self::Empty,
            false => Self::Records(answers, Vec::new()),
        }
    }
}

/// Answers a question.
#[must_use]
pub fn answer(name: &Name, kind: u16, zone: &Zone) -> Reply {
    let Some(labels) = name.below(&zone.domain) else {
        return match reverse_ip(name) {
            Some(ip) => reverse(ip, kind, zone),
            None => Reply::Elsewhere,
        };
    };
    match labels.as_slice() {
        [] => apex(kind, zone),
        [b"dns"] => Reply::Empty,
        [b"ns", b"dns"] => Reply::records(addresses(kind, zone.servers.iter().copied())),
        [b"dns-version"] if kind == kind::TXT => Reply::records(vec![own(Data::Txt(SCHEMA))]),
        [b"dns-version"] => Reply::Empty,
        [b"svc" | b"pod"] => Reply::Empty,
        [.., b"svc" | b"pod"] if !zone.synced => Reply::NotReady,
        [rest @ .., b"svc"] => below_svc(name, rest, kind, zone),
        [namespace, b"pod"] if has_namespace(zone, namespace) => Reply::Empty,
        [address, _, b"pod"] => pod(address, kind),
        _ => Reply::Absent,
    }
}

/// The record of the zone's begin, which goes with every "no".
#[must_use]
pub fn authority(zone: &Zone) -> Record {
    Record {
        owner: Some(zone.domain.clone()),
        ttl: TTL,
        data: begin(zone),
    }
}

fn begin(zone: &Zone) -> Data {
    let within = |labels: &[&[u8]]| {
        let name = Name::within(labels, &zone.domain);
        name.unwrap_or_else(|| zone.domain.clone())
    };
    Data::Soa(
        within(&[b"ns", b"dns"]),
        within(&[b"hostmaster"]),
        zone.serial,
    )
}

fn own(data: Data) -> Record {
    Record {
        owner: None,
        ttl: TTL,
        data,
    }
}

fn apex(kind: u16, zone: &Zone) -> Reply {
    match kind {
        kind::SOA => Reply::records(vec![own(begin(zone))]),
        kind::NS => {
            let Some(server) = Name::within(&[b"ns", b"dns"], &zone.domain) else {
                return Reply::Empty;
            };
            let glue = zone.servers.iter().map(|ip| Record {
                owner: Some(server.clone()),
                ..own(address(*ip))
            });
            Reply::Records(vec![own(Data::Ns(server.clone()))], glue.collect())
        }
        _ => Reply::Empty,
    }
}

fn address(ip: IpAddr) -> Data {
    match ip {
        IpAddr::V4(ip) => Data::A(ip),
        IpAddr::V6(ip) => Data::Aaaa(ip),
    }
}

fn addresses(kind: u16, ips: impl Iterator<Item = IpAddr>) -> Vec<Record> {
    let wanted = ips.filter(|ip| kind == if ip.is_ipv6() { kind::AAAA } else { kind::A });
    wanted.map(|ip| own(address(ip))).collect()
}

fn has_namespace(zone: &Zone, label: &[u8]) -> bool {
    std::str::from_utf8(label).is_ok_and(|name| zone.has_namespace(name))
}

/// Names of the form `10-1-2-3.namespace.pod` say their address themselves.
fn pod(label: &[u8], kind: u16) -> Reply {
    let text = String::from_utf8_lossy(label);
    let v4: Option<Ipv4Addr> = text.replace('-', ".").parse().ok();
    let v6: Option<Ipv6Addr> = text.replace('-', ":").parse().ok();
    match v4.map(IpAddr::V4).or(v6.map(IpAddr::V6)) {
        Some(ip) => Reply::records(addresses(kind, std::iter::once(ip))),
        None => Reply::Absent,
    }
}

fn below_svc(name: &Name, labels: &[&[u8]], kind: u16, zone: &Zone) -> Reply {
    let key = |service: &[u8], namespace: &[u8]| {
        let parts = [namespace, service].map(std::str::from_utf8);
        match parts {
            [Ok(namespace), Ok(service)] => format!("{namespace}/{service}"),
            _ => String::new(),
        }
    };
    match labels {
        [namespace] if has_namespace(zone, namespace) => Reply::Empty,
        [service, namespace] => {
            let key = key(service, namespace);
            zone.service(&key).map_or(Reply::Absent, |named| {
                Asked {
                    name,
                    key: &key,
                    zone,
                }
                .service(named, kind)
            })
        }
        [first, service, namespace] => {
            let key = key(service, namespace);
            let asked = Asked {
                name,
                key: &key,
                zone,
            };
            match (zone.service(&key), protocol(first)) {
                (None | Some(Named::External(_)), _) => Reply::Absent,
                (Some(named), Some(protocol)) => asked.protocol(named, protocol),
                (Some(_), None) => asked.endpoint(first, kind),
            }
        }
        [port, transport, service, namespace] => {
            let key = key(service, namespace);
            let port = port.strip_prefix(b"_").map(String::from_utf8_lossy);
            match (zone.service(&key), port, protocol(transport)) {
                (Some(named), Some(port), Some(protocol)) => {
                    let wanted = |p: &Offer<'_>| p.name == port && p.protocol == protocol;
                    Asked {
                        name,
                        key: &key,
                        zone,
                    }
                    .ports(named, kind, &wanted)
                }
                _ => Reply::Absent,
            }
        }
        _ => Reply::Absent,
    }
}

fn protocol(label: &[u8]) -> Option<Protocol> {
    match label {
        b"_tcp" => Some(Protocol::Tcp),
        b"_udp" => Some(Protocol::Udp),
        b"_sctp" => Some(Protocol::Sctp),
        _ => None,
    }
}

/// A port of a Service or of an endpoint.
struct Offer<'a> {
    name: &'a str,
    protocol: Protocol,
    port: u16,
    at: Place,
}

/// Where an offer is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// The endpoint's name, empty for the Service itself.
    label: String,
    ip: IpAddr,
}

/// A question about one Service.
struct Asked<'a> {
    name: &'a Name,
    key: &'a str,
    zone: &'a Zone,
}

impl Asked<'_> {
    fn service(&self, named: &Named, kind: u16) -> Reply {
        match named {
            Named::External(target) => Reply::Alias(target.clone()),
            _ if kind == kind::SRV => self.ports(named, kind, &|_| true),
            Named::Cluster(service) => {
                Reply::records(addresses(kind, service.cluster_ips.iter().copied()))
            }
            Named::Headless => {
                let places = self.places(None);
                match places.is_empty() {
                    true => Reply::Absent,
                    false => Reply::records(addresses(kind, distinct(places))),
                }
            }
        }
    }

    /// A name between that of a port and that of the Service.
    fn protocol(&self, named: &Named, protocol: Protocol) -> Reply {
        match self.offers(named).iter().any(|o| o.protocol == protocol) {
            true => Reply::Empty,
            false => Reply::Absent,
        }
    }

    fn endpoint(&self, label: &[u8], kind: u16) -> Reply {
        let label = String::from_utf8_lossy(label);
        let places = self.places(Some(&label));
        if places.is_empty() {
            return Reply::Absent;
        }
        if kind == kind::SRV {
            return self.ports(&Named::Headless, kind, &|offer| offer.at.label == label);
        }
        Reply::records(addresses(kind, distinct(places)))
    }

    /// Endpoints that are ready, or those of one name.
    fn places(&self, label: Option<&str>) -> BTreeSet<Place> {
        let slices = self.zone.slices(self.key);
        let all = slices.flat_map(|slice| slice_places(slice));
        all.filter(|place| label.is_none_or(|label| place.label == label))
            .collect()
    }

    fn ports(&self, named: &Named, kind: u16, wanted: &dyn Fn(&Offer<'_>) -> bool) -> Reply {
        let mut offers = self.offers(named);
        offers.retain(wanted);
        if offers.is_empty() {
            return Reply::Absent;
        }
        if kind != kind::SRV {
            return Reply::records(addresses(
                kind,
                distinct(offers.iter().map(|o| o.at.clone())),
            ));
        }
        let of = |offer: &Offer<'_>| (offer.port, offer.at.label.clone());
        let targets: BTreeSet<(u16, String)> = offers.iter().map(of).collect();
        let weight = u16::try_from(100 / targets.len()).unwrap_or(1).max(1);
        let answers = targets
            .iter()
            .filter_map(|(port, label)| Some(own(Data::Srv(weight, *port, self.target(label)?))));
        let places: BTreeSet<&Place> = offers.iter().map(|offer| &offer.at).collect();
        let glue = places.iter().filter_map(|place| {
            Some(Record {
                owner: Some(self.target(&place.label)?),
                ..own(address(place.ip))
            })
        });
        Reply::Records(answers.collect(), glue.collect())
    }

    fn offers<'a>(&'a self, named: &'a Named) -> Vec<Offer<'a>> {
        let Named::Cluster(service) = named else {
            let slices = self.zone.slices(self.key);
            return slices.flat_map(|slice| slice_offers(slice)).collect();
        };
        let each = service.ports.iter();
        let every = each.flat_map(|port| service.cluster_ips.iter().map(move |ip| (port, *ip)));
        every
            .map(|(port, ip)| Offer {
                name: &port.name,
                protocol: port.protocol,
                port: port.port,
                at: Place {
                    label: String::new(),
                    ip,
                },
            })
            .collect()
    }

    /// The name of an endpoint, or of the Service where the label is empty.
    fn target(&self, label: &str) -> Option<Name> {
        let (namespace, service) = self.key.split_once('/')?;
        let parts = [label, service, namespace, "svc"].map(str::as_bytes);
        let parts = if label.is_empty() {
            &parts[1..]
        } else {
            &parts
        };
        if label.is_empty() && self.name.labels().next() == Some(service.as_bytes()) {
            return Some(self.name.clone());
        }
        Name::within(parts, &self.zone.domain)
    }
}

fn distinct(places: impl IntoIterator<Item = Place>) -> impl Iterator<Item = IpAddr> {
    let ips: BTreeSet<IpAddr> = places.into_iter().map(|place| place.ip).collect();
    ips.into_iter()
}

fn slice_places(slice: &EndpointSlice) -> impl Iterator<Item = Place> {
    let ready = slice.endpoints.iter().enumerate().filter(|(_, e)| e.ready);
    ready.map(|(index, endpoint)| Place {
        label: label(slice, index, endpoint),
        ip: endpoint.ip,
    })
}

fn slice_offers(slice: &EndpointSlice) -> impl Iterator<Item = Offer<'_>> {
    slice_places(slice).flat_map(|at| {
        slice.ports.iter().map(move |port| Offer {
            name: &port.name,
            protocol: port.protocol,
            port: port.port,
            at: at.clone(),
        })
    })
}

/// An endpoint's hostname, or else its address with dashes.
fn label(slice: &EndpointSlice, index: usize, endpoint: &SliceEndpoint) -> String {
    match slice.hostname(index) {
        Some(name) => name.to_ascii_lowercase(),
        None => endpoint.ip.to_string().replace(['.', ':'], "-"),
    }
}

/// The name of an address; other servers know of those that are not the cluster's.
fn reverse(ip: IpAddr, kind: u16, zone: &Zone) -> Reply {
    let mut found: Vec<Name> = Vec::new();
    let under = |labels: &[&str]| {
        let bytes: Vec<&[u8]> = labels.iter().map(|label| label.as_bytes()).collect();
        Name::within(&bytes, &zone.domain)
    };
    if let Some(key) = zone.by_cluster_ip(ip) {
        found.extend(under(&[key.name(), key.namespace(), "svc"]));
    } else {
        for (key, hostname) in zone.by_endpoint_ip(ip) {
            found.extend(under(&[hostname, key.name(), key.namespace(), "svc"]));
        }
    }
    match (found.is_empty(), kind) {
        (true, _) => Reply::Elsewhere,
        (false, kind::PTR) => {
            Reply::records(found.into_iter().map(|n| own(Data::Ptr(n))).collect())
        }
        (false, _) => Reply::Empty,
    }
}

/// The address that a name below in-addr.arpa or ip6.arpa is of.
fn reverse_ip(name: &Name) -> Option<IpAddr> {
    let mut labels: Vec<&[u8]> = name.labels().collect();
    if labels.pop()? != b"arpa" {
        return None;
    }
    let family = labels.pop()?;
    labels.reverse();
    let texts: Option<Vec<&str>> = labels.iter().map(|l| std::str::from_utf8(l).ok()).collect();
    let texts = texts?;
    match family {
        b"in-addr" if texts.len() == 4 => texts.join(".").parse().ok().map(IpAddr::V4),
        b"ip6" if texts.len() == 32 && texts.iter().all(|nibble| nibble.len() == 1) => {
            let number = u128::from_str_radix(&texts.concat(), 16).ok()?;
            Some(IpAddr::V6(number.into()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
