//! How much faster our bridge plugin attaches a container than the reference does: process start
//! included, the same configuration, on the same host, in turns. Prints medians and their ratio.

use std::io::Write;
use std::time::{Duration, SystemTime};

use keelson_tests::netns::{Lab, Suite};
use serde_json::{Value, json};

const ROUNDS: usize = 40;

fn main() {
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    for (what, extra) in [
        ("bridge ADD", json!({})),
        ("bridge ADD with ipMasq", json!({"ipMasq": true})),
    ] {
        let (add, del) = measure(Suite::Ours, &extra);
        let (reference_add, reference_del) = measure(Suite::Reference, &extra);
        print(what, add, reference_add);
        print(&what.replace("ADD", "DEL"), del, reference_del);
    }
}

fn print(what: &str, ours: Duration, reference: Duration) {
    let ratio = reference.as_secs_f64() / ours.as_secs_f64();
    println!("{what}: ours {ours:.2?}, reference {reference:.2?}, ratio {ratio:.1}");
}

fn measure(suite: Suite, extra: &Value) -> (Duration, Duration) {
    let extra = extra.clone();
    let run = move || {
        let lab = Lab::new(suite, env!("CARGO_BIN_EXE_keelson-test-cni"));
        let conf = lab.bridge(&extra).to_string();
        let (mut adds, mut dels) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let namespace = lab.namespace();
            let id = format!("bench{round}");
            adds.push(time(&lab, "ADD", &conf, &id, namespace.path()));
            dels.push(time(&lab, "DEL", &conf, &id, namespace.path()));
        }
        (median(adds), median(dels))
    };
    std::thread::spawn(run).join().expect("measurement")
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
