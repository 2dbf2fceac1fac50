//! The DNS server over real sockets, asked by a resolver library that others wrote: records of the
//! specification, other servers' answers, and names that change while they are asked for.

#![expect(clippy::unwrap_used, reason = "a case that cannot go on has failed")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hickory_resolver::Resolver;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RecordType;
use keelson_proxy::dns::forward::framed;
use keelson_proxy::dns::serve::{Bound, Server, start};
use keelson_proxy::dns::settings::{Hosts, Settings};
use keelson_proxy::dns::wire::{Code, Data, Query, Record, Section, kind};
use keelson_proxy::dns::{Name, Zone};
use keelson_proxy::watched::{WatchedService, WatchedSlice};
use parking_lot::RwLock;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// A server elsewhere that knows two names: one has an address for no time at all, one has more
/// addresses than UDP takes.
struct Elsewhere {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    silent: Arc<AtomicBool>,
}

impl Elsewhere {
    fn start() -> Self {
        // A port that is free for UDP may be taken for TCP.
        let both = || {
            let udp = UdpSocket::bind("127.0.0.1:0")?;
            let tcp = TcpListener::bind(udp.local_addr()?)?;
            Ok::<_, std::io::Error>((udp, tcp))
        };
        let (udp, tcp) = std::iter::repeat_with(both).find_map(Result::ok).unwrap();
        let address = udp.local_addr().unwrap();
        let (asked, silent) = <(Arc<AtomicUsize>, Arc<AtomicBool>)>::default();
        let (count, quiet) = (asked.clone(), silent.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((length, from)) = udp.recv_from(&mut buffer) {
                count.fetch_add(1, Ordering::SeqCst);
                if !quiet.load(Ordering::SeqCst) {
                    let answer = Self::answer(&buffer[..length], 512);
                    udp.send_to(&answer, from).unwrap();
                }
            }
        });
        std::thread::spawn(move || {
            for stream in tcp.incoming() {
                let mut stream = stream.unwrap();
                let mut length = [0; 2];
                stream.read_exact(&mut length).unwrap();
                let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
                stream.read_exact(&mut message).unwrap();
                let answer = framed(&Self::answer(&message, 65_535));
                stream.write_all(&answer).unwrap();
            }
        });
        Self {
            address,
            asked,
            silent,
        }
    }

    fn answer(message: &[u8], limit: usize) -> Vec<u8> {
        let query = Query::read(message).unwrap();
        let (ttl, count) = match query.name.to_string().as_str() {
            "www.example." => (0, 1),
            "kept.example." => (300, 1),
            "big.example." => (60, 100),
            _ => return query.answer(Code::NxDomain).finish(),
        };
        let mut answer = query.answer(Code::NoError).at_most(limit);
        for last in 0..count {
            let data = Data::A(Ipv4Addr::new(192, 0, 2, last));
            let owner = None;
            answer.push(Section::Answer, &Record { owner, ttl, data });
        }
        answer.finish()
    }
}

/// A server of ours with its zone.
struct Ours {
    zone: Arc<RwLock<Zone>>,
    address: SocketAddr,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Ours {
    fn start(upstreams: Vec<SocketAddr>) -> Self {
        let settings = Settings {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            domain: name("cluster.local"),
            upstreams,
            stubs: vec![],
            hosts: Hosts::parse("198.51.100.7 printer.example"),
            search: vec![],
            shortcut: false,
        };
        let zone = Zone::new(settings.domain.clone(), vec![[127, 0, 0, 1].into()]);
        let zone = Arc::new(RwLock::new(zone));
        let bind = || Bound::bind(&settings.listen);
        let bound = std::iter::repeat_with(bind).find_map(Result::ok).unwrap();
        let address = bound.addresses()[0];
        let server = Arc::new(Server::new(settings, zone.clone()));
        let stop = CancellationToken::new();
        let thread = start(server, bound, stop.clone()).unwrap();
        Self {
            zone,
            address,
            stop,
            thread: Some(thread),
        }
    }

    fn add_service(&self, service: &str, spec: &Value) {
        let object = json!({"metadata": {"namespace": "ns", "name": service}, "spec": spec});
        let watched: WatchedService = serde_json::from_value(object).unwrap();
        self.zone.write().set_service(&watched.key, watched.named);
    }

    fn add_slice(
        &self,
        service: &str,
        before: Option<&WatchedSlice>,
        endpoints: &Value,
    ) -> WatchedSlice {
        let object = json!({"metadata": {"namespace": "ns", "name": service,
            "labels": {"kubernetes.io/service-name": service}},
            "ports": [{"name": "sql", "port": 5432}], "endpoints": endpoints});
        let watched: WatchedSlice = serde_json::from_value(object).unwrap();
        let before = before.and_then(|before| before.whole.as_deref());
        let mut zone = self.zone.write();
        zone.set_slice(&watched.key, before, watched.whole.clone());
        watched
    }

    /// A resolver that keeps nothing itself.
    fn resolver(&self) -> TokioResolver {
        let at_our_port = |mut connection: ConnectionConfig| {
            connection.port = self.address.port();
            connection
        };
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(at_our_port);
        let server = NameServerConfig::new(self.address.ip(), true, connections.into());
        let config = ResolverConfig::from_parts(None, vec![], vec![server]);
        let provider = TokioRuntimeProvider::default();
        let mut builder = Resolver::builder_with_config(config, provider);
        let options = builder.options_mut();
        options.cache_size = 0;
        options.timeout = Duration::from_secs(30);
        builder.build().unwrap()
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.stop.cancel();
        self.thread.take().unwrap().join().unwrap();
    }
}

async fn told(resolver: &TokioResolver, name: &str, kind: RecordType) -> String {
    match resolver.lookup(format!("{name}."), kind).await {
        Ok(found) => {
            let each = found.answers().iter();
            let mut texts: Vec<String> = each.map(|record| record.data.to_string()).collect();
            texts.sort();
            texts.join(", ")
        }
        Err(error) if error.is_nx_domain() => "no name".into(),
        Err(error) if error.is_no_records_found() => "no records".into(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn the_records_of_the_specification() {
    let ours = Ours::start(vec![]);
    let resolver = ours.resolver();
    ours.add_service(
        "web",
        &json!({"clusterIPs": ["10.96.0.1", "fd96::1"], "ports": [{"name": "http", "port": 80}]}),
    );
    let web = "web.ns.svc.cluster.local";
    let unready = told(&resolver, web, RecordType::A).await;
    assert!(unready != "10.96.0.1" && unready != "no name", "{unready}");
    ours.zone.write().synced = true;
    ours.add_service("db", &json!({"clusterIP": "None"}));
    ours.add_service(
        "near",
        &json!({"type": "ExternalName", "externalName": web}),
    );
    let endpoints = json!([{"addresses": ["10.1.0.2"], "hostname": "db-0"},
        {"addresses": ["10.1.0.3"]}]);
    ours.add_slice("db", None, &endpoints);
    for (name, kind, expected) in [
        (web, RecordType::A, "10.96.0.1"),
        (web, RecordType::AAAA, "fd96::1"),
        (web, RecordType::TXT, "no records"),
        (
            "_http._tcp.web.ns.svc.cluster.local",
            RecordType::SRV,
            "0 100 80 web.ns.svc.cluster.local.",
        ),
        (
            "db.ns.svc.cluster.local",
            RecordType::A,
            "10.1.0.2, 10.1.0.3",
        ),
        ("db-0.db.ns.svc.cluster.local", RecordType::A, "10.1.0.2"),
        (
            "_sql._tcp.db.ns.svc.cluster.local",
            RecordType::SRV,
            "0 50 5432 10-1-0-3.db.ns.svc.cluster.local., 0 50 5432 db-0.db.ns.svc.cluster.local.",
        ),
        (
            "1.0.96.10.in-addr.arpa",
            RecordType::PTR,
            "web.ns.svc.cluster.local.",
        ),
        (
            "2.0.1.10.in-addr.arpa",
            RecordType::PTR,
            "db-0.db.ns.svc.cluster.local.",
        ),
        (
            "near.ns.svc.cluster.local",
            RecordType::A,
            "10.96.0.1, web.ns.svc.cluster.local.",
        ),
        ("dns-version.cluster.local", RecordType::TXT, "1.1.0"),
        ("none.ns.svc.cluster.local", RecordType::A, "no name"),
        ("web.other.svc.cluster.local", RecordType::A, "no name"),
        ("printer.example", RecordType::A, "198.51.100.7"),
    ] {
        assert_eq!(told(&resolver, name, kind).await, expected, "{name} {kind}");
    }
}

#[tokio::test]
async fn other_servers_answers() {
    let elsewhere = Elsewhere::start();
    let ours = Ours::start(vec![elsewhere.address]);
    ours.zone.write().synced = true;
    ours.add_service(
        "out",
        &json!({"type": "ExternalName", "externalName": "kept.example"}),
    );
    let resolver = ours.resolver();
    let asked = || elsewhere.asked.load(Ordering::SeqCst);
    assert_eq!(
        told(&resolver, "www.example", RecordType::A).await,
        "192.0.2.0"
    );
    assert_eq!(
        told(&resolver, "kept.example", RecordType::A).await,
        "192.0.2.0"
    );
    assert_eq!(
        told(&resolver, "nothing.example", RecordType::A).await,
        "no name"
    );
    let before = asked();
    assert_eq!(
        told(&resolver, "kept.example", RecordType::A).await,
        "192.0.2.0"
    );
    assert_eq!(
        told(&resolver, "nothing.example", RecordType::A).await,
        "no name"
    );
    let out = told(&resolver, "out.ns.svc.cluster.local", RecordType::A).await;
    assert_eq!(out, "192.0.2.0, kept.example.");
    assert_eq!(asked(), before, "all of that is kept");

    let big = told(&resolver, "big.example", RecordType::A).await;
    assert_eq!(big.split(", ").count(), 100, "by TCP on both sides");

    elsewhere.silent.store(true, Ordering::SeqCst);
    let old = told(&resolver, "www.example", RecordType::A).await;
    assert_eq!(old, "192.0.2.0", "an old answer is better than none");
}

#[tokio::test]
async fn nobody_elsewhere_is_an_answer_too() {
    let ours = Ours::start(vec![]);
    ours.zone.write().synced = true;
    let answer = told(&ours.resolver(), "www.example", RecordType::A).await;
    assert!(!answer.contains("192.0.2"), "{answer}");
}

/// Every answer under churn is one that was right at some moment between question and answer.
#[test]
fn no_wrong_answer_while_endpoints_change() {
    const QUESTIONS: usize = 5_000;
    let ours = Ours::start(vec![]);
    ours.zone.write().synced = true;
    ours.add_service("db", &json!({"clusterIP": "None"}));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(ours.address).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let asked =
        keelson_proxy::dns::wire::question(7, &name("db.ns.svc.cluster.local"), kind::A, false);
    let at = |number: usize| json!([{"addresses": [format!("10.1.{}.{}", number / 250, number % 250 + 1)]}]);
    let mut before = ours.add_slice("db", None, &at(0));
    for number in 1..=QUESTIONS {
        before = ours.add_slice("db", Some(&before), &at(number));
        socket.send(&asked).unwrap();
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).unwrap();
        let kept = keelson_proxy::dns::wire::Kept::read(&buffer[..length], &asked).unwrap();
        let found: Vec<String> = kept
            .addresses(0)
            .map(|record| format!("{:?}", record.data))
            .collect();
        let expected = format!("A(10.1.{}.{})", number / 250, number % 250 + 1);
        assert_eq!(found, [expected]);
    }
}
