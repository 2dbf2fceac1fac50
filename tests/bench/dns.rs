//! The node's DNS: how many questions a core answers while endpoints change, whether every answer was
//! right, and how long answers take at 10,000 questions a second.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has failed"
)]

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use keelson_proxy::dns::serve::{Bound, Server, start};
use keelson_proxy::dns::settings::{Hosts, Settings};
use keelson_proxy::dns::wire::{Data, Kept, kind, question};
use keelson_proxy::dns::{Name, Zone};
use keelson_proxy::watched::{WatchedService, WatchedSlice};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const SERVICES: usize = 10_000;
const QUESTIONS: usize = 100_000;
const IN_FLIGHT: usize = 32;
const RATE: u32 = 10_000;
/// One of so many questions is about the Service whose endpoint changes all the time.
const CHURNED: usize = 10;
/// An answer that took longer is slow.
const SLOW: Duration = Duration::from_millis(100);

fn main() {
    let zone = Zone::new(Name::parse("cluster.local").unwrap(), vec![]);
    let zone = Arc::new(parking_lot::RwLock::new(zone));
    for number in 0..SERVICES {
        let ip = Ipv4Addr::from(0x0a60_0000 + u32::try_from(number).unwrap());
        add(
            &zone,
            number,
            &json!({"clusterIP": ip.to_string(), "ports": [{"port": 80}]}),
        );
    }
    add(
        &zone,
        SERVICES,
        &json!({"clusterIP": "None", "ports": [{"port": 80}]}),
    );
    zone.write().synced = true;
    let settings = Settings {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        domain: Name::parse("cluster.local").unwrap(),
        upstreams: vec![],
        stubs: vec![],
        hosts: Hosts::default(),
        search: vec![],
        shortcut: false,
    };
    let bind = || Bound::bind(&settings.listen);
    let bound = std::iter::repeat_with(bind).find_map(Result::ok).unwrap();
    let address = bound.addresses()[0];
    let stop = CancellationToken::new();
    let server = Arc::new(Server::new(settings, zone.clone()));
    let thread = start(server, bound, stop.clone()).unwrap();

    let ended = Arc::new(AtomicBool::new(false));
    let changes = Arc::new(AtomicUsize::new(0));
    let churn = std::thread::spawn({
        let (zone, ended, changes) = (zone.clone(), ended.clone(), changes.clone());
        move || change_endpoints(&zone, &ended, &changes)
    });
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(address).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    flood(&socket, &changes);
    steady(&socket);
    ended.store(true, Ordering::Relaxed);
    churn.join().unwrap();
    let changes = changes.load(Ordering::SeqCst);
    println!("dns: endpoints changed {changes} times meanwhile");
    stop.cancel();
    thread.join().unwrap();
}

fn add(zone: &parking_lot::RwLock<Zone>, number: usize, spec: &Value) {
    let object =
        json!({"metadata": {"namespace": "ns", "name": format!("s{number}")}, "spec": spec});
    let watched: WatchedService = serde_json::from_value(object).unwrap();
    zone.write().set_service(&watched.key, watched.named);
}

/// The address of the endpoint after so many changes.
fn endpoint(changes: usize) -> Ipv4Addr {
    let [.., high, low] = u32::try_from(changes % 65_536).unwrap().to_be_bytes();
    Ipv4Addr::new(10, 1, high, low)
}

/// A thousand changes a second, counted once they are made.
fn change_endpoints(zone: &parking_lot::RwLock<Zone>, ended: &AtomicBool, changes: &AtomicUsize) {
    let mut before: Option<WatchedSlice> = None;
    while !ended.load(Ordering::Relaxed) {
        let object = json!({"metadata": {"namespace": "ns", "name": "x",
            "labels": {"kubernetes.io/service-name": format!("s{SERVICES}")}},
            "endpoints": [{"addresses": [endpoint(changes.load(Ordering::SeqCst) + 1)]}]});
        let watched: WatchedSlice = serde_json::from_value(object).unwrap();
        let old = before.as_ref().and_then(|before| before.whole.as_deref());
        zone.write()
            .set_slice(&watched.key, old, watched.whole.clone());
        before = Some(watched);
        changes.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn ask(socket: &UdpSocket, number: usize) {
    let service = match number % CHURNED {
        0 => SERVICES,
        _ => number * 7919 % SERVICES,
    };
    let name = Name::parse(&format!("s{service}.ns.svc.cluster.local")).unwrap();
    let id = u16::try_from(number % 65_536).unwrap();
    socket.send(&question(id, &name, kind::A, false)).unwrap();
}

/// Takes one answer: its number, the Service asked about, and what is said; nothing where none comes.
fn take(socket: &UdpSocket) -> Option<(u16, usize, Vec<Data>)> {
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).ok()?;
    let id = u16::from_be_bytes([buffer[0], buffer[1]]);
    let message = &buffer[..length];
    let end = message
        .windows(5)
        .position(|w| w == [0, 0, 1, 0, 1])
        .unwrap()
        + 5;
    let mut asked = message[..end].to_vec();
    asked[2..4].copy_from_slice(&[1, 0]);
    let kept = Kept::read(message, &asked).unwrap();
    let label = &message[13..13 + usize::from(message[12])];
    let service = std::str::from_utf8(&label[1..]).unwrap().parse().unwrap();
    Some((id, service, kept.addresses(0).map(|r| r.data).collect()))
}

/// Whether an answer is one that was right at some moment between these two numbers of changes.
fn is_right(service: usize, said: &[Data], since: usize, until: usize) -> bool {
    let is = |ip: Ipv4Addr| said == [Data::A(ip)];
    if service < SERVICES {
        return is(Ipv4Addr::from(
            0x0a60_0000 + u32::try_from(service).unwrap(),
        ));
    }
    // A change is made before it is counted.
    (since..=until + 1).any(|changes| is(endpoint(changes)))
}

fn flood(socket: &UdpSocket, changes: &AtomicUsize) {
    // The thread has its name once it answered.
    ask(socket, 1);
    assert!(take(socket).is_some(), "an answer");
    while changes.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    let before = busy();
    let started = Instant::now();
    let mut asked = vec![(started, 0); 65_536];
    let send = |number: usize, asked: &mut Vec<(Instant, usize)>| {
        asked[number % 65_536] = (Instant::now(), changes.load(Ordering::SeqCst));
        ask(socket, number);
    };
    (0..IN_FLIGHT).for_each(|number| send(number, &mut asked));
    let (mut wrong, mut slow, mut lost) = (0, 0, 0);
    for number in IN_FLIGHT..QUESTIONS + IN_FLIGHT {
        match take(socket) {
            Some((id, service, said)) => {
                let (at, since) = asked[usize::from(id)];
                let until = changes.load(Ordering::SeqCst);
                wrong += usize::from(!is_right(service, &said, since, until));
                slow += usize::from(at.elapsed() > SLOW);
            }
            None => lost += 1,
        }
        if number < QUESTIONS {
            send(number, &mut asked);
        }
    }
    let took = started.elapsed();
    let core = busy().saturating_sub(before);
    println!(
        "dns: {QUESTIONS} questions, {IN_FLIGHT} at a time: {:.0} a second, {:.0} a second of the server's core; {wrong} wrong, {slow} slow, {lost} lost (wanted: 50,000 a second of a core, 0, 0, 0)",
        per_second(took),
        per_second(core),
    );
}

fn per_second(time: Duration) -> f64 {
    f64::from(u32::try_from(QUESTIONS).unwrap()) / time.as_secs_f64()
}

/// What the server's thread had of a core, in the kernel's hundredths of a second.
fn busy() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let stats = tasks.flatten().map(|task| task.path().join("stat"));
    let mut texts = stats.filter_map(|path| std::fs::read_to_string(path).ok());
    let own = texts.find(|text| text.contains("(dns)"));
    let own = own.expect("the server's thread");
    let fields: Vec<&str> = own.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}

/// One question every tenth of a millisecond.
fn steady(socket: &UdpSocket) {
    let every = Duration::from_secs(1) / RATE;
    let count: usize = 50_000;
    let reader = socket.try_clone().unwrap();
    let answers = std::thread::spawn(move || {
        let taken = |_| Some((take(&reader)?.0, Instant::now()));
        (0..count).map_while(taken).collect::<Vec<_>>()
    });
    let started = Instant::now();
    let sent: Vec<Instant> = (0..count)
        .map(|number| {
            let due = started + every * u32::try_from(number).unwrap();
            while Instant::now() < due {
                std::thread::yield_now();
            }
            let now = Instant::now();
            ask(socket, number);
            now
        })
        .collect();
    let mut times: Vec<Duration> = answers
        .join()
        .unwrap()
        .into_iter()
        .map(|(id, at)| at.duration_since(sent[usize::from(id)]))
        .collect();
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!(
        "dns: at {RATE} questions a second: median {:.0?}, p99 {:.0?}, worst {:.0?}, {} lost (wanted: p99 below 1 ms)",
        at(50),
        at(99),
        at(100),
        count - times.len()
    );
}
