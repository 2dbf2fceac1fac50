//! Random histories of a server, with disconnects, lost bookmarks, compactions and servers that
//! stream no lists: the store ends up equal to what the server holds.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proptest::prelude::*;
use serde::Deserialize;

use super::{Action, Event, Failure, State};
use crate::backoff::Jitter;
use crate::cache::{Key, Object, Store, Writer};
use crate::index::Index;

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Item {
    name: String,
    version: String,
}

impl Object for Item {
    fn namespace(&self) -> &str {
        ""
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn resource_version(&self) -> &str {
        &self.version
    }
}

fn item(name: u8, version: u64) -> Item {
    Item {
        name: name.to_string(),
        version: version.to_string(),
    }
}

/// What the server did: at which version, to which object, whether it is there afterwards.
#[derive(Clone, Debug)]
struct Entry {
    version: u64,
    name: u8,
    alive: bool,
}

#[derive(Debug, Default)]
struct Server {
    log: Vec<Entry>,
    version: u64,
    oldest: u64,
    streams: bool,
}

impl Server {
    fn write(&mut self, name: u8, alive: bool) {
        if !alive && !self.at(self.version).contains_key(&name) {
            return;
        }
        self.version += 1;
        self.log.push(Entry {
            version: self.version,
            name,
            alive,
        });
    }

    fn at(&self, version: u64) -> BTreeMap<u8, u64> {
        let mut state = BTreeMap::new();
        for entry in self.log.iter().take_while(|entry| entry.version <= version) {
            if entry.alive {
                state.insert(entry.name, entry.version);
            } else {
                state.remove(&entry.name);
            }
        }
        state
    }

    fn after(&self, version: u64) -> Option<&Entry> {
        self.log.iter().find(|entry| entry.version > version)
    }
}

#[derive(Clone, Debug)]
enum Op {
    Put(u8),
    Delete(u8),
    /// Old versions are forgotten.
    Compact,
    Go,
    Disconnect,
    End,
    Bookmark,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..6_u8).prop_map(Op::Put),
        2 => (0..6_u8).prop_map(Op::Delete),
        1 => Just(Op::Compact),
        8 => Just(Op::Go),
        1 => Just(Op::Disconnect),
        1 => Just(Op::End),
        1 => Just(Op::Bookmark),
    ]
}

struct Watch {
    sent: u64,
    initial: Option<VecDeque<Item>>,
}

struct Sim {
    server: Server,
    state: State,
    writer: Writer<Item>,
    store: Store<Item>,
    actions: VecDeque<Action>,
    watch: Option<Watch>,
    waits: u32,
}

impl Sim {
    fn new(server_streams: bool, asks_streams: bool) -> Self {
        let (store, writer) = Store::new(vec![Index::new("parity", |item: &Item, words| {
            let even = item.version.parse::<u64>().unwrap().is_multiple_of(2);
            words.push(even.to_string());
        })]);
        let mut state = State::new(Jitter::new(7), asks_streams);
        Self {
            server: Server {
                streams: server_streams,
                ..Server::default()
            },
            actions: state.step(Event::Go).into(),
            state,
            writer,
            store,
            watch: None,
            waits: 0,
        }
    }

    fn happen(&mut self, event: Event) {
        self.actions.extend(self.state.step(event));
    }

    fn op(&mut self, op: &Op) {
        match op {
            Op::Put(name) => self.server.write(*name, true),
            Op::Delete(name) => self.server.write(*name, false),
            Op::Compact => self.server.oldest = self.server.version,
            Op::Go => self.go(),
            Op::Bookmark => self.bookmark(),
            Op::Disconnect if self.watch.take().is_some() => {
                self.happen(Event::Failed(Failure::Other(None)));
            }
            Op::End if self.watch.take().is_some() => {
                let lived = Duration::from_secs(60);
                self.happen(Event::Ended { lived });
            }
            Op::Disconnect | Op::End => {}
        }
    }

    /// One action, or else one event of the watch. False if there is nothing to do.
    fn go(&mut self) {
        match self.actions.pop_front() {
            Some(action) => self.carry_out(action),
            None => self.deliver(),
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::BeginList => self.writer.begin_list(),
            Action::EndList => self.writer.end_list(),
            Action::Wait(time) => {
                assert!(time > Duration::ZERO && time <= Duration::from_secs(60));
                self.waits += 1;
                self.happen(Event::Go);
            }
            Action::List { next, version } => self.list(&next, &version),
            Action::Watch {
                version,
                initial_events,
                ..
            } => self.open(&version, initial_events),
        }
    }

    /// Pages of two. Whatever the server has at hand is the oldest that it still knows.
    fn list(&mut self, next: &str, version: &str) {
        let (at, from) = match next.split_once('/') {
            Some((at, from)) => (at.parse().unwrap(), from.parse().unwrap()),
            None if version.is_empty() => (self.server.version, 0),
            None => {
                let asked: u64 = version.parse().unwrap();
                (self.server.oldest.max(asked), 0)
            }
        };
        if at < self.server.oldest {
            return self.happen(Event::Failed(Failure::Expired));
        }
        let all: Vec<_> = self.server.at(at).into_iter().collect();
        let page: Vec<_> = all.iter().skip(from).take(2).collect();
        let end = from + page.len();
        for (name, version) in page {
            self.writer.apply(item(*name, *version));
        }
        let next = if end < all.len() {
            format!("{at}/{end}")
        } else {
            String::new()
        };
        self.happen(Event::Page {
            version: at.to_string(),
            next,
        });
    }

    fn open(&mut self, version: &str, initial: bool) {
        if initial && !self.server.streams {
            return self.happen(Event::Failed(Failure::NoStreaming));
        }
        let sent = if initial {
            self.server.version
        } else {
            version.parse().unwrap()
        };
        if sent < self.server.oldest {
            return self.happen(Event::Failed(Failure::Expired));
        }
        let objects = self.server.at(sent).into_iter();
        let initial = initial.then(|| objects.map(|(n, v)| item(n, v)).collect());
        self.watch = Some(Watch { sent, initial });
    }

    fn deliver(&mut self) {
        let Some(watch) = &mut self.watch else {
            return;
        };
        if let Some(initial) = &mut watch.initial {
            let Some(item) = initial.pop_front() else {
                watch.initial = None;
                let version = watch.sent.to_string();
                let initial_end = true;
                return self.happen(Event::Bookmark {
                    version,
                    initial_end,
                });
            };
            let version = item.version.clone();
            self.writer.apply(item);
            return self.happen(Event::Applied { version });
        }
        let Some(entry) = self.server.after(watch.sent).cloned() else {
            return;
        };
        watch.sent = entry.version;
        let item = item(entry.name, entry.version);
        if entry.alive {
            self.writer.apply(item);
        } else {
            self.writer.remove(&item.key());
        }
        let version = entry.version.to_string();
        self.happen(Event::Applied { version });
    }

    fn bookmark(&mut self) {
        let Some(watch) = &self.watch else { return };
        let behind = self.server.after(watch.sent).is_some();
        if watch.initial.is_some() || behind || !self.actions.is_empty() {
            return;
        }
        let version = self.server.version.to_string();
        self.happen(Event::Bookmark {
            version,
            initial_end: false,
        });
    }

    fn quiesce(&mut self) {
        for _ in 0..200 {
            self.go();
        }
        assert!(self.actions.is_empty(), "it never comes to rest");
    }

    fn check(&self) {
        let held: BTreeMap<u8, u64> = self
            .store
            .all()
            .iter()
            .map(|item| (item.name.parse().unwrap(), item.version.parse().unwrap()))
            .collect();
        let expected = self.server.at(self.server.version);
        assert_eq!(held, expected);
        assert!(self.store.is_synced());
        let even = self.store.by_index("parity", "true");
        let expected = expected.values().filter(|v| v.is_multiple_of(2)).count();
        assert_eq!(even.len(), expected);
    }
}

proptest! {
    #[test]
    fn the_store_becomes_what_the_server_holds(
        ops in prop::collection::vec(op(), 0..120),
        server_streams: bool,
        asks_streams: bool,
    ) {
        let mut sim = Sim::new(server_streams, asks_streams);
        let mut changes = sim.store.changes();
        for op in &ops {
            sim.op(op);
        }
        sim.quiesce();
        sim.check();
        // The changes, applied one after the other, lead to the same objects.
        let mut seen: BTreeMap<Key, String> = BTreeMap::new();
        while let Some(change) = changes.take() {
            let key = change.latest().key();
            match change.current() {
                Some(new) => seen.insert(key, new.version.clone()),
                None => seen.remove(&key),
            };
        }
        let held = sim.store.all().into_iter();
        let held: BTreeMap<_, _> = held.map(|item| (item.key(), item.version.clone())).collect();
        prop_assert_eq!(seen, held);
    }
}

#[test]
fn a_server_that_always_forgets_is_not_asked_in_a_loop() {
    let mut state = State::new(Jitter::new(1), false);
    state.step(Event::Go);
    let first = state.step(Event::Failed(Failure::Expired));
    assert!(matches!(
        first[..],
        [Action::BeginList, Action::List { .. }]
    ));
    let second = state.step(Event::Failed(Failure::Expired));
    assert!(matches!(second[..], [Action::Wait(_)]), "{second:?}");
}

#[test]
fn what_the_server_asks_for_counts() {
    let mut state = State::new(Jitter::new(1), false);
    state.step(Event::Go);
    let asked = Duration::from_secs(45);
    let actions = state.step(Event::Failed(Failure::Other(Some(asked))));
    assert_eq!(actions, [Action::Wait(asked)]);
}

#[test]
fn a_watch_that_ends_at_once_is_a_failure() {
    let mut state = State::new(Jitter::new(1), false);
    state.step(Event::Go);
    state.step(Event::Page {
        version: "5".into(),
        next: String::new(),
    });
    let lived = Duration::from_millis(1);
    let actions = state.step(Event::Ended { lived });
    assert!(matches!(actions[..], [Action::Wait(_)]));
    let actions = state.step(Event::Go);
    assert!(
        matches!(&actions[..], [Action::Watch { version, initial_events: false, .. }] if version == "5")
    );
}
