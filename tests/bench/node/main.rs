//! The kubelet's speed and size, as ratios to a floor measured in the same run: the same CRI calls
//! made straight by a small client, on a second node beside it, in turns. Prints a table; a bar
//! that is missed is shown as missed. With `-- one-pod` only the latency of one pod, with `-- alone`
//! nothing of a cluster, with `-- joined` only that.

mod floor;
mod joined;
mod table;

use floor::{Ask, Floor};
use keelson_bootstrap::daemon;
use keelson_tests::node::{Node, container_status, is_ready};
use keelson_tests::requires;
use keelson_tests::scenario::pod;
use serde_json::Value;
use std::time::Duration;
use table::{Table, median};
use tokio::time::Instant;

const ROUNDS: usize = 15;
const RESTARTS: usize = 10;
const AT_ONCE: usize = 30;
const CROWDS: usize = 3;

/// How often the kubelet is asked; of one pod the answer costs it well below a millisecond.
const STEP: Duration = Duration::from_millis(3);
/// Of many pods it costs more, and the floor is asked nothing: no more than a tenth of one processor
/// goes to asking.
const LEFT_ALONE: u32 = 9;

fn main() {
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let mut table = Table::default();
    let only = |word: &str| std::env::args().any(|arg| arg == word);
    if only("joined") {
        let beside = Node::start();
        joined::measure(&Floor::on(&beside), &mut table);
        print!("{table}");
        return;
    }
    if only("one-pod") {
        let (ours, beside) = (Node::start(), Node::start());
        one_pod(&ours, &Floor::on(&beside), &mut table);
        print!("{table}");
        return;
    }
    size_of_the_binary(&mut table);
    let (ours, beside) = (Node::start(), Node::start());
    let floor = Floor::on(&beside);
    idle_memory(&ours, &mut table, "kubelet", 0, 14.0);
    one_pod(&ours, &floor, &mut table);
    first_restart(&ours, &floor, &mut table);
    many_pods(&ours, &floor, &mut table);
    fifty_and_a_hundred(&ours, &mut table);
    drop(ours);
    if !only("alone") {
        joined::measure(&floor, &mut table);
    }
    drop(floor);
    drop(beside);
    print!("{table}");
}

fn size_of_the_binary(table: &mut Table) {
    let size = std::fs::metadata(requires::keelson())
        .expect("the binary")
        .len();
    table.at_most("release binary", mib(size), 25.0, "MiB");
}

/// From the manifest's last byte to Running at /pods, against the bare calls.
fn one_pod(node: &Node, floor: &Floor, table: &mut Table) {
    let (mut ours, mut bare, mut same) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        bare.push(floor.one_pod(&format!("bare{round}"), Ask::Least).started);
        let name = format!("same{round}");
        same.push(floor.one_pod(&name, Ask::SameAsKubelet).started);
        let name = format!("one{round}");
        let start = Instant::now();
        node.apply(&name, &lasting(&name));
        wait(node, |pods| {
            pods.iter().any(|pod| named(pod, &name) && is_running(pod))
        });
        ours.push(start.elapsed());
        node.delete(&name);
        wait(node, <[Value]>::is_empty);
    }
    let (ours, bare, same) = (median(&mut ours), median(&mut bare), median(&mut same));
    table.row("one pod, least calls", ms(bare), "ms");
    table.row("one pod, same calls", ms(same), "ms");
    table.row("one pod, above the least calls", ms(ours) - ms(bare), "ms");
    table.at_most(
        "one pod, above the same calls",
        ms(ours) - ms(same),
        40.0,
        "ms",
    );
}

/// From the kill of the container's process to Running again.
fn first_restart(node: &Node, floor: &Floor, table: &mut Table) {
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..RESTARTS {
        let again = floor.one_pod(&format!("again{round}"), Ask::SameAsKubelet);
        bare.push(again.created_and_started);
        let name = format!("kill{round}");
        let marker = format!("{}.{round}", 86_400 + round);
        node.apply(&name, &pod(&name, &format!("exec sleep {marker}")));
        wait(node, |pods| {
            pods.iter().any(|pod| named(pod, &name) && is_running(pod))
        });
        let pid = pid_of(&["sleep", &marker]);
        let start = Instant::now();
        daemon::stop(pid, Duration::ZERO).expect("the process is ours");
        wait(node, |pods| {
            pods.iter()
                .any(|pod| named(pod, &name) && is_running(pod) && restarts(pod) == 1)
        });
        ours.push(start.elapsed());
        node.delete(&name);
        wait(node, <[Value]>::is_empty);
    }
    let (ours, bare) = (median(&mut ours), median(&mut bare));
    table.row("create and start, same calls", ms(bare), "ms");
    table.at_most(
        "first restart, above the same calls",
        ms(ours) - ms(bare),
        30.0,
        "ms",
    );
}

fn many_pods(node: &Node, floor: &Floor, table: &mut Table) {
    let least = floor.many_pods(AT_ONCE, Ask::Least);
    table.row("30 pods at once, least calls", ms(least), "ms");
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..CROWDS {
        let least = floor.many_pods(AT_ONCE, Ask::SameAsKubelet);
        bare.push(least);
        ours.push(crowd(node, least));
    }
    let (ours, bare) = (median(&mut ours), median(&mut bare));
    table.row("30 pods at once, same calls", ms(bare), "ms");
    table.at_most(
        "30 pods at once, times the same calls",
        ms(ours) / ms(bare),
        1.1,
        "",
    );
}

/// From the first manifest of many to the last of them Running. Nothing is asked before the bare
/// calls would have been through: answers cost what the pods need.
fn crowd(node: &Node, least: Duration) -> Duration {
    let names: Vec<_> = (0..AT_ONCE).map(|n| format!("many{n}")).collect();
    let start = Instant::now();
    for name in &names {
        node.apply(name, &lasting(name));
    }
    std::thread::sleep(least.saturating_sub(start.elapsed()));
    wait_asking(node, LEFT_ALONE, |pods| {
        pods.iter().filter(|pod| is_running(pod)).count() == AT_ONCE
    });
    let took = start.elapsed();
    for name in &names {
        node.delete(name);
    }
    wait(node, <[Value]>::is_empty);
    took
}

fn fifty_and_a_hundred(node: &Node, table: &mut Table) {
    start_until(node, 50);
    idle_memory(node, table, "kubelet", 50, 20.0);
    let pid = node.pid_of("kubelet").expect("the kubelet runs");
    let before = cpu_ticks(pid);
    std::thread::sleep(Duration::from_secs(60));
    let used = (cpu_ticks(pid) - before) / ticks_a_second() / 60.0 * 100.0;
    table.at_most("CPU with 50 idle pods", used, 0.4, "% of a core");
    start_until(node, 100);
    idle_memory(node, table, "kubelet", 100, 24.0);
    for n in 0..100 {
        node.delete(&format!("idle{n}"));
    }
    wait(node, <[Value]>::is_empty);
}

fn start_until(node: &Node, count: usize) {
    for n in node.pods().len()..count {
        let name = format!("idle{n}");
        node.apply(&name, &lasting(&name));
    }
    wait(node, |pods| {
        pods.iter().filter(|pod| is_ready(pod)).count() == count
    });
}

/// Resident memory after it has been left in peace for a while.
fn idle_memory(node: &Node, table: &mut Table, whose: &str, pods: usize, bar: f64) {
    std::thread::sleep(Duration::from_secs(5));
    let pid = node.pid_of("kubelet").expect("the kubelet runs");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("VmRSS");
    let kib: f64 = line
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("a number");
    table.at_most(
        &format!("{whose} memory with {pods} pods"),
        kib / 1024.0,
        bar,
        "MiB",
    );
}

fn lasting(name: &str) -> Value {
    pod(name, "exec sleep 86400")
}

fn wait(node: &Node, done: impl Fn(&[Value]) -> bool) {
    wait_asking(node, 0, done);
}

fn wait_asking(node: &Node, left_alone: u32, done: impl Fn(&[Value]) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(300);
    loop {
        let asked = Instant::now();
        if node.get("/pods").is_some_and(|list| done(&items(&list))) {
            return;
        }
        assert!(asked < deadline, "not within 300 s{}", node.logs());
        std::thread::sleep(STEP.max(asked.elapsed() * left_alone));
    }
}

fn items(list: &[u8]) -> Vec<Value> {
    let list: Value = serde_json::from_slice(list).expect("a pod list");
    list["items"].as_array().cloned().unwrap_or_default()
}

fn named(pod: &Value, name: &str) -> bool {
    let told = pod["metadata"]["name"].as_str().unwrap_or_default();
    told == name || told.starts_with(&format!("{name}-"))
}

fn is_running(pod: &Value) -> bool {
    container_status(pod, "main")["state"]["running"].is_object()
}

fn restarts(pod: &Value) -> u64 {
    container_status(pod, "main")["restartCount"]
        .as_u64()
        .unwrap_or(0)
}

/// The process whose command line is `words`.
fn pid_of(words: &[&str]) -> i32 {
    let wanted = words.join("\0") + "\0";
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_it = |pid: &i32| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == wanted.as_bytes())
    };
    pids.find(is_it).expect("the container's process")
}

/// User and system time of a process, in clock ticks.
fn cpu_ticks(pid: i32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("its stat");
    let fields: Vec<_> = stat
        .rsplit(") ")
        .next()
        .expect("fields")
        .split(' ')
        .collect();
    let ticks = |field: usize| fields[field].parse::<f64>().expect("a number");
    ticks(11) + ticks(12)
}

fn ticks_a_second() -> f64 {
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).expect("sysconf");
    ticks.map_or(100.0, |ticks| {
        f64::from(i32::try_from(ticks).unwrap_or(100))
    })
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "a size in MiB for people")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
