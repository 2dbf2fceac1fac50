//! Any bytes are a mount table or are refused, naming a line of it.
#![no_main]

use keelson_kubelet::volume::mountinfo::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|table: &[u8]| {
    let lines = table.split(|byte| *byte == b'\n').count();
    match parse(table) {
        Ok(mounts) => assert!(mounts.len() <= lines),
        Err(error) => assert!((1..=lines).contains(&error.line) && !error.missing.is_empty()),
    }
});
