//! SIGKILL at random moments under load: a child writes and says what was acknowledged, is killed,
//! and what it left behind is opened and compared. `KEELSON_CRASH_ROUNDS` says how often (30).

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keelson_store::embedded::{EmbeddedStore, Options};
use keelson_store::{Durability, Entry, Key, List, Prefix, Revision, Store, Write};
use tokio::time::Instant;

const CHILD: &str = "KEELSON_CRASH_CHILD";
const WRITERS: u64 = 16;
const SLOTS: usize = 16;

/// Of a small past, so that compaction runs while the child is killed.
const OPTIONS: Options = Options {
    history_age: Duration::from_secs(1),
    history_bytes: 512 * 1024,
};

fn main() {
    if let Ok(folder) = std::env::var(CHILD) {
        child(Path::new(&folder));
    }
    // Listing and filters of the usual test harness: this is one case.
    let args: Vec<_> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--list" || arg == "--ignored") {
        println!("\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
        return;
    }
    let rounds = std::env::var("KEELSON_CRASH_ROUNDS").ok();
    let rounds = rounds.and_then(|text| text.parse().ok()).unwrap_or(30);
    let folder = tempfile::tempdir().expect("a folder");
    let mut seen = Totals::default();
    for round in 0..rounds {
        run(round, folder.path(), &mut seen);
    }
    println!(
        "{rounds} kills: {} acknowledged writes, none lost; {} in flight survived; slowest opening {:?}",
        seen.acknowledged, seen.survived, seen.slowest,
    );
    println!("\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
}

#[derive(Default)]
struct Totals {
    acknowledged: u64,
    survived: u64,
    slowest: Duration,
    newest: u64,
    /// A round and what its writers' keys held.
    left: Option<(u64, Vec<BTreeMap<String, Bytes>>)>,
}

/// One step of a writer: steps come in threes, about one key.
struct Step {
    name: String,
    action: Action,
    value: Bytes,
    durability: Durability,
}

#[derive(PartialEq)]
enum Action {
    Create,
    Swap,
    Delete,
}

fn step(number: u64) -> Step {
    let name = format!("{:06}", number / 3);
    let action = match number % 6 {
        0 | 3 => Action::Create,
        5 => Action::Delete,
        _ => Action::Swap,
    };
    let value = Bytes::from(
        format!("value {number} ").repeat(1 + usize::try_from(number % 130).expect("small")),
    );
    let durability = if number % 5 == 4 {
        Durability::Relaxed
    } else {
        Durability::Durable
    };
    Step {
        name,
        action,
        value,
        durability,
    }
}

/// What a writer's keys hold after so many steps.
fn state(steps: u64) -> BTreeMap<String, Bytes> {
    let mut state = BTreeMap::new();
    for number in 0..steps {
        let step = step(number);
        match step.action {
            Action::Delete => drop(state.remove(&step.name)),
            _ => drop(state.insert(step.name, step.value)),
        }
    }
    state
}

fn folder_of(round: u64, writer: u64) -> String {
    format!("/registry/crash/{round}/{writer}/")
}

/// Writes until it is killed.
fn child(folder: &Path) -> ! {
    let round = std::env::args()
        .nth(1)
        .expect("a round")
        .parse()
        .expect("a number");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let store = Arc::new(EmbeddedStore::open(folder, OPTIONS).expect("the store opens"));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| tokio::spawn(work(Arc::clone(&store), round, writer)))
            .collect();
        for writer in writers {
            writer.await.expect("a writer");
        }
    });
    unreachable!("writers never end")
}

async fn work(store: Arc<EmbeddedStore>, round: u64, writer: u64) {
    let mut newest = Revision::ZERO;
    for number in 0.. {
        let step = step(number);
        let key = Key::new(folder_of(round, writer) + &step.name).expect("a key");
        let write = Write {
            durability: step.durability,
            ttl: None,
        };
        newest = match step.action {
            Action::Create => store.create(&key, step.value, write).await,
            Action::Swap => {
                store
                    .compare_and_swap(&key, newest, step.value, write)
                    .await
            }
            Action::Delete => {
                let deleted = store.delete(&key, Some(newest), step.durability).await;
                deleted.map(|deleted| deleted.revision)
            }
        }
        .expect("a write");
        let line = format!("{writer} {number} {newest}\n");
        std::io::stdout()
            .write_all(line.as_bytes())
            .expect("the pipe");
        std::io::stdout().flush().expect("the pipe");
    }
}

/// What a writer said: how many steps were acknowledged, and up to which all were durable.
#[derive(Clone, Copy, Default)]
struct Said {
    acknowledged: u64,
    durable: u64,
}

fn run(round: u64, folder: &Path, totals: &mut Totals) {
    let mut child = spawn(round, folder);
    let stdout = child.stdout.take().expect("a pipe");
    let mut lines = BufReader::new(stdout).lines();
    let mut said = [Said::default(); SLOTS];
    // The first word comes when the store is open; from then on death comes at any moment.
    let first = lines.next().expect("a word").expect("a line");
    note(&first, &mut said, &mut totals.newest);
    let pid = child.id();
    let moment = Duration::from_micros((round * 7919 + 13) % 97 * 1500);
    let killer = std::thread::spawn(move || {
        std::thread::sleep(moment);
        let pid =
            rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("a kill");
    });
    for line in lines {
        note(&line.expect("a line"), &mut said, &mut totals.newest);
    }
    killer.join().expect("the killer");
    child.wait().expect("an end");
    totals.acknowledged += said.iter().map(|one| one.acknowledged).sum::<u64>();
    check(round, folder, &said, totals);
}

fn spawn(round: u64, folder: &Path) -> Child {
    Command::new(std::env::current_exe().expect("a path"))
        .arg(round.to_string())
        .env(CHILD, folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child")
}

fn note(line: &str, said: &mut [Said], newest: &mut u64) {
    let numbers: Vec<u64> = line
        .split(' ')
        .map(|word| word.parse().expect("a number"))
        .collect();
    let [writer, number, revision] = numbers[..] else {
        panic!("the child said {line:?}")
    };
    let said = said
        .get_mut(usize::try_from(writer).expect("small"))
        .expect("a writer");
    assert_eq!(said.acknowledged, number, "writer {writer} skipped a step");
    said.acknowledged = number + 1;
    if step(number).durability == Durability::Durable {
        said.durable = number + 1;
    }
    *newest = revision.max(*newest);
}

fn check(round: u64, folder: &Path, said: &[Said], totals: &mut Totals) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let started = Instant::now();
        let store = EmbeddedStore::open(folder, OPTIONS)
            .unwrap_or_else(|error| panic!("after kill {round} the store does not open: {error}"));
        totals.slowest = totals.slowest.max(started.elapsed());
        let revision = store.revision().await.expect("a revision");
        assert!(
            revision.0 >= totals.newest,
            "revision {revision} could come again"
        );
        let mut left = Vec::new();
        for (writer, said) in (0..).zip(said) {
            let found = contents(&store, round, writer).await;
            let possible = said.durable..=said.acknowledged + 1;
            let steps = possible.clone().find(|steps| state(*steps) == found);
            let steps = steps.unwrap_or_else(|| {
                panic!(
                    "round {round}, writer {writer}: none of the states after {possible:?} steps"
                )
            });
            totals.survived += u64::from(steps > said.acknowledged);
            left.push(found);
        }
        // What the round before left was checked then, and may not have changed since.
        if let Some((round, left)) = totals.left.take() {
            let mut found = Vec::new();
            for writer in 0..WRITERS {
                found.push(contents(&store, round, writer).await);
            }
            assert!(found == left, "what round {round} left has changed");
            forget(&store, round).await;
        }
        totals.left = Some((round, left));
        store.close().await;
    });
}

async fn contents(store: &EmbeddedStore, round: u64, writer: u64) -> BTreeMap<String, Bytes> {
    let folder = folder_of(round, writer);
    let list = List::all(Prefix::new(folder.as_str()).expect("a prefix"));
    let page = store.list(list).await.expect("a list");
    let name = |entry: &Entry| entry.key.as_str()[folder.len()..].to_owned();
    page.entries
        .iter()
        .map(|entry| (name(entry), entry.value.clone()))
        .collect()
}

/// Removes what a round wrote, so that a thousand of them fit.
async fn forget(store: &EmbeddedStore, round: u64) {
    let prefix = Prefix::new(format!("/registry/crash/{round}/")).expect("a prefix");
    let page = store.list(List::all(prefix)).await.expect("a list");
    for entry in page.entries {
        let gone = store
            .delete(&entry.key, Some(entry.mod_revision), Durability::Relaxed)
            .await;
        gone.expect("a deletion");
    }
}
