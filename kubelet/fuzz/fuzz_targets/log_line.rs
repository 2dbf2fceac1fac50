//! Any bytes are a log line or are refused; what is read can be printed.
#![no_main]

use keelson_kubelet::logs::format::Line;
use keelson_kubelet::logs::print::{LogOptions, Printer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let options = LogOptions {
        timestamps: true,
        limit_bytes: Some(64),
        ..LogOptions::default()
    };
    let mut printer = Printer::new(&options);
    let mut out = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if let Ok(line) = Line::parse(line) {
            printer.print(&line, &mut out);
        }
    }
    assert!(out.len() <= 64);
});
