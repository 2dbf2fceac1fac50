//! How much faster our bridge plugin, as it is in the release binary, attaches a container than the
//! reference does: process start included, the same configuration, on the same host, in turns. Prints
//! medians and their ratio.

use std::io::Write;
use std::time::{Duration, SystemTime};

use keelson_tests::netns::{Lab, Suite};
use keelson_tests::requires;
use serde_json::{Value, json};

const BLOCKS: usize = 6;
const ROUNDS: usize = 8;

fn main() {
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    for (what, extra) in [
        ("bridge ADD", json!({})),
        ("bridge ADD with ipMasq", json!({"ipMasq": true})),
    ] {
        let (mut ours, mut reference) = (Times::default(), Times::default());
        // In turns, so that what else the machine does hits both.
        for _ in 0..BLOCKS {
            ours.measure(Suite::Ours, &extra);
            reference.measure(Suite::Reference, &extra);
        }
        print(what, median(ours.add), median(reference.add));
        let what = what.replace("ADD", "DEL");
        print(&what, median(ours.del), median(reference.del));
    }
}

fn print(what: &str, ours: Duration, reference: Duration) {
    let ratio = reference.as_secs_f64() / ours.as_secs_f64();
    println!("{what}: ours {ours:.2?}, reference {reference:.2?}, ratio {ratio:.1}");
}

#[derive(Default)]
struct Times {
    add: Vec<Duration>,
    del: Vec<Duration>,
}

impl Times {
    fn measure(&mut self, suite: Suite, extra: &Value) {
        let extra = extra.clone();
        let block = std::thread::spawn(move || block(suite, &extra));
        let (add, del) = block.join().expect("measurement");
        self.add.extend(add);
        self.del.extend(del);
    }
}

/// A fresh host; its first pod, which makes the bridge, is not counted.
fn block(suite: Suite, extra: &Value) -> (Vec<Duration>, Vec<Duration>) {
    let ours = requires::keelson();
    let lab = Lab::new(suite, ours.to_str().expect("a plain path"));
    let conf = lab.bridge(extra);
    let _first = lab.pod(&conf);
    let conf = conf.to_string();
    let (mut add, mut del) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let namespace = lab.namespace();
        let id = format!("bench{round}");
        add.push(time(&lab, "ADD", &conf, &id, namespace.path()));
        del.push(time(&lab, "DEL", &conf, &id, namespace.path()));
    }
    (add, del)
}

fn time(lab: &Lab, command: &str, conf: &str, id: &str, netns: &std::path::Path) -> Duration {
    let start = SystemTime::now();
    let mut child = lab
        .process("bridge", command, Some((id, netns)))
        .spawn()
        .expect("start plugin");
    let mut stdin = child.stdin.take().expect("stdin");
    stdin
        .write_all(conf.as_bytes())
        .expect("write configuration");
    drop(stdin);
    let output = child.wait_with_output().expect("plugin ends");
    let took = start.elapsed().unwrap_or_default();
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    took
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
