//! The API server's speed and size: a server of its own process on the embedded store, over TLS,
//! 32 connections, 1 KiB ConfigMaps, against bars. Prints a table; a bar that is missed is shown as
//! missed. The load comes from this process, on the same processors: its share is printed too.
//!
//! `KEELSON_TEST_KEELSON` names the binary to measure; without it this one serves.
//! `KEELSON_TEST_ETCD_BIN` names the folder of etcd, where that is to be measured as well.

mod answer;
mod load;
mod shared;
mod table;
mod target;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use load::{CONNECTIONS, Connection, Measured, Work};
use serde_json::json;
use table::Table;
use target::{Keys, Target};
use tokio::time::Instant;

const OBJECTS: usize = 10_000;
const MANY: usize = 50_000;
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const WATCHERS: usize = 100;
const UPDATES: usize = 1000;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    match args.get(1).and_then(|arg| arg.to_str()) {
        Some(target::SERVE) => keelson_apiserver::command::main(&args[2..], || {}),
        Some(target::BARE) => target::bare(&args[2..]),
        // `cargo test --benches` runs it too: nothing to test here.
        _ if !args.iter().any(|arg| arg == "--bench") => ExitCode::SUCCESS,
        _ => {
            // One thread, so that the server has a processor for itself.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            print!("{}", runtime.expect("a runtime").block_on(all()));
            ExitCode::SUCCESS
        }
    }
}

fn name(number: usize) -> String {
    format!("map-{number:06}")
}

/// An object of 1 KiB.
fn object(number: usize) -> String {
    let data = format!("{number:0>850}");
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name(number)}, "data": {"key": data}}).to_string()
}

fn create(number: usize) -> Work {
    Work::new("POST", MAPS, "application/json", &object(number))
}

fn patch(number: usize, turn: usize) -> Work {
    let path = format!("{MAPS}/{}", name(number));
    let body = json!({"data": {"turn": turn.to_string()}}).to_string();
    Work::new("PATCH", &path, "application/merge-patch+json", &body)
}

fn get(number: usize) -> Work {
    Work::get(&format!("{MAPS}/{}", name(number * 7919 % OBJECTS)))
}

async fn all() -> Table {
    let mut table = Table::default();
    let keys = Keys::make();
    let mut server = Target::start(&keys).await;
    table.at_most("ready, empty store", ms(server.ready_after), 150.0, "ms");
    tokio::time::sleep(Duration::from_secs(3)).await;
    table.at_most("idle, resident", server.resident(), 25.0, "MiB");

    let raw = shared::raw_engine().await;
    let made = load::run(&server, OBJECTS, create).await;
    rate(&mut table, "creates", &made, 6000.0);
    table.at_most("create, p99", ms(made.p99), 20.0, "ms");
    table.at_least(
        "creates, of the engine alone",
        100.0 * made.rate / raw,
        50.0,
        "%",
    );

    let bare = Target::bare(&keys).await;
    let floor = load::run(&bare, 3 * OBJECTS, get).await;
    drop(bare);
    let read = load::run(&server, 3 * OBJECTS, get).await;
    rate(&mut table, "GETs", &read, 15_000.0);
    table.row("GETs of a bare handler", floor.rate, "/s");
    table.at_least(
        "GETs, of a bare handler",
        100.0 * read.rate / floor.rate,
        60.0,
        "%",
    );

    let patched = load::run(&server, OBJECTS, |number| patch(number, 0)).await;
    rate(&mut table, "merge patches", &patched, 4000.0);
    table.at_most("list of 10,000", ms(list(&server).await), 50.0, "ms");
    watched(&server, &mut table).await;

    let json = OBJECTS * (object(0).len() + 400);
    let allowed = 25.0 + 2.5 * mib(json);
    table.at_most("resident after that", server.resident(), allowed, "MiB");
    load::run(&server, MANY - OBJECTS, |number| create(OBJECTS + number)).await;
    table.row("store's file, 50,000 objects", server.file(), "MiB");
    server.restart().await;
    table.at_most(
        "ready, 50,000 objects",
        ms(server.ready_after),
        1000.0,
        "ms",
    );
    table.row("resident then", server.resident(), "MiB");
    drop(server);
    shared::etcd(&keys, &mut table).await;
    table
}

fn rate(table: &mut Table, what: &str, measured: &Measured, bar: f64) {
    table.at_least(what, measured.rate, bar, "/s");
    table.row(&format!("{what}, p50"), ms(measured.half), "ms");
    table.row(
        &format!("{what}, processor of the load"),
        measured.own,
        "cores",
    );
    table.row(
        &format!("{what}, processor of the server"),
        measured.theirs,
        "cores",
    );
}

/// The middle of some lists, read to their ends.
async fn list(server: &Target) -> Duration {
    let mut connection = Connection::open(server).await;
    let mut times = Vec::new();
    for _ in 0..9 {
        let begun = Instant::now();
        let work = Work::get(MAPS);
        let size = connection.send(&work).await;
        assert!(size > OBJECTS * object(0).len(), "a list of {size} bytes");
        times.push(begun.elapsed());
    }
    times.sort();
    times[times.len() / 2]
}

/// Events delivered to many watchers, each of which reads them all.
async fn watched(server: &Target, table: &mut Table) {
    let mut connection = Connection::open(server).await;
    let first = Work::get(&format!("{MAPS}?limit=1"));
    let first = connection.value(&first).await;
    let revision = first["metadata"]["resourceVersion"].as_str();
    let revision = revision.expect("a revision").to_owned();
    let mut watchers = tokio::task::JoinSet::new();
    for _ in 0..WATCHERS {
        let work = Work::get(&format!("{MAPS}?watch=1&resourceVersion={revision}"));
        let mut connection = Connection::open(server).await;
        connection.watch(&work).await;
        watchers.spawn(async move {
            connection.lines(UPDATES).await;
            Instant::now()
        });
    }
    let begun = Instant::now();
    let usage = (load::own_time(), server.time());
    load::run(server, UPDATES, |number| patch(number, 1)).await;
    let written = begun.elapsed();
    let last = watchers
        .join_all()
        .await
        .into_iter()
        .max()
        .expect("watchers");
    let took = last - begun;
    let events = (WATCHERS * UPDATES) as f64;
    table.at_least(
        "events to 100 watchers",
        events / took.as_secs_f64(),
        200_000.0,
        "/s",
    );
    table.row("events, the updates alone took", ms(written), "ms");
    let share =
        |before: Duration, after: Duration| (after - before).as_secs_f64() / took.as_secs_f64();
    table.row(
        "events, processor of the load",
        share(usage.0, load::own_time()),
        "cores",
    );
    table.row(
        "events, processor of the server",
        share(usage.1, server.time()),
        "cores",
    );
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn mib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// How many requests each connection sends.
fn share_of(all: usize, connection: usize) -> impl Iterator<Item = usize> {
    (connection..all).step_by(CONNECTIONS)
}
